"""Simplified difference target propagation: targets from the label itself, decoders that denoise, auxiliary outputs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import RULES
from target_rules import (
    REALISATIONS,
    agree,
    agrees,
    batch,
    draw,
    gaussian,
    matrices,
    off,
    order,
    outer,
    phase_only,
    run,
    signals,
    simulated,
    spoilt,
)

from neurolearn.changes import prepare, update
from neurolearn.network import mlp
from neurolearn.observer import backprop_gradient
from neurolearn.rule import Population

SDTP, AO = RULES["simplified_dtp"], RULES["auxiliary_output_sdtp"]
BOTH = {"simplified_dtp": SDTP, "auxiliary_output_sdtp": AO}
NET = mlp([10, 9, 8, 7, 5])
EIGHT = {"auxiliary": Population(8, AO.populations["auxiliary"].text)}  # auxiliary cells, where circuits simulate them

MUTANTS = {
    "no difference": ((" - f(Q(rate_above))", ""),),
    "difference of drives": (("f(Q(target_above)) - f(Q(rate_above))", "Q(target_above) - Q(rate_above)"),),
    "sign": (("rate + f(Q(target_above)) - f(Q(rate_above))", "rate - f(Q(target_above)) + f(Q(rate_above))"),),
    "no slope": (("slope * (target - rate)", "target - rate"),),
    "no label": (("target = teacher", "target = 0.5*(teacher + rate)"),),
}
LINEAR = (("f(Q(target_above)) - f(Q(rate_above))", "Q(target_above) - Q(rate_above)"),)  # at every layer of SDTP
LINEAR_TOP = """
    target = rate + Q(target_above) - Q(rate_above)
    mismatch = slope * (target - rate)
"""
LINEAR_TOP_AO = LINEAR_TOP.replace("_above)", "_above) + P(features_auxiliary)", 1).replace(
    "- Q(rate_above)", "- (Q(rate_above) + P(features_auxiliary))"
)


def learning(rule, **changes):
    """The learning phase alone."""
    return replace(rule, name=f"{rule.name}_learning", phases={}, limit=None, own=None, **changes)


def drawn(net, cells: int = 32, seed: int = 1, bias: float = 0.1, scale: float = 1.0) -> dict[str, np.ndarray]:
    """Forward weights, decoders of every layer, and those to and from the auxiliary cells."""
    w, rng, top = draw(net, gaussian, seed, bias), np.random.default_rng([seed, 99]), net.output
    w |= {f"Q_{k}_{k + 1}": scale * gaussian(rng, net.sizes[k], net.sizes[k + 1]) for k in range(1, top)}
    w[f"P_{top - 1}_{top + 1}"] = scale * gaussian(rng, net.sizes[top - 1], cells)
    w[f"A_{top + 1}_{top - 1}"] = gaussian(rng, cells, net.sizes[top - 1])
    return w


def features(net, w, rate) -> np.ndarray:
    top = net.output
    return np.tanh(rate @ w[f"A_{top + 1}_{top - 1}"].T)


def follow(rule, net, w, x, teacher) -> dict[str, np.ndarray]:
    """The published recursion of targets in NumPy; tanh decoders."""
    rates, _, slopes = run(net, w, x)
    top = net.output
    targets, deltas = {top: teacher}, {top: teacher - rates[top]}
    for k in range(top - 1, 0, -1):
        heard = [h @ w[f"Q_{k}_{k + 1}"].T for h in (targets[k + 1], rates[k + 1])]
        if k == top - 1 and rule is AO:
            heard = [h + features(net, w, rates[k]) @ w[f"P_{k}_{top + 1}"].T for h in heard]
        targets[k] = rates[k] + np.tanh(heard[0]) - np.tanh(heard[1])
        deltas[k] = slopes[k] * (targets[k] - rates[k])
    return outer(net, rates, deltas)


# -- the gradient ------------------------------------------------------------------------------------------------------


def transposed(net, w) -> dict[str, np.ndarray]:
    return w | {f"Q_{k}_{k + 1}": w[f"W_{k + 1}_{k}"].T for k in range(1, net.output)}


@pytest.mark.parametrize("loss", ["squared", "cross_entropy"])
@pytest.mark.parametrize("rule", BOTH.values(), ids=BOTH)
def test_with_linear_units_and_the_transpose_it_is_backprop(rule, loss):
    """Identity, auxiliary cells or not, as z cancels. Oracle: autograd."""
    net = mlp(NET.sizes, "linear", loss)
    w = transposed(net, drawn(net))
    x, teacher = batch(net, w)
    expected = backprop_gradient(net, w, x, teacher)
    assert max(off(update(rule, net, x, teacher, w), expected, expected)) < 1e-13
    assert max(off(update(rule, net, x, teacher, drawn(net)), expected, matrices(net))) > 0.3
    for mutant in ("sign", "no label"):
        if rule is SDTP or mutant == "no label":
            assert max(off(update(spoilt(rule, *MUTANTS[mutant]), net, x, teacher, w), expected, matrices(net))) > 0.3


@pytest.mark.parametrize("realisation", REALISATIONS)
def test_it_is_backprop_there_in_every_realisation(realisation):
    net = mlp([4, 4, 4, 3], "linear")
    w = transposed(net, drawn(net))
    x, teacher = batch(net, w, 2)
    expected = backprop_gradient(net, w, x, teacher)
    assert agrees(learning(SDTP), net, x, teacher, w, expected, realisation)


@pytest.mark.parametrize("loss", ["squared", "cross_entropy"])
def test_a_linear_inverse_at_the_top_carries_the_gradient(loss):
    """V_L = W_L^T and a linear g_L move the highest hidden target by minus the gradient. Oracle: autograd."""
    net = mlp(NET.sizes, "tanh", loss)
    w = transposed(net, drawn(net))
    x, teacher = batch(net, w)
    rule = learning(SDTP, last=LINEAR_TOP)
    found = signals(rule, net, x, teacher, w)
    leaf = torch.tensor(found["rate_3"], requires_grad=True)
    output = leaf @ torch.tensor(w["W_4_3"]).T + torch.tensor(w["b_4"])
    label = torch.tensor(teacher)
    loss = 0.5 * (label - output).square().sum() if loss == "squared" else -(label * output.log_softmax(1)).sum()
    gradient = torch.autograd.grad(loss, leaf)[0].numpy()
    assert np.abs(found["target_3"] - found["rate_3"] + gradient).max() < 1e-14
    gradients = backprop_gradient(net, w, x, teacher)
    change = update(rule, net, x, teacher, w)
    assert max(off(change, gradients, ["W_3_2", "W_4_3"])) < 1e-13
    assert off(change, gradients, ["W_1_0"])[0] > 0.1  # the decoders below are tanh
    curved = signals(learning(SDTP), net, x, teacher, w)
    assert np.abs(curved["target_3"] - curved["rate_3"] + gradient).max() > 1e-2


@pytest.mark.parametrize("realisation", REALISATIONS[1:3])
def test_it_does_so_in_other_realisations(realisation):
    net = mlp([4, 4, 4, 3], "tanh", "cross_entropy" if realisation == "circuit.rate" else "squared")
    w = transposed(net, drawn(net))
    x, teacher = batch(net, w, 2, 3)
    expected = backprop_gradient(net, w, x, teacher)
    assert agrees(learning(SDTP, last=LINEAR_TOP), net, x, teacher, w, expected, realisation, ["W_2_1"])


# -- targets -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", BOTH.values(), ids=BOTH)
def test_where_the_top_is_right_every_target_is_the_rate(rule):
    """For any decoders, and any auxiliary outputs: z is the same in both terms. Without z in one of them it is not."""
    w = drawn(NET)
    x, _ = batch(NET, w)
    right = run(NET, w, x)[0][-1]

    def moved(rule):
        found = signals(rule, NET, x, right, w)
        return max(np.abs(found[f"target_{k}"] - found[f"rate_{k}"]).max() for k in (1, 2, 3))

    assert moved(rule) < 1e-14
    assert moved(spoilt(rule, *MUTANTS["no difference"])) > 0.3
    if rule is AO:
        one_sided = spoilt(AO, ("- f(Q(rate_above) + P(features_auxiliary))", "- f(Q(rate_above))"))
        assert moved(one_sided) > 0.3


@pytest.mark.parametrize("realisation", REALISATIONS[:3])
@pytest.mark.parametrize("rule", BOTH.values(), ids=BOTH)
def test_the_published_recursion(rule, realisation):
    """Oracle: that recursion in NumPy, tanh decoders; tolerances of the edges."""
    net = mlp([4, 4, 4, 3])
    w = drawn(net, cells=8)
    x, teacher = batch(net, w, 2)
    learn = learning(rule, **({"populations": EIGHT} if rule is AO else {}))
    expected = follow(rule, net, w, x, teacher)
    assert agrees(learn, net, x, teacher, w, expected, realisation)
    if realisation == "tensor.rate":
        for swaps in MUTANTS.values():
            wrong = update(spoilt(learn, *swaps), net, x, teacher, w)
            assert max(off(wrong, expected, matrices(net))) > 0.02


@pytest.mark.parametrize("rule", BOTH.values(), ids=BOTH)
def test_the_reference_is_the_first_order_of_the_decoders(rule):
    """Order 1 in the size of the output error. Oracle of the reference: the rule itself, over four decades."""
    w, sizes = drawn(NET), 10.0 ** -np.arange(1, 6)
    x, teacher = batch(NET, w)
    right, errors = run(NET, w, x)[0][-1], []
    for size in sizes:
        label = right + size * (teacher - right)
        own = rule.own(NET, w, x, label, rule.constants)
        errors.append(off(update(rule, NET, x, label, w), own, matrices(NET)))
    for found in np.array(errors).T:
        assert order(sizes, found) == pytest.approx(1, abs=0.1)
    assert np.max(errors[-1]) < 1e-4
    other = (AO if rule is SDTP else SDTP).own(NET, w, x, label, {})
    assert off(update(rule, NET, x, label, w), other, ["W_3_2"])[0] > 0.1


# -- the room that targets fill ----------------------------------------------------------------------------------------


def spectrum(rule, w, net, x, teacher) -> np.ndarray:
    """Singular values, the largest 1, of how far the samples' highest hidden targets are from their rates."""
    found, k = signals(rule, net, x, teacher, w), net.output - 1
    values = np.linalg.svd(found[f"target_{k}"] - found[f"rate_{k}"], compute_uv=False)
    return values / values[0]


def energy(values, count: int) -> float:
    """Share of the energy in the first ``count`` directions."""
    return float(np.sum(values[:count] ** 2) / np.sum(values**2))


def test_targets_of_the_highest_hidden_layer_fill_few_directions():
    """Softmax with C = 10 classes: a linear inverse has rank C - 1, as errors sum to 0 over the classes.

    tanh fills all directions, with little energy outside of the first C - 1 (here 4e-4), and auxiliary outputs bring it
    there (here 1 % with 512 of them). The mutant, targets that are not differences, is in all directions at once.
    """
    net = mlp([20, 40, 40, 10], "tanh", "cross_entropy")
    w = drawn(net, cells=512, scale=0.8)
    rng = np.random.default_rng(1)
    x, teacher = rng.uniform(-1, 1, (500, 20)), np.eye(10)[rng.integers(0, 10, 500)]
    cells = {"auxiliary": Population(512, AO.populations["auxiliary"].text)}
    linear = spectrum(learning(SDTP, last=LINEAR_TOP), w, net, x, teacher)
    assert linear[8] > 1e-3
    assert linear[9] < 1e-14
    curved, spread = (spectrum(r, w, net, x, teacher) for r in (learning(SDTP), learning(AO, populations=cells)))
    assert curved[-1] > 1e-8
    assert 1e-5 < 1 - energy(curved, 9) < 2e-3
    assert 5e-3 < 1 - energy(spread, 9)
    mutant = spoilt(learning(SDTP), *MUTANTS["no difference"])
    assert 1 - energy(spectrum(mutant, w, net, x, teacher), 9) > 0.02


def test_auxiliary_outputs_cancel_in_a_linear_inverse():
    """Then the target is that of SDTP with the same Q, whatever P and A; with tanh it is another."""
    w, other = drawn(NET), drawn(NET, seed=2)
    x, teacher = batch(NET, w)
    plain = signals(learning(SDTP, last=LINEAR_TOP), NET, x, teacher, w)
    for side in (w, w | {n: other[n] for n in ("P_3_5", "A_5_3")}):
        linear = signals(learning(AO, last=LINEAR_TOP_AO), NET, x, teacher, side)
        assert max(np.abs(linear[f"target_{k}"] - plain[f"target_{k}"]).max() for k in (1, 2, 3)) < 1e-14
    found, same = signals(learning(AO), NET, x, teacher, w), signals(learning(SDTP), NET, x, teacher, w)
    assert np.abs(found["target_3"] - same["target_3"]).max() > 0.05
    doubled = learning(AO, last=LINEAR_TOP_AO.replace("- (Q(rate_above) + P(", "- (Q(rate_above) + 2*P("))
    assert np.abs(signals(doubled, NET, x, teacher, w)["target_3"] - plain["target_3"]).max() > 0.3


# -- decoders ----------------------------------------------------------------------------------------------------------

INVERSE_MUTANTS = {
    "noisy aim": (("guess_slope * (clean - guess)", "guess_slope * (probe - guess)"),),
    "no noise": (("probe = clean + sigma*noise", "probe = clean"),),
    "noise from below": (("probe = clean + sigma*noise", "probe = rate + sigma*noise"),),
    "sign": (("guess_slope * (clean - guess)", "guess_slope * (clean + guess)"),),
}


@pytest.mark.parametrize("rule", BOTH.values(), ids=BOTH)
def test_decoders_descend_the_error_to_the_clean_rates(rule):
    """Oracle: autograd of 1/2 |h - tanh(Q u + P z)|^2 with u and z of the very noise that was drawn. A never learns."""
    w = drawn(NET)
    x, teacher = batch(NET, w)
    program, weights, given = prepare(phase_only(rule), NET, x, teacher, w)
    found = simulated(program, weights, given, "tensor.rate")
    assert set(found) == {"Q_1_2", "Q_2_3", "Q_3_4"} | ({"P_3_5"} if rule is AO else set())
    assert "A_5_3" not in prepare(rule, NET, x, teacher, w)[0].plastic_weights()
    rates = run(NET, w, x)[0]
    expected = {}
    for k in (1, 2, 3):
        probe = rates[k] + rule.constants["sigma"] * given[f"noise_denoise_{k}"]
        image = probe @ w[f"W_{k + 1}_{k}"].T + w[f"b_{k + 1}"]
        names, inputs = [f"Q_{k}_{k + 1}"], [image if k == 3 else np.tanh(image)]
        if k == 3 and rule is AO:
            names, inputs = [*names, "P_3_5"], [*inputs, features(NET, w, probe)]
        leaves = [torch.tensor(w[n], requires_grad=True) for n in names]
        heard = sum(torch.tensor(i) @ leaf.T for i, leaf in zip(inputs, leaves, strict=True))
        loss = 0.5 * (torch.tensor(rates[k]) - torch.tanh(heard)).square().sum(1).mean()
        expected |= {n: -g.numpy() for n, g in zip(names, torch.autograd.grad(loss, leaves), strict=True)}
    assert max(off(found, expected, expected)) < 1e-13
    for mutant, swaps in INVERSE_MUTANTS.items():
        wrong, _, drawn_noise = prepare(phase_only(spoilt(rule, *swaps)), NET, x, teacher, w)
        changes = simulated(wrong, weights, {n: given.get(n, v) for n, v in drawn_noise.items()}, "tensor.rate")
        assert max(off(changes, expected, expected)) > 0.05, mutant


def white_probes(net, w, x, rule=SDTP):
    """(program, weights, given): every sample with +- sqrt(n) e_i as noise, of exactly unit covariance, in each layer."""
    count = 2 * max(net.sizes[1:-1])
    program, weights, given = prepare(phase_only(rule), net, x[:1], np.zeros((1, net.sizes[-1])), w)
    chosen = {"data_0": np.repeat(x, count, axis=0)}
    for k in range(1, net.output):
        axes = np.sqrt(net.sizes[k]) * np.vstack([np.eye(net.sizes[k]), -np.eye(net.sizes[k])])
        assert count % len(axes) == 0
        chosen[f"noise_denoise_{k}"] = np.tile(axes, (len(x) * count // len(axes), 1))
    return program, weights, {name: chosen[name] for name in given}


def moments_of(net, w, x) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """{Q: (second moments of the clean rates, the matrix that Q is to undo)}."""
    rates = run(net, w, x)[0]
    return {f"Q_{k}_{k + 1}": (rates[k].T @ rates[k] / len(x), w[f"W_{k + 1}_{k}"]) for k in range(1, net.output)}


@pytest.mark.parametrize("sizes", [(3, 4, 2, 2), (3, 4, 4, 4)], ids=["contracting", "square"])
def test_the_learned_inverse_denoises(sizes):
    """For a linear net: the mean change is (C - V W (C + s^2)) W^T, so that it ends at V = C (C + s^2)^-1 W^-1.

    That is a shrunk inverse, far from W^-1; of a contracting W it is C W^T (W (C + s^2) W^T)^-1.
    """
    net, sigma = mlp(sizes, "linear"), SDTP.constants["sigma"]
    w = drawn(net, bias=0.0)
    x = np.random.default_rng(5).uniform(-1, 2, (4, 3))
    learned = moments_of(net, w, x)

    def change(decoders, rule=SDTP):
        return simulated(*white_probes(net, w | decoders, x, rule), "tensor.rate")

    start, law, best, plain = change({}), {}, {}, {}
    for q, (clean, up) in learned.items():
        noisy = clean + sigma**2 * np.eye(len(clean))
        law[q] = (clean - w[q] @ up @ noisy) @ up.T
        best[q] = clean @ up.T @ np.linalg.inv(up @ noisy @ up.T)
        plain[q] = np.linalg.pinv(up)
        if up.shape[0] == up.shape[1]:
            assert np.linalg.norm(best[q] - clean @ np.linalg.inv(noisy) @ plain[q]) < 1e-11
    assert max(off(start, law, learned)) < 1e-13
    there, elsewhere = change(best), change(plain)
    assert max(np.linalg.norm(there[q]) / np.linalg.norm(start[q]) for q in learned) < 1e-13
    assert min(np.linalg.norm(elsewhere[q]) / np.linalg.norm(start[q]) for q in learned) > 0.02
    for mutant, swaps in INVERSE_MUTANTS.items():
        program = prepare(phase_only(spoilt(SDTP, *swaps)), net, x, np.zeros((4, sizes[-1])))[0]
        _, weights, given = white_probes(net, w | best, x)
        found = simulated(program, weights, given, "tensor.rate")
        assert max(np.linalg.norm(found[q]) / np.linalg.norm(start[q]) for q in learned) > 0.02, mutant


@pytest.mark.parametrize("realisation", ["circuit.rate", "tensor.spiking"])
def test_the_mean_change_of_decoders_in_other_realisations(realisation):
    """The same law on a smaller net, probes and all; tolerances of the edges."""
    net = mlp([2, 2, 2, 2], "linear")
    w = drawn(net, bias=0.0)
    x = np.random.default_rng(5).uniform(-1, 1, (2, 2))
    noisy = {q: (c, c + SDTP.constants["sigma"] ** 2 * np.eye(2), up) for q, (c, up) in moments_of(net, w, x).items()}
    law = {q: (clean - w[q] @ up @ more) @ up.T for q, (clean, more, up) in noisy.items()}
    assert agree(simulated(*white_probes(net, w, x), realisation), law, realisation, list(law))
