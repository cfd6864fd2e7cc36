"""Tasks with a budget, and the learning rates that each rule gets on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from neurolearn.network import Network, mlp

Rate = float | Mapping[str, float]
"""One learning rate, or one for each pathway ("*": the others)."""

DEFAULT = 0.05


@dataclass(frozen=True, eq=False)
class Task:
    """A network (tanh, a chain of ``sizes``) with a budget. rates: what ``search`` chose for each rule and control."""

    sizes: tuple[int, ...]
    loss: str
    epochs: int
    batch: int
    rates: Mapping[str, Rate]

    @property
    def network(self) -> Network:
        """The network, without weights."""
        return mlp(self.sizes, loss=self.loss)


TASKS: Mapping[str, Task] = {
    "yin_yang": Task((4, 30, 30, 3), "cross_entropy", 25, 32, {}),
    "digits": Task((64, 64, 32, 10), "squared", 60, 32, {}),
}


def rate(rule: str, dataset: str, loss: str) -> Rate:
    """Learning rate of a rule or control where ``TASKS`` has one, for that data set and loss; else ``DEFAULT``."""
    task = TASKS.get(dataset)
    return task.rates.get(rule, DEFAULT) if task and task.loss == loss else DEFAULT
