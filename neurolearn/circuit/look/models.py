"""The neuron models of a plan, as a table says them: each once, with the cells that are of it and the constants it uses.

The text is that of the equations that Brian2 runs; ``x`` stands for the signal that a cell sends, ``U`` for its unit rate.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np

from neurolearn.circuit.plan import CircuitPlan, GroupPlan


@dataclass
class Model:
    """A neuron model. constants: name of the namespace -> its name in the text. cells: "population: signal".

    names: of all constants of the namespace that stand for these, for any of the cells.
    """

    name: str
    dynamics: str
    threshold: str
    reset: str
    constants: dict[str, str] = field(default_factory=dict)
    cells: list[str] = field(default_factory=list)
    names: set[str] = field(default_factory=set)


def models(plan: CircuitPlan) -> list[Model]:
    """The models of all cells that send spikes; those with other values of a constant are another model."""
    found: dict[tuple, Model] = {}
    for k, group in enumerate(plan.groups):
        for signal in dict.fromkeys(event.rpartition("_")[0] for event in group.events):
            if f"{signal}_on" in group.events and not signal.startswith("heard_"):
                model = _model(plan, group, signal, k)
                values = tuple((short, plan.namespace[name]) for name, short in model.constants.items())
                key = (model.name, model.dynamics, model.threshold, model.reset, values)
                first = found.setdefault(key, model)
                first.cells.append(f"{group.name}: {signal}")
                first.names |= set(model.constants)
    return list(found.values())


def thresholds(plan: CircuitPlan) -> np.ndarray:
    """Thresholds of all coding cells."""
    return np.concatenate([np.ravel(g.values["v_th"]) for g in plan.groups if "v_th" in g.values] or [np.zeros(0)])


def _model(plan: CircuitPlan, group: GroupPlan, signal: str, k: int) -> Model:
    """The model of the ON cells of a signal."""
    mine = rf"d?v_{signal}_on\b|d?rest_{signal}\b|d?\w+_of_{signal}\b|dsince_lastspike_of_{signal}\b"
    lines = [line.split(" : ")[0] for line in group.equations if re.match(mine, line)]
    own = any(f"_of_{signal}" in line for line in lines)
    code = [part.strip() for part in group.on_event[f"{signal}_on"].split(";")]
    code = [
        part for part in code if part.startswith(("v_", "rest_")) or f"_of_{signal}" in re.split("[-+*/]?=", part)[0]
    ]
    threshold, text = group.events[f"{signal}_on"], "; ".join([*lines, *code])
    pair, swaps = f"{signal}_off" in group.events, any(part.startswith(f"v_{signal}_off") for part in code)
    if own:
        name = "cell of its own"
    elif not any(line.startswith("d") for line in lines):
        name = "relay of drawn spikes"
    elif any(line.startswith("drest_") for line in lines):
        name = "leaky integrate-and-fire"
    else:
        name = "opponent pair" if swaps else "rectified pair" if pair else "one cell on a base rate"
    used = [
        n for n in plan.namespace if re.search(rf"\b{n}\b", f"{text}; {threshold}") and not n.startswith("unit_rate_")
    ]

    def short(words: str) -> str:
        words = re.sub(rf"\bunit_rate_{signal}_{k}\b", "U", words)
        parts = re.split(rf"\b(\w+)_{signal}_{k}\b", words)  # every second part is a constant of this population
        parts[::2] = [re.sub(rf"\b{signal}\b", "x", part.replace(f"_{signal}", "_x")) for part in parts[::2]]
        return "".join(parts)

    dynamics = "; ".join(lines) or "none"
    return Model(name, short(dynamics), short(threshold), short("; ".join(code)), {n: short(n) for n in used})
