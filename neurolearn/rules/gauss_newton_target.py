r"""Gauss-Newton targets, the yardstick of the target rules: what a settled loop through the whole network gives.

    $\hat h_i - h_i = J_i^\top (J_i J_i^\top + \lambda I)^{-1} (t - h_L)$,   $J_i = \partial a_L / \partial h_i$
    $\Delta W_i = f'(a_i) \odot (\hat h_i - h_i)\, h_{i-1}^\top$,   $\Delta W_L = (t - h_L) h_{L-1}^\top$ (undamped)

Each hidden layer has its turn. A controller u at the output sends $J_i^\top u$ down through the transposes; from layer i
the result goes up again through the forward weights and their slopes, and u integrates what is left of the error,

    $\tau_u \dot u = (t - h_L) - J_i J_i^\top u - \lambda u$

The layer keeps its settled $J_i^\top u$. As $\lambda \to 0$ the target tends to the pseudo-inverse $J_i^+ (t - h_L)$; for large
$\lambda$ it is backpropagation over $\lambda$. A reference, not a proposal for a brain: every weight is transported.
Steps are per sample. Source: Meulemans et al. 2020, arXiv:2006.14331.
"""

from neurolearn.rule import Pathway, Phase, Rule, Tied

gauss_newton_target = Rule(
    name="gauss_newton_target",
    reference="Meulemans et al. 2020, arXiv:2006.14331",
    pathways={"T": Pathway("above", Tied("W", "transpose"))},
    constants={"damping": 1.0},
    times={"tau_control": 20.0},
    phases={
        "newton": Phase(
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
)
