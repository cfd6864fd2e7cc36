"""Gauss-Newton targets: what the settled loop equals, its two limits, what the change leaves alone, when it is stable.

The oracle for Jacobians is autograd, through a forward pass of its own.
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
from neurolearn.rule import Rule, Tied
from neurolearn.timescales import spiking_timing, timescales

GNT, BP = RULES["gauss_newton_target"], RULES["backprop"]
NET = mlp([6, 5, 4, 3])
X = np.random.default_rng(1).uniform(-1, 1, (4, 6))
TEACHER = np.eye(3)[[0, 2, 1, 1]]
HIDDEN = ("W_1_0", "W_2_1")


def mutant(rule: Rule = GNT, **swaps: tuple[str, str]) -> Rule:
    """The rule with one piece of its text exchanged: hidden=(old, new), or of the phase newton: turn=, wave=, output=."""
    phase = rule.phases["newton"]
    for place, (old, new) in swaps.items():
        if place == "learn":
            assert old in rule.hidden
            rule = replace(rule, hidden=rule.hidden.replace(old, new), limit=None)
            continue
        text = getattr(phase, place)
        assert old in text
        phase = replace(phase, **{place: text.replace(old, new)})
    return replace(rule, name="mutant", phases={"newton": phase}, limit=None)


def drawn(network: Network = NET, seed: int = 3) -> dict[str, np.ndarray]:
    size = network.sizes
    return prepare(GNT, network, np.zeros((1, size[0])), np.zeros((1, size[-1])), seed=seed, bias=0.3)[1]


def passes(network: Network, w: dict, x: np.ndarray) -> tuple[list, list, list]:
    """Of one sample: rates, slopes, and $\\partial a_L / \\partial h_i$ by autograd (None for the input)."""
    linear = network.activation.name == "linear"
    w, top, f = {n: torch.tensor(v) for n, v in w.items()}, network.output, (lambda u: u) if linear else torch.tanh

    def ahead(rate: torch.Tensor, start: int) -> torch.Tensor:
        for k in range(start + 1, top + 1):
            a = w[f"W_{k}_{k - 1}"] @ rate + w[f"b_{k}"]
            rate = a if k == top else f(a)
        return rate

    rates, slopes, jacobians = [torch.tensor(x)], [None], [None]
    for k in range(1, top + 1):
        a = w[f"W_{k}_{k - 1}"] @ rates[-1] + w[f"b_{k}"]
        rates.append(a if k == top else f(a))
        slopes.append(torch.func.jvp(f, (a,), (torch.ones_like(a),))[1].numpy() if k < top else np.ones(len(a)))
        jacobians.append(torch.autograd.functional.jacobian(lambda h, k=k: ahead(h, k), rates[-1]).numpy())
    return [r.numpy() for r in rates], slopes, jacobians


def solved(w: dict, damping: float, network: Network = NET, x=X, teacher=TEACHER) -> dict[str, np.ndarray]:
    """$f' \\odot J^\\top (J J^\\top + \\lambda I)^{-1} e$, by a linear solve (0: the pseudo-inverse), mean over the samples."""
    total: dict[str, np.ndarray] = {}
    for sample, target in zip(x, teacher, strict=True):
        rates, slopes, jacobians = passes(network, w, sample)
        error = target - rates[-1]
        for k in range(1, network.output + 1):
            j = jacobians[k]
            if k == network.output:
                goal = error
            elif damping:
                goal = j.T @ np.linalg.solve(j @ j.T + damping * np.eye(len(j)), error)
            else:
                goal = np.linalg.pinv(j) @ error
            name, change = f"W_{k}_{k - 1}", np.outer(slopes[k] * goal, rates[k - 1]) / len(x)
            total[name] = total.get(name, 0) + change
    return total


def worst(rule: Rule, damping: float, w: dict) -> float:
    oracle = solved(w, damping)
    return max(near(update(rule, NET, X, TEACHER, w)[n], oracle[n]) for n in oracle)


@pytest.mark.parametrize("damping", [1.0, 0.05])
def test_the_settled_loop_is_the_damped_inverse(damping):
    """Oracle: a solve with autograd's Jacobian, per sample. Tolerance: the loop's residual of 1e-12, amplified."""
    assert worst(GNT.with_constants(damping=damping), damping, drawn()) < 1e-10


@pytest.mark.parametrize("swaps", [
    {"hidden": ("wave = slope*W", "wave = W")},
    {"hidden": ("push = slope*back", "push = back")},
    {"turn": ("wave = back", "wave = slope*back")},
    {"output": ("- damping*control", "")},
    {"learn": ("slope*goal", "goal")},
], ids=str)  # fmt: skip
def test_another_loop_is_not(swaps):
    assert worst(mutant(**swaps), 1.0, drawn()) > 0.02


def test_the_output_is_not_damped():
    """Oracle: the plain delta rule, at any damping."""
    w = drawn()
    for damping in (0.1, 10.0):
        found = update(GNT.with_constants(damping=damping), NET, X, TEACHER, w)
        for name in ("W_3_2", "b_3"):
            assert near(found[name], update(BP, NET, X, TEACHER, w)[name]) < 1e-13
    damped = replace(GNT, name="mutant", output="mismatch = (teacher - rate)/(1 + damping)", limit=None)
    assert near(update(damped, NET, X, TEACHER, w)["W_3_2"], solved(w, 1.0)["W_3_2"]) > 0.4


def test_small_damping_tends_to_the_pseudo_inverse():
    """Oracle: numpy.linalg.pinv; what is left is of first order in the damping."""
    w, values = drawn(), (1e-4, 1e-5, 1e-6, 1e-7)
    oracle = solved(w, 0.0)
    found = [update(GNT.with_constants(damping=v), NET, X, TEACHER, w) for v in values]
    wrong = [update(mutant(hidden=("push = slope*back", "push = back")).with_constants(damping=v), NET, X, TEACHER, w)
             for v in values]  # fmt: skip
    for name in HIDDEN:
        errors = [near(f[name], oracle[name]) for f in found]
        assert np.polyfit(np.log(values), np.log(errors), 1)[0] == pytest.approx(1, abs=0.1)
        assert errors[-1] < 1e-3
    assert near(wrong[-1]["W_1_0"], oracle["W_1_0"]) > 0.05


def test_large_damping_tends_to_backpropagation():
    """Oracle: backprop over the damping; what is left is of first order in its inverse."""
    w, values = drawn(), (1e2, 1e3, 1e4, 1e5)
    gradient = update(BP, NET, X, TEACHER, w)
    ungated = mutant(learn=("slope*goal", "goal"))
    for name in HIDDEN:
        errors = [
            near(v * update(GNT.with_constants(damping=v), NET, X, TEACHER, w)[name], gradient[name]) for v in values
        ]
        assert np.polyfit(np.log(values), np.log(errors), 1)[0] == pytest.approx(-1, abs=0.1)
        assert errors[-1] < 1e-3
        last = update(ungated.with_constants(damping=values[-1]), NET, X, TEACHER, w)
        assert near(values[-1] * last[name], gradient[name]) > 0.05


# -- what it leaves alone ----------------------------------------------------------------------------------------------


def null_share(rule: Rule, w: dict, sample: np.ndarray, teacher: np.ndarray) -> dict[str, float]:
    """Part of each hidden change that leaves the output of that sample as it is, to first order."""
    found, shares = update(rule, NET, sample[None], teacher[None], w), {}
    rates, slopes, jacobians = passes(NET, w, sample)
    for k, name in enumerate(HIDDEN, start=1):
        explicit = np.kron(jacobians[k] * slopes[k], rates[k - 1])  # of the output, in the entries of W row by row
        change = found[name].ravel()
        shares[name] = float(np.linalg.norm(change - np.linalg.pinv(explicit) @ (explicit @ change))) / np.linalg.norm(
            change
        )
    return shares


def test_no_change_lies_in_the_null_space():
    """Oracle: the explicit Jacobian of the outputs in the entries of W; tanh units, any damping. Backprop shares this."""
    w = drawn()
    for sample, teacher in zip(X, TEACHER, strict=True):
        for rule in (GNT, GNT.with_constants(damping=0.01), BP):
            assert max(null_share(rule, w, sample, teacher).values()) < 1e-10
        assert min(null_share(mutant(learn=("slope*goal", "goal")), w, sample, teacher).values()) > 0.01


def descent(rule: Rule, network: Network, seed: int, damping: float) -> list[tuple[float, float]]:
    """(<BP, GNT>, what the identity says) for every hidden matrix of a linear net, on four samples."""
    rng, size = np.random.default_rng(seed), network.sizes
    x, teacher, w = rng.normal(size=(4, size[0])), rng.normal(size=(4, size[-1])), drawn(network, seed)
    ours = update(rule.with_constants(damping=damping), network, x, teacher, w)
    gradient, found = update(BP, network, x, teacher, w), []
    stack = [passes(network, w, sample) for sample in x]
    errors = np.stack([t - rates[-1] for t, (rates, _, _) in zip(teacher, stack, strict=True)], axis=1)
    for k in range(1, network.output):
        below = np.stack([rates[k - 1] for rates, _, _ in stack])
        j = stack[0][2][k]
        shrunk = (
            np.linalg.pinv(j).T @ j.T if not damping else np.linalg.solve(j @ j.T + damping * np.eye(len(j)), j @ j.T)
        )
        half = errors @ below / len(x)
        name = f"W_{k}_{k - 1}"
        found.append((float(np.sum(gradient[name] * ours[name])), float(np.sum(half * (shrunk @ half)))))
    return found


def test_it_descends_in_linear_nets():
    r"""$\langle BP, GNT \rangle = |M M^+ E H^\top|^2 > 0$ with $M = J_i$, without damping, and with it the same in the norm
    of $M M^\top (M M^\top + \lambda I)^{-1}$. Oracle: M by autograd; four samples, six random nets of two shapes. It
    bounds no angle but 90 degrees, and tests none."""
    narrow = mlp([6, 7, 5, 3], "linear")
    wide = mlp([4, 3, 4, 6], "linear")  # more outputs than units below
    for seed in range(6):
        for network, damping in ((narrow, 0.0), (narrow, 0.5), (wide, 0.5), (wide, 1e-3)):
            for inner, identity in descent(GNT, network, seed, damping):
                assert inner == pytest.approx(identity, rel=1e-8)
                assert inner > 0
    flipped = mutant(learn=("slope*goal", "-slope*goal"))
    assert all(inner < 0 for inner, _ in descent(flipped, narrow, 0, 0.0))
    signs = {"T": replace(GNT.pathways["T"], weights=Tied("W", "sign"))}
    signed = replace(GNT, name="mutant", limit=None, pathways=signs)
    assert all(abs(inner / identity - 1) > 0.02 for inner, identity in descent(signed, narrow, 0, 0.5))


# -- stability ---------------------------------------------------------------------------------------------------------


def scaled(layer: int, square: float) -> tuple[Network, dict]:
    """A linear net in which the path from a layer to the output has one singular value with this square."""
    network = mlp([3, 2, 2, 1], "linear")
    w = drawn(network, seed=5)
    path = w["W_3_2"] @ w["W_2_1"] if layer == 1 else w["W_3_2"]
    return network, {**w, "W_3_2": w["W_3_2"] * np.sqrt(square) / np.linalg.norm(path)}


@pytest.mark.parametrize("layer, square", [(2, 24.0), (1, 12 * np.tan(np.pi / 8) * (1 + np.tan(np.pi / 8) ** 2) ** 2)])
def test_the_loop_is_stable_up_to_the_predicted_gain(layer, square):
    r"""Oracle: $(s + 1)^k (\tau s + \lambda) = -\sigma^2$, k = 2 (L - i) lags, $\tau$ = 12. Without damping the roots cross at
    $k \arctan \omega = \pi/2$: at $\sigma^2 = 2 \tau$ for k = 2, at $\tau \omega (1 + \omega^2)^2$, $\omega = \tan(\pi/8)$, for k = 4.
    Bracketed within 2 %; with damping all modes are the polynomial's roots."""
    rule = GNT.with_constants(damping=0.0)
    for factor, sign in ((0.98, -1), (1.02, 1)):
        network, w = scaled(layer, square * factor)
        program, w, given = prepare(rule, network, np.ones((1, 3)), np.ones((1, 1)), w)
        mode = next(m for m in timescales(program, w, given) if m.phase == f"newton{layer}")
        assert np.sign(mode.abscissa) == sign
    lags = 2 * (3 - layer)
    network, w = scaled(layer, 3.0)
    program, w, given = prepare(GNT, network, np.ones((1, 3)), np.ones((1, 1)), w)
    mode = next(m for m in timescales(program, w, given) if m.phase == f"newton{layer}")
    roots = np.roots(np.polyadd(np.polymul(np.poly(-np.ones(lags)), [12.0, 1.0]), [3.0]))
    assert all(np.abs(mode.eigenvalues - root).min() < 1e-6 for root in roots)


@pytest.mark.parametrize("realisation", ["circuit.rate", "tensor.spiking", "circuit.spiking"])
def test_the_damped_inverse_in_every_realisation(realisation):
    """Oracle: the solve. Tolerances: 1e-5 in the rate circuit (a loop); 2 degrees and 2 % in spikes."""
    network = mlp([5, 4, 3])
    x, teacher, w = X[:2, :5], TEACHER[:2], drawn(network)
    oracle, timing = solved(w, 1.0, network, x, teacher), None
    if "spiking" in realisation:
        program, full, given = prepare(GNT, network, x, teacher, w)
        timing = fit_rates(program, full, given, spiking_timing(program, full, given, 1600))
    found = update(GNT, network, x, teacher, w, realisation=realisation, timing=timing)
    assert angle(oracle["W_1_0"], solved(w, 0.0, network, x, teacher)["W_1_0"]) > 5  # damping matters here
    for name, change in oracle.items():
        if realisation == "circuit.rate":
            assert near(found[name], change) < 1e-5
        else:
            assert angle(found[name], change) < 2
            assert abs(norm_ratio(found[name], change) - 1) < 0.02
