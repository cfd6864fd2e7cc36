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

    python models/circuits/feedback_alignment_in_spikes.py
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

import neurolearn as nl
from neurolearn import figures
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

POPULATIONS = {  # from the bottom of the figure up: NeuronGroup, and what it is
    "layer0_rate": "input",
    "layer1_rate": "layer 1\nrate",
    "layer2_rate": "layer 2\nrate",
    "layer3_error": "output\nerror",
    "layer2_error": "layer 2\nerror",
}
ON, OFF = figures.COLOURS[0], figures.COLOURS[3]

CLAIM = 5.0  # degrees to tensor.rate, all weights together
SMOKE_SETTLE, SMOKE_WINDOW, SMOKE_CLAIM = 0.25, 0.25, 15.0  # a quarter of the time: about the right direction


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out/feedback_alignment_in_spikes.png"), help="figure")
    parser.add_argument("--smoke", action="store_true", help="half a second instead of two, and a looser claim")
    options = parser.parse_args()
    torch.set_num_threads(1)
    settle, window, claim = (SMOKE_SETTLE, SMOKE_WINDOW, SMOKE_CLAIM) if options.smoke else (SETTLE, WINDOW, CLAIM)

    rule = nl.rules.get("feedback_alignment")
    network = nl.mlp(SIZES, nl.lif(MEMBRANE, REFRACTORY, unit=CELL_UNIT))
    data = nl.data.load("yin_yang", seed=SEED, limit=SAMPLES)
    program, weights, given = prepare(rule, network, data.x_train, data.y_train, seed=SEED, bias=BIAS)
    timing = nl.Timing(
        dt=STEP, tau=SYNAPSE, settle=round(settle / STEP), window=round(window / STEP), unit_rate=UNIT, seed=SEED
    )
    timing = fit_rates(program, weights, given, timing, CEILING)

    circuit = nl.circuit.build(
        rule, network, data.x_train, data.y_train, weights, kind="spiking", placement="cells", timing=timing
    )
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
    options.out.parent.mkdir(parents=True, exist_ok=True)
    settled = exact.signals(given)["learn"]["error_2"][0].numpy()
    print(f"figure: {draw(circuit, apical, settled, changes, rate, settle, options.out)}")
    found = nl.compare.angle(changes, rate)
    if not found <= claim:
        print(f"the claim fails: {found:.1f} degrees to tensor.rate, not {claim:g}", file=sys.stderr)
        return 1
    return 0


def monitor(circuit):
    """A Brian2 monitor of the apical compartments of layer 2, of the first sample's copy."""
    from brian2 import StateMonitor, ms

    cells = circuit.objects["layer2_rate"]
    found = StateMonitor(cells, "apical_error", record=list(range(SIZES[2])), dt=2 * ms, name="apical")
    circuit.network.add(found)
    return found


def draw(circuit, apical, settled, changes, rate, settle: float, path: Path) -> Path:
    with figures.style():
        figure, axes = figures.new(1, 3, 12.0, 4.4)
        axes[0].get_gridspec().set_width_ratios([1.5, 1.15, 1.0])
        _raster(axes[0], circuit, settle)
        _apical(axes[1], apical, settled, settle)
        _weights(axes[2], changes, rate)
        return figures.save(figure, path)


def _raster(axis, circuit, settle: float) -> None:
    """Spikes of the first sample's copy, population above population, in the order in which signals travel."""
    step, bottom, places = circuit.plan.dt, 0.0, []
    for name, words in POPULATIONS.items():
        k = next(n for n, group in enumerate(circuit.plan.groups) if group.name == name)
        train = circuit.spikes()[f"{name.split('_')[1]}_{k}"][:, 0]
        for sign, colour in ((1, ON), (-1, OFF)):
            at, cell = np.nonzero(train == sign)
            axis.plot(at * step, bottom + cell, "|", color=colour, ms=3.4, mew=0.7)
        places.append((bottom + (train.shape[1] - 1) / 2, words))
        bottom += train.shape[1] + 2
    axis.set_yticks([place for place, _ in places], [words for _, words in places], fontsize=8)
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)
    axis.set(xlabel="time (s)", ylim=(-1.5, bottom + 0.5), xlim=(0, len(train) * step))
    _window(axis, settle, "window")
    for place, words, colour in ((0.865, "error cells: ON", ON), (1.0, "and OFF", OFF)):
        axis.text(place, 1.02, words, transform=axis.transAxes, fontsize=8, color=colour, ha="right")
    axis.set_title("Spikes, first sample")


def _apical(axis, apical, settled, settle: float) -> None:
    """The compartment in which the error of a unit arrives as spikes, and the value to which it would settle."""
    order = np.argsort(settled)
    for k, colour in zip(order[[0, len(order) // 2, -1]], figures.COLOURS[1:], strict=False):
        axis.plot(np.asarray(apical.t_), np.asarray(apical.apical_error)[k], color=colour, lw=1)
        axis.axhline(settled[k], color=colour, ls="--", lw=1)
    axis.set(xlabel="time (s)", ylabel="current of the apical compartment", xlim=(0, apical.t_[-1]))
    axis.text(0.99, 0.01, "dashed: settled error, tensor.rate", transform=axis.transAxes, ha="right", fontsize=8,
              color="#808080")
    axis.set_title("Apical error, three cells of layer 2")
    _window(axis, settle)


def _weights(axis, changes, rate) -> None:
    """Each synapse once: what Brian2 added to it, against the settled algebra."""
    names = [name for name in changes if name.startswith("W")]
    for name, colour in zip(names, figures.COLOURS[1:], strict=False):
        angle = nl.compare.angle(changes[name], rate[name])
        axis.plot(rate[name].ravel(), changes[name].ravel(), "o", ms=3.2, mew=0, color=colour, alpha=0.8,
                  label=f"{name}: {angle:.1f}°")
    most = 1.08 * max(np.abs(values[name]).max() for values in (changes, rate) for name in names)
    axis.plot([-most, most], [-most, most], color="#b5b5b5", lw=1, zorder=0)
    axis.set(xlim=(-most, most), ylim=(-most, most), xlabel="tensor.rate", ylabel="Brian2's own w, after minus before")
    axis.set_title("Weight changes, all synapses")
    axis.legend(loc="upper left", handletextpad=0.1)


def _window(axis, settle: float, words: str = "") -> None:
    axis.axvspan(settle, axis.get_xlim()[1], color="#f2f2f2", zorder=-1, lw=0)
    if words:
        axis.text(settle, 0.995, f" {words}", transform=axis.get_xaxis_transform(), fontsize=8, color="#808080", va="top")


if __name__ == "__main__":
    sys.exit(main())
