"""Feedback alignment in a circuit of spiking cells, after Lillicrap et al. 2016, doi:10.1038/ncomms13276.

One cell has one axon. In the hidden layers leaky integrate-and-fire cells send the rates. An error is sent by cells of its
own, in pairs of opposite sign: from the output to layer 2 through fixed random weights, from layer 2 to layer 1 in the same
way, and one to one onto an apical compartment of the cells that send the rate of layer 2. Nothing hears the error of layer
1, so it stays in the cells that compute it. A plastic synapse reads the error of its own postsynaptic cell, averaged over
the window, and counts the spikes of its own presynaptic cell. Its weight changes once, when the window closes, by an
equation at the synapse.

The claim: after 2 s the change that Brian2 itself made to the weights points within 5 degrees of tensor.rate, the settled
algebra of the same rule. Where it points from backprop is printed, and is the rule's own affair: with random feedback and
random weights it need not be close. Exits with 1 if the claim fails.

    python models/circuits/feedback_alignment_in_spikes.py    # 7 seconds of one core
"""

from __future__ import annotations

import sys

import numpy as np

import neurolearn as nl
from neurolearn import claims, panels
from neurolearn.changes import fit_rates, prepare
from neurolearn.observer import backprop_gradient
from neurolearn.tensor.rate import RateProgram

SIZES = (4, 12, 8, 3)  # units; yin-yang has 4 inputs and 3 classes
SAMPLES = 4  # side by side, each in a copy of the circuit; a weight change is their mean
SEED = 0

# The hidden cell. Source of both: Gerstner et al. 2014, Neuronal Dynamics, ch. 1.
MEMBRANE = 20e-3  # s, membrane time constant of a pyramidal cell (10 to 20 ms)
REFRACTORY = 2e-3  # s, absolute refractory period
CELL_UNIT = 50.0  # spikes/s of a hidden cell that count as a rate of 1; a choice

# The rest is chosen so that a filter holds several spikes; none of it was measured in a brain.
SYNAPSE = 50e-3  # s, decay of every current: slow, as a current that reads a rate has to be
UNIT = 100.0  # spikes/s of input and error cells, which are exact integrators, for a signal of 1
CEILING = 200.0  # spikes/s; no cell is asked for more, a signal with a larger peak gets fewer spikes per unit
STEP = 0.5e-3  # s, Euler
SETTLE, WINDOW = 1.0, 1.0  # s, before the window opens, and until it closes
BIAS = 0.5  # standard deviation of the bias currents; threshold is 1

CLAIM = 5.0  # degrees to tensor.rate, all weights together
SMOKE_SETTLE, SMOKE_WINDOW, SMOKE_CLAIM = 0.25, 0.25, 15.0  # a quarter of the time: about the right direction


def main() -> int:
    options = claims.begin(claims.parser(__file__, __doc__, "half a second instead of two, and a looser claim"))
    settle, window, claim = (SMOKE_SETTLE, SMOKE_WINDOW, SMOKE_CLAIM) if options.smoke else (SETTLE, WINDOW, CLAIM)

    rule = nl.rules.get("feedback_alignment")
    network = nl.mlp(SIZES, nl.lif(MEMBRANE, REFRACTORY, unit=CELL_UNIT))
    data = nl.data.load("yin_yang", seed=SEED, limit=SAMPLES)
    program, weights, given = prepare(rule, network, data.x_train, data.y_train, seed=SEED, bias=BIAS)
    steps = {"settle": round(settle / STEP), "window": round(window / STEP)}
    timing = nl.Timing(dt=STEP, tau=SYNAPSE, **steps, unit_rate=UNIT, seed=SEED)
    timing = fit_rates(program, weights, given, timing, CEILING)

    how = {"kind": "spiking", "placement": "cells", "timing": timing}
    circuit = nl.circuit.build(rule, network, data.x_train, data.y_train, weights, **how)
    apical = monitor(circuit)
    circuit.record_spikes()
    circuit.run()

    changes, facts = circuit.changes(), circuit.facts()
    exact = RateProgram(program, weights)
    rate = {name: change.numpy() for name, change in exact.changes(given).items()}
    gradient = backprop_gradient(network, weights, data.x_train, data.y_train)
    print(f"{facts['seconds']:g} s, {facts['spikes']} spikes, mean {facts['mean_hz']:.0f} Hz, max {facts['max_hz']:.0f} Hz")
    print(f"{'degrees from':14}" + "".join(f"{name:>8}" for name in (*changes, "all")))
    for words, reference in (("tensor.rate", rate), ("backprop", gradient)):
        each = [nl.compare.angle(changes[name], reference[name]) for name in changes]
        print(f"{words:14}" + "".join(f"{a:8.1f}" for a in (*each, nl.compare.angle(changes, reference))))
    draw(circuit, apical, exact.signals(given)["learn"]["error_2"][0].numpy(), changes, rate, timing, options.out)
    print(f"figure: {options.out}")
    found = nl.compare.angle(changes, rate)
    return claims.verdict([] if found <= claim else [f"{found:.1f} degrees to tensor.rate, not {claim:g}"])


def monitor(circuit):
    """A Brian2 monitor of the apical compartments of layer 2, of the first sample's copy."""
    from brian2 import StateMonitor, ms

    cells = circuit.objects["layer2_rate"]
    found = StateMonitor(cells, "apical_error", record=list(range(SIZES[2])), dt=2 * ms, name="apical")
    circuit.network.add(found)
    return found


def draw(circuit, apical, settled, changes, rate, timing, path) -> None:
    with panels.row(path, (1.5, 1.15, 1.0), 12.0, 4.4) as axes:
        words = {
            "input": ("rate", 0),
            "layer 1\nrate": ("rate", 1),
            "layer 2\nrate": ("rate", 2),
            "output\nerror": ("error", 3),
            "layer 2\nerror": ("error", 2),
        }
        panels.raster(axes[0], circuit, words, timing)
        axes[0].set_title("Spikes, first sample")
        order = np.argsort(settled)
        for k, colour in zip(order[[0, len(order) // 2, -1]], panels.UNITS, strict=True):
            axes[1].plot(np.asarray(apical.t_), np.asarray(apical.apical_error)[k], color=colour, lw=1)
            axes[1].axhline(settled[k], color=colour, ls="--", lw=1.4)
        axes[1].set(xlabel="time (s)", ylabel="apical current (threshold is 1)", xlim=(0, apical.t_[-1]))
        axes[1].text(0.99, 0.01, "dashed: settled error, algebra", transform=axes[1].transAxes, ha="right", fontsize=8,
                     color=panels.WORDS)  # fmt: skip
        axes[1].set_title("Apical error, three cells of layer 2")
        panels.shade(axes[1], [(timing.settle * timing.dt, apical.t_[-1])])
        for name, colour in zip(("W_1_0", "W_2_1", "W_3_2"), panels.LAYERS, strict=False):
            label = f"W$_{name[2]}$, {nl.compare.angle(changes[name], rate[name]):.1f}° apart"
            panels.agreement(axes[2], rate[name], changes[name], colour, label)
        axes[2].set(xlabel="weight change, settled algebra", ylabel="weight change, spiking circuit")
        axes[2].set_title("Weight changes, all synapses")
        axes[2].legend(loc="upper left", handletextpad=0.1)


if __name__ == "__main__":
    sys.exit(main())
