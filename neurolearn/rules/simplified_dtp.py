r"""Simplified difference target propagation: no weight is transported, the top target is the label itself.

    $\hat h_L = t$,   $\hat h_l = h_l + g_{l+1}(\hat h_{l+1}) - g_{l+1}(h_{l+1})$,   $g_{l+1}(u) = f(Q_l u)$ up to $l = L - 1$
    $\Delta W_l = f'(a_l) \odot (\hat h_l - h_l)\, h_{l-1}^\top$,   $\Delta W_L = (t - h_L) h_{L-1}^\top$

The inverses learn to *denoise*: the clean rates are kept, each layer's noisy version $\tilde h_l = h_l + \sigma \xi$ goes
up one layer, and the guess that comes back is held against the clean rate,

    $\Delta Q_l = f'(Q_l u) \odot (h_l - f(Q_l u))\, u^\top$,   $u = f(W_{l+1} \tilde h_l + b_{l+1})$

``auxiliary_output_sdtp`` gives the highest hidden layer more to go by than C classes: fixed random features
$z = \tanh(A h_{L-1})$ beside the output, the same in both terms of the difference,

    $\hat h_{L-1} = h_{L-1} + f(Q \hat h_L + P z) - f(Q h_L + P z)$

With a linear inverse at the top, targets of all samples there differ in at most C - 1 directions (softmax), and z cancels:
auxiliary outputs act only through the nonlinearity of that inverse. With the transpose as a linear inverse the targets
carry the gradient. Where the rates have covariance C (means included) and layer l + 1 is linear, the inverse that is
learned is $C W^\top (W (C + \sigma^2 I) W^\top)^{-1}$: for an invertible W, $W^{-1}$ shrunk by $C (C + \sigma^2 I)^{-1}$.
Steps are per sample. Source: Bartunov et al. 2018, arXiv:1807.04587, algorithms 1 and 2.
"""

import numpy as np

from neurolearn import chain
from neurolearn.rule import Identity, Normal, Pathway, Phase, Population, Rule


def decoders(network, weights, x, teacher, constants):
    r"""Changes to first order in the error: $e_l = f'(Q_l h_{l+1}) \odot Q_l e_{l+1}$, $e_L = t - h_L$."""
    return _follow(network, weights, x, teacher, lambda rate: 0)


def decoders_and_auxiliary_outputs(network, weights, x, teacher, constants):
    r"""The same with $f'(Q h_L + P z)$ in the highest hidden layer, $z = \tanh(A h_{L-1})$."""
    top = network.output
    back, out = weights[f"P_{top - 1}_{top + 1}"], weights[f"A_{top + 1}_{top - 1}"]
    return _follow(network, weights, x, teacher, lambda rate: back @ np.tanh(out @ rate))


def _follow(network, weights, x, teacher, auxiliary):
    """auxiliary(rate of the highest hidden layer): what is heard there beside the output."""
    total = chain.Changes(network, len(x))
    for sample, label in zip(x, teacher, strict=True):
        net, depth = chain.forward(network, weights, sample), network.output
        error, also = label - net.rates[depth], auxiliary(net.rates[depth - 1])
        total.add(depth, error, net)
        for k in range(depth - 1, 0, -1):
            feedback = weights[f"Q_{k}_{k + 1}"]
            error = net.df(feedback @ net.rates[k + 1] + also) * (feedback @ error)
            total.add(k, net.slopes[k] * error, net)
            also = 0
    return total.mean()


KEEP = Phase(hidden="latch clean = rate", input="latch clean = rate")
NOISY = """
    potential = W(probe_below) + b
    probe = clean + sigma*noise
"""
GUESS = """
    guess = f(Q(rate_above))
    guess_slope = df(Q(rate_above))
    residue = guess_slope * (clean - guess)
"""
TARGET = """
    target = rate + f(Q(target_above)) - f(Q(rate_above))
    mismatch = slope * (target - rate)
"""
OUTPUT = """
    target = teacher
    mismatch = teacher - rate
"""

simplified_dtp = Rule(
    name="simplified_dtp",
    reference="Bartunov et al. 2018, arXiv:1807.04587",
    pathways={"Q": Pathway("above", Normal(0.8))},
    constants={"sigma": 0.3},
    phases={
        "free": KEEP,
        "denoise": Phase(
            input="probe = clean",
            hidden=NOISY + GUESS,
            output="potential = W(probe_below) + b",
            plasticity={"Q": "residue_post * rate_pre"},
        ),
    },
    hidden=TARGET,
    output=OUTPUT,
    plasticity={"W": "mismatch_post * rate_pre"},
    limit=Identity(set={"Q": "transpose"}, linear=True, weights=("W",)),
    own=decoders,
)

auxiliary_output_sdtp = Rule(
    name="auxiliary_output_sdtp",
    reference="Bartunov et al. 2018, arXiv:1807.04587",
    pathways={
        "Q": Pathway("above", Normal(0.8)),
        "P": Pathway("auxiliary", Normal(0.8)),
        "A": Pathway("top", Normal()),
    },
    populations={"auxiliary": Population(32, "features = tanh(A(rate_top))")},
    constants={"sigma": 0.3},
    phases={
        "free": KEEP,
        "denoise": Phase(
            input="probe = clean",
            hidden=NOISY + GUESS,
            last=NOISY
            + """
                guess = f(Q(rate_above) + P(features_auxiliary))
                guess_slope = df(Q(rate_above) + P(features_auxiliary))
                residue = guess_slope * (clean - guess)
            """,
            output="potential = W(probe_below) + b",
            populations={"auxiliary": "features = tanh(A(probe_top))"},
            plasticity={"Q": "residue_post * rate_pre", "P": "residue_post * features_pre"},
        ),
    },
    hidden=TARGET,
    last="""
        target = rate + f(Q(target_above) + P(features_auxiliary)) - f(Q(rate_above) + P(features_auxiliary))
        mismatch = slope * (target - rate)
    """,
    output=OUTPUT,
    plasticity={"W": "mismatch_post * rate_pre"},
    limit=Identity(set={"Q": "transpose"}, linear=True, weights=("W",)),
    own=decoders_and_auxiliary_outputs,
)
