"""Linear regression by dynamic inversion, in a rate circuit and in spikes, after Podlaski and Machens 2020, arXiv:2007.05112.

A student of 30-20-10 linear units learns y = T x from one sample after another. To assign credit, a controller in the output
drives the errors of the hidden units through B until their image under the forward weights meets the output's error; what
the hidden units then hold is the damped inverse of W_2 times that error, and every synapse of W_1 takes it times its input.
B is minus the transpose of the first W_2 and stays as it is. As in the paper: sizes, T uniform in +-1 (here divided by
sqrt(10), so that the variance of a target is 1), x normal. Not as in the paper: forward weights start normal with variance
1/fan-in and not within +-0.01, as spikes of so small signals would take longer to count; W_1 and W_2 are learned without
clipping.

The claim: in the rate circuit and in the spiking circuit the error falls far below what a network can reach whose hidden
weights stay as they are (its best linear readout; the circuit with only W_2 learning is the control), and below feedback
alignment in spikes after as many samples. Exits with 1 if the claim fails.

The circuit in spikes is noisier than the rate circuit, and stops falling where its spikes end: an output that sends 100
spikes/s per unit says nothing finer than 1/30 in 0.3 s. What it learns from few spikes is unbiased, because a cell keeps what it
has not yet sent. For every sample the loop settles for 300 ms and is then read for 300 ms; the paper's steps have no
seconds. With the fixed B the loop stays stable because W_1 and W_2 learn together. In the control W_2 alone has to grow; the loop
becomes unstable on the way (its abscissa passes 0 after some 150 samples) and its cells fire at the limit of one spike per
step. Nothing that learns in the control hears them.

    python models/circuits/dynamic_inversion_regression.py    # 2.6 minutes of one core
"""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np

import neurolearn as nl
from neurolearn import claims, panels, teaching
from neurolearn.data import linear

SIZES = (30, 20, 10)  # units, as in the paper
RATE = 0.01  # learning rate per sample, as in the paper's code
SAMPLES, SEEDS, BLOCK = 600, 3, 50
LEAK = 0.1  # of the controller; the paper's code has 0.01 and 0.001, which settle ten and a hundred times more slowly

# Every time is a choice, and none was measured in a brain: a filter that holds some spikes, a loop that has time to settle.
RATES = nl.Timing(dt=1e-3, tau=5e-3, settle=300)  # s, s, steps
SPIKES = nl.Timing(
    dt=1e-3,  # s, Euler
    tau=10e-3,  # s, decay of synaptic currents; the controller's is 4 tau
    settle=300,  # steps before the window opens
    window=300,  # steps, in which signals are averaged and spikes are counted
    unit_rate=100.0,  # spikes/s for a signal of 1
    unit_rates={"control": 40.0},  # the controller's signals are some times larger
)

CLAIM = {"rate circuit": 1e-3, "spiking circuit": 5e-3}  # of the variance of the target, mean of the last block
SMOKE_SAMPLES, SMOKE_CLAIM = 3, {"rate": 5.0, "spiking": 25.0}  # degrees

OTHER, CONTROL = "feedback alignment, spikes", "W_2 only, spikes"
LOOKS = {  # colour and words of each curve
    CONTROL: (panels.CONTROL, "only W$_2$ learns, spikes"),
    OTHER: (panels.PLAIN, OTHER),
    "spiking circuit": (panels.SPIKES, "dynamic inversion, spikes"),
    "rate circuit": (panels.RATES, "dynamic inversion, rate circuit"),
}


def main() -> int:
    options = claims.begin(claims.parser(__file__, __doc__, "three samples; asks what they changed, against the algebra"))
    if options.smoke:
        timings = {"rate": RATES, "spiking": replace(SPIKES, settle=150, window=150)}
        asked = {}
        for kind, timing in timings.items():
            learner = circuit(inversion(), timing, kind, samples=SMOKE_SAMPLES, target="numpy")
            asked[f"{kind} circuit"] = learner, SMOKE_CLAIM[kind]
        return teaching.smoke(asked, linear.load(0), RATE, options.out)

    learners = {
        "rate circuit": circuit(inversion(), RATES, "rate"),
        "spiking circuit": circuit(inversion(), SPIKES),
        OTHER: circuit(nl.rules.get("feedback_alignment"), SPIKES),
    }
    spiking, found, last, floors = learners["spiking circuit"], {}, {}, []
    for name, learner in (*learners.items(), (CONTROL, spiking)):
        rates, runs = (learner.readout_only(RATE) if name == CONTROL else RATE), []
        for seed in range(SEEDS):
            data = linear.load(seed, limit=SAMPLES)
            x, y = data.x_train, data.y_train
            learner.restart(seed)
            floors += [floor(learner.weights["W_1_0"], x, y)] if name == CONTROL else []
            runs.append(panels.blocks(((learner.learn(x, y, rates) - y) ** 2).mean(1), BLOCK) / y.var())
        found[name], last[name] = np.array(runs), np.mean(runs, axis=0)[-1]
        print(f"{name:28}{last[name]:10.4f} +- {panels.error(found[name][:, -1]):.4f}   {learner.activity}")
    best = np.mean(floors)
    print(f"{'best readout of first W_1':28}{best:10.4f} +- {panels.error(floors):.4f}")
    spiking.restart(0)
    data = linear.load(0, limit=1)
    draw(found, best, look(spiking, data.x_train, data.y_train), options.out)
    print(f"figure: {options.out}")
    failures = []
    for name, most in CLAIM.items():
        failures += [] if last[name] <= most else [f"{name}: {last[name]:.4f} of the variance is left, not {most:g}"]
        failures += [] if last[name] < 0.5 * best else [f"{name}: not below the best readout"]
    failures += [] if last["spiking circuit"] < last[OTHER] else ["feedback alignment in spikes got further"]
    return claims.verdict(failures)


def inversion() -> nl.Rule:
    """Dynamic inversion with B = minus the transpose of the first W, fixed from then on."""
    start = nl.Pathway("above", nl.Tied("W", "negated transpose", at_start=True))
    rule = nl.rules.get("dynamic_inversion").with_constants(leak=LEAK)
    return replace(rule, pathways={**rule.pathways, "B": start})


def circuit(rule: nl.Rule, timing: nl.Timing, kind: str = "spiking", **options) -> nl.circuit.Learner:
    return nl.circuit.Learner(rule, nl.mlp(SIZES, "linear"), timing=timing, kind=kind, **options)


def floor(first: np.ndarray, x: np.ndarray, y: np.ndarray) -> float:
    """What the best linear readout of the first hidden weights leaves of the variance of y, over these samples."""
    hidden = x @ first.T
    return float(((y - hidden @ np.linalg.lstsq(hidden, y, rcond=None)[0]) ** 2).mean() / y.var())


def look(learner: nl.circuit.Learner, x, y):
    """One presentation of one sample in the spiking circuit: (circuit, times, delta of the hidden units, their closed form)."""
    from brian2 import StateMonitor, ms

    weights = learner.weights
    found = nl.circuit.build(learner.rule, learner.network, x, y, dict(weights), kind="spiking", timing=SPIKES)
    found.record_spikes()
    watch = StateMonitor(found.objects["layer1"], "delta", record=True, dt=1 * ms, name="watch")
    found.network.add(watch)
    found.run()
    error = (y - x @ weights["W_1_0"].T @ weights["W_2_1"].T)[0]
    w, b = weights["W_2_1"], weights["B_1_2"]
    settled = b @ np.linalg.solve(w @ b - LEAK * np.eye(len(w)), error)
    return found, np.asarray(watch.t_), np.asarray(watch.delta), settled


def draw(found, best: float, shown, path) -> None:
    circuit, times, delta, settled = shown
    with panels.row(path, (1.15, 1.1, 1.1)) as axes:
        words = {
            "input\nrate": ("rate", 0),
            "hidden\nrate": ("rate", 1),
            "output\ncontroller": ("control", 2),
            "hidden\nerror δ": ("delta", 1),
        }
        panels.raster(axes[0], circuit, words, SPIKES, cells=12)
        axes[0].set_title("Spikes, first sample")
        for k, colour in zip(np.argsort(settled)[[0, len(settled) // 2, -1]], panels.UNITS, strict=True):
            axes[1].plot(times, delta[k], color=colour, lw=0.9)
            axes[1].axhline(settled[k], color=colour, ls="--", lw=1.4)
        axes[1].set(xlabel="time (s)", ylabel=f"δ of three hidden units (1 is {SPIKES.unit_rate:g} spikes/s)", xlim=(0, times[-1]))
        axes[1].set_title("The loop inverts W$_2$")
        low, high = axes[1].get_ylim()
        axes[1].set_ylim(low - 0.08 * (high - low), high)
        axes[1].text(0.98, 0.02, "dashed: damped inverse × error", transform=axes[1].transAxes, ha="right", fontsize=8,
                     color=panels.WORDS)  # fmt: skip
        panels.shade(axes[1], [(SPIKES.settle * SPIKES.dt, times[-1])])
        at = BLOCK * (np.arange(SAMPLES // BLOCK) + 0.5)
        for name, (colour, label) in LOOKS.items():
            panels.curves(axes[2], at, found[name], colour, label)
        axes[2].axhline(best, color=panels.CONTROL, ls=":", lw=1)
        axes[2].text(SAMPLES, 0.93 * best, "best readout of the first W$_1$", color=panels.WORDS, fontsize=8, ha="right", va="top")
        axes[2].set(yscale="log", xlabel="samples", ylabel="squared error / variance of the target", xlim=(0, SAMPLES))
        axes[2].set_title("Regression, learned online")
        axes[2].legend(loc="lower left")


if __name__ == "__main__":
    sys.exit(main())
