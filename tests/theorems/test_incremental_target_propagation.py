"""Targets of small errors and increments: they follow the inverse Jacobian, and with which order."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import RULES
from target_rules import (
    EPS,
    REALISATIONS,
    agrees,
    batch,
    by_autograd,
    conditioned,
    draw,
    gaussian,
    haar,
    matrices,
    off,
    order,
    outer,
    pulled_back,
    run,
    spoilt,
    square,
)

from neurolearn.changes import update
from neurolearn.observer import backprop_gradient

TP, ITP = RULES["target_propagation"], RULES["incremental_target_propagation"]
ITP_LEARNED = RULES["incremental_target_propagation_learned"]


def test_the_reference_is_the_inverse_jacobian():
    """Oracle: autograd's Jacobian and numpy.linalg.solve, for the reference function of both rules."""
    net = square(12, 4)
    w = draw(net, gaussian)
    x, teacher = batch(net, w)
    assert TP.own is ITP.own
    assert max(off(TP.own(net, w, x, teacher, {}), by_autograd(net, w, x, teacher), matrices(net, top=True))) < 1e-9


@pytest.mark.parametrize("make", [haar, gaussian])
def test_small_errors_follow_the_inverse_jacobian(make):
    """Order 1 in the size of the output error, W orthogonal or not."""
    net, steps = square(16, 3), 10.0 ** -np.arange(1, 6)
    w = draw(net, make)
    x, teacher = batch(net, w)
    rate = run(net, w, x)[0][3]
    expected = by_autograd(net, w, x, teacher)
    errors = []
    for step in steps:
        found = update(TP, net, x, rate + step * (teacher - rate), w)
        errors.append(off({n: found[n] / step for n in found.changes}, expected, matrices(net)))
    one, two = zip(*errors, strict=True)
    assert order(steps, one) == pytest.approx(1, abs=0.1)
    assert one[-1] < 1e-3
    assert max(two) < 1e-8  # no nonlinearity in the way: rounding over the step


GAMMAS = (3e-1, 1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4)
ITP_MUTANTS = {
    "wrong power": (("gamma**distance", "gamma"),),
    "no slope": (("slope*(target - rate)/", "(target - rate)/"),),
    "full target": (("rate + gamma*(target - rate)", "target"),),
    "sign of the pull": (("- potential", "+ potential"),),
}


def incremental_errors(rule, net, w, gammas, expected_of, extra=()) -> dict[str, list[float]]:
    """{matrix: errors at each gamma} against a function of (net, w, x, teacher)."""
    x, teacher = batch(net, w)
    w = w | dict(extra)
    expected, names = expected_of(net, w, x, teacher), matrices(net)
    rows = [off(update(rule.with_constants(gamma=g), net, x, teacher, w), expected, names) for g in gammas]
    return dict(zip(names, np.array(rows).T.tolist(), strict=True))


@pytest.mark.parametrize("make", [haar, conditioned])
def test_increments_follow_the_inverse_jacobian_with_order_two(make):
    """Three decades of gamma; the highest hidden layer is exact as the output is linear. Oracle: autograd's Jacobian.

    A nonlinear output would make it order 1; an output here is linear, or softmax with its error in the logits.
    """
    errors = incremental_errors(ITP, square(16, 4), draw(square(16, 4), make), GAMMAS, by_autograd)
    assert max(errors["W_3_2"]) < 1e3 * EPS / min(GAMMAS)
    assert order(GAMMAS, errors["W_2_1"]) == pytest.approx(2, abs=0.1)
    above_rounding = [k for k, gamma in enumerate(GAMMAS) if gamma**2 > 1e4 * EPS / gamma**3]
    assert len(above_rounding) >= 4
    slope = order(np.take(GAMMAS, above_rounding), np.take(errors["W_1_0"], above_rounding))
    assert slope == pytest.approx(2, abs=0.1)


def test_the_rounding_floor_of_increments_is_where_it_is_predicted():
    """Cancellation: eps over gamma to the number of layers above, within a factor of 100, where it rules."""
    net, small = square(16, 4), (1e-4, 3e-5, 1e-5)
    errors = incremental_errors(ITP, net, draw(net), small, by_autograd)
    for gamma, one, two, three in zip(small, *errors.values(), strict=True):
        assert 1e-2 < one / (EPS / gamma**3) < 1e2
        assert two < 10 * gamma**2 + 1e2 * EPS / gamma**2
        assert three < 1e2 * EPS / gamma


@pytest.mark.parametrize("mutant", ITP_MUTANTS)
def test_spoilt_increments_do_not_follow_it(mutant):
    net = square(16, 4)
    with np.errstate(all="ignore"):
        errors = incremental_errors(spoilt(ITP, *ITP_MUTANTS[mutant]), net, draw(net), (1e-2,), by_autograd)
    assert not max(e[0] for e in errors.values()) < 0.05


def test_learned_increments_follow_their_decoders():
    """Order 2 to D V D^-1 for any V; oracle: that recursion in NumPy. Not the inverse Jacobian while V is not W^-1."""
    net = square(12, 3)
    decoders = {f"V_{k - 1}_{k}": haar(np.random.default_rng(k), 12) for k in (2, 3)}

    def decoded(net, w, x, teacher):
        rates, _, slopes = run(net, w, x)
        error, deltas = teacher - rates[3], {}
        for k in (2, 1):
            error = (error / slopes[k + 1]) @ w[f"V_{k}_{k + 1}"].T
            deltas[k] = slopes[k] * error
        return outer(net, rates, deltas)

    errors = incremental_errors(ITP_LEARNED, net, draw(net), GAMMAS, decoded, decoders)
    assert order(GAMMAS, errors["W_1_0"]) == pytest.approx(2, abs=0.1)
    assert max(errors["W_2_1"]) < 1e3 * EPS / min(GAMMAS)
    other = incremental_errors(ITP_LEARNED, net, draw(net), (1e-3,), by_autograd, decoders)
    assert min(e[0] for e in other.values()) > 0.3
    w = draw(net) | decoders
    x, teacher = batch(net, w)
    assert max(off(ITP_LEARNED.own(net, w, x, teacher, {}), decoded(net, w, x, teacher), matrices(net))) < 1e-12


@pytest.mark.parametrize("gamma", [1.0, 0.5, 0.05])
def test_in_a_linear_net_increments_change_nothing(gamma):
    """ITP = TP for any invertible W. Rounding: the condition of W times eps over gamma to the depth."""
    net = square(12, 4, "linear")
    w = draw(net, conditioned)
    x, teacher = batch(net, w)
    full = update(TP, net, x, teacher, w)
    assert max(off(update(ITP.with_constants(gamma=gamma), net, x, teacher, w), full, full.changes)) < 1e-10
    assert min(off(full, backprop_gradient(net, w, x, teacher), matrices(net)[:2])) > 0.2
    spoilt_rule = spoilt(ITP, ("rate + gamma*(target - rate)", "rate + gamma**2*(target - rate)"))
    found = update(spoilt_rule.with_constants(gamma=0.5), net, x, teacher, w)
    assert off(found, full, ["W_1_0"])[0] > 0.5


@pytest.mark.parametrize("realisation", REALISATIONS)
def test_finite_increments_in_every_realisation(realisation):
    """Oracle: the published recursion at gamma = 1/2, asinh, W not orthogonal; tolerances of the edges."""
    net = square(4, 3)
    w = draw(net, conditioned)
    x, teacher = batch(net, w, 2, 2)
    expected = pulled_back(net, w, x, teacher, gamma=0.5)
    assert off(expected, pulled_back(net, w, x, teacher), ["W_1_0"])[0] > 0.04
    assert agrees(ITP, net, x, teacher, w, expected, realisation)
