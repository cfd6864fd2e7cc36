"""Difference target propagation in spikes: a circuit that learns its own inverse and its task at the same time.

Twenty inputs, hidden layers of ten and eight, four outputs (``subspace``: what matters are four directions of the input, and
a narrow random layer does not pass them on). Every sample is shown twice. First with noise in the hidden layers: what comes
back through the feedback synapses Q is held against the noisy rate that went up, and Q learns to invert. Then with the
teacher: a layer's target is its rate plus the difference of what Q makes of the target and of the rate above, and W learns
towards it. No weight is copied anywhere, not even at the top (``dtp_learned_top``, the form of Meulemans et al. 2020,
arXiv:2006.14331, of the rule of Lee et al. 2015, arXiv:1412.7525). W and Q change in the same run, inside Brian2.

The claim, in spikes: on samples that were never taught the error falls below half of what is left when only the weights into
the output learn; and what the learned Q leave unexplained of the rates below them falls below 0.3 of what the first random Q
left. Exits with 1 if the claim fails. The circuit needs two presentations of 300 ms per sample and forgets neither: rates of
the first are not compared with rates of the second, so that nothing has to be kept between them but the weights.

    python models/circuits/difference_target_propagation.py    # 2.8 minutes of one core
"""

from __future__ import annotations

import sys

import numpy as np

import neurolearn as nl
from neurolearn import claims, panels, teaching
from neurolearn.data import subspace

SIZES = (20, 10, 8, 4)  # units
RATES = {"W": 0.03, "Q": 0.05}  # learning rates per sample
STEP = 1.0  # of the output towards the teacher
SAMPLES, SEEDS, BLOCK = 1000, 3, 100

# Every time is a choice, and none was measured in a brain.
SPIKES = nl.Timing(
    dt=1e-3,  # s, Euler
    tau=10e-3,  # s, decay of synaptic currents
    settle=150,  # steps of a presentation before its window opens
    window=150,  # steps, in which signals are averaged and spikes are counted
    unit_rate=100.0,  # spikes/s for a signal of 1
)

CLAIM, INVERTED = 0.5, 0.3
SMOKE_SAMPLES, SMOKE_CLAIM = 2, 30.0  # degrees


def main() -> int:
    options = claims.begin(claims.parser(__file__, __doc__, "two samples; asks what they changed, against the algebra"))
    rule, network = nl.rules.get("dtp_learned_top").with_constants(step=STEP), nl.mlp(SIZES)
    if options.smoke:
        learner = nl.circuit.Learner(rule, network, timing=SPIKES, samples=SMOKE_SAMPLES, target="numpy")
        return teaching.smoke({"spiking circuit": (learner, SMOKE_CLAIM)}, subspace.load(0), RATES, options.out)

    learner = nl.circuit.Learner(rule, network, timing=SPIKES, samples=BLOCK)
    taught = teaching.teach(learner, subspace.load, RATES, samples=SAMPLES, seeds=SEEDS, block=BLOCK)
    print(taught.table())
    data, first, last = subspace.load(0), [], []
    for seed, weights in taught.end.items():
        old = {name: value for name, value in taught.start[seed].items() if name.startswith("Q")}
        first.append(unexplained({**weights, **old}, data.x_test))
        last.append(unexplained(weights, data.x_test))
    first, last = np.array(first), np.array(last)
    for k in (0, 1):
        print(f"unexplained by Q_{k + 1}_{k + 2}: {first[:, k].mean():.2f} with the first Q, {last[:, k].mean():.2f} with the learned")
    draw(taught, teaching.shown(learner, data.x_test[:1], data.y_test[:1], taught.end[0]), first, last, options.out)
    print(f"figure: {options.out}")
    failures = taught.failures(CLAIM)
    if not last.mean() < INVERTED * first.mean():
        failures.append(f"the learned inverses leave {last.mean():.2f} unexplained, the random ones {first.mean():.2f}")
    return claims.verdict(failures)


def unexplained(weights, x: np.ndarray) -> list[float]:
    """For both inverses into a hidden layer: squared error of the guess over the mean square of the rate."""
    rates = [x]
    for k in range(1, len(SIZES)):
        potential = rates[-1] @ weights[f"W_{k}_{k - 1}"].T + weights[f"b_{k}"]
        rates.append(np.tanh(potential) if k < len(SIZES) - 1 else potential)
    guesses = [np.tanh(rates[k + 1] @ weights[f"Q_{k}_{k + 1}"].T) for k in (1, 2)]
    return [float(((g - r) ** 2).mean() / (r**2).mean()) for g, r in zip(guesses, rates[1:], strict=False)]


def draw(taught, circuit, first, last, path) -> None:
    with panels.row(path, (1.25, 1.1, 0.8)) as axes:
        words = {
            "input\nrate": ("rate", 0),
            "layer 1\nrate": ("rate", 1),
            "layer 2\nrate": ("rate", 2),
            "output\nrate": ("rate", 3),
            "output\ntarget": ("target", 3),
            "layer 2\ntarget": ("target", 2),
        }
        panels.raster(axes[0], circuit, words, SPIKES, cells=10, said=("with noise: Q learns", "with teacher: W learns"))
        axes[0].set_title("Spikes, one sample, shown twice")
        panels.learning(axes[1], taught)
        axes[1].set_title("It learns its task")
        for shift, values, colour, label in ((-0.18, first, panels.CONTROL, "first Q"), (0.18, last, panels.SPIKES, "learned Q")):
            spread = [panels.error(each) for each in values.T]
            axes[2].bar(np.arange(2) + shift, values.mean(0), 0.32, yerr=spread, color=colour, label=label)
        axes[2].set_xticks((0, 1), ("Q into layer 1", "Q into layer 2"))
        axes[2].set(ylabel="part of the rates that Q leaves unexplained", ylim=(0, 1.7 * first.mean(0).max()))
        axes[2].legend(loc="upper right")
        axes[2].set_title("and its inverse")


if __name__ == "__main__":
    sys.exit(main())
