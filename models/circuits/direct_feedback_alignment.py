"""Direct feedback alignment in spikes, after Nokland 2016, arXiv:1609.01596: the output's error goes straight to every layer.

Twenty inputs, three hidden layers of ten, four outputs (``subspace``: what matters are four directions of the input, and a
narrow random layer does not pass them on). The error cells of the output send their spikes through fixed random matrices of
their own to each hidden layer at once. Nothing comes back layer by layer, so the error is at the first layer as soon as at the
last.

The claim, in spikes: on samples that were never taught the error falls below half of what is left when only the weights into
the output learn, and the changes of the weights into every hidden layer come to point within 80 degrees of backprop in the
second half of the samples. Exits with 1 if the claim fails. The angles are of sums over 100 samples, at the weights that
these samples found. They start near 90 degrees, as the feedback is random, and end between 50 and 65: it learns without ever
following the gradient closely.

    python models/circuits/direct_feedback_alignment.py    # 1.8 minutes of one core
"""

from __future__ import annotations

import sys

import neurolearn as nl
from neurolearn import claims, panels, teaching
from neurolearn.data import subspace

SIZES = (20, 10, 10, 10, 4)  # units
RATE = 0.03  # learning rate per sample
SAMPLES, SEEDS, BLOCK = 1000, 3, 100

# Every time is a choice, and none was measured in a brain.
SPIKES = nl.Timing(
    dt=1e-3,  # s, Euler
    tau=10e-3,  # s, decay of synaptic currents
    settle=150,  # steps before the window opens
    window=150,  # steps, in which signals are averaged and spikes are counted
    unit_rate=100.0,  # spikes/s for a signal of 1
)

CLAIM, ALIGNED = 0.5, 80.0  # of the control's error; degrees of the last blocks
SMOKE_SAMPLES, SMOKE_CLAIM = 6, 25.0  # degrees


def main() -> int:
    options = claims.begin(claims.parser(__file__, __doc__, "six samples; asks what they changed, against the algebra"))
    rule, network = nl.rules.get("direct_feedback_alignment"), nl.mlp(SIZES)
    if options.smoke:
        learner = nl.circuit.Learner(rule, network, timing=SPIKES, samples=SMOKE_SAMPLES, target="numpy")
        return teaching.smoke({"spiking circuit": (learner, SMOKE_CLAIM)}, subspace.load(0), RATE, options.out)

    learner = nl.circuit.Learner(rule, network, timing=SPIKES, samples=BLOCK)
    taught = teaching.teach(learner, subspace.load, RATE, samples=SAMPLES, seeds=SEEDS, block=BLOCK)
    print(taught.table())
    data = subspace.load(0)
    draw(taught, teaching.shown(learner, data.x_train[:1], data.y_train[:1], taught.start[0]), options.out)
    print(f"figure: {options.out}")
    failures = taught.failures(CLAIM)
    for name, values in taught.angles.items():
        if not (late := values[:, len(taught.at) // 2 :].mean()) < ALIGNED:
            failures.append(f"{name} changes {late:.0f} degrees from backprop, not {ALIGNED:g}")
    return claims.verdict(failures)


def draw(taught, circuit, path) -> None:
    with panels.row(path, (1.05, 1.0, 1.0)) as axes:
        words = {
            "input\nrate": ("rate", 0),
            "layer 1\nrate": ("rate", 1),
            "layer 2\nrate": ("rate", 2),
            "layer 3\nrate": ("rate", 3),
            "output error,\nto all layers": ("error", 4),
        }
        panels.raster(axes[0], circuit, words, SPIKES, cells=10)
        axes[0].set_title("Spikes, first sample")
        panels.learning(axes[1], taught)
        axes[1].set_title("It learns")
        panels.angles(axes[2], taught, (1, 2, 3))
        axes[2].set_title("Its changes align with backprop")


if __name__ == "__main__":
    sys.exit(main())
