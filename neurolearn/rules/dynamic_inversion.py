r"""Dynamic inversion: a feedback loop settles to the (damped) inverse of the forward weights.

Per layer pair, with forward weights $W$ (up) and feedback $B$ (down), a leaky controller $u$ in the upper layer drives
the lower layer's $\delta = B u$ until its image meets the error above:

    $\tau_u \dot u_{l+1} = W_{l+1} \delta_l - e_{l+1} - \alpha u_{l+1}$,   $\delta_l = B_l u_{l+1}$,   $e_l = f'(a_l) \odot \delta_l$
    $\Delta W_l = e_l h_{l-1}^\top$,   $e_L = t - h_L$

The settled state is $\delta_l = B_l (W_{l+1} B_l - \alpha I)^{-1} e_{l+1}$. Here $B = -W^\top$ for ever, so that
$\delta = W^\top (W W^\top + \alpha I)^{-1} e$, which tends to the pseudo-inverse $W^+ e$ as $\alpha \to 0$ (W with more
columns than rows). The factor f' is multiplied once, after the loop. All loops run at once; errors are in the units of
the output error, steps are per sample. Stable in spikes while $\tau_u / \tau_s > \sigma_{max}^2 / 2$, roughly; checked
before anything runs. Source: Podlaski and Machens 2020, arXiv:2007.05112.
"""

import numpy as np

from neurolearn.rule import Limit, Pathway, Rule, Tied


def damped_inverse(network, weights, x, teacher, constants):
    r"""Changes with $\delta_l = W^\top (W W^\top + \alpha I)^{-1} e$, sample by sample in NumPy; chains of tanh units."""
    depth, leak, total = network.output, constants["leak"], {}
    for sample, target in zip(x, teacher, strict=True):
        rates, slopes = [sample], [None]
        for k in range(1, depth + 1):
            potential = weights[f"W_{k}_{k - 1}"] @ rates[-1] + weights[f"b_{k}"]
            rates.append(np.tanh(potential) if k < depth else potential)
            slopes.append(1 - np.tanh(potential) ** 2 if k < depth else np.ones_like(potential))
        error = target - rates[-1]
        for k in range(depth, 0, -1):
            total[f"W_{k}_{k - 1}"] = total.get(f"W_{k}_{k - 1}", 0) + np.outer(error, rates[k - 1]) / len(x)
            total[f"b_{k}"] = total.get(f"b_{k}", 0) + error / len(x)
            if k > 1:
                forward = weights[f"W_{k}_{k - 1}"]
                if leak:
                    control = np.linalg.solve(forward @ forward.T + leak * np.eye(len(forward)), error)
                    delta = forward.T @ control
                else:
                    delta = np.linalg.pinv(forward) @ error
                error = slopes[k - 1] * delta
    return total


def pseudo_inverse(network, weights, x, teacher, constants):
    """The limit of ``damped_inverse`` without leak: $W^+ e$ in every layer."""
    return damped_inverse(network, weights, x, teacher, {**constants, "leak": 0.0})


dynamic_inversion = Rule(
    name="dynamic_inversion",
    reference="Podlaski and Machens 2020, arXiv:2007.05112",
    pathways={"B": Pathway("above", Tied("W", "negated transpose"))},
    constants={"leak": 0.1},
    times={"tau_control": 4.0},
    hidden="""
        delta = B(control_above)
        error = slope * delta
        dcontrol/dt = (W(delta_below) - error - leak*control) / tau_control
    """,
    output="""
        error = teacher - rate
        dcontrol/dt = (W(delta_below) - error - leak*control) / tau_control
    """,
    plasticity={"W": "error_post * rate_pre"},
    limit=Limit("leak", equals=pseudo_inverse, order=1, values=(1e-3, 1e-4, 1e-5, 1e-6)),
    own=damped_inverse,
)
