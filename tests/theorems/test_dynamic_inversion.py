"""Dynamic inversion: what its loops settle to, when they are stable, that they descend, and how B learns to be $-W^\\top$.

Closed forms are NumPy's, sample by sample, in a forward pass of its own. Loops are meant with their lags: every pathway
call is a compartment, so a loop of one layer pair has two of them and the single loop has L.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import RULES, near

from neurolearn.changes import fit_rates, prepare, update
from neurolearn.compare import angle, norm_ratio
from neurolearn.network import Network, mlp
from neurolearn.rule import Rule
from neurolearn.timescales import spiking_timing
from neurolearn.timing import Timing

RDI, SDI, NDI, SLDI, LEARNED = (
    RULES[n]
    for n in (
        "dynamic_inversion",
        "sequential_dynamic_inversion",
        "non_dynamic_inversion",
        "single_loop_dynamic_inversion",
        "dynamic_inversion_learned",
    )
)
BP = RULES["backprop"]
NET = mlp([6, 5, 4, 3])
X = np.random.default_rng(1).uniform(-1, 1, (3, 6))
TEACHER = np.eye(3)[[0, 2, 1]]
LEAKS = (1e-4, 1e-5, 1e-6, 1e-7)


def drawn(network: Network = NET, seed: int = 3, rule: Rule = LEARNED) -> dict[str, np.ndarray]:
    size = network.sizes
    return prepare(rule, network, np.zeros((1, size[0])), np.zeros((1, size[-1])), seed=seed, bias=0.3)[1]


def swapped(rule: Rule, old: str, new: str) -> Rule:
    """A mutant: the rule with this piece of its text exchanged wherever it stands."""
    texts = {place: getattr(rule, place) for place in ("hidden", "output", "first") if getattr(rule, place)}
    phases = {}
    for name, phase in rule.phases.items():
        own = {place: getattr(phase, place) for place in ("hidden", "output", "turn") if getattr(phase, place)}
        phases[name] = replace(phase, **{place: text.replace(old, new) for place, text in own.items()},
                               plasticity={n: text.replace(old, new) for n, text in phase.plasticity.items()})  # fmt: skip
    found = replace(rule, name="mutant", phases=phases, limit=None,
                    **{place: text.replace(old, new) for place, text in texts.items()})  # fmt: skip
    assert any(getattr(found, p) != t for p, t in texts.items()) or phases != dict(rule.phases)
    return found


def inverse(up: np.ndarray, back: np.ndarray | None, leak: float) -> np.ndarray:
    """$B (W B - \\alpha I)^{-1}$ with $B = -W^\\top$ where none is given; $W^+$ without leak."""
    if not leak and back is None:
        return np.linalg.pinv(up)
    back = -up.T if back is None else back
    return back @ np.linalg.inv(up @ back - leak * np.eye(len(up)))


def settled(w: dict, leak: float, x=X, teacher=TEACHER, network: Network = NET, form=inverse) -> dict[str, np.ndarray]:
    """Changes with $e_l = f' \\odot B_l (W_{l+1} B_l - \\alpha I)^{-1} e_{l+1}$, B where w has one."""
    total, top, linear = {}, network.output, network.activation.name == "linear"
    for sample, target in zip(x, teacher, strict=True):
        rates, slopes = [sample], [None]
        for k in range(1, top + 1):
            a = w[f"W_{k}_{k - 1}"] @ rates[-1] + w[f"b_{k}"]
            rates.append(a if k == top or linear else np.array([np.tanh(u) for u in a]))
            slopes.append(np.ones(len(a)) if k == top or linear else 1 - rates[-1] ** 2)
        error = target - rates[top]
        for k in range(top, 0, -1):
            name = f"W_{k}_{k - 1}"
            total[name] = total.get(name, 0) + np.outer(error, rates[k - 1]) / len(x)
            if k > 1:
                error = slopes[k - 1] * (form(w[name], w.get(f"B_{k - 1}_{k}"), leak) @ error)
    return total


def without_b(w: dict) -> dict:
    return {n: v for n, v in w.items() if not n.startswith("B")}


def stable_b(w: dict, seed: int = 0) -> dict:
    """The weights with a B that is neither $-W^\\top$ nor far from it, so that W B has its eigenvalues on the left."""
    rng, found = np.random.default_rng(seed), dict(w)
    for n in w:
        if n.startswith("B"):
            _, to, source = n.split("_")
            up = w[f"W_{source}_{to}"]
            found[n] = -up.T + 0.3 * np.abs(up).mean() * rng.normal(size=up.T.shape)
    return found


def worst(rule: Rule, oracle: dict, w: dict, network: Network = NET) -> float:
    found = update(rule, network, X, TEACHER, w)
    return max(near(found[n], change) for n, change in oracle.items())


# -- what the loops settle to ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule, leak", [(RDI, 0.1), (SDI, 0.1), (NDI, 0.1), (RDI, 0.7), (SDI, 0.7)],
                         ids=lambda v: getattr(v, "name", v))  # fmt: skip
def test_the_loop_settles_to_the_damped_inverse(rule, leak):
    """Oracle: $W^\\top (W W^\\top + \\alpha I)^{-1} e$; repeated, sequential and without a loop. Tolerance: residuals of 1e-12."""
    w = without_b(drawn())
    rule = rule if rule is NDI else rule.with_constants(leak=leak)
    assert worst(rule, settled(w, leak), w) < 1e-10
    assert near(settled(w, 0.1)["W_1_0"], settled(w, 0.7)["W_1_0"]) > 0.2  # the leak matters here


@pytest.mark.parametrize("rule, old, new", [
    (RDI, "error = slope * delta", "error = delta"),
    (RDI, "leak*control", "2*leak*control"),
    (RDI, "W(delta_below) - error", "W(error_below) - error"),  # f' inside the loop
    (SDI, "error = slope * delta", "error = delta"),
    (SDI, "- leak*control", ""),
    (NDI, "slope * B", "B"),
])  # fmt: skip
def test_other_loops_settle_elsewhere(rule, old, new):
    w = without_b(drawn())
    assert worst(swapped(rule, old, new), settled(w, 0.1), w) > 0.02


def test_any_feedback_settles_to_its_own_inverse():
    """Oracle: $B (W B - \\alpha I)^{-1} e = (B W - \\alpha I)^{-1} B e$, both forms, for a B that is not $-W^\\top$."""
    w = stable_b(drawn())
    pushed = settled(w, 0.3, form=lambda up, b, a: np.linalg.inv(b @ up - a * np.eye(len(b))) @ b)
    plain = settled(w, 0.3)
    assert max(near(pushed[n], plain[n]) for n in plain) < 1e-11
    rule = LEARNED.with_constants(leak=0.3)
    assert worst(rule, plain, w) < 1e-10
    assert near(settled(without_b(w), 0.3)["W_1_0"], plain["W_1_0"]) > 0.05
    assert worst(swapped(rule, "leak*control", "0*control"), plain, w) > 0.05


@pytest.mark.parametrize("rule", [RDI, SDI, SLDI], ids=lambda r: r.name)
def test_without_leak_it_is_the_pseudo_inverse(rule):
    """Oracle: numpy.linalg.pinv, of every W or of the whole path; what is left is of first order in the leak."""
    w = without_b(drawn())
    exact = path_inverse(w, 0.0) if rule is SLDI else settled(w, 0.0)
    found = [update(rule.with_constants(leak=leak), NET, X, TEACHER, w) for leak in LEAKS]
    kept = update(swapped(rule, "leak*control", "control"), NET, X, TEACHER, w)
    for name in ("W_1_0", "W_2_1"):
        errors = [near(f[name], exact[name]) for f in found]
        assert np.polyfit(np.log(LEAKS), np.log(errors), 1)[0] == pytest.approx(1, abs=0.1)
        assert errors[-1] < 1e-3
        assert near(kept[name], exact[name]) > 0.2


@pytest.mark.parametrize("rule", [RDI, SDI], ids=lambda r: r.name)
def test_with_much_leak_it_is_backpropagation_layer_by_layer(rule):
    """Oracle: backprop. Layer l needs the factor $\\alpha^{L-l}$, so that no single factor serves two layers."""
    w, leaks = without_b(drawn()), (1e2, 1e3, 1e4, 1e5)
    gradient = update(BP, NET, X, TEACHER, w)
    found = [update(rule.with_constants(leak=leak), NET, X, TEACHER, w) for leak in leaks]
    for power, name in enumerate(("W_3_2", "W_2_1", "W_1_0")):
        errors = [near(leak**power * f[name], gradient[name]) for leak, f in zip(leaks, found, strict=True)]
        if power:
            assert np.polyfit(np.log(leaks), np.log(errors), 1)[0] == pytest.approx(-1, abs=0.1)
        assert errors[-1] < 1e-3
    ungated = update(
        swapped(rule, "error = slope * delta", "error = delta").with_constants(leak=1e5), NET, X, TEACHER, w
    )
    assert near(1e10 * ungated["W_1_0"], gradient["W_1_0"]) > 0.05


# -- one loop through the whole net ------------------------------------------------------------------------------------


def deltas(w: dict, leak: float, top: int = 3) -> list[np.ndarray]:
    """Matrices from the output error to $\\delta_1, \\delta_2 \\dots$ of the single loop."""
    path = np.eye(w["W_1_0"].shape[0])
    for k in range(2, top + 1):
        path = w[f"W_{k}_{k - 1}"] @ path
    found = [path.T @ np.linalg.inv(path @ path.T + leak * np.eye(len(path)))] if leak else [np.linalg.pinv(path)]
    for k in range(2, top):
        found.append(w[f"W_{k}_{k - 1}"] @ found[-1])
    return found


def path_inverse(w: dict, leak: float, x=X, teacher=TEACHER) -> dict[str, np.ndarray]:
    total: dict[str, np.ndarray] = {}
    for sample, target in zip(x, teacher, strict=True):
        rates = [sample]
        for k in (1, 2, 3):
            a = w[f"W_{k}_{k - 1}"] @ rates[-1] + w[f"b_{k}"]
            rates.append(a if k == 3 else np.tanh(a))
        error = target - rates[3]
        for k, post in enumerate([*(d @ error for d in deltas(w, leak)), error], start=1):
            total[f"W_{k}_{k - 1}"] = total.get(f"W_{k}_{k - 1}", 0) + np.outer(post, rates[k - 1]) / len(x)
    return total


def test_the_single_loop_inverts_the_path():
    """Oracle: $P^\\top (P P^\\top + \\alpha I)^{-1} e$ with $P = W_3 W_2$, then the forward weights; no slopes, no biases."""
    w = without_b(drawn())
    assert worst(SLDI, path_inverse(w, 0.1), w) < 1e-10
    assert (
        worst(swapped(SLDI, "delta = W(delta_below)", "delta = slope*W(delta_below)"), path_inverse(w, 0.1), w) > 0.02
    )
    assert worst(swapped(SLDI, "delta = W(delta_below)", "delta = W(delta_below) + b"), path_inverse(w, 0.1), w) > 0.02


def apart(sizes, leak: float) -> tuple[float, float]:
    """Linear net: how far SLDI is from SDI in the hidden layers, and $W_3 W_2 \\delta_1$ from e."""
    network, rng = mlp([5, *sizes], "linear"), np.random.default_rng(2)
    w = without_b(drawn(network))
    x, teacher = rng.normal(size=(1, 5)), rng.normal(size=(1, sizes[-1]))
    one, many = (update(r.with_constants(leak=leak), network, x, teacher, w) for r in (SLDI, SDI))
    error = one["b_3"]
    reached = w["W_3_2"] @ w["W_2_1"] @ one["b_1"]
    return max(near(one[n], many[n]) for n in ("W_1_0", "W_2_1")), near(reached, error)


def test_the_single_loop_is_the_chain_of_loops_if_its_top_matrix_is_square():
    """Oracle: SDI, without leak. 20-10-10 agree, 20-15-10 do not; either way the output error is met exactly."""
    far, left = apart((20, 10, 10), 0.0)
    assert far < 1e-8
    assert left < 1e-9
    far, left = apart((20, 15, 10), 0.0)
    assert far > 0.2
    assert left < 1e-9
    assert min(apart((20, 10, 10), 0.1)) > 1e-2  # with a leak neither holds


# -- descent -----------------------------------------------------------------------------------------------------------


def alignments(rule: Rule, w: dict, network: Network, x, teacher) -> np.ndarray:
    """$\\langle \\delta_l^{BP}, \\delta_l \\rangle / |e|^2$ of the hidden layers of a linear net, one sample."""
    found, gradient = update(rule, network, x, teacher, w), update(BP, network, x, teacher, w)
    error = found[f"b_{network.output}"]
    return np.array([found[f"b_{k}"] @ gradient[f"b_{k}"] / (error @ error) for k in range(1, network.output)])


def test_it_descends_whatever_the_feedback():
    """Oracle: $W_{l+1} \\delta_l = \\delta_{l+1}$, so that the product with backprop's is $|e|^2$ in every layer: linear,
    contracting, without leak, 20 random nets with *random* B. Tolerance: the condition of W B, some 1e4."""
    network, rng = mlp([7, 6, 5, 4, 3], "linear"), np.random.default_rng(4)
    for seed in range(20):
        w = drawn(network, seed)
        w = {n: rng.normal(size=v.shape) if n.startswith("B") else v for n, v in w.items()}
        x, teacher = rng.normal(size=(1, 7)), rng.normal(size=(1, 3))
        assert alignments(LEARNED.with_constants(leak=0.0), w, network, x, teacher) == pytest.approx(1, abs=1e-7)
    leaky = alignments(LEARNED.with_constants(leak=0.5), w, network, x, teacher)
    ungrounded = alignments(swapped(LEARNED, "W(delta_below) - error", "W(delta_below) + error").with_constants(leak=0.0),
                            w, network, x, teacher)  # fmt: skip
    assert np.abs(leaky - 1).max() > 0.1
    assert np.abs(ungrounded - 1).max() > 0.5


def left_after_step(rule: Rule) -> float:
    """Output error of a sample after a step of 1/|x|^2 in the lowest layer alone, over the error before; linear net."""
    network, rng = mlp([6, 5, 4, 3], "linear"), np.random.default_rng(6)
    w, x, teacher = without_b(drawn(network)), rng.normal(size=(1, 6)), rng.normal(size=(1, 3))
    change = update(rule, network, x, teacher, w)
    lowest = w["W_1_0"] + change["W_1_0"] / np.sum(x**2)

    def error(first: np.ndarray) -> np.ndarray:
        out = first @ x[0] + w["b_1"]
        for k in (2, 3):
            out = w[f"W_{k}_{k - 1}"] @ out + w[f"b_{k}"]
        return teacher[0] - out

    return float(np.linalg.norm(error(lowest)) / np.linalg.norm(error(w["W_1_0"])))


def test_one_step_of_the_lowest_layer_meets_the_teacher():
    """Oracle: the forward pass. A Gauss-Newton step; with a leak, or by backprop, something is left."""
    assert left_after_step(RDI.with_constants(leak=0.0)) < 1e-9
    assert left_after_step(SLDI.with_constants(leak=0.0)) < 1e-9
    assert left_after_step(RDI.with_constants(leak=0.3)) > 0.05
    assert left_after_step(BP) > 0.05


# -- in circuits and in spikes -----------------------------------------------------------------------------------------


SHALLOW = mlp([6, 5, 3])
CASES = [
    *((rule, "circuit.rate", NET) for rule in (SDI, SLDI, NDI, LEARNED)),
    *((rule, "tensor.spiking", NET) for rule in (SDI, SLDI, NDI, LEARNED)),
    *((rule, "circuit.spiking", SHALLOW) for rule in (NDI, LEARNED)),
]


@pytest.mark.parametrize("rule, realisation, network", CASES, ids=lambda v: getattr(v, "name", None))
def test_the_closed_form_in_every_realisation(rule, realisation, network):
    r"""Oracles: the closed forms, and $-\xi (W \xi)^\top - B$ with the noise that was drawn. Tolerances: 1e-5 in the rate
    circuit (1e-8 without a loop); 2 degrees and 2 % in spikes."""
    leak = 0.1 if rule is NDI else 0.5
    rule = rule if rule is NDI else rule.with_constants(leak=leak)
    learns = "mirror" in rule.phases
    w, batch, timing = drawn(network), (X[:2], TEACHER[:2]), None
    w = stable_b(w) if learns else without_b(w)
    program, full, given = prepare(rule, network, *batch, w)
    oracle = path_inverse(w, leak, *batch) if rule.first else settled(w, leak, *batch, network)
    for k in range(1, network.output) if learns else ():
        probe = given[f"noise_mirror_{k}"]
        oracle[f"B_{k}_{k + 1}"] = -probe.T @ (probe @ w[f"W_{k + 1}_{k}"].T) / 2 - w[f"B_{k}_{k + 1}"]
    if "spiking" in realisation:
        timing = fit_rates(program, full, given, spiking_timing(program, full, given, 1600))
    found = update(rule, network, *batch, w, realisation=realisation, timing=timing)
    for name, change in oracle.items():
        if realisation == "circuit.rate":
            assert near(found[name], change) < (1e-8 if rule is NDI else 1e-5)
        else:
            assert angle(found[name], change) < 2
            assert abs(norm_ratio(found[name], change) - 1) < 0.02


@pytest.mark.parametrize("realisation", ["circuit.rate", "circuit.spiking"])
def test_a_pathway_learns_before_it_carries_a_signal(realisation):
    """The mirror stage alone: nothing is sent along B then, and its synapses are there. Oracle: as above."""
    mirror = LEARNED.phases["mirror"]
    phases = {"mirror": replace(mirror, hidden=mirror.hidden + "\nheard = B(answer_above)")}
    stage = replace(LEARNED, name="stage", phases=phases, hidden="", output="", plasticity={}, limit=None, own=None)
    w, batch = drawn(SHALLOW), (X[:2], TEACHER[:2])
    program, full, given = prepare(stage, SHALLOW, *batch, w)
    probe, timing = given["noise_mirror_1"], None
    if realisation == "circuit.spiking":
        timing = fit_rates(program, full, given, Timing(settle=200, window=200, tau=8e-3))
    found = update(stage, SHALLOW, *batch, w, realisation=realisation, timing=timing)
    oracle = -probe.T @ (probe @ w["W_2_1"].T) / 2 - w["B_1_2"]
    assert set(found.changes) == {"B_1_2"}
    if realisation == "circuit.rate":
        assert near(found["B_1_2"], oracle) < 1e-8
    else:
        assert angle(found["B_1_2"], oracle) < 2
