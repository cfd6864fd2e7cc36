r"""Target propagation: the label is pulled back through inverses, and every layer learns towards its target.

With $g_l(u) = W_l^{-1}(f^{-1}(u) - b_l)$, the inverse of layer l,

    $\hat h_L = t$,   $\hat h_{l-1} = g_l(\hat h_l)$,   $\Delta W_l = f'(a_l) \odot (\hat h_l - h_l)\, h_{l-1}^\top$

``target_propagation`` has the exact inverse (W square; else the pseudo-inverse), ``target_propagation_learned`` the
decoder $V(f^{-1}(u) - b_l)$ whose V starts anywhere and learns, without noise, to undo its own layer:

    $\Delta V_l = (h_{l-1} - V_l\, o_l)\, o_l^\top$,   $o_l = f^{-1}(h_l) - b_l = a_l - b_l$

With cross-entropy the top target is that of the logits, $a_L + t - h_L$. The rule is backpropagation if $W_2 \dots W_L$
are orthogonal and the network is linear on the sample; the converse is false. With leaky ReLU of slope 0.1 a target below
zero is ten times as far off one layer down. Steps are per sample. Source: Bengio 2014, arXiv:1407.7906; the exact
inverse as in Ahmad, van Gerven and Ambrogioni 2020, arXiv:2006.06438.
"""

from neurolearn.rule import Identity, Nets, Normal, Orthogonal, Pathway, Rule, Tied

SQUARE = Nets(shapes=((10, 10, 10, 10), (7, 7, 7, 7, 7)), activations=("asinh", "leaky_relu"), chain=True)
FORWARD = Pathway("below", Orthogonal(), bias="b")
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
)
