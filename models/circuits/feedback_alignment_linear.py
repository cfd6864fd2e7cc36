"""Feedback alignment on a linear task, in a rate circuit and in spikes, after Lillicrap et al. 2016, doi:10.1038/ncomms13276.

A student of 30-20-10 linear units learns y = T x from one sample after another. The error of the output travels to the hidden
units through a fixed random matrix B and changes their weights there. At first that has nothing to do with the gradient. But
what B makes of W_1 makes W_2 grow along the transpose of B, and from then on the hidden weights are taught in the direction
of backpropagation. The sizes are the paper's; T is uniform in +-1 over sqrt(10), so that a target has variance 1; the other
numbers are chosen here.

The claim, in both circuits: the angle between the change that Brian2 made to W_1 and the backprop gradient at the same
samples falls from near 90 degrees to below 60 and stays there; so does that between B and the transpose of W_2; and the
error falls far below what is left when only W_2 learns. Exits with 1 if the claim fails.

The angle is of sums over 20 samples, at the weights that these samples found. In spikes it is a few degrees larger than in
rates once errors are small: a window of 100 ms holds few spikes of the error cells then. What is not sent is kept, so that
the spikes that are missing in one sample come in another. The output says nothing finer than a tenth in 100 ms, and the
error in spikes ends there.

    python models/circuits/feedback_alignment_linear.py
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

import neurolearn as nl
from neurolearn import figures, panels
from neurolearn.observer import backprop_gradient

SIZES = (30, 20, 10)  # units, as in the paper
RATE = 0.005  # learning rate per sample
SAMPLES, SEEDS = 600, 3
SEGMENT = 20  # samples between two looks at the weights
FIRST = 0.3  # of the usual normal weights, variance 1/fan-in: small, so that alignment has something to make

# Every time is a choice, and none was measured in a brain.
RATES = nl.Timing(dt=1e-3, tau=10e-3, settle=150)  # s, s, steps: 15 time constants for a chain of four filters
SPIKES = nl.Timing(
    dt=1e-3,  # s, Euler
    tau=20e-3,  # s, decay of synaptic currents
    settle=100,  # steps before the window opens
    window=100,  # steps, in which signals are averaged and spikes are counted
    unit_rate=100.0,  # spikes/s for a signal of 1
)

START, END, LEFT = (
    65.0,
    60.0,
    0.2,
)  # degrees of the first segment, at least, and of all after 300 samples, at most; error
SMOKE_SAMPLES = 8

BLUE, ORANGE, GREY = figures.COLOURS[1], figures.COLOURS[3], figures.GREY
LINES = {"rate circuit": BLUE, "spiking circuit": ORANGE}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out/feedback_alignment_linear.png"), help="figure")
    parser.add_argument(
        "--smoke", action="store_true", help="eight samples; asks what they changed, against the algebra"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    return smoke(options.out) if options.smoke else full(options.out)


def task(seed: int, samples: int) -> tuple[np.ndarray, np.ndarray]:
    """(x, y) of a linear teacher."""
    draw = nl.streams.stream(seed, "linear teacher")
    teacher = draw.uniform(-1, 1, (SIZES[2], SIZES[0])) / np.sqrt(SIZES[0] / 3)
    x = draw.normal(size=(samples, SIZES[0]))
    return x, x @ teacher.T


def circuit(kind: str, **options) -> nl.circuit.Learner:
    rule, network = nl.rules.get("feedback_alignment"), nl.mlp(SIZES, "linear")
    timing = RATES if kind == "rate" else SPIKES
    return nl.circuit.Learner(rule, network, timing=timing, kind=kind, **{"samples": SEGMENT, **options})


def begin(learner: nl.circuit.Learner, seed: int) -> None:
    """Restart with small forward weights."""
    learner.restart(seed)
    learner.restart(seed, {name: FIRST * w for name, w in learner.weights.items() if name.startswith("W")})


def full(path: Path) -> int:
    found, failures = {}, []
    learners = {f"{kind} circuit": circuit(kind) for kind in ("rate", "spiking")}
    for name, which in (*((n, n) for n in learners), ("only W_2 learns, spikes", "spiking circuit")):
        learner, runs = learners[which], []
        for seed in range(SEEDS):
            begin(learner, seed)
            runs.append(run(learner, seed, learner.readout_only(RATE) if name not in learners else RATE))
        found[name] = {what: np.array([r[what] for r in runs]) for what in runs[0]}
        ends = {what: values[:, -5:].mean(1) for what, values in found[name].items()}
        print(f"{name:26}" + "".join(f"{what}: {v.mean():6.3g} +- {panels.error(v):.2g}   " for what, v in ends.items())
              + f"{learner.activity}")  # fmt: skip
    for name in learners:
        change, error = found[name]["change"].mean(0), found[name]["error"][:, -5:].mean()
        late = change[300 // SEGMENT :]
        print(
            f"{name}: from {change[0]:.0f} degrees to backprop in the first {SEGMENT} samples to {late.mean():.0f} after 300"
        )
        failures += [] if change[0] > START else [f"{name}: starts {change[0]:.0f} degrees from backprop"]
        failures += [] if late.max() < END else [f"{name}: {late.max():.0f} degrees from backprop late in learning"]
        failures += (
            [] if found[name]["feedback"][:, -1].mean() < END else [f"{name}: B and the transpose of W_2 do not align"]
        )
        failures += (
            []
            if error < LEFT * found["only W_2 learns, spikes"]["error"][:, -5:].mean()
            else [f"{name}: error {error:.3f}"]
        )
    print(f"figure: {draw(found, look(learners['spiking circuit']), path)}")
    for failure in failures:
        print(f"the claim fails: {failure}", file=sys.stderr)
    return 1 if failures else 0


def run(learner: nl.circuit.Learner, seed: int, rates) -> dict[str, list[float]]:
    """Segment by segment: the error, degrees of W_1's change from backprop, degrees of B from the transpose of W_2."""
    x, y = task(seed, SAMPLES)
    found: dict[str, list[float]] = {"error": [], "change": [], "feedback": []}
    for start in range(0, SAMPLES, SEGMENT):
        part, before = slice(start, start + SEGMENT), dict(learner.weights)
        said = learner.learn(x[part], y[part], rates)
        gradient = backprop_gradient(learner.network, before, x[part], y[part])["W_1_0"]
        moved = learner.weights["W_1_0"] - before["W_1_0"]
        found["error"].append(float(((said - y[part]) ** 2).mean()))
        found["change"].append(nl.compare.angle(moved, gradient) if moved.any() else 90.0)
        found["feedback"].append(nl.compare.angle(learner.weights["B_1_2"], learner.weights["W_2_1"].T))
    return found


def look(learner: nl.circuit.Learner):
    """The first sample alone, with its spikes."""
    begin(learner, 0)
    x, y = task(0, 1)
    found = nl.circuit.build(learner.rule, learner.network, x, y, dict(learner.weights), kind="spiking", timing=SPIKES)
    found.record_spikes()
    found.run()
    return found


def smoke(path: Path) -> int:
    """A few samples in NumPy: what both circuits changed points where the algebra, sample after sample, goes."""
    changes, (x, y) = {}, task(0, SMOKE_SAMPLES)
    for kind in ("rate", "spiking"):
        learner = circuit(kind, samples=SMOKE_SAMPLES, target="numpy")
        begin(learner, 0)
        start = dict(learner.weights)
        learner.learn(x, y, RATE)
        changes[f"{kind} circuit"] = {k: learner.weights[k] - start[k] for k in ("W_1_0", "W_2_1")}
    exact = {k: start[k].copy() for k in ("W_1_0", "W_2_1")}
    for one, target in zip(x, y, strict=True):
        hidden = exact["W_1_0"] @ one
        error = target - exact["W_2_1"] @ hidden
        exact["W_2_1"] += RATE * np.outer(error, hidden)
        exact["W_1_0"] += RATE * np.outer(start["B_1_2"] @ error, one)
    exact = {k: exact[k] - start[k] for k in exact}
    angles = {name: nl.compare.angle(change, exact) for name, change in changes.items()}
    with figures.style():
        figure, axis = figures.new(1, 1, 4.0, 3.6)
        for name, angle in angles.items():
            print(f"{name:18}{angle:6.1f} degrees from the algebra after {SMOKE_SAMPLES} samples")
            axis.plot(exact["W_1_0"].ravel(), changes[name]["W_1_0"].ravel(), "o", ms=2, color=LINES[name], label=name)
        axis.set(xlabel="change of W_1, algebra", ylabel="in the circuit")
        axis.legend()
        print(f"figure: {figures.save(figure, path)}")
    return 0 if angles["rate circuit"] < 2 and angles["spiking circuit"] < 15 else 1


def draw(found, shown, path: Path) -> Path:
    at = SEGMENT * (np.arange(SAMPLES // SEGMENT) + 0.5)
    with figures.style():
        figure, axes = figures.new(1, 3, 12.0, 3.9)
        axes[0].get_gridspec().set_width_ratios([1.0, 1.0, 1.1])
        words = {"input\nrate": ("rate", 0), "hidden\nrate": ("rate", 1), "output\nerror": ("error", 2)}
        panels.raster(axes[0], shown, words)
        panels.shade(axes[0], [(SPIKES.settle * SPIKES.dt, axes[0].get_xlim()[1])], "window")
        axes[0].set_title("Spikes, first sample")
        for name, line in (("only W_2 learns, spikes", GREY), *LINES.items()):
            panels.curves(axes[1], at, found[name]["error"], line, name.replace("W_2", "W$_2$"))
        axes[1].set(yscale="log", xlabel="samples", ylabel="error / variance of the target", xlim=(0, SAMPLES))
        axes[1].set_title("The error falls")
        axes[1].legend(loc="lower left")
        for name, line in LINES.items():
            panels.curves(axes[2], at, found[name]["change"], line, f"change of W$_1$, {name}")
            panels.curves(axes[2], at, found[name]["feedback"], line, f"B to the transpose of W$_2$, {name}", line="--")
        axes[2].axhline(90, color=GREY, lw=0.8)
        axes[2].text(SAMPLES, 90.5, "orthogonal", color="#707070", fontsize=8, ha="right", va="bottom")
        axes[2].set(
            xlabel="samples",
            ylabel="angle to backprop (degrees)",
            ylim=(0, 100),
            yticks=(0, 30, 60, 90),
            xlim=(0, SAMPLES),
        )
        axes[2].set_title("because feedback aligns")
        axes[2].legend(loc="lower left")
        return figures.save(figure, path)


if __name__ == "__main__":
    sys.exit(main())
