r"""Backpropagation as the derivative of the loss; feedback alignment as products of slopes and feedback matrices."""

from __future__ import annotations

import numpy as np

from oracles.net import TINY, Mean, Pass, passes


def loss_of(net: Pass, potential: np.ndarray, teacher: np.ndarray) -> np.ndarray:
    r"""Convex potential minus teacher, $F(a) - t \cdot a$: its gradient is prediction - teacher for both losses.

    F is $|a|^2/2$ (squared error, up to a constant) or $\log \sum \exp a$ (cross-entropy). potential: (outputs, columns).
    """
    if net.loss == "squared":
        return (potential * potential).sum(0) / 2 - teacher @ potential
    largest = potential.real.max(0)
    return largest + np.log(np.exp(potential - largest).sum(0)) - teacher @ potential


def backprop(sizes, activation, weights, x, teacher, constants, draws, loss="squared", polarity=None):
    r"""$-\partial$ loss / $\partial a_l$ by a complex step of every potential, pushed through the layers above."""
    mean = Mean()
    for n, net in passes(sizes, activation, weights, x, teacher, loss, polarity):
        for layer in range(1, net.top + 1):
            moved = net.a[layer][:, None] + 1j * TINY * np.eye(sizes[layer])  # one column for each unit
            for above in range(layer + 1, net.top + 1):
                rates = net.signs[above - 1][:, None] * net.f(moved)
                moved = net.matrix(above) @ rates + weights[f"b_{above}"][:, None]
            mean.forward(net, layer, -loss_of(net, moved, teacher[n]).imag / TINY)
    return mean.over(len(x))


def feedback_alignment(sizes, activation, weights, x, teacher, constants, draws, loss="squared", polarity=None):
    r"""$\delta_l = D_l B_l D_{l+1} B_{l+1} \cdots B_{L-1} e$, the product made first, then applied."""
    mean = Mean()
    for _, net in passes(sizes, activation, weights, x, teacher, loss, polarity):
        product = np.eye(sizes[-1])
        mean.forward(net, net.top, net.error)
        for layer in net.descends():
            product = np.diag(net.d[layer]) @ weights[f"B_{layer}_{layer + 1}"] @ product
            mean.forward(net, layer, product @ net.error)
    return mean.over(len(x))


def direct_feedback_alignment(sizes, activation, weights, x, teacher, constants, draws, loss="squared", polarity=None):
    r"""$\delta_l = D_l B_l e$."""
    mean = Mean()
    for _, net in passes(sizes, activation, weights, x, teacher, loss, polarity):
        mean.forward(net, net.top, net.error)
        for layer in net.descends():
            mean.forward(net, layer, np.diag(net.d[layer]) @ weights[f"B_{layer}_{net.top}"] @ net.error)
    return mean.over(len(x))
