r"""Kickback: one signed error for all, and a kick that runs back along each unit's own synapses, one layer and no further.

Rectifiers of fixed polarity $s_j = \pm 1$ (``Network(signed=True)``): $h_j = s_j f(a_j)$, slope $g_j = s_j f'(a_j)$, one linear
output. The neuromodulator carries $\beta = t - o$; each unit gathers its influence on the next layer,

    $\tau_j = \sum_k g_k w_{jk}$,   $\Delta w_{ij} = \beta\, \tau_j\, g_j\, h_i$,   $\tau = 1$ at the output

where backpropagation has $\pi_j = \sum_k g_k w_{jk} \pi_k$. The last two layers are backpropagation exactly. In a coherent
network, $s_k w_{jk} \geq 0$ for all weights but those of the first layer, every $\tau$ and every $\pi$ is non-negative, and no
sample moves a weight the wrong way; weights keep these signs after every step. The kick uses the strength of the very
synapse that it runs back along: retrograde, no weight is needed elsewhere. The guarantee is per sample and not per batch.
For classes: one network per class. Source: Balduzzi, Vanchinathan and Buhmann 2015, arXiv:1411.6191.
"""

from neurolearn.rule import Nets, Normal, Pathway, Rule, Tied

kickback = Rule(
    name="kickback",
    reference="Balduzzi et al. 2015, arXiv:1411.6191",
    pathways={
        "W": Pathway("below", Normal(), bias="b", coherent=True),
        "K": Pathway("above", Tied("W", "retrograde")),
    },
    broadcast={"modulator": "sum(teacher - rate)"},
    hidden="credit = slope * K(slope_above)",
    output="credit = slope",
    plasticity={"W": "modulator * credit_post * rate_pre"},
    nets=Nets(
        shapes=((12, 10, 8, 1), (9, 12, 10, 7, 1)), activations=("softplus", "relu"), signed=True, scalar=True
    ),
)
