"""Panels that several circuits' figures have in common; each draws on an axis that it is given.

One thing has one colour in all of them: a circuit in spikes, one in rates (and the settled algebra, dashed), a control, hidden
layers 1, 2, 3, 4 in this order, three units among many.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np

from neurolearn import figures
from neurolearn.figures import COLOURS, GREY
from neurolearn.timing import Timing

ON, OFF = COLOURS[0], COLOURS[3]
SPIKES, RATES, CONTROL = COLOURS[3], COLOURS[1], GREY
LAYERS = COLOURS[4], COLOURS[7], COLOURS[5], COLOURS[9]  # hidden layers, the first first
UNITS = COLOURS[6], COLOURS[2], COLOURS[8]  # one unit each, out of a layer
PLAIN = COLOURS[0]  # the same layers without what the figure is about
WORDS = "#707070"  # text within a panel
READOUT = "only the readout learns, spikes"
NAMES = {"readout only": READOUT, "circuit": "all layers, spikes", "tensor.rate": "all layers, settled algebra"}


@contextmanager
def row(path, widths: Sequence[float], width: float = 12.0, height: float = 3.9) -> Iterator[np.ndarray]:
    """Axes side by side in the house style, to be drawn on inside; the figure is then at ``path``. widths: relative."""
    with figures.style():
        figure, axes = figures.new(1, len(widths), width, height, widths)
        yield axes
        figures.save(figure, path)


def blocks(values, size: int) -> np.ndarray:
    """Means over blocks of ``size`` along the last axis; what does not fill a block is left out."""
    values = np.asarray(values, float)
    whole = values.shape[-1] // size * size
    return values[..., :whole].reshape(*values.shape[:-1], -1, size).mean(-1)


def error(values) -> float:
    """Standard error of the mean over seeds; NaN for a single one."""
    values = np.asarray(values, float)
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")


def curves(axis, x, runs, colour: str, label: str | None, line: str = "-", mark: str = "") -> None:
    """The mean over seeds, runs: (seeds, points), and a band of one standard error."""
    runs = np.atleast_2d(np.asarray(runs, float))
    mean = runs.mean(0)
    axis.plot(x, mean, line, marker=mark, ms=3.5, color=colour, lw=1.4, label=label)
    if len(runs) > 1:
        spread = runs.std(0, ddof=1) / np.sqrt(len(runs))
        axis.fill_between(x, mean - spread, mean + spread, color=colour, alpha=0.2, lw=0)


def raster(axis, circuit, populations: Mapping[str, tuple[str, int]], timing: Timing, cells: int = 30,
           said: Sequence[str] = ("window",), sides: tuple[str, str] = ("ON cells", "OFF cells")) -> None:  # fmt: skip
    """Spikes of the first sample: ON cells black, OFF cells coloured, on one line for each unit, from the bottom up.

    circuit: a Circuit that has run with ``record_spikes``. populations: {words: (signal, layer)}. timing: of the circuit;
    its windows are grey. cells: at most so many units of each. said: what each phase is called, at its window. sides: what
    the cells of either sign are called.
    """
    trains, step, bottom, places = circuit.spikes(), circuit.plan.dt, 0.0, []
    groups = {group.name: k for k, group in enumerate(circuit.plan.groups)}
    for words, (signal, layer) in populations.items():
        group = groups.get(f"layer{layer}_{signal}", groups.get(f"layer{layer}"))
        train = trains[f"{signal}_{group}"][:, 0, :cells]
        for sign, colour in ((1, ON), (-1, OFF)):
            at, cell = np.nonzero(train == sign)
            axis.plot(at * step, bottom + cell, "|", color=colour, ms=2.6, mew=0.6)
        places.append((bottom + (train.shape[1] - 1) / 2, words))
        bottom += train.shape[1] + 2
    axis.set_yticks([place for place, _ in places], [words for _, words in places], fontsize=8)
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)
    axis.set(xlabel="time (s)", ylim=(-1.5, 1.06 * bottom), xlim=(0, len(train) * step))
    axis.locator_params(axis="x", nbins=5)
    each, wait = (timing.settle + timing.window) * timing.dt, timing.settle * timing.dt
    shade(axis, [(n * each + wait, (n + 1) * each) for n in range(max(1, round(len(train) * step / each)))], said)
    for place, words, colour in ((0.97 - 0.0175 * len(sides[1]), sides[0], ON), (1.0, sides[1], OFF)):
        axis.text(place, 1.01, words, transform=axis.transAxes, fontsize=8, color=colour, ha="right", va="bottom")


def shade(axis, spans: Sequence[tuple[float, float]], said: Sequence[str] = ()) -> None:
    """Grey from each start to each end, in seconds: the windows in which signals are read. said: words, one to a window."""
    for start, end in spans:
        axis.axvspan(start, end, color="#f0f0f0", zorder=-2, lw=0)
    for (_, end), words in zip(spans, said, strict=False):
        axis.text(end, 0.995, f"{words} ", transform=axis.get_xaxis_transform(), fontsize=8, color=WORDS, ha="right", va="top")


def learning(axis, taught, names: Mapping[str, str] = NAMES) -> None:
    """Errors of a ``teaching.Taught`` over samples: its readout alone, the settled algebra, the circuit. names: {who: words}."""
    looks = {"readout only": (CONTROL, "-"), "circuit": (SPIKES, "-"), "tensor.rate": (RATES, "--")}
    for who, words in names.items():
        curves(axis, taught.at, taught.curves[who], looks[who][0], words, looks[who][1])
    most = 1.2 * max(float(taught.curves[who].mean(0).max()) for who in names)
    axis.set(xlabel="samples", ylabel="squared error / variance of the target", ylim=(0, most), xlim=(0, None))
    axis.legend(loc="upper right")


def angles(axis, taught, layers: Sequence[int]) -> None:
    """Degrees between a circuit's changes of the weights into these hidden layers and backprop, over samples."""
    for layer in layers:
        label = f"into hidden layer {layer}"
        curves(axis, taught.at, taught.angles[f"W_{layer}_{layer - 1}"], LAYERS[layer - 1], label)
    degrees(axis, "angle of weight changes to backprop (degrees)")
    axis.set(xlabel="samples", xlim=(0, None))
    axis.legend(loc="lower right")


def degrees(axis, words: str) -> None:
    """A y axis of angles, with a line where two things have nothing to do with each other."""
    axis.axhline(90, color=GREY, lw=0.8)
    axis.text(0.99, 91, "orthogonal", color=WORDS, fontsize=8, ha="right", va="bottom", transform=axis.get_yaxis_transform())
    axis.set(ylabel=words, ylim=(0, 105), yticks=(0, 30, 60, 90))


def agreement(axis, x, y, colour: str, label: str | None = None) -> None:
    """Points that lie on the grey diagonal where both sides say the same; both axes have one scale."""
    most = max(1.06 * max(np.abs(x).max(), np.abs(y).max()), axis.get_xlim()[1] if axis.lines else 0.0)
    axis.plot(np.ravel(x), np.ravel(y), "o", ms=2.8, mew=0, alpha=0.75, color=colour, label=label)
    if not axis.get_lines()[1:]:
        axis.axline((0, 0), slope=1, color="#b5b5b5", lw=1, zorder=0)
    axis.set(xlim=(-most, most), ylim=(-most, most), aspect="equal", anchor="N")
    axis.locator_params(nbins=5)


def changes(path, found: Mapping[str, tuple[Mapping[str, np.ndarray], Mapping[str, np.ndarray]]]) -> None:
    """A figure of a smoke run: for each circuit, every weight's change in it against that of tensor.rate.

    found: {circuit: ({weight: change}, {weight: change by tensor.rate})}.
    """
    with row(path, [1.0] * len(found), 3.8 * len(found), 3.6) as axes:
        for axis, (words, (moved, exact)) in zip(np.atleast_1d(axes), found.items(), strict=True):
            for name, colour in zip(moved, (*LAYERS, COLOURS[0]), strict=False):
                agreement(axis, exact[name], moved[name], colour, name)
            axis.set(xlabel="weight change, settled algebra", ylabel=f"weight change, {words}")
            axis.legend(loc="upper left")
