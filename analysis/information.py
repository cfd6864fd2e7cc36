"""Does a layer learn to tell what it hears?

Three rules climb the information that a layer has about its input, without a teacher; each stands beside rules that leave
out what the derivation says is needed. ``infomax``: five stochastic binary units and twelve patterns, so that I is known
by enumeration; it cannot pass H(x). ``infomax_gaussian``: a noisy linear layer whose weights keep their norm, the power;
the best it can do is water-filling. ``infomax_square``: a mixture of three Laplace sources is to be told apart; what is
shown is how strong the second source still is in a unit, relative to the first. The rules are derived from the objective
(Liu 2021; Bell and Sejnowski 1995; Linsker 1992); ``infomax`` is not Liu's formula. Patterns, mixtures of sources, weights
and draws are new for each seed. Exits with 1 if a rule does not come as far as it should, or no further than a control.

    python analysis/information.py
    python analysis/information.py --seeds 10
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

import neurolearn as nl
from neurolearn import claims, figures, information, streams
from neurolearn.program import lower
from neurolearn.rules import infomax, infomax_gaussian, infomax_square
from neurolearn.tensor.rate import RateProgram

SEEDS = 5
BATCH = 24
UPDATES = 2500  # of a batch each: 60 000 presentations
POINTS = 40  # of a curve, evenly on a logarithmic axis

UNITS, PATTERNS, BOUND = 5, 12, 8.0  # of infomax; weights stay within the bound, since information grows with gain
FAST = {"W": 0.3, "b": 0.3, "L": 0.6, "c": 0.6}
SCALES, POWER = (0.8, 0.6, 0.4, 0.2, 0.1, 0.05), 1.0  # of the inputs' mixture, and |W|^2 of four units
SLOW = {"W": 0.01, "b": 0.1, "Q": 0.1}
SOURCES, STEP = 3, 0.05


def changed(rule: nl.Rule, old: str, new: str) -> nl.Rule:
    """The rule with a piece of its text replaced."""
    plasticity = {name: text.replace(old, new) for name, text in rule.plasticity.items()}
    hidden, output = (text.replace(old, new) for text in (rule.hidden, rule.output))
    return replace(rule, hidden=hidden, output=output, plasticity=plasticity, limit=None)


@dataclass(frozen=True)
class Question:
    """A layer to be trained by ``learn(rule, rates, seed, updates) -> curve``, and what is to come out.

    arms: title -> (rule, rates), the rule itself first. bound: the largest value that there can be, with its name. claim:
    the share of it at which the rule ends, or more; without a bound the value at which it ends, or less.
    """

    title: str
    unit: str
    learn: Callable
    arms: dict[str, tuple[nl.Rule, dict]]
    claim: float
    bound: float = 1.0
    bound_name: str = ""


def main() -> int:
    options = arguments()
    found = {}
    for question in QUESTIONS:
        for title, (rule, rates) in question.arms.items():
            curves = [question.learn(rule, rates, seed, options.updates) for seed in range(options.seeds)]
            found[question.title, title] = np.array(curves)
    table(found, options)
    print(f"figure: {draw(found, options)}")
    return claims.verdict(sentence for question in QUESTIONS for sentence in failures(question, found, options.smoke))


def arguments() -> argparse.Namespace:
    parser = claims.parser(__file__, __doc__, "two seeds, short: does the rule learn at all?")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="how many (default: %(default)s)")
    options = claims.begin(parser)
    if options.seeds < 2:
        parser.error("--seeds needs 2 or more; a standard error is taken over them")
    options.seeds, options.updates = (2, 300) if options.smoke else (options.seeds, UPDATES)
    return options


# -- learning ----------------------------------------------------------------------------------------------------------


def checkpoints(updates: int) -> list[int]:
    """Updates after which a curve is measured, 0 among them."""
    return sorted({0, *np.geomspace(1, updates, POINTS).astype(int).tolist()})


def program_of(rule: nl.Rule, sizes: list[int], seed: int) -> RateProgram:
    program = lower(rule, nl.mlp(sizes))
    weights = streams.initial_weights(program, rule.pathways, seed)
    return RateProgram(program, weights, kind="fused", batch=BATCH)


def curve(updates: int, step: Callable[[int], None], measure: Callable[[], float]) -> list[float]:
    """``measure()`` at the checkpoints of so many steps."""
    at, values = set(checkpoints(updates)), [measure()]
    for k in range(1, updates + 1):
        step(k)
        if k in at:
            values.append(measure())
    return values


def drawn(seed: int, name: str, updates: int, size: int, kind: str = "standard_normal") -> torch.Tensor:
    """(updates + 1, BATCH, size) draws of their own stream."""
    return torch.tensor(getattr(streams.stream(seed, name), kind)(size=(updates + 1, BATCH, size)))


def binary(rule: nl.Rule, rates: dict, seed: int, updates: int) -> list[float]:
    """I(x; y) in nats."""
    x = streams.stream(seed, "patterns").standard_normal((PATTERNS, UNITS))
    rate = program_of(rule, [UNITS, UNITS], seed)
    which = streams.stream(seed, "which").integers(PATTERNS, size=(updates + 1, BATCH))
    data, draws = torch.tensor(x[which]), drawn(seed, "draws", updates, UNITS, "random")
    w, b = rate.weight["W_1_0"], rate.weight["b_1"]

    def step(k: int) -> None:
        rate.step({"data_0": data[k], "uniform_learn_1": draws[k]}, rates)
        w.clamp_(-BOUND, BOUND)
        b.clamp_(-BOUND, BOUND)

    return curve(updates, step, lambda: information.binary_information(w, b, x))


def mixture() -> np.ndarray:
    """How the inputs of the noisy layer come about from independent ones; the same for all seeds, and so is the bound."""
    return streams.stream(0, "inputs").standard_normal((len(SCALES), len(SCALES))) * SCALES


def gaussian(rule: nl.Rule, rates: dict, seed: int, updates: int) -> list[float]:
    """I(x; y) in nats, at constant power."""
    root, units = mixture(), len(SCALES) - 2
    rate = program_of(rule, [len(SCALES), units], seed)
    data = drawn(seed, "data", updates, len(SCALES)) @ torch.tensor(root).T
    noise, w = drawn(seed, "noise", updates, units), rate.weight["W_1_0"]
    w.mul_(np.sqrt(POWER) / w.norm())

    def step(k: int) -> None:
        rate.step({"data_0": data[k], "noise_learn_1": noise[k]}, rates)
        w.mul_(np.sqrt(POWER) / w.norm())

    spread = rule.constants["spread"]
    return curve(updates, step, lambda: information.gaussian_information(w, root @ root.T, spread))


def square(rule: nl.Rule, rates: dict, seed: int, updates: int) -> list[float]:
    """The second largest entry of a row of |W A| over the largest, in the worst row."""
    mixing = streams.stream(seed, "mixing").standard_normal((SOURCES, SOURCES))
    rate = program_of(rule, [SOURCES, SOURCES], seed)
    data = drawn(seed, "sources", updates, SOURCES, "laplace") @ torch.tensor(mixing).T

    def step(k: int) -> None:
        rate.step({"data_0": data[k]}, {"W": STEP / (1 + k / 300)})

    def mixed() -> float:
        parts = np.sort(np.abs(rate.weight["W_1_0"].numpy() @ mixing), axis=1)
        return float((parts[:, -2] / parts[:, -1]).max())

    return curve(updates, step, mixed)


def most_of_gaussian() -> float:
    """What water-filling tells."""
    covariance, spread = mixture() @ mixture().T, infomax_gaussian.constants["spread"]
    return information.water_filling(covariance, spread, POWER, len(SCALES) - 2)[0]


QUESTIONS = (
    Question(
        "infomax",
        "information (nats)",
        binary,
        {
            "prediction learned": (infomax, FAST),
            "prediction not learned": (infomax, {"W": FAST["W"], "b": FAST["b"]}),
            "of the mean rate only": (changed(infomax, "L(fires_here)", "0*L(fires_here)"), FAST),
            "Hebb": (changed(infomax, "surprise_post * fires_pre", "(fires_post - 0.5) * fires_pre"), FAST),
        },
        claim=0.85,
        bound=float(np.log(PATTERNS)),
        bound_name="H(x)",
    ),
    Question(
        "infomax_gaussian",
        "information (nats)",
        gaussian,
        {
            "inhibition learned": (infomax_gaussian, SLOW),
            "not learned: Hebb": (infomax_gaussian, {"W": SLOW["W"], "b": SLOW["b"]}),
        },
        claim=0.98,
        bound=most_of_gaussian(),
        bound_name="water-filling",
    ),
    Question(
        "infomax_square",
        "second source / first",
        square,
        {
            "logistic": (infomax_square, {}),
            "linear": (changed(infomax_square, "(1 - 2*rate_post)*echo", "-drive_post*echo"), {}),
        },
        claim=0.1,
    ),
)


# -- judging and showing -----------------------------------------------------------------------------------------------


def failures(question: Question, found: dict, smoke: bool) -> list[str]:
    """What is not as claimed: where the rule ends, and its lead over each control, by two standard errors over seeds."""
    sign = 1 if question.bound_name else -1
    own, *controls = (found[question.title, title] / question.bound for title in question.arms)
    if smoke:
        return [] if sign * (own[:, -1] - own[:, 0]).mean() > 0 else [f"{question.title} does not learn"]
    wrong = []
    if sign * (own[:, -1].mean() - question.claim) < 0:
        wrong.append(
            f"{question.title} ends at {own[:, -1].mean():.3f} of {question.bound_name or 1}, not at {question.claim}"
        )
    for title, control in zip(list(question.arms)[1:], controls, strict=True):
        lead = sign * (own[:, -1] - control[:, -1])
        if lead.mean() <= 2 * error(lead):
            wrong.append(f"{question.title} leads {title!r} by no more than {lead.mean():.3f} +- {error(lead):.3f}")
    return wrong


def error(values: np.ndarray) -> np.ndarray:
    """Standard error of the mean over seeds."""
    return values.std(0, ddof=1) / np.sqrt(len(values))


def table(found: dict, options) -> None:
    print(f"{options.updates * BATCH} presentations, mean +- standard error over {options.seeds} seeds")
    print(f"{'rule':18}{'':24}{'start':>8}{'end':>18}{'of the bound':>18}")
    for question in QUESTIONS:
        for title in question.arms:
            curves = found[question.title, title]
            ends = (curves[:, -1], curves[:, -1] / question.bound)[: 2 if question.bound_name else 1]
            shown = "".join(f"{v.mean():9.3f} +- {error(v):.3f}" for v in ends)
            print(f"{question.title:18}{title:24}{curves[:, 0].mean():8.3f}{shown}")


def draw(found: dict, options) -> Path:
    with figures.style():
        figure, axes = figures.new(1, len(QUESTIONS), 11.5, 3.8)
        at = np.maximum(0.5, checkpoints(options.updates)) * BATCH  # the start stands half an update in
        for axis, question in zip(axes, QUESTIONS, strict=True):
            for k, title in enumerate(question.arms):
                curves = found[question.title, title]
                mean, se = curves.mean(0), error(curves)
                colour = (figures.COLOURS[3], figures.COLOURS[1], figures.COLOURS[2], figures.GREY)[k]
                axis.plot(at, mean, color=colour, lw=1.8 if k == 0 else 1.2, label=title)
                axis.fill_between(at, mean - se, mean + se, color=colour, alpha=0.2, lw=0)
            if question.bound_name:
                _bound(axis, question)
            axis.set(xscale="log", ylim=(0, None), xlabel="presentations", ylabel=question.unit, title=question.title)
            axis.legend(loc="lower right" if question.bound_name else "lower left")
        figure.suptitle("Does a layer learn to tell what it hears?", fontsize=11, x=0.01, ha="left")
        return figures.save(figure, options.out)


def _bound(axis, question: Question) -> None:
    axis.axhline(question.bound, ls="--", lw=1, color="#6b6b6b", zorder=0)
    place = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points", "va": "top"}
    axis.annotate(question.bound_name, (0, question.bound), (4, -3), fontsize=8, color="#6b6b6b", **place)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except nl.NeurolearnError as problem:
        sys.exit(f"information: {problem}")
