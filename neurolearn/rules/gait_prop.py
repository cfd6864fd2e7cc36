r"""GAIT-prop: incremental targets whose step is scaled by f' twice, which makes them carry the gradient.

With $g_l(u) = W_l^{-1}(f^{-1}(u) - b_l)$, $D_l = \mathrm{diag} f'(a_l)$ and the increment $\gamma$,

    $\hat h_{l-1} = g_l(h_l + \gamma D_l^2 (\hat h_l - h_l))$,   $\Delta W_l = D_l \gamma^{-(L-l)} (\hat h_l - h_l)\, h_{l-1}^\top$

is the published form, ``gait_prop_published``. To first order in $\gamma$ the error of a layer is $W^{-1} D$ times that
of the layer above, where backpropagation has $W^\top D$: the two agree for orthogonal W. Published with
$\gamma = 10^{-3}$; as the perturbation shrinks like $\gamma^{L-l}$ on its way down, four hidden layers leave the lowest
one nothing but rounding. (With a linear or softmax output, as here, the highest hidden layer is exact and those below
are off by order 2 in $\gamma$.) ``gait_prop`` is the per-layer difference, which has the same limit, with order 1, and no
such powers:

    $e_{l-1} = (g_l(h_l + \gamma D_l^2 e_l) - g_l(h_l)) / \gamma = W_l^{-1} (f^{-1}(h_l + \gamma D_l^2 e_l) - a_l) / \gamma$
    $\Delta W_l = D_l e_l h_{l-1}^\top$

W is square, or reads only the first units of the layer below (a masked connection): the pseudo-inverse then gives the
units that are not read, the auxiliary ones, no error, as in the paper's tower. A dense W with fewer rows than columns
works too, and equals backpropagation where its rows are orthonormal.

``gait_prop_orthogonal`` keeps W orthogonal by the paper's regulariser $R = \sum_{i \neq j} (W^\top W)_{ij}^2$, whose
gradient is $4 W (W^\top W - \mathrm{diag})$. Here it is learned locally in a phase of noise $\xi$: a layer sends
$W \xi$ back through the transpose and hears its own echo again, and on average

    $W W^\top W \xi\, \xi^\top - W \odot (1\, (W^\top W \xi \odot \xi)^\top) \to W W^\top W - W \mathrm{diag}(W^\top W)$

where a cell forms the product of its noise with the echo of it, ``own_echo``, and sends that on.

It constrains directions and not norms: at its minimum $W^\top W = \mathrm{diag}(d)$, and the pull on a unit is 1/d times
what backpropagation would have. Steps are per sample. Source: Ahmad, van Gerven and Ambrogioni 2020, arXiv:2006.06438.
"""

import numpy as np

from neurolearn import chain
from neurolearn.rule import Expectation, Limit, Pathway, Phase, Rule, Tied
from neurolearn.rules.incremental_target_propagation import DECADES
from neurolearn.rules.target_propagation import FORWARD, SQUARE


def inverse_weights(network, weights, x, teacher, constants):
    r"""Changes as $\gamma$ goes to 0: $e_{l-1} = W_l^+ D_l e_l$, $e_L = t - h_L$, whatever W is."""
    total = chain.Changes(network, len(x))
    for sample, label in zip(x, teacher, strict=True):
        net, depth = chain.forward(network, weights, sample), network.output
        error = label - net.rates[depth]
        for k in range(depth, 0, -1):
            total.add(k, net.slopes[k] * error, net)
            if k > 1:
                error = np.linalg.pinv(weights[f"W_{k}_{k - 1}"]) @ (net.slopes[k] * error)
    return total.mean()


def differences(network, weights, x, teacher, constants):
    r"""The per-layer difference at a finite $\gamma$: $e_{l-1} = W_l^+ (f^{-1}(h_l + \gamma D_l^2 e_l) - a_l) / \gamma$."""
    gamma, inverse = constants["gamma"], chain.INVERSES[network.activation.name]
    total = chain.Changes(network, len(x))
    for sample, label in zip(x, teacher, strict=True):
        net, depth = chain.forward(network, weights, sample), network.output
        pull = label - net.rates[depth]
        total.add(depth, pull, net)
        for k in range(depth - 1, 0, -1):
            error = np.linalg.pinv(weights[f"W_{k + 1}_{k}"]) @ pull
            total.add(k, net.slopes[k] * error, net)
            pull = (inverse(net.rates[k] + gamma * net.slopes[k] ** 2 * error) - net.potentials[k]) / gamma
    return total.mean()


def straightened(network, weights, x, teacher, constants):
    r"""The same, matrices only, with what the noise adds on average, $-4\,\mathrm{strength}\; W (W^\top W - \mathrm{diag})$."""
    changes = differences(network, weights, x, teacher, constants)
    mean = {}
    for name in (f"W_{k}_{k - 1}" for k in range(1, network.output + 1)):
        w, gram = weights[name], weights[name].T @ weights[name]
        mean[name] = changes[name] - 4 * constants["strength"] * w @ (gram - np.diag(np.diag(gram)))
    return mean


DIFFERENCE = {
    "hidden": """
        error = V(pull_above)
        pull = (inv(f(potential) + gamma*slope**2*error) - potential)/gamma
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
    own=inverse_weights,
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
    limit=Limit("gamma", equals="backprop", order=2, set={"W": "orthogonal"}, values=DECADES),
    own=inverse_weights,
)

gait_prop_orthogonal = Rule(
    name="gait_prop_orthogonal",
    reference="Ahmad et al. 2020, arXiv:2006.06438",
    pathways={"W": FORWARD, "V": INVERSE, "T": Pathway("above", Tied("W", "transpose"))},
    constants={"gamma": 0.01, "strength": 0.01},
    phases={
        "straighten": Phase(
            input="probe = noise\necho = T(image_above)\nown_echo = echo*probe",
            hidden="""
                probe = noise
                image = W(probe_below)
                echo = T(image_above)
                own_echo = echo*probe
                again = W(echo_below)
            """,
            output="image = W(probe_below)\nagain = W(echo_below)",
            plasticity={"W": "4*strength*(w*own_echo_pre - again_post*probe_pre)"},
        )
    },
    **DIFFERENCE,
    nets=SQUARE,
    limit=Expectation(equals=straightened),
    own=straightened,
)
