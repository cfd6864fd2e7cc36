"""Physiology in the open: what a circuit has beyond its rule. Every option is off unless it is given.

An option changes the plan of a finished circuit, so it stands in the printed script like everything else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from numbers import Real

import numpy as np

from neurolearn.circuit import delays
from neurolearn.circuit.plan import CircuitPlan
from neurolearn.errors import InputError
from neurolearn.program import Program
from neurolearn.timing import Timing


@dataclass(frozen=True)
class Biology:
    """Options of a built circuit. Times are Brian2 quantities or seconds.

    delays: {pathway ("B") or call of it ("W.rate"): transmission delay}, of spikes.

    Raises InputError, naming the option, its value and what it may be.
    """

    delays: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.delays, Mapping):
            raise InputError(f"Biology: delays is {self.delays!r}; give a mapping such as {{'B': 3*ms}}.")
        found = {name: seconds(f"the delay of {name}", value) for name, value in self.delays.items()}
        object.__setattr__(self, "delays", found)

    def embody(self, plan: CircuitPlan, program: Program, timing: Timing, kind: str) -> CircuitPlan:
        """The plan of a circuit ("rate" or "spiking") with these options in it. Raises InputError for one that it cannot have."""
        if self.delays:
            delays.give(plan, program, timing, kind, self.delays)
        return plan


def seconds(what: str, value) -> float:
    """A time, positive and finite, in seconds; value: seconds or a Brian2 quantity. Raises InputError."""
    if not isinstance(value, Real) or hasattr(value, "dim"):
        from brian2 import Quantity, have_same_dimensions, second

        if not isinstance(value, Quantity) or not have_same_dimensions(value, second) or np.ndim(value):
            raise InputError(f"Biology: {what} is {value!r}; give one time, such as 3*ms or 3e-3.")
        value = float(np.asarray(value))
    if not (isfinite(value) and value > 0):
        raise InputError(f"Biology: {what} is {value!r} s; it must be positive (leave it out for none).")
    return float(value)
