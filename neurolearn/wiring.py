"""Which weights a pathway has on a network: one matrix per edge, tied ones by name, a bias per layer."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from neurolearn.network import Network
from neurolearn.program import Weight
from neurolearn.rule import TIES, Pathway, Tied


class Wiring:
    """Weights come into being when an edge is asked for."""

    def __init__(self, network: Network, pathways: Mapping[str, Pathway]):
        self.network, self.pathways = network, pathways
        self.weights: dict[str, Weight] = {}

    def edges(self, pathway: str, layer: int) -> list[tuple[str, int, str | None]]:
        """(kind, source layer, weight name or None) of each edge of a pathway into a layer."""
        source, top = self.pathways[pathway].source, self.network.output
        if source == "below":
            found = [(c.source, c.kind, c.mask) for c in self.network.below(layer)]
        elif source == "above":
            found = [
                (c.target, c.kind, None if c.mask is None else np.asarray(c.mask).T) for c in self.network.above(layer)
            ]
        elif source == "output":
            found = [(top, "dense", None)] if layer != top else []
        else:
            found = [(layer, "dense", None)]
        return [
            ("identity", k, None) if kind == "identity" else ("weight", k, self._matrix(pathway, layer, k, mask))
            for k, kind, mask in found
        ]

    def bias(self, pathway: str, layer: int) -> str:
        """Name of the bias of a pathway in a layer."""
        name = f"{self.pathways[pathway].bias}_{layer}"
        self.weights.setdefault(name, Weight(name, pathway, layer, None, (self.network.sizes[layer],)))
        return name

    def bias_owner(self, name: str, layer: int) -> str | None:
        """The pathway whose bias has that name in the equations; the input layer has none."""
        return next((p for p, kind in self.pathways.items() if kind.bias == name and layer > 0), None)

    def _matrix(self, pathway: str, layer: int, source: int, mask: np.ndarray | None) -> str:
        name, kind = f"{pathway}_{layer}_{source}", self.pathways[pathway]
        if name not in self.weights:
            shape = (self.network.sizes[layer], self.network.sizes[source])
            if kind.source == "here" and not kind.self_connections:
                mask = ~np.eye(shape[0], dtype=bool)
            tie = None
            if isinstance(kind.weights, Tied):
                base = self._matrix(kind.weights.of, source, layer, None if mask is None else mask.T)
                tie = (base, TIES[kind.weights.how])
            self.weights[name] = Weight(name, pathway, layer, source, shape, tie, mask)
        return name
