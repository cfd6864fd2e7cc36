"""Budgets, and the learning rates that each rule gets within them.

Rates were chosen with ``search``: by the validation accuracy of the worst of five seeds, among 0.05, 0.07, 0.1, 0.14,
0.2, 0.28 and 0.4 (digits; yin-yang with squared loss) and 0.1, 0.2, 0.5, 1 and 2 (yin-yang with cross-entropy). Of those
that are at most half of the smallest at which a run diverged, or fell back to chance, it is the smallest within 0.002 of
the best. Difference target propagation was also given Q at 3 and 10 times the rate of W, to no avail.

``readout_only`` has backprop's rate: it is backprop with the plasticity of hidden layers switched off and nothing else
changed. On yin-yang (cross-entropy) its own best rate would be 10, where random features alone reach 79 % on the
validation split, almost what difference target propagation does. Whatever has no rate here, such as a user's own rule,
gets DEFAULT.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from neurolearn.training.schedule import Schedule

Rate = float | Mapping[str, float]
"""One learning rate, or one for each pathway ("*": the others)."""

DEFAULT = 0.05


@dataclass(frozen=True)
class Task:
    """A budget, and rates by rule or control. sizes: of the chain of tanh layers that they were chosen on.

    schedules: of rules whose feedback learns in passes of its own. other: {activation: rates}, for hidden layers of
    another activation. readout: {activation: best rate of readout_only}.
    """

    sizes: tuple[int, ...] = ()
    epochs: int = 10
    batch: int = 32
    rates: Mapping[str, Rate] = field(default_factory=dict)
    schedules: Mapping[str, Schedule] = field(default_factory=dict)
    other: Mapping[str, Mapping[str, Rate]] = field(default_factory=dict)
    readout: Mapping[str, float] = field(default_factory=dict)

    def rate(self, rule: str, activation: str = "tanh") -> Rate:
        """Rate of a rule or control; that of tanh where there is none for the activation."""
        return self.other.get(activation, {}).get(rule, self.rates.get(rule, DEFAULT))

    def activation(self, rule: str) -> str:
        """Activation that a rule's rate was chosen with: tanh, unless it has a rate for another alone."""
        return "tanh" if rule in self.rates else next((a for a, rates in self.other.items() if rule in rates), "tanh")

    def schedule(self, rule: str) -> Schedule:
        """Schedule of a rule."""
        return self.schedules.get(rule, Schedule())


TASKS: dict[tuple[str, str], Task] = {
    ("yin_yang", "cross_entropy"): Task((4, 30, 30, 3), epochs=25, batch=32, rates={
        "linear": 0.5,
        "readout_only": 0.5,
        "backprop": 0.5,
        "feedback_alignment": 2.0,
        "direct_feedback_alignment": 0.5,
        "difference_target_propagation": 0.2,
        "dynamic_inversion": 0.2,
    }, readout={"tanh": 5.0, "leaky_relu": 20.0}),
    ("yin_yang", "squared"): Task((4, 30, 30, 3), epochs=25, batch=32, rates={
        "linear": 0.05,
        "readout_only": 0.2,
        "backprop": 0.2,
        "feedback_alignment": 0.1,
        "direct_feedback_alignment": 0.1,
        "difference_target_propagation": 0.14,
        "dynamic_inversion": 0.2,
    }),
    ("digits", "squared"): Task((64, 64, 32, 10), epochs=60, batch=16, rates={
        "linear": 0.1,
        "readout_only": 0.1,
        "backprop": 0.1,
        "feedback_alignment": 0.1,
        "direct_feedback_alignment": 0.07,
        "difference_target_propagation": 0.1,
        "dynamic_inversion": 0.14,
    }, readout={"tanh": 0.2, "leaky_relu": 0.2}),
    ("waves", "squared"): Task((8, 40, 20, 1), epochs=25, batch=32, other={"relu": {
        "linear": 0.1,
        "readout_only": 0.5,
        "backprop": 0.5,
        "kickback": 0.2,
    }}, readout={"relu": 0.2}),
    ("yin_yang, one against the rest", "squared"): Task((4, 30, 30, 1), epochs=25, batch=32, other={"relu": {
        "linear": 0.1,
        "readout_only": 0.2,
        "backprop": 0.2,
        "kickback": 0.1,
    }}, readout={"relu": 0.2}),
}


def task(dataset: str, loss: str) -> Task:
    """The Task of a data set and a loss, or one with defaults throughout."""
    return TASKS.get((dataset, loss), Task())
