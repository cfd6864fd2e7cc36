"""The pictures that the main job and the analyses draw. matplotlib is imported when one is drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from textwrap import wrap

import numpy as np

COLOURS = ("#1b1b1b", "#0072b2", "#56b4e9", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#7f3c8d", "#80ba5a", "#a05a2c")
GREY = "#9a9a9a"
MARKS = {"circuit.rate": "s", "tensor.spiking": "o", "circuit.spiking": "D"}


STYLE = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.titlepad": 10,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "figure.dpi": 150,
}


@contextmanager
def style() -> Iterator[None]:
    """The house style, for everything that is drawn inside; no display is needed."""
    import matplotlib

    matplotlib.use("Agg", force=False)
    with matplotlib.rc_context(STYLE):
        yield


def new(rows: int, columns: int, width: float, height: float, widths: Sequence[float] | None = None):
    """(figure, axes); call it, and draw, inside ``style()``. width, height: inches; widths: of the columns, relative."""
    import matplotlib.pyplot as plt

    return plt.subplots(rows, columns, figsize=(width, height), width_ratios=widths, layout="constrained")


def save(figure, path: str | Path) -> Path:
    """Write a figure (the ending says the format) and close it."""
    import matplotlib.pyplot as plt

    figure.savefig(path)
    plt.close(figure)
    return Path(path)


def colours(names: Sequence[str]) -> dict[str, str]:
    """A colour for each rule, in their order."""
    return {name: COLOURS[k % len(COLOURS)] for k, name in enumerate(names)}


def comparison(result: dict, path: str | Path) -> Path:
    """The four questions of the main job in one picture: does it learn, where does it point, do the realisations agree,
    and what is left of it at 200 ms."""
    names = result["settings"]["rules"]
    colour = colours(names)
    with style():
        figure, axes = new(2, 2, 11.5, 8.2)
        _accuracy(axes[0, 0], result, colour)
        _angles(axes[0, 1], result, colour)
        _realisations(axes[1, 0], result, colour)
        _operating_point(axes[1, 1], result, colour)
        s = result["settings"]
        more = f" and {s['seeds'] - 1} more" if s["seeds"] > 1 else ""
        figure.supxlabel(
            f"{s['data']}, {s['network']}, seed {s['seed']}{more}", fontsize=8, color=GREY, x=0.99, ha="right"
        )
        return save(figure, path)


def _curve(rows: Sequence[dict], value) -> tuple[list[int], np.ndarray]:
    """Epochs and the mean over seeds of ``value(row)``."""
    epochs = sorted({r["epoch"] for r in rows})
    return epochs, np.array([np.mean([value(r) for r in rows if r["epoch"] == e]) for e in epochs])


def _accuracy(axis, result: dict, colour: dict) -> None:
    axis.set_title("Does it learn?")
    rows = result["training"]
    for name, line in (("linear", ":"), ("readout_only", "--")):
        mine = [r for r in rows if r["rule"] == name]
        if mine:
            axis.plot(*_curve(mine, lambda r: 100 * r["test_accuracy"]), line, color=GREY, lw=1.2, label=_name(name))
    for name, c in colour.items():
        mine = [r for r in rows if r["rule"] == name]
        if mine:
            axis.plot(*_curve(mine, lambda r: 100 * r["test_accuracy"]), color=c, lw=1.6, label=_name(name))
    axis.set(xlabel="epoch", ylabel="test accuracy (%)")
    if rows:
        last = max(r["epoch"] for r in rows)
        axis.set_ylim(bottom=max(0.0, min(100 * r["test_accuracy"] for r in rows if r["epoch"] == last) - 30))
        axis.legend(loc="lower right")
    else:
        axis.text(0.5, 0.5, "not trained in this run", ha="center", transform=axis.transAxes, color=GREY)


def _angles(axis, result: dict, colour: dict) -> None:
    axis.set_title("Where does its update point?")
    for name, c in colour.items():
        mine = [r for r in result["training"] if r["rule"] == name and r.get("angle_to_backprop_deg")]
        layers = sorted({int(k) for r in mine for k in r["angle_to_backprop_deg"]})[:-1]
        for layer, line in zip(layers, ("-", "--", ":", "-."), strict=False):

            def value(r: dict, layer=layer) -> float:
                angles = r["angle_to_backprop_deg"]
                found = angles.get(layer, angles.get(str(layer)))
                return np.nan if found is None else found

            axis.plot(*_curve(mine, value), line, color=c, lw=1.4)
    axis.axhline(90, color=GREY, lw=0.8)
    axis.text(
        0.99, 90, "orthogonal", color=GREY, fontsize=8, ha="right", va="bottom", transform=axis.get_yaxis_transform()
    )
    axis.set(xlabel="epoch", ylabel="angle to backprop (degrees)", ylim=(-4, 124))
    axis.text(
        0.99,
        0.97,
        "hidden layer 1 solid, 2 dashed",
        color=GREY,
        fontsize=8,
        ha="right",
        va="top",
        transform=axis.transAxes,
    )


def _worst(rows: Sequence[dict], key: str) -> float:
    values = [r[key] for r in rows if r[key] is not None]
    return max(values) if values else np.nan


def _realisations(axis, result: dict, colour: dict) -> None:
    axis.set_title("Do the realisations agree with tensor.rate?")
    rows = [r for r in result["rows"] if r["operating_point"] == "ideal" and r["reference"] == "tensor.rate"]
    names = list(colour)[::-1]
    for k, name in enumerate(names):
        for shift, (kind, mark) in zip((0.2, 0.0, -0.2), MARKS.items(), strict=True):
            mine = [r for r in rows if r["rule"] == name and r["realisation"] == kind]
            if mine:
                axis.plot(
                    max(_worst(mine, "relative_error_to_tensor_rate"), 1e-16),
                    k + shift,
                    mark,
                    color=colour[name],
                    ms=5,
                    mfc="white" if kind == "circuit.rate" else colour[name],
                )
    for kind, mark in MARKS.items():
        axis.plot([], [], mark, color="#444444", mfc="white" if kind == "circuit.rate" else "#444444", ms=5, label=kind)
    axis.set(
        xscale="log",
        xlabel="relative error of the weight change, worst layer",
        xlim=(1e-13, 2),
        ylim=(-1.05, len(names) - 0.3),
    )
    axis.set_yticks(range(len(names)), [_name(n, 18) for n in names])
    axis.grid(axis="x", color="#eeeeee")
    axis.legend(loc="lower left", ncols=3, bbox_to_anchor=(-0.02, -0.01), columnspacing=1, handletextpad=0.2)


def _operating_point(axis, result: dict, colour: dict) -> None:
    axis.set_title("What is left in 200 ms of ordinary spikes?")
    rows = [r for r in result["rows"] if r["operating_point"] == "physiological" and r["reference"] == "tensor.rate"]
    names = list(colour)[::-1]
    hz = [r["mean_rate_hz"] for r in rows if r["mean_rate_hz"] is not None]
    for k, name in enumerate(names):
        for kind, cells, shift, fill in (("circuit.spiking", 1, 0.15, "white"), ("tensor.spiking", 20, -0.15, None)):
            mine = [r for r in rows if (r["rule"], r["realisation"], r["cells"]) == (name, kind, cells)]
            angles = [r["angle_deg"] for r in mine if r["angle_deg"] is not None]
            if angles:
                axis.plot([min(angles), max(angles)], [k + shift] * 2, color=colour[name], lw=1)
                axis.plot(
                    angles,
                    [k + shift] * len(angles),
                    "D" if kind == "circuit.spiking" else "o",
                    ms=4.5,
                    color=colour[name],
                    mfc=fill or colour[name],
                )
    axis.plot([], [], "D", color="#444444", mfc="white", ms=4.5, label="circuit, 1 cell per unit")
    axis.plot([], [], "o", color="#444444", ms=4.5, label="tensor, 20 cells per unit")
    axis.axvline(90, color=GREY, lw=0.8)
    axis.set(
        xlabel="angle to the rate network of these cells (degrees)",
        xlim=(0, 100),
        ylim=(-1.05, len(names) - 0.3),
    )
    axis.set_yticks(range(len(names)), [_name(n, 18) for n in names])
    if hz:
        axis.text(
            0.99,
            0.99,
            f"LIF cells, mean {np.mean(hz):.0f} Hz; a mark per layer; reported, not judged",
            color=GREY,
            fontsize=8,
            ha="right",
            va="top",
            transform=axis.transAxes,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},  # the line at 90 degrees ends below it
        )
    axis.legend(loc="lower left", ncols=2, bbox_to_anchor=(-0.02, -0.01), columnspacing=1, handletextpad=0.2)


def _name(rule: str, width: int = 100) -> str:
    """A rule's name in words, broken where a line would get longer than ``width``."""
    return "\n".join(wrap(rule.replace("_", " "), width))
