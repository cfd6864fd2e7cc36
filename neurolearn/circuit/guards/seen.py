"""Guards of a circuit: it is looked at while it runs and when it has run, and every fault that it really has is named.

A circuit that is unstable, saturated or silent still gives a weight change: bounded, plausible and wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from neurolearn.circuit.guards.findings import NUMBERS, CircuitWarning, Finding, Guards, samples_of
from neurolearn.circuit.plan import CircuitPlan, GroupPlan
from neurolearn.draws import SATURATED
from neurolearn.program import Cell, Program

if TYPE_CHECKING:
    from neurolearn.circuit.built import Circuit

__all__ = ["NUMBERS", "CircuitWarning", "Finding", "Guards", "run"]

Read = Callable[[GroupPlan, str], np.ndarray]
SLACK = "lower its entry in unit_rates, or take a smaller dt"


def run(circuit: Circuit, guards: Guards, **options) -> list[Finding]:
    """Simulate what is left of a presentation; options: of ``Network.run``. The findings, once they were judged."""
    from brian2 import second

    plan, read = circuit.plan, _reader(circuit)
    spiking = not any(equation.startswith("left_") for group in plan.groups for equation in group.equations)
    found, begun = [], circuit.network.t
    if spiking and guards.wants("silence", "drift") and begun / second == 0:
        found += _in_windows(circuit, guards, read, options)
    circuit.network.run(circuit.duration - (circuit.network.t - begun), namespace={}, **options)
    found += not_finite(circuit.program, plan, read)
    found += saturated(plan, read)
    if not spiking and guards.wants("unsettled"):
        found += unsettled(circuit.program, plan, read, guards.residual)
    return guards.judge(found)


# -- what is wrong in the end ------------------------------------------------------------------------------------------


def not_finite(program: Program, plan: CircuitPlan, read: Read) -> list[Finding]:
    """Signals with values that are not numbers."""
    found = []
    for cell, group in _pairs(program, plan):
        for signal in cell.signals:
            wrong = ~np.isfinite(read(group, signal.name))
            if wrong.any():
                found.append(Finding(
                    "nan", group.name, signal.name, float(read(group, signal.name)[wrong][0]), np.inf,
                    f"{signal.name} of {group.name} is not finite",
                    f"the circuit is unstable or dt ({plan.dt} s) is too coarse, or it was given weights that are not finite",
                    samples_of(wrong),
                ))  # fmt: skip
    return found


def saturated(plan: CircuitPlan, read: Read) -> list[Finding]:
    """Coding cells that still owe many spikes: they were asked for more than one a step."""
    found = {}
    for k, group in enumerate(plan.groups):
        for name in (n for n in group.values if re.fullmatch("v_.+_(on|off)", n)):
            signal, owed = name[2:].rsplit("_", 1)[0], read(group, name) / read(group, "v_th")
            if owed.max(initial=0.0) < SATURATED:
                continue
            hertz, samples = plan.namespace[f"unit_rate_{signal}_{k}"][0], samples_of(owed >= SATURATED)
            before = found.get((group.name, signal))
            found[group.name, signal] = Finding(
                "saturation", group.name, signal, max(float(owed.max()), before.value if before else 0.0), SATURATED,
                f"signal {signal!r} of {group.name} is larger than its cells can send (one spike a step, {hertz:g} Hz per unit)",
                SLACK, tuple(sorted({*samples, *(before.samples if before else ())})),
            )  # fmt: skip
    return [*found.values()]


def unsettled(program: Program, plan: CircuitPlan, read: Read, limit: float) -> list[Finding]:
    """Currents of a rate circuit that were still on their way when a phase was read."""
    every = [(group, c.name) for cell, group in _pairs(program, plan) for c in cell.compartments]
    scale = max((np.abs(read(group, name)).max() for group, name in every), default=0.0) or 1e-300
    found = []
    for group, name in every:
        found += late(group.name, name, read(group, f"left_{name}") / scale, limit)
    return found


def late(population: str, current: str, left: np.ndarray, limit: float, first: int = 0) -> list[Finding]:
    """The finding that a current was ``left`` (samples, units) of the largest away from its input; sample 0 is ``first``."""
    if not left.max(initial=0.0) > limit:
        return []
    return [Finding(
        "unsettled", population, current, float(left.max()), limit,
        f"the current {current} of {population} was {left.max():.2g} of the largest current away from its input when a phase was read",
        "let the phases settle for longer (Timing.settle), or speed up the slow variable of the loop",
        tuple(first + n for n in samples_of(left > limit)),
    )]  # fmt: skip


# -- what is wrong within the windows ----------------------------------------------------------------------------------


def _in_windows(circuit: Circuit, guards: Guards, read: Read, options: Mapping) -> list[Finding]:
    """Simulate up to the last read, with a look at the end of every window (and, for drift, in its middle)."""
    from brian2 import second

    plan, program = circuit.plan, circuit.program
    per_phase, step = round(plan.period / plan.dt) * plan.ticks // len(program.phases), round(plan.period / plan.dt)
    found, before = {}, {}
    now = 0

    def to(steps: int) -> None:
        nonlocal now
        circuit.network.run((steps - now) * plan.dt * second, namespace={}, **options)
        now = steps

    for n, phase in enumerate(program.phases):
        end = (n + 1) * per_phase
        half = {}
        if guards.wants("drift"):
            to(end - step + step // 2)
            half = {key: read(*key_of).copy() for key, key_of in window_means(plan)}
        to(end)
        for finding in _silent(circuit, guards, read, phase, before):
            found.setdefault((finding.guard, finding.population, finding.signal), finding)
        for finding in _drifting(plan, guards, read, phase, half, (step // 2) / step):
            found.setdefault((finding.guard, finding.population, finding.signal), finding)
    for finding in dead(program, plan, read):
        found.setdefault((finding.guard, finding.population, finding.signal), finding)
    return [*found.values()]


def _silent(circuit: Circuit, guards: Guards, read: Read, phase: str, before: dict) -> Iterator[Finding]:
    """Populations that sent nothing in this phase of what is in their cells now."""
    plan = circuit.plan
    for k, (cell, group) in enumerate(_pairs(circuit.program, plan)):
        for signal in (s for s in cell.sent if _events(group, s)):
            count = _spikes(group, signal, read).sum(1)
            fired, before[group.name, signal] = count - before.get((group.name, signal), 0.0), count
            hertz = plan.namespace[f"unit_rate_{signal}_{k}"][0]
            value = read(group, signal)
            sent = np.abs(value) if len(_events(group, signal)) > 1 else np.maximum(value, 0.0)  # one cell: of one sign
            worth = sent.max(1) * hertz * plan.period
            wrong = (fired == 0) & (worth >= guards.spikes)
            if wrong.any():
                yield Finding(
                    "silence", group.name, signal, float(worth[wrong].max()), guards.spikes,
                    f"{group.name} sent no spike of {signal!r} in phase {phase!r}, which was worth {worth[wrong].max():.3g} in "
                    "the window",
                    "lower the thresholds or lengthen the membrane of its cells (Timing.membrane), or raise its entry in unit_rates",
                    tuple(int(s) for s in np.flatnonzero(wrong)),
                )  # fmt: skip


def _drifting(plan: CircuitPlan, guards: Guards, read: Read, phase: str, half: Mapping, at: float) -> Iterator[Finding]:
    """Window means that differ between the two halves of the window."""
    for key, (group, name) in window_means(plan):
        if key not in half:
            continue
        yield from moving(key, phase, half[key], read(group, name), at, guards.halves)


def moving(key: tuple[str, str], phase: str, half: np.ndarray, whole: np.ndarray, at: float, limit: float, first: int = 0):
    """The finding that a mean, of (population, "mean_signal"), differs between the parts of its window before and after ``at``.

    half, whole: (samples, units), the mean as it was there and in the end. Sample 0 is ``first``.
    """
    moved = np.abs((whole - half) / (1 - at) - half / at) / (np.abs(whole).max(initial=0.0) or 1e-300)
    signal = key[1].removeprefix("mean_")
    if moved.max(initial=0.0) > limit:
        yield Finding(
            "drift", key[0], signal, float(moved.max()), limit,
            f"the mean of {signal!r} of {key[0]} moved by {moved.max():.2g} of the largest from the first half of the "
            f"window to the second, in phase {phase!r}",
            "let the phases settle for longer (Timing.settle), or take a longer window if it is only the noise of few spikes",
            tuple(first + n for n in samples_of(moved > limit)),
        )  # fmt: skip


def dead(program: Program, plan: CircuitPlan, read: Read) -> list[Finding]:
    """Hidden layers of which no cell has fired so far."""
    return [
        Finding(
            "silence", group.name, "rate", 0.0, 1.0,
            f"no cell of {group.name} ({cell.kind} layer {cell.layer}) has fired, for any sample",
            "its units are below threshold: raise the biases, the weights or the input, or take another activation",
        )
        for cell, group in _hidden(program, plan)
        if not _spikes(group, "rate", read).any()
    ]  # fmt: skip


# -- reading -----------------------------------------------------------------------------------------------------------


def _reader(circuit: Circuit) -> Read:
    def read(group: GroupPlan, name: str) -> np.ndarray:
        values = np.asarray(getattr(circuit.objects[group.name], name)[:], float)  # one number, if it is a constant
        return np.broadcast_to(values, (group.size,)).reshape(circuit.plan.copies, -1)

    return read


def _pairs(program: Program, plan: CircuitPlan) -> Iterator[tuple[Cell, GroupPlan]]:
    """Every cell of the program with its group."""
    groups = {group.name: group for group in plan.groups}
    yield from ((cell, groups[cell.title]) for cell in program.cells)


def _hidden(program: Program, plan: CircuitPlan) -> Iterator[tuple[Cell, GroupPlan]]:
    """Hidden populations that send their rate in spikes."""
    for cell, group in _pairs(program, plan):
        if cell.kind == "hidden" and "rate" in cell.sent and _events(group, "rate"):
            yield cell, group


def _events(group: GroupPlan, signal: str) -> list[str]:
    return [event for event in group.events if event.rsplit("_", 1)[0] == signal]


def _spikes(group: GroupPlan, signal: str, read: Read) -> np.ndarray:
    """Spikes so far: (samples, units)."""
    return sum(read(group, f"spikes_{event}") for event in _events(group, signal))


def window_means(plan: CircuitPlan) -> Iterator[tuple[tuple[str, str], tuple[GroupPlan, str]]]:
    """Window means of all groups: (key, how to read it)."""
    for group in plan.groups:
        for equation in group.equations:
            if found := re.match(r"d(mean_\w+)/dt", equation):
                yield (group.name, found[1]), (group, found[1])
