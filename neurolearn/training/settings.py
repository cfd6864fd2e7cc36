"""Budgets, and the learning rates that each rule gets within them.

Rates were chosen by ``search`` on the validation split alone, with seeds 100 to 102, by the accuracy of the last five
epochs, from

    yin_yang, cross_entropy    ...

and at most half of the smallest rate at which any of those runs diverged. Of difference target propagation the feedback
(Q) was given 1 and 3 times the rate of W, within the same grid. A rule that stands in none of these lists gets DEFAULT.
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


TASKS: Mapping[tuple[str, str], Task] = {
    ("yin_yang", "cross_entropy"): Task((4, 30, 30, 3), 25, 32),
    ("yin_yang", "squared"): Task((4, 30, 30, 3), 25, 32),
    ("digits", "squared"): Task((64, 64, 32, 10), 60, 32),
}


def task(dataset: str, loss: str) -> Task:
    """The Task of a data set and a loss, or one with defaults throughout."""
    return TASKS.get((dataset, loss), Task())
