r"""Target propagation and its incremental form, with the inverse of a layer as a function."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from oracles.net import Mean, Pass, descent, passes


def inverse_of(net: Pass, layer: int) -> Callable[[np.ndarray], np.ndarray]:
    r"""$g_l(u) = W_l^+ (f^{-1}(u) - b_l)$: what the layer below would have been, had this one's rates been u.

    At the output u is what the potentials should be: it is linear, or its softmax belongs to the loss.
    """
    pseudo, bias = np.linalg.pinv(net.matrix(layer)), net.weights[f"b_{layer}"]
    undo = net.inverse if layer < net.top else lambda v: v
    return lambda u: pseudo @ (undo(u) - bias)


def unread(net: Pass, layer: int) -> np.ndarray:
    """The part of a layer's rates that the layer above does not read: its own forward value completes a target."""
    up = net.matrix(layer + 1)
    return net.h[layer] - np.linalg.pinv(up) @ (up @ net.h[layer])


def top_target(net: Pass, step: float) -> tuple[np.ndarray, np.ndarray]:
    """(potential, the potential that is asked for): a step towards the teacher."""
    return net.a[net.top], net.a[net.top] + step * net.error


def target_propagation(sizes, activation, weights, x, teacher, constants, draws, loss="squared", polarity=None):
    r"""$\hat h_{l-1} = g_l(\hat h_l)$."""
    mean = Mean()
    for _, net in passes(sizes, activation, weights, x, teacher, loss, polarity):
        target = top_target(net, 1.0)[1]
        mean.forward(net, net.top, net.error)
        for layer in net.descends():
            target = inverse_of(net, layer + 1)(target)
            mean.forward(net, layer, net.d[layer] * (target - net.h[layer]))
    return mean.over(len(x))


def decoded(net: Pass, layer: int) -> np.ndarray:
    """o = W h, what the decoder V of the layer below hears of a layer."""
    return net.matrix(layer) @ net.h[layer - 1]


def learn_decoders(mean: Mean, net: Pass) -> None:
    r"""$-\frac12 \partial |h_{l} - V o_{l+1}|^2 / \partial V$ for the decoder into every hidden layer."""
    for layer in net.descends():
        name = f"V_{layer}_{layer + 1}"
        image = decoded(net, layer + 1)
        mean.add(name, descent(lambda v, k=layer, o=image: v @ o - net.h[k], net.weights[name]))


def target_propagation_learned(sizes, activation, weights, x, teacher, constants, draws, loss="squared", polarity=None):
    r"""The same with $g_l(u) = V_l (f^{-1}(u) - b_l)$."""
    mean = Mean()
    for _, net in passes(sizes, activation, weights, x, teacher, loss, polarity):
        target = top_target(net, 1.0)[1]
        mean.forward(net, net.top, net.error)
        for layer in net.descends():
            logits = target if layer + 1 == net.top else net.inverse(target)
            target = weights[f"V_{layer}_{layer + 1}"] @ (logits - weights[f"b_{layer + 1}"])
            mean.forward(net, layer, net.d[layer] * (target - net.h[layer]))
        learn_decoders(mean, net)
    return mean.over(len(x))


def incremental_target_propagation(
    sizes, activation, weights, x, teacher, constants, draws, loss="squared", polarity=None
):
    r"""$\hat h_{l-1} = g_l((1 - \gamma) h_l + \gamma \hat h_l)$ and what is not read; the errors over $\gamma^{L-l}$."""
    mean, gamma = Mean(), constants["gamma"]
    for _, net in passes(sizes, activation, weights, x, teacher, loss, polarity):
        value, target = top_target(net, 1.0)
        mean.forward(net, net.top, net.error)
        for layer in net.descends():
            target = inverse_of(net, layer + 1)((1 - gamma) * value + gamma * target) + unread(net, layer)
            value = net.h[layer]
            mean.forward(net, layer, net.d[layer] * (target - value) * gamma ** (layer - net.top))
    return mean.over(len(x))


def incremental_target_propagation_learned(
    sizes, activation, weights, x, teacher, constants, draws, loss="squared", polarity=None
):
    r"""The difference of two decoded values, $\hat h_{l-1} = h_{l-1} + V (f^{-1}((1-\gamma) h_l + \gamma \hat h_l) - a_l)$."""
    mean, gamma = Mean(), constants["gamma"]
    for _, net in passes(sizes, activation, weights, x, teacher, loss, polarity):
        value, target = top_target(net, 1.0)
        mean.forward(net, net.top, net.error)
        for layer in net.descends():
            between = (1 - gamma) * value + gamma * target
            logits = between if layer + 1 == net.top else net.inverse(between)
            decoder, bias = weights[f"V_{layer}_{layer + 1}"], weights[f"b_{layer + 1}"]
            value = net.h[layer]
            target = value + decoder @ (logits - bias) - decoder @ decoded(net, layer + 1)
            mean.forward(net, layer, net.d[layer] * (target - value) * gamma ** (layer - net.top))
        learn_decoders(mean, net)
    return mean.over(len(x))
