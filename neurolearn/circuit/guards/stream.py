"""Guards of a circuit that learns from a stream: it is watched while a segment runs, and asked when the segment is over.

What is watched are monitors of the plan, on clocks of the slow read and of half a window: they stand in the printed script
and change nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import gcd
from typing import TYPE_CHECKING

import numpy as np

from neurolearn.circuit.guards import seen
from neurolearn.circuit.guards.findings import Finding, Guards
from neurolearn.circuit.plan import GroupPlan, MonitorPlan

if TYPE_CHECKING:
    from neurolearn.circuit.online import Online, Segment

NAME = "guard_"
Recordings = Mapping[str, np.ndarray]


def watch(online: Online, guards: Guards) -> None:
    """Put into the plan of an online circuit what ``unsettled`` (rates) or ``drift`` (spikes) has to see."""
    plan, wants = online.plan, guards.wants("unsettled") if online.kind == "rate" else guards.wants("drift")
    if not wants:
        return
    if online.kind == "rate":
        for cell, group in zip(online.built.cells, plan.groups, strict=True):
            names = [c.name for c in cell.compartments]
            if names:
                plan.monitors.append(MonitorPlan(f"{NAME}{group.name}", group.name, [*names, *(f"left_{n}" for n in names)]))
        return
    half, window = _half(online), online.timing.window
    clock = half * plan.dt * (1 - 0.5 / (plan.ticks * window))  # earlier than the slow one, as that of a recorder
    for (population, name), _ in seen.window_means(plan):
        plan.monitors.append(MonitorPlan(f"{NAME}{population}_{name}", population, [name], None, clock))


def segment(online: Online, guards: Guards, found: Segment | None = None, first: int = 0, told: set | None = None) -> list[Finding]:
    """The findings after a segment of an online circuit, once they were judged.

    From its state: nan, saturation, and silence, which is asked of the rates of hidden layers whose cells have not fired once
    since the run began. found: the segment, from whose watching (``Online(guards=...)``) come unsettled and drift, sample by
    sample; its first sample has the number ``first``. told: as of ``Guards.judge``.
    """

    def read(group: GroupPlan, name: str) -> np.ndarray:
        value = online.state.get(f"{group.name}.{name}", group.values.get(name, 0.0))
        return np.broadcast_to(np.asarray(value, float), (group.size,)).reshape(1, -1)

    findings = [
        Finding("nan", thing, variable, float("nan"), np.inf, f"{variable} of {thing} is not finite",
                "learning or the circuit diverged; take a smaller learning rate or dt")
        for thing, variable in (name.split(".") for name, value in online.state.items() if not np.isfinite(value).all())
    ]  # fmt: skip
    findings += seen.saturated(online.plan, read)
    findings += seen.dead(online.built, online.plan, read)
    if found is not None:
        count = len(found.outputs)
        findings += unsettled(online, found.recordings, count, guards.residual, first)
        findings += drifting(online, found.recordings, count, guards.halves, first)
    return guards.judge(findings, told)


def unsettled(online: Online, found: Recordings, count: int, limit: float, first: int) -> list[Finding]:
    """Currents of a rate circuit that were still on their way at a read, sample by sample."""
    watched = [(g.name, c.name) for cell, g in zip(online.built.cells, online.plan.groups, strict=True) for c in cell.compartments]
    watched = [(group, name) for group, name in watched if f"{NAME}{group}.left_{name}" in found]
    reads = np.arange(1, count * online.ticks + 1)
    scale = max((np.abs(found[f"{NAME}{group}.{name}"][reads]).max() for group, name in watched), default=0.0) or 1e-300
    findings = []
    for group, name in watched:
        # a record comes before the read; what a sample left is still there at the next one, or in the state at the end
        left = np.concatenate([found[f"{NAME}{group}.left_{name}"], [online.state[f"{group}.left_{name}"]]])
        after = left[np.arange(1, count + 1) * online.ticks + 1]
        findings += seen.late(group, name, after / scale, limit, first)
    return findings


def drifting(online: Online, found: Recordings, count: int, limit: float, first: int) -> list[Finding]:
    """Means of a spiking circuit that differ between the two halves of a window, phase by phase and sample by sample."""
    half, window, findings = _half(online), online.timing.window, []
    each = online.ticks // len(online.built.phases)
    for key, _ in seen.window_means(online.plan):
        if (values := found.get(f"{NAME}{key[0]}_{key[1]}.{key[1]}")) is None:
            continue
        for n, phase in enumerate(online.built.phases):
            ends = (np.arange(count) * online.ticks + (n + 1) * each) * window
            middles = ends - window + window // 2
            parts = values[middles // half], values[ends // half]
            findings += seen.moving(key, phase, *parts, (window // 2) / window, limit, first)
    return list({(f.guard, f.population, f.signal): f for f in reversed(findings)}.values())[::-1]


def _half(online: Online) -> int:
    """Steps of the clock that meets the middle and the end of every window."""
    return gcd(online.timing.window, online.timing.window // 2)
