"""Circuits (Brian2): cells, synapses, spikes; the weights change inside the simulation. They read Programs only."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from neurolearn.circuit.biology import Biology
from neurolearn.circuit.biology.background import Background
from neurolearn.circuit.guards.findings import CircuitWarning, Finding, Guards
from neurolearn.circuit.plan import Planned
from neurolearn.errors import InputError
from neurolearn.program import Program
from neurolearn.timing import Timing

if TYPE_CHECKING:
    from neurolearn.circuit.built import Circuit
    from neurolearn.circuit.plasticity.learning import Way

KINDS = ("rate", "spiking")
PLACEMENTS = ("unit", "cells")
LATER = {"Cell": "own.cell", "Learner": "learner", "measured": "own.curve"}  # imported when they are asked for
LATER |= {"attach": "attached.attach", "Drive": "attached.host"}
LATER |= {"draw": "look.drawing", "parameters": "look.nordlie", "planned": "look.outline"}
LATER |= {"SpikeMonitor": "recording.monitors", "StateMonitor": "recording.monitors", "PopulationRateMonitor": "recording.monitors"}
LATER |= {"Recorder": "recording.recorder", "Recording": "recording.playback"}

__all__ = ["Background", "Biology", "CircuitWarning", "Finding", "Guards", "build", "make", "source", *LATER]


def __getattr__(name: str):
    """Public names that need Brian2 or h5py, or all of a circuit."""
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
    plasticity: Way | Mapping[str, Way] = "window",
    guards: Guards | None = None,
) -> Circuit:
    """A Brian2 circuit of one presentation of a batch, ready to run or to be given monitors.

    x: (batch, inputs), teacher: (batch, outputs); every sample has its own block copy of the network. kind: "rate" or
    "spiking". placement: "unit" (one NeuronGroup per layer) or "cells" (one cell, one axon; spiking only). weights,
    timing, held: as of ``neurolearn.update``. biology: delays and other physiology. plasticity:
    "window", "clocked", "traces", "events" or a ``stdp.Form`` (``circuit.plasticity.learning``), or {pathway: one of these}; spiking
    only. guards: what is asked of the circuit before and after it runs (``circuit.Guards()``: all of it).
    Raises InputError, SettlingError, and what the guards say.
    """
    from neurolearn.changes import default_timing, prepare
    from neurolearn.circuit.plasticity import learning

    program, weights, given = prepare(rule, network, x, teacher, weights, seed=seed, held=held)
    program = learning.spoken(program, learning.ways(program, plasticity))
    timing = timing or default_timing(program, weights, given, f"circuit.{kind}")
    options = {"placement": placement, "learning_rate": learning_rate, "target": target, "biology": biology}
    options |= {"plasticity": plasticity, "guards": guards}
    return make(program, weights, given, timing, kind, **options)


def source(path: str | Path, rule, network, x, teacher, weights=None, **options) -> Path:
    """Write ``path`` (.py), a script of brian2 and numpy only, and the .npz that it reads; options: of ``build``.

    The script simulates the presentation and writes every Synapses' ``w`` afterwards to <name>.result.npz.
    """
    return build(rule, network, x, teacher, weights, **options).save(path)


def check_options(program: Program, timing: Timing, biology: Biology | None) -> None:
    """Raises InputError unless they are what they should be, and every name in ``timing`` is one of the program."""
    from neurolearn.draws import check_names

    if not isinstance(timing, Timing):
        raise InputError(f"timing is {timing!r}; give a Timing, such as neurolearn.Timing(settle=200, window=200).")
    if not isinstance(biology, Biology | None):
        raise InputError(f"biology is {biology!r}; give circuit.Biology(...), or None.")
    check_names(program, timing)


def make(
    program: Program,
    weights,
    given,
    timing: Timing,
    kind: str = "spiking",
    *,
    placement: str = "unit",
    learning_rate: float = 1.0,
    target: str | None = "numpy",
    biology: Biology | None = None,
    plasticity: Way | Mapping[str, Way] = "window",
    guards: Guards | None = None,
) -> Circuit | Planned:
    """``build`` from a Program, its weights and what ``streams.given`` gives it. target: None for the plan alone."""
    from neurolearn import quantity, ties
    from neurolearn.circuit import cells, rate, spiking
    from neurolearn.circuit.biology import crowd
    from neurolearn.circuit.built import execute
    from neurolearn.circuit.guards import foreseen
    from neurolearn.circuit.plasticity import learning

    weights = ties.complete(program, weights)
    learning_rate = quantity.si("learning_rate", learning_rate)
    check_options(program, timing, biology)
    if not isinstance(guards, Guards | None):
        raise InputError(f"guards is {guards!r}; give circuit.Guards(...), or None.")
    if kind not in KINDS:
        raise InputError(f"kind is {kind!r}; choose one of {', '.join(KINDS)}.")
    if placement not in PLACEMENTS or (placement == "cells" and kind == "rate"):
        raise InputError(f"placement is {placement!r}; choose unit, or cells for a spiking circuit.")
    found = learning.ways(program, plasticity)
    if found and kind == "rate":
        raise InputError(f"plasticity is {plasticity!r}; a rate circuit has no spikes to learn from: take 'window'.")
    program = learning.spoken(program, found)
    foretold = []
    if guards and guards.wants("stability", "step", "rates"):
        foretold = guards.judge(foreseen.faults(program, weights, given, timing, kind, biology and biology.delays))
    if placement == "cells":
        program, given, weights = cells.place(program, given, weights)
    if timing.cells > 1:
        if kind == "rate":
            raise InputError(f"cells is {timing.cells}: several cells per unit are of spikes; a rate circuit takes cells = 1.")
        program, given, weights = crowd.crowd(program, given, weights, timing.cells)
    circuit, options = (rate.RateCircuit if kind == "rate" else spiking.SpikingCircuit), {}
    if found:
        circuit, options = learning.LearningCircuit, {"ways": found}
    plan = circuit(program, weights, given, timing, learning_rate, **options).build()
    if biology:
        program = biology.embody(plan, program, timing, kind)
    if not target:
        return Planned(program, plan)
    built = execute(program, plan, target)
    if guards:
        built.guards, built.findings = guards, foretold
    return built
