"""Pathways: where signals come from, what the first weights are, and which weights follow others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import isfinite
from numbers import Real

import numpy as np

from neurolearn import sparse
from neurolearn.errors import InputError

SAME_SYNAPSE = {"transpose": 1.0, "negated transpose": -1.0, "retrograde": 1.0}
DERIVED = ("pseudo-inverse", "sign", "path transpose", "negated path transpose")


@dataclass(frozen=True)
class Normal:
    """Independent normal weights of standard deviation ``scale / sqrt(fan_in)``."""

    scale: float = 1.0

    def __call__(self, rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
        """Weights (to, from) drawn from rng."""
        return rng.normal(0.0, self.scale / np.sqrt(shape[1]), shape)


@dataclass(frozen=True)
class Uniform:
    """Independent weights, uniform in ``+- scale / sqrt(fan_in)``."""

    scale: float = 1.0

    def __call__(self, rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
        """Weights (to, from) drawn from rng."""
        return rng.uniform(-self.scale, self.scale, shape) / np.sqrt(shape[1])


@dataclass(frozen=True)
class Mean:
    """Every weight is ``1 / fan_in``: the target hears the mean of the source layer."""

    def __call__(self, rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
        """The constant weights."""
        return np.full(shape, 1.0 / shape[1])


@dataclass(frozen=True)
class Orthogonal:
    """Random weights with orthonormal rows or columns, whichever are fewer: square ones are orthogonal (Haar)."""

    scale: float = 1.0

    def __call__(self, rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
        """Weights (to, from) drawn from rng."""
        q, r = np.linalg.qr(rng.normal(size=(max(shape), min(shape))))
        q = q * np.sign(np.diag(r))
        return self.scale * (q if shape[0] >= shape[1] else q.T)


@dataclass(frozen=True)
class Diagonal:
    """``scale`` times the identity matrix: a lateral pathway on which every cell hears only itself at the start."""

    scale: float = 1.0

    def __call__(self, rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
        """The constant weights."""
        return self.scale * np.eye(*shape)


@dataclass(frozen=True)
class Tied:
    r"""Weights that follow another pathway's. What is tied, and for how long, stands in the ledger.

    how: "transpose" and "negated transpose" are one synapse read in both directions; "retrograde" is the same, for a
    signal that runs back along its own forward synapse. "pseudo-inverse" is $W^\top (W W^\top + d I)^{-1}$ with
    ``damping`` d ($W^+$ at 0), "sign" is $\mathrm{sign}(W)^\top$ times the mean of $|W|$, "path transpose" and
    "negated path transpose" are the transposed product of all matrices from the receiving layer up to the output.
    at_start: only the first weights are so; afterwards the pathway goes its own way.
    """

    of: str
    how: str = "transpose"
    damping: float = 0.0
    at_start: bool = False

    def __post_init__(self) -> None:
        if self.how not in (*SAME_SYNAPSE, *DERIVED):
            raise InputError(f"Tied: how is {self.how!r}; choose one of {', '.join((*SAME_SYNAPSE, *DERIVED))}.")
        if not (isinstance(self.damping, Real) and isfinite(self.damping) and self.damping >= 0):
            raise InputError(f"Tied: damping is {self.damping!r}; give a number that is not negative.")
        if self.damping and self.how != "pseudo-inverse":
            raise InputError(f"Tied: damping belongs to 'pseudo-inverse', not to {self.how!r}.")


@dataclass(frozen=True)
class Pathway:
    """Weights from one layer to another.

    source: where its signals come from, seen from the receiving cell: above, below, output, top (the layers just below
    the output), here (lateral, without self-connections unless ``self_connections``) or the name of a population of the
    rule. weights: an initialiser ``(rng, (to, from)) -> array``, which never sees another weight, or Tied. bias: name
    of a per-cell constant current that is learned with the pathway. coherent: every weight has the sign of the
    postsynaptic unit's polarity, at the start and after every change; those from the input are free. connection: the
    probability of each synapse, drawn for this pathway alone (``sparse.drawn``); without it a pathway along a
    connection of the network has the synapses of that connection, and any other has all.
    """

    source: str
    weights: Callable | Tied = field(default_factory=Normal)
    bias: str | None = None
    self_connections: bool = False
    coherent: bool = False
    connection: float | None = None

    def __post_init__(self) -> None:
        if self.connection is None:
            return
        if isinstance(self.weights, Tied):
            raise InputError(
                f"Pathway: connection is {self.connection!r} and the weights are tied to {self.weights.of}; a tied pathway has "
                "the synapses of the one that it follows."
            )
        sparse.check("Pathway", self.connection)


@dataclass(frozen=True)
class Population:
    """Cells that a rule adds to the network: how many, and their equations in the main text. They have no defaults."""

    size: int
    text: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.size, int) or isinstance(self.size, bool) or self.size < 1:
            raise InputError(f"Population: size is {self.size!r}; give a positive integer.")
