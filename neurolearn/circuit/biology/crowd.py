r"""Several cells per unit: a Program in which every unit is n cells, side by side.

A synapse between two units becomes n x n synapses of the same weight between their cells, each with 1/n of the effect; so
what arrives is the mean over the cells of a unit, which fire n times as many spikes as one. All cells of a unit hear the same and
have potentials (and whatever ``Biology`` gives them) of their own. Every synapse learns from its own two cells; the unit's
weight change is the mean over its synapses. That is what ``tensor.spiking`` does with ``Timing.cells``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from neurolearn.program import Cell, Compartment, Path, Program, Weight


def crowd(program: Program, given: Mapping[str, np.ndarray], weights: Mapping[str, np.ndarray], n: int):
    """(program, given, weights) with n cells for every unit; cell u of unit k is number k*n + u."""
    full = {name: _weight(w, n) for name, w in program.weights.items()}
    values = {name: spread(np.asarray(w), n) for name, w in weights.items()}

    def path(k: int, c: Compartment, p: Path) -> Path:
        if p.kind == "identity" and c.pathway != "apical":  # within a unit, everybody hears everybody
            name, size = f"identity_{c.name}_{k}_{p.source}", program.cells[k].size
            eye = np.kron(np.eye(size), np.ones((n, n)))
            full[name] = Weight(name, c.pathway, k, p.source, eye.shape, mask=eye > 0)
            values[name] = eye
            return replace(p, kind="weight", weight=name, factor=p.factor / n)
        return p if p.kind == "identity" else replace(p, factor=p.factor / n)

    def cell(k: int, old: Cell) -> Cell:
        compartments = tuple(replace(c, paths=tuple(path(k, c, p) for p in c.paths)) for c in old.compartments)
        return replace(old, size=old.size * n, compartments=compartments)

    cells = tuple(cell(k, old) for k, old in enumerate(program.cells))
    outside = {f"{name}_{k}" for k, old in enumerate(cells) for name in old.externals}
    held = {name: np.repeat(value, n, axis=1) if name in outside else value for name, value in given.items()}
    return replace(program, cells=cells, weights=full, crowd=n), held, values


def units(change: np.ndarray, n: int) -> np.ndarray:
    """The mean over the cells of each unit, of a matrix or of a bias."""
    parts = [length for size in change.shape for length in (size // n, n)]
    return change.reshape(parts).mean(axis=tuple(range(1, len(parts), 2)))


def spread(value: np.ndarray, n: int) -> np.ndarray:
    """The same entry for every cell of a unit, or every pair of cells of two."""
    return np.kron(value, np.ones((n,) * value.ndim))


def _weight(weight: Weight, n: int) -> Weight:
    mask = None if weight.mask is None else spread(weight.mask, n) > 0
    sign = None if weight.sign is None else np.repeat(weight.sign, n, axis=0)
    return replace(weight, shape=tuple(size * n for size in weight.shape), mask=mask, sign=sign)
