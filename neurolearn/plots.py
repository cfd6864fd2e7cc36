"""What one looks at after a run: spikes, traces, weights, and the transfer curve of a code. All draw into given axes.

The style is that of ``figures``: its colours, open axes, units on every label. Inside ``figures.style()`` letters fit too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from neurolearn import quantity
from neurolearn.errors import InputError
from neurolearn.figures import COLOURS, GREY

ON, OFF = COLOURS[1], COLOURS[3]
LINES = (ON, OFF, *COLOURS[4:8], COLOURS[0], COLOURS[2])  # neighbours differ in print too


def raster(ax, spikes, dt: float, *, sample: int = 0, start: float = 0.0, size: float | None = None):
    """Spikes of one sample as dots: a row for each unit, ON (or all, unsigned) in blue, OFF in orange. Returns ax.

    spikes: signed (steps, batch, units) or (steps, units), as ``Circuit.spikes()`` has for every signal, or a mapping of
    names to such arrays, which are stacked from the bottom. dt, start: seconds (or times) of a step, and of the first. size: of the
    dots in points; default is what fits. Raises InputError for another shape.
    """
    from matplotlib.ticker import MaxNLocator

    dt, start = quantity.si("dt", dt, "s"), quantity.si("start", start, "s", -float("inf"))
    given = spikes if isinstance(spikes, Mapping) else {"": spikes}
    trains = {name: _steps_by_units(name, value, sample) for name, value in given.items()}
    rows = sum(train.shape[1] for train in trains.values())
    end = start + dt * max((len(train) for train in trains.values()), default=0)
    scale, unit = _clock(end)
    size = size or float(np.clip(220.0 / max(rows, 1), 0.8, 5.0))
    base, ticks = 0, {}
    for name, train in trains.items():
        for sign, colour in ((1, ON), (-1, OFF)):
            at, cells = np.nonzero(train * sign > 0)
            ax.plot((start + at * dt) * scale, base + cells, "|", ms=size, mew=0.8, color=colour, label=None)
        ticks[name] = base + (train.shape[1] - 1) / 2
        base += train.shape[1]
        if base < rows:
            ax.axhline(base - 0.5, color=GREY, lw=0.5)
    if isinstance(spikes, Mapping):
        ax.set_yticks(list(ticks.values()), [name.replace("_", " ") for name in ticks])
        ax.tick_params(axis="y", length=0)
    ax.set(xlabel=f"time ({unit})", xlim=(start * scale, end * scale), ylim=(-0.7, rows - 0.3))  # silence is shown too
    if not isinstance(spikes, Mapping):
        ax.set_ylabel("unit")
        ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    signs = {sign for train in trains.values() for sign in np.unique(np.sign(train))}
    if -1 in signs:
        ax.plot([], [], "|", ms=6, mew=1.2, color=ON, label="ON")
        ax.plot([], [], "|", ms=6, mew=1.2, color=OFF, label="OFF")
        ax.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False, borderpad=0, handletextpad=0.1)
    return _open(ax)


def traces(ax, t, values, labels: Sequence[str] = (), *, unit: str = "", quantity: str = "signal"):
    """Graded signals over time, a colour for each. Returns ax.

    t: (steps,) in seconds. values: (steps,) or (steps, traces). labels: of the traces. quantity, unit: of the y axis.
    Raises InputError if the shapes do not fit.
    """
    t, values = np.asarray(t, float), np.asarray(values, float)
    values = values[:, None] if values.ndim == 1 else values
    if t.ndim != 1 or values.ndim != 2 or len(values) != len(t):
        raise InputError(f"values has shape {values.shape} and t {t.shape}; give (steps, traces) and (steps,).")
    if labels and len(labels) != values.shape[1]:
        raise InputError(f"labels has {len(labels)} entries for {values.shape[1]} traces; give one for each.")
    scale, shown = _clock(float(np.max(np.abs(t), initial=0.0)))
    for k in range(values.shape[1]):
        label = labels[k] if labels else None
        ax.plot(t * scale, values[:, k], color=LINES[k % len(LINES)], lw=1.2, label=label)
    if labels:
        ax.legend(frameon=False, loc="best")
    ax.set(xlabel=f"time ({shown})", ylabel=f"{quantity} ({unit})" if unit else quantity)
    return _open(ax)


def weight_evolution(ax, steps, weights, *, shown: int = 24, label: str = "weight", xlabel: str = "presentations"):
    """Weights as they change: ``shown`` synapses as thin lines, the middle 90 % of all as a band, their mean bold.

    steps: (n,) presentations (or whatever xlabel says). weights: (n, ...), the matrix at each step. Synapses are taken
    evenly from first to last. Returns ax. Raises InputError if the lengths differ.
    """
    steps, weights = np.asarray(steps, float), np.asarray(weights, float)
    if steps.ndim != 1 or len(weights) != len(steps):
        raise InputError(f"weights has shape {weights.shape} and steps {steps.shape}; give (n, ...) and (n,).")
    flat = weights.reshape(len(steps), -1)
    low, high = np.quantile(flat, (0.05, 0.95), axis=1)
    ax.fill_between(steps, low, high, color=COLOURS[2], alpha=0.25, lw=0, label="5 to 95 %")
    count = min(shown, flat.shape[1])
    for k in np.unique(np.round(np.linspace(0, flat.shape[1] - 1, count)).astype(int)) if count else ():
        ax.plot(steps, flat[:, k], color=COLOURS[1], lw=0.5, alpha=0.7)
    ax.plot(steps, flat.mean(1), color=COLOURS[0], lw=1.6, label="mean")
    ax.legend(frameon=False, loc="best")
    ax.set(xlabel=xlabel, ylabel=f"{label} (no unit)" if label == "weight" else label)
    return _open(ax)


class Transfer(NamedTuple):
    """A transfer curve in numbers. dead: half width of the zone around 0 in which nothing comes out."""

    gain: float
    offset: float
    dead: float


def transfer(x, y, *, floor: float = 0.0) -> Transfer:
    """Gain, offset and dead zone of what comes out (y) for what goes in (x), both in the same unit.

    dead: the largest d for which |y| <= floor wherever |x| <= d among the points, or 0. gain, offset: of the least-squares
    line y = gain x + offset through the points outside the dead zone, shifted inwards by d on both sides, so that a curve
    with a pure dead zone has gain 1. Raises InputError for fewer than two such points.
    """
    x, y = (np.asarray(v, float).ravel() for v in (x, y))
    if len(x) != len(y):
        raise InputError(f"x has {len(x)} values and y {len(y)}; give as many of each.")
    speaks = np.abs(y) > floor
    first = np.min(np.abs(x[speaks]), initial=np.inf)
    dead = float(np.max(np.abs(x[np.abs(x) < first]), initial=0.0))
    outside = np.abs(x) > dead if dead else np.ones(len(x), bool)
    inward = x - np.sign(x) * dead
    if len(np.unique(inward[outside])) < 2:
        raise InputError("x has fewer than two values outside the dead zone; give a wider range.")
    gain, offset = np.polyfit(inward[outside], y[outside], 1)
    return Transfer(float(gain), float(offset), dead)


def transfer_curve(ax, x, y, *, error=None, unit: str = "Hz", floor: float = 0.0, label: str = ""):
    """What comes out of a code for what goes in, beside the identity; says its gain and marks its dead zone. Returns ax.

    x, y: (n,), in and out in the same unit. error: (n,), of y. floor, and the numbers: of ``transfer``.
    """
    x, y = (np.asarray(v, float).ravel() for v in (x, y))
    found = transfer(x, y, floor=floor)
    ends = np.array([min(x.min(), y.min()), max(x.max(), y.max())])
    ax.plot(ends, ends, color=GREY, lw=1, ls="--", label="identity", zorder=1)
    if found.dead:
        ax.axvspan(-found.dead, found.dead, color=COLOURS[6], alpha=0.2, lw=0, zorder=0)
        ax.text(0, 0.03, f"dead zone ±{found.dead:.3g} {unit}".rstrip(), ha="center", color=COLOURS[6], fontsize="small",
                transform=ax.get_xaxis_transform())  # fmt: skip
    order = np.argsort(x, kind="stable")
    bars = None if error is None else np.asarray(error, float).ravel()[order]
    words = f"{label}, gain {found.gain:.3g}" if label else f"gain {found.gain:.3g}"
    ax.errorbar(x[order], y[order], bars, color=COLOURS[1], marker="o", ms=3, lw=1.2, capsize=0, label=words, zorder=2)
    ax.legend(frameon=False, loc="upper left")
    ends = [f"{what} ({unit})" if unit else what for what in ("signal in", "signal out")]
    ax.set(xlabel=ends[0], ylabel=ends[1])
    return _open(ax)


def _steps_by_units(name: str, spikes, sample: int) -> np.ndarray:
    spikes = np.asarray(spikes)
    if spikes.ndim == 3 and -spikes.shape[1] <= sample < spikes.shape[1]:
        return spikes[:, sample]
    if spikes.ndim == 2:
        return spikes
    what = f"spikes of {name}" if name else "spikes"
    raise InputError(
        f"{what} have the shape {spikes.shape} (sample {sample}); give (steps, batch, units) or (steps, units)."
    )


def _clock(seconds: float) -> tuple[float, str]:
    """Factor and unit in which a duration is easily read."""
    return (1e3, "ms") if seconds < 2 else (1.0, "s")


def _open(ax):
    """Without the lines above and to the right, as in all figures here."""
    ax.spines[["top", "right"]].set_visible(False)
    return ax
