r"""Infomax: a layer learns to tell as much as it can about its input. No teacher, no error; derived from the objective.

Liu 2021 (arXiv:2109.13102) maximises $I(x; y)$ over $p(y|x)$ with a local, spike-based rule. What follows is derived from
that objective and not copied from the paper. The gradient it is held against is that of I, never backpropagation.

``infomax``: stochastic binary units, $p_i = \sigma(u_i)$, $u_i = w_i x + b_i$. With $\ell_i = \mathrm{logit}\, p(y_i = 1 | y_{-i})$,

    $\partial I / \partial w_i = \langle p_i (1 - p_i)(u_i - \ell_i)\, x \rangle$:   drive minus lateral prediction, times slope, times input

exactly. The prediction is learned by lateral synapses that follow the spikes of the neighbours,

    $\ell_i = L_i y + c_i$,   $\Delta L_{ij} = (y_i - \sigma(\ell_i))\, y_j$,   $L_{ii} = 0$

(exact if the marginal p(y) has pairwise interactions only). L has to learn faster than W, and over many inputs.

``infomax_gaussian``: $y = W x + s \xi$, where $\partial I / \partial W = \langle Q^{-1} y\, x^\top \rangle$ with $Q = \mathrm{Cov}(y)$. Recurrent
inhibition settles to $v = Q^{-1} y$, and its synapses follow the covariance:

    $\tau \dot v = y - Q v$,   $\Delta W = v x^\top$,   $\Delta Q = y y^\top - Q$

``infomax_square``: as many deterministic logistic units as inputs, $y = \sigma(u)$; natural gradient of $\langle \log |\det \partial y / \partial x| \rangle$,

    $\Delta W = W + (1 - 2 y)(W^\top u)^\top$,   $\Delta b = 1 - 2 y$

Information grows with gain: bound the weights, or their norm. Source of the objective: Liu 2021, arXiv:2109.13102; of the
square case: Bell and Sejnowski 1995, doi:10.1162/neco.1995.7.6.1129; of the linear one: Linsker 1992,
doi:10.1162/neco.1992.4.5.691.
"""

from neurolearn.rule import Diagonal, Nets, Normal, Orthogonal, Pathway, Rule, Tied

STOCHASTIC = """
    potential = W(fires_below) + b
    rate = 1/(1 + exp(-potential))
    fires = where(uniform < rate, 1, 0)
    guess = L(fires_here) + c
    surprise = rate*(1 - rate)*(potential - guess)
    miss = fires - 1/(1 + exp(-guess))
"""

infomax = Rule(
    name="infomax",
    reference="derived from the objective of Liu 2021, arXiv:2109.13102",
    pathways={"L": Pathway("here", Normal(0.1), bias="c")},
    input="fires = rate",
    hidden=STOCHASTIC,
    output=STOCHASTIC,
    plasticity={"W": "surprise_post * fires_pre", "L": "miss_post * fires_pre"},
    nets=Nets(shapes=((12, 8), (9, 7, 5)), activations=("tanh",)),
)

INHIBITED = """
    noisy = potential + spread*noise
    dfit/dt = (noisy - Q(fit_here)) / tau_fit
"""

infomax_gaussian = Rule(
    name="infomax_gaussian",
    reference="Linsker 1992, doi:10.1162/neco.1992.4.5.691",
    pathways={"Q": Pathway("here", Diagonal(), self_connections=True)},
    constants={"spread": 0.5},
    times={"tau_fit": 4.0},
    hidden=INHIBITED,
    output=INHIBITED,
    plasticity={"W": "fit_post * rate_pre", "Q": "noisy_post * noisy_pre - w"},
    nets=Nets(shapes=((12, 8), (9, 7, 5)), activations=("linear",)),
)

LOGISTIC = "rate = 1/(1 + exp(-potential))\necho = T(potential_above)"

infomax_square = Rule(
    name="infomax_square",
    reference="Bell and Sejnowski 1995, doi:10.1162/neco.1995.7.6.1129",
    pathways={"W": Pathway("below", Orthogonal(), bias="b"), "T": Pathway("above", Tied("W", "transpose"))},
    input="echo = T(potential_above)",
    hidden=LOGISTIC,
    output="rate = 1/(1 + exp(-potential))",
    plasticity={"W": "w + (1 - 2*rate_post)*echo_pre", "b": "1 - 2*rate_post"},
    nets=Nets(shapes=((10, 10), (7, 7, 7)), activations=("tanh",)),
)
