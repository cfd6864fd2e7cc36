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

    python models/circuits/feedback_alignment_linear.py    # 1.5 minutes of one core
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np

import neurolearn as nl
from neurolearn import claims, panels, teaching
from neurolearn.data import linear
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

START, END = 65.0, 60.0  # degrees: of the first segment, at least; of all after LATE samples, at most
LATE, LEFT = 300, 0.2  # samples; of the error with only W_2 learning
SMOKE_SAMPLES, SMOKE_CLAIM = 8, {"rate": 2.0, "spiking": 15.0}  # degrees

CONTROL = "only W_2 learns, spikes"
LOOKS = {"rate circuit": panels.RATES, "spiking circuit": panels.SPIKES}


def main() -> int:
    options = claims.begin(claims.parser(__file__, __doc__, "eight samples; asks what they changed, against the algebra"))
    if options.smoke:
        learners = {kind: circuit(kind, samples=SMOKE_SAMPLES, target="numpy") for kind in SMOKE_CLAIM}
        for learner in learners.values():
            begin(learner, 0)
        asked = {f"{kind} circuit": (learner, SMOKE_CLAIM[kind]) for kind, learner in learners.items()}
        return teaching.smoke(asked, linear.load(0), RATE, options.out)

    learners = {f"{kind} circuit": circuit(kind, samples=SEGMENT) for kind in ("rate", "spiking")}
    spiking, found = learners["spiking circuit"], {}
    for name, learner in (*learners.items(), (CONTROL, spiking)):
        rates = spiking.readout_only(RATE) if name == CONTROL else RATE
        runs = [np.array(list(run(learner, seed, rates))) for seed in range(SEEDS)]
        found[name] = dict(zip(("error", "change", "feedback"), np.array(runs).transpose(2, 0, 1), strict=True))
        ends = {what: values[:, -5:].mean(1) for what, values in found[name].items()}
        each = (f"{what}: {v.mean():6.3g} +- {panels.error(v):.2g}" for what, v in ends.items())
        print(f"{name:26}{'   '.join(each)}   {learner.activity}")
    begin(spiking, 0)
    data, failures = linear.load(0), []
    draw(found, teaching.shown(spiking, data.x_train[:1], data.y_train[:1]), options.out)
    print(f"figure: {options.out}")
    for name in learners:
        change, late = found[name]["change"].mean(0), found[name]["change"].mean(0)[LATE // SEGMENT :]
        feedback = found[name]["feedback"][:, -1].mean()
        ratio = found[name]["error"][:, -5:].mean() / found[CONTROL]["error"][:, -5:].mean()
        print(f"{name}: from {change[0]:.0f} degrees to backprop in the first {SEGMENT} samples to {late.mean():.0f} after {LATE}")
        failures += [] if change[0] > START else [f"{name} starts {change[0]:.0f} degrees from backprop"]
        failures += [] if late.max() < END else [f"{name} is {late.max():.0f} degrees from backprop late in learning"]
        failures += [] if feedback < END else [f"{name}: B is {feedback:.0f} degrees from the transpose of W_2"]
        failures += [] if ratio < LEFT else [f"{name}: {ratio:.2f} of the error with only W_2 learning"]
    return claims.verdict(failures)


def circuit(kind: str, **options) -> nl.circuit.Learner:
    rule, network = nl.rules.get("feedback_alignment"), nl.mlp(SIZES, "linear")
    timing = RATES if kind == "rate" else SPIKES
    return nl.circuit.Learner(rule, network, timing=timing, kind=kind, **options)


def begin(learner: nl.circuit.Learner, seed: int) -> None:
    """Restart with small forward weights."""
    learner.restart(seed)
    learner.restart(seed, {name: FIRST * w for name, w in learner.weights.items() if name.startswith("W")})


def run(learner: nl.circuit.Learner, seed: int, rates) -> Iterator[tuple[float, float, float]]:
    """Segment by segment: the error over the variance of the target, degrees of W_1's change from backprop, degrees of B from
    the transpose of W_2."""
    begin(learner, seed)
    data = linear.load(seed, limit=SAMPLES)
    for start in range(0, SAMPLES, SEGMENT):
        x, y, before = data.x_train[start : start + SEGMENT], data.y_train[start : start + SEGMENT], dict(learner.weights)
        said = learner.learn(x, y, rates)
        moved = learner.weights["W_1_0"] - before["W_1_0"]
        gradient = backprop_gradient(learner.network, before, x, y)["W_1_0"]
        change = nl.compare.angle(moved, gradient) if moved.any() else 90.0
        feedback = nl.compare.angle(learner.weights["B_1_2"], learner.weights["W_2_1"].T)
        yield float(((said - y) ** 2).mean() / data.y_train.var()), change, feedback


def draw(found, shown, path) -> None:
    at = SEGMENT * (np.arange(SAMPLES // SEGMENT) + 0.5)
    with panels.row(path, (1.0, 1.0, 1.1)) as axes:
        words = {"input\nrate": ("rate", 0), "hidden\nrate": ("rate", 1), "output\nerror": ("error", 2)}
        panels.raster(axes[0], shown, words, SPIKES)
        axes[0].set_title("Spikes, first sample")
        for name, colour in ((CONTROL, panels.CONTROL), *LOOKS.items()):
            panels.curves(axes[1], at, found[name]["error"], colour, name.replace("W_2", "W$_2$"))
        axes[1].set(yscale="log", xlabel="samples", ylabel="squared error / variance of the target", xlim=(0, SAMPLES))
        axes[1].set_title("The error falls")
        axes[1].legend(loc="lower left")
        for name, colour in LOOKS.items():
            panels.curves(axes[2], at, found[name]["change"], colour, f"change of W$_1$ to backprop, {name}")
            panels.curves(axes[2], at, found[name]["feedback"], colour, f"B to the transpose of W$_2$, {name}", "--")
        panels.degrees(axes[2], "angle (degrees)")
        axes[2].set(xlabel="samples", xlim=(0, SAMPLES))
        axes[2].set_title("because feedback aligns")
        axes[2].legend(loc="lower left")


if __name__ == "__main__":
    sys.exit(main())
