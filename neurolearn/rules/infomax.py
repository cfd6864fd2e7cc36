r"""Infomax: a layer learns to tell as much as it can about what it hears. No teacher, no error; derived from the objective.

Liu 2021 (arXiv:2109.13102) maximises $I(x; y)$ over $p(y|x)$ with a local, spike-based rule. What follows is derived from
that objective and not copied from the paper: these are not Liu's formulas. The gradient that they are held against is
that of I (``neurolearn.information``), never backpropagation. In a deeper net every layer does it for itself, x being what
the layer below sends.

``infomax``: stochastic binary units, $p_i = \sigma(u_i)$, $u_i = w_i x + b_i$. From $\nabla I = \langle \nabla \log p(y|x)\,
\log (p(y|x) / p(y)) \rangle$, in which all factors of the ratio but the unit's own average out,

    $\partial I / \partial w_i = \langle p_i (1 - p_i)(u_i - \ell_i)\, x \rangle$,   $\ell_i = \mathrm{logit}\, p(y_i = 1 | y_{-i})$

exactly: drive minus lateral prediction, times slope, times input. The prediction is learned by lateral synapses from the
spikes of the neighbours, which climb the pseudo-likelihood $\langle \log p(y_i | y_{-i}) \rangle$,

    $\ell_i = L_i y + c_i$,   $\Delta L_{ij} = (y_i - \sigma(\ell_i))\, y_j$,   $L_{ii} = 0$

It is exact where p(y), averaged over all inputs, has pairwise interactions only (two units always). So L has to be learned
over many inputs, and faster than W. ``expected`` is what one presentation adds on average over the spikes.

``infomax_gaussian``: $y = W x + b + s \xi$, where $\partial I / \partial W = Q^{-1} W \Sigma$ with $Q = \mathrm{Cov}(y)$, $\Sigma =
\mathrm{Cov}(x)$. Recurrent inhibition settles to $v = Q^{-1} y$, its synapses follow the second moment of y, and the bias
takes the mean away, without which that is no covariance:

    $\tau \dot v = y - Q v$,   $\Delta W = v x^\top$,   $\Delta Q = y y^\top - Q$,   $\Delta b = -y$

Q and b are always a step behind W, so W has to move by less in a step than they can follow, or it runs away.

``infomax_square``: as many deterministic logistic units as inputs, $y = \sigma(u)$; natural gradient of $\langle \log |\det
\partial y / \partial x| \rangle$, the gradient times $W^\top W$, which needs no inverse but the transpose of W,

    $\Delta W = W + (1 - 2 y)(W^\top W x)^\top$,   $\Delta b = 1 - 2 y$

Information grows with gain: bound the weights, or their norm. Spikes: ``fires`` is a hard threshold, so a draw that lies
nearer to the rate than the rate's ripple (at most $\frac14 \sum_j |w_{ij}| / r \tau$, r spikes/s per unit of signal) is
decided otherwise in part of the window. Source of the objective: Liu 2021, arXiv:2109.13102; of the square case: Bell and
Sejnowski 1995, doi:10.1162/neco.1995.7.6.1129, with the natural gradient of Amari, Cichocki and Yang 1996; of the linear
one: Linsker 1992, doi:10.1162/neco.1992.4.5.691.
"""

from __future__ import annotations

from itertools import product

import numpy as np

from neurolearn.rule import Diagonal, Expectation, Identity, Nets, Normal, Orthogonal, Pathway, Rule, Tied


def expected(network, weights, x, teacher, constants) -> dict[str, np.ndarray]:
    """What ``infomax`` adds on average over its spikes: all patterns of every layer, and of the layer below, are summed."""
    change, sure = {}, np.ones(1)
    for sample in np.asarray(x, float):
        below, chance = sample[None], sure  # states that the layer below may be in, and their probabilities
        for k in range(1, network.output + 1):
            w, lateral = weights[f"W_{k}_{k - 1}"], weights[f"L_{k}_{k}"]
            fires = np.array(list(product((0.0, 1.0), repeat=len(w))))
            u = below @ w.T + weights[f"b_{k}"]
            rate = _logistic(u)
            joint = chance[:, None] * np.prod(np.where(fires, rate[:, None], 1 - rate[:, None]), axis=2)
            guess = fires @ lateral.T + weights[f"c_{k}"]
            miss = joint.sum(0)[:, None] * (fires - _logistic(guess))
            surprise = rate * (1 - rate) * (chance[:, None] * u - joint @ guess)
            for name, value in {
                f"W_{k}_{k - 1}": surprise.T @ below,
                f"b_{k}": surprise.sum(0),
                f"L_{k}_{k}": (miss.T @ fires) * (1 - np.eye(len(w))),
                f"c_{k}": miss.sum(0),
            }.items():
                change[name] = change.get(name, 0) + value / len(x)
            below, chance = fires, joint.sum(0)
    return change


def _logistic(u: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-u))


STOCHASTIC = """
    potential = W(fires_below) + b
    rate = 1/(1 + exp(-potential))
    fires = where(uniform < rate, 1, 0)
    guess = L(fires_here) + c
    surprise = rate*(1 - rate)*(potential - guess)
    miss = fires - 1/(1 + exp(-guess))
"""

infomax = Rule(
    name="infomax",
    reference="derived from the objective of Liu 2021, arXiv:2109.13102",
    pathways={"L": Pathway("here", Normal(0.1), bias="c")},
    input="fires = rate",
    hidden=STOCHASTIC,
    output=STOCHASTIC,
    plasticity={"W": "surprise_post * fires_pre", "L": "miss_post * fires_pre"},
    nets=Nets(shapes=((14, 10), (12, 10, 8)), activations=("tanh",)),
    limit=Expectation(expected),
)


def expected_moments(network, weights, x, teacher, constants) -> dict[str, np.ndarray]:
    r"""What ``infomax_gaussian`` adds on average over its noise: $Q^{-1} \langle y x^\top \rangle$, and the moments of y."""
    change: dict[str, np.ndarray] = {}
    for sample in np.asarray(x, float):
        mean, cov = sample, np.zeros((len(sample), len(sample)))  # of what the layer below sends
        for k in range(1, network.output + 1):
            w, inhibition = weights[f"W_{k}_{k - 1}"], weights[f"Q_{k}_{k}"]
            seen, mean = mean, w @ mean + weights[f"b_{k}"]
            with_input = w @ cov + np.outer(mean, seen)
            cov = w @ cov @ w.T + constants["spread"] ** 2 * np.eye(len(w))
            for name, value in {
                f"W_{k}_{k - 1}": np.linalg.solve(inhibition, with_input),
                f"b_{k}": -mean,
                f"Q_{k}_{k}": cov + np.outer(mean, mean) - inhibition,
            }.items():
                change[name] = change.get(name, 0) + value / len(x)
    return change


INHIBITED = """
    rate = potential + spread*noise
    dfit/dt = (rate - Q(fit_here)) / tau_fit
"""

infomax_gaussian = Rule(
    name="infomax_gaussian",
    reference="Linsker 1992, doi:10.1162/neco.1992.4.5.691",
    pathways={"Q": Pathway("here", Diagonal(), self_connections=True)},
    constants={"spread": 0.5},
    times={"tau_fit": 4.0},
    hidden=INHIBITED,
    output=INHIBITED,
    plasticity={"W": "fit_post * rate_pre", "b": "-rate_post", "Q": "rate_post*rate_pre - w"},
    nets=Nets(shapes=((14, 10), (12, 10, 8)), activations=("linear",)),
    limit=Expectation(expected_moments),
)


def natural_gradient(network, weights, x, teacher, constants) -> dict[str, np.ndarray]:
    r"""$\langle W^{-\top} + (1 - 2 y) x^\top \rangle\, W^\top W$, by an inverse: what ``infomax_square`` adds."""
    change: dict[str, np.ndarray] = {}
    for rate in np.asarray(x, float):
        below = rate
        for k in range(1, network.output + 1):
            w = weights[f"W_{k}_{k - 1}"]
            above = _logistic(w @ below + weights[f"b_{k}"])
            gradient = np.linalg.inv(w).T + np.outer(1 - 2 * above, below)
            for name, value in {f"W_{k}_{k - 1}": gradient @ w.T @ w, f"b_{k}": 1 - 2 * above}.items():
                change[name] = change.get(name, 0) + value / len(x)
            below = above
    return change


LOGISTIC = "rate = 1/(1 + exp(-potential))\ndrive = potential - b"
ECHO = "echo = T(drive_above)"

infomax_square = Rule(
    name="infomax_square",
    reference="Bell and Sejnowski 1995, doi:10.1162/neco.1995.7.6.1129",
    pathways={"W": Pathway("below", Orthogonal(), bias="b"), "T": Pathway("above", Tied("W", "transpose"))},
    input=ECHO,
    hidden=f"{LOGISTIC}\n{ECHO}",
    output=LOGISTIC,
    plasticity={"W": "w + (1 - 2*rate_post)*echo_pre", "b": "1 - 2*rate_post"},
    nets=Nets(shapes=((12, 12), (9, 9, 9)), activations=("tanh",)),
    limit=Identity(natural_gradient),
)
