r"""Dynamic inversion: a feedback loop settles to the (damped) inverse of the forward weights.

Per layer pair, with forward weights $W$ (up) and feedback $B$ (down), a leaky controller $u$ in the upper layer drives
the lower layer's $\delta = B u$ until its image meets the error above:

    $\tau_u \dot u_{l+1} = W_{l+1} \delta_l - e_{l+1} - \alpha u_{l+1}$,   $\delta_l = B_l u_{l+1}$,   $e_l = f'(a_l) \odot \delta_l$
    $\Delta W_l = e_l h_{l-1}^\top$,   $e_L = t - h_L$

The settled state is $\delta_l = B_l (W_{l+1} B_l - \alpha I)^{-1} e_{l+1}$. The factor f' is multiplied once, after the loop;
errors are in the units of the output error, steps are per sample, the leak is 0.1. As $\alpha \to 0$ it tends to $W^+ e$; as it
grows, layer l tends to backpropagation over $\alpha^{L-l}$: no single factor serves two layers.

Both ways of a loop are synapses of lag $\tau_s$, so its modes are the roots of $(\tau_s s + 1)^2 (\tau_u s + \alpha) = \mu$, $\mu$ an
eigenvalue of $W B$. With $\mu = -\sigma^2$, the squares of W's singular values, the loop is stable if and only if

    $\tau_u \tau_s\, \sigma_{max}^2 < 2 (\tau_u + \alpha \tau_s)^2$

and it slows as $(\alpha + \sigma_{min}^2) / \tau_u$. (The two-population loop of the paper has the one lag of the way down and is
stable for any $\sigma$ then.) It is checked before anything runs.

``dynamic_inversion`` is the repeat-layer form (RDI): every hidden layer takes part in two loops, as the receiver of one and
the controller of another, and all run at once. ``sequential_dynamic_inversion`` (SDI) runs one loop after the other, from
the top: each keeps its error for the next. Both have $B = -W^\top$, so $\delta = W^\top (W W^\top + \alpha I)^{-1} e$.
``non_dynamic_inversion`` (NDI) has that matrix in its synapses and no loop. ``dynamic_inversion_learned``: B starts small and
independent of W, so that its loop is stable, and learns $-W^\top$ from noise, a stage that comes first. While B is small the
loop settles at the rate $\alpha / \tau_u$ and no faster, so its leak is 0.2:

    $\Delta B_l = -\xi_l (W_{l+1} \xi_l)^\top - B_l$

``single_loop_dynamic_inversion`` (SLDI): one controller at the output and one matrix, to the first hidden layer; from there
the forward weights carry the signal up, without slopes and biases: $\delta_1 = B (W_L \cdots W_2 B - \alpha I)^{-1} e$,
$\delta_l = W_l \delta_{l-1}$. The way round has L lags, $(\tau_s s + 1)^L (\tau_u s + \alpha) = \mu$; with two hidden layers and
no leak it is stable below $\sigma_{max}^2 = 8 \tau_u / 9 \tau_s$. ``tau_control`` = 10 is stable in all of 80 random nets of two and
three hidden layers.
Source: Podlaski and Machens 2020, arXiv:2007.05112.
"""

import numpy as np

from neurolearn import chain
from neurolearn.rule import Expectation, Identity, Limit, Nets, Pathway, Phase, Rule, Tied, Uniform
from neurolearn.rules.gauss_newton_target import right_inverse

DAMPING = 0.1  # the leak of every loop, and what NDI has in its matrix


def damped_inverse(network, weights, x, teacher, constants):
    r"""Changes with $e_l = f'(a_l) \odot W^\top (W W^\top + \alpha I)^{-1} e_{l+1}$, layer by layer from $e_L = t - h_L$."""
    total, leak = chain.Changes(network, len(x)), constants.get("leak", DAMPING)
    for sample, target in zip(x, teacher, strict=True):
        net, top = chain.forward(network, weights, sample), network.output
        error = target - net.rates[top]
        total.add(top, error, net)
        for k in range(top - 1, 0, -1):
            error = net.slopes[k] * (right_inverse(weights[f"W_{k + 1}_{k}"], leak) @ error)
            total.add(k, error, net)
    return total.mean()


def pseudo_inverse(network, weights, x, teacher, constants):
    """The limit of ``damped_inverse`` without leak: $W^+ e$ in every layer."""
    return damped_inverse(network, weights, x, teacher, {"leak": 0.0})


def path_inverse(network, weights, x, teacher, constants):
    r"""Changes with $\delta_1 = P^\top (P P^\top + \alpha I)^{-1} e$, $P = W_L \cdots W_2$; then $\delta_l = W_l \delta_{l-1}$."""
    total, top = chain.Changes(network, len(x)), network.output
    path = np.eye(network.sizes[1])
    for k in range(2, top + 1):
        path = weights[f"W_{k}_{k - 1}"] @ path
    for sample, target in zip(x, teacher, strict=True):
        net = chain.forward(network, weights, sample)
        error = target - net.rates[top]
        total.add(top, error, net)
        delta = right_inverse(path, constants["leak"]) @ error
        for k in range(1, top):
            delta = delta if k == 1 else weights[f"W_{k}_{k - 1}"] @ delta
            total.add(k, delta, net)
    return total.mean()


def undamped_path_inverse(network, weights, x, teacher, constants):
    """The limit of ``path_inverse`` without leak: $P^+ e$."""
    return path_inverse(network, weights, x, teacher, {"leak": 0.0})


def mirrored(network, weights, x, teacher, constants):
    r"""Mean change of B in the mirror phase: $-W^\top - B$."""
    pairs = {f"B_{k}_{k + 1}": f"W_{k + 1}_{k}" for k in range(1, network.output)}
    return {feedback: -weights[forward].T - weights[feedback] for feedback, forward in pairs.items()}


LOOP = "dcontrol/dt = (W(delta_below) - error - leak*control) / tau_control\n"
RECEIVER = "delta = B(control_above)\nerror = slope * delta\n"
TOP = "error = teacher - rate\n"
PAPER = "Podlaski and Machens 2020, arXiv:2007.05112"

dynamic_inversion = Rule(
    name="dynamic_inversion",
    reference=PAPER,
    pathways={"B": Pathway("above", Tied("W", "negated transpose"))},
    constants={"leak": DAMPING},
    times={"tau_control": 4.0},
    hidden=RECEIVER + LOOP,
    output=TOP + LOOP,
    plasticity={"W": "error_post * rate_pre"},
    limit=Limit("leak", equals=pseudo_inverse, order=1, values=(1e-3, 1e-4, 1e-5, 1e-6)),
    own=damped_inverse,
)

sequential_dynamic_inversion = Rule(
    name="sequential_dynamic_inversion",
    reference=PAPER,
    pathways={"B": Pathway("above", Tied("W", "negated transpose"))},
    constants={"leak": DAMPING},
    times={"tau_control": 4.0},
    phases={
        "invert": Phase(
            hidden="""
                delta = B(control_above)
                dcontrol/dt = (W(delta_below) - kept - leak*control) / tau_control
            """,
            turn="error = slope * delta\nlatch kept = error",
            output=TOP + LOOP,
        )
    },
    hidden="mismatch = kept",
    output="mismatch = teacher - rate",
    plasticity={"W": "mismatch_post * rate_pre"},
    limit=Limit("leak", equals=pseudo_inverse, order=1, values=(1e-3, 1e-4, 1e-5, 1e-6)),
    own=damped_inverse,
    nets=Nets(chain=True),
)

non_dynamic_inversion = Rule(
    name="non_dynamic_inversion",
    reference=PAPER,
    pathways={"B": Pathway("above", Tied("W", "pseudo-inverse", damping=DAMPING))},
    hidden="error = slope * B(error_above)",
    output=TOP,
    plasticity={"W": "error_post * rate_pre"},
    limit=Identity(equals=damped_inverse),
    own=damped_inverse,
)

dynamic_inversion_learned = Rule(
    name="dynamic_inversion_learned",
    reference=PAPER,
    pathways={"B": Pathway("above", Uniform(0.02))},
    constants={"leak": 0.2},
    times={"tau_control": 2.5},
    phases={
        "mirror": Phase(
            hidden="probe = noise\nanswer = W(probe_below)",
            output="answer = W(probe_below)",
            plasticity={"B": "-probe_post*answer_pre - w"},
        )
    },
    hidden=RECEIVER + LOOP,
    output=TOP + LOOP,
    plasticity={"W": "error_post * rate_pre"},
    limit=Expectation(equals=mirrored),
    own=damped_inverse,
)

single_loop_dynamic_inversion = Rule(
    name="single_loop_dynamic_inversion",
    reference=PAPER,
    pathways={"B": Pathway("output", Tied("W", "negated path transpose"))},
    constants={"leak": DAMPING},
    times={"tau_control": 10.0},
    first="delta = B(control_output)",
    hidden="delta = W(delta_below)",
    output="delta = teacher - rate\n" + LOOP.replace("error", "delta"),
    plasticity={"W": "delta_post * rate_pre"},
    nets=Nets(chain=True),
    limit=Limit("leak", equals=undamped_path_inverse, order=1, values=(1e-3, 1e-4, 1e-5, 1e-6)),
    own=path_inverse,
)
