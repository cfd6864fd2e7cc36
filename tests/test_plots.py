"""Plots: what is drawn is the data that was given, with units, and the numbers of a transfer curve are the curve's."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from brian2 import ms, second

from neurolearn import plots
from neurolearn.errors import InputError

RNG = np.random.default_rng(5)


@pytest.fixture
def ax():
    figure, ax = plt.subplots()
    yield ax
    plt.close(figure)


def dots(ax) -> dict[str, set[tuple[float, float]]]:
    """Colour -> places of the marks of a raster."""
    found: dict[str, set] = {}
    for line in ax.lines:
        if line.get_marker() == "|":
            found.setdefault(line.get_color(), set()).update(zip(*np.round(line.get_data(), 6), strict=True))
    return found


def test_a_raster_has_a_mark_for_each_spike_of_its_sample():
    """Oracle: the array, entry by entry."""
    spikes = RNG.integers(-1, 2, (30, 2, 4)).astype(np.int8)
    _, ax = plt.subplots()
    assert plots.raster(ax, spikes, 0.5e-3, sample=1, start=0.1) is ax
    for sign, colour in ((1, plots.ON), (-1, plots.OFF)):
        expected = {
            (round(100 + 0.5 * step, 6), float(unit))
            for step in range(30) for unit in range(4) if spikes[step, 1, unit] == sign
        }
        assert expected and dots(ax)[colour] == expected
    assert ax.get_xlabel() == "time (ms)" and ax.get_ylabel() == "unit"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["ON", "OFF"]
    plt.close()


def test_a_raster_shows_the_silence_too_and_counts_units_whole(ax):
    """A train of 200 steps of 1 ms with a spike in its middle is 200 ms long; units are whole numbers."""
    train = np.zeros((200, 3), np.int8)
    train[100, 1] = 1
    plots.raster(ax, train, 1 * ms, start=0.3 * second)
    assert np.allclose(ax.get_xlim(), (300, 500)) and dots(ax)[plots.ON] == {(400.0, 1.0)}
    assert all(tick == round(tick) for tick in ax.get_yticks())


def test_rasters_of_several_populations_are_stacked(ax):
    given = {"rate_1": np.eye(3, dtype=int), "error_2": -np.ones((3, 2), int)}
    plots.raster(ax, given, 1.0)
    assert dots(ax) == {plots.ON: {(0, 0), (1, 1), (2, 2)}, plots.OFF: {(k, unit) for k in range(3) for unit in (3, 4)}}
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["rate 1", "error 2"]
    assert list(ax.get_yticks()) == [1.0, 3.5] and ax.get_xlabel() == "time (s)"


def test_traces_are_the_values(ax):
    t, values = np.arange(50) * 1e-3, RNG.random((50, 2))
    plots.traces(ax, t, values, ["soma", "apical"], unit="mV", quantity="potential")
    for k, line in enumerate(ax.lines):
        assert np.allclose(line.get_xdata(), 1e3 * t) and np.array_equal(line.get_ydata(), values[:, k])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("time (ms)", "potential (mV)")


def test_weights_are_shown_from_first_to_last(ax):
    weights = RNG.normal(size=(6, 5, 4))
    plots.weight_evolution(ax, np.arange(6), weights, shown=3)
    lines = [line.get_ydata() for line in ax.lines]
    flat = weights.reshape(6, -1)
    assert len(lines) == 4 and np.array_equal(lines[0], flat[:, 0]) and np.array_equal(lines[2], flat[:, -1])
    assert np.allclose(lines[-1], weights.mean((1, 2)))
    assert ax.get_xlabel() == "presentations"


@pytest.mark.parametrize(("gain", "offset", "dead"), [(1.0, 0.0, 0.0), (0.8, 0.0, 5.0), (1.2, 0.0, 10.0), (0.5, 2.0, 0.0)])
def test_the_numbers_of_a_transfer_curve(gain, offset, dead):
    """Oracle: y = gain (x - d sign x) outside a dead zone of half width d, on a grid that has d."""
    x = np.arange(-50.0, 51.0, 2.5)
    y = np.where(np.abs(x) > dead, gain * (x - dead * np.sign(x)), 0.0) + offset
    found = plots.transfer(x, y)
    assert found == pytest.approx((gain, offset, dead), abs=1e-9)


def test_a_transfer_curve_stands_beside_the_identity(ax):
    x = np.linspace(-20, 20, 17)
    y = np.where(np.abs(x) > 5, 0.9 * (x - 5 * np.sign(x)), 0.0)
    plots.transfer_curve(ax, x[::-1], y[::-1], error=np.full(17, 0.1), unit="Hz")
    identity, measured = ax.lines[0].get_data(), ax.lines[1].get_data()
    assert np.array_equal(*identity) and np.array_equal(measured[0], x) and np.array_equal(measured[1], y)
    assert "dead zone ±5 Hz" in [text.get_text() for text in ax.texts]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["identity", "gain 0.9"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("signal in (Hz)", "signal out (Hz)")


@pytest.mark.parametrize(("draw", "message"), [
    (lambda ax: plots.raster(ax, np.zeros(3), 1e-3), r"spikes have the shape \(3,\)"),
    (lambda ax: plots.raster(ax, {"rate_1": np.zeros((3, 2, 1))}, 1e-3, sample=2), r"spikes of rate_1 .*sample 2"),
    (lambda ax: plots.traces(ax, [0, 1], np.zeros((3, 1))), r"values has shape \(3, 1\) and t \(2,\)"),
    (lambda ax: plots.traces(ax, [0, 1], np.zeros((2, 2)), ["one"]), "labels has 1 entries for 2 traces"),
    (lambda ax: plots.weight_evolution(ax, [0, 1], np.zeros((3, 2))), r"weights has shape \(3, 2\)"),
    (lambda ax: plots.transfer_curve(ax, [0, 1, 2], [0, 0, 0]), "fewer than two values outside the dead zone"),
    (lambda ax: plots.transfer(np.zeros(2), np.zeros(3)), "x has 2 values and y 3"),
])
def test_what_cannot_be_drawn_is_said(ax, draw, message):
    with pytest.raises(InputError, match=message):
        draw(ax)
