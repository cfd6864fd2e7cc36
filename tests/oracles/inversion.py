r"""Dynamic inversion and Gauss-Newton targets: what their loops settle to, by solving linear systems."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from oracles.net import Mean, Pass, passes

DAMPING = 0.1  # of the inverse in the synapses of ``non_dynamic_inversion``


def layerwise(inverse: Callable[[Pass, int], np.ndarray], *args, **options) -> dict[str, np.ndarray]:
    """Layer by layer: the error above through an inverse (lower, upper) of the matrix in between, times the slopes."""
    mean, (sizes, activation, weights, x, teacher) = Mean(), args
    for _, net in passes(sizes, activation, weights, x, teacher, **options):
        error = net.error
        mean.forward(net, net.top, error)
        for layer in net.descends():
            error = net.d[layer] * (inverse(net, layer) @ error)
            mean.forward(net, layer, error)
    return mean.over(len(x))


def damped(up: np.ndarray, leak: float) -> np.ndarray:
    r"""$(W^\top W + \alpha I)^{-1} W^\top$, the same matrix as $W^\top (W W^\top + \alpha I)^{-1}$."""
    return np.linalg.solve(up.T @ up + leak * np.eye(up.shape[1]), up.T)


def dynamic_inversion(sizes, activation, weights, x, teacher, constants, draws, loss="squared", polarity=None):
    r"""All loops at once are a cascade: each settles to the damped inverse of its own layer, $B = -W^\top$."""
    return layerwise(
        lambda net, layer: damped(net.matrix(layer + 1), constants["leak"]),
        *(sizes, activation, weights, x, teacher),
        loss=loss,
        polarity=polarity,
    )


def non_dynamic_inversion(sizes, activation, weights, x, teacher, constants, draws, loss="squared", polarity=None):
    """The settled matrix itself."""
    return layerwise(
        lambda net, layer: damped(net.matrix(layer + 1), DAMPING),
        *(sizes, activation, weights, x, teacher),
        loss=loss,
        polarity=polarity,
    )


def dynamic_inversion_learned(sizes, activation, weights, x, teacher, constants, draws, loss="squared", polarity=None):
    r"""$\delta = (B W - \alpha I)^{-1} B e$ for any B; and $\Delta B = -\xi (W \xi)^\top - B$ of the mirror phase."""

    def inverse(net: Pass, layer: int) -> np.ndarray:
        back = weights[f"B_{layer}_{layer + 1}"]
        return np.linalg.solve(back @ net.matrix(layer + 1) - constants["leak"] * np.eye(sizes[layer]), back)

    changes = layerwise(inverse, sizes, activation, weights, x, teacher, loss=loss, polarity=polarity)
    for layer in range(1, len(sizes) - 1):
        name, noise = f"B_{layer}_{layer + 1}", draws[f"noise_mirror_{layer}"]
        covariance = sum(np.outer(xi, xi) for xi in noise) / len(noise)
        changes[name] = -covariance @ weights[f"W_{layer + 1}_{layer}"].T - weights[name]
    return changes


def single_loop_dynamic_inversion(
    sizes, activation, weights, x, teacher, constants, draws, loss="squared", polarity=None
):
    r"""$\delta_1 = (M^\top M + \alpha I)^{-1} M^\top e$ with $M = W_L \cdots W_2$, then $\delta_l = W_l \delta_{l-1}$; no slopes."""
    mean = Mean()
    for _, net in passes(sizes, activation, weights, x, teacher, loss, polarity):
        path = np.eye(sizes[1])
        for layer in range(2, net.top + 1):
            path = net.matrix(layer) @ path
        delta = damped(path, constants["leak"]) @ net.error
        for layer in range(1, net.top):
            mean.forward(net, layer, delta)
            delta = net.matrix(layer + 1) @ delta
        mean.forward(net, net.top, net.error)
    return mean.over(len(x))


def gauss_newton_target(sizes, activation, weights, x, teacher, constants, draws, loss="squared", polarity=None):
    r"""$J_i^\top (J_i J_i^\top + \lambda I)^{-1} e$ with $J_i = W_L D_{L-1} W_{L-1} \cdots D_{i+1} W_{i+1}$ as a matrix."""
    mean = Mean()
    for _, net in passes(sizes, activation, weights, x, teacher, loss, polarity):
        mean.forward(net, net.top, net.error)
        jacobian = np.eye(sizes[-1])
        for layer in net.descends():
            jacobian = jacobian @ net.matrix(layer + 1)
            gram = jacobian @ jacobian.T + constants["damping"] * np.eye(sizes[-1])
            mean.forward(net, layer, net.d[layer] * (jacobian.T @ np.linalg.solve(gram, net.error)))
            jacobian = jacobian * net.d[layer]
    return mean.over(len(x))
