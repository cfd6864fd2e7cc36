r"""Gauss-Newton targets, the yardstick of the target rules: what a settled loop through the whole network gives.

    $\hat h_i - h_i = J_i^\top (J_i J_i^\top + \lambda I)^{-1} (t - h_L)$,   $J_i = \partial a_L / \partial h_i$
    $\Delta W_i = f'(a_i) \odot (\hat h_i - h_i)\, h_{i-1}^\top$,   $\Delta W_L = (t - h_L) h_{L-1}^\top$ (undamped)

Each hidden layer has its turn. A controller u at the output sends $J_i^\top u$ down through the transposes; from layer i
the result goes up again through the forward weights and their slopes, and u integrates what is left of the error,

    $\tau_u \dot u = (t - h_L) - J_i J_i^\top u - \lambda u$

The layer keeps its settled $J_i^\top u$. As $\lambda \to 0$ the target tends to the pseudo-inverse $J_i^+ (t - h_L)$; for large
$\lambda$ it is backpropagation over $\lambda$. The loop of layer i passes $k = 2 (L - i)$ lags of a synapse, down and up, so
its modes are the roots of $(\tau_s s + 1)^k (\tau_u s + \lambda) = -\sigma^2$, with $\sigma$ a singular value of $J_i$: the controller
has to be slow. ``tau_control`` = 12 is stable in all of 80 random nets, of two and three hidden layers, and near the fastest.
A reference, not a proposal for a brain: every weight is transported. Steps are per sample.
Source: Meulemans et al. 2020, arXiv:2006.14331.
"""

import numpy as np

from neurolearn import chain
from neurolearn.rule import Limit, Pathway, Phase, Rule, Tied


def right_inverse(matrix, damping):
    r"""$M^\top (M M^\top + d I)^{-1}$, or $M^+$ where the damping d is 0."""
    if not damping:
        return np.linalg.pinv(matrix)
    return np.linalg.solve(matrix @ matrix.T + damping * np.eye(len(matrix)), matrix).T


def newton(network, weights, x, teacher, damping, step=1.0):
    r"""Changes of Gauss-Newton targets, $\beta J_i^\top (J_i J_i^\top + \lambda I)^{-1} (t - h_L)$ in every hidden layer."""
    total = chain.Changes(network, len(x))
    for sample, target in zip(x, teacher, strict=True):
        net, top = chain.forward(network, weights, sample), network.output
        error = step * (target - net.rates[top])
        total.add(top, error, net)
        jacobian = np.eye(network.sizes[top])
        for k in range(top - 1, 0, -1):
            jacobian = jacobian @ weights[f"W_{k + 1}_{k}"]
            total.add(k, net.slopes[k] * (right_inverse(jacobian, damping) @ error), net)
            jacobian = jacobian * net.slopes[k]
    return total.mean()


def damped_targets(network, weights, x, teacher, constants):
    """What the settled rule is."""
    return newton(network, weights, x, teacher, constants["damping"])


def undamped_targets(network, weights, x, teacher, constants):
    """Its limit without damping."""
    return newton(network, weights, x, teacher, 0.0)


gauss_newton_target = Rule(
    name="gauss_newton_target",
    reference="Meulemans et al. 2020, arXiv:2006.14331",
    pathways={"T": Pathway("above", Tied("W", "transpose"))},
    constants={"damping": 1.0},
    times={"tau_control": 12.0},
    phases={
        "newton": Phase(
            input="wave = 0*rate",
            hidden="""
                back = T(push_above)
                push = slope*back
                wave = slope*W(wave_below)
            """,
            turn="""
                wave = back
                latch goal = back
            """,
            output="""
                push = control
                dcontrol/dt = (teacher - rate - W(wave_below) - damping*control) / tau_control
            """,
        )
    },
    hidden="mismatch = slope*goal",
    output="mismatch = teacher - rate",
    plasticity={"W": "mismatch_post * rate_pre"},
    limit=Limit("damping", equals=undamped_targets, order=1, values=(1e-3, 1e-4, 1e-5, 1e-6)),
    own=damped_targets,
)
