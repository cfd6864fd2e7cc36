"""Feedback trained on the difference reconstruction loss: its gradient, what it learns, and the targets that it then sets.

Noise is put in by hand: the points $+-\\sqrt{n} e_k$ have the mean and the covariance of the noise, so that changes which
are of second order in it have their exact expectation over a batch of 2n copies of a sample.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import RULES, near

from neurolearn.changes import fit_rates, prepare, update
from neurolearn.compare import angle, norm_ratio
from neurolearn.network import Network, mlp
from neurolearn.rule import Pathway, Phase, Rule
from neurolearn.tensor.rate import RateProgram
from neurolearn.timing import Timing

LINEAR, CONTROL, LAYERWISE, RANDOM = (
    RULES[n] for n in ("ddtp_linear", "ddtp_control", "dtp_difference_reconstruction", "ddtp_rhl")
)
DFA = RULES["direct_feedback_alignment"]
DIRECT = ("Q_1_3", "Q_2_3")
EXACT = 1e-12  # relative: some 1e3 roundings of 1e-16 each
NET = mlp([6, 5, 4, 3])
X = np.random.default_rng(1).uniform(-1, 1, (4, 6))
TEACHER = np.eye(3)[[0, 2, 1, 1]]


def shaken(rule: Rule, *swaps: tuple[str, str]) -> Rule:
    """A mutant: the rule with these pieces of the text of its noise phase exchanged."""
    phase, found = rule.phases["shake"], set()
    texts = {name: getattr(phase, name) for name in ("hidden", "last", "turn", "output")}
    plasticity = dict(phase.plasticity)
    for old, new in swaps:
        found |= {old for text in (*texts.values(), *plasticity.values()) if text and old in text}
        texts = {name: text and text.replace(old, new) for name, text in texts.items()}
        plasticity = {name: text.replace(old, new) for name, text in plasticity.items()}
    assert found == {old for old, _ in swaps}
    phase = replace(phase, plasticity=plasticity, **texts)
    return replace(rule, name="mutant", phases={"shake": phase}, limit=None)


def drawn(rule: Rule, network: Network = NET, seed: int = 3, bias: float = 0.3) -> dict[str, np.ndarray]:
    return prepare(rule, network, X[:1, : network.sizes[0]], np.zeros((1, network.sizes[-1])), seed=seed, bias=bias)[1]


def jacobians(network: Network, w: dict, x: np.ndarray) -> list[np.ndarray]:
    """$\\partial a_L / \\partial h_i$ of one sample for i = 1 .. L-1, by autograd through a forward pass of its own."""
    f = {"tanh": torch.tanh, "linear": lambda u: u}[network.activation.name]
    w, top = {n: torch.tensor(v) for n, v in w.items()}, network.output

    def ahead(rate: torch.Tensor, start: int) -> torch.Tensor:
        for k in range(start + 1, top + 1):
            potential = w[f"W_{k}_{k - 1}"] @ rate + w[f"b_{k}"]
            rate = potential if k == top else f(potential)
        return rate

    rate, found = torch.tensor(x), []
    for k in range(1, top):
        rate = f(w[f"W_{k}_{k - 1}"] @ rate + w[f"b_{k}"])
        found.append(torch.autograd.functional.jacobian(lambda h, k=k: ahead(h, k), rate).numpy())
    return found


def ridge(jacobian: np.ndarray, damping: float) -> np.ndarray:
    return jacobian.T @ np.linalg.inv(jacobian @ jacobian.T + damping * np.eye(len(jacobian)))


# -- what feedback learns ----------------------------------------------------------------------------------------------


def expected(rule: Rule, network: Network, x: np.ndarray, w: dict, **new: np.ndarray) -> dict[str, np.ndarray]:
    """Changes, averaged over samples and moment-exact noise, with some weights exchanged."""
    program, weights, given = prepare(rule, network, x, np.zeros((len(x), network.sizes[-1])), {**w, **new})
    copies = np.lcm.reduce([2 * n for n in network.sizes[1:-1]])
    given = {name: np.repeat(value, copies, axis=0) for name, value in given.items()}
    for name, value in given.items():
        if name.startswith("noise_"):
            size = value.shape[1]
            points = np.sqrt(size) * np.concatenate([np.eye(size), -np.eye(size)])
            given[name] = np.tile(points, (len(value) // len(points), 1))
    return {n: c.numpy() for n, c in RateProgram(program, weights).changes(given).items()}


def resting(rule: Rule, network: Network, x: np.ndarray, w: dict, names=DIRECT) -> dict[str, np.ndarray]:
    """Where the expected change of linear feedback vanishes: it is $A - Q M$, read off at two values of Q."""
    zero = expected(rule, network, x, w, **{n: np.zeros_like(w[n]) for n in names})
    unit = expected(rule, network, x, w, **{n: np.eye(*w[n].shape) for n in names})
    found = {n: zero[n] @ np.linalg.inv((zero[n] - unit[n])[: w[n].shape[1]]) for n in names}
    there = expected(rule, network, x, w, **found)
    assert all(np.abs(there[n]).max() < 1e-9 * np.abs(zero[n]).max() for n in names)
    return found


SIGMAS = (1e-1, 1e-2, 1e-3, 1e-4)


def to_damped_inverse(rule: Rule, sigmas=SIGMAS) -> list[float]:
    """Distance of the lower layer's resting feedback to the damped inverse of one sample, sigma by sigma."""
    w = drawn(LINEAR)
    target = ridge(jacobians(NET, w, X[0])[0], 0.1)
    return [near(resting(rule.with_constants(sigma=s), NET, X[:1], w)["Q_1_3"], target) for s in sigmas]


def test_linear_feedback_rests_at_the_damped_inverse_of_a_sample():
    """Oracle: autograd's Jacobian. Second order in sigma (odd orders cancel); exact below a linear output."""
    errors, w = to_damped_inverse(LINEAR), drawn(LINEAR)
    assert np.polyfit(np.log(SIGMAS), np.log(errors), 1)[0] == pytest.approx(2, abs=0.1)
    assert errors[-1] < 1e-7
    top = resting(LINEAR, NET, X[:1], w)["Q_2_3"]
    assert near(top, ridge(jacobians(NET, w, X[0])[1], 0.1)) < EXACT


@pytest.mark.parametrize("swap", [
    ("+ b - potential", "+ b"), ("))/sigma**2", "))"), (" - decay*w", ""), ("answer_pre - decay*w", "answer_pre - 0.2*w")
], ids=["no difference", "no scale", "no decay", "other decay"])  # fmt: skip
def test_other_losses_rest_elsewhere(swap):
    assert to_damped_inverse(shaken(LINEAR, swap), [0.1])[0] > 0.1
    assert to_damped_inverse(LINEAR, [0.1])[0] < 0.02


def test_over_samples_linear_feedback_is_ridge_regression():
    """Oracle: $\\sum J^\\top (\\sum J J^\\top + N \\lambda I)^{-1}$, not the mean of the samples' own inverses."""
    w = drawn(LINEAR)
    each = [jacobians(NET, w, x) for x in X]
    found = resting(LINEAR.with_constants(sigma=1e-4), NET, X, w)
    for k, name in enumerate(DIRECT):
        up = sum(j[k].T for j in each)
        best = up @ np.linalg.inv(sum(j[k] @ j[k].T for j in each) + len(X) * 0.1 * np.eye(3))
        assert near(found[name], best) < 1e-6  # sigma squared, times a little
        mean = np.mean([ridge(j[k], 0.1) for j in each], axis=0)
        assert near(mean, best) > 0.03 if k == 0 else near(mean, best) < EXACT  # J is the same for all at the top


# -- the control -------------------------------------------------------------------------------------------------------


def regression_change(rule: Rule) -> dict[str, float]:
    """How far the expected change at $Q^* + D$ is from $-D (J C J^\\top)$, in a linear net without decay."""
    network, sigma, found = mlp([6, 5, 4, 3], "linear"), 0.1, {}
    w = drawn(CONTROL, network)
    x = np.random.default_rng(5).uniform(-1, 1, (12, 6))
    rates, shifts = [x], {}
    for k in (1, 2, 3):
        rates.append(rates[-1] @ w[f"W_{k}_{k - 1}"].T + w[f"b_{k}"])
    for k, jacobian in zip((1, 2), jacobians(network, w, x[0]), strict=True):
        c = np.cov(rates[k].T, bias=True) + sigma**2 * np.eye(network.sizes[k])
        plain = c @ jacobian.T @ np.linalg.inv(jacobian @ c @ jacobian.T)
        assert near(jacobian @ plain, np.eye(3)) < EXACT  # an inverse
        assert near(plain, np.linalg.pinv(jacobian)) > 0.2  # but not the pseudo-inverse
        shift = np.random.default_rng(k).normal(size=plain.shape)
        shifts[k] = -shift @ jacobian @ c @ jacobian.T
        w[f"Q_{k}_3"] = plain + shift
        w[f"c_{k}"] = rates[k].mean(0) - w[f"Q_{k}_3"] @ rates[3].mean(0)
    changes = expected(rule.with_constants(sigma=sigma, decay=0.0), network, x, w)
    for k in (1, 2):
        found[f"Q_{k}_3"] = near(changes[f"Q_{k}_3"], shifts[k])
        found[f"c_{k}"] = float(np.abs(changes[f"c_{k}"]).max())
    return found


def test_plain_reconstruction_learns_a_regression():
    """Oracle: $Q^* = C J^\\top (J C J^\\top)^{-1}$; away from it the expected change is linear and points back, so it is learned."""
    assert max(regression_change(CONTROL).values()) < 1e-11


def test_the_control_with_the_difference_learns_something_else():
    mutant = shaken(CONTROL, ("answer = W(shaken_below) + b", "answer = W(shaken_below) + b - potential"))
    assert min(v for n, v in regression_change(mutant).items() if n.startswith("Q")) > 0.3


# -- null space --------------------------------------------------------------------------------------------------------

TOY = mlp([6, 6, 6, 2])
DECODERS = Rule(  # layer-wise reconstruction as in DTP, with linear decoders: these can be optimised exactly
    "linear_decoders",
    pathways={"Q": Pathway("above")},
    constants={"sigma": 0.1},
    phases={
        "shake": Phase(
            hidden="residue = rate + sigma*noise - Q(answer_above)\nanswer = f(W(tilted_below) + b)\n"
            "tilted = rate + sigma*noise",
            output="answer = W(tilted_below) + b",
            plasticity={"Q": "residue_post*answer_pre"},
        )
    },
    hidden="mismatch = slope*Q(tug_above)\ntug = Q(tug_above)",
    output="tug = teacher - rate\nmismatch = tug",
    plasticity={"W": "mismatch_post*rate_pre"},
)


def null_share(rule: Rule, names, seed: int) -> float:
    """Norm of the lowest layer's change that leaves the output as it is, over the whole; mean over single samples."""
    rng = np.random.default_rng(seed)
    x, teacher = rng.normal(size=(30, 6)), rng.normal(size=(30, 2))
    program, w, given = prepare(rule, TOY, x, teacher, seed=seed)
    w |= resting(rule, TOY, x, w, names) if names else {}
    deltas, shares = RateProgram(program, w).signals(given)["learn"]["mismatch_1"].numpy(), []
    for sample, delta in zip(x, deltas, strict=True):
        slope = 1 - np.tanh(w["W_1_0"] @ sample + w["b_1"]) ** 2
        jacobian = jacobians(TOY, w, sample)[0] * slope
        shares.append(np.linalg.norm(delta - np.linalg.pinv(jacobian) @ jacobian @ delta) / np.linalg.norm(delta))
    return float(np.mean(shares))


def test_difference_reconstruction_wastes_little_on_the_null_space():
    """Oracle: the projection onto the rows of autograd's Jacobian; 10 nets, feedback at its exact optimum.

    Gauss-Newton targets have nothing there; plain reconstruction and layer-wise decoders have half and more.
    """
    cases = {
        "linear": (LINEAR.with_constants(sigma=1e-2, decay=1e-6), DIRECT),
        "control": (CONTROL.with_constants(decay=1e-6), DIRECT),
        "layers": (DECODERS, ("Q_1_2", "Q_2_3")),
        "newton": (RULES["gauss_newton_target"], ()),
    }
    share = {name: np.array([null_share(*case, seed) for seed in range(10)]) for name, case in cases.items()}
    assert share["newton"].max() < 1e-10
    assert share["linear"].mean() < 0.3 < min(share["control"].mean(), share["layers"].mean())
    assert (share["linear"] < share["control"]).all()


# -- the gradient of the loss ------------------------------------------------------------------------------------------


def losses(rule: Rule, network: Network, w: dict, x, given: dict, sigma: float, decay: float) -> dict[str, np.ndarray]:
    """$-\\frac{1}{2} \\partial R_i / \\partial$ (feedback into layer i), R written in torch, the feedback above constant."""
    w = {name: torch.tensor(value, requires_grad=name[0] in "QPcd") for name, value in w.items()}
    top, f, found = network.output, torch.tanh, {}
    rates, x = [torch.tensor(x)], torch.tensor(x)

    def ahead(rate: torch.Tensor, start: int) -> list[torch.Tensor]:
        states = [rate]
        for k in range(start + 1, top + 1):
            a = states[-1] @ w[f"W_{k}_{k - 1}"].T + w[f"b_{k}"]
            states.append(a if k == top else f(a))
        return states

    rates = ahead(x, 0)
    for i in range(1, top):
        noise = sigma * torch.tensor(given[f"noise_shake{i}_{i}"])
        answer = ahead(rates[i] + noise, i)[-1]
        if rule.name == "ddtp_linear":
            names = [f"Q_{i}_{top}"]
            left = ((answer - rates[top]) @ w[names[0]].T - noise) / sigma
        elif rule.name == "ddtp_control":
            names = [f"Q_{i}_{top}", f"c_{i}"]
            left = answer @ w[names[0]].T + w[names[1]] - rates[i] - noise
        elif rule.name == "ddtp_rhl":
            names = [f"P_{i}_{top}", f"d_{i}"] if i == top - 1 else [f"Q_{i}_{top + 1}", f"c_{i}"]
            heard = [u if i == top - 1 else f(u @ w[f"R_{top + 1}_{top}"].T) for u in (answer, rates[top])]
            moved, calm = (f(u @ w[names[0]].T + w[names[1]]) for u in heard)
            left = (moved - calm - noise) / sigma
        else:
            names, pulled = [f"Q_{i}_{i + 1}"], answer
            for k in range(top - 1, i, -1):
                feedback = w[f"Q_{k}_{k + 1}"].detach()
                pulled = rates[k] + f(pulled @ feedback.T) - f(rates[k + 1] @ feedback.T)
            left = (f(pulled @ w[names[0]].T) - f(rates[i + 1] @ w[names[0]].T) - noise) / sigma
        loss = (left**2).sum(1).mean() + decay * (w[names[0]] ** 2).sum()
        gradients = torch.autograd.grad(loss, [w[n] for n in names])
        found |= {n: -0.5 * g.numpy() for n, g in zip(names, gradients, strict=True)}
    return found


FEEDBACK = {"ddtp_linear": "Q", "ddtp_control": "Qc", "dtp_difference_reconstruction": "Q", "ddtp_rhl": "QPcd"}
DEEP = mlp([6, 5, 5, 4, 3])


def off_gradient(rule: Rule, name: str) -> dict[str, float]:
    program, w, given = prepare(rule, DEEP, X, TEACHER, seed=2, bias=0.3)
    found = {n: c.numpy() for n, c in RateProgram(program, w).changes(given).items()}
    oracle = losses(RULES[name], DEEP, w, X, given, rule.constants["sigma"], rule.constants["decay"])
    assert set(oracle) == {n for n in found if n[0] in FEEDBACK[name]}
    return {n: near(found[n], value) for n, value in oracle.items()}


@pytest.mark.parametrize("name", FEEDBACK)
def test_feedback_follows_the_gradient_of_its_loss(name):
    """Oracle: autograd of R; all feedback weights and biases of a net of three hidden layers, the rules' own sigma."""
    assert max(off_gradient(RULES[name], name).values()) < 1e-11  # the loss divides roundings by sigma


@pytest.mark.parametrize("name, swap, hit", [
    ("ddtp_linear", ("(sigma*noise - Q", "(sigma*noise + Q"), "Q"),
    ("ddtp_linear", (" - decay*w", ""), "Q"),
    ("ddtp_control", ("residue = shaken", "residue = rate"), "Qc"),
    ("ddtp_control", ("Q(answer_output) - c", "Q(answer_output)"), "Qc"),
    ("dtp_difference_reconstruction", ("tugged_pre - down_post*view_pre", "tugged_pre"), "Q"),
    ("dtp_difference_reconstruction", ("up = residue*df(Q(tugged_above))", "up = residue"), "Q"),
    ("dtp_difference_reconstruction", ("tugged = rate + pull", "tugged = pull"), "Q"),
    ("ddtp_rhl", ("moved_pre - down_post*calm_pre", "moved_pre"), "Q"),
    ("ddtp_rhl", ("target_pre - down_post*potential_pre", "target_pre"), "P"),
    ("ddtp_rhl", ("up = residue*moved_slope", "up = residue*calm_slope"), "QPcd"),
    ("ddtp_rhl", ("up_post - down_post", "up_post"), "QPcd"),
])  # fmt: skip
def test_another_sign_gate_or_term_is_no_gradient(name, swap, hit):
    apart = off_gradient(shaken(RULES[name], swap), name)
    assert any(v > 0.02 for n, v in apart.items() if n[0] in hit)
    if name == "dtp_difference_reconstruction" and swap[0].startswith("tugged ="):
        assert apart["Q_3_4"] < 1e-11  # the highest hears the output, whose pull has no chain


# -- in circuits and in spikes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("realisation, steps, names", [
    ("circuit.rate", None, FEEDBACK),
    ("tensor.spiking", 400, ("ddtp_linear", "ddtp_control")),
    ("tensor.spiking", 800, ("dtp_difference_reconstruction",)),
    ("circuit.spiking", 400, ("ddtp_linear",)),
])  # fmt: skip
def test_the_gradient_of_the_loss_in_every_realisation(realisation, steps, names):
    """Oracle: autograd of R at a finite sigma. Tolerances: 1e-8 in the rate circuit; 2 degrees and 2 % in spikes.

    A small sigma would ask spikes for the difference of two nearly equal signals, over its square; 1 needs few of them.
    """
    for name in names:
        rule = RULES[name].with_constants(sigma=1.0)
        program, w, given = prepare(rule, NET, X, TEACHER, seed=2, bias=0.3)
        oracle = losses(rule, NET, w, X, given, 1.0, rule.constants["decay"])
        timing = None
        if steps:
            timing = Timing(settle=steps, window=steps, tau=steps * 4e-5, unit_rate=400.0)
            timing = fit_rates(program, w, given, timing)
        found = update(rule, NET, X, TEACHER, w, realisation=realisation, seed=2, timing=timing)
        for matrix in (n for n in oracle if n[0] in "QP"):
            if realisation == "circuit.rate":
                assert near(found[matrix], oracle[matrix]) < 1e-8
            else:
                assert angle(found[matrix], oracle[matrix]) < 2
                assert abs(norm_ratio(found[matrix], oracle[matrix]) - 1) < 0.02
