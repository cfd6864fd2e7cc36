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

    python models/circuits/kickback_regression.py    # 2 minutes of one core
"""

from __future__ import annotations

import sys

import neurolearn as nl
from neurolearn import claims, panels, teaching
from neurolearn.data import waves

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


def main() -> int:
    options = claims.begin(claims.parser(__file__, __doc__, "four samples; asks what they changed, against the algebra"))
    if options.smoke:
        learner = circuit(samples=SMOKE_SAMPLES, target="numpy")
        return teaching.smoke({"spiking circuit": (learner, SMOKE_CLAIM)}, waves.load(0), RATE, options.out)

    learner = circuit(samples=BLOCK)
    taught = teaching.teach(learner, waves.load, RATE, samples=SAMPLES, seeds=SEEDS, block=BLOCK, tested=TESTED)
    print(taught.table())
    data = waves.load(0)
    learner.restart(0, taught.end[0])
    y, said = data.y_test[:TESTED], learner.respond(data.x_test[:TESTED])
    draw(taught, teaching.shown(learner, data.x_train[:1], data.y_train[:1], taught.start[0]), y, said, options.out)
    print(f"figure: {options.out}")
    return claims.verdict(taught.failures(CLAIM))


def circuit(**options) -> nl.circuit.Learner:
    rule, network = nl.rules.get("kickback"), nl.mlp(SIZES, "relu", signed=True)
    return nl.circuit.Learner(rule, network, timing=SPIKES, bias=BIAS, **options)


def draw(taught, shown, y, said, path) -> None:
    with panels.row(path, (1.15, 1.1, 0.9)) as axes:
        words = {
            "input\nrate": ("rate", 0),
            "layer 1\nrate": ("rate", 1),
            "layer 2\nrate": ("rate", 2),
            "layer 2 slope,\nkicks layer 1": ("slope", 2),
        }
        panels.raster(axes[0], shown, words, SPIKES, cells=30, sides=("ON, or excites", "OFF, or inhibits"))
        axes[0].set_title("Spikes, first sample")
        panels.learning(axes[1], taught)
        axes[1].set_title("One broadcast error, one kick back")
        panels.agreement(axes[2], y, said, panels.SPIKES)
        axes[2].set(xlabel="target", ylabel="output of the spiking circuit")
        axes[2].set_title("Samples never taught")


if __name__ == "__main__":
    sys.exit(main())
