r"""Feedback alignment: the error travels back through fixed random weights.

    $\delta_l = f'(a_l) \odot B_l \delta_{l+1}$,   $\Delta W_l = \delta_l h_{l-1}^\top$,   $\delta_L = t - h_L$

$B_l$ (units of l, units of l+1) is drawn once and never learns. With $B_l = W_{l+1}^\top$ the rule is backpropagation.
Replacing $W_L$ while the output error is held leaves every hidden update bitwise unchanged: no weight is transported.
Why it aligns: without biases, small steps conserve $|w_i|^2 - 2 (B_l W_{l+1})_{ii}$ of every rectifier i of layer l, so that
incoming weights grow only as outgoing ones align with B. Skip connections have feedback weights of their own; an identity
is fed back as it is. From zero weights (tanh, biases held at 0) one more layer starts to learn in every step.
Source: Lillicrap, Cownden, Tweed and Akerman 2016, doi:10.1038/ncomms13276.
"""

from neurolearn.rule import Identity, Pathway, Rule, Uniform

feedback_alignment = Rule(
    name="feedback_alignment",
    reference="Lillicrap et al. 2016, doi:10.1038/ncomms13276",
    pathways={"B": Pathway("above", Uniform(1.0))},
    hidden="error = slope * B(error_above)",
    output="error = teacher - rate",
    plasticity={"W": "error_post * rate_pre"},
    limit=Identity(set={"B": "transpose"}, equals="backprop"),
)
