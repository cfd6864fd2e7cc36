"""Circuits that learn their own feedback, in rates and in spikes: three rules, weights that start independent of W.

The feedback matrices of target propagation and dynamic inversion are learned from noise, in a phase of their own. Here
Brian2 runs that phase again and again: 32 samples side by side, each in a copy of the circuit; the feedback weights that
Brian2 changed are carried to the next presentation, the forward weights stay. What each matrix should become is known:

    difference target propagation   Q   the decoder with the least reconstruction error, by gradient descent in NumPy
    DDTP-linear                     Q   ridge regression of the noise on the answer of the output, from its moments
    dynamic inversion               B   minus the transpose of W

The claim: in the rate circuit and in the spiking circuit every matrix comes within 30 degrees of that from more than 60,
and ends where tensor.rate, the settled algebra, takes it with the same noise: to 0.1 % of the way in rates, to 10 % in
spikes. What is left to go is what 20 presentations leave in tensor.rate just as well. The control is the same circuit
with its plasticity times 0. Exits with 1 if the claim fails.

    python models/circuits/learned_feedback.py    # 1.1 minutes of one core
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

import neurolearn as nl
from neurolearn import claims, panels
from neurolearn.changes import fit_rates, prepare
from neurolearn.tensor.rate import RateProgram

SIZES = (4, 8, 6, 3)  # units; yin-yang has 4 inputs and 3 classes
COPIES = 32  # samples side by side in one presentation
PRESENTATIONS, SMOKE_PRESENTATIONS = 20, 3
SEED = 1  # of a draw in which every feedback matrix starts more than 60 degrees off, which is not the case for all
BIAS = 0.5  # standard deviation of the bias currents; threshold is 1

# Cells are perfect integrators, and the times are as short as the claim allows; none of it was measured in a brain.
STEP = 1e-3  # s, Euler
RATE_TIMING = nl.Timing(dt=STEP, tau=10 * STEP, settle=150)  # 15 synaptic time constants for a chain of four
SPIKE_TIMING = nl.Timing(dt=STEP, tau=8 * STEP, settle=200, window=200, unit_rate=200.0)
CEILING = 500.0  # spikes/s that the largest signal may ask of a cell: one in two steps

START, END = 60.0, 30.0  # degrees
APART = {"rate": 0.001, "spiking": 0.1}  # of the way that tensor.rate goes
SMOKE_TURN = 10.0  # degrees that three presentations turn it at least

KINDS = ("rate", "spiking")


@dataclass(frozen=True)
class Case:
    """One rule: its title, the rate at which its feedback learns, its constants, and what its matrices should become."""

    rule: str
    title: str
    rate: float
    goal: Callable
    constants: tuple[tuple[str, float], ...] = ()
    call: str = ""  # of a pathway that the noise phase does not call; without a call it would not exist

    def alone(self, factor: str = "") -> nl.Rule:
        """The noise phase of the rule, its plasticity times the factor."""
        rule = nl.rules.get(self.rule).with_constants(**dict(self.constants))
        phases = {
            name: replace(
                phase,
                hidden=f"{phase.hidden}\n{self.call}",
                plasticity={w: f"{factor}({text})" for w, text in phase.plasticity.items()},
            )
            for name, phase in rule.phases.items()
        }
        nothing = {"hidden": "", "last": None, "output": "", "plasticity": {}, "limit": None, "own": None}
        return replace(rule, phases=phases, **nothing)


def main() -> int:
    options = claims.begin(claims.parser(__file__, __doc__, "three presentations of the last two, and a looser claim"))
    data = nl.data.load("yin_yang", seed=SEED)
    count = SMOKE_PRESENTATIONS if options.smoke else PRESENTATIONS
    failures, curves = [], {}
    print(f"{'degrees to its goal':24}{'start':>10}{'tensor.rate':>14}{'rate circuit':>20}{'spiking circuit':>20}")
    for case in CASES[1:] if options.smoke else CASES:
        curves[case.title], failed = measure(case, data.x_train, count, options.smoke)
        failures += failed
    print("in brackets: how far from where tensor.rate ends, relative to how far that has gone")
    draw(curves, options.out)
    print(f"figure: {options.out}")
    return claims.verdict(failures)


def measure(case: Case, x: np.ndarray, count: int, smoke: bool) -> tuple[dict, list[str]]:
    """({realisation: {matrix: degrees to its goal after each presentation}}, what fails)."""
    network = nl.mlp(SIZES)
    start = prepare(nl.rules.get(case.rule), network, x[:1], np.zeros((1, SIZES[-1])), seed=SEED, bias=BIAS)[1]
    goal, rule = case.goal(start, x, dict(case.constants)), case.alone()
    ends, curves, failures = {}, {}, []
    for kind in ("tensor", *KINDS):
        now, curves[kind] = dict(start), {name: [nl.compare.angle(start[name], goal[name])] for name in goal}
        for step in range(count):
            now |= presented(rule, case.rate, x[step * COPIES : (step + 1) * COPIES], now, kind, step)
            for name, curve in curves[kind].items():
                curve.append(nl.compare.angle(now[name], goal[name]))
        ends[kind] = now
    for name in goal:
        first, row = curves["tensor"][name][0], ""
        way = np.linalg.norm(ends["tensor"][name] - start[name])
        for kind in KINDS:
            last, apart = curves[kind][name][-1], np.linalg.norm(ends[kind][name] - ends["tensor"][name]) / way
            row += f"{last:11.1f} ({apart:.1e})"
            if not (first > START and last < END) and not (smoke and last < first - SMOKE_TURN):
                failures.append(f"{case.title}, {name}, {kind} circuit: from {first:.0f} to {last:.0f} degrees of its goal")
            if not apart <= APART[kind]:
                failures.append(f"{case.title}, {name}, {kind} circuit: {apart:.1%} of the way from tensor.rate")
        print(f"{f'{case.title}, {name}':24}{first:10.1f}{curves['tensor'][name][-1]:14.1f}{row}")
    for kind in KINDS:
        after = presented(case.alone("0*"), case.rate, x[:COPIES], start, kind, 0)
        if not all(np.allclose(value, start[name], rtol=1e-12, atol=0) for name, value in after.items()):
            failures.append(f"{case.title}, {kind} circuit: the control learns")
    return curves, failures


def presented(rule: nl.Rule, rate: float, x: np.ndarray, now: dict, kind: str, step: int) -> dict[str, np.ndarray]:
    """The feedback after one presentation of so many samples, each with noise of its own."""
    program, weights, given = prepare(rule, nl.mlp(SIZES), x, np.zeros((len(x), SIZES[-1])), now, seed=100 + step)
    if kind == "tensor":
        changes = RateProgram(program, weights).changes(given)
        return {name: now[name] + rate * change.numpy() for name, change in changes.items()}
    timing = RATE_TIMING
    if kind == "spiking":
        timing = fit_rates(program, weights, given, replace(SPIKE_TIMING, seed=step), CEILING)
    circuit = nl.circuit.make(program, weights, given, timing, kind, learning_rate=rate)
    circuit.run()
    found = {name: np.zeros_like(now[name]) for name in program.plastic_weights()}
    for synapses in (s for s in circuit.plan.synapses if s.name in found):  # the mean of Brian2's own w over the copies
        _, to, source = synapses.units
        np.add.at(found[synapses.name], (to, source), np.asarray(circuit.objects[synapses.name].w[:]) / len(x))
    return found


# -- what each matrix should become ------------------------------------------------------------------------------------

SAMPLES, DESCENT = 4000, 5000


def _passed(weights: dict, x: np.ndarray) -> tuple[np.random.Generator, np.ndarray, np.ndarray]:
    """A generator, and the rates of both hidden layers for many samples."""
    rng = np.random.default_rng(SEED)
    x = x[rng.integers(0, len(x), SAMPLES)]
    one = np.tanh(x @ weights["W_1_0"].T + weights["b_1"])
    return rng, one, np.tanh(one @ weights["W_2_1"].T + weights["b_2"])


def decoder(weights: dict, x: np.ndarray, constants: dict) -> dict[str, np.ndarray]:
    """Q of least reconstruction error of noisy rates."""
    rng, one, _ = _passed(weights, x)
    probe = one + constants["sigma"] * rng.standard_normal(one.shape)
    above = np.tanh(probe @ weights["W_2_1"].T + weights["b_2"])
    q = weights["Q_1_2"].copy()
    for _ in range(DESCENT):
        guess = np.tanh(above @ q.T)
        q += 1.5 * ((1 - guess**2) * (probe - guess)).T @ above / SAMPLES
    return {"Q_1_2": q}


def ridge(weights: dict, x: np.ndarray, constants: dict) -> dict[str, np.ndarray]:
    """Regression of the noise in a layer on what the output answers to it, with the rule's decay."""
    rng, one, two = _passed(weights, x)
    sigma, found = constants["sigma"], {}
    for layer, rate in ((1, one), (2, two)):
        noise = sigma * rng.standard_normal(rate.shape)
        shaken = np.tanh((rate + noise) @ weights["W_2_1"].T + weights["b_2"]) if layer == 1 else rate + noise
        answer = (shaken - two) @ weights["W_3_2"].T
        damped = answer.T @ answer / SAMPLES + sigma**2 * constants["decay"] * np.eye(SIZES[-1])
        found[f"Q_{layer}_3"] = np.linalg.solve(damped, answer.T @ noise / SAMPLES).T
    return found


def transpose(weights: dict, x: np.ndarray, constants: dict) -> dict[str, np.ndarray]:
    """Minus the transposes."""
    return {f"B_{k}_{k + 1}": -weights[f"W_{k + 1}_{k}"].T for k in (1, 2)}


# The noise is as large as the rates: of a smaller one a short window would count too few spikes.
CASES = (
    Case("difference_target_propagation", "Difference target propagation", 2.0, decoder, (("sigma", 1.0),)),
    Case("ddtp_linear", "DDTP-linear", 0.3, ridge, (("sigma", 1.0), ("decay", 0.1))),
    Case("dynamic_inversion_learned", "Dynamic inversion", 0.15, transpose, call="heard = B(answer_above)"),
)


def draw(curves: dict, path) -> None:
    with panels.row(path, [1.0] * len(curves), 10.5, 3.6) as axes:
        for axis, (title, found) in zip(axes, curves.items(), strict=True):
            for name, curve in found["tensor"].items():
                layer = int(name.split("_")[1])
                colour, words = panels.LAYERS[layer - 1], f"{name[0]} into layer {layer}"
                axis.plot(curve, color=colour, lw=1)
                axis.plot(found["rate"][name], "s", color=colour, ms=5, mfc="none", mew=0.9)
                axis.plot(found["spiking"][name], "D", color=colour, ms=2.6, mew=0)
                axis.axhline(curve[0], color=colour, lw=0.8, ls=":")
                axis.text(len(curve) - 0.5, curve[0] + 1.5, f"{words}, frozen", color=colour, fontsize=8, ha="right")
            axis.set(ylim=(0, 125), xlabel="presentations", ylabel="angle to what it should become (degrees)")
            axis.set_title(title)
        axes[0].plot([], [], color=panels.WORDS, lw=1, label="settled algebra")
        axes[0].plot([], [], "s", color=panels.WORDS, ms=5, mfc="none", label="rate circuit")
        axes[0].plot([], [], "D", color=panels.WORDS, ms=2.6, mew=0, label="spiking circuit")
        axes[0].legend(loc="upper right", bbox_to_anchor=(1.0, 0.66))


if __name__ == "__main__":
    sys.exit(main())
