"""GAIT-prop: where it is the gradient, how it gets there, what rounding does to the published form, and the regulariser."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import RULES
from target_rules import (
    EPS,
    REALISATIONS,
    F,
    agree,
    agrees,
    batch,
    draw,
    gaussian,
    haar,
    matrices,
    off,
    order,
    outer,
    phase_only,
    run,
    signals,
    simulated,
    single,
    spoilt,
    square,
)

from neurolearn.changes import prepare, update
from neurolearn.compare import cosine
from neurolearn.network import Connection, Network, mlp
from neurolearn.observer import backprop_gradient
from neurolearn.tensor.rate import RateProgram

GAIT, PUBLISHED, ORTHOGONAL = (RULES[f"gait_prop{name}"] for name in ("", "_published", "_orthogonal"))
GAMMAS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)

MUTANTS = {
    "slope once": (("slope**2*error", "slope*error"),),
    "no slope in the step": (("slope**2*error", "error"),),
    "no slope in delta": (("delta = slope*error", "delta = error"),),
    "sign of the step": (("f(potential) + gamma*slope**2*error", "f(potential) - gamma*slope**2*error"),),
    "step not divided": ((")/gamma", ")"),),
}


def tower() -> Network:
    """Square matrices that read the first units of the layer below; the units that are not read are auxiliary."""
    sizes = (24, 24, 16, 10, 6)
    edges = [Connection(0, 1)]
    for k in (2, 3, 4):
        mask = np.tile(np.arange(sizes[k - 1]) < sizes[k], (sizes[k], 1))
        edges.append(Connection(k - 1, k, "masked", mask))
    return Network(sizes, tuple(edges), "asinh")


def orthogonal_tower(rng, rows, columns):
    return np.hstack([haar(rng, rows), np.zeros((rows, columns - rows))])


CASES = {  # the net, and how its matrices are drawn
    "square": (lambda: square(32, 5), haar),
    "square, softmax": (lambda: square(32, 5, "asinh", "cross_entropy"), haar),
    "tower": (tower, orthogonal_tower),
    "narrowing": (lambda: mlp([24, 24, 16, 10, 6], "asinh"), haar),
}


def made(case: str):
    net, make = CASES[case][0](), CASES[case][1]
    w = draw(net, make)
    return net, w, *batch(net, w, 16)


def errors_to(expected, rule, net, w, x, teacher, gammas=GAMMAS) -> dict[str, list[float]]:
    """{matrix into a hidden layer: relative error at each gamma}."""
    rows = [off(update(rule.with_constants(gamma=g), net, x, teacher, w), expected, matrices(net)) for g in gammas]
    return dict(zip(matrices(net), np.array(rows).T.tolist(), strict=True))


def recursion(net, w, x, teacher, back) -> dict[str, np.ndarray]:
    """delta_l = D_l back(l + 1) delta_(l+1), sample by sample in NumPy; back(l): (units below, units)."""
    rates, _, slopes = run(net, w, x)
    deltas = {net.output: teacher - rates[-1]}
    for k in range(net.output - 1, 0, -1):
        deltas[k] = slopes[k] * (deltas[k + 1] @ back(k + 1).T)
    return outer(net, rates, deltas)


# -- the difference form -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
def test_the_error_to_backprop_is_linear_in_gamma_at_every_depth(case):
    """Oracle: autograd. Five decades without a floor; the highest hidden layer is exact, its step being linear."""
    net, w, x, teacher = made(case)
    errors = errors_to(backprop_gradient(net, w, x, teacher), GAIT, net, w, x, teacher)
    *below, highest = errors.values()
    assert max(highest) < 1e-13
    for found in below:
        assert order(GAMMAS, found) == pytest.approx(1, abs=0.1)
        assert found[0] < 0.1
        assert found[-1] < 1e-5


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_spoilt_rule_does_not_tend_to_backprop(mutant):
    net, w, x, teacher = made("square")
    rule = spoilt(GAIT, *MUTANTS[mutant])
    errors = errors_to(backprop_gradient(net, w, x, teacher), rule, net, w, x, teacher, (1e-3,))
    assert max(e[0] for e in errors.values()) > 0.05


def test_single_precision_is_enough_at_every_depth():
    """Five layers, gamma = 1e-3, float32: the order's 1e-3, and eps/gamma = 1e-4 of rounding in every layer."""
    net, w, x, teacher = made("square")
    found = single(GAIT.with_constants(gamma=1e-3), net, x, teacher, w)
    assert max(off(found, backprop_gradient(net, w, x, teacher), matrices(net, top=True))) < 1e-3


def test_auxiliary_units_get_no_error():
    """Exactly zero on the units of the tower that are not read, and not zero on those that are."""
    net, w, x, teacher = made("tower")
    found = signals(GAIT, net, x, teacher, w)
    for k in (1, 2, 3):
        read = net.sizes[k + 1]
        assert not found[f"error_{k}"][:, read:].any()
        assert found[f"error_{k}"][:, :read].all()
    loose = dict(w)
    loose["W_3_2"] = gaussian(np.random.default_rng(1), 10, 16)  # a dense matrix does give them one
    assert signals(GAIT, mlp(net.sizes, "asinh"), x, teacher, loose)["error_2"][:, 10:].all()


def test_leaky_units_are_exact_until_a_kink_is_crossed():
    """No error at all up to the gamma at which the first unit of the first sample changes sides, and a large one beyond.

    Oracle: autograd; the crossing is foreseen from the gradient's own recursion. Rounding: eps/gamma, twice.
    """
    net = square(16, 4, "leaky_relu")
    w = draw(net)
    x, teacher = batch(net, w, 300)

    def crossings(x, teacher):
        rates, _, slopes = run(net, w, x)
        error, margins = teacher - rates[4], []
        for k in (3, 2):  # layers whose inverse is taken on the way down
            error = (slopes[k + 1] * error) @ w[f"W_{k + 1}_{k}"]
            step = -(slopes[k] ** 2) * error
            margins.append(np.where(step * rates[k] > 0, rates[k] / step, np.inf).min(1))
        return np.min(margins, 0)

    far = np.argsort(crossings(x, teacher))[-8:]
    x, teacher = x[far], teacher[far]
    limit = crossings(x, teacher).min()
    assert limit > 0.01
    gradient = backprop_gradient(net, w, x, teacher)
    errors = errors_to(gradient, GAIT, net, w, x, teacher, (0.99 * limit, 0.3 * limit, 3 * limit))
    assert max(max(near, nearer) for near, nearer, _ in errors.values()) < 1e-11
    assert errors["W_1_0"][2] > 1e-3
    assert errors["W_3_2"][2] < 1e-11  # no inverse of f is on its way


# -- other matrices ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_scaled_orthogonal_matrices_only_rescale_the_layers(scale):
    """W = c Q gives c^(-2 (L - l)) times the gradient, cosine 1."""
    net = square(32, 5)
    w = draw(net, lambda rng, rows, columns: scale * haar(rng, rows))
    x, teacher = batch(net, w, 16)
    found, gradient = (
        update(GAIT.with_constants(gamma=1e-5), net, x, teacher, w),
        backprop_gradient(net, w, x, teacher),
    )
    for k, name in enumerate(matrices(net, top=True), start=1):
        ratio = np.linalg.norm(found[name]) / np.linalg.norm(gradient[name])
        assert ratio == pytest.approx(scale ** (-2 * (5 - k)), rel=1e-3)
        assert 1 - cosine(found[name], gradient[name]) < 1e-6


def test_any_invertible_matrix_stands_where_the_transpose_would():
    """delta' = D W^-1 delta, to order 1 in gamma; oracle: that recursion. It is far from the gradient."""
    net = square(16, 3)
    w = draw(net, gaussian)
    x, teacher = batch(net, w, 16)
    expected = recursion(net, w, x, teacher, lambda k: np.linalg.inv(w[f"W_{k}_{k - 1}"]))
    gammas = (1e-3, 1e-4, 1e-5, 1e-6)
    errors = errors_to(expected, GAIT, net, w, x, teacher, gammas)
    assert order(gammas, errors["W_1_0"]) == pytest.approx(1, abs=0.1)
    assert errors["W_1_0"][-1] < 1e-4
    assert max(errors["W_2_1"]) < 1e-11
    gradient = backprop_gradient(net, w, x, teacher)
    assert max(cosine(expected[n], gradient[n]) for n in matrices(net)) < 0.6
    assert GAIT.own is PUBLISHED.own
    assert max(off(GAIT.own(net, w, x, teacher, {}), expected, matrices(net, top=True))) < 1e-11


def test_at_the_regularisers_minimum_every_unit_has_a_gain_of_its_own():
    """Columns orthogonal with norms sqrt(d) give D diag(1/d) W^T delta, which is not backprop."""
    net, rng = square(32, 4), np.random.default_rng(9)
    w = draw(net)
    gains = {k: rng.uniform(0.5, 2, 32) for k in (1, 2, 3, 4)}
    w |= {f"W_{k}_{k - 1}": w[f"W_{k}_{k - 1}"] @ np.diag(np.sqrt(d)) for k, d in gains.items()}
    x, teacher = batch(net, w, 16)
    expected = recursion(net, w, x, teacher, lambda k: np.diag(1 / gains[k]) @ w[f"W_{k}_{k - 1}"].T)
    found = update(GAIT.with_constants(gamma=1e-6), net, x, teacher, w)
    assert max(off(found, expected, matrices(net))) < 1e-5
    gradient = backprop_gradient(net, w, x, teacher)
    assert all(0.3 < cosine(found[n], gradient[n]) < 0.99 for n in matrices(net))


# -- the published form ------------------------------------------------------------------------------------------------


def published(net, w, x, teacher, gamma: float) -> dict[str, np.ndarray]:
    """The published recursion of targets, with numpy.linalg.inv."""
    rates, potentials, slopes = run(net, w, x)
    depth, inverse = net.output, F[net.activation.name][2]
    goal, deltas = potentials[depth] + gamma * (teacher - rates[depth]), {depth: teacher - rates[depth]}
    for k in range(depth, 1, -1):
        target = (goal - w[f"b_{k}"]) @ np.linalg.inv(w[f"W_{k}_{k - 1}"]).T
        deltas[k - 1] = slopes[k - 1] * (target - rates[k - 1]) / gamma ** (depth - k + 1)
        goal = inverse(rates[k - 1] + gamma * slopes[k - 1] ** 2 * (target - rates[k - 1]))
    return outer(net, rates, deltas)


def test_the_published_form_drowns_in_rounding_at_depth():
    """The pitfall, at the published gamma of 1e-3 with four hidden layers.

    The floor is eps/gamma^(L-l), here within a factor of 100: the first layer keeps four digits, and none in float32,
    where the difference form keeps three.
    """
    net, w, x, teacher = made("square")
    gradient, rule = backprop_gradient(net, w, x, teacher), PUBLISHED.with_constants(gamma=1e-3)
    errors = off(update(rule, net, x, teacher, w), gradient, matrices(net))
    for k, error in enumerate(errors, start=1):
        truncation = 1e-5 if k < 4 else 0  # order 2 in gamma; none in the highest hidden layer
        assert error < truncation + 1e2 * EPS / 1e-3 ** (5 - k)
    assert errors[0] > 1e-2 * EPS / 1e-3**4
    assert errors[0] > 1e6 * errors[3]
    assert off(update(GAIT.with_constants(gamma=1e-3), net, x, teacher, w), gradient, ["W_1_0"])[0] < 1e-3
    in_single = off(single(rule, net, x, teacher, w), gradient, matrices(net))
    assert min(in_single[:2]) > 1
    assert off(update(PUBLISHED.with_constants(gamma=1e-5), net, x, teacher, w), gradient, ["W_1_0"])[0] > 1


def test_above_the_floor_the_published_form_tends_to_backprop():
    """Order 2 as the output is linear. Oracle: autograd."""
    net = square(16, 3)
    w = draw(net)
    x, teacher = batch(net, w, 16)
    gammas = (3e-1, 1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4)
    gradient = backprop_gradient(net, w, x, teacher)
    errors = errors_to(gradient, PUBLISHED, net, w, x, teacher, gammas)
    assert order(gammas, errors["W_1_0"]) == pytest.approx(2, abs=0.1)
    assert max(errors["W_2_1"]) < 1e2 * EPS / min(gammas)
    for swap in (("gamma*slope**2*(", "gamma*slope*("), ("gamma**distance", "gamma"), ("+ V(pull", "- V(pull")):
        wrong = errors_to(gradient, spoilt(PUBLISHED, swap), net, w, x, teacher, (1e-2,))
        assert max(e[0] for e in wrong.values()) > 0.05


# -- the regulariser ---------------------------------------------------------------------------------------------------

STRAIGHTEN = phase_only(ORTHOGONAL)
STRENGTH = ORTHOGONAL.constants["strength"]
NOISE_MUTANTS = {
    "factor": (("4*strength", "2*strength"),),
    "sign": (("w*echo_pre*probe_pre - again_post*probe_pre", "w*echo_pre*probe_pre + again_post*probe_pre"),),
    "norms included": (("w*echo_pre*probe_pre - ", "-"),),
    "echo of the echo": (("again_post*probe_pre", "again_post*echo_pre"),),
}


def penalty_gradient(w: np.ndarray) -> np.ndarray:
    """Gradient of the sum of squares of the off-diagonal of W^T W, by autograd."""
    leaf = torch.tensor(w, requires_grad=True)
    gram = leaf.T @ leaf
    return torch.autograd.grad((gram - torch.diag(torch.diag(gram))).square().sum(), leaf)[0].numpy()


def penalty(w: np.ndarray) -> float:
    gram = w.T @ w
    return float(np.sum((gram - np.diag(np.diag(gram))) ** 2))


def probed(rule, net, w):
    """(program, weights, given) with probes sqrt(n) e_k in turn, whose second moment is exactly 1 in every layer."""
    samples = max(net.sizes)
    program, weights, given = prepare(
        rule, net, np.zeros((samples, net.sizes[0])), np.zeros((samples, net.sizes[-1])), w
    )
    for name in given:
        if name.startswith("noise"):
            size = given[name].shape[1]
            assert samples % size == 0
            given[name] = np.sqrt(size) * np.eye(size)[np.arange(samples) % size]
    return program, weights, given


@pytest.mark.parametrize("sizes", [(6, 6, 6, 6), (8, 4, 4, 2)])
def test_probes_that_are_white_give_the_regularisers_gradient_exactly(sizes):
    """Oracle: autograd of R. Every W is regularised, the first too."""
    net = mlp(sizes, "asinh")
    w = draw(net, gaussian)
    found = simulated(*probed(STRAIGHTEN, net, w), "tensor.rate")
    assert set(found) == set(matrices(net, top=True))
    expected = {n: -STRENGTH * penalty_gradient(w[n]) for n in found}
    assert max(off(found, expected, expected)) < 1e-13
    for swaps in NOISE_MUTANTS.values():
        wrong = simulated(*probed(spoilt(STRAIGHTEN, *swaps), net, w), "tensor.rate")
        assert max(off(wrong, expected, expected)) > 0.3


@pytest.mark.parametrize("realisation", REALISATIONS[1:])
def test_white_probes_do_so_in_every_realisation(realisation):
    net = mlp((2, 2, 2), "asinh")
    w = draw(net, gaussian, seed=3)
    found = simulated(*probed(STRAIGHTEN, net, w), realisation)
    assert agree(found, {n: -STRENGTH * penalty_gradient(w[n]) for n in matrices(net, top=True)}, realisation)


def test_noise_gives_the_regularisers_gradient_on_average():
    """Within 4 standard errors of the gradient, and these fall as N^-1/2. The mutants are 10 away."""
    net = square(5, 2)
    w = draw(net, gaussian)
    expected = {n: -STRENGTH * penalty_gradient(w[n]) for n in matrices(net, top=True)}
    counts = (64, 256, 1024)

    def drawn(rule, count):
        changes = []
        program, weights, given = prepare(rule, net, np.zeros(5), np.zeros(5), w)
        for repeat in range(24):
            rng = np.random.default_rng([count, repeat])
            noise = {n: rng.standard_normal((count, 5)) for n in given if n.startswith("noise")}
            changes.append(simulated(program, weights, noise | {"data_0": np.zeros((count, 5))}, "tensor.rate"))
        return {n: np.stack([c[n] for c in changes]) for n in expected}

    def away(found):
        errors = {n: np.linalg.norm(c.std(0, ddof=1)) / np.sqrt(len(c)) for n, c in found.items()}
        return [np.linalg.norm(c.mean(0) - expected[n]) / errors[n] for n, c in found.items()]

    runs = {count: drawn(STRAIGHTEN, count) for count in counts}
    assert max(max(away(found)) for found in runs.values()) < 4
    for name in expected:
        spread = [np.linalg.norm(runs[count][name].std(0, ddof=1)) for count in counts]
        assert order(counts, spread) == pytest.approx(-0.5, abs=0.1)
    for mutant in ("factor", "sign", "norms included"):
        assert min(away(drawn(spoilt(STRAIGHTEN, *NOISE_MUTANTS[mutant]), 1024))) > 10


def test_it_constrains_directions_and_not_norms():
    """It vanishes at Q diag(s) and not at diag(s) Q, and descends there: R falls by 1e6, the norms stay unequal."""
    net, rng = square(6, 3), np.random.default_rng(4)
    norms = rng.uniform(0.5, 2, 6)
    w = draw(net)
    columns = {n: w[n] @ np.diag(norms) for n in matrices(net, top=True)}
    rows = {n: np.diag(norms) @ w[n] for n in matrices(net, top=True)}
    there, elsewhere = (simulated(*probed(STRAIGHTEN, net, w | m), "tensor.rate") for m in (columns, rows))
    assert max(np.linalg.norm(c) for c in there.values()) < 1e-13
    assert min(np.linalg.norm(c) for c in elsewhere.values()) > STRENGTH
    program, weights, given = probed(STRAIGHTEN, net, w | rows)
    learner = RateProgram(program, weights)
    for _ in range(400):
        learner.step(given, 1.0)
    for name, end in learner.numpy().items():
        if name in rows:
            assert penalty(end) < 1e-6 * penalty(rows[name])
            lengths = np.linalg.norm(end, axis=0)
            assert lengths.max() > 1.2 * lengths.min()


# -- every realisation -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("realisation", REALISATIONS)
def test_a_finite_difference_in_every_realisation(realisation):
    """Oracle: the closed form with f^-1 and numpy.linalg.inv, gamma = 1/2; tolerances of the edges."""
    net = square(4, 3)
    w = draw(net, lambda rng, rows, columns: haar(rng, rows) @ np.diag(rng.uniform(0.7, 1.4, rows)))
    x, teacher = batch(net, w, 2, 2)
    rates, potentials, slopes = run(net, w, x)
    pull, deltas = teacher - rates[3], {3: teacher - rates[3]}
    for k in (2, 1):
        error = pull @ np.linalg.inv(w[f"W_{k + 1}_{k}"]).T
        deltas[k] = slopes[k] * error
        pull = (np.sinh(rates[k] + 0.5 * slopes[k] ** 2 * error) - potentials[k]) / 0.5
    expected = outer(net, rates, deltas)
    rule = GAIT.with_constants(gamma=0.5)
    assert agrees(rule, net, x, teacher, w, expected, realisation)
    assert min(off(expected, backprop_gradient(net, w, x, teacher), matrices(net))) > 0.1
    if realisation == "tensor.rate":
        assert agrees(ORTHOGONAL.with_constants(gamma=0.5, strength=0), net, x, teacher, w, expected, realisation)
        for swaps in MUTANTS.values():
            assert max(off(update(spoilt(rule, *swaps), net, x, teacher, w), expected, matrices(net))) > 0.02
        mean = ORTHOGONAL.own(net, w, x, teacher, {"gamma": 0.5, "strength": 0.01})
        mean = {n: mean[n] + 0.01 * penalty_gradient(w[n]) for n in mean}
        assert max(off(mean, expected, matrices(net))) < 1e-12


@pytest.mark.parametrize("realisation", REALISATIONS[:2])
def test_the_published_recursion(realisation):
    """Oracle: that recursion in NumPy at gamma = 1/2; tolerances of the edges."""
    net = square(4, 3)
    w = draw(net, gaussian)
    x, teacher = batch(net, w, 2, 2)
    assert agrees(
        PUBLISHED.with_constants(gamma=0.5), net, x, teacher, w, published(net, w, x, teacher, 0.5), realisation
    )
