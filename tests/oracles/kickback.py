r"""Kickback: a unit's influence is what the whole next layer's activity would do if the unit fired a little more."""

from __future__ import annotations

import numpy as np

from oracles.net import TINY, Mean, Pass, passes


def influence(net: Pass, layer: int) -> np.ndarray:
    r"""$\tau_j = \partial (\sum_k h_k) / \partial h_j$ over the layer above, by complex steps; its potential, at the output."""
    moved = net.h[layer][:, None] + 1j * TINY * np.eye(net.sizes[layer])
    above = net.matrix(layer + 1) @ moved + net.weights[f"b_{layer + 1}"][:, None]
    if layer + 1 < net.top:
        above = net.signs[layer + 1][:, None] * net.f(above)
    return above.sum(0).imag / TINY


def kickback(sizes, activation, weights, x, teacher, constants, draws, loss="squared", polarity=None):
    r"""$\Delta w_{ij} = \beta \tau_j g_j h_i$ with one number $\beta = t - o$ for all; $\tau = 1$ at the output."""
    mean = Mean()
    for _, net in passes(sizes, activation, weights, x, teacher, loss, polarity):
        beta = float(net.error.sum())
        for layer in range(1, net.top + 1):
            tau = influence(net, layer) if layer < net.top else np.ones(sizes[-1])
            mean.forward(net, layer, beta * tau * net.d[layer])
    return mean.over(len(x))
