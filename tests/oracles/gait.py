r"""GAIT-prop: per-layer differences, the published form, the tower of auxiliary units, and the local regulariser."""

from __future__ import annotations

import numpy as np

from oracles.net import Mean, Pass, passes
from oracles.targets import inverse_of, top_target, unread


def difference(mean: Mean, net: Pass, gamma: float) -> None:
    r"""$e_{l-1} = (g_l(h_l + \gamma D_l^2 e_l) - g_l(h_l)) / \gamma$, $\delta_l = D_l e_l$."""
    error, value = net.error, net.a[net.top]
    mean.forward(net, net.top, error)
    for layer in net.descends():
        g = inverse_of(net, layer + 1)
        error = (g(value + gamma * net.d[layer + 1] ** 2 * error) - g(value)) / gamma
        value = net.h[layer]
        mean.forward(net, layer, net.d[layer] * error)


def gait_prop(sizes, activation, weights, x, teacher, constants, draws, loss="squared", polarity=None):
    """One step of the increment in each layer on its own."""
    mean = Mean()
    for _, net in passes(sizes, activation, weights, x, teacher, loss, polarity):
        difference(mean, net, constants["gamma"])
    return mean.over(len(x))


def gait_prop_published(sizes, activation, weights, x, teacher, constants, draws, loss="squared", polarity=None):
    r"""$\hat h_{l-1} = g_l(h_l + \gamma D_l^2 (\hat h_l - h_l))$, completed with what W does not read; over $\gamma^{L-l}$."""
    mean, gamma = Mean(), constants["gamma"]
    for _, net in passes(sizes, activation, weights, x, teacher, loss, polarity):
        value, target = top_target(net, 1.0)
        mean.forward(net, net.top, net.error)
        for layer in net.descends():
            moved = value + gamma * net.d[layer + 1] ** 2 * (target - value)
            target, value = inverse_of(net, layer + 1)(moved) + unread(net, layer), net.h[layer]
            mean.forward(net, layer, net.d[layer] * (target - value) * gamma ** (layer - net.top))
    return mean.over(len(x))


def published_tower(sizes, activation, weights, x, teacher, constants, draws, loss="squared", polarity=None):
    """The published form where a layer reads the first units of the one below only, as many as it has itself.

    Square inverses by solving; the auxiliary units, which nobody reads, get their own forward value as their target.
    """
    mean, gamma = Mean(), constants["gamma"]
    for _, net in passes(sizes, activation, weights, x, teacher, loss, polarity):
        value, target = top_target(net, 1.0)
        mean.forward(net, net.top, net.error)
        for layer in net.descends():
            size = sizes[layer + 1]
            moved = value + gamma * net.d[layer + 1] ** 2 * (target - value)
            logits = moved if layer + 1 == net.top else net.inverse(moved)
            read = np.linalg.solve(net.matrix(layer + 1)[:, :size], logits - weights[f"b_{layer + 1}"])
            value = net.h[layer]
            target = np.concatenate([read, value[size:]])
            mean.forward(net, layer, net.d[layer] * (target - value) * gamma ** (layer - net.top))
    return _read_only(mean.over(len(x)), sizes)


def difference_tower(sizes, activation, weights, x, teacher, constants, draws, loss="squared", polarity=None):
    """The per-layer difference on the same tower."""
    mean, gamma = Mean(), constants["gamma"]
    for _, net in passes(sizes, activation, weights, x, teacher, loss, polarity):
        error, value = net.error, net.a[net.top]
        mean.forward(net, net.top, error)
        for layer in net.descends():
            size = sizes[layer + 1]
            moved = value + gamma * net.d[layer + 1] ** 2 * error
            there = [u if layer + 1 == net.top else net.inverse(u) for u in (moved, value)]
            square, bias = net.matrix(layer + 1)[:, :size], weights[f"b_{layer + 1}"]
            read = np.linalg.solve(square, there[0] - bias) - np.linalg.solve(square, there[1] - bias)
            error, value = np.concatenate([read / gamma, np.zeros(sizes[layer] - size)]), net.h[layer]
            mean.forward(net, layer, net.d[layer] * error)
    return _read_only(mean.over(len(x)), sizes)


def _read_only(changes: dict[str, np.ndarray], sizes) -> dict[str, np.ndarray]:
    """Synapses that are not there do not change."""
    for layer in range(1, len(sizes)):
        changes[f"W_{layer}_{layer - 1}"][:, sizes[layer] :] = 0
    return changes


def gait_prop_orthogonal(sizes, activation, weights, x, teacher, constants, draws, loss="squared", polarity=None):
    r"""Less $4 s\,[W W^\top W \xi \xi^\top - W \odot 1 (W^\top W \xi \odot \xi)^\top]$ for the noise of each layer."""
    mean = Mean()
    for n, net in passes(sizes, activation, weights, x, teacher, loss, polarity):
        difference(mean, net, constants["gamma"])
        for layer in range(1, net.top + 1):
            w, xi = net.matrix(layer), draws[f"noise_straighten_{layer - 1}"][n]
            gram = w.T @ w
            straight = w @ gram @ np.outer(xi, xi) - w @ np.diag(np.diag(gram @ np.outer(xi, xi)))
            mean.add(f"W_{layer}_{layer - 1}", -4 * constants["strength"] * straight)
    return mean.over(len(x))
