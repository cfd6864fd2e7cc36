"""GAIT-prop: where it is the gradient, how it gets there, and what rounding does to the published form."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import RULES
from target_rules import (
    EPS,
    REALISATIONS,
    F,
    agrees,
    batch,
    draw,
    gaussian,
    haar,
    matrices,
    off,
    order,
    outer,
    penalty_gradient,
    run,
    signals,
    single,
    spoilt,
    square,
)

from neurolearn.changes import update
from neurolearn.compare import cosine
from neurolearn.network import Connection, Network, mlp
from neurolearn.observer import backprop_gradient

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
