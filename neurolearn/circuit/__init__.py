"""Circuits (Brian2): cells, synapses, spikes; the weights change inside the simulation. They read Programs only."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from neurolearn.circuit.background import Background
from neurolearn.circuit.biology import Biology
from neurolearn.errors import InputError
from neurolearn.program import Program
from neurolearn.timing import Timing

if TYPE_CHECKING:
    from neurolearn.circuit.built import Circuit

KINDS = ("rate", "spiking")
PLACEMENTS = ("unit", "cells")
LATER = {"Cell": "cell", "measured": "curve"}  # these import Brian2, when they are asked for

__all__ = ["Background", "Biology", "build", "make", "source", *LATER]


def __getattr__(name: str):
    """Public names that need Brian2."""
    if name in LATER:
        return getattr(import_module(f"neurolearn.circuit.{LATER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def build(
    rule,
    network,
    x,
    teacher,
    weights=None,
    *,
    kind: str = "spiking",
    placement: str = "unit",
    timing: Timing | None = None,
    seed: int = 0,
    held=None,
    learning_rate: float = 1.0,
    target: str = "numpy",
    biology: Biology | None = None,
) -> Circuit:
    """A Brian2 circuit of one presentation of a batch, ready to run or to be given monitors.

    x: (batch, inputs), teacher: (batch, outputs); every sample has its own block copy of the network. kind: "rate" or
    "spiking". placement: "unit" (one NeuronGroup per layer) or "cells" (one cell, one axon; spiking only). weights,
    timing, held: as of ``neurolearn.update``. biology: delays and other physiology. Raises InputError, SettlingError.
    """
    from neurolearn.changes import default_timing, prepare

    program, weights, given = prepare(rule, network, x, teacher, weights, seed=seed, held=held)
    timing = timing or default_timing(program, weights, given, f"circuit.{kind}")
    options = {"placement": placement, "learning_rate": learning_rate, "target": target, "biology": biology}
    return make(program, weights, given, timing, kind, **options)


def source(path: str | Path, rule, network, x, teacher, weights=None, **options) -> Path:
    """Write ``path`` (.py), a script of brian2 and numpy only, and the .npz that it reads; options: of ``build``.

    The script simulates the presentation and writes every Synapses' ``w`` afterwards to <name>.result.npz.
    """
    return build(rule, network, x, teacher, weights, **options).save(path)


def make(
    program: Program,
    weights,
    given,
    timing: Timing,
    kind: str = "spiking",
    *,
    placement: str = "unit",
    learning_rate: float = 1.0,
    target: str = "numpy",
    biology: Biology | None = None,
) -> Circuit:
    """``build`` from a Program, its weights and what ``streams.given`` gives it."""
    from neurolearn import ties
    from neurolearn.circuit import cells, rate, spiking
    from neurolearn.circuit.built import execute

    weights = ties.complete(program, weights)
    if kind not in KINDS:
        raise InputError(f"kind is {kind!r}; choose one of {', '.join(KINDS)}.")
    if placement not in PLACEMENTS or (placement == "cells" and kind == "rate"):
        raise InputError(f"placement is {placement!r}; choose unit, or cells for a spiking circuit.")
    if placement == "cells":
        program, given, weights = cells.place(program, given, weights)
    circuit = rate.RateCircuit if kind == "rate" else spiking.SpikingCircuit
    plan = circuit(program, weights, given, timing, learning_rate).build()
    if biology:
        biology.embody(plan, program, timing, kind)
    return execute(program, plan, target)
