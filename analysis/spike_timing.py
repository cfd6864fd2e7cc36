r"""What do weights make of the time between two spikes, and what does that cost a rule about rates?

Left and middle, the pairing protocol: a pre and a post cell spike 60 times, one a fixed time after the other. Pair STDP is
its closed form; the triplet rule turns depression into potentiation when the pairs come fast. Right, feedback alignment in
the output layer of a linear net with Poisson input, from the product of a window's mean and count, and from traces that
are multiplied in every step. A pre spike moves the error that its own trace is multiplied with, so traces are off by

    $-w\,x / (U (\tau_{trace} + \tau_{synapse}))$

(a signal of 1 is U spikes/s) however long the window is; dashed, without a free parameter. Exits with 1 if the pair
window is not its closed form, the triplet rule does not turn, or the bias is not this one.

    python analysis/spike_timing.py
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import neurolearn as nl
from neurolearn import claims, figures, stdp, streams
from neurolearn.circuit.plasticity.pairing import pairing

DELAYS = np.arange(-80, 81, 4) * 1e-3
SIDES = np.array([-10e-3, 10e-3])
FREQUENCIES = (1.0, 5.0, 10.0, 20.0, 30.0, 40.0, 50.0)  # pairs a second
STEPS = (500, 1000, 2000, 4000, 8000)  # of 1 ms, open window
TRACES = (20e-3, 80e-3, 320e-3)  # time constants of the presynaptic trace (s)
SYNAPSE, UNIT = 10e-3, 50.0  # the synapse's time constant (s); spikes/s of a signal of 1
NET, SAMPLES = nl.mlp([20, 5], "linear"), 20
FORMS = {"pair": stdp.pair(), "triplet": stdp.triplet()}
WINDOW = "window mean × count"


def main() -> int:
    options = claims.begin(claims.parser(__file__, __doc__, "few pairs, short windows, one trace"))
    pairs = 10 if options.smoke else 60
    rates = (10.0, 50.0) if options.smoke else FREQUENCIES
    steps, traces = (STEPS[:3:2], TRACES[:1]) if options.smoke else (STEPS, TRACES)
    windows = {name: pairing(form, DELAYS, pairs, 5.0 if options.smoke else 1.0) for name, form in FORMS.items()}
    fast = {name: np.array([pairing(form, SIDES, pairs, f) for f in rates]) for name, form in FORMS.items()}
    errors, predicted = bias(steps, traces)
    table(pairs, rates, fast, steps, errors, predicted)
    print(f"figure: {draw(pairs, rates, windows, fast, steps, errors, predicted, options.out)}")
    return claims.verdict(faults(pairs, windows, fast, steps, errors, predicted, options.smoke))


# -- measuring ---------------------------------------------------------------------------------------------------------


def bias(steps, traces) -> tuple[dict, dict[float, float]]:
    """({trace or WINDOW: relative error at each length}, {trace: predicted relative bias}); a batch of Poisson samples."""
    rng = streams.stream(0, "spike timing")
    x, teacher = rng.random((SAMPLES, 20)), rng.normal(size=(SAMPLES, 5))
    weights = {"W_1_0": 0.3 * rng.normal(size=(5, 20)), "b_1": np.zeros(5)}
    rule = nl.rules.get("feedback_alignment")
    exact = nl.update(rule, NET, x, teacher, weights)["W_1_0"]
    errors: dict = {}
    for trace in (None, *traces):
        for length in steps:
            timing = nl.Timing(settle=length, window=length, tau=SYNAPSE, unit_rate=UNIT, encoding="poisson",
                               taus={"trace": trace or SYNAPSE}, seed=length)
            way = "clocked" if trace else "window"
            found = nl.update(rule, NET, x, teacher, weights, realisation="circuit.spiking", timing=timing, plasticity=way)
            errors.setdefault(trace or WINDOW, []).append(nl.compare.relative_error(found["W_1_0"], exact))
    shared = weights["W_1_0"] * x.mean(0)
    size = np.linalg.norm(shared) / np.linalg.norm(exact)
    return errors, {trace: float(size / (UNIT * (trace + SYNAPSE))) for trace in traces}


def closed_form(form: stdp.Form, pairs: int) -> np.ndarray:
    """The pair window for pairs that are too far apart to hear each other."""
    c, r, o = form.constants, form.traces["r"].tau, form.traces["o"].tau
    late, early = np.exp(-np.abs(DELAYS) / r), np.exp(-np.abs(DELAYS) / o)
    return pairs * np.where(DELAYS >= 0, c["A_plus"] * late, -c["A_minus"] * early)


def faults(pairs, windows, fast, steps, errors, predicted, smoke: bool) -> list[str]:
    """The claims that do not hold."""
    found = []
    off = np.abs(windows["pair"] - closed_form(FORMS["pair"], pairs)).max()
    if off > (1e-2 if smoke else 1e-12):  # at 5 Hz the pairs hear each other
        found.append(f"the pair window is {off:.1e} off its closed form")
    if not fast["triplet"][0, 0] < 0 < fast["triplet"][-1, 0] or fast["pair"][-1, 0] > 0:
        found.append("fast pairs of post before pre do not tell the triplet rule from the pair rule")
    power = np.polyfit(np.log(steps), np.log(errors[WINDOW]), 1)[0]
    if abs(power + 0.5) > (0.4 if smoke else 0.15):
        found.append(f"the error of the window falls with T to the power {power:.2f}, not -1/2")
    noise = errors[WINDOW][-1]
    for trace, expected in predicted.items():
        measured = np.sqrt(max(errors[trace][-1] ** 2 - noise**2, 0.0))
        if abs(measured - expected) > 0.1 * expected + noise:
            found.append(f"the bias of a trace of {trace * 1e3:g} ms is {measured:.3f}, not {expected:.3f}")
    return found


# -- showing -----------------------------------------------------------------------------------------------------------


def table(pairs, rates, fast, steps, errors, predicted) -> None:
    print(f"change of a weight after {pairs} pairs, post 10 ms before and after pre")
    print(f"{'pairs/s':>8}" + "".join(f"{name:>22}" for name in fast))
    for k, rate in enumerate(rates):
        print(f"{rate:8g}" + "".join(f"{change[k, 0]:+14.3f}{change[k, 1]:+8.3f}" for change in fast.values()))
    print(f"\nrelative error of the weight change, {NET}, {SAMPLES} samples")
    print(f"{'':24}" + "".join(f"{f'{s / 1e3:g} s':>8}" for s in steps) + f"{'predicted':>11}")
    for key, row in errors.items():
        name = key if key == WINDOW else f"trace of {key * 1e3:g} ms"
        end = f"{predicted[key]:11.3f}" if key in predicted else ""
        print(f"{name:24}" + "".join(f"{e:8.3f}" for e in row) + end)


def draw(pairs, rates, windows, fast, steps, errors, predicted, path: Path) -> Path:
    with figures.style():
        figure, (left, middle, right) = figures.new(1, 3, 11.4, 3.7)
        colour = dict(zip(FORMS, (figures.COLOURS[1], figures.COLOURS[3]), strict=True))
        for name, change in windows.items():
            for part, label in ((DELAYS < 0, None), (DELAYS >= 0, name)):
                left.plot(DELAYS[part] * 1e3, change[part], "o-", ms=2.5, lw=1.2, color=colour[name], label=label)
            for side, style in ((0, "o--"), (1, "o-")):
                words = f"{name}, post {('before', 'after')[side]} pre"
                middle.plot(rates, fast[name][:, side], style, ms=3.5, lw=1.2, color=colour[name], label=words)
        for axis in (left, middle):
            axis.axhline(0, color="#b5b5b5", lw=0.8, zorder=0)
            axis.legend(loc="upper left")
        low, high = middle.get_ylim()
        middle.set_ylim(low, high + 0.35 * (high - low))
        left.set(title="Two spikes", xlabel="post spike after pre spike (ms)", ylabel=f"change of w, {pairs} pairs")
        middle.set(title="Pairs that come fast, 10 ms apart", xlabel="pairs per second", ylabel=f"change of w, {pairs} pairs")
        _errors(right, steps, errors, predicted)
        return figures.save(figure, path)


def _errors(axis, steps, errors, predicted) -> None:
    seconds = np.array(steps) / 1e3
    colour = dict(zip(errors, (figures.COLOURS[k] for k in (0, 4, 5, 7)), strict=False))
    for key, row in errors.items():
        label = key if key == WINDOW else f"trace of {key * 1e3:g} ms"
        axis.plot(seconds, row, "o-", ms=4, lw=1.2, color=colour[key], label=label)
        if key in predicted:
            axis.axhline(predicted[key], ls="--", lw=1, color=colour[key], zorder=0)
    axis.set(xscale="log", yscale="log", title="What traces add to a rule about rates", xlabel="open window (s)",
             ylabel="relative error of the weight change", ylim=(min(errors[WINDOW]) / 10, 1))
    axis.set_xticks(seconds, [f"{s:g}" for s in seconds])
    axis.minorticks_off()
    axis.plot([], [], "--", lw=1, color=figures.GREY, label="predicted bias of that trace")
    axis.legend(loc="lower left")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except nl.NeurolearnError as error:
        sys.exit(f"spike_timing: {error}")
