"""Weights that follow other weights: computed from them once, or whenever they have changed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from neurolearn.program import Derivation, Program


def derive(derivation: Derivation, weights: Mapping[str, np.ndarray]) -> np.ndarray:
    """The matrix (to, from) that a tie makes of others (see ``rule.Tied``), in float64."""
    matrices = [np.asarray(weights[name], float) for name in derivation.of]
    first, sign = matrices[0], -1.0 if derivation.how.startswith("negated") else 1.0
    match derivation.how:
        case "pseudo-inverse" if derivation.damping:
            damped = first @ first.T + derivation.damping * np.eye(len(first))
            return np.linalg.solve(damped, first).T
        case "pseudo-inverse":
            return np.linalg.pinv(first)
        case "sign":
            return np.sign(first).T * np.abs(first).mean()
    for matrix in matrices[1:]:  # one for a transpose, all of them for a path
        first = matrix @ first
    return sign * first.T


def complete(program: Program, weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The weights with those that are tied by a computation made anew from the others."""
    made = {w.name: derive(w.derived, weights) for w in program.derived()}
    return {**weights, **made}
