r"""Difference target propagation: layers receive targets through a learned inverse, and learn towards them.

Learning phase, step $\beta$:

    $\hat h_L = h_L + \beta (t - h_L)$,   $\hat h_l = h_l + g_{l+1}(\hat h_{l+1}) - g_{l+1}(h_{l+1})$,   $g_{l+1}(u) = f(Q_l u)$
    $\Delta W_l = f'(a_l) \odot (\hat h_l - h_l)\, h_{l-1}^\top$,   $\Delta W_L = (t - h_L) h_{L-1}^\top$

Noise phase, which learns the inverse from noisy probes $\tilde h_l = h_l(\tilde h_{l-1}) + \sigma \xi$ (all layers at
once; the noisy signal goes up, the clean answer comes down):

    $\Delta Q_l = f'(Q_l h_{l+1}) \odot (\tilde h_l - f(Q_l h_{l+1}))\, h_{l+1}^\top$,   $h_{l+1} = f(W_{l+1} \tilde h_l + b_{l+1})$

Here the top inverse is learned like every other and the target at the output is a small step; Lee et al. take a
gradient step there instead, which would need $W_L^\top$. Steps are per sample, without a factor 2.

First order in $\beta$, the rule follows the product of the *decoders'* Jacobians, not the gradient (``decoders``).
Source: Lee, Zhang, Fischer and Bengio 2015, arXiv:1412.7525; Bartunov et al. 2018, arXiv:1807.04587.
"""

import numpy as np

from neurolearn.rule import Limit, Normal, Pathway, Phase, Rule


def decoders(network, weights, x, teacher, constants):
    r"""Changes to first order in the step: $e_l = f'(Q_l h_{l+1}) \odot Q_l e_{l+1}$, from $e_L = \beta (t - h_L)$.

    Sample by sample in NumPy, chains of tanh units only. Returns {weight: change}.
    """
    depth, total = network.output, {}
    for sample, target in zip(x, teacher, strict=True):
        rates, slopes = [sample], [None]
        for k in range(1, depth + 1):
            potential = weights[f"W_{k}_{k - 1}"] @ rates[-1] + weights[f"b_{k}"]
            rates.append(np.tanh(potential) if k < depth else potential)
            slopes.append(1 - np.tanh(potential) ** 2 if k < depth else np.ones_like(potential))
        error = constants["step"] * (target - rates[-1])
        for k in range(depth, 0, -1):
            post = slopes[k] * error / (constants["step"] if k == depth else 1)
            total[f"W_{k}_{k - 1}"] = total.get(f"W_{k}_{k - 1}", 0) + np.outer(post, rates[k - 1]) / len(x)
            total[f"b_{k}"] = total.get(f"b_{k}", 0) + post / len(x)
            if k > 1:
                feedback = weights[f"Q_{k - 1}_{k}"]
                error = (1 - np.tanh(feedback @ rates[k]) ** 2) * (feedback @ error)
    return total


difference_target_propagation = Rule(
    name="difference_target_propagation",
    reference="Lee et al. 2015, arXiv:1412.7525",
    pathways={"Q": Pathway("above", Normal(0.8))},
    constants={"step": 0.5, "sigma": 0.3},
    phases={
        "inverse": Phase(
            input="probe = rate",
            hidden="""
                potential = W(probe_below) + b
                probe = rate + sigma*noise
                guess = f(Q(rate_above))
                guess_slope = df(Q(rate_above))
            """,
            output="potential = W(probe_below) + b",
            plasticity={"Q": "guess_slope_post * (probe_post - guess_post) * rate_pre"},
        )
    },
    hidden="""
        target = rate + f(Q(target_above)) - f(Q(rate_above))
        mismatch = slope * (target - rate)
    """,
    output="""
        target = rate + step*(teacher - rate)
        mismatch = teacher - rate
    """,
    plasticity={"W": "mismatch_post * rate_pre"},
    limit=Limit("step", equals=decoders, order=1),
    own=decoders,
)
