"""Budgets, and the learning rates that each rule gets within them.

Rates were chosen with ``search``, on the validation split alone: the one with the best score that is at most half of the
smallest at which any run diverged. Tried were 0.05, 0.07, 0.1, 0.14, 0.2, 0.28 and 0.4 (digits), 0.05, 0.1, 0.2, 0.3,
0.5 and 1 (yin-yang, cross-entropy) and 0.05, 0.07, 0.1, 0.14, 0.2, 0.3 and 0.5 (yin-yang, squared), as far as runs did
not diverge; dynamic inversion and difference target propagation, which are slow, on a part of these, the latter with Q at
1, 3 and 10 times the rate of W. Whatever has no rate here, such as a user's own rule, gets DEFAULT.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Rate = float | Mapping[str, float]
"""One learning rate, or one for each pathway ("*": the others)."""

DEFAULT = 0.05


@dataclass(frozen=True)
class Task:
    """A budget, and rates by rule or control. sizes: of the chain of tanh layers that they were chosen on."""

    sizes: tuple[int, ...] = ()
    epochs: int = 10
    batch: int = 32
    rates: Mapping[str, Rate] = field(default_factory=dict)

    def rate(self, rule: str) -> Rate:
        """Rate of a rule or control."""
        return self.rates.get(rule, DEFAULT)


TASKS: dict[tuple[str, str], Task] = {
    ("yin_yang", "cross_entropy"): Task((4, 30, 30, 3), epochs=25, rates={
        "linear": 0.3,
        "readout_only": 0.2,
        "backprop": 0.2,
        "feedback_alignment": 0.5,
        "direct_feedback_alignment": 0.3,
        "difference_target_propagation": {"W": 0.1, "Q": 1.0},
        "dynamic_inversion": 0.1,
    }),
    ("yin_yang", "squared"): Task((4, 30, 30, 3), epochs=25, rates={
        "linear": 0.05,
        "readout_only": 0.2,
        "backprop": 0.14,
        "feedback_alignment": 0.07,
        "direct_feedback_alignment": 0.05,
        "difference_target_propagation": 0.1,
        "dynamic_inversion": 0.2,
    }),
    ("digits", "squared"): Task((64, 64, 32, 10), epochs=60, batch=16, rates={
        "linear": 0.05,
        "readout_only": 0.14,
        "backprop": 0.1,
        "feedback_alignment": 0.07,
        "direct_feedback_alignment": 0.07,
        "difference_target_propagation": 0.1,
        "dynamic_inversion": 0.14,
    }),
}


def task(dataset: str, loss: str) -> Task:
    """The Task of a data set and a loss, or one with defaults throughout."""
    return TASKS.get((dataset, loss), Task())
