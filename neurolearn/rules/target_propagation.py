r"""Target propagation: the label is pulled back through inverses, and every layer learns towards its target.

With $g_l(u) = W_l^{-1}(f^{-1}(u) - b_l)$, the inverse of layer l,

    $\hat h_L = t$,   $\hat h_{l-1} = g_l(\hat h_l)$,   $\Delta W_l = f'(a_l) \odot (\hat h_l - h_l)\, h_{l-1}^\top$

``target_propagation`` has the exact inverse (W square; else the pseudo-inverse), ``target_propagation_learned`` the
decoder $V(f^{-1}(u) - b_l)$ whose V starts anywhere and learns, without noise, to undo its own layer:

    $\Delta V_l = (h_{l-1} - V_l\, o_l)\, o_l^\top$,   $o_l = f^{-1}(h_l) - b_l = a_l - b_l$

With cross-entropy the top target is that of the logits, $a_L + t - h_L$. The rule is backpropagation if $W_2 \dots W_L$
are orthogonal and the network is linear on the sample; the converse is false, as it is the Jacobians
$J_l = \mathrm{diag} f'(a_l) W_l$ that have to be orthogonal. For small errors the rule follows the inverse Jacobians,
$\hat h_l - h_l \to J_{l+1}^{-1} \cdots J_L^{-1} (t - h_L)$; without output units that are free, all samples of a class have
the same targets. With leaky ReLU of slope 0.1 a target below zero is ten times as far off one layer down. V's fixed
point is $W^{-1}$ on the span of the data: $V - W^{-1}$ shrinks by $I - \eta \langle o\, o^\top \rangle$ in every update, and
stays as it was where there are no data. Steps are per sample. Source: Bengio 2014, arXiv:1407.7906; the exact inverse as
in Ahmad, van Gerven and Ambrogioni 2020, arXiv:2006.06438.
"""

import numpy as np

from neurolearn import chain
from neurolearn.rule import Identity, Nets, Orthogonal, Pathway, Rule, Tied

SQUARE = Nets(shapes=((10, 10, 10, 10), (9, 9, 9, 9, 9)), activations=("asinh", "leaky_relu"), chain=True)
FORWARD = Pathway("below", Orthogonal(), bias="b")


def _follow(network, weights, x, teacher, inverse):
    """Changes of $e_{l-1} = G_l D_l^{-1} e_l$ with inverse(l) = $G_l$, where $D_L = 1$."""
    total = chain.Changes(network, len(x))
    for sample, label in zip(x, teacher, strict=True):
        net, depth = chain.forward(network, weights, sample), network.output
        error = label - net.rates[depth]
        for k in range(depth, 0, -1):
            total.add(k, net.slopes[k] * error, net)
            if k > 1:
                error = inverse(k) @ (error / net.slopes[k])
    return total.mean()


def inverse_jacobians(network, weights, x, teacher, constants):
    r"""Changes to first order in the error: $e_{l-1} = J_l^+ e_l$, with $W_l^+$ for the inverse, $e_L = t - h_L$."""
    return _follow(network, weights, x, teacher, lambda k: np.linalg.pinv(weights[f"W_{k}_{k - 1}"]))


def inverse_decoders(network, weights, x, teacher, constants):
    r"""The same through the decoders that are there: $e_{l-1} = V_l D_l^{-1} e_l$."""
    return _follow(network, weights, x, teacher, lambda k: weights[f"V_{k - 1}_{k}"])


HIDDEN = """
    target = V(goal_above)
    goal = inv(target) - b
    mismatch = slope*(target - rate)
"""
OUTPUT = """
    goal = potential + teacher - rate - b
    mismatch = teacher - rate
"""

target_propagation = Rule(
    name="target_propagation",
    reference="Bengio 2014, arXiv:1407.7906",
    pathways={"W": FORWARD, "V": Pathway("above", Tied("W", "pseudo-inverse"))},
    hidden=HIDDEN,
    output=OUTPUT,
    plasticity={"W": "mismatch_post * rate_pre"},
    nets=SQUARE,
    limit=Identity(set={"W": "orthogonal"}, linear=True),
    own=inverse_jacobians,
)

target_propagation_learned = Rule(
    name="target_propagation_learned",
    reference="Bengio 2014, arXiv:1407.7906",
    pathways={"W": FORWARD, "V": Pathway("above", Orthogonal())},
    hidden=HIDDEN + "image = potential - b\nwonder = rate - V(image_above)",
    output=OUTPUT + "image = potential - b",
    plasticity={"W": "mismatch_post * rate_pre", "V": "wonder_post * image_pre"},
    nets=SQUARE,
    limit=Identity(set={"W": "orthogonal", "V": "transpose"}, linear=True, weights=("W",)),
    own=inverse_decoders,
)
