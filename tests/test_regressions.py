"""Numbers to predict: waves, subspace and the linear teacher are what their formulas say, and hard where they should be."""

from __future__ import annotations

import numpy as np
import pytest

from neurolearn import streams
from neurolearn.data import linear, subspace, waves
from neurolearn.data.dataset import SPLITS


def test_waves_are_the_sum_of_four_sines_and_no_line_follows_them():
    sets = waves.load(seed=3)
    assert [getattr(sets, f"x_{split}").shape for split in SPLITS] == [(3000, 8), (1000, 8), (1000, 8)]
    assert abs(sets.y_train.mean()) < 1e-12
    assert abs(sets.y_train.var() - 1) < 1e-12
    rng = streams.stream(3, "waves", "directions")  # the formula, with the named stream as the only thing shared
    v = rng.normal(size=(8, 4))
    v = v / np.sqrt((v**2).sum(0))
    plain = np.sin(3 * sets.x_test @ v).sum(1)
    slope, offset = np.polyfit(plain, sets.y_test[:, 0], 1)
    np.testing.assert_allclose(sets.y_test[:, 0], slope * plain + offset, rtol=0, atol=1e-12)
    # A wave along a unit vector through a cube is nearly normal, w = v.x of variance 1/3: the line explains
    # cov(w, sin 3w)^2 / (var w var sin 3w) = 9 exp(-3) / 3 / ((1 - exp(-6)) / 2) = 0.30 of it.
    design = np.hstack([sets.x_train, np.ones((3000, 1))])
    line = np.linalg.lstsq(design, sets.y_train, rcond=None)[0]
    residual = sets.y_test - np.hstack([sets.x_test, np.ones((1000, 1))]) @ line
    assert 0.55 < residual.var() / sets.y_test.var() < 0.85


@pytest.mark.parametrize("task", [waves, linear, subspace], ids=lambda task: task.__name__.split(".")[-1])
def test_they_depend_on_the_seed_alone_and_limit_keeps_the_first(task):
    whole, again, other, some = task.load(1), task.load(1), task.load(2), task.load(1, limit=40)
    for split in SPLITS:
        for field in (f"x_{split}", f"y_{split}"):
            assert np.array_equal(getattr(whole, field), getattr(again, field))
            assert not np.array_equal(getattr(whole, field), getattr(other, field))
    assert np.array_equal(some.x_train, whole.x_train[:40])
    assert np.array_equal(some.y_train, whole.y_train[:40])
    assert np.array_equal(some.y_test, whole.y_test)


def test_subspace_hides_its_directions_from_a_random_layer():
    data = subspace.load(0)
    hidden = np.tanh(data.x_train @ np.random.default_rng(0).normal(size=(20, 10)) / np.sqrt(20))
    design = np.c_[hidden, np.ones(len(hidden))]
    left = data.y_train - design @ np.linalg.lstsq(design, data.y_train, rcond=None)[0]
    assert 0.35 < (left**2).mean() / data.y_train.var() < 0.75
    assert np.array_equal(subspace.load(0, limit=5).x_train, data.x_train[:5])


def test_a_linear_teacher_of_variance_one_needs_more_than_random_hidden_units():
    sets = linear.load(seed=2)
    assert [getattr(sets, f"x_{split}").shape for split in SPLITS] == [(3000, 30), (1000, 30), (1000, 30)]
    teacher = np.linalg.lstsq(sets.x_train, sets.y_train, rcond=None)[0]
    np.testing.assert_allclose(sets.x_test @ teacher, sets.y_test, rtol=0, atol=1e-12)
    assert np.abs(teacher).max() < 1 / np.sqrt(10)
    # 300 squares of a uniform number in +-a, a^2 = 1/10: their sum is 300 a^2/3 = 10 +- a^2 sqrt(300 * 4/45) = 0.52
    assert abs((teacher**2).sum() / 10 - 1) < 4 * 0.052
    # 20 random directions of 30 are seen: of a row of T the part Beta(5, 10) is not, 1/3 +- 0.118, and over 10 rows +- 0.037
    hidden = sets.x_train @ np.random.default_rng(0).normal(size=(30, 20))
    left = sets.y_train - hidden @ np.linalg.lstsq(hidden, sets.y_train, rcond=None)[0]
    assert abs((left**2).mean() / sets.y_train.var() - 1 / 3) < 4 * 0.037
