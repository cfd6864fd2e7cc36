"""Measures on weight changes: vectors whose angles are known, and what noise does to them."""

from __future__ import annotations

import numpy as np
import pytest

from neurolearn.compare import (
    angle,
    by_layer,
    corrected_cosine,
    cosine,
    norm_ratio,
    relative_error,
    sign_agreement,
)
from neurolearn.errors import InputError

MEASURES = (angle, cosine, norm_ratio, sign_agreement, relative_error)


def plane(degrees, length=1.0):
    return length * np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])


@pytest.mark.parametrize("degrees", [0.0, 1e-7, 30.0, 89.999999, 90.0, 120.0, 179.9999999, 180.0])
@pytest.mark.parametrize("lengths", [(1.0, 1.0), (1e-200, 3.0), (1e200, 1e-3)])
def test_vectors_of_a_known_angle(degrees, lengths):
    u, g = plane(degrees, lengths[0]), plane(0.0, lengths[1])
    assert angle(u, g) == pytest.approx(degrees, abs=1e-13)  # 64-bit rounding of components near 1, in degrees
    assert cosine(u, g) == pytest.approx(np.cos(np.radians(degrees)), abs=1e-15)


def test_the_angle_keeps_digits_that_the_arccosine_loses():
    u, g = plane(1e-7), plane(0.0)
    assert abs(np.degrees(np.arccos(min(1.0, cosine(u, g)))) - 1e-7) > 1e-8
    assert angle(u, g) == pytest.approx(1e-7, rel=1e-9)


def test_size_and_sign():
    u, g = np.array([[3.0, 4.0]]), np.array([[0.0, -10.0]])
    assert norm_ratio(u, g) == 0.5
    assert relative_error(u, g) == pytest.approx(np.hypot(3.0, 14.0) / 10.0)
    assert relative_error(g, g) == 0.0
    assert sign_agreement([1.0, -2.0, 3.0, 0.0, 5.0], [2.0, 1.0, 4.0, -1.0, 0.0]) == pytest.approx(2 / 3)


def test_mappings_are_one_vector_over_the_weights_they_share():
    u = {"W_1_0": np.array([[1.0, 2.0]]), "b_1": np.array([3.0]), "Q_1_2": np.array([[7.0]])}
    g = {"b_1": np.array([-1.0]), "W_1_0": np.array([[0.5, 4.0]])}
    flat = np.array([1.0, 2.0, 3.0]), np.array([0.5, 4.0, -1.0])
    for measure in MEASURES:
        assert measure(u, g) == pytest.approx(measure(*flat), rel=1e-14)


def test_what_does_not_fit_is_named():
    one, other = {"W_1_0": np.ones((2, 2))}, {"W_1_0": np.ones((2, 3))}
    with pytest.raises(InputError, match=r"W_1_0 has shape \(2, 2\) in one change, \(2, 3\) in the other"):
        angle(one, other)
    with pytest.raises(InputError, match="no weight in common: W_1_0 against W_2_1"):
        angle(one, {"W_2_1": np.ones((2, 2))})
    with pytest.raises(InputError, match="one change is a mapping and the other an array"):
        angle(one, np.ones((2, 2)))
    with pytest.raises(InputError, match="W_1_0 is not finite"):
        cosine(one, {"W_1_0": np.full((2, 2), np.nan)})


@pytest.mark.filterwarnings("error")
def test_a_zero_vector_has_no_direction():
    zero, one = np.zeros(3), np.ones(3)
    for measure in (angle, cosine, sign_agreement):
        assert measure(zero, one) is None
        assert measure(one, zero) is None
        assert measure(zero, zero) is None
    for measure in (norm_ratio, relative_error):
        assert measure(one, zero) is None
        assert measure(zero, one) in (0.0, 1.0)
    assert corrected_cosine([zero] * 4, one) == (None, None, None)
    assert corrected_cosine([one] * 4, zero) == (None, None, None)


def test_layers_gather_the_forward_matrices_in_the_order_of_their_sources():
    changes = {"W_2_1": np.full((2, 3), 5.0), "b_2": np.ones(2), "W_10_2": np.ones((1, 2)), "W_2_0": np.zeros((2, 1)),
               "W_1_0": np.arange(3.0)[:, None], "Q_1_2": np.ones((3, 2)), "B_1_2": np.ones((3, 2))}
    layers = by_layer(changes)
    assert list(layers) == [1, 2, 10]
    np.testing.assert_array_equal(layers[1], [0, 1, 2])
    np.testing.assert_array_equal(layers[2], [0, 0, 5, 5, 5, 5, 5, 5])


# -- noise -------------------------------------------------------------------------------------------------------------

SIZE, REPEATS, TRUE = 500, 12, 0.8


def noisy(rng, noise):
    """Repeats of a change whose expectation has the cosine TRUE to g, with noise of that many times its length."""
    g, side = np.linalg.qr(rng.standard_normal((SIZE, 2)))[0].T
    signal = TRUE * g + np.sqrt(1 - TRUE**2) * side
    return signal + noise / np.sqrt(SIZE) * rng.standard_normal((REPEATS, SIZE)), 3.0 * g


def by_pairs(repeats, g):
    """The U-statistic, pair by pair."""
    n = len(repeats)
    products = [repeats[i] @ repeats[j] for i in range(n) for j in range(n) if i != j]
    return np.mean([u @ g for u in repeats]) / (np.linalg.norm(g) * np.sqrt(np.mean(products)))


def test_the_corrected_cosine_is_the_mean_over_pairs_with_a_jackknife_around_it():
    repeats, g = noisy(np.random.default_rng(0), 1.0)
    found = corrected_cosine(list(repeats), g)
    without = np.array([by_pairs(np.delete(repeats, i, axis=0), g) for i in range(REPEATS)])
    error = np.sqrt((REPEATS - 1) / REPEATS * np.sum((without - without.mean()) ** 2))
    assert found.value == pytest.approx(by_pairs(repeats, g), rel=1e-12)
    assert (found.high - found.low) / 2 == pytest.approx(2.200985 * error, rel=1e-6)  # Student's t, 11 degrees, 97.5 %
    assert (found.high + found.low) / 2 == pytest.approx(found.value, rel=1e-12)
    names = [{"W_1_0": u[:300].reshape(3, 100), "b_1": u[300:]} for u in repeats]
    assert corrected_cosine(names, {"W_1_0": g[:300].reshape(3, 100), "b_1": g[300:]}) == pytest.approx(found, rel=1e-12)


@pytest.mark.parametrize("noise", [0.5, 1.0, 2.0])
def test_the_corrected_cosine_is_unbiased_and_its_interval_covers_the_truth(noise):
    rng = np.random.default_rng(1)
    trials = [noisy(rng, noise) for _ in range(400)]
    found = [corrected_cosine(repeats, g) for repeats, g in trials]
    values = np.array([f.value for f in found])
    assert abs(values.mean() - TRUE) < 4 * values.std() / np.sqrt(len(values))
    naive = np.mean([cosine(repeats.mean(0), g) for repeats, g in trials])
    assert naive == pytest.approx(TRUE / np.sqrt(1 + noise**2 / REPEATS), abs=0.005)  # what noise does to the mean
    assert values.std() / np.sqrt(len(values)) < abs(naive - TRUE) / 8
    covered = np.mean([f.low < TRUE < f.high for f in found])
    assert 0.90 < covered < 0.99  # 95 %, +- 4 standard errors of 400 trials


def test_an_unbiased_change_that_single_angles_would_condemn():
    rng = np.random.default_rng(2)
    g = rng.standard_normal(2000)
    repeats = g + 2.0 * np.linalg.norm(g) / np.sqrt(g.size) * rng.standard_normal((20, g.size))
    assert 55 < np.mean([angle(u, g) for u in repeats]) < 70
    found = corrected_cosine(repeats, g)
    assert found.low < 1.0 < found.high
    assert found.value == pytest.approx(1.0, abs=0.05)


def test_noise_that_hides_the_signal_leaves_the_cosine_undetermined():
    g = np.array([1.0, 0.0])
    assert corrected_cosine([[1.0, 3.0], [1.0, -3.0], [1.0, 0.0]], g) == (None, None, None)
    value, low, high = corrected_cosine([[1.0, 3.0], [1.0, -3.0], [4.1, 0.0]], g)  # all hangs on the third
    assert (value is not None, low, high) == (True, None, None)
    with pytest.raises(InputError, match=r"repeats holds 2 change\(s\); give at least 3"):
        corrected_cosine([g, g], g)
