r"""Difference target propagation: targets through learned inverses, whose own error is taken off.

Learning phase, with a gradient step $\beta$ at the highest hidden layer (the transpose of one layer, $W_L$),

    $\hat h_{L-1} = h_{L-1} + \beta W_L^\top (t - h_L)$
    $\hat h_l = h_l + g_{l+1}(\hat h_{l+1}) - g_{l+1}(h_{l+1})$,   $g_{l+1}(u) = f(Q_l u)$
    $\Delta W_l = f'(a_l) \odot (\hat h_l - h_l)\, h_{l-1}^\top$,   $\Delta W_L = (t - h_L) h_{L-1}^\top$

Noise phase, which learns the inverses from noisy probes $\tilde h_l = h_l(\tilde h_{l-1}) + \sigma \xi$ (all layers at
once; the noisy signal goes up, the guess comes down):

    $\Delta Q_l = f'(Q_l h_{l+1}) \odot (\tilde h_l - f(Q_l h_{l+1}))\, h_{l+1}^\top$,   $h_{l+1} = f(W_{l+1} \tilde h_l + b_{l+1})$

To first order in $\beta$ the rule follows the product of the *decoders'* Jacobians, not the gradient; in the highest
hidden layer it is backpropagation times $\beta$, whatever the decoders. ``dtp_learned_top`` learns the inverse of the
output layer as well and takes a small step there, $\hat h_L = h_L + \beta (t - h_L)$ (the DTP of Meulemans et al. 2020), so
that no weight is transported. Below a layer whose step is the linear map $J_{l+1}^\top$ it would be backpropagation; with
decoders that are exact inverses it is target propagation; and where the top target is the rate, every target is the
rate, whatever the decoders. Where the probes have covariance C (means included) and layer l + 1 is linear, the decoder
that is learned is $C W^\top (W C W^\top)^{-1}$: the inverse of an invertible W, but the pseudo-inverse only for white
probes. Over skip connections one decoder hears all layers above; where one comes from the output, that sends the
target of ``dtp_learned_top``. Steps are per sample, without a factor 2. Source: Lee, Zhang, Fischer and Bengio 2015,
arXiv:1412.7525; Bartunov et al. 2018, arXiv:1807.04587.
"""

from neurolearn import chain
from neurolearn.rule import Limit, Normal, Pathway, Phase, Rule, Tied


def decoders(network, weights, x, teacher, constants):
    r"""Changes to first order in the step: $e_l = f'(Q_l h_{l+1}) \odot Q_l e_{l+1}$, below $e_{L-1} = \beta W_L^\top (t - h_L)$."""
    total = chain.Changes(network, len(x))
    for sample, target in zip(x, teacher, strict=True):
        net, depth = chain.forward(network, weights, sample), network.output
        error = target - net.rates[depth]
        total.add(depth, error, net)
        for k in range(depth - 1, 0, -1):
            if k == depth - 1:
                error = constants["step"] * weights[f"W_{depth}_{k}"].T @ error
            else:
                feedback = weights[f"Q_{k}_{k + 1}"]
                error = net.df(feedback @ net.rates[k + 1]) * (feedback @ error)
            total.add(k, net.slopes[k] * error, net)
    return total.mean()


def decoders_to_the_top(network, weights, x, teacher, constants):
    r"""The same with a decoder from the output, $e_L = \beta (t - h_L)$."""
    total = chain.Changes(network, len(x))
    for sample, target in zip(x, teacher, strict=True):
        net, depth = chain.forward(network, weights, sample), network.output
        error = target - net.rates[depth]
        total.add(depth, error, net)
        error = constants["step"] * error
        for k in range(depth - 1, 0, -1):
            feedback = weights[f"Q_{k}_{k + 1}"]
            error = net.df(feedback @ net.rates[k + 1]) * (feedback @ error)
            total.add(k, net.slopes[k] * error, net)
    return total.mean()


GUESS = """
    guess = f(Q(rate_above))
    guess_slope = df(Q(rate_above))
"""
PROBE = """
    potential = W(probe_below) + b
    probe = rate + sigma*noise
"""
TARGET = """
    target = rate + f(Q(target_above)) - f(Q(rate_above))
    mismatch = slope * (target - rate)
"""

difference_target_propagation = Rule(
    name="difference_target_propagation",
    reference="Lee et al. 2015, arXiv:1412.7525",
    pathways={"Q": Pathway("above", Normal(0.8)), "T": Pathway("above", Tied("W", "transpose"))},
    constants={"step": 0.5, "sigma": 0.3},
    phases={
        "inverse": Phase(
            input="probe = rate",
            hidden=PROBE + GUESS,
            last=PROBE,
            output="potential = W(probe_below) + b",
            plasticity={"Q": "guess_slope_post * (probe_post - guess_post) * rate_pre"},
        )
    },
    hidden=TARGET,
    last="""
        target = rate + step*T(error_above)
        mismatch = slope * (target - rate)
    """,
    output="""
        error = teacher - rate
        mismatch = error
        target = rate + step*error
    """,
    plasticity={"W": "mismatch_post * rate_pre"},
    limit=Limit("step", equals=decoders, order=1),
    own=decoders,
)

dtp_learned_top = Rule(
    name="dtp_learned_top",
    reference="Meulemans et al. 2020, arXiv:2006.14331",
    pathways={"Q": Pathway("above", Normal(0.8))},
    constants={"step": 0.5, "sigma": 0.3},
    phases={
        "inverse": Phase(
            input="probe = rate",
            hidden=PROBE + GUESS,
            output="potential = W(probe_below) + b",
            plasticity={"Q": "guess_slope_post * (probe_post - guess_post) * rate_pre"},
        )
    },
    hidden=TARGET,
    output="""
        target = rate + step*(teacher - rate)
        mismatch = teacher - rate
    """,
    plasticity={"W": "mismatch_post * rate_pre"},
    limit=Limit("step", equals=decoders_to_the_top, order=1),
    own=decoders_to_the_top,
)
