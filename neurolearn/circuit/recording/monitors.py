"""What is written down while a circuit learns: recorders, named as in Brian2 and given to ``Online(monitors=[...])``.

A recorder becomes monitors of the plan, so it stands in the printed script. It reads and changes nothing. Time runs on
over the segments of a run: sample n takes the steps from n S to (n + 1) S, and a record at step m tells what was there just
before it, so that the one at the end of a sample comes before anything is read, cleared or learned.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from neurolearn.circuit.plan import CircuitPlan, EventPlan, GroupPlan, MonitorPlan, SynapsesPlan
from neurolearn.errors import InputError

SIDES = {"on": 1, "off": -1}


@dataclass(frozen=True)
class SpikeMonitor:
    """Every spike of the cells that send ``signal`` of a group: ON (+1) and OFF (-1) cells of opponent pairs.

    record: cells, or None for all. samples: of the run, those that are kept, such as range(0, 1000, 10). name: in the
    recording, if it is not the group's.
    """

    group: str
    signal: str = "rate"
    record: Sequence[int] | None = None
    samples: range | None = None
    name: str = ""


@dataclass(frozen=True)
class PopulationRateMonitor:
    """Spikes per second and cell in bins of ``every`` (a time that divides a sample, or "sample"), ON and OFF cells alike."""

    group: str
    signal: str = "rate"
    every: object = "sample"
    record: Sequence[int] | None = None
    samples: range | None = None
    name: str = ""


@dataclass(frozen=True)
class StateMonitor:
    """Variables of a group or of Synapses (``w``), each ``every`` (None: each step; a time; "sample": at the end of each).

    record: cells or synapses by number, or synapses as (to, from) pairs; None for all. samples, name: as of SpikeMonitor.
    """

    group: str
    variables: str | Sequence[str]
    record: Sequence | None = None
    every: object = None
    samples: range | None = None
    name: str = ""


@dataclass(frozen=True)
class Clocks:
    """Steps of the fast clock: dt (s), steps of a sample, steps of a segment."""

    dt: float
    sample: int
    segment: int

    @property
    def early(self) -> float:
        """By how much the clock of a recorder is shortened, relatively: twice as much as the slow clock.

        Where the clocks meet, a recorder is then never behind the slow clock, nor that behind the fast one, on any target.
        """
        return 0.5 / self.segment

    def steps(self, what: str, every) -> int:
        """Steps between two records. Raises InputError unless they are whole and divide a sample."""
        if every is None or every == "sample":
            return 1 if every is None else self.sample
        seconds = _seconds(what, every)
        steps = round(seconds / self.dt)
        if steps < 1 or abs(steps * self.dt - seconds) > 1e-6 * self.dt:
            raise InputError(f"{what}: every is {seconds:g} s; it must be a multiple of the step of {self.dt:g} s.")
        if self.sample % steps:
            near = min((n for n in range(1, self.sample + 1) if self.sample % n == 0), key=lambda n: abs(n - steps))
            raise InputError(
                f"{what}: every is {seconds:g} s, which does not divide a sample of {self.sample * self.dt:g} s; take "
                f"{near * self.dt:g} s."
            )
        return steps


@dataclass(frozen=True, eq=False)
class Track:
    """One table of a recording. kind: spikes, rates or states; what: the signal or the variable of ``group``; sources: monitors
    of the plan with their signs; index: the cells or synapses, in order; every: steps; ends: of synapses, "to" and "from".
    """

    kind: str
    name: str
    what: str
    group: str
    unit: str
    sources: Mapping[str, int]
    index: np.ndarray
    clocks: Clocks
    every: int = 1
    samples: range | None = None
    ends: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """Of its group in the file."""
        return f"{self.kind}/{self.name}/{self.what}"

    def rows(self, found: Mapping[str, np.ndarray], count: int, first: int) -> dict[str, np.ndarray]:
        """Columns of a segment of ``count`` samples that starts with sample ``first``; t in seconds since the run began.

        spikes: t, i, sign; rates: t (end of the bin), hz; states: t, value (times, index).
        """
        dt, sample = self.clocks.dt, self.clocks.sample
        if self.kind == "states":
            steps = np.arange(1, count * sample // self.every + 1) * self.every
            columns = {"value": found[next(iter(self.sources))][1 : len(steps) + 1]}
        else:
            steps, cells, signs = self._spikes(found, count * sample)
            columns = {"i": cells.astype(np.int32), "sign": signs.astype(np.int8)}
        if self.kind == "rates":
            bins = count * sample // self.every
            counts = np.bincount(np.minimum(steps // self.every, bins - 1), minlength=bins)
            columns = {"hz": counts / (len(self.index) * len(self.sources) * self.every * dt)}
            steps = np.arange(1, bins + 1) * self.every
        # a record belongs to the sample that it ends, a spike to the one that its step begins
        inside = steps - 1 if self.kind != "spikes" else np.minimum(steps, count * sample - 1)
        if self.samples is not None:
            kept = np.isin(first + inside // sample, self.samples)
            steps, columns = steps[kept], {name: column[kept] for name, column in columns.items()}
        return {"t": (first * sample + steps) * dt, **columns}

    def _spikes(self, found: Mapping[str, np.ndarray], last: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(step, cell, sign), in order of time and cell, until the step in which the last sample is read."""
        steps = [np.round(found[f"{name}.t"] / self.clocks.dt).astype(np.int64) for name in self.sources]
        signs = np.repeat(list(self.sources.values()), [len(s) for s in steps])
        steps, cells = np.concatenate(steps), np.concatenate([found[f"{name}.i"] for name in self.sources])
        order = np.lexsort((signs, cells, steps))
        order = order[(steps[order] <= last) & np.isin(cells[order], self.index)]
        return steps[order], cells[order], signs[order]


Recorders = Iterable[SpikeMonitor | StateMonitor | PopulationRateMonitor | MonitorPlan | EventPlan]


def listen(plan: CircuitPlan, recorders: Recorders, sample: int, samples: int) -> list[Track]:
    """Put the monitors of ``recorders`` into the plan of a stream; returns what they will tell.

    sample: steps of a sample; samples: of a segment. Monitors of the plan's own kind go in as they are. Raises InputError
    for a group, signal, variable, cell or time that there is not, and for two tables of one name.
    """
    if not isinstance(recorders, Iterable) or isinstance(recorders, str):
        raise InputError(f"monitors is {recorders!r}; give a list of recorders, such as [SpikeMonitor('layer1')].")
    recorders = list(recorders)
    clocks, tracks = Clocks(plan.dt, sample, sample * samples), []
    for number, recorder in enumerate(recorders):
        if isinstance(recorder, MonitorPlan | EventPlan):
            plan.monitors.append(recorder)
        elif isinstance(recorder, StateMonitor):
            tracks += _states(plan, recorder, clocks, f"recorder_{number}")
        elif isinstance(recorder, SpikeMonitor | PopulationRateMonitor):
            tracks.append(_events(plan, recorder, clocks))
        else:
            raise InputError(
                f"monitors has {recorder!r}; give SpikeMonitor, StateMonitor or PopulationRateMonitor of neurolearn.circuit."
            )
    for recorder in recorders:
        if "/" in (name := getattr(recorder, "name", "")):
            raise InputError(f"name is {name!r}; give the table a name without '/'.")
    paths = [track.path for track in tracks]
    if twice := [path for path in paths if paths.count(path) > 1]:
        raise InputError(f"{twice[0]} is recorded twice; give one of the two recorders a name=... of its own.")
    return tracks


def _events(plan: CircuitPlan, recorder: SpikeMonitor | PopulationRateMonitor, clocks: Clocks) -> Track:
    what = f"{type(recorder).__name__}({recorder.group!r}, {recorder.signal!r})"
    sending = {group.name: group for group in (*plan.groups, *plan.partners) if group.events}
    if not sending:
        raise InputError(f"{what}: no cell of this circuit sends spikes; record states, or build kind='spiking'.")
    if recorder.group not in sending:
        raise InputError(f"{what}: the groups that send spikes are {', '.join(sending)}.")
    group, signal = sending[recorder.group], recorder.signal
    sides = {f"{signal}_{side}": sign for side, sign in SIDES.items() if f"{signal}_{side}" in group.events}
    sides = sides or {event: SIDES.get(event.rpartition("_")[2], 1) for event in group.events if event == signal}
    if not sides:
        raise InputError(f"{what}: what {group.name} sends is {', '.join(_signals(group))}.")
    sources, there = {}, {(m.source, m.event): m.name for m in plan.monitors if isinstance(m, EventPlan)}
    for event, sign in sides.items():
        if (group.name, event) not in there:
            plan.monitors.append(EventPlan(f"recorder_{group.name}_{event}", group.name, event))
            there[group.name, event] = plan.monitors[-1].name
        sources[there[group.name, event]] = sign
    index = _index(what, recorder.record, group.size, "cells")
    kind = "spikes" if isinstance(recorder, SpikeMonitor) else "rates"
    every = 1 if kind == "spikes" else clocks.steps(what, recorder.every)
    name, unit = recorder.name or group.name, "" if kind == "spikes" else "Hz"
    return Track(kind, name, signal, group.name, unit, sources, index, clocks, every, _samples(what, recorder.samples))


def _states(plan: CircuitPlan, recorder: StateMonitor, clocks: Clocks, monitor: str) -> list[Track]:
    wanted = [recorder.variables] if isinstance(recorder.variables, str) else list(recorder.variables)
    what = f"StateMonitor({recorder.group!r}, {recorder.variables!r})"
    things = {thing.name: thing for thing in (*plan.groups, *plan.partners, *plan.synapses)}
    if recorder.group not in things:
        raise InputError(f"{what}: there is no such group; there are {', '.join(things)}.")
    thing = things[recorder.group]
    known, ends = variables(thing), {}
    if not wanted or (unknown := [name for name in wanted if name not in known]):
        which = f"no variable {unknown[0]!r}" if wanted else "nothing to record"
        raise InputError(f"{what}: {which}; {thing.name} has {', '.join(known) or 'nothing that can be recorded'}.")
    if isinstance(thing, SynapsesPlan):
        index = _synapses(what, recorder.record, thing)
        ends = {"to": thing.units[1][index], "from": thing.units[2][index]}
    else:
        index = _index(what, recorder.record, thing.size, "cells")
    every, samples = clocks.steps(what, recorder.every), _samples(what, recorder.samples)
    clock = every * clocks.dt * (1 - clocks.early)
    plan.monitors.append(MonitorPlan(monitor, thing.name, wanted, index, clock))
    name = recorder.name or thing.name
    return [
        Track("states", name, v, thing.name, known[v], {f"{monitor}.{v}": 1}, index, clocks, every, samples, ends)
        for v in wanted
    ]


def variables(thing: GroupPlan | SynapsesPlan) -> dict[str, str]:
    """{variable: unit} of what each cell or synapse has for itself, as its equations name it."""
    found = {}
    for line in thing.equations if isinstance(thing, GroupPlan) else thing.model:
        match = re.match(r"(?:d(\w+)/dt\s*=|(\w+)\s*[=:])", line)
        unit, _, flags = line.split("#")[0].rpartition(":")[2].strip().partition(" ")
        if match and "shared" not in flags and "summed" not in flags:
            found[match[1] or match[2]] = unit
    return found


def _signals(group: GroupPlan) -> list[str]:
    return list(
        dict.fromkeys(event.rsplit("_", 1)[0] if event.endswith(("_on", "_off")) else event for event in group.events)
    )


def _index(what: str, record, size: int, things: str) -> np.ndarray:
    if record is None:
        return np.arange(size)
    index = np.asarray(record)
    if index.ndim != 1 or not len(index) or index.dtype.kind not in "iu":
        raise InputError(
            f"{what}: record is {record!r}; give {things} by number, such as [0, 5], or leave it out for all."
        )
    if (wrong := index[(index < 0) | (index >= size)]).size:
        raise InputError(f"{what}: record has {wrong[0]}; the {things} are 0 to {size - 1}.")
    if len(set(index.tolist())) < len(index):
        raise InputError(f"{what}: record names some of the {things} twice: {record!r}; name each once.")
    return index.astype(np.int64)


def _synapses(what: str, record, thing: SynapsesPlan) -> np.ndarray:
    """Numbers of synapses that are given as such or as (to, from) units, each of which may have several."""
    if record is None or np.ndim(record) != 2 or np.shape(record)[1] != 2:
        return _index(what, record, len(thing.i), "synapses")
    found = []
    for to, source in np.asarray(record).tolist():
        found.append(np.flatnonzero((thing.units[1] == to) & (thing.units[2] == source)))
        if not len(found[-1]):
            raise InputError(
                f"{what}: no synapse goes to {to} from {source}; give (to, from) of one of the {len(thing.i)}."
            )
    return _index(what, np.concatenate(found), len(thing.i), "synapses")


def _samples(what: str, samples) -> range | None:
    if samples is not None and not (isinstance(samples, range) and len(samples) and min(samples) >= 0):
        raise InputError(f"{what}: samples is {samples!r}; give a range of samples of the run, such as range(0, 100).")
    return samples


def _seconds(what: str, every) -> float:
    """A time in seconds; every: seconds or a Brian2 quantity."""
    if hasattr(every, "dim"):
        from brian2 import have_same_dimensions, second

        if not have_same_dimensions(every, second):
            raise InputError(f"{what}: every is {every!r}, which is not a time; give one, such as 5*ms.")
    try:
        return float(np.asarray(every))
    except (TypeError, ValueError):
        raise InputError(
            f"{what}: every is {every!r}; give a time such as 5*ms, 'sample', or nothing for each step."
        ) from None
