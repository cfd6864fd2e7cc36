"""The picture of an online run: how well it does as samples go by, beside its control, and at what rates it fires."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from neurolearn import figures


def draw(rows: Mapping[str, Sequence[Mapping]], results: Mapping[str, Mapping], config, path: str | Path) -> Path:
    """Two panels: the score against samples (thin: while learning, each segment; thick: validation, weights frozen) and
    mean and largest rate of the cells. rows: {"run" and controls: metrics}; results: their results."""
    spiking = config.realisation == "circuit.spiking"
    colour = {"run": figures.COLOURS[1], "readout_only": figures.GREY, "linear": figures.COLOURS[3]}
    label = {"run": config.rule.rpartition(":")[2].replace("_", " "), "readout_only": "readout only"}
    measure = "accuracy" if any("train_accuracy" in r for r in rows["run"]) else "nmse"
    scale = 100 if measure == "accuracy" else 1
    with figures.style():
        figure, axes = figures.new(1, 2 if spiking else 1, 7.2 if spiking else 4.4, 3.0)
        axes = np.atleast_1d(axes)
        for name, ones in rows.items():
            x = [r["samples"] for r in ones]
            axes[0].plot(x, [scale * r[f"train_{measure}"] for r in ones], color=colour[name], lw=0.7, alpha=0.5)
            dot = "." if len(ones) == 1 else ""  # a line of one point is none
            seen = [r for r in ones if f"valid_{measure}" in r]
            axes[0].plot([r["samples"] for r in seen], [scale * r[f"valid_{measure}"] for r in seen], color=colour[name],
                         lw=1.8, marker=dot, label=label[name])  # fmt: skip
            final = results[name].get(f"test_{measure}")
            if final is not None:
                axes[0].plot(x[-1], scale * final, "o", color=colour[name], ms=5, mec="white", clip_on=False)
        if f"test_{measure}" in results.get("linear", {}):
            axes[0].axhline(scale * results["linear"][f"test_{measure}"], color=colour["linear"], lw=1, ls="--", label="linear")
        axes[0].set(xlabel="samples", ylabel="accuracy (%)" if scale == 100 else "error (share of variance)",
                    title=f"{config.data.replace('_', '-')}, {config.realisation}")  # fmt: skip
        axes[0].legend(loc="lower right" if scale == 100 else "upper right")
        if spiking:
            for key, text, style in (("max_hz", "most active cell", ":"), ("mean_hz", "mean of all cells", "-")):
                axes[1].plot([r["samples"] for r in rows["run"]], [r[key] for r in rows["run"]], style,
                             color=colour["run"], marker="." if len(rows["run"]) == 1 else "", label=text)  # fmt: skip
            axes[1].set(xlabel="samples", ylabel="spikes per second (Hz)", title="how much it fires", ylim=(0, None))
            axes[1].legend(loc="center right")
        return figures.save(figure, path)
