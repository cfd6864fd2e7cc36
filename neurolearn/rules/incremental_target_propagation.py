r"""Incremental target propagation: targets a small step away from the forward pass, pulled back through inverses.

With $g_l(u) = W_l^{-1}(f^{-1}(u) - b_l)$ and the increment $\gamma$ in every layer,

    $\hat h_{l-1} = g_l((1 - \gamma) h_l + \gamma \hat h_l)$,   $\hat h_L = t$
    $\Delta W_l = f'(a_l) \odot \gamma^{-(L-l)} (\hat h_l - h_l)\, h_{l-1}^\top$

Since $h_{l-1} = g_l(h_l)$, the same target is $h_{l-1} + W_l^{-1}(f^{-1}(\cdot) - a_l)$: that is the form here, which a
learned or a pseudo-inverse needs so that its own error is not divided by $\gamma^{L-l}$. To first order in $\gamma$ the
rule follows the inverse Jacobian, $\hat h_l - h_l \to \gamma^{L-l} J_{L \leftarrow l}^{-1} e_L$, a Gauss-Newton target; in
a linear network it is target propagation at any $\gamma$. The output here is linear, or softmax with its target in the
logits, so that the highest hidden layer is exact and those below are off by order 2 in $\gamma$ (a nonlinear output makes
it order 1).
The perturbation shrinks as $\gamma^{L-l}$ on its way down, so a small $\gamma$ drowns in rounding, and in spikes much
sooner: hence the large default. ``incremental_target_propagation_learned`` learns V as ``target_propagation_learned``
does. Source: Ahmad, van Gerven and Ambrogioni 2020, arXiv:2006.06438.
"""

from neurolearn.rule import Limit, Orthogonal, Pathway, Rule, Tied
from neurolearn.rules.target_propagation import FORWARD, SQUARE, inverse_decoders, inverse_jacobians

DECADES = (3e-1, 1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4)  # below, rounding by eps/gamma**(L - l) would show
HIDDEN = """
    target = rate + V(pull_above)
    pull = inv(rate + gamma*(target - rate)) - potential
    mismatch = slope*(target - rate)/gamma**distance
"""
OUTPUT = """
    pull = gamma*(teacher - rate)
    mismatch = teacher - rate
"""

incremental_target_propagation = Rule(
    name="incremental_target_propagation",
    reference="Ahmad et al. 2020, arXiv:2006.06438",
    pathways={"W": FORWARD, "V": Pathway("above", Tied("W", "pseudo-inverse"))},
    constants={"gamma": 0.5},
    hidden=HIDDEN,
    output=OUTPUT,
    plasticity={"W": "mismatch_post * rate_pre"},
    nets=SQUARE,
    limit=Limit("gamma", equals=inverse_jacobians, order=2, values=DECADES),
    own=inverse_jacobians,
)

incremental_target_propagation_learned = Rule(
    name="incremental_target_propagation_learned",
    reference="Ahmad et al. 2020, arXiv:2006.06438",
    pathways={"W": FORWARD, "V": Pathway("above", Orthogonal())},
    constants={"gamma": 0.5},
    hidden=HIDDEN + "image = potential - b\nwonder = rate - V(image_above)",
    output=OUTPUT + "image = potential - b",
    plasticity={"W": "mismatch_post * rate_pre", "V": "wonder_post * image_pre"},
    nets=SQUARE,
    limit=Limit("gamma", equals=inverse_decoders, order=2, values=DECADES),
    own=inverse_decoders,
)
