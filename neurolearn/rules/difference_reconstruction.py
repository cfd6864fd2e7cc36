r"""Targets through feedback that is trained on the difference reconstruction loss.

Each hidden layer i is shaken in its turn, $\tilde h_i = h_i + \sigma \xi$, the output answers with $\tilde a_L$ (logits), and
feedback learns to name the noise from that answer. Outputs are linear in these rules (the softmax is part of the loss), a
step $\beta$ is taken on the logits, and the output layer's own change is scaled by it: $e = \beta (t - h_L)$.

``ddtp_linear``: direct linear feedback, $\hat h_i = h_i + Q_i e$, with

    $R_i = \sigma^{-2} |Q_i (\tilde a_L - a_L) - \sigma \xi|^2 + \lambda |Q_i|^2$
    $\Delta Q_i = \sigma^{-2} (\sigma \xi - Q_i (\tilde a_L - a_L)) (\tilde a_L - a_L)^\top - \lambda Q_i$

For one sample and $\sigma \to 0$ Q tends to $J_i^\top (J_i J_i^\top + \lambda I)^{-1}$, $J_i = \partial a_L / \partial h_i$: a damped
Gauss-Newton target. Over N samples it tends to $\sum J^\top (\sum J J^\top + N \lambda I)^{-1}$ (exact for the highest layer).

``dtp_difference_reconstruction`` (DTPDRL): the layer-wise chain of difference target propagation, with the shaken output
pulled back through the differences of the layers above,

    $\hat h_L = a_L + e$,   $\hat h_i = h_i + f(Q_i \hat h_{i+1}) - f(Q_i h_{i+1})$
    $R_i = \sigma^{-2} |f(Q_i t_{i+1}) - f(Q_i h_{i+1}) - \sigma \xi|^2 + \lambda |Q_i|^2$

where t is that chain started at $\tilde a_L$. ``ddtp_rhl``: a shared, fixed random layer $z = f(R a_L)$ stands between the output
and the hidden layers, $\hat h_i = h_i + f(Q_i z(\hat a_L) + c_i) - f(Q_i z(a_L) + c_i)$; the highest hidden layer hears the
output itself. ``ddtp_control``: as ``ddtp_linear``, but Q learns plain reconstruction, without the difference,
$|Q_i \tilde a_L + c_i - \tilde h_i|^2 + \lambda |Q_i|^2$ (no $\sigma^{-2}$). That is the regression of the layer on the output over
the data, $C J^\top (J C J^\top)^{-1}$ in a linear net, C the covariance of $\tilde h_i$: an inverse, not the pseudo-inverse.

Feedback learns along $-\frac{1}{2} \partial R / \partial Q$. Steps are per sample, without a factor 2; biases do not decay. The
reference of all four is the Gauss-Newton target with the damping $\lambda$, times $\beta$ (the control is not meant to reach it).
Source: Meulemans et al. 2020, arXiv:2006.14331.
"""

from neurolearn import chain
from neurolearn.rule import Expectation, Limit, Nets, Normal, Pathway, Phase, Population, Rule
from neurolearn.rules.gauss_newton_target import newton

PAPER = "Meulemans et al. 2020, arXiv:2006.14331"


def damped_newton(network, weights, x, teacher, constants):
    r"""Gauss-Newton targets with the damping $\lambda$ and the step $\beta$ of these rules."""
    return newton(network, weights, x, teacher, constants["decay"], constants["step"])


def through_chain(network, weights, x, teacher, constants):
    r"""First order of DTPDRL in the step: $e_i = f'(Q_i h_{i+1}) \odot Q_i e_{i+1}$, from $e_L = \beta (t - h_L)$."""
    total, top = chain.Changes(network, len(x)), network.output
    for sample, target in zip(x, teacher, strict=True):
        net = chain.forward(network, weights, sample)
        error = constants["step"] * (target - net.rates[top])
        total.add(top, error, net)
        for k in range(top - 1, 0, -1):
            feedback, above = weights[f"Q_{k}_{k + 1}"], net.potentials[top] if k == top - 1 else net.rates[k + 1]
            error = net.df(feedback @ above) * (feedback @ error)
            total.add(k, net.slopes[k] * error, net)
    return total.mean()


def through_random_layer(network, weights, x, teacher, constants):
    r"""First order of DDTP-RHL in the step: $f'(Q_i z + c_i) \odot Q_i (f'(R a_L) \odot R e)$; highest, $f'(P a_L + d) \odot P e$."""
    total, top = chain.Changes(network, len(x)), network.output
    random = weights.get(f"R_{top + 1}_{top}")  # absent where no layer hears it
    for sample, target in zip(x, teacher, strict=True):
        net = chain.forward(network, weights, sample)
        logits, error = net.potentials[top], constants["step"] * (target - net.rates[top])
        total.add(top, error, net)
        for k in range(top - 1, 0, -1):
            if k == top - 1:
                feedback, bias, heard, moved = weights[f"P_{k}_{top}"], weights[f"d_{k}"], logits, error
            else:
                feedback, bias = weights[f"Q_{k}_{top + 1}"], weights[f"c_{k}"]
                heard, moved = net.f(random @ logits), net.df(random @ logits) * (random @ error)
            total.add(k, net.slopes[k] * net.df(feedback @ heard + bias) * (feedback @ moved), net)
    return total.mean()


def expected_difference(network, weights, x, teacher, constants):
    r"""Mean change of the highest $Q$ of DDTP-linear, at any $\sigma$: $W_L^\top - Q W_L W_L^\top - \lambda Q$."""
    top = network.output
    name, forward = f"Q_{top - 1}_{top}", weights[f"W_{top}_{top - 1}"]
    feedback = weights[name]
    return {name: forward.T - feedback @ forward @ forward.T - constants["decay"] * feedback}


def expected_reconstruction(network, weights, x, teacher, constants):
    r"""Mean changes of the highest Q and c of the control: $E[r a_L^\top] + \sigma^2 (W_L^\top - Q W_L W_L^\top) - \lambda Q$ and
    $E[r]$, with $r = h_{L-1} - Q a_L - c$."""
    top = network.output
    k, forward = top - 1, weights[f"W_{top}_{top - 1}"]
    feedback, bias, mean_q, mean_c = weights[f"Q_{k}_{top}"], weights[f"c_{k}"], 0.0, 0.0
    for sample in x:
        net = chain.forward(network, weights, sample)
        residue = net.rates[k] - feedback @ net.potentials[top] - bias
        mean_q, mean_c = mean_q + residue[:, None] * net.potentials[top] / len(x), mean_c + residue / len(x)
    shaken = constants["sigma"] ** 2 * (forward.T - feedback @ forward @ forward.T)
    return {f"Q_{k}_{top}": mean_q + shaken - constants["decay"] * feedback, f"c_{k}": mean_c}


CONSTANTS = {"step": 0.5, "sigma": 0.1, "decay": 0.1}
SHAKEN = "shaken = polarity*f(W(shaken_below) + b)"
CHAIN = """
    view = rate
    target = rate + f(Q(target_above)) - f(Q(view_above))
    mismatch = slope * (target - rate)
"""
CHAIN_TOP = """
    view = potential
    target = potential + step*(teacher - rate)
    mismatch = step*(teacher - rate)
"""
RANDOM = "calm = f(R(potential_output))\nmoved = f(R(target_output))"

dtp_difference_reconstruction = Rule(
    name="dtp_difference_reconstruction",
    reference=PAPER,
    pathways={"Q": Pathway("above", Normal())},
    constants=CONSTANTS,
    phases={
        "shake": Phase(
            input="shaken = rate",
            hidden=SHAKEN
            + """
                view = rate
                pull = f(Q(tugged_above)) - f(Q(view_above))
                tugged = rate + pull
            """,
            turn="""
                shaken = rate + sigma*noise
                residue = (sigma*noise - pull)/sigma**2
                up = residue*df(Q(tugged_above))
                down = residue*df(Q(view_above))
            """,
            output="""
                view = potential
                tugged = W(shaken_below) + b
            """,
            plasticity={"Q": "up_post*tugged_pre - down_post*view_pre - decay*w"},
        )
    },
    hidden=CHAIN,
    output=CHAIN_TOP,
    plasticity={"W": "mismatch_post * rate_pre"},
    limit=Limit("step", equals=through_chain, order=1),
    own=damped_newton,
)

ddtp_linear = Rule(
    name="ddtp_linear",
    reference=PAPER,
    pathways={"Q": Pathway("output", Normal())},
    constants=CONSTANTS,
    phases={
        "shake": Phase(
            input="shaken = rate",
            hidden=SHAKEN,
            turn="""
                shaken = rate + sigma*noise
                residue = (sigma*noise - Q(answer_output))/sigma**2
            """,
            output="answer = W(shaken_below) + b - potential",
            plasticity={"Q": "residue_post*answer_pre - decay*w"},
        )
    },
    hidden="mismatch = slope * Q(tug_output)",
    output="""
        tug = step*(teacher - rate)
        mismatch = tug
    """,
    plasticity={"W": "mismatch_post * rate_pre"},
    limit=Expectation(equals=expected_difference),
    own=damped_newton,
)

ddtp_control = Rule(
    name="ddtp_control",
    reference=PAPER,
    pathways={"Q": Pathway("output", Normal(), bias="c")},
    constants=CONSTANTS,
    phases={
        "shake": Phase(
            input="shaken = rate",
            hidden=SHAKEN,
            turn="""
                shaken = rate + sigma*noise
                residue = shaken - Q(answer_output) - c
            """,
            output="answer = W(shaken_below) + b",
            plasticity={"Q": "residue_post*answer_pre - decay*w", "c": "residue_post"},
        )
    },
    hidden="mismatch = slope * Q(tug_output)",
    output="""
        tug = step*(teacher - rate)
        mismatch = tug
    """,
    plasticity={"W": "mismatch_post * rate_pre"},
    limit=Expectation(equals=expected_reconstruction),
    own=damped_newton,
)

ddtp_rhl = Rule(
    name="ddtp_rhl",
    reference=PAPER,
    pathways={
        "R": Pathway("output", Normal()),
        "Q": Pathway("random", Normal(), bias="c"),
        "P": Pathway("output", Normal(), bias="d"),
    },
    constants=CONSTANTS,
    populations={"random": Population(48, RANDOM)},
    phases={
        "shake": Phase(
            input="shaken = rate",
            hidden=SHAKEN
            + """
                pull = f(Q(moved_random) + c) - f(Q(calm_random) + c)
                moved_slope = df(Q(moved_random) + c)
                calm_slope = df(Q(calm_random) + c)
            """,
            last=SHAKEN
            + """
                pull = f(P(target_output) + d) - f(P(potential_output) + d)
                moved_slope = df(P(target_output) + d)
                calm_slope = df(P(potential_output) + d)
            """,
            turn="""
                shaken = rate + sigma*noise
                residue = (sigma*noise - pull)/sigma**2
                up = residue*moved_slope
                down = residue*calm_slope
            """,
            output="target = W(shaken_below) + b",
            populations={"random": RANDOM},
            plasticity={
                "Q": "up_post*moved_pre - down_post*calm_pre - decay*w",
                "c": "up_post - down_post",
                "P": "up_post*target_pre - down_post*potential_pre - decay*w",
                "d": "up_post - down_post",
            },
        )
    },
    hidden="mismatch = slope * (f(Q(moved_random) + c) - f(Q(calm_random) + c))",
    last="mismatch = slope * (f(P(target_output) + d) - f(P(potential_output) + d))",
    output="""
        target = potential + step*(teacher - rate)
        mismatch = step*(teacher - rate)
    """,
    plasticity={"W": "mismatch_post * rate_pre"},
    limit=Limit("step", equals=through_random_layer, order=1),
    own=damped_newton,
    nets=Nets(activations=("tanh", "asinh")),  # where f is piecewise linear the offsets c and d cancel
)
