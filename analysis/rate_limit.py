"""How fast do spikes become rates?

A rule's weight change is computed from settled rates, and again from spikes that are counted for longer and longer. The
relative error of the second falls as 1/N where the input is regular and as 1/sqrt(N) where it is Poisson; N is the number
of spikes that a signal of 1 sends while the window is open. Along these curves every filter grows with the window, and the
cells are exact integrators (a signal too large for one spike in two steps sends fewer per unit). The operating point of
200 ms has neither: its filters stay at 5 ms, its cells leak, and a signal of 1 is 50 spikes/s. It stands beside the curves,
for one cell per unit and for twenty; it is reported and not judged. Exits with 1 if a fitted slope is not the claimed one.

    python analysis/rate_limit.py
    python analysis/rate_limit.py --rules backprop,docs/examples/two_phases.py:two_phases --steps 2000,4000,8000
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

import neurolearn as nl
from neurolearn import claims, figures, physiology
from neurolearn.changes import fit_rates, prepare
from neurolearn.cli.inputs import rule_of
from neurolearn.edges import Setting, error_curve
from neurolearn.tensor.spiking import SpikingProgram

RULES = ("feedback_alignment", "dtp_learned_top", "dynamic_inversion")
STEPS = (2000, 4000, 8000, 16000, 32000)  # of 1 ms, per phase, as in `neurolearn verify --full`; the last half is read
SETTING = Setting((12, 10, 8, 4), "tanh", seed=1, batch=4)  # the net on which `neurolearn verify` measures
DRAWS = 8  # of initial potentials (and of Poisson spikes); the median over them is taken
SLOPES = {"regular": (-1.0, 0.2), "poisson": (-0.5, 0.15)}  # claim, and by how much the fit may be off
TIMING = nl.Timing()  # of the curves: dt = 1 ms, a signal of 1 sends 200 spikes/s

SMOKE_RULES, SMOKE_STEPS = ("feedback_alignment",), (1000, 2000)


def main() -> int:
    options = arguments()
    curves, living = {}, {}
    for rule in options.rules:
        for encoding in SLOPES:
            curves[rule.name, encoding] = error_curve(rule, SETTING, options.steps, encoding=encoding)
        for cells in (1, physiology.POPULATION):
            living[rule.name, cells] = in_200_ms(rule, cells)
    slopes = {key: slope(options.steps, curve) for key, curve in curves.items()}
    table(options.rules, options.steps, curves, slopes, living)
    print(f"figure: {draw(options.rules, options.steps, curves, slopes, living, options.out)}")
    failed = [key for key, found in slopes.items() if not holds(key[1], found, options.smoke)]
    return claims.verdict(f"{name}, {encoding} input, slope {slopes[name, encoding]:+.2f}" for name, encoding in failed)


def arguments() -> argparse.Namespace:
    parser = claims.parser(__file__, __doc__, "one rule, short times: does the error fall at all?")
    parser.add_argument("--rules", help=f"names, or path/to/file.py:name (default: {','.join(RULES)})")
    parser.add_argument("--steps", help=f"steps per phase (default: {','.join(map(str, STEPS))})")
    options = claims.begin(parser)
    names = options.rules.split(",") if options.rules else SMOKE_RULES if options.smoke else RULES
    steps = options.steps.split(",") if options.steps else SMOKE_STEPS if options.smoke else STEPS
    try:
        options.rules = [rule_of(name, "--rules") for name in names]
        options.steps = tuple(sorted(map(int, steps)))
    except ValueError as error:
        parser.error(str(error))
    if len(options.steps) < 2:
        parser.error("--steps needs two numbers or more; a slope is fitted through them")
    return options


# -- measuring ---------------------------------------------------------------------------------------------------------


def in_200_ms(rule: nl.Rule, cells: int) -> tuple[float, float]:
    """(relative error, mean Hz) at the physiological point: same weights and batch, leaky cells as hidden units."""
    network = physiology.network(SETTING.network())
    program, weights, given = prepare(rule, network, *SETTING.batch_of(), seed=SETTING.seed, bias=0.2)
    exact = nl.update(rule, network, *SETTING.batch_of(), weights, seed=SETTING.seed).changes
    timing = fit_rates(program, weights, given, physiology.timing(SETTING.seed, cells), physiology.CEILING_HZ)
    simulation = SpikingProgram(program, weights, timing, kind="fused")
    drawn = simulation.repeats({name: np.tile(value, (DRAWS, 1)) for name, value in given.items()}, DRAWS)
    matrices = [name for name, change in exact.items() if change.ndim == 2]
    errors = [np.median([nl.compare.relative_error(d[n].numpy(), exact[n]) for d in drawn]) for n in matrices]
    return float(np.exp(np.mean(np.log(errors)))), simulation.activity.mean_hz


def slope(steps: tuple[int, ...], curve: list[float]) -> float:
    """Exponent of the power law through a curve."""
    return float(np.polyfit(np.log(steps), np.log(curve), 1)[0])


def holds(encoding: str, found: float, smoke: bool) -> bool:
    """Whether a slope is the claimed one; in a smoke run, whether the error falls."""
    claimed, tolerance = SLOPES[encoding]
    return found < 0 if smoke else abs(found - claimed) <= tolerance


def spikes(steps, timing: nl.Timing = TIMING) -> np.ndarray:
    """Spikes that a signal of 1 sends in the window, the last half of a phase."""
    return np.asarray(steps) / 2 * timing.dt * timing.unit_rate


# -- showing -----------------------------------------------------------------------------------------------------------


def table(rules, steps, curves, slopes, living) -> None:
    print(f"relative error of the weight change, {SETTING.network()}, median of {DRAWS} draws")
    print(f"{'rule':30} {'input':8}" + "".join(f"{f'T={t}':>9}" for t in steps) + f"{'slope':>8} {'claim':>12}")
    for rule in rules:
        for encoding, (claimed, tolerance) in SLOPES.items():
            errors = "".join(f"{e:9.1e}" for e in curves[rule.name, encoding])
            fitted = f"{slopes[rule.name, encoding]:+8.2f}"
            print(f"{rule.name:30} {encoding:8}{errors}{fitted} {claimed:+.1f} +- {tolerance}")
    print("\nthe same weights in leaky cells, 200 ms per phase")
    print(f"{'rule':30} {'cells per unit':>14} {'error':>8} {'mean Hz':>8}")
    for (name, cells), (error, hz) in living.items():
        print(f"{name:30} {cells:14} {error:8.2f} {hz:8.1f}")


def draw(rules, steps, curves, slopes, living, path: Path) -> Path:
    with figures.style():
        figure, axis = figures.new(1, 1, 7.6, 5.4)
        _curves(axis, rules, steps, curves, slopes, living)
        return figures.save(figure, path)


def _curves(axis, rules, steps, curves, slopes, living) -> None:
    colour = figures.colours([rule.name for rule in rules])
    phase, n = physiology.timing(SETTING.seed), spikes(steps)
    alone = float(spikes(phase.settle + phase.window, phase))
    for encoding, word in (("regular", "−1"), ("poisson", "−1/2")):
        logs = np.log([curves[rule.name, encoding] for rule in rules]).mean(0)
        _reference(axis, n, logs, (alone, n[-1]), SLOPES[encoding][0], f"slope {word}")
        axis.text(n[-1] * 1.2, np.exp(logs[-1]), encoding.replace("p", "P") + "\ninput", va="center")
    for rule in rules:
        c, name = colour[rule.name], rule.name
        fitted = " and ".join(f"{slopes[name, e]:.2f}".replace("-", "−") for e in SLOPES)
        axis.plot(n, curves[name, "regular"], "o-", color=c, ms=5, lw=1.3, label=f"{name.replace('_', ' ')}: {fitted}")
        axis.plot(n, curves[name, "poisson"], "o-", color=c, mfc="white", ms=5, lw=1.3)
    _operating_points(axis, rules, living, alone, colour)
    floor = min(min(curve) for curve in curves.values())
    axis.set(xscale="log", yscale="log", xlim=(alone / 2.6, n[-1] * 2.6), ylim=(floor / 7, 1.3))
    axis.set_xlabel("spikes that a signal of 1 sends in the window")
    axis.set_ylabel("relative error of the weight change")
    axis.set_title("How fast do spikes become rates?", fontsize=11)
    top = axis.secondary_xaxis("top", functions=(lambda n: n / TIMING.unit_rate, lambda s: s * TIMING.unit_rate))
    top.set_xlabel("window along the curves (s)", fontsize=8, color="#808080", loc="right")
    top.tick_params(which="both", colors="#808080", labelsize=8)
    top.spines["top"].set_color("#b5b5b5")
    top.xaxis.set_major_formatter("{x:g}")
    axis.legend(loc="lower left", alignment="left", title_fontsize=8,
                title="fitted slopes, regular (filled) and Poisson (open)")


def _reference(axis, n, logs, ends: tuple[float, float], power: float, words: str) -> None:
    """The power law of a given exponent that is nearest to a curve, from end to end."""
    offset, line = np.mean(logs - power * np.log(n)), np.array(ends)
    axis.plot(line, np.exp(offset) * line**power, "--", color="#b5b5b5", lw=1, zorder=0)
    place = n[0] / 3.2
    axis.annotate(words, (place, np.exp(offset) * place**power), (-4, -5), textcoords="offset points", fontsize=8,
                  color="#808080", ha="right", va="top")


def _operating_points(axis, rules, living, alone: float, colour: dict) -> None:
    """What 200 ms leave: one cell per unit, and a population, in which a signal sends as many times more spikes."""
    many = physiology.POPULATION
    for k, rule in enumerate(rules):
        shift = 1.14 ** (k - (len(rules) - 1) / 2)  # side by side where they would cover each other
        places = np.array([alone, alone * many]) * shift
        errors = [living[rule.name, cells][0] for cells in (1, many)]
        axis.plot(places, errors, "D-", color=colour[rule.name], ms=6, lw=0.8, mec="white", mew=0.5)
    for cells, words in ((1, "200 ms, leaky cells,\n1 per unit"), (many, f"200 ms, leaky cells,\n{many} per unit")):
        top = max(living[rule.name, cells][0] for rule in rules)
        axis.annotate(words, (alone * cells, top), (0, 8), textcoords="offset points", ha="center", fontsize=8)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except nl.NeurolearnError as error:
        sys.exit(f"rate_limit: {error}")
