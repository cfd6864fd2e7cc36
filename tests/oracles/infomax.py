r"""Infomax, from what the objective says of each unit's outcomes, of a Gaussian channel, and of a square logistic map."""

from __future__ import annotations

import numpy as np

from oracles.net import Mean


def _fires(u: float) -> float:
    """The probability that a unit with this log odds fires."""
    return 1 / (1 + np.exp(-u))


def infomax(sizes, activation, weights, x, teacher, constants, draws, loss="squared", polarity=None):
    r"""Score times surprise, averaged over the unit's own two outcomes: $\sum_y p(y) \partial_u \log p(y) \log(p(y)/q(y))$.

    q is what the neighbours' spikes predict; L and c climb $\log q$ of the outcome that came.
    """
    mean = Mean()
    for n in range(len(x)):
        below = x[n]
        for layer in range(1, len(sizes)):
            w, b = weights[f"W_{layer}_{layer - 1}"], weights[f"b_{layer}"]
            lateral, c = weights[f"L_{layer}_{layer}"], weights[f"c_{layer}"]
            u = w @ below + b
            y = np.array([float(d < _fires(v)) for d, v in zip(draws[f"uniform_learn_{layer}"][n], u, strict=True)])
            for i in range(sizes[layer]):
                others = [k for k in range(sizes[layer]) if k != i]
                guess = sum(lateral[i, k] * y[k] for k in others) + c[i]
                q, one, none = _fires(guess), _fires(u[i]), _fires(-u[i])
                drive = one * none * np.log(one / q) - none * one * np.log(none / _fires(-guess))
                row, unit = np.eye(sizes[layer])[i], np.zeros(sizes[layer])
                unit[others] = y[others]
                mean.add(f"W_{layer}_{layer - 1}", np.outer(row, drive * below))
                mean.add(f"b_{layer}", row * drive)
                mean.add(f"L_{layer}_{layer}", np.outer(row, (y[i] - q) * unit))
                mean.add(f"c_{layer}", row * (y[i] - q))
            below = y
    return mean.over(len(x))


def infomax_gaussian(sizes, activation, weights, x, teacher, constants, draws, loss="squared", polarity=None):
    r"""$v = Q^{-1} y$ with $y = W x + b + s \xi$; $\Delta W = v x^\top$, $\Delta Q = y y^\top - Q$, $\Delta b = -y$; y goes up."""
    mean = Mean()
    for n in range(len(x)):
        below = x[n]
        for layer in range(1, len(sizes)):
            u = weights[f"W_{layer}_{layer - 1}"] @ below + weights[f"b_{layer}"]
            y = u + constants["spread"] * draws[f"noise_learn_{layer}"][n]
            covariance = weights[f"Q_{layer}_{layer}"]
            v = np.linalg.inv(covariance) @ y
            mean.add(f"W_{layer}_{layer - 1}", np.outer(v, below))
            mean.add(f"b_{layer}", -y)
            mean.add(f"Q_{layer}_{layer}", np.outer(y, y) - covariance)
            below = y
    return mean.over(len(x))


def infomax_square(sizes, activation, weights, x, teacher, constants, draws, loss="squared", polarity=None):
    r"""Bell and Sejnowski's gradient $W^{-\top} + (1 - 2y) x^\top$ times $W^\top W$, the natural metric; $1 - 2y$ for b."""
    mean = Mean()
    for n in range(len(x)):
        below = x[n]
        for layer in range(1, len(sizes)):
            w = weights[f"W_{layer}_{layer - 1}"]
            y = np.array([_fires(u) for u in w @ below + weights[f"b_{layer}"]])
            gradient = np.linalg.inv(w).T + np.outer(1 - 2 * y, below)
            mean.add(f"W_{layer}_{layer - 1}", gradient @ w.T @ w)
            mean.add(f"b_{layer}", 1 - 2 * y)
            below = y
    return mean.over(len(x))
