"""Which weights a pathway has on a network: one matrix per edge, tied ones by name, a bias per layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from neurolearn import sparse
from neurolearn.layers import Layers
from neurolearn.pathway import SAME_SYNAPSE, Pathway, Tied
from neurolearn.program import Derivation, Weight


class Wiring:
    """Weights come into being when an edge is asked for."""

    def __init__(self, layers: Layers, pathways: Mapping[str, Pathway]):
        self.layers, self.network, self.pathways = layers, layers.network, pathways
        self.weights: dict[str, Weight] = {}

    def edges(self, pathway: str, layer: int) -> list[tuple[str, int, str | None]]:
        """(kind, source layer, weight name or None) of each edge of a pathway into a layer."""
        source, top = self.pathways[pathway].source, self.network.output
        if source in ("below", "above") and layer > top:
            found = []
        elif source == "below":
            found = [(c.source, c.kind, c.mask) for c in self.network.below(layer)]
        elif source == "above":
            found = [
                (c.target, c.kind, None if c.mask is None else np.asarray(c.mask).T) for c in self.network.above(layer)
            ]
        elif source == "output":
            found = [(top, "dense", None)] if layer != top else []
        elif source == "top":
            found = [(c.source, "dense", None) for c in self.network.below(top)]
        elif source in self.layers.populations:
            found = [(self.layers.number(source), "dense", None)]
        else:
            found = [(layer, "dense", None)]
        return [
            ("identity", k, None) if kind == "identity" else ("weight", k, self._matrix(pathway, layer, k, mask))
            for k, kind, mask in found
        ]

    def bias(self, pathway: str, layer: int) -> str:
        """Name of the bias of a pathway in a layer."""
        name = f"{self.pathways[pathway].bias}_{layer}"
        self.weights.setdefault(name, Weight(name, pathway, layer, None, (self.layers.sizes[layer],)))
        return name

    def bias_owner(self, name: str, layer: int) -> str | None:
        """The pathway whose bias has that name in the equations; the input layer has none."""
        return next((p for p, kind in self.pathways.items() if kind.bias == name and layer > 0), None)

    def _matrix(self, pathway: str, layer: int, source: int, mask: np.ndarray | None) -> str:
        name, kind = f"{pathway}_{layer}_{source}", self.pathways[pathway]
        if name in self.weights:
            return name
        shape = (self.layers.sizes[layer], self.layers.sizes[source])
        lateral = kind.source == "here" and not kind.self_connections
        if kind.connection is not None:
            mask = sparse.drawn(kind.connection, shape, self.network.structure, name, lateral=lateral)
        elif lateral:
            mask = ~np.eye(shape[0], dtype=bool)
        sign = self.network.polarity(layer)[:, None] if kind.coherent and source else None
        weight = Weight(name, pathway, layer, source, shape, mask=mask, sign=sign)
        if isinstance(kind.weights, Tied):
            weight = self._follow(weight, kind.weights)
        self.weights[name] = weight
        return name

    def _forward(self, pathway: str, layer: int, source: int) -> str:
        """The matrix of a pathway from below, which has the synapses of the connection."""
        mask = next((c.mask for c in self.network.below(layer) if c.source == source), None)
        return self._matrix(pathway, layer, source, mask)

    def _follow(self, weight: Weight, tied: Tied) -> Weight:
        """The same weight, tied."""
        mask = None if weight.mask is None else weight.mask.T
        if "path" in tied.how:
            of = tuple(self._forward(tied.of, k, k - 1) for k in range(weight.target + 1, weight.source + 1))
        else:
            of = (self._matrix(tied.of, weight.source, weight.target, mask),)
            base = self.weights[of[0]].mask
            weight = replace(weight, mask=None if base is None else base.T)
        if tied.how in SAME_SYNAPSE and not tied.at_start:
            return replace(weight, tie=(of[0], SAME_SYNAPSE[tied.how]), how=tied.how)
        derivation = Derivation(tied.how, of, tied.damping)
        if tied.at_start:
            return replace(weight, start=derivation, how=tied.how)
        return replace(weight, derived=derivation, how=tied.how, mask=None)
