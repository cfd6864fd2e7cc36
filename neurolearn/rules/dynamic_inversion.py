r"""Dynamic inversion: a feedback loop settles to the (damped) inverse of the forward weights.

Per layer pair, with forward weights $W$ (up) and feedback $B$ (down), a leaky controller $u$ in the upper layer drives
the lower layer's $\delta = B u$ until its image meets the error above:

    $\tau_u \dot u_{l+1} = W_{l+1} \delta_l - e_{l+1} - \alpha u_{l+1}$,   $\delta_l = B_l u_{l+1}$,   $e_l = f'(a_l) \odot \delta_l$
    $\Delta W_l = e_l h_{l-1}^\top$,   $e_L = t - h_L$

The settled state is $\delta_l = B_l (W_{l+1} B_l - \alpha I)^{-1} e_{l+1}$. The factor f' is multiplied once, after the loop;
errors are in the units of the output error, steps are per sample, the leak is 0.1. A loop is stable if and only if
$(\tau_u + \alpha \tau_x)^2 (\alpha - \mathrm{Re}\,\mu) > \tau_x \tau_u (\mathrm{Im}\,\mu)^2$ for every eigenvalue $\mu$ of $W B$, where
$\tau_x$ is the one lag of the way down; it is checked before anything runs. In spikes every synapse adds a lag, and the
controller has to be slower: $\tau_u / \tau_s > \sigma_{max}^2 / 2$, roughly.

``dynamic_inversion`` is the repeat-layer form (RDI): every hidden layer takes part in two loops, as the receiver of one and
the controller of another, and all run at once. ``sequential_dynamic_inversion`` (SDI) runs one loop after the other, from
the top: each keeps its error for the next. Both have $B = -W^\top$, so $\delta = W^\top (W W^\top + \alpha I)^{-1} e$.
``non_dynamic_inversion`` (NDI) has that matrix in its synapses and no loop. ``dynamic_inversion_learned``: B starts small and
independent of W, so that its loop is stable, and learns $-W^\top$ from noise, a stage that comes first,

    $\Delta B_l = -\xi_l (W_{l+1} \xi_l)^\top - B_l$

``single_loop_dynamic_inversion`` (SLDI): one controller at the output and one matrix, to the first hidden layer; from there
the forward weights carry the signal up, without slopes. Linear: $\delta_1 = B (W_L \cdots W_2 B - \alpha I)^{-1} e$, $\delta_l = W_l \delta_{l-1}$.
Source: Podlaski and Machens 2020, arXiv:2007.05112.
"""

import numpy as np

from neurolearn.rule import Limit, Nets, Pathway, Phase, Rule, Tied, Uniform


def damped_inverse(network, weights, x, teacher, constants):
    r"""Changes with $\delta_l = W^\top (W W^\top + \alpha I)^{-1} e$, sample by sample in NumPy; chains of tanh units."""
    depth, leak, total = network.output, constants["leak"], {}
    for sample, target in zip(x, teacher, strict=True):
        rates, slopes = [sample], [None]
        for k in range(1, depth + 1):
            potential = weights[f"W_{k}_{k - 1}"] @ rates[-1] + weights[f"b_{k}"]
            rates.append(np.tanh(potential) if k < depth else potential)
            slopes.append(1 - np.tanh(potential) ** 2 if k < depth else np.ones_like(potential))
        error = target - rates[-1]
        for k in range(depth, 0, -1):
            total[f"W_{k}_{k - 1}"] = total.get(f"W_{k}_{k - 1}", 0) + np.outer(error, rates[k - 1]) / len(x)
            total[f"b_{k}"] = total.get(f"b_{k}", 0) + error / len(x)
            if k > 1:
                forward = weights[f"W_{k}_{k - 1}"]
                if leak:
                    control = np.linalg.solve(forward @ forward.T + leak * np.eye(len(forward)), error)
                    delta = forward.T @ control
                else:
                    delta = np.linalg.pinv(forward) @ error
                error = slopes[k - 1] * delta
    return total


def pseudo_inverse(network, weights, x, teacher, constants):
    """The limit of ``damped_inverse`` without leak: $W^+ e$ in every layer."""
    return damped_inverse(network, weights, x, teacher, {**constants, "leak": 0.0})


LOOP = "dcontrol/dt = (W(delta_below) - error - leak*control) / tau_control\n"
RECEIVER = "delta = B(control_above)\nerror = slope * delta\n"
TOP = "error = teacher - rate\n"
PAPER = "Podlaski and Machens 2020, arXiv:2007.05112"

dynamic_inversion = Rule(
    name="dynamic_inversion",
    reference=PAPER,
    pathways={"B": Pathway("above", Tied("W", "negated transpose"))},
    constants={"leak": 0.1},
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
    constants={"leak": 0.1},
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
)

non_dynamic_inversion = Rule(
    name="non_dynamic_inversion",
    reference=PAPER,
    pathways={"B": Pathway("above", Tied("W", "pseudo-inverse", damping=0.1))},
    hidden="error = slope * B(error_above)",
    output=TOP,
    plasticity={"W": "error_post * rate_pre"},
)

dynamic_inversion_learned = Rule(
    name="dynamic_inversion_learned",
    reference=PAPER,
    pathways={"B": Pathway("above", Uniform(0.05))},
    constants={"leak": 0.1},
    times={"tau_control": 4.0},
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
)

single_loop_dynamic_inversion = Rule(
    name="single_loop_dynamic_inversion",
    reference=PAPER,
    pathways={"B": Pathway("output", Tied("W", "negated path transpose"))},
    constants={"leak": 0.1},
    times={"tau_control": 16.0},
    first="delta = B(control_output)",
    hidden="delta = W(delta_below)",
    output="delta = teacher - rate\n" + LOOP.replace("error", "delta"),
    plasticity={"W": "delta_post * rate_pre"},
    nets=Nets(chain=True),
)
