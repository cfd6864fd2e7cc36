"""How fast do spikes become rates?

A rule's weight change is computed from settled rates, and again from spikes that are counted for longer and longer. The
relative error of the second falls as 1/N where the input is regular and as 1/sqrt(N) where it is Poisson; N is the number
of spikes that a signal of 1 sends while the window is open. Along these curves every filter grows with the window, and the
cells are exact integrators. The operating point of 200 ms has neither: its filters stay at 5 ms, its cells leak, and a
signal of 1 is 50 spikes/s. It stands beside the curves for one cell per unit and for twenty.

    python analysis/rate_limit.py
    python analysis/rate_limit.py --rules backprop,docs/examples/two_phases.py:two_phases --steps 2000,4000,8000
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

import neurolearn as nl
from neurolearn import figures, physiology
from neurolearn.changes import fit_rates, prepare
from neurolearn.cli.inputs import rule_of
from neurolearn.edges import Setting, error_curve
from neurolearn.tensor.spiking import SpikingProgram

RULES = ("feedback_alignment", "difference_target_propagation", "dynamic_inversion")
STEPS = (2000, 4000, 8000, 16000)  # of 1 ms, per phase; the last half is the window
SETTING = Setting((12, 10, 8, 4), "tanh", seed=1, batch=4)  # the net on which `neurolearn verify` measures
DRAWS = 8  # of initial potentials (and of Poisson spikes); the median over them is taken
SLOPES = {"regular": (-1.0, 0.2), "poisson": (-0.5, 0.15)}  # claim, and by how much the fit may be off
TIMING = nl.Timing()  # of the curves: dt = 1 ms, a signal of 1 sends 200 spikes/s

SMOKE_RULES, SMOKE_STEPS = ("feedback_alignment",), (1000, 2000, 4000)


def main() -> int:
    options = arguments()
    torch.set_num_threads(1)
    curves = {
        (rule.name, encoding): error_curve(rule, SETTING, options.steps, encoding=encoding)
        for rule in options.rules
        for encoding in SLOPES
    }
    living = {(rule.name, cells): in_200_ms(rule, cells) for rule in options.rules for cells in (1, physiology.POPULATION)}
    slopes = {key: slope(options.steps, curve) for key, curve in curves.items()}
    table(options.rules, options.steps, curves, slopes, living)
    print(f"figure: {draw(options.rules, options.steps, curves, slopes, living, options.out)}")
    failed = [key for key, found in slopes.items() if not holds(key[1], found, options.smoke)]
    for name, encoding in failed:
        print(f"the claim fails: {name}, {encoding} input, slope {slopes[name, encoding]:+.2f}", file=sys.stderr)
    return int(bool(failed))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rules", help=f"names, or path/to/file.py:name (default: {','.join(RULES)})")
    parser.add_argument("--steps", help=f"steps per phase (default: {','.join(map(str, STEPS))})")
    parser.add_argument("--out", type=Path, default=Path("rate_limit.png"), help="figure (default: %(default)s)")
    parser.add_argument("--smoke", action="store_true", help="one rule, short times: does the error fall at all?")
    options = parser.parse_args()
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
    figure, axis = figures.new(1, 1, 7.6, 5.6)
    names = list(nl.rules.ALL)
    colour = {r.name: figures.COLOURS[names.index(r.name) if r.name in names else 5 + k] for k, r in enumerate(rules)}
    phase = physiology.timing(SETTING.seed)
    alone = float(spikes(phase.settle + phase.window, phase))
    few, many = spikes([steps[0], steps[-1]])
    for encoding, word in (("regular", "-1"), ("poisson", "-1/2")):
        start = np.exp(np.mean([np.log(curves[r.name, encoding][0]) for r in rules]))
        reference(axis, lambda n, a=start, e=encoding: a * (n / few) ** SLOPES[e][0], (alone, many), f"slope {word}")
        for rule in rules:
            fill = colour[rule.name] if encoding == "regular" else "white"
            fitted = f"{slopes[rule.name, 'regular']:+.2f}, {slopes[rule.name, 'poisson']:+.2f}"
            axis.plot(
                spikes(steps), curves[rule.name, encoding], "o-", color=colour[rule.name], mfc=fill, ms=5, lw=1.2,
                label=f"{rule.name.replace('_', ' ')}: {fitted}" if encoding == "regular" else None,
            )
        end = np.exp(np.mean([np.log(curves[r.name, encoding][-1]) for r in rules]))
        axis.text(many * 1.18, end, f"{encoding.replace('poisson', 'Poisson')}\ninput", va="center", fontsize=9)
    points(axis, rules, living, alone, colour)
    axis.set(
        xscale="log", yscale="log", xlim=(alone / 1.6, many * 2.6), ylim=(curves_floor(curves) / 2.2, 1.5),
        xlabel="spikes that a signal of 1 sends in the window",
        ylabel="relative error of the weight change",
    )
    axis.set_title("How fast do spikes become rates?", pad=14)
    top = axis.secondary_xaxis("top", functions=(lambda n: n / TIMING.unit_rate, lambda s: s * TIMING.unit_rate))
    top.set_xlabel("averaging time along the curves (s)", fontsize=8, color=figures.GREY)
    top.tick_params(colors=figures.GREY, labelsize=8)
    axis.legend(loc="lower left", fontsize=8.5, title="fitted slopes: regular, Poisson", title_fontsize=8.5,
                alignment="left")
    return figures.save(figure, path)
