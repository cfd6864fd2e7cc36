"""Difference target propagation: what its targets follow at any decoder."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import RULES
from target_rules import (
    EPS,
    REALISATIONS,
    agrees,
    batch,
    draw,
    gaussian,
    haar,
    matrices,
    off,
    order,
    outer,
    run,
    signals,
    simulated,
    spoilt,
    square,
    weights_of,
    with_decoders,
)

from neurolearn.changes import prepare, update
from neurolearn.network import Connection, Network, mlp
from neurolearn.observer import backprop_gradient
from neurolearn.rule import Pathway, Tied

DTP, TOP = RULES["difference_target_propagation"], RULES["dtp_learned_top"]
BOTH = {"difference_target_propagation": DTP, "dtp_learned_top": TOP}
NET = mlp([10, 9, 8, 7, 5])
STEPS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)

MUTANTS = {
    "no difference": ((" - f(Q(rate_above))", ""),),
    "difference of drives": (("f(Q(target_above)) - f(Q(rate_above))", "Q(target_above) - Q(rate_above)"),),
    "sign": (("rate + f(Q(target_above)) - f(Q(rate_above))", "rate - f(Q(target_above)) + f(Q(rate_above))"),),
    "no slope": (("slope * (target - rate)", "target - rate"),),
}


def follow(rule, net, w, x, teacher, step: float) -> dict[str, np.ndarray]:
    """The published recursion of targets in NumPy at a finite step; tanh decoders."""
    rates, _, slopes = run(net, w, x)
    error, depth = teacher - rates[-1], net.output
    g = {"tanh": np.tanh, "linear": lambda u: u}[net.activation.name]
    targets, deltas = {depth: rates[depth] + step * error}, {depth: error}
    for k in range(depth - 1, 0, -1):
        if k == depth - 1 and rule is DTP:
            targets[k] = rates[k] + step * error @ w[f"W_{depth}_{k}"]
        else:
            back = w[f"Q_{k}_{k + 1}"].T
            targets[k] = rates[k] + g(targets[k + 1] @ back) - g(rates[k + 1] @ back)
        deltas[k] = slopes[k] * (targets[k] - rates[k])
    return outer(net, rates, deltas)


def decoded(rule, net, w, x, teacher) -> dict[str, np.ndarray]:
    """To first order, for a step of 1: products of the decoders' Jacobians, each by autograd."""
    rates, _, slopes = run(net, w, x)
    depth = net.output
    error, deltas = teacher - rates[depth], {depth: teacher - rates[depth]}
    for k in range(depth - 1, 0, -1):
        if k == depth - 1 and rule is DTP:
            error = error @ w[f"W_{depth}_{k}"]
        else:
            back = torch.tensor(w[f"Q_{k}_{k + 1}"])
            jacobian = [torch.func.jacrev(lambda r, b=back: torch.tanh(b @ r))(torch.tensor(r)) for r in rates[k + 1]]
            error = np.stack([j.numpy() @ e for j, e in zip(jacobian, error, strict=True)])
        deltas[k] = slopes[k] * error
    return outer(net, rates, deltas)


# -- targets -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", BOTH.values(), ids=BOTH)
def test_where_the_top_is_right_every_target_is_the_rate(rule):
    """For any decoders. Targets without the difference, or through TP's decoder, are off by order 1."""
    w = with_decoders(NET)
    x, _ = batch(NET, w)
    right = run(NET, w, x)[0][-1]
    found = signals(rule, NET, x, right, weights_of(rule, NET, w))
    assert max(np.abs(found[f"target_{k}"] - found[f"rate_{k}"]).max() for k in (1, 2, 3)) < 1e-14
    vanilla = signals(spoilt(rule, *MUTANTS["no difference"]), NET, x, right, weights_of(rule, NET, w))
    assert max(np.abs(vanilla[f"target_{k}"] - vanilla[f"rate_{k}"]).max() for k in (1, 2, 3)) > 0.3
    tp = signals(RULES["target_propagation_learned"], square(8, 4), x[:, :8], x[:, 2:], {})
    assert np.abs(tp["target_1"] - tp["rate_1"]).max() > 0.3


def test_where_the_top_is_right_a_rate_circuit_learns_nothing():
    """To 1e-8 of what it learns when the top is wrong, the edge's tolerance."""
    net = mlp([4, 4, 4, 3])
    w = with_decoders(net)
    x, teacher = batch(net, w, 2)
    learn = replace(DTP, phases={}, name="learn")
    size = np.linalg.norm(update(learn, net, x, teacher, w)["W_1_0"])
    found = simulated(*prepare(learn, net, x, run(net, w, x)[0][-1], w), "circuit.rate")
    assert max(np.linalg.norm(found[n]) for n in matrices(net)) < 1e-8 * size


@pytest.mark.parametrize("rule", BOTH.values(), ids=BOTH)
def test_the_reference_is_the_product_of_the_decoders_jacobians(rule):
    w = with_decoders(NET)
    x, teacher = batch(NET, w)
    own, expected = rule.own(NET, w, x, teacher, {"step": 0.3}), decoded(rule, NET, w, x, teacher)
    assert max(off(own, {n: 0.3 * v for n, v in expected.items()}, matrices(NET))) < 1e-12
    assert off(own, expected, ["W_4_3"])[0] < 1e-12


def first_order_errors(rule, against, steps=STEPS) -> dict[str, list[float]]:
    w = with_decoders(NET)
    x, teacher = batch(NET, w)
    expected, errors = decoded(against, NET, w, x, teacher), []
    for step in steps:
        found = update(rule.with_constants(step=step), NET, x, teacher, w)
        errors.append(off({n: found[n] / step for n in matrices(NET)}, expected, matrices(NET)))
    return dict(zip(matrices(NET), np.array(errors).T.tolist(), strict=True))


@pytest.mark.parametrize("rule", BOTH.values(), ids=BOTH)
def test_small_steps_follow_the_decoders(rule):
    """Order 1 over five decades; oracle: autograd's Jacobians of tanh(Q h). Not the gradient."""
    errors = first_order_errors(rule, rule)
    for name, found in errors.items():
        if rule is DTP and name == "W_3_2":  # exact: rounding of a difference of rates
            assert max(found) < 1e2 * EPS / min(STEPS)
        else:
            assert order(STEPS, found) == pytest.approx(1, abs=0.1)
            assert found[-1] < 1e-4
    w = with_decoders(NET)
    x, teacher = batch(NET, w)
    gradient = backprop_gradient(NET, w, x, teacher)
    assert min(off(decoded(rule, NET, w, x, teacher), gradient, ["W_1_0", "W_2_1"])) > 0.3


@pytest.mark.parametrize("mutant", MUTANTS)
@pytest.mark.parametrize("rule", BOTH.values(), ids=BOTH)
def test_small_steps_of_a_spoilt_rule_follow_something_else(rule, mutant):
    """Without the difference the error even grows as 1/step."""
    errors = first_order_errors(spoilt(rule, *MUTANTS[mutant]), rule, (1e-2, 1e-3))
    assert max(e[-1] for e in errors.values()) > 0.1
    if mutant == "no difference":
        assert errors["W_1_0"][1] > 5 * errors["W_1_0"][0] > 50


@pytest.mark.parametrize("step", [2.0, 0.1])
@pytest.mark.parametrize("loss", ["squared", "cross_entropy"])
def test_the_highest_hidden_layer_is_backprop_times_the_step(loss, step):
    """Exactly, whatever the decoders. Oracle: autograd. With a learned top it is not."""
    net = mlp(NET.sizes, "tanh", loss)
    w = with_decoders(net)
    x, teacher = batch(net, w)
    gradient = backprop_gradient(net, w, x, teacher)
    expected = {n: step * gradient[n] for n in ("W_3_2", "b_3")} | {n: gradient[n] for n in ("W_4_3", "b_4")}
    rule = DTP.with_constants(step=step)
    for seed in (1, 2):
        assert (
            max(off(update(rule, net, x, teacher, with_decoders(net, seed=seed) | draw(net, gaussian)), expected, expected))
            < 1e-13
        )
    assert (
        min(off(update(rule, net, x, teacher, w), {n: step * v for n, v in gradient.items()}, ["W_1_0", "W_2_1"])) > 0.3
    )
    assert off(update(TOP.with_constants(step=step), net, x, teacher, w), expected, ["W_3_2"])[0] > 0.3
    for swap in (("step*T(", "T("), ("step*T(", "-step*T("), ("slope * (target", "(target")):
        wrong = update(spoilt(rule, swap), net, x, teacher, w)
        assert off(wrong, expected, ["W_3_2"])[0] > 0.05 or (swap[1] == "T(" and step == 1)


@pytest.mark.parametrize("realisation", REALISATIONS)
def test_the_highest_hidden_layer_in_every_realisation(realisation):
    """The same at a step of 1/2; tolerances of the edges."""
    net = mlp([4, 4, 4, 3])
    w = with_decoders(net)
    x, teacher = batch(net, w, 2)
    gradient = backprop_gradient(net, w, x, teacher)
    rule = replace(DTP, phases={}, name="learn")
    assert agrees(rule, net, x, teacher, w, {"W_2_1": 0.5 * gradient["W_2_1"]}, realisation)


TRANSPOSED = replace(
    DTP,
    name="transposed",
    phases={},
    hidden="target = rate + T(mismatch_above)\nmismatch = slope * (target - rate)",
    limit=None,
    own=None,
)


@pytest.mark.parametrize("loss", ["squared", "cross_entropy"])
def test_with_the_transposed_jacobian_for_a_decoder_it_is_backprop(loss):
    """A decoder whose step is J^T makes every layer backprop times the step. Oracle: autograd."""
    net = mlp(NET.sizes, "tanh", loss)
    w = with_decoders(net)
    x, teacher = batch(net, w)
    gradient = backprop_gradient(net, w, x, teacher)
    expected = {n: 0.5 * gradient[n] for n in matrices(net)}
    assert max(off(update(TRANSPOSED, net, x, teacher, w), expected, expected)) < 1e-13
    weights_alone = spoilt(TRANSPOSED, ("T(mismatch_above)", "T(target_above) - T(rate_above)"))  # W^T is not J^T
    assert max(off(update(weights_alone, net, x, teacher, w), expected, expected)) > 0.03


def test_so_it_is_in_a_rate_circuit():
    """With softmax, to the edge's 1e-8."""
    net = mlp([4, 4, 4, 3], "tanh", "cross_entropy")
    w = with_decoders(net)
    x, teacher = batch(net, w, 2, 3)
    gradient = backprop_gradient(net, w, x, teacher)
    assert agrees(TRANSPOSED, net, x, teacher, w, {n: 0.5 * gradient[n] for n in matrices(net)}, "circuit.rate")


def test_with_exact_inverses_it_is_target_propagation():
    """With g = W^-1 (f^-1 - b) and the full step. Oracle: the rule target_propagation, itself held to NumPy."""
    net = square(8, 4)
    w = draw(net, lambda rng, rows, columns: haar(rng, rows) @ np.diag(rng.uniform(0.7, 1.4, rows)))
    x, teacher = batch(net, w)
    exact = replace(
        TOP,
        name="exact",
        phases={},
        pathways={"V": Pathway("above", Tied("W", "pseudo-inverse"))},
        constants={"step": 1.0},
        hidden="""
            target = rate + V(goal_above) - V(image_above)
            goal = inv(target) - b
            image = potential - b
            mismatch = slope * (target - rate)
        """,
        output="""
            goal = rate + step*(teacher - rate) - b
            image = potential - b
            mismatch = teacher - rate
        """,
        limit=None,
        own=None,
    )
    full = update(RULES["target_propagation"], net, x, teacher, w)
    assert max(off(update(exact, net, x, teacher, w), full, full.changes)) < 1e-12
    assert off(update(exact.with_constants(step=0.5), net, x, teacher, w), full, ["W_3_2"])[0] > 0.3


@pytest.mark.parametrize(
    ("rule", "realisation"), [("dtp_learned_top", r) for r in REALISATIONS] + [(DTP.name, r) for r in REALISATIONS[:2]]
)
def test_a_finite_step_in_every_realisation(rule, realisation):
    """Oracle: the published recursion in NumPy, tanh, step 1/2; tolerances of the edges."""
    rule = BOTH[rule]
    net = mlp([4, 4, 4, 3])
    w = with_decoders(net)
    x, teacher = batch(net, w, 2)
    learn = replace(rule, phases={}, name="learn")
    expected = follow(rule, net, w, x, teacher, 0.5)
    assert agrees(learn, net, x, teacher, w, expected, realisation)
    if realisation == "tensor.rate":
        for swaps in MUTANTS.values():
            wrong = update(spoilt(learn, *swaps), net, x, teacher, w)
            assert max(off(wrong, expected, matrices(net))) > 0.02


@pytest.mark.parametrize("rule", BOTH.values(), ids=BOTH)
def test_over_a_skip_connection_one_decoder_hears_both_layers(rule):
    """Targets and decoders of 1 -> 2 -> 3 with 1 -> 3. Oracle: the recursion and the plasticity in NumPy.

    The mutants: the output's target, its image of the probes, and their sign.
    """
    net = Network((5, 4, 4, 3), tuple(Connection(*ends) for ends in ((0, 1), (1, 2), (2, 3), (1, 3))))
    rng, step = np.random.default_rng(3), 0.5
    x, teacher = rng.random((4, 5)), rng.standard_normal((4, 3))
    _, w, given = prepare(rule, net, x, teacher, bias=0.3)
    w |= {n: rng.standard_normal(v.shape) / 2 for n, v in w.items() if n.startswith("Q")}
    one = np.tanh(x @ w["W_1_0"].T + w["b_1"])
    two = np.tanh(one @ w["W_2_1"].T + w["b_2"])
    top = two @ w["W_3_2"].T + one @ w["W_3_1"].T + w["b_3"]
    error = teacher - top
    if rule is DTP:
        move = step * error @ w["W_3_2"]
    else:
        move = np.tanh((top + step * error) @ w["Q_2_3"].T) - np.tanh(top @ w["Q_2_3"].T)
    heard = two @ w["Q_1_2"].T + top @ w["Q_1_3"].T
    low = np.tanh(heard + move @ w["Q_1_2"].T + step * error @ w["Q_1_3"].T) - np.tanh(heard)
    expected = outer(net, [x, one], {1: (1 - one**2) * low, 2: (1 - two**2) * move})
    probe = one + 0.3 * given["noise_inverse_1"]
    image = np.tanh(probe @ w["W_2_1"].T + w["b_2"])
    noisy = image + 0.3 * given["noise_inverse_2"] if "noise_inverse_2" in given else image
    last = noisy @ w["W_3_2"].T + probe @ w["W_3_1"].T + w["b_3"]
    guess = np.tanh(image @ w["Q_1_2"].T + last @ w["Q_1_3"].T)
    residue = (1 - guess**2) * (probe - guess)
    expected |= {"Q_1_2": residue.T @ image / 4, "Q_1_3": residue.T @ last / 4}

    def errors(rule):
        found = simulated(prepare(rule, net, x, teacher)[0], w, given, "tensor.rate")
        return off(found, expected, expected)

    assert max(errors(rule)) < 1e-13
    top_target = "rate + step*error" if rule is DTP else "rate + step*(teacher - rate)"
    for swap in (
        (top_target, top_target.replace("+", "-")),
        (top_target, "rate"),
        ("W(probe_below) + b", "W(probe_below) - b"),
    ):
        assert max(errors(spoilt(rule, swap))) > 0.02, swap
