"""A user's cells in a circuit: their equations in the group that sends the signal, with names that cannot clash.

Variable v of the cells that send ``rate`` is ``v_of_rate``, the constant C is ``C_of_cell``. A spike is the event
``rate_on``. Refractoriness is counted as Brian2 counts it for the event ``spike``, from the last spike instead of from the
clock, which may start again: the trains are those of the NeuronGroup that ``Cell.group`` makes.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from brian2.utils.stringtools import word_substitute

from neurolearn.circuit.own.cell import Cell, line_text, si, unit_text
from neurolearn.circuit.own.curve import Measured
from neurolearn.circuit.plan import GroupPlan
from neurolearn.errors import InputError

LONG_AGO = 1e4  # seconds since the last spike, where there was none


def add(group: GroupPlan, signal: str, drive: str, measured: Measured, unit_rate: str, dt: float, draws: np.ndarray):
    """Add cells that send ``signal`` to a group. drive: the group's potential. draws: (size,) from 0 to 1, for the start.

    Raises InputError if dt is not that of the measured curve, which holds for no other.
    """
    cell = measured.cell
    if abs(dt - measured.dt) > 1e-9 * dt:
        raise InputError(
            f"{cell.name}: its curve was measured in steps of {measured.dt:g} s and the circuit has steps of {dt:g} s; give "
            f"timing=Timing(dt={measured.dt:g}, ...), or measure with dt={dt:g}*second."
        )
    rename = names(cell, signal)
    free, since = rename["not_refractory"], f"since_lastspike_of_{signal}"
    value, unit = si(cell.drive_scale)
    scale = f"{value!r}*{unit}" if unit else repr(value)
    background = f"{float(cell.background)!r}*{unit}" if unit else repr(float(cell.background))
    group.equations.append(
        f"{rename[cell.drive]} = {background} + {scale}*{drive} : {unit or '1'}  # what drives the cell"
    )
    for name, eq in cell.equations.items():
        if name != cell.drive:
            group.equations.append(_line(eq, rename, free))
    condition = f"({word_substitute(cell.threshold, rename)})"
    code = [word_substitute(part.strip(), rename) for part in cell.reset.replace("\n", ";").split(";") if part.strip()]
    if cell.refractory is not None:
        rest = f"timestep({float(cell.refractory)!r}*second, dt)"
        group.equations += [
            f"d{since}/dt = 1 : second",
            f"{free} = timestep({since} + dt, dt) >= {rest} : boolean (constant over dt)",
        ]
        group.values[f"{since}_"] = np.full(group.size, LONG_AGO)
        condition += f" and {free}"
        code.append(f"{since} = 0*second")
    group.events[f"{signal}_on"] = condition
    code.append(f"sent_{signal} += window_open*1/({unit_rate}*window)")
    group.on_event[f"{signal}_on"] = "; ".join(code)
    group.values |= {f"{rename[name]}_": value for name, value in cell.starts(draws).items()}
    group.method = cell.method


def constants(cell: Cell, signal: str) -> dict[str, tuple[float, str]]:
    """The cell's namespace as the circuit's constants: {name: (SI value, unit)}."""
    rename = names(cell, signal)
    return {rename[name]: si(value) for name, value in cell.namespace.items()}


def state(cell: Cell, signal: str) -> set[str]:
    """What of the cell goes on from sample to sample, even where signals start from rest: 0 need not be its rest."""
    rename = names(cell, signal)
    return {rename[name] for name in cell.equations.diff_eq_names} | {f"since_lastspike_of_{signal}"}


def names(cell: Cell, signal: str) -> Mapping[str, str]:
    """What the cell's names are in the circuit."""
    variables = [*cell.equations.names, cell.drive, "not_refractory"]
    return {name: f"{name}_of_{signal}" for name in variables} | {name: f"{name}_of_cell" for name in cell.namespace}


def _line(eq, rename: Mapping[str, str], free: str) -> str:
    """An equation of the cell; in a refractory cell what is marked so stands still."""
    if "unless refractory" not in eq.flags:
        return line_text(eq, rename)
    others = [flag for flag in eq.flags if flag != "unless refractory"]
    end = f" ({', '.join(others)})" if others else ""
    right = word_substitute(eq.expr.code, rename)
    return f"d{rename[eq.varname]}/dt = ({right})*int({free}) : {unit_text(eq.dim)}{end}"
