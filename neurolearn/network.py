"""Networks: layers in an order, and the connections between them. Structure only; weights are kept apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from neurolearn import activations, quantity, sparse
from neurolearn.errors import InputError

LOSSES = ("squared", "cross_entropy")


@dataclass(frozen=True, eq=False)
class Connection:
    """An edge from layer ``source`` to layer ``target``.

    kind: "dense" (learned matrix), "masked" (learned where ``mask`` is true; mask: (n_target, n_source)) or "identity"
    (fixed one-to-one; both layers have the same size). Feedback runs back along the same edge, masked alike.
    """

    source: int
    target: int
    kind: str = "dense"
    mask: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Network:
    """A directed acyclic graph of layers 0 (input) to L (output).

    sizes: units per layer. connections: edges from a lower to a higher layer; default is the chain. activation: of the
    hidden layers. loss: "squared" (linear output, 1/2 |teacher - rate|^2) or "cross_entropy" (softmax output); both
    make ``teacher - rate`` the exact negative gradient at the output potential. signed: hidden units have a fixed
    polarity s, +1 in the first half of each layer and -1 in the second, and the rate s*f(potential). connection: the
    probability of each synapse of a dense connection, which becomes a masked one. structure: seed of what synapses there
    are, also of a rule's own sparse pathways; weights have another.
    """

    sizes: tuple[int, ...]
    connections: tuple[Connection, ...] = ()
    activation: activations.Activation = field(default=activations.tanh)
    loss: str = "squared"
    signed: bool = False
    connection: float = 1.0
    structure: int = 0

    def __post_init__(self) -> None:
        sizes = tuple(quantity.whole("sizes", n, 1) for n in self.sizes)
        if len(sizes) < 2:
            raise InputError(f"sizes is {self.sizes}; give at least an input and an output size, all positive.")
        object.__setattr__(self, "sizes", sizes)
        object.__setattr__(self, "activation", activations.get(self.activation))
        if self.loss not in LOSSES:
            raise InputError(f"loss is {self.loss!r}; choose one of {', '.join(LOSSES)}.")
        edges = self.connections or tuple(Connection(k, k + 1) for k in range(len(sizes) - 1))
        object.__setattr__(self, "connections", tuple(sorted(edges, key=lambda c: (c.target, c.source))))
        sparse.check("Network", self.connection)
        self._check_connections()
        if self.connection < 1:
            object.__setattr__(self, "connections", tuple(map(self._thinned, self.connections)))

    def _thinned(self, c: Connection) -> Connection:
        if c.kind != "dense":
            return c
        shape = (self.sizes[c.target], self.sizes[c.source])
        mask = sparse.drawn(self.connection, shape, self.structure, "network", c.target, c.source)
        return replace(c, kind="masked", mask=mask)

    def _check_connections(self) -> None:
        seen = set()
        for c in self.connections:
            name = f"connection {c.source} -> {c.target}"
            if not (0 <= c.source < len(self.sizes) and 0 < c.target < len(self.sizes)):
                raise InputError(f"{name}: layers are numbered 0 to {self.output}.")
            if c.source >= c.target:
                raise InputError(f"{name}: an edge runs from a lower to a higher layer (cycles need a delay).")
            if (c.source, c.target) in seen:
                raise InputError(f"{name}: stands twice; one connection joins two layers.")
            seen.add((c.source, c.target))
            shape = (self.sizes[c.target], self.sizes[c.source])
            if c.kind == "identity" and shape[0] != shape[1]:
                raise InputError(f"{name}: an identity needs equal sizes, not {shape[1]} and {shape[0]}.")
            if c.kind == "masked" and (c.mask is None or np.shape(c.mask) != shape):
                raise InputError(f"{name}: mask must have the shape (to, from) = {shape}.")
            if c.kind not in ("dense", "masked", "identity"):
                raise InputError(f"{name}: kind is {c.kind!r}; choose dense, masked or identity.")
        for layer in range(1, len(self.sizes)):
            if not any(c.target == layer for c in self.connections):
                raise InputError(f"layer {layer} receives no connection; connect a lower layer to it.")
            if layer < self.output and not any(c.source == layer for c in self.connections):
                raise InputError(f"layer {layer} sends no connection; connect it to a higher layer.")

    @property
    def output(self) -> int:
        """Index of the output layer."""
        return len(self.sizes) - 1

    def kind(self, layer: int) -> str:
        """ "input", "hidden" or "output"."""
        return "input" if layer == 0 else "output" if layer == self.output else "hidden"

    def polarity(self, layer: int) -> np.ndarray:
        """Sign of every unit of a layer: (units,) of 1, or of 1 and then -1 in the hidden layers of a signed network."""
        size = self.sizes[layer]
        if not self.signed or self.kind(layer) != "hidden":
            return np.ones(size)
        return np.where(np.arange(size) < (size + 1) // 2, 1.0, -1.0)

    def is_chain(self) -> bool:
        """Whether every layer hears the layer below it, through weights, and nothing else."""
        return all(c.source == c.target - 1 and c.kind != "identity" for c in self.connections)

    def below(self, layer: int) -> tuple[Connection, ...]:
        """Connections that end at this layer."""
        return tuple(c for c in self.connections if c.target == layer)

    def above(self, layer: int) -> tuple[Connection, ...]:
        """Connections that start at this layer."""
        return tuple(c for c in self.connections if c.source == layer)

    def __str__(self) -> str:
        chain = {(k, k + 1) for k in range(self.output)}
        skips = [f"{c.source}->{c.target}" for c in self.connections if (c.source, c.target) not in chain]
        text = "-".join(map(str, self.sizes)) + (" signed" if self.signed else "") + f" {self.activation.name}"
        text += f", {self.connection:.3g} connected" if self.connection < 1 else ""
        return text + (f", skips {' '.join(skips)}" if skips else "") + (", softmax" if self.loss != "squared" else "")


def mlp(
    sizes: Sequence[int],
    activation: str | activations.Activation = "tanh",
    loss: str = "squared",
    signed: bool = False,
    connection: float = 1.0,
    structure: int = 0,
) -> Network:
    """A chain of layers: ``mlp([64, 64, 32, 10])``. connection, structure: of ``Network``; without them it is dense."""
    return Network(tuple(sizes), (), activations.get(activation), loss, signed, connection, structure)
