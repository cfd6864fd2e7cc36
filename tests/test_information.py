"""Information and its gradients, against plain sums, finite differences, closed forms and a general optimiser."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.optimize import minimize

from neurolearn import information
from neurolearn.errors import InputError

RNG = np.random.default_rng(3)
UNITS, INPUTS, PATTERNS = 3, 4, 5
W, B, X = RNG.normal(size=(UNITS, INPUTS)), RNG.normal(size=UNITS), RNG.normal(size=(PATTERNS, INPUTS))
CHANCE = np.array([0.1, 0.3, 0.05, 0.35, 0.2])
ROOT = RNG.normal(size=(INPUTS, INPUTS))
SIGMA = ROOT @ ROOT.T


def table(w=W, b=B, x=X) -> np.ndarray:
    """p(y|x), (patterns, 2, 2, 2), one factor at a time."""
    p = 1 / (1 + np.exp(-(x @ w.T + b)))
    likelihood = np.empty((len(x), *[2] * len(w)))
    for n, y in product(range(len(x)), product((0, 1), repeat=len(w))):
        likelihood[(n, *y)] = np.prod([p[n, i] if fires else 1 - p[n, i] for i, fires in enumerate(y)])
    return likelihood


def differences(f, value: np.ndarray, delta: float = 1e-5) -> np.ndarray:
    """Central differences; their error is of order delta^2 and eps / delta: some 1e-10."""
    slope = np.zeros_like(value)
    for place in np.ndindex(value.shape):
        step = np.zeros_like(value)
        step[place] = delta
        slope[place] = (f(value + step) - f(value - step)) / (2 * delta)
    return slope


# -- stochastic binary units -------------------------------------------------------------------------------------------


def test_outcomes_are_all_of_them_in_binary_order():
    assert information.outcomes(2).tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]


@pytest.mark.parametrize("chance", [None, CHANCE])
def test_information_is_entropy_less_that_of_each_input(chance):
    """Oracle: H(y) - H(y|x), summed in NumPy."""
    weight = np.full(PATTERNS, 0.2) if chance is None else chance
    likelihood = table().reshape(PATTERNS, -1)
    noise = sum(q * information.entropy(p) for q, p in zip(weight, likelihood, strict=True))
    assert information.entropy(weight @ likelihood) - noise == pytest.approx(
        information.binary_information(W, B, X, chance), abs=1e-14
    )


def test_deaf_units_tell_nothing_and_loud_ones_all():
    assert abs(information.binary_information(0 * W, B, X, CHANCE)) < 1e-15
    corners = information.outcomes(UNITS)
    told = information.binary_information(80 * np.eye(UNITS), np.full(UNITS, -40.0), corners)
    assert told == pytest.approx(UNITS * np.log(2), abs=1e-12)
    silent = np.array([0.5, 0.5, 0, 0, 0, 0, 0, 0])  # inputs that never come
    told = information.binary_information(80 * np.eye(UNITS), np.full(UNITS, -40.0), corners, silent)
    assert told == pytest.approx(information.entropy(silent), abs=1e-12)


def test_the_gradient_of_binary_information():
    found = information.binary_gradient(W, B, X, CHANCE)
    by_w = differences(lambda w: information.binary_information(w, B, X, CHANCE), W)
    by_b = differences(lambda b: information.binary_information(W, b, X, CHANCE), B)
    assert np.abs(found["W"] - by_w).max() < 1e-9 < np.abs(by_w).max()
    assert np.abs(found["b"] - by_b).max() < 1e-9 < np.abs(by_b).max()


def test_the_prediction_from_the_others():
    """Oracle: the log odds of a unit in the table of p(y), the others as they are."""
    found, marginal = information.binary_prediction(W, B, X, CHANCE), np.tensordot(CHANCE, table(), 1)
    for row, y in zip(found, information.outcomes(UNITS).astype(int), strict=True):
        for i in range(UNITS):
            one, none = ((*y[:i], v, *y[i + 1 :]) for v in (1, 0))
            assert row[i] == pytest.approx(np.log(marginal[one] / marginal[none]), abs=1e-12)


# -- a linear layer with Gaussian noise --------------------------------------------------------------------------------


def test_gaussian_information_is_the_drop_of_entropy():
    """Oracles: half the log ratio of the determinants of Cov(y) and the noise; for one unit, of the variances."""
    total = W @ SIGMA @ W.T + 0.09 * np.eye(UNITS)
    drop = 0.5 * (np.linalg.slogdet(total)[1] - UNITS * np.log(0.09))
    assert information.gaussian_information(W, SIGMA, 0.3) == pytest.approx(drop, rel=1e-13)
    alone = information.gaussian_information([[2.0]], [[3.0]], 0.5)
    assert alone == pytest.approx(0.5 * np.log(1 + 12 / 0.25), rel=1e-14)


def test_the_gradient_of_gaussian_information():
    found = information.gaussian_gradient(W, SIGMA, 0.3)["W"]
    total = W @ SIGMA @ W.T + 0.09 * np.eye(UNITS)
    assert np.abs(found - np.linalg.solve(total, W @ SIGMA)).max() < 1e-12
    assert np.abs(found - differences(lambda w: information.gaussian_information(w, SIGMA, 0.3), W)).max() < 1e-8


@pytest.mark.parametrize(("power", "used"), [(0.005, 1), (0.3, 2), (30.0, 4)])
def test_water_filling_is_the_best_that_power_can_do(power, used):
    """Oracles: a general optimiser over shares of the power; and no W of that norm, drawn at random, tells more."""
    covariance = ROOT @ np.diag([4, 1, 0.2, 0.02]) @ ROOT.T
    values = np.linalg.eigvalsh(covariance)[::-1]
    best, powers = information.water_filling(covariance, 0.3, power)
    assert powers.sum() == pytest.approx(power, rel=1e-12)
    assert np.count_nonzero(powers) == used
    found = minimize(
        lambda p: -0.5 * np.log1p(p * values / 0.09).sum(),
        np.full(4, power / 4),
        jac=lambda p: -0.5 * values / (0.09 + p * values),
        bounds=[(0, None)] * 4,
        constraints={"type": "eq", "fun": lambda p: p.sum() - power, "jac": lambda p: np.ones(4)},
        options={"ftol": 1e-14, "maxiter": 500},
    )
    assert best == pytest.approx(-found.fun, rel=1e-7)
    vectors = np.linalg.eigh(covariance)[1][:, ::-1]
    assert information.gaussian_information(np.sqrt(powers)[:, None] * vectors.T, covariance, 0.3) == pytest.approx(
        best
    )
    for w in RNG.normal(size=(200, 4, 4)):
        assert information.gaussian_information(w * np.sqrt(power) / np.linalg.norm(w), covariance, 0.3) < best


def test_fewer_units_carry_the_strongest_directions():
    best, powers = information.water_filling(np.diag([1.0, 3.0, 2.0]), 1.0, 10.0, units=1)
    assert (best, powers.tolist()) == (pytest.approx(0.5 * np.log(31)), [10.0])


def test_a_direction_without_variance_gets_no_power():
    best, powers = information.water_filling(np.diag([2.0, 0.0]), 1.0, 3.0)
    assert (best, powers.tolist()) == (pytest.approx(0.5 * np.log(7)), [3.0, 0.0])


# -- a square layer of logistic units ----------------------------------------------------------------------------------


def test_square_information_is_the_log_volume():
    """Oracle: the determinant of a Jacobian of finite differences, input by input."""
    w, b, x = W[:, :UNITS], B, X[:, :UNITS]
    volumes = []
    for one in x:
        columns = [differences(lambda v, i=i: 1 / (1 + np.exp(-(w[i] @ v + b[i]))), one) for i in range(UNITS)]
        volumes.append(np.log(abs(np.linalg.det(columns))))
    assert information.square_information(w, b, x) == pytest.approx(np.mean(volumes), abs=1e-8)


def test_the_gradient_of_square_information():
    w, b, x = W[:, :UNITS], B, X[:, :UNITS]
    found = information.square_gradient(w, b, x)
    assert np.abs(found["W"] - differences(lambda v: information.square_information(v, b, x), w)).max() < 1e-8
    assert np.abs(found["b"] - differences(lambda v: information.square_information(w, v, x), b)).max() < 1e-8
    steep = information.square_information(w, b + 400, x)  # where the slope itself is 0 in float64
    assert np.isfinite(steep)
    assert steep < -400


# -- what does not fit -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: information.binary_information(W, B[:2], X), r"b \(2,\)"),
        (lambda: information.binary_information(W, B, X[:, :2]), r"x \(5, 2\)"),
        (lambda: information.binary_information(W, B, X, CHANCE[:3]), "one probability for each of 5"),
        (lambda: information.binary_information(W, B, X, 2 * CHANCE), "of sum 1"),
        (lambda: information.binary_gradient(np.ones((30, 2)), np.ones(30), np.ones((1, 2))), "too many to enumerate"),
        (lambda: information.gaussian_information(W, SIGMA[:2], 0.3), r"covariance \(2, 4\)"),
        (lambda: information.gaussian_gradient(W, SIGMA, 0.0), "has no bound"),
        (lambda: information.water_filling(SIGMA, 0.3, 0.0), "must be positive"),
        (lambda: information.square_information(W, B, X), "only a square layer"),
    ],
)
def test_what_does_not_fit_is_refused(call, sentence):
    with pytest.raises(InputError, match=sentence):
        call()
