r"""Measures on weight changes: how far one points from another, in direction and in size.

A change is an array or a mapping {weight name: array}, such as ``WeightChange.changes``. Of two mappings the weights
that both of them name are compared, as one long vector. A measure that a zero vector leaves without meaning is None.
Raises InputError where two changes do not fit, or are not finite.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from neurolearn.errors import InputError

Change = Mapping[str, np.ndarray] | np.ndarray


def cosine(u: Change, g: Change) -> float | None:
    r"""$\langle u, g \rangle / (|u| |g|)$, from -1 to 1; None if either is zero."""
    u, g = _unit(u, g)
    return None if u is None or g is None else float(np.clip(u @ g, -1.0, 1.0))


def angle(u: Change, g: Change) -> float | None:
    r"""Angle between u and g in degrees, 0 to 180; None if either is zero.

    $2 \arctan(|\hat u - \hat g| / |\hat u + \hat g|)$ of the unit vectors, which keeps its digits near 0 and 180, where
    the arccosine of the cosine has lost half of them. Source: Kahan 2006, How Futile are Mindless Assessments of
    Roundoff in Floating-Point Computation?, section 12.
    """
    u, g = _unit(u, g)
    if u is None or g is None:
        return None
    return float(np.degrees(2.0 * np.arctan2(np.linalg.norm(u - g), np.linalg.norm(u + g))))


def norm_ratio(u: Change, g: Change) -> float | None:
    """$|u| / |g|$; None if g is zero."""
    u, g = _vectors(u, g)
    return _over(np.linalg.norm(u), np.linalg.norm(g))


def relative_error(u: Change, v: Change) -> float | None:
    """$|u - v| / |v|$, how far u is from v; None if v is zero."""
    u, v = _vectors(u, v)
    return _over(np.linalg.norm(u - v), np.linalg.norm(v))


def sign_agreement(u: Change, g: Change) -> float | None:
    """Share of entries with equal signs, 0 to 1, among those that are zero in neither; None if there are none."""
    u, g = _vectors(u, g)
    signed = (u != 0) & (g != 0)
    return float(np.mean(np.sign(u[signed]) == np.sign(g[signed]))) if signed.any() else None


class Estimate(NamedTuple):
    """An estimate with its 95 % interval; None where it is undetermined."""

    value: float | None
    low: float | None
    high: float | None


def corrected_cosine(repeats: Sequence[Change], g: Change) -> Estimate:
    r"""Cosine between g and the *expected* change, from repeated noisy changes $u_1 \dots u_n$ with mean $m$.

    $\langle m, g \rangle / (|g| \sqrt q)$, where $q$ is the mean of $\langle u_i, u_j \rangle$ over $i \ne j$: the
    U-statistic that estimates $|E u|^2$ without the noise, whose variance turns every $u_i$, and m too, away from g. It
    is not cut off at 1, so that averages over it stay unbiased. The interval is the jackknife's, with Student's t on
    n - 1 degrees of freedom. Where noise hides the signal ($q \le 0$) the value is None; where it does so only with one
    of the repeats left out, low and high are. Raises InputError for fewer than three repeats.
    Sources: Hoeffding 1948, doi:10.1214/aoms/1177730196; Tukey 1958, doi:10.1214/aoms/1177706647.
    """
    n = len(repeats)
    if n < 3:
        raise InputError(f"repeats holds {n} change(s); give at least 3, or use cosine for a single one.")
    pairs = [_vectors(u, g) for u in repeats]
    u, g = np.stack([pair[0] for pair in pairs]), pairs[0][1]
    length = np.linalg.norm(g)
    if not length:
        return Estimate(None, None, None)
    along, gram = u @ g / length, u @ u.T
    others = gram - np.diag(np.diag(gram))  # <u_i, u_j> with i != j
    value = _root_ratio(along.mean(), others.sum() / (n * (n - 1)))
    without = [  # the same statistic with repeat i left out
        _root_ratio((along.sum() - a) / (n - 1), (others.sum() - 2.0 * row) / ((n - 1) * (n - 2)))
        for a, row in zip(along, others.sum(1), strict=True)
    ]
    if value is None or None in without:
        return Estimate(value, None, None)
    from scipy.special import stdtrit

    half = stdtrit(n - 1, 0.975) * np.sqrt((n - 1) * np.var(without))
    return Estimate(value, float(value - half), float(value + half))


def by_layer(changes: Mapping[str, np.ndarray]) -> dict[int, np.ndarray]:
    """{layer k: all forward matrices W_k_j into it as one vector, in the order of j}; no biases, no feedback."""
    edges = sorted((int(m[1]), int(m[2]), name) for name in changes if (m := re.fullmatch(r"W_(\d+)_(\d+)", name)))
    layers: dict[int, list[np.ndarray]] = {}
    for layer, _, name in edges:
        layers.setdefault(layer, []).append(np.ravel(changes[name]))
    return {layer: np.concatenate(parts) for layer, parts in layers.items()}


def _vectors(u: Change, g: Change) -> tuple[np.ndarray, np.ndarray]:
    """Both as float64 vectors of the same weights. Raises InputError where they do not fit."""
    if isinstance(u, Mapping) != isinstance(g, Mapping):
        raise InputError("one change is a mapping and the other an array; give two mappings or two arrays.")
    u, g = (change if isinstance(change, Mapping) else {"the change": change} for change in (u, g))
    names = sorted(u.keys() & g.keys())
    if not names:
        raise InputError(f"the changes name no weight in common: {', '.join(u)} against {', '.join(g)}.")
    for name in names:
        if np.shape(u[name]) != np.shape(g[name]):
            raise InputError(f"{name} has shape {np.shape(u[name])} in one change, {np.shape(g[name])} in the other.")
        if not (np.isfinite(u[name]).all() and np.isfinite(g[name]).all()):
            raise InputError(f"{name} is not finite, so it has no direction; was the learning rate too high?")
    return tuple(np.concatenate([np.ravel(np.asarray(c[name], float)) for name in names]) for c in (u, g))


def _unit(u: Change, g: Change) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Both as unit vectors, None for a zero one; scaled first, so that tiny and huge changes keep their direction."""
    scaled = [v / top if (top := np.abs(v).max(initial=0.0)) else None for v in _vectors(u, g)]
    return tuple(None if v is None else v / np.linalg.norm(v) for v in scaled)


def _over(above: float, below: float) -> float | None:
    return float(above / below) if below else None


def _root_ratio(above: float, square: float) -> float | None:
    return float(above / np.sqrt(square)) if square > 0 else None
