"""When feedback learns and when forward weights do: together, in turn, or feedback first.

Feedback is every weight that learns and does not belong to the forward pathway W (with its bias b).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from numbers import Integral
from typing import NamedTuple

from neurolearn.errors import InputError
from neurolearn.program import Program

MODES = ("parallel", "alternating")
FORWARD = "W"  # the pathway of forward weights and biases
Rate = float | Mapping[str, float]


class Pass(NamedTuple):
    """Once through the training data. epoch: of forward learning, from 1, whose rate it has. learned: all, feedback or
    forward."""

    epoch: int
    learned: str


@dataclass(frozen=True)
class Schedule:
    """The passes of a training.

    mode: "parallel", all weights learn in every epoch; or "alternating", each epoch is a pass in which only feedback
    learns and then one in which only forward weights do (Bartunov et al. 2018, arXiv:1807.04587). pretraining: passes of
    feedback alone before the first epoch; extra: as many after every epoch (Meulemans et al. 2020, arXiv:2006.14331).
    Raises InputError for another mode, and for a number of passes that is none.
    """

    mode: str = "parallel"
    pretraining: int = 0
    extra: int = 0

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise InputError(f"mode is {self.mode!r}; choose one of {', '.join(MODES)}.")
        for name in ("pretraining", "extra"):
            value = getattr(self, name)
            if not isinstance(value, Integral) or isinstance(value, bool) or value < 0:
                raise InputError(f"{name} is {value!r}; give a number of passes, an integer >= 0.")

    def passes(self, epochs: int) -> Iterator[Pass]:
        """All passes of a training with that many epochs of forward learning."""
        yield from [Pass(1, "feedback")] * self.pretraining
        for epoch in range(1, epochs + 1):
            if self.mode == "parallel":
                yield Pass(epoch, "all")
            else:
                yield from (Pass(epoch, "feedback"), Pass(epoch, "forward"))
            yield from [Pass(epoch, "feedback")] * self.extra

    def check(self, program: Program) -> None:
        """Raises InputError if feedback is to learn by itself in a rule that has none that learns."""
        if self != Schedule() and not {program.weights[n].pathway for n in program.plastic_weights()} - {FORWARD}:
            raise InputError(
                f"{program.name} has no feedback that learns, so there is nothing to alternate with or to pretrain; "
                "leave its schedule at Schedule()."
            )


def only(learned: str, rate: Rate, program: Program) -> Rate:
    """The rates of a pass: 0 for the pathways that do not learn in it. learned: as in ``Pass``."""
    if learned == "all":
        return rate
    pathways = {program.weights[name].pathway for name in program.plastic_weights()}
    rates = rate if isinstance(rate, Mapping) else {"*": rate}
    return {p: rates.get(p, rates.get("*", 0.0)) if (p == FORWARD) == (learned == "forward") else 0.0 for p in pathways}
