"""What spiking simulations draw before they start: potentials, thresholds, Poisson spikes; and how signals are coded.

Both spiking realisations take these arrays, so that they can be compared spike for spike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from neurolearn.activations import Membrane
from neurolearn.errors import InputError
from neurolearn.program import Cell, Program
from neurolearn.streams import stream
from neurolearn.timing import Timing

SATURATED = 20.0  # thresholds of charge that a coding cell may owe at the end before its signal counts as lost


@dataclass(frozen=True)
class Code:
    """How one signal of one cell is sent. kind: one of ``timing.CODINGS``, membrane, own (a user's cell), heard
    (a cell outside) or drawn (Poisson).
    """

    cell: int
    signal: str
    kind: str
    unit_rate: float
    membrane: Membrane | None = None
    drive: str = ""
    own: object | None = None


def codes(program: Program, timing: Timing) -> list[Code]:
    """The code of every transmitted signal, cell by cell.

    A signal ``x = f(potential)`` whose activation is a cell's own f-I curve is sent by that cell; input that is the data
    itself may be Poisson; everything else goes as ``timing.codings`` says, through opponent pairs if it says nothing.
    Raises InputError for a coding of a signal to which none can be given.
    """
    found = []
    for k, cell in enumerate(program.cells):
        for name in cell.sent:
            forms = set(cell.signal(name).forms.values())
            form = next(iter(forms)) if len(forms) == 1 else None
            own = form is not None and form.kind == "call" and form.value == "f" and form.args[0].kind == "name"
            own = own and cell.kind != "input"
            if own and cell.activation.membrane:
                membrane = cell.activation.membrane
                found.append(Code(k, name, "membrane", membrane.unit, membrane, form.args[0].value))
            elif own and cell.activation.cell:
                measured = cell.activation.cell
                found.append(Code(k, name, "own", measured.unit_hz, None, form.args[0].value, measured))
            elif timing.encoding == "poisson" and _is_data(cell, name):
                found.append(Code(k, name, "drawn", timing.rate_of(name)))
            else:
                found.append(Code(k, name, timing.codings.get(name, "opponent"), timing.rate_of(name)))
    for name in timing.codings:
        if not any(code.signal == name and code.kind == timing.codings[name] for code in found):
            free = sorted({code.signal for code in found if code.kind not in ("membrane", "own", "drawn")})
            raise InputError(
                f"codings names {name!r}, which no cell of {program.name} sends by a coding of its choice; these have one: "
                f"{', '.join(free)}."
            )
    return found


def check_names(program: Program, timing: Timing) -> None:
    """Raises InputError for an entry of ``taus`` or ``unit_rates`` that nothing in the program has.

    An entry for ``error``, which most rules send, may stand in settings that serve several rules.
    """
    calls = {c.key for cell in program.cells for c in cell.compartments}
    pathways = {key.split(".")[0] for key in calls} | {"trace", "apical"}
    for name in timing.taus:
        if name not in calls and name not in pathways and not name.startswith("apical."):
            raise InputError(
                f"Timing: taus names {name!r}; in {program.name} a time constant is of {', '.join(sorted(calls | pathways))}."
            )
    signals = {signal.name for cell in program.cells for signal in cell.signals} | {s for cell in program.cells for s in cell.sent}
    for name in timing.unit_rates:
        if name not in signals | {"error"}:
            sent = sorted({s for cell in program.cells for s in cell.sent})
            raise InputError(f"Timing: unit_rates names {name!r}; what {program.name} sends is {', '.join(sent)}.")


def start_potentials(program: Program, timing: Timing, batch: int) -> dict[str, np.ndarray]:
    """{signal_cell: initial ON potential (cells, batch, units)}; the OFF cell of an opponent pair starts at minus it."""
    values = {}
    for code in codes(program, timing):
        rng = stream(timing.seed, "potentials", code.signal, program.cells[code.cell].title)
        shape = (timing.cells, batch, program.cells[code.cell].size // program.crowd)
        low = -1.0 if code.kind == "opponent" else 0.0
        drawn = np.zeros(shape) if code.kind == "drawn" else rng.uniform(low, 1.0, shape)
        values[f"{code.signal}_{code.cell}"] = _beside(drawn, 0)[None] if program.crowd > 1 else drawn
    return values


def thresholds(program: Program, timing: Timing, batch: int) -> dict[int, np.ndarray]:
    """{cell: threshold (batch, units)}: 1, or up to ``jitter`` above it, off any lattice of the inputs."""
    return {
        k: 1.0 + timing.jitter * np.repeat(_levels(timing, cell.title, batch, cell.size // program.crowd), program.crowd, 1)
        for k, cell in enumerate(program.cells)
    }


def _levels(timing: Timing, title: str, batch: int, units: int) -> np.ndarray:
    return stream(timing.seed, "thresholds", title).uniform(0.1, 1.0, (batch, units))


def poisson(program: Program, timing: Timing, given: Mapping[str, np.ndarray], steps: int) -> dict[str, np.ndarray]:
    """{signal_cell: signed spikes (steps, batch, units)} of the input's signals that are the data itself.

    Each cell of a unit has a train of its own; where cells are not counted one by one (tensors), theirs is the mean.
    Raises InputError if a rate is too high for one spike per step.
    """
    trains = {}
    for code in codes(program, timing):
        if code.kind != "drawn":
            continue
        value = np.asarray(given[f"data_{code.cell}"])[:, :: program.crowd]
        chance = np.abs(value) * code.unit_rate * timing.dt
        if chance.max(initial=0.0) > 0.5:
            raise InputError(
                f"Poisson input: {code.signal} reaches {np.abs(value).max():.3g}, {chance.max():.2g} spikes a "
                "step; lower unit_rate or dt to stay below 0.5."
            )
        rng = stream(timing.seed, "poisson", code.signal)
        each = (rng.random((steps, timing.cells, *value.shape)) < chance) * np.sign(value)
        trains[f"{code.signal}_{code.cell}"] = _beside(each, 1) if program.crowd > 1 else each.mean(1)
    return trains


def _beside(values: np.ndarray, axis: int) -> np.ndarray:
    """The axis that counts the cells of a unit moved behind the units, and merged with them."""
    moved = np.moveaxis(values, axis, -1)
    return moved.reshape(*moved.shape[:-2], -1)


def _is_data(cell: Cell, signal: str) -> bool:
    """Whether a signal of the input is the data in every phase, under whatever name and however long it was kept."""
    if cell.kind != "input":
        return False
    kept = {latch.name: latch.signal for latch in cell.latches}
    while signal != "data":
        signal = kept.get(signal, signal)
        forms = set(cell.signal(signal).forms.values()) if cell.has(signal) else set()
        form = next(iter(forms)) if len(forms) == 1 else None
        if form is None or form.kind != "name":
            return False
        signal = str(form.value)
    return True
