r"""Where the weights of a rule stand in a circuit, and how one weight is made of what its synapses learned.

A weight may have several homes: copies in other populations (placement ``cells``), parts by presynaptic signal, the synapses
of a cell and of its inhibitory partner (Dale's law), the synapses between all cells of two units. Within a segment each
learns from its own two cells. At the end the weight takes the sum of the changes, each the mean over the cells of a unit,

.. math:: w \leftarrow w + \sum_{\mathrm{homes}} \langle \Delta w \rangle_{\mathrm{cells}},

never beyond zero under Dale's law; and all homes start the next segment with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from neurolearn.circuit.biology.crowd import spread, units
from neurolearn.circuit.plan import CircuitPlan
from neurolearn.errors import InputError
from neurolearn.program import Program, Weight


@dataclass(frozen=True)
class Home:
    """One place of a weight. key: of its value in the state; rate: of its learning rate, if it learns. units: (copy, to, from)
    of each synapse, or None for a bias. cells: per unit. sign: under Dale's law, that of these synapses' weights; else 0.
    """

    weight: str
    key: str
    rate: str
    units: np.ndarray | None
    cells: int = 1
    sign: float = 0.0

    def vector(self, weight: np.ndarray) -> np.ndarray:
        """What stands here for a weight (to, from). Raises InputError if Dale's law would be broken."""
        whole = spread(np.asarray(weight, float), self.cells) if self.cells > 1 else weight
        found = whole if self.units is None else whole[self.units[1], self.units[2]]
        if not self.sign:
            return found
        if (self.sign * found < 0).any():
            raise InputError(
                f"dale: {self.weight} would change its sign; give weights with the signs with which the circuit was built, or "
                "leave biology.dale out."
            )
        return np.abs(found)

    def after(self, vector: np.ndarray, before: np.ndarray) -> np.ndarray:
        """The weight, if it were only here that it changed from ``before``."""
        if self.cells > 1:
            whole = np.zeros([size * self.cells for size in before.shape])
            place = ... if self.units is None else (self.units[1], self.units[2])
            whole[place] = self._signed(vector) - self._signed(self.vector(before))
            return before + units(whole, self.cells)
        if self.units is None:
            return np.array(vector)
        found = np.array(before)
        found[self.units[1], self.units[2]] = self._signed(vector)
        return found

    def _signed(self, vector: np.ndarray) -> np.ndarray:
        return self.sign * vector if self.sign else vector


def base(weight: Weight) -> str:
    """Name of the weight of the rule that synapses or a bias of the circuit are (a copy of)."""
    return f"b_{weight.target}" if weight.source is None else f"{weight.pathway}_{weight.target}_{weight.source}"


def homes(program: Program, plan: CircuitPlan, dale: bool = False) -> dict[str, list[Home]]:
    """{weight of the rule: its homes}; program: of the plan. Fixed one-to-one weights (``crowd``) stay as they are built."""
    found: dict[str, list[Home]] = {}
    plastic, n = program.plastic_weights(), program.crowd
    for s in plan.synapses:
        if s.w is not None and not s.name.startswith("identity_"):
            rate, name = f"{s.name}.learning_rate" if s.name in plastic else "", base(program.weights[s.name])
            found.setdefault(name, []).append(Home(name, f"{s.name}.w", rate, s.units, n, s.sign if dale else 0.0))
    for cell, group in zip(program.cells, plan.groups, strict=True):
        for bias, weight in cell.biases.items():
            rate, name = f"{group.name}.learning_rate_{bias}" if weight in plastic else "", base(program.weights[weight])
            found.setdefault(name, []).append(Home(name, f"{group.name}.{bias}", rate, None, n))
    return found


def follow(places: list[Home], state: Mapping[str, np.ndarray], before: np.ndarray) -> np.ndarray:
    """The weight after a segment that left its homes in ``state``; before: at its start."""
    after = [home.after(state[home.key], before) for home in places if home.rate]
    found = after[0] if len(places) == 1 else before + sum(a - before for a in after)
    for home in (home for home in places if home.sign):  # the sum may go where no synapse alone went
        signs = np.zeros([size * home.cells for size in found.shape])
        signs[home.units[1], home.units[2]] = home.sign
        signs = units(signs, home.cells) if home.cells > 1 else signs
        found = np.where(signs * found < 0, 0.0, found)
    return found
