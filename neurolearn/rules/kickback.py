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

import numpy as np

from neurolearn import chain
from neurolearn.rule import Identity, Nets, Normal, Pathway, Rule, Tied


def truncated(network, weights, x, teacher, constants, reach=1):
    r"""$\beta\, g_j h_i$ times the sum over the paths that leave unit j, each followed for at most ``reach`` layers.

    A path of layers $l \dots m$ counts $\prod_k g_k w_k$, ends at the output or after ``reach`` steps, and is worth 1 from
    there on. Reach 1 is kickback, the depth of the network is the gradient, and 0 a mere broadcast of $\beta$.
    """
    total = chain.Changes(network, len(x))
    for sample, target in zip(x, teacher, strict=True):
        net, depth = chain.forward(network, weights, sample), network.output
        error = np.sum(target - net.rates[depth])
        for layer in range(1, depth + 1):
            end = min(layer + reach, depth)
            influence = np.ones(network.sizes[end])
            for k in range(end, layer, -1):
                influence = weights[f"W_{k}_{k - 1}"].T @ (net.slopes[k] * influence)
            total.add(layer, error * net.slopes[layer] * influence, net)
    return total.mean()


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
    nets=Nets(shapes=((12, 10, 8, 1), (9, 12, 10, 7, 1)), activations=("softplus", "relu"), signed=True, scalar=True),
    limit=Identity(equals=truncated, tolerance=1e-12),  # the same real-number algebra: rounding only
    own=truncated,
)
