"""Regression by kickback in a spiking circuit, after Balduzzi, Vanchinathan and Buhmann 2015, arXiv:1411.6191.

Eight inputs, two hidden layers of rectifiers of fixed polarity (half of each layer excites what it drives, half inhibits it),
one output that learns ``waves``, a smooth function which no linear readout can follow. There are no error cells. One number
for all synapses, the error of the output, is broadcast as a neuromodulator would be; it is the only signal of the circuit
that is not spikes. What a unit did for the layer above comes back along its own axon: a spike of a cell above kicks every
synapse onto it, and the kicks add up in the sending cell, one layer back and no further. Weights above the first layer
keep their signs (the network is coherent), inside the simulation.

The claim: the error on samples that were never taught falls below half of what is left when only the weights into the
output learn. Exits with 1 if the claim fails. What the settled algebra (tensor.rate) reaches with the same samples in the
same order is printed and drawn beside it: spikes cost something, as a rectifier lets through only the upper half of a
current's ripple, and as 100 ms hold few spikes. Sizes, rates and times are chosen here; the paper's own tasks are larger.

    python models/circuits/kickback_regression.py
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

import neurolearn as nl
from neurolearn import figures, panels, teaching
from neurolearn.data import waves
from neurolearn.tensor.online import follow

SIZES = (8, 30, 30, 1)  # units
RATE = 0.008  # learning rate per sample
SAMPLES, SEEDS, BLOCK = 4500, 3, 300  # one and a half times through the training samples
TESTED = 300  # samples that were never taught
BIAS = 0.5  # standard deviation of the bias currents

# Every time is a choice, and none was measured in a brain.
SPIKES = nl.Timing(
    dt=1e-3,  # s, Euler
    tau=10e-3,  # s, decay of synaptic currents
    settle=100,  # steps before the window opens
    window=100,  # steps, in which signals are averaged and spikes are counted
    unit_rate=100.0,  # spikes/s for a signal of 1
)

CLAIM = 0.5  # of the error with only the readout learning
SMOKE_SAMPLES, SMOKE_CLAIM = 4, 25.0  # degrees

BLUE, ORANGE, GREY = figures.COLOURS[1], figures.COLOURS[3], figures.GREY


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out/kickback_regression.png"), help="figure")
    parser.add_argument(
        "--smoke", action="store_true", help="four samples; asks what they changed, against the algebra"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    if options.smoke:
        return teaching.smoke(circuit(samples=SMOKE_SAMPLES, target="numpy"), waves.load(0), RATE, SMOKE_CLAIM, options.out)
    return full(options.out)


def circuit(**options) -> nl.circuit.Learner:
    rule, network = nl.rules.get("kickback"), nl.mlp(SIZES, "relu", signed=True)
    return nl.circuit.Learner(rule, network, timing=SPIKES, bias=BIAS, **{"samples": BLOCK, **options})


def order(count: int, many: int) -> np.ndarray:
    """Indices of ``count`` samples out of ``many``, again and again."""
    return np.arange(count) % many


def full(path: Path) -> int:
    learner, found, answers = circuit(), {}, None
    for name in ("kickback", "readout only"):
        curves, tests = [], []
        for seed in range(SEEDS):
            data = waves.load(seed)
            index = order(SAMPLES, len(data.x_train))
            learner.restart(seed)
            rates = RATE if name == "kickback" else learner.readout_only(RATE)
            said = learner.learn(data.x_train[index], data.y_train[index], rates)
            curves.append(panels.blocks(((said - data.y_train[index]) ** 2).mean(1), BLOCK))
            said = learner.respond(data.x_test[:TESTED])
            tests.append(squared(said, data.y_test[:TESTED]))
            answers = answers or (data.y_test[:TESTED, 0], said[:, 0])
        found[name] = np.array(curves), np.array(tests)
        print(f"{name + ', spikes':24}{np.mean(tests):7.3f} +- {panels.error(tests):.3f}   {learner.activity}")
    found["tensor.rate"] = algebra(learner)
    print(
        f"{'kickback, tensor.rate':24}{found['tensor.rate'][1].mean():7.3f} +- {panels.error(found['tensor.rate'][1]):.3f}"
    )
    print(f"figure: {draw(found, look(learner), answers, path)}")
    ratio = found["kickback"][1].mean() / found["readout only"][1].mean()
    if not ratio < CLAIM:
        print(f"the claim fails: {ratio:.2f} of the error with only the readout learning", file=sys.stderr)
        return 1
    return 0


def algebra(learner: nl.circuit.Learner):
    """(curves, errors on new samples) of the settled algebra, from the same weights with the same samples."""
    curves, tests, program = [], [], learner.circuit.program
    for seed in range(SEEDS):
        data = waves.load(seed)
        index = order(SAMPLES, len(data.x_train))
        learner.restart(seed)
        after, said = follow(program, dict(learner.weights), data.x_train[index], data.y_train[index], RATE)
        curves.append(panels.blocks(((said - data.y_train[index]) ** 2).mean(1), BLOCK))
        _, said = follow(program, after, data.x_test[:TESTED], data.y_test[:TESTED], 0.0)
        tests.append(squared(said, data.y_test[:TESTED]))
    return np.array(curves), np.array(tests)


def squared(said: np.ndarray, y: np.ndarray) -> float:
    return float(((said - y) ** 2).mean())


def look(learner: nl.circuit.Learner):
    """The first sample of seed 0 alone, with its spikes."""
    data = waves.load(0, limit=1)
    learner.restart(0)
    start, how = dict(learner.weights), {"kind": "spiking", "timing": SPIKES}
    found = nl.circuit.build(learner.rule, learner.network, data.x_train, data.y_train, start, **how)
    found.record_spikes()
    found.run()
    return found


def draw(found, circuit, answers, path: Path) -> Path:
    with figures.style():
        figure, axes = figures.new(1, 3, 12.0, 3.9)
        axes[0].get_gridspec().set_width_ratios([1.15, 1.1, 0.9])
        words = {
            "input\nrate": ("rate", 0),
            "layer 1\nrate": ("rate", 1),
            "layer 2\nrate": ("rate", 2),
            "layer 2 slope,\nkicks layer 1": ("slope", 2),
        }
        panels.raster(axes[0], circuit, words, cells=30)
        panels.shade(axes[0], [(SPIKES.settle * SPIKES.dt, axes[0].get_xlim()[1])], "window")
        axes[0].set_title("Spikes, first sample")
        at = BLOCK * (np.arange(SAMPLES // BLOCK) + 0.5)
        for name, colour, line, label in (
            ("readout only", GREY, "-", "only the readout learns, spikes"),
            ("kickback", ORANGE, "-", "kickback, spikes"),
            ("tensor.rate", BLUE, "--", "kickback, settled algebra"),
        ):
            panels.curves(axes[1], at, found[name][0], colour, label, line)
        axes[1].set(xlabel="samples", ylabel="error / variance of the target", xlim=(0, SAMPLES), ylim=(0, None))
        axes[1].set_title("One broadcast error, one kick back")
        axes[1].legend(loc="lower left")
        y, said = answers
        most = 1.05 * max(np.abs(y).max(), np.abs(said).max())
        axes[2].plot([-most, most], [-most, most], color="#b5b5b5", lw=1, zorder=0)
        axes[2].plot(y, said, "o", ms=2.6, mew=0, alpha=0.7, color=ORANGE)
        axes[2].set(
            xlabel="target",
            ylabel="what the output's spikes say",
            xlim=(-most, most),
            ylim=(-most, most),
            aspect="equal",
        )
        axes[2].set_title("Samples never taught")
        return figures.save(figure, path)


if __name__ == "__main__":
    sys.exit(main())
