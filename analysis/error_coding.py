"""How well does an error travel as spikes, and what does each way of sending it cost?

A signed error crosses a pathway in each coding of ``neurolearn.timing.CODINGS``, sent by exact integrators, by the same with
irregular (Poisson) spikes, and by leaky cells of 20 ms. First a constant signal through one synapse: what is decoded, how soon,
with what noise. Then feedback alignment in which only the error is sent by spikes (rates are graded, so that whatever is lost
is lost by the coding): the angle that the change of the two hidden layers makes with tensor.rate's, against the spikes that the
error cells spent. An angle is that of one presentation, its median over draws of the initial potentials; what of it is
systematic (the cosine corrected for noise, ``neurolearn.compare.corrected_cosine``) stands beside it. Exits with 1 if exact
cells lose or shift a signal, if the dead zone of leaky pairs is not that of their threshold, if one leaky cell with a base rate
has one, or if longer windows do not help exact cells that keep no running mean. 2 minutes of one core.

    python analysis/error_coding.py
    python analysis/error_coding.py --json out/error_coding.json
"""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

import neurolearn as nl
from neurolearn import circuit, claims, compare, figures
from neurolearn.changes import fit_rates, prepare
from neurolearn.circuit.biology import Biology
from neurolearn.circuit.coding.transfer import Transfer, transfer_curve
from neurolearn.cli.output import Output
from neurolearn.edges import Setting
from neurolearn.timing import CODINGS, ONE_CELL, Baseline, Timing

SPIKING = tuple(coding for coding in CODINGS if coding != "graded")
LEAK = 20e-3  # membrane of the leaky cells (s); below 1/LEAK = 50 Hz of drive they are silent
CELLS = {"exact": (1e6, 0.0), "irregular": (1e6, 0.0), "leaky": (LEAK, 0.0)}  # membrane, leak potential
IRREGULAR = Biology(irregularity=1.0)
STEP = {"exact": 1e-3, "irregular": 1e-3, "leaky": 5e-4}  # s; an interval of a leaky cell locks to a coarse step
UNIT, BASE = 200.0, 200.0  # spikes/s of a signal of 1, and of none where one cell sends it
SETTLE, WINDOW = 1.0, 0.5  # s, of the transfer curves
SIZES = (0.0133, 0.047, 0.103, 0.153, 0.197, 0.227, 0.247, 0.267, 0.303, 0.397, 0.517, 0.703, 0.897, 1.103, 1.297)
TIMES = (0.5, 2.0, 20.0)  # s, of the running mean of ``baseline``
DRAWS, REPEATS = 96, 8  # of initial potentials: for a transfer, and for a change
WINDOWS = (0.1, 0.2, 0.4, 0.8)  # s, of feedback alignment; it settles for two windows
FILTER = 40e-3  # s, of the pathways that carry errors
SETTING = Setting((12, 10, 8, 4), "tanh", seed=1, batch=4)

KINDS = {"exact": "exact integrators", "irregular": "irregular spikes", "leaky": f"leaky cells, {LEAK * 1e3:g} ms"}
NAMES = {"opponent": "opponent pair", "rectified_pair": "rectified pair", "baseline": "one cell, running baseline",
         "two_phase": "one cell, two phases", "graded": "graded (no spikes)"}
LINES = {"opponent": ("#0072b2", "-", "o"), "rectified_pair": ("#56b4e9", "--", "s"), "baseline": ("#d55e00", "-", "D"),
         "two_phase": ("#009e73", "-", "^"), "graded": ("#9a9a9a", "-", "")}


@dataclass(frozen=True)
class Angles:
    """Feedback alignment in one coding and window. degrees: of one presentation, median over draws; systematic: what is left
    without noise is at most that (95 %), None where noise hides it; spikes: of one error unit in one presentation."""

    coding: str
    cells: str
    window: float
    degrees: float
    systematic: float | None
    norm_ratio: float
    spikes: float


def main() -> int:
    asked = claims.parser(__file__, __doc__, "few draws, short windows: do the claims hold at all?")
    asked.add_argument("--json", metavar="FILE|-", help="write everything as JSON")
    options = claims.begin(asked)
    output = Output(options.json)
    draws, repeats, times = (8, 3, TIMES[-1:]) if options.smoke else (DRAWS, REPEATS, TIMES)
    windows = {kind: WINDOWS[0 if kind == "exact" else 1 : 2] if options.smoke else WINDOWS for kind in CELLS}
    transfers = {(kind, coding): transfer(coding, kind, draws) for kind in CELLS for coding in CODINGS}
    slow = {tau: transfer("baseline", "exact", draws, tau) for tau in times}
    angles = [aligned(coding, kind, t, repeats) for kind in CELLS for coding in SPIKING for t in windows[kind]]
    tables(output, transfers, angles)
    output.json({"transfer": [row(kind, found) for (kind, _), found in transfers.items()],
                 "feedback_alignment": [asdict(found) for found in angles]})
    output.print(f"figure: {draw(transfers, slow, angles, options.out)}")
    return claims.verdict(broken(transfers, angles))


# -- measuring ---------------------------------------------------------------------------------------------------------


def transfer(coding: str, kind: str, draws: int, tau: float = 20.0) -> Transfer:
    """A transfer curve; the one cell with a running baseline is asked with time constant ``tau``."""
    dt = STEP[kind]
    timing = Timing(dt=dt, settle=round(SETTLE / dt), window=round(WINDOW / dt), unit_rate=UNIT, membrane=CELLS[kind],
                    baseline=Baseline(BASE, tau))
    sizes = SIZES if kind == "leaky" else [s for s in SIZES if s < 1]
    values = (*(-s for s in reversed(sizes)), 0.0, *sizes)
    if kind == "irregular":
        return transfer_curve(coding, values, timing=timing, draws=draws, biology=IRREGULAR)
    return transfer_curve(coding, values, timing=timing, draws=draws)


def aligned(coding: str, kind: str, window: float, repeats: int) -> Angles:
    """Feedback alignment with its error in a coding, against tensor.rate."""
    rule, network, (x, teacher) = nl.rules.get("feedback_alignment"), SETTING.network(), SETTING.batch_of()
    program, weights, given = prepare(rule, network, x, teacher, seed=SETTING.seed, bias=0.2)
    exact = nl.update(rule, network, x, teacher, weights, seed=SETTING.seed).changes
    dt, codings = STEP[kind], {"rate": "graded", "error": coding}
    timing = Timing(dt=dt, taus={"B": FILTER}, settle=2 * round(window / dt), window=round(window / dt),
                    unit_rate=UNIT, membrane=CELLS[kind], baseline=Baseline(BASE))
    rates = fit_rates(program, weights, given, replace(timing, codings={"error": "baseline"})).unit_rates
    many = {name: np.tile(value, (repeats, 1)) for name, value in given.items()}
    built = circuit.make(program, weights, many, replace(timing, codings=codings, unit_rates=rates),
                         biology=IRREGULAR if kind == "irregular" else None)
    built.run()
    hidden = ("W_1_0", "W_2_1")
    found = [{name: change[k] for name, change in changes(built, hidden, repeats).items()} for k in range(repeats)]
    goal = {name: exact[name] for name in hidden}
    sure = compare.corrected_cosine(found, goal).low
    units = sum(cell.size for cell in program.cells if "error" in cell.sent)
    return Angles(
        coding,
        kind,
        window,
        float(np.median([compare.angle(one, goal) for one in found])),
        None if sure is None else float(np.degrees(np.arccos(np.clip(sure, -1.0, 1.0)))),
        float(np.median([compare.norm_ratio(one, goal) for one in found])),
        built.facts()["spikes"] / (len(x) * repeats * units),
    )


def changes(built, names, repeats: int) -> dict[str, np.ndarray]:
    """{weight: (repeats, to, from)}: what Brian2 did to each copy's ``w``, mean over the samples of a repeat."""
    found = {}
    for name in names:
        plan = next(s for s in built.plan.synapses if s.name == name)
        copy, to, source = plan.units
        total = np.zeros((built.plan.copies, *built.program.weights[name].shape))
        total[copy, to, source] = np.asarray(built.objects[name].w[:]) - plan.w
        found[name] = total.reshape(repeats, -1, *total.shape[1:]).mean(1)
    return found


def core(found: Transfer) -> Transfer:
    """The part of a curve that one cell can send: |s| below 1."""
    inside = np.abs(found.values) < 1
    cut = {name: getattr(found, name)[inside] for name in ("values", "decoded", "read", "spread", "hz")}
    return replace(found, **cut)


def broken(transfers: dict, angles: list[Angles]) -> list[str]:
    """Claims that do not hold."""
    failed, zone = [], 1 / LEAK
    for (kind, coding), whole in transfers.items():
        found = core(whole)
        lag = np.exp(-(SETTLE + WINDOW / 2) / 20.0) if coding == "baseline" else 1.0
        if kind == "exact" and (abs(found.gain - lag) > 0.01 or abs(found.offset) * UNIT * WINDOW > 1 or found.dead_zone):
            failed.append(f"{coding}, exact cells: gain {found.gain:.3f}, offset {found.offset:+.4f}, dead zone "
                          f"{found.dead_zone:.1f} Hz")
        below = UNIT * max(s for s in SIZES if s * UNIT < zone)
        if kind == "leaky" and coding.endswith(("opponent", "pair")) and abs(found.dead_zone - below) > 1e-9:
            failed.append(f"{coding}, leaky cells: dead zone {found.dead_zone:.1f} Hz, predicted {zone:.0f}")
        if kind == "leaky" and coding in ONE_CELL and found.dead_zone:
            failed.append(f"{coding}, leaky cells: dead zone {found.dead_zone:.1f} Hz, predicted none")
    for coding in SPIKING:
        mine = [a.degrees for a in angles if (a.coding, a.cells) == (coding, "exact")]
        if coding != "baseline" and mine[-1] >= mine[0]:  # which loses more of an error the longer it stays
            failed.append(f"{coding}, exact cells: {mine[-1]:.2f} degrees in the longest window, {mine[0]:.2f} in the shortest")
    return failed


# -- showing -----------------------------------------------------------------------------------------------------------


def row(kind: str, found: Transfer) -> dict:
    """The numbers of a transfer curve, |s| < 1, and the whole curve."""
    inner = core(found)
    numbers = {name: getattr(inner, name) for name in ("gain", "offset", "dead_zone", "noise", "latency", "mean_hz")}
    return {"coding": found.coding, "cells": kind, **numbers, "values": found.values.tolist(),
            "decoded": found.decoded.tolist()}


def tables(output: Output, transfers: dict, angles: list[Angles]) -> None:
    output.print(f"a constant signal of -1 to 1, {UNIT:g} spikes/s for 1, read for {WINDOW:g} s")
    output.print(f"{'coding':28}{'cells':11}{'gain':>7}{'offset':>9}{'dead zone':>11}{'noise':>8}{'latency':>9}{'spikes/s':>10}")
    for (kind, coding), whole in transfers.items():
        r = row(kind, whole)
        output.print(f"{NAMES[coding]:28}{kind:11}{r['gain']:7.3f}{r['offset']:+9.4f}{r['dead_zone']:8.1f} Hz{r['noise']:8.4f}"
                     f"{r['latency'] * 1e3:6.0f} ms{r['mean_hz']:10.0f}")
    output.print(f"\nfeedback alignment, {SETTING.network()}: hidden weight change against tensor.rate, only errors are spikes")
    output.print(f"{'coding':28}{'cells':11}{'window':>8}{'angle':>8}{'systematic <':>14}{'norm':>7}{'spikes per error unit':>23}")
    for a in angles:
        sure = "-" if a.systematic is None else f"{a.systematic:.2f}"
        output.print(
                     f"{NAMES[a.coding]:28}{a.cells:11}{a.window:6.3g} s{a.degrees:8.2f}{sure:>14}{a.norm_ratio:7.2f}{a.spikes:23.0f}")


def draw(transfers: dict, slow: dict, angles: list[Angles], path: Path) -> Path:
    with figures.style():
        figure, axes = figures.new(2, 3, 13.0, 8.0)
        _curves(axes[0, 0], transfers)
        _steps(axes[0, 1], transfers, slow)
        _noise(axes[0, 2], transfers)
        for axis, (kind, words) in zip(axes[1], KINDS.items(), strict=True):
            _angles(axis, [a for a in angles if a.cells == kind])
            axis.set_title(f"Learning per spike: {words}")
            axis.set(xscale="log", yscale="log", xlabel="spikes of an error unit in one presentation")
            axis.set_ylim(min(a.degrees for a in angles) / 1.6, max(a.degrees for a in angles) * 1.5)
            axis.set_xlim(min(a.spikes for a in angles) / 1.5, max(a.spikes for a in angles) * 1.5)
            axis.set_yticks([0.1, 1, 10], ["0.1°", "1°", "10°"])
            axis.set_xticks([10, 100], ["10", "100"])
            axis.minorticks_off()
        _remarks(axes[1], angles)
        axes[1, 0].set_ylabel("angle between the circuit's and the\nexact change of the hidden weights")
        handles, labels = axes[1, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=9)
        return figures.save(figure, path)


def _curves(axis, transfers: dict) -> None:
    """What leaky cells make of a signal; exact ones stay on the diagonal."""
    zone, reach = 1 / LEAK, UNIT * SIZES[-1]
    axis.axvspan(-zone, zone, color="#0072b2", alpha=0.08, lw=0)
    axis.plot([-reach, reach], [-reach, reach], color="#c8c8c8", lw=1)
    for coding in SPIKING:
        found = transfers["leaky", coding]
        colour, line, mark = LINES[coding]
        axis.plot(UNIT * found.values, UNIT * found.decoded, line, marker=mark, ms=3, color=colour, lw=1.5)
    axis.set(xlabel="error sent (spikes/s)", ylabel="error decoded (spikes/s)")
    axis.set_title("A constant error, sent by leaky cells")
    axis.text(0, 0.97, f"pairs are silent\nbelow {zone:.0f} spikes/s", color=LINES["opponent"][0], fontsize=8, ha="center",
              va="top", transform=axis.get_xaxis_transform())
    axis.annotate("one cell cannot fire\nless than never", (-1.15 * BASE, -1.03 * BASE), (-0.55 * BASE, -1.25 * BASE), fontsize=8,
                  color=LINES["two_phase"][0], va="center", arrowprops={"arrowstyle": "-", "color": LINES["two_phase"][0]})


def _steps(axis, transfers: dict, slow: dict) -> None:
    """The response to an error that begins at 0 and stays, without the rhythm of single spikes."""

    def line(found: Transfer, colour: str, words: str, below: float = 0.0) -> None:
        span = round(10e-3 / found.dt)
        smooth = np.convolve(found.response, np.ones(span) / span, "valid")
        t = (np.arange(len(smooth)) + span / 2) * found.dt
        axis.plot(t, smooth, color=colour, lw=1.8)
        axis.text(t[-1] * 1.08, smooth[-1] - below, words, color=colour, va="center", fontsize=8)

    line(transfers["exact", "opponent"], LINES["opponent"][0], "pair", -0.05)
    line(transfers["exact", "two_phase"], LINES["two_phase"][0], "two phases", 0.02)
    for tau, found in slow.items():
        line(found, LINES["baseline"][0], f"running mean\nof {tau:g} s", 0.06 if tau == max(slow) else 0.0)
    axis.text(0.2, 0.04, "free part: no\nerror is sent", color=LINES["two_phase"][0], ha="center", fontsize=8)
    axis.set(xscale="log", xlabel="time since the error began (s)", ylabel="decoded / sent", xlim=(4e-3, 6), ylim=(-0.05, 1.15))
    axis.set_xticks([0.01, 0.1, 1], ["0.01", "0.1", "1"])
    axis.set_title("How soon it arrives, how long it lasts")


def _noise(axis, transfers: dict) -> None:
    """Standard deviation of what is decoded from irregular spikes, and of a Poisson count."""
    for coding, base in (("opponent", 0.0), ("rectified_pair", 0.0), ("baseline", 1.0), ("two_phase", 2.0)):
        found, (colour, line, mark) = core(transfers["irregular", coding]), LINES[coding]
        axis.plot(UNIT * found.values, UNIT * found.spread, mark, ms=4, color=colour)
        s = np.linspace(-1, 1, 200)
        fired = np.abs(s) if base == 0 else base + s
        axis.plot(UNIT * s, np.sqrt(UNIT * fired / WINDOW), line, color=colour, lw=1, alpha=0.6)
    axis.set(xlabel="error sent (spikes/s)", ylabel=f"noise of {WINDOW:g} s (spikes/s)", ylim=(0, None))
    axis.set_title("Noise, if cells fire irregularly")
    axis.text(0.02, 0.98, "lines: Poisson counts", fontsize=8, color=figures.GREY, va="top", transform=axis.transAxes)


def _remarks(axes, angles: list[Angles]) -> None:
    """What bends the curves, beside them; and which window a mark is."""
    at = {(a.cells, a.coding, a.window): (a.spikes, a.degrees) for a in angles}
    windows = sorted({a.window for a in angles})
    for window in (windows[0], windows[-1]):
        axes[0].annotate(f"window\n{window:g} s", at["exact", "opponent", window], (-8, -12), textcoords="offset points", fontsize=8,
                         color=LINES["opponent"][0], ha="right")
    remarks = (("exact", "baseline", (4, 12), "an error that stays\nbecomes its own baseline", "right"),
               ("irregular", "two_phase", (6, 14), "spikes of the base rate\nare noise too", "right"),
               ("leaky", "opponent", (0, 12), "lost in the dead zone,\nhowever long the window", "center"))
    for axis, (kind, coding, shift, words, side) in zip(axes, remarks, strict=True):
        axis.annotate(words, at[kind, coding, windows[-1]], shift, textcoords="offset points", fontsize=8,
                      color=LINES[coding][0], ha=side)


def _angles(axis, angles: list[Angles]) -> None:
    for coding in SPIKING:
        colour, line, mark = LINES[coding]
        mine = [a for a in angles if a.coding == coding]
        axis.plot([a.spikes for a in mine], [a.degrees for a in mine], line, marker=mark, color=colour, ms=5, lw=1.5,
                  label=NAMES[coding])


if __name__ == "__main__":
    try:
        sys.exit(main())
    except nl.NeurolearnError as error:
        sys.exit(f"error_coding: {error}")
