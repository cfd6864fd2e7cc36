"""Panels that several circuits' figures have in common; each draws on an axis that it is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from neurolearn import figures
from neurolearn.figures import COLOURS, GREY

ON, OFF = COLOURS[0], COLOURS[3]


def blocks(values, size: int) -> np.ndarray:
    """Means over blocks of ``size`` along the last axis; what does not fill a block is left out."""
    values = np.asarray(values, float)
    whole = values.shape[-1] // size * size
    return values[..., :whole].reshape(*values.shape[:-1], -1, size).mean(-1)


def error(values) -> float:
    """Standard error of the mean over seeds; NaN for a single one."""
    values = np.asarray(values, float)
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")


def curves(axis, x, runs, colour: str, label: str, line: str = "-", mark: str = "") -> None:
    """The mean over seeds, runs: (seeds, points), and a band of one standard error."""
    runs = np.atleast_2d(np.asarray(runs, float))
    mean = runs.mean(0)
    axis.plot(x, mean, line, marker=mark, ms=3.5, color=colour, lw=1.4, label=label)
    if len(runs) > 1:
        spread = runs.std(0, ddof=1) / np.sqrt(len(runs))
        axis.fill_between(x, mean - spread, mean + spread, color=colour, alpha=0.2, lw=0)


def raster(
    axis, circuit, populations: Mapping[str, tuple[str, int]], cells: int = 30, until: float | None = None
) -> None:
    """Spikes of the first sample: ON cells black, OFF cells coloured, on one line for each unit, from the bottom up.

    circuit: a Circuit that has run with ``record_spikes``. populations: {words: (signal, layer)}. cells: at most so many
    units of each. until: seconds.
    """
    trains, step, bottom, places = circuit.spikes(), circuit.plan.dt, 0.0, []
    for words, (signal, layer) in populations.items():
        train = trains[f"{signal}_{layer}"][:, 0, :cells]
        for sign, colour in ((1, ON), (-1, OFF)):
            at, cell = np.nonzero(train == sign)
            axis.plot(at * step, bottom + cell, "|", color=colour, ms=2.6, mew=0.5)
        places.append((bottom + (train.shape[1] - 1) / 2, words))
        bottom += train.shape[1] + 2
    axis.set_yticks([place for place, _ in places], [words for _, words in places], fontsize=8)
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)
    axis.set(xlabel="time (s)", ylim=(-1.5, bottom), xlim=(0, until or len(train) * step))
    axis.locator_params(axis="x", nbins=5)
    for place, words, colour in ((0.80, "ON cells", ON), (1.0, "OFF cells", OFF)):
        axis.text(place, 1.01, words, transform=axis.transAxes, fontsize=8, color=colour, ha="right", va="bottom")


def shade(axis, spans: Sequence[tuple[float, float]], words: str = "") -> None:
    """Grey from each start to each end, in seconds: the windows in which signals are read."""
    for start, end in spans:
        axis.axvspan(start, end, color="#f0f0f0", zorder=-2, lw=0)
    if words and spans:
        at = (spans[0][0], 0.995)
        axis.text(*at, f" {words}", transform=axis.get_xaxis_transform(), fontsize=8, color="#808080", va="top")


def learning(axis, taught, names: Mapping[str, str], colour: str = COLOURS[3]) -> None:
    """Errors of a ``teaching.Taught`` over samples: its readout alone, the settled algebra, the circuit. names: {who: words}."""
    looks = {"readout only": (GREY, "-"), "tensor.rate": (COLOURS[1], "--"), "circuit": (colour, "-")}
    for who, words in names.items():
        curves(axis, taught.at, taught.curves[who], looks[who][0], words, looks[who][1])
    most = 1.2 * max(float(taught.curves[who].mean(0).max()) for who in names)
    axis.set(xlabel="samples", ylabel="error / variance of the target", ylim=(0, most), xlim=(0, None))
    axis.legend(loc="upper right")


def angles(axis, taught, names: Mapping[str, str]) -> None:
    """Degrees between a circuit's weight changes and backprop. names: {weight: words}."""
    for (name, words), colour in zip(names.items(), (COLOURS[4], COLOURS[7], COLOURS[5]), strict=False):
        curves(axis, taught.at, taught.angles[name], colour, words)
    axis.axhline(90, color=GREY, lw=0.8)
    axis.text(
        0.99, 91, "orthogonal", color=GREY, fontsize=8, ha="right", va="bottom", transform=axis.get_yaxis_transform()
    )
    axis.set(
        xlabel="samples", ylabel="angle to backprop (degrees)", ylim=(0, 105), yticks=(0, 30, 60, 90), xlim=(0, None)
    )
    axis.legend(loc="lower right")


def changes(path, moved: Mapping[str, np.ndarray], exact: Mapping[str, np.ndarray]):
    """A figure of its own, of a smoke run: every weight's change in the circuit against that of tensor.rate."""
    with figures.style():
        figure, axis = figures.new(1, 1, 4.0, 3.6)
        for name in moved:
            axis.plot(exact[name].ravel(), moved[name].ravel(), "o", ms=2, label=name)
        axis.set(xlabel="change, tensor.rate", ylabel="in the circuit")
        axis.legend()
        return figures.save(figure, path)
