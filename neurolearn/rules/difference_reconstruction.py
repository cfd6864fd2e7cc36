r"""Targets through feedback that is trained on the difference reconstruction loss.

Each hidden layer i is shaken in its turn, $\tilde h_i = h_i + \sigma \xi$, the output answers with $\tilde a_L$ (logits), and
feedback learns to name the noise from that answer. Outputs are linear in these rules (the softmax is part of the loss), a
step $\beta$ is taken on the logits, and the output layer's own change is scaled by it: $e = \beta (t - h_L)$.

``ddtp_linear``: direct linear feedback, $\hat h_i = h_i + Q_i e$, with

    $R_i = \sigma^{-2} |Q_i (\tilde a_L - a_L) - \sigma \xi|^2 + \lambda |Q_i|^2$,   $\Delta Q_i = \sigma^{-2} (\sigma \xi - Q_i (\tilde a_L - a_L)) (\tilde a_L - a_L)^\top - \lambda Q_i$

For one sample and $\sigma \to 0$ it tends to $Q_i = J_i^\top (J_i J_i^\top + \lambda I)^{-1}$, $J_i = \partial a_L / \partial h_i$: a damped
Gauss-Newton target. Over samples it is the ridge regression of $\sum J^\top$ on $\sum J J^\top$.

``dtp_difference_reconstruction`` (DTPDRL): the layer-wise chain of difference target propagation, with the shaken output
pulled back through the differences of the layers above,

    $\hat h_L = a_L + e$,   $\hat h_i = h_i + f(Q_i \hat h_{i+1}) - f(Q_i h_{i+1})$,   $R_i = \sigma^{-2} |f(Q_i t_{i+1}) - f(Q_i h_{i+1}) - \sigma \xi|^2 + \lambda |Q_i|^2$

where t is that chain started at $\tilde a_L$. ``ddtp_rhl``: a shared, fixed random layer $z = f(R a_L)$ stands between the output
and the hidden layers, $\hat h_i = h_i + f(Q_i z(\hat a_L) + c_i) - f(Q_i z(a_L) + c_i)$; the highest hidden layer hears the
output itself. ``ddtp_control``: as ``ddtp_linear``, but Q learns plain reconstruction, $|Q_i \tilde a_L + c_i - \tilde h_i|^2$, without
the difference; its loss has no $\sigma^{-2}$. Steps are per sample, without a factor 2.
Source: Meulemans et al. 2020, arXiv:2006.14331.
"""

from neurolearn.rule import Normal, Pathway, Phase, Population, Rule

PAPER = "Meulemans et al. 2020, arXiv:2006.14331"
CONSTANTS = {"step": 0.5, "sigma": 0.1, "decay": 0.1}
SHAKEN = "shaken = f(W(shaken_below) + b)"
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
)

ddtp_linear = Rule(
    name="ddtp_linear",
    reference=PAPER,
    pathways={"Q": Pathway("output", Normal())},
    constants=CONSTANTS,
    phases={
        "shake": Phase(
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
)

ddtp_control = Rule(
    name="ddtp_control",
    reference=PAPER,
    pathways={"Q": Pathway("output", Normal(), bias="c")},
    constants=CONSTANTS,
    phases={
        "shake": Phase(
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
)
