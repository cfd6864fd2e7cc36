r"""Direct feedback alignment: every hidden layer hears the output error through its own fixed random weights.

    $\delta_l = f'(a_l) \odot B_l (t - h_L)$,   $\Delta W_l = \delta_l h_{l-1}^\top$

$B_l$ (units of l, output units) never learns. In the last hidden layer of a chain the rule is feedback alignment; in a
linear network with $B_l = (W_L \cdots W_{l+1})^\top$ (over skips: the sum over all paths) it is backpropagation.
Source: Nokland 2016, arXiv:1609.01596.
"""

from neurolearn.rule import Identity, Pathway, Rule, Uniform

direct_feedback_alignment = Rule(
    name="direct_feedback_alignment",
    reference="Nokland 2016, arXiv:1609.01596",
    pathways={"B": Pathway("output", Uniform(1.0))},
    hidden="error = slope * B(error_output)",
    output="error = teacher - rate",
    plasticity={"W": "error_post * rate_pre"},
    limit=Identity(set={"B": "path transpose"}, linear=True, equals="backprop"),
)
