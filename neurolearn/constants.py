"""One table of the physiological and conventional numbers that this package starts from, each with its source.

Plain SI numbers, so that nothing here needs Brian2; ``neurolearn.circuit.defaults`` has them as Brian2 quantities.
"""

from __future__ import annotations

from typing import NamedTuple

from neurolearn.errors import InputError

DYNAMICS = "Gerstner et al. 2014, Neuronal Dynamics"
ADEX = "Brette & Gerstner 2005, doi:10.1152/jn.00686.2005"
BENCHMARK = "Brette et al. 2007, doi:10.1007/s10827-007-0038-6, benchmark 1"
HERE = "convention of this package"


class Constant(NamedTuple):
    """A number in SI units. unit: name of the SI unit ("" if it has none). shown: (unit to print in, its size in SI)."""

    value: float
    unit: str
    shown: tuple[str, float]
    meaning: str
    source: str

    def text(self) -> str:
        """The value in the unit that it is usually given in."""
        return f"{self.value / self.shown[1]:g} {self.shown[0]}".strip()


def _seconds(ms: float, meaning: str, source: str) -> Constant:
    return Constant(ms / 1e3, "second", ("ms", 1e-3), meaning, source)


def _volts(mv: float, meaning: str, source: str) -> Constant:
    return Constant(mv / 1e3, "volt", ("mV", 1e-3), meaning, source)


def _siemens(ns: float, meaning: str, source: str) -> Constant:
    return Constant(ns / 1e9, "siemens", ("nS", 1e-9), meaning, source)


def _farads(pf: float, meaning: str, source: str) -> Constant:
    return Constant(pf / 1e12, "farad", ("pF", 1e-12), meaning, source)


def _hertz(hz: float, meaning: str) -> Constant:
    return Constant(hz, "hertz", ("Hz", 1.0), meaning, HERE)


def _number(value: float, meaning: str) -> Constant:
    return Constant(value, "", ("", 1.0), meaning, HERE)


TABLE: dict[str, Constant] = {
    # the leaky integrate-and-fire cell; potentials count from rest (0) to threshold (1)
    "membrane_time": _seconds(20, "membrane time constant of a pyramidal cell (10-20 ms)", f"{DYNAMICS}, ch. 1"),
    "refractory": _seconds(2, "absolute refractory period", f"{DYNAMICS}, ch. 1"),
    "threshold": _number(1, "threshold of a cell without units"),
    "reset": _number(0, "potential after a spike, and rest, of a cell without units"),
    "background": _number(1, "drive without input: the cell sits at threshold"),
    # synapses
    "synapse_decay": _seconds(5, "decay of a fast excitatory current", f"{DYNAMICS}, ch. 3"),
    "excitatory_reversal": _volts(0, "reversal potential of excitatory synapses", f"{DYNAMICS}, ch. 3"),
    "inhibitory_reversal": _volts(-75, "reversal potential of inhibitory synapses", f"{DYNAMICS}, ch. 3"),
    # a leaky cell in volts
    "leaky_capacitance": _farads(200, "capacitance of a leaky cell", BENCHMARK),
    "leaky_conductance": _siemens(10, "leak of a leaky cell", BENCHMARK),
    "leaky_rest": _volts(-60, "rest, and reset, of a leaky cell", BENCHMARK),
    "leaky_threshold": _volts(-50, "threshold of a leaky cell", BENCHMARK),
    "leaky_refractory": _seconds(5, "refractory period of a leaky cell", BENCHMARK),
    # the adaptive exponential cell
    "adex_capacitance": _farads(281, "capacitance", ADEX),
    "adex_conductance": _siemens(30, "leak", ADEX),
    "adex_rest": _volts(-70.6, "rest, and reset", ADEX),
    "adex_threshold": _volts(-50.4, "threshold of the exponential", ADEX),
    "adex_slope": _volts(2, "slope factor", ADEX),
    "adex_time": _seconds(144, "time constant of adaptation", ADEX),
    "adex_coupling": _siemens(4, "adaptation below threshold", ADEX),
    "adex_jump": Constant(80.5e-12, "amp", ("pA", 1e-12), "adaptation per spike", ADEX),
    # rates
    "physiological_rate": _hertz(50, "a signal of 1 at the physiological operating point"),
    "highest_rate": _hertz(200, "no cell is asked for more at the physiological operating point"),
    "unit_rate": _hertz(200, "a signal of 1 elsewhere"),
    "lif_rate": _hertz(100, "a signal of 1 of the activation lif"),
    # the simulation
    "physiological_step": _seconds(0.1, "step at the physiological operating point", HERE),
    "physiological_settle": _seconds(100, "settling of a phase at the physiological operating point", HERE),
    "physiological_window": _seconds(100, "window of a phase at the physiological operating point", HERE),
    "step": _seconds(1, "step elsewhere", HERE),
    "tau": _seconds(10, "synaptic time constant elsewhere", HERE),
    "delay": _seconds(1, "from a spike to its effect: one step", HERE),
    "coding_membrane": Constant(1e6, "second", ("s", 1.0), "membrane of coding cells: perfect integrators", HERE),
    "population": _number(20, "cells per unit where averages are shown"),
}


def si(name: str) -> float:
    """Value in SI units. Raises InputError for a name that is not in the table."""
    if name not in TABLE:
        raise InputError(f"constant {name!r} is not in the table; it has {', '.join(TABLE)}.")
    return TABLE[name].value


def table() -> str:
    """The table as text: name, value, meaning, source."""
    rows = [(name, c.text(), c.meaning, c.source) for name, c in TABLE.items()]
    widths = [max(len(row[k]) for row in rows) for k in range(3)]
    return "\n".join(
        "  ".join([*(part.ljust(w) for part, w in zip(row[:3], widths, strict=True)), row[3]]) for row in rows
    )
