"""What can be known of a circuit before it runs: whether it is stable, whether dt is fine enough, what its cells are asked for."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from neurolearn.circuit.biology.delays import delay_of
from neurolearn.circuit.guards.findings import Finding, samples_of
from neurolearn.draws import codes
from neurolearn.program import Program
from neurolearn.timing import STEPS, Timing

Arrays = Mapping[str, np.ndarray]


def faults(
    program: Program, weights: Arrays, given: Arrays, timing: Timing, kind: str, delays: Mapping[str, float] | None = None
) -> list[Finding]:
    """Everything at once; program: before it is placed. kind: "rate" or "spiking". delays: of ``Biology``, in seconds."""
    found = [*coarse(program, timing, kind), *unstable(program, weights, given, timing, delays)]
    return found + (too_fast(program, weights, given, timing) if kind == "spiking" else [])


def time_constants(program: Program, timing: Timing, kind: str) -> dict[str, float]:
    """{what: seconds} of everything that dt has to resolve."""
    found = {c.key: timing.tau_of(c.key) for cell in program.cells for c in cell.compartments}
    found |= {name: multiple * timing.tau for name, multiple in program.times.items()}
    if kind == "spiking":
        for code in codes(program, timing):
            if code.membrane is not None:
                found[f"the membrane that sends {code.signal}"] = code.membrane.tau_m
            else:
                found["the membrane of coding cells"] = timing.membrane[0]
    return found


def coarse(program: Program, timing: Timing, kind: str) -> list[Finding]:
    """Time constants that are shorter than two steps."""
    return [
        Finding(
            "step", "", name, timing.dt, tau / STEPS,
            f"dt = {timing.dt:g} s is too coarse for {name}, which has a time constant of {tau:g} s",
            f"take dt at most {tau / STEPS:g} s, or make {name} slower",
        )
        for name, tau in time_constants(program, timing, kind).items()
        if timing.dt > tau / STEPS * (1 + 1e-9)
    ]  # fmt: skip


def unstable(
    program: Program, weights: Arrays, given: Arrays, timing: Timing, delays: Mapping[str, float] | None = None
) -> list[Finding]:
    """Phases with a mode that grows, or that grows under steps of dt or with delays only; at the settled state of the first two
    samples.
    """
    from neurolearn import delayed
    from neurolearn.timescales import timescales

    taus = {c.key: timing.tau_of(c.key) / timing.tau for cell in program.cells for c in cell.compartments}
    modes = timescales(program, weights, given, taus)
    late = {key: delay_of(delays, key) / timing.tau for key in taus} if delays else {}
    found = []
    for mode in modes:
        if mode.abscissa >= 0:
            found.append(Finding(
                "stability", "", mode.phase, mode.abscissa, 0.0,
                f"the circuit is unstable in phase {mode.phase!r}: a mode grows by {mode.abscissa:+.3g} per synaptic time constant",
                "make the slow variable of the loop slower, weaken the feedback weights or raise the leak",
            ))  # fmt: skip
        elif mode.decay(timing.dt / timing.tau) <= 0:
            limit = 2 * timing.tau / np.abs(mode.eigenvalues).max()
            found.append(Finding(
                "step", "", mode.phase, timing.dt, float(limit),
                f"dt = {timing.dt:g} s is too coarse for the fastest mode of phase {mode.phase!r}",
                f"take dt below {limit:.2g} s, or a longer tau",
            ))  # fmt: skip
    for phase, count in delayed.phases(program, modes, taus, late).items() if any(late.values()) else ():
        found.append(Finding(
            "stability", "", phase, count, 0.0,
            f"the circuit is stable without delays and unstable with them, in phase {phase!r}: {count} modes grow",
            "shorten the delays of the loop, make its slow variable slower or weaken the feedback weights",
        ))  # fmt: skip
    return found


def too_fast(program: Program, weights: Arrays, given: Arrays, timing: Timing) -> list[Finding]:
    """Signals whose settled value asks a cell for more than one spike in a step."""
    from neurolearn.timescales import peaks

    values, found = peaks(program, weights, given), []
    for code in codes(program, timing):
        hertz = values[f"{code.signal}_{code.cell}"] * code.unit_rate
        if hertz.max(initial=0.0) > 1 / timing.dt:
            found.append(Finding(
                "rates", program.cells[code.cell].title, code.signal, float(hertz.max()), 1 / timing.dt,
                f"{code.signal} of {program.cells[code.cell].title} asks its cells for {hertz.max():.4g} Hz, and with "
                f"dt = {timing.dt:g} s they can send {1 / timing.dt:g} Hz",
                f"lower its entry in unit_rates below {code.unit_rate / hertz.max() / timing.dt:.3g} Hz, or take a smaller dt",
                samples_of(hertz > 1 / timing.dt),
            ))  # fmt: skip
    return found
