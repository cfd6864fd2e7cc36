r"""Rules whose feedback descends the difference reconstruction loss, each loss written down as it is in the paper.

Outputs are logits here, the softmax is part of the loss: $e = \beta (t - h_L)$ moves the potentials of the output.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from oracles.net import Mean, Pass, descent, passes


def shaken_logits(net: Pass, layer: int, shaken: np.ndarray) -> np.ndarray:
    """The output's potentials when one hidden layer is given other rates."""
    for above in range(layer + 1, net.top + 1):
        potential = net.drive(above, shaken)
        shaken = net.rate(above, potential) if above < net.top else potential
    return shaken


def learn(mean: Mean, name: str, residual: Callable, matrix: np.ndarray, decay: float) -> None:
    r"""$-\frac12 \partial (|r|^2 + \lambda |M|^2) / \partial M$."""
    mean.add(name, descent(residual, matrix) - decay * matrix)


def dtp_difference_reconstruction(
    sizes, activation, weights, x, teacher, constants, draws, loss="squared", polarity=None
):
    r"""$R_i = \sigma^{-2} |h_i + f(Q_i t_{i+1}) - f(Q_i h_{i+1}) - \tilde h_i|^2 + \lambda |Q_i|^2$; a chain of differences."""
    mean, sigma = Mean(), constants["sigma"]
    for n, net in passes(sizes, activation, weights, x, teacher, loss, polarity):
        seen = [*net.h[:-1], net.a[net.top]]  # what decoders hear of each layer

        def chain(top: np.ndarray, down_to: int, net=net, seen=seen) -> np.ndarray:
            target = top
            for k in range(net.top - 1, down_to - 1, -1):
                q = weights[f"Q_{k}_{k + 1}"]
                target = seen[k] + net.f(q @ target) - net.f(q @ seen[k + 1])
            return target

        step = constants["step"] * net.error
        mean.forward(net, net.top, step)
        for layer in net.descends():
            mean.forward(net, layer, net.d[layer] * (chain(seen[-1] + step, layer) - net.h[layer]))
            shaken = net.h[layer] + sigma * draws[f"noise_shake{layer}_{layer}"][n]
            above, name = chain(shaken_logits(net, layer, shaken), layer + 1), f"Q_{layer}_{layer + 1}"

            def residual(q, above=above, here=seen[layer], there=seen[layer + 1], shaken=shaken, f=net.f):
                return (here + f(q @ above) - f(q @ there) - shaken) / sigma

            learn(mean, name, residual, weights[name], constants["decay"])
    return mean.over(len(x))


def ddtp_linear(sizes, activation, weights, x, teacher, constants, draws, loss="squared", polarity=None):
    r"""$R_i = \sigma^{-2} |Q_i (\tilde a_L - a_L) - \sigma \xi|^2 + \lambda |Q_i|^2$."""
    mean, sigma = Mean(), constants["sigma"]
    for n, net in passes(sizes, activation, weights, x, teacher, loss, polarity):
        step, logits = constants["step"] * net.error, net.a[net.top]
        mean.forward(net, net.top, step)
        for layer in net.descends():
            name, noise = f"Q_{layer}_{net.top}", sigma * draws[f"noise_shake{layer}_{layer}"][n]
            mean.forward(net, layer, net.d[layer] * (weights[name] @ (logits + step) - weights[name] @ logits))
            answer = shaken_logits(net, layer, net.h[layer] + noise)
            learn(
                mean,
                name,
                lambda q, answer=answer, logits=logits, noise=noise: (q @ (answer - logits) - noise) / sigma,
                weights[name],
                constants["decay"],
            )
    return mean.over(len(x))


def ddtp_control(sizes, activation, weights, x, teacher, constants, draws, loss="squared", polarity=None):
    r"""$R_i = |Q_i \tilde a_L + c_i - \tilde h_i|^2 + \lambda |Q_i|^2$: no difference, no division by the noise."""
    mean = Mean()
    for n, net in passes(sizes, activation, weights, x, teacher, loss, polarity):
        step, logits = constants["step"] * net.error, net.a[net.top]
        mean.forward(net, net.top, step)
        for layer in net.descends():
            q, c = weights[f"Q_{layer}_{net.top}"], weights[f"c_{layer}"]
            target = net.h[layer] + (q @ (logits + step) + c) - (q @ logits + c)
            mean.forward(net, layer, net.d[layer] * (target - net.h[layer]))
            shaken = net.h[layer] + constants["sigma"] * draws[f"noise_shake{layer}_{layer}"][n]
            answer = shaken_logits(net, layer, shaken)
            learn(
                mean,
                f"Q_{layer}_{net.top}",
                lambda m, answer=answer, c=c, shaken=shaken: m @ answer + c - shaken,
                q,
                constants["decay"],
            )
            learn(
                mean,
                f"c_{layer}",
                lambda v, answer=answer, q=q, shaken=shaken: q @ answer + v - shaken,
                c,
                0.0,
            )
    return mean.over(len(x))


def ddtp_rhl(sizes, activation, weights, x, teacher, constants, draws, loss="squared", polarity=None):
    r"""$g_i(y) = f(Q_i f(R y) + c_i)$, at the highest hidden layer $f(P y + d)$; the same difference form of both."""
    mean, sigma, top = Mean(), constants["sigma"], len(sizes) - 1
    for n, net in passes(sizes, activation, weights, x, teacher, loss, polarity):
        step, logits = constants["step"] * net.error, net.a[top]
        mean.forward(net, top, step)
        for layer in net.descends():
            names = (f"P_{layer}_{top}", f"d_{layer}") if layer == top - 1 else (f"Q_{layer}_{top + 1}", f"c_{layer}")
            matrix, bias = (weights[name] for name in names)

            def heard(y: np.ndarray, layer=layer, net=net) -> np.ndarray:
                return y if layer == top - 1 else net.f(weights[f"R_{top + 1}_{top}"] @ y)

            def g(y: np.ndarray, m: np.ndarray, v: np.ndarray, heard=heard, net=net) -> np.ndarray:
                return net.f(m @ heard(y) + v)

            target = net.h[layer] + g(logits + step, matrix, bias) - g(logits, matrix, bias)
            mean.forward(net, layer, net.d[layer] * (target - net.h[layer]))
            noise = sigma * draws[f"noise_shake{layer}_{layer}"][n]
            answer = shaken_logits(net, layer, net.h[layer] + noise)

            def residual(m, v, g=g, answer=answer, logits=logits, noise=noise):
                return (g(answer, m, v) - g(logits, m, v) - noise) / sigma

            learn(mean, names[0], lambda m, r=residual, v=bias: r(m, v), matrix, constants["decay"])
            learn(mean, names[1], lambda v, r=residual, m=matrix: r(m, v), bias, 0.0)
    return mean.over(len(x))
