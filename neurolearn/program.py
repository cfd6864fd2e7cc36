"""The Program: what a rule means on a network, as data. The four realisations read this and never the text.

A *cell* is the set of units that share equations (one per layer; the placement ``cells`` has more). State lives in its
*compartments*: each pathway call ``P(signal_above)`` owns one leaky current of the receiving cell. Algebraic signals
are instantaneous inside the cell.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from neurolearn import activations
from neurolearn.equations import Expr
from neurolearn.network import Network


class Node(NamedTuple):
    """A signal of a cell."""

    cell: int
    name: str


@dataclass(frozen=True)
class Derivation:
    """How a matrix follows others: a tie of ``rule.Tied`` and the weights that it is made of, in the order of the path."""

    how: str
    of: tuple[str, ...]
    damping: float = 0.0


@dataclass(frozen=True)
class Weight:
    """A matrix (to, from) of a pathway on one edge, or a bias vector (source is None).

    tie: (name of the other weight, factor) if this one is that one's transpose for ever: one synapse. derived: computed
    from others for ever. start: computed from others once. how: the tie's name. sign: (to, 1), where every weight keeps
    the sign of its row.
    """

    name: str
    pathway: str
    target: int
    source: int | None
    shape: tuple[int, ...]
    tie: tuple[str, float] | None = None
    mask: np.ndarray | None = field(default=None, compare=False, repr=False)
    derived: Derivation | None = None
    start: Derivation | None = None
    how: str = ""
    sign: np.ndarray | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Path:
    """One edge into a compartment: ``signal`` of the cell ``source`` through ``weight``.

    kind: "weight", "identity" (one to one) or "broadcast" (graded sum over the source's units). reverse: the weight is
    read backwards, times ``factor``.
    """

    kind: str
    source: int
    signal: str
    weight: str | None = None
    reverse: bool = False
    factor: float = 1.0


@dataclass(frozen=True)
class Compartment:
    """A leaky current ``tau dI/dt = input - I`` of one cell; its input is the sum over ``paths``."""

    name: str
    call: str
    pathway: str
    paths: tuple[Path, ...]

    @property
    def key(self) -> str:
        """What its time constant is looked up by: "pathway.signal", or the name of a broadcast."""
        return self.name if self.paths[0].kind == "broadcast" else f"{self.pathway}.{self.paths[0].signal}"


@dataclass(frozen=True)
class Signal:
    """A named quantity of a cell. forms: its expression in each phase that needs it (elsewhere it is 0)."""

    name: str
    kind: str  # algebraic | differential
    forms: Mapping[str, Expr]
    lines: Mapping[str, str]


@dataclass(frozen=True)
class Latch:
    """At the end of ``phase`` the unit keeps ``signal`` under ``name``."""

    name: str
    phase: str
    signal: str


@dataclass(frozen=True)
class Cell:
    """Units that share equations: a layer, or one population of it."""

    layer: int
    size: int
    kind: str
    title: str
    activation: activations.Activation
    compartments: tuple[Compartment, ...]
    signals: tuple[Signal, ...]  # in an order in which they can be evaluated
    latches: tuple[Latch, ...]
    sent: tuple[str, ...]  # signals that cross a pathway
    externals: tuple[str, ...]  # given from outside: data, teacher, noise_<phase>, uniform_<phase>, polarity, held_<signal>
    biases: Mapping[str, str]  # name in the equations -> weight

    def signal(self, name: str) -> Signal:
        """The signal of that name."""
        return next(s for s in self.signals if s.name == name)

    def has(self, name: str) -> bool:
        """Whether the cell has that signal."""
        return any(s.name == name for s in self.signals)


@dataclass(frozen=True)
class State:
    """A variable of each synapse, with the right side of its differential equation."""

    name: str
    expr: Expr
    line: str


@dataclass(frozen=True)
class Plastic:
    """What is added to ``weight`` at the end of ``phase``: an expression in post, pre, weight and state."""

    weight: str
    phase: str
    source: int | None
    target: int
    expr: Expr
    states: tuple[State, ...]
    line: str

    def reads(self, side: str) -> set[str]:
        """Signals read at the "post" or "pre" end, by the expression or by the synaptic state."""
        return set().union(*(e.names(side) for e in (self.expr, *(s.expr for s in self.states))))


@dataclass(frozen=True, eq=False)
class Program:
    """Everything that a realisation needs. Built by ``lower(rule, network)``.

    crowd: cells per unit, where they are counted in the sizes of cells and weights (circuits of several cells per unit).
    """

    name: str
    network: Network
    phases: tuple[str, ...]
    cells: tuple[Cell, ...]
    weights: Mapping[str, Weight]
    plastics: tuple[Plastic, ...]
    constants: Mapping[str, float]
    times: Mapping[str, float]  # in units of the synaptic time constant
    closed: Mapping[Node, Expr]  # known fixed points of differential signals
    crowd: int = 1

    def free(self) -> tuple[Weight, ...]:
        """Weights that are synapses of their own, biases included."""
        return tuple(w for w in self.weights.values() if w.tie is None)

    def derived(self) -> tuple[Weight, ...]:
        """Weights that are computed from others whenever those have changed."""
        return tuple(w for w in self.weights.values() if w.derived)

    def plastic_weights(self) -> tuple[str, ...]:
        """Names of the weights that some phase changes."""
        return tuple(dict.fromkeys(p.weight for p in self.plastics))

    def latch(self, cell: int, name: str) -> Latch | None:
        """The latch that fills ``name``, if there is one."""
        return next((k for k in self.cells[cell].latches if k.name == name), None)

    def reads(self, cell: int, expr: Expr) -> Iterator[Node]:
        """Signals that an expression of this cell needs at the same instant, through settled compartments too."""
        here = self.cells[cell]
        for name in sorted(expr.names()):
            if here.has(name):
                yield Node(cell, name)
            for compartment in here.compartments:
                if compartment.name == name:
                    yield from (Node(path.source, path.signal) for path in compartment.paths)

    def states(self, phase: str, *, closed: bool = True) -> list[Node]:
        """Differential signals of a phase; those with a closed form are left out if ``closed``."""
        return [
            Node(k, s.name)
            for k, cell in enumerate(self.cells)
            for s in cell.signals
            if s.kind == "differential" and phase in s.forms and not (closed and Node(k, s.name) in self.closed)
        ]

    def form(self, node: Node, phase: str, *, closed: bool = True) -> Expr:
        """The expression of a signal in a phase (its closed form, where it has one and ``closed``)."""
        if closed and node in self.closed:
            return self.closed[node]
        return self.cells[node.cell].signal(node.name).forms[phase]

    def order(self, phase: str, *, closed: bool = True) -> list[Node]:
        """Signals of a phase in an order in which the settled algebra can be computed; states are taken as given.

        Raises ValueError naming the signals of an algebraic loop.
        """
        states = set(self.states(phase, closed=closed))
        computed = {Node(k, s.name) for k, cell in enumerate(self.cells) for s in cell.signals if phase in s.forms}
        todo = {  # what an earlier phase latched is there already
            Node(k, s.name): (set(self.reads(k, self.form(Node(k, s.name), phase, closed=closed))) & computed) - states
            for k, cell in enumerate(self.cells)
            for s in cell.signals
            if phase in s.forms and Node(k, s.name) not in states
        }
        done: list[Node] = []
        placed: set[Node] = set()
        while todo:
            ready = [node for node, needs in todo.items() if needs <= placed]
            if not ready:
                loop = ", ".join(sorted({node.name for node in todo}))
                raise ValueError(f"an algebraic loop among {loop}; write one of them as d(.)/dt so that it can settle")
            done += ready
            placed.update(ready)
            for node in ready:
                del todo[node]
        return done

    def hold(self, held: Mapping[int, set[str]]) -> Program:
        """The same program in which some signals of some layers are given from outside, as ``held_<signal>``."""
        cells = list(self.cells)
        for k, cell in enumerate(cells):
            for name in sorted(held.get(cell.layer, ())):
                if not cell.has(name):
                    continue
                outside = Expr("name", f"held_{name}")
                signals = tuple(
                    replace(s, kind="algebraic", forms=dict.fromkeys(s.forms, outside)) if s.name == name else s
                    for s in cells[k].signals
                )
                cells[k] = replace(cells[k], signals=signals, externals=(*cells[k].externals, f"held_{name}"))
        closed = {n: e for n, e in self.closed.items() if n.name not in held.get(self.cells[n.cell].layer, ())}
        return replace(self, cells=tuple(cells), closed=closed)


def lower(rule, network: Network) -> Program:
    """Program of a rule on a network: only what plasticity demands. Raises RuleError with the place of the fault."""
    from neurolearn.lowering import Lowering

    return Lowering(rule, network).program()
