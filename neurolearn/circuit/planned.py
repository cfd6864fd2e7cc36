"""A circuit before any Brian2 object exists: what a drawing and a table of parameters look at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neurolearn.circuit import KINDS, PLACEMENTS
from neurolearn.circuit.biology import Biology
from neurolearn.circuit.plan import CircuitPlan
from neurolearn.errors import InputError
from neurolearn.program import Program
from neurolearn.timing import Timing


@dataclass
class Planned:
    """A Program (placed) and its plan; a built ``Circuit`` has both too."""

    program: Program
    plan: CircuitPlan


def planned(
    rule,
    network,
    x=None,
    teacher=None,
    weights=None,
    *,
    kind: str = "spiking",
    placement: str = "unit",
    timing: Timing | None = None,
    seed: int = 0,
    learning_rate: float = 1.0,
    biology: Biology | None = None,
) -> Planned:
    """What ``circuit.build`` would build; Brian2 is not loaded. x, teacher: one sample of zeros unless given.

    Raises InputError, SettlingError.
    """
    from neurolearn import ties
    from neurolearn.changes import default_timing, prepare
    from neurolearn.circuit import cells, rate, spiking

    if kind not in KINDS:
        raise InputError(f"kind is {kind!r}; choose one of {', '.join(KINDS)}.")
    if placement not in PLACEMENTS or (placement == "cells" and kind == "rate"):
        raise InputError(f"placement is {placement!r}; choose unit, or cells for a spiking circuit.")
    x = np.zeros((1, network.sizes[0])) if x is None else x
    teacher = np.zeros((len(np.atleast_2d(x)), network.sizes[-1])) if teacher is None else teacher
    program, weights, given = prepare(rule, network, x, teacher, weights, seed=seed)
    timing = timing or default_timing(program, weights, given, f"circuit.{kind}")
    weights = ties.complete(program, weights)
    if placement == "cells":
        program, given, weights = cells.place(program, given, weights)
    circuit = rate.RateCircuit if kind == "rate" else spiking.SpikingCircuit
    plan = circuit(program, weights, given, timing, learning_rate).build()
    if biology:
        biology.embody(plan, program, timing, kind)
    return Planned(program, plan)
