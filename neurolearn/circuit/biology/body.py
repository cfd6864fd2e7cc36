"""Physiology in the open: what a circuit has beyond its rule. Every option is off unless it is given.

An option changes the plan of a finished circuit, so it stands in the printed script like everything else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from numbers import Real

import numpy as np

from neurolearn.circuit.biology import background, dale, delays, heterogeneity, irregular
from neurolearn.circuit.biology.background import Background
from neurolearn.circuit.plan import CircuitPlan
from neurolearn.errors import InputError
from neurolearn.program import Program
from neurolearn.timing import Timing


@dataclass(frozen=True)
class Biology:
    """Options of a built circuit. Times are Brian2 quantities or seconds.

    delays: {pathway ("B") or call of it ("W.rate"): transmission delay}, of spikes. heterogeneity: relative spread of
    thresholds and of membrane and synaptic time constants over cells, or {"threshold", "membrane", "synapse": spread}.
    irregularity: coefficient of variation of the intervals between the spikes of a coding cell with a steady drive, from 0
    (regular) to 1 (Poisson). background: a noise current. dale: every cell excites or inhibits, and weights keep their
    sign. What is drawn is drawn from ``Timing.seed``.

    Raises InputError, naming the option, its value and what it may be.
    """

    delays: Mapping[str, object] = field(default_factory=dict)
    heterogeneity: float | Mapping[str, float] = 0.0
    irregularity: float = 0.0
    background: Background | None = None
    dale: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.delays, Mapping):
            raise InputError(f"Biology: delays is {self.delays!r}; give a mapping such as {{'B': 3*ms}}.")
        found = {name: seconds(f"the delay of {name}", value) for name, value in self.delays.items()}
        object.__setattr__(self, "delays", found)
        spread = self.heterogeneity
        spread = dict(spread) if isinstance(spread, Mapping) else dict.fromkeys(heterogeneity.WHAT, spread)
        for name, value in spread.items():
            if name not in heterogeneity.WHAT:
                raise InputError(f"Biology: heterogeneity of {name!r}; choose among {', '.join(heterogeneity.WHAT)}.")
            _share(f"heterogeneity of the {name}", value)
        object.__setattr__(self, "heterogeneity", spread)
        _share("irregularity", self.irregularity)
        if not isinstance(self.background, Background | None):
            raise InputError(f"Biology: background is {self.background!r}; give Background(amplitude, tau).")
        if not isinstance(self.dale, bool):
            raise InputError(f"Biology: dale is {self.dale!r}; give True or False.")

    def embody(self, plan: CircuitPlan, program: Program, timing: Timing, kind: str) -> Program:
        """Put these options into the plan of a circuit ("rate" or "spiking"); returns the program that it then is of.

        Raises InputError for an option that the circuit cannot have.
        """
        self._check_events(plan, program)
        if self.delays:
            delays.give(plan, program, timing, kind, self.delays)
        if self.irregularity:
            irregular.give(plan, program, timing, kind, self.irregularity)
        if self.background and self.background.amplitude:
            background.give(plan, program, timing, kind, self.background)
        if any(self.heterogeneity.values()):
            heterogeneity.give(plan, program, timing, kind, self.heterogeneity)
        return dale.split(plan, program, kind) if self.dale else program

    def _check_events(self, plan: CircuitPlan, program: Program) -> None:
        """Raises InputError if synapses compute an apical current from its spikes that the cell would have differently."""
        computed = any("lasts_apical" in line for s in plan.synapses for line in s.model)
        noisy = {"currents", "apical", *(c.key for cell in program.cells for c in cell.compartments if c.pathway == "apical")}
        noise = self.background and self.background.amplitude and noisy & set(self.background.into)
        if computed and (self.heterogeneity.get("synapse") or noise):
            what = "background into apical currents" if noise else "heterogeneity of the synapse"
            raise InputError(
                f"plasticity 'events' computes apical currents from their spikes, as they are without {what}; take 'traces'."
            )


def _share(what: str, value) -> None:
    """Raises InputError unless a value is a number from 0 to 1."""
    if not isinstance(value, Real) or isinstance(value, bool) or not 0 <= value <= 1:
        raise InputError(f"Biology: {what} is {value!r}; give a number from 0 (none) to 1.")


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
