r"""Difference target propagation and its simplified forms. Inverses descend their own reconstruction error."""

from __future__ import annotations

import numpy as np

from oracles.net import Mean, Pass, descent, passes


def shift(net: Pass, matrix: np.ndarray, to: np.ndarray, at: np.ndarray) -> np.ndarray:
    """g(to) - g(at) for the inverse g(u) = f(Q u)."""
    return net.f(matrix @ to) - net.f(matrix @ at)


def pull(mean: Mean, net: Pass, target: np.ndarray, start: int) -> None:
    """Targets from a layer ``start`` downwards, given its target, and what W learns of them."""
    for layer in range(start, 0, -1):
        if layer < start:
            matrix = net.weights[f"Q_{layer}_{layer + 1}"]
            target = net.h[layer] + shift(net, matrix, target, net.h[layer + 1])
        mean.forward(net, layer, net.d[layer] * (target - net.h[layer]))


def noisy_ascent(mean: Mean, net: Pass, draws, n: int, sigma: float, highest: int) -> None:
    r"""The noise goes up through all layers; Q descends $\frac12 |g(f(\tilde h_l)) - \tilde h_l|^2$, up to ``highest``."""
    probes, rates = {0: net.h[0]}, {}
    for layer in range(1, highest + 2):  # one layer further up there is nothing left to shake
        rates[layer] = net.rate(layer, net.drive(layer, probes[layer - 1]))
        if layer <= highest:
            probes[layer] = rates[layer] + sigma * draws[f"noise_inverse_{layer}"][n]
    for layer in range(1, highest + 1):
        name = f"Q_{layer}_{layer + 1}"
        mean.add(name, descent(lambda q, k=layer: net.f(q @ rates[k + 1]) - probes[k], net.weights[name]))


def difference_target_propagation(
    sizes, activation, weights, x, teacher, constants, draws, loss="squared", polarity=None
):
    """The highest hidden layer takes a gradient step of the loss; decoders below it."""
    mean = Mean()
    for n, net in passes(sizes, activation, weights, x, teacher, loss, polarity):
        mean.forward(net, net.top, net.error)
        if net.top > 2:  # a decoder needs two hidden layers
            noisy_ascent(mean, net, draws, n, constants["sigma"], net.top - 2)
        if net.top > 1:
            gradient = -net.matrix(net.top).T @ net.error
            pull(mean, net, net.h[net.top - 1] - constants["step"] * gradient, net.top - 1)
    return mean.over(len(x))


def dtp_learned_top(sizes, activation, weights, x, teacher, constants, draws, loss="squared", polarity=None):
    """A decoder from the output too; the output's target is a step towards the teacher, its own change is plain."""
    mean = Mean()
    for n, net in passes(sizes, activation, weights, x, teacher, loss, polarity):
        mean.forward(net, net.top, net.error)
        if net.top > 1:
            noisy_ascent(mean, net, draws, n, constants["sigma"], net.top - 1)
            target = net.h[net.top] + constants["step"] * net.error
            below = shift(net, weights[f"Q_{net.top - 1}_{net.top}"], target, net.h[net.top])
            pull(mean, net, net.h[net.top - 1] + below, net.top - 1)
    return mean.over(len(x))


def denoised(net: Pass, layer: int, above: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    r"""$-\frac12 \partial |f(Q u) - h_l|^2 / \partial Q$ for what the layer above did with noise."""
    return descent(lambda q: net.f(q @ above) - net.h[layer], matrix)


def simplified_dtp(sizes, activation, weights, x, teacher, constants, draws, loss="squared", polarity=None):
    r"""Top target: the teacher. Q descends $\frac12 |h_l - g(f(h_l + \sigma \xi))|^2$: noise up one layer, a clean target."""
    mean = Mean()
    for n, net in passes(sizes, activation, weights, x, teacher, loss, polarity):
        mean.forward(net, net.top, net.error)
        for layer in net.descends():
            noisy = net.h[layer] + constants["sigma"] * draws[f"noise_denoise_{layer}"][n]
            above, name = net.rate(layer + 1, net.drive(layer + 1, noisy)), f"Q_{layer}_{layer + 1}"
            mean.add(name, denoised(net, layer, above, weights[name]))
        if net.top > 1:
            below = shift(net, weights[f"Q_{net.top - 1}_{net.top}"], net.h[net.top] + net.error, net.h[net.top])
            pull(mean, net, net.h[net.top - 1] + below, net.top - 1)
    return mean.over(len(x))


def auxiliary_output_sdtp(sizes, activation, weights, x, teacher, constants, draws, loss="squared", polarity=None):
    """The top decoder is one matrix [Q P] that hears the output and fixed random features of the layer below it."""
    mean, top = Mean(), len(sizes) - 1
    for n, net in passes(sizes, activation, weights, x, teacher, loss, polarity):
        mean.forward(net, top, net.error)
        if top == 1:
            continue
        both = np.hstack([weights[f"Q_{top - 1}_{top}"], weights[f"P_{top - 1}_{top + 1}"]])

        def features(rates: np.ndarray) -> np.ndarray:
            return np.tanh(weights[f"A_{top + 1}_{top - 1}"] @ rates)

        for layer in net.descends():
            noisy = net.h[layer] + constants["sigma"] * draws[f"noise_denoise_{layer}"][n]
            above, matrix = net.rate(layer + 1, net.drive(layer + 1, noisy)), both
            if layer == top - 1:
                above = np.concatenate([above, features(noisy)])
            else:
                matrix = weights[f"Q_{layer}_{layer + 1}"]
            change = denoised(net, layer, above, matrix)
            mean.add(f"Q_{layer}_{layer + 1}", change[:, : sizes[layer + 1]])
            if layer == top - 1:
                mean.add(f"P_{layer}_{top + 1}", change[:, sizes[top] :])
        z = features(net.h[top - 1])
        wanted, found = (np.concatenate([u, z]) for u in (net.h[top] + net.error, net.h[top]))
        pull(mean, net, net.h[top - 1] + shift(net, both, wanted, found), top - 1)
    return mean.over(len(x))
