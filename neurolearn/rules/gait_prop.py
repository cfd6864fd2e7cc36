r"""GAIT-prop: incremental targets whose step is scaled by f' twice, which makes them carry the gradient.

With $g_l(u) = W_l^{-1}(f^{-1}(u) - b_l)$, $D_l = \mathrm{diag} f'(a_l)$ and the increment $\gamma$,

    $\hat h_{l-1} = g_l(h_l + \gamma D_l^2 (\hat h_l - h_l))$,   $\Delta W_l = D_l \gamma^{-(L-l)} (\hat h_l - h_l)\, h_{l-1}^\top$

is the published form, ``gait_prop_published``. To first order in $\gamma$ the error of a layer is $W^{-1} D$ times that
of the layer above, where backpropagation has $W^\top D$: the two agree for orthogonal W. Published with
$\gamma = 10^{-3}$; as the perturbation shrinks like $\gamma^{L-l}$ on its way down, four hidden layers leave the lowest
one nothing but rounding. ``gait_prop`` is the per-layer difference, which has the same first order and no such powers:

    $e_{l-1} = (g_l(h_l + \gamma D_l^2 e_l) - g_l(h_l)) / \gamma = W_l^{-1} (f^{-1}(h_l + \gamma D_l^2 e_l) - a_l) / \gamma$,   $\Delta W_l = D_l e_l h_{l-1}^\top$

W is square, or reads only the first units of the layer below (a masked connection): the pseudo-inverse then gives the
units that are not read, the auxiliary ones, no error, as in the paper's tower. A dense W with fewer rows than columns
works too, and equals backpropagation where its rows are orthonormal.

``gait_prop_orthogonal`` keeps W orthogonal by the paper's regulariser $R = \sum_{i \neq j} (W^\top W)_{ij}^2$, whose
gradient is $4 W (W^\top W - \mathrm{diag})$. Here it is learned locally in a phase of noise $\xi$: a layer sends
$W \xi$ back through the transpose and hears its own echo again, and on average

    $W W^\top W \xi\, \xi^\top - W \odot (1\, (W^\top W \xi \odot \xi)^\top) \to W W^\top W - W \mathrm{diag}(W^\top W)$

It constrains directions and not norms. Steps are per sample. Source: Ahmad, van Gerven and Ambrogioni 2020,
arXiv:2006.06438.
"""

from neurolearn.rule import Limit, Pathway, Phase, Rule, Tied
from neurolearn.rules.target_propagation import FORWARD, SQUARE

DIFFERENCE = {
    "hidden": """
        error = V(pull_above)
        pull = (inv(rate + gamma*slope**2*error) - potential)/gamma
        delta = slope*error
    """,
    "output": """
        pull = teacher - rate
        delta = teacher - rate
    """,
    "plasticity": {"W": "delta_post * rate_pre"},
}
INVERSE = Pathway("above", Tied("W", "pseudo-inverse"))

gait_prop = Rule(
    name="gait_prop",
    reference="Ahmad et al. 2020, arXiv:2006.06438",
    pathways={"W": FORWARD, "V": INVERSE},
    constants={"gamma": 0.01},
    **DIFFERENCE,
    nets=SQUARE,
    limit=Limit("gamma", equals="backprop", order=1, set={"W": "orthogonal"}, values=(1e-1, 1e-2, 1e-3, 1e-4)),
)

gait_prop_published = Rule(
    name="gait_prop_published",
    reference="Ahmad et al. 2020, arXiv:2006.06438",
    pathways={"W": FORWARD, "V": INVERSE},
    constants={"gamma": 0.5},
    hidden="""
        target = rate + V(pull_above)
        pull = inv(rate + gamma*slope**2*(target - rate)) - potential
        delta = slope*(target - rate)/gamma**distance
    """,
    output="""
        pull = gamma*(teacher - rate)
        delta = teacher - rate
    """,
    plasticity={"W": "delta_post * rate_pre"},
    nets=SQUARE,
)

gait_prop_orthogonal = Rule(
    name="gait_prop_orthogonal",
    reference="Ahmad et al. 2020, arXiv:2006.06438",
    pathways={"W": FORWARD, "V": INVERSE, "T": Pathway("above", Tied("W", "transpose"))},
    constants={"gamma": 0.01, "strength": 0.01},
    phases={
        "straighten": Phase(
            input="probe = noise\necho = T(image_above)",
            hidden="""
                probe = noise
                image = W(probe_below)
                echo = T(image_above)
                again = W(echo_below)
            """,
            output="image = W(probe_below)\nagain = W(echo_below)",
            plasticity={"W": "4*strength*(w*echo_pre*probe_pre - again_post*probe_pre)"},
        )
    },
    **DIFFERENCE,
    nets=SQUARE,
)
