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
    from neurolearn.circuit.online import Online

__all__ = ["NUMBERS", "CircuitWarning", "Finding", "Guards", "run", "segment"]

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


def segment(online: Online, guards: Guards) -> list[Finding]:
    """The findings in the state of an online circuit at the end of a segment, once they were judged.

    silence is asked of the rates of hidden layers, whose cells have not fired once since the run began.
    """

    def read(group: GroupPlan, name: str) -> np.ndarray:
        value = online.state.get(f"{group.name}.{name}", group.values.get(name, 0.0))
        return np.broadcast_to(np.asarray(value, float), (group.size,)).reshape(1, -1)

    found = [
        Finding("nan", thing, variable, float("nan"), np.inf, f"{variable} of {thing} is not finite",
                "learning or the circuit diverged; take a smaller learning rate or dt")
        for thing, variable in (name.split(".") for name, value in online.state.items() if not np.isfinite(value).all())
    ]  # fmt: skip
    found += saturated(online.plan, read)
    for cell, group in _hidden(online.built, online.plan):
        if not _spikes(group, "rate", read).any():
            found.append(_dead(group, cell))
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
        left = read(group, f"left_{name}") / scale
        if left.max() > limit:
            found.append(Finding(
                "unsettled", group.name, name, float(left.max()), limit,
                f"the current {name} of {group.name} was {left.max():.2g} of the largest current away from its input when a "
                "phase was read",
                "let the phases settle for longer (Timing.settle), or speed up the slow variable of the loop",
                samples_of(left > limit),
            ))  # fmt: skip
    return found


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
            half = {key: read(*key_of).copy() for key, key_of in _means(plan)}
        to(end)
        for finding in _silent(circuit, guards, read, phase, before):
            found.setdefault((finding.guard, finding.population, finding.signal), finding)
        for finding in _drifting(plan, guards, read, phase, half, (step // 2) / step):
            found.setdefault((finding.guard, finding.population, finding.signal), finding)
    for cell, group in _hidden(program, plan):
        if not _spikes(group, "rate", read).any():
            found.setdefault(("silence", group.name, "rate"), _dead(group, cell))
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
    for key, (group, name) in _means(plan):
        if key not in half:
            continue
        whole = read(group, name)
        first, second = half[key] / at, (whole - half[key]) / (1 - at)
        scale = np.abs(whole).max() or 1e-300
        moved = np.abs(second - first) / scale
        if moved.max() > guards.halves:
            signal = name.removeprefix("mean_")
            yield Finding(
                "drift", group.name, signal, float(moved.max()), guards.halves,
                f"the mean of {signal!r} of {group.name} moved by {moved.max():.2g} of the largest from the first half of the "
                f"window to the second, in phase {phase!r}",
                "let the phases settle for longer (Timing.settle), or take a longer window if it is only the noise of few spikes",
                samples_of(moved > guards.halves),
            )  # fmt: skip


def _dead(group: GroupPlan, cell: Cell) -> Finding:
    return Finding(
        "silence", group.name, "rate", 0.0, 1.0,
        f"no cell of {group.name} ({cell.kind} layer {cell.layer}) has fired, for any sample",
        "its units are below threshold: raise the biases, the weights or the input, or take another activation",
    )  # fmt: skip


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


def _means(plan: CircuitPlan) -> Iterator[tuple[tuple[str, str], tuple[GroupPlan, str]]]:
    """Window means of all groups: (key, how to read it)."""
    for group in plan.groups:
        for equation in group.equations:
            if found := re.match(r"d(mean_\w+)/dt", equation):
                yield (group.name, found[1]), (group, found[1])
