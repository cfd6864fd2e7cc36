r"""Backpropagation of errors, as a circuit would have to do it: the reference with weight transport.

Setting: $h_l = f(a_l)$, $a_l = W_l h_{l-1} + b_l$, error at the output $\delta_L = t - h_L$ (the exact negative gradient
for squared error with linear output and for cross-entropy with softmax).

    $\delta_l = f'(a_l) \odot W_{l+1}^\top \delta_{l+1}$,   $\Delta W_l = \delta_l h_{l-1}^\top$

Every backward synapse carries the transpose of the forward one at all times; the ledger says so.
Source: Rumelhart, Hinton and Williams 1986, doi:10.1038/323533a0.
"""

from neurolearn.rule import Identity, Pathway, Rule, Tied

backprop = Rule(
    name="backprop",
    reference="Rumelhart et al. 1986, doi:10.1038/323533a0",
    pathways={"B": Pathway("above", Tied("W", "transpose"))},
    hidden="error = slope * B(error_above)",
    output="error = teacher - rate",
    plasticity={"W": "error_post * rate_pre"},
    limit=Identity(equals="backprop", tolerance=1e-12),  # the same real-number algebra: rounding only
)
