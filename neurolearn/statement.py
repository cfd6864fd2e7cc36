"""What a rule states about itself: the networks that it is for, and what it equals, tends to or is on average."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Nets:
    """Networks that a rule is for. ``verify`` measures it on these; chain and scalar are required of every network.

    shapes: sizes of the first net (small; all edges) and of those that ``--full`` adds. activations: of the hidden
    layers, the first for slopes. signed: with units of fixed polarity. chain: no skip connections. scalar: one output.
    """

    shapes: tuple[tuple[int, ...], ...] = ((12, 10, 8, 4), (9, 12, 10, 7, 5))
    activations: tuple[str, ...] = ("tanh", "relu")
    signed: bool = False
    chain: bool = False
    scalar: bool = False


@dataclass(frozen=True)
class Identity:
    """The rule equals ``equals`` at finite parameters once some weights are set; <= tolerance in float64.

    set: pathway -> "transpose" (of the forward weight on the same edge), "path transpose" (of the product of all forward
    weights from there to the output) or "orthogonal" (rows or columns, whichever are fewer). equals: "backprop" or a
    function like ``Limit.equals``. linear: the statement is about a network of linear units. weights: pathways that it
    is about (all that learn, if none are named).
    """

    equals: str | Callable = "backprop"
    set: Mapping[str, str] = field(default_factory=dict)
    linear: bool = False
    tolerance: float = 1e-10
    weights: tuple[str, ...] = ()


@dataclass(frozen=True)
class Limit:
    """As ``parameter`` goes to 0 over ``values`` the rule tends to ``equals`` with the stated order.

    equals: "backprop" or a function (network, weights, x, teacher, constants) -> {weight name: change}, in NumPy from
    the paper. set: as of Identity. Weights whose change equals the limit at every value count as exact; the order is
    asked of the others.
    """

    parameter: str
    equals: str | Callable
    order: float = 1.0
    values: tuple[float, ...] = (1e-1, 1e-2, 1e-3, 1e-4)
    tolerance: float = 0.1
    set: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Expectation:
    r"""The mean change over draws of the rule's own noise is ``equals``: within 4 standard errors, which fall as $N^{-1/2}$.

    equals: function like ``Limit.equals``; it may name some of the weights only. set: as of Identity. draws: N.
    """

    equals: Callable
    draws: int = 4000
    set: Mapping[str, str] = field(default_factory=dict)
    tolerance: float = 4.0
