"""Sparse connectivity: which synapses there are, drawn once from a named stream and shared by every realisation."""

from __future__ import annotations

from math import isfinite
from numbers import Real

import numpy as np

from neurolearn.errors import InputError


def check(what: str, connection: float) -> None:
    """Raises InputError unless ``connection`` is a probability above 0."""
    number = isinstance(connection, Real) and not isinstance(connection, bool) and isfinite(connection)
    if not number or not 0 < connection <= 1:
        raise InputError(f"{what}: connection is {connection!r}; give the probability of a synapse, above 0 and at most 1.")


def drawn(connection: float, shape: tuple[int, int], seed: int, *names: str | int, lateral: bool = False) -> np.ndarray:
    """Mask (to, from): each synapse is there with this probability, independently.

    A unit that would hear nobody gets one synapse, from a unit drawn at random. lateral: no unit hears itself.
    """
    from neurolearn.streams import stream  # streams know of programs, and those of networks, which may be sparse

    rng = stream(seed, "connection", *names)
    possible = ~np.eye(*shape, dtype=bool) if lateral else np.ones(shape, bool)
    chance = np.where(possible, rng.random(shape), np.inf)
    mask, nearest = chance < connection, chance.argmin(1)
    deaf = ~mask.any(1) & possible.any(1)
    mask[deaf, nearest[deaf]] = True
    return mask
