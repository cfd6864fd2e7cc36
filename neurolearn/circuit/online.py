r"""A circuit that learns from a stream of samples, segment after segment, inside the simulation.

A sample is held while the circuit settles and its windows are open; at the last read the synapses take

.. math:: w \leftarrow w + \eta\, \Delta w

and the next sample is latched. Nothing else happens between samples: currents, potentials and slow signals go on as they
are (``resets=True`` puts them to rest, for comparison). A run is a chain of segments of K samples, each from t = 0 and each
with a quiet end: no input, no spikes sent, for longer than the longest delay. So the state between two segments is a
dictionary of arrays, the same on every target, and is all that a checkpoint needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from neurolearn import quantity, ties
from neurolearn.circuit import cells, check_options, homes, rate, spiking
from neurolearn.circuit.biology import Biology, crowd
from neurolearn.circuit.engines import engine
from neurolearn.circuit.guards.findings import Guards
from neurolearn.circuit.guards.stream import watch
from neurolearn.circuit.plan import CircuitPlan, MonitorPlan, Stream
from neurolearn.circuit.plasticity import learning
from neurolearn.circuit.recording.monitors import listen
from neurolearn.errors import InputError, SimulationError
from neurolearn.program import Program
from neurolearn.timing import Timing

Rates = float | Mapping[str, float]
OUTPUTS = "monitor_outputs"
RUNAWAY = 1e12  # no signal, potential or weight of a circuit that works is near it


@dataclass(frozen=True, eq=False)
class Segment:
    """What a segment gave. outputs: (samples, outputs), what the output cells said in the first window after each sample
    came (in spikes: ON minus OFF spikes, in units of signal; the mean over the cells of a unit). seconds: simulated. mean_hz,
    max_hz: over all cells (NaN in a rate circuit); hz: {population: (mean, max)}. recordings: {monitor.variable: array}.
    """

    outputs: np.ndarray
    seconds: float
    mean_hz: float
    max_hz: float
    hz: Mapping[str, tuple[float, float]]
    recordings: Mapping[str, np.ndarray] = field(repr=False, default_factory=dict)


class Online:
    """A built circuit, its weights, and the state in which the last segment left it.

    weights: {name: (to, from)}, what has been learned so far. state: {object.variable: array}. plan: the circuit as data.
    guards: what ``circuit.guards.stream.segment`` will be asked after a segment, so that it is watched.
    """

    def __init__(self, program: Program, weights, timing: Timing, kind: str = "spiking", *, placement: str = "unit",
                 samples: int = 100, resets: bool = False, target: str = "numpy", biology: Biology | None = None, cache=None,
                 monitors=(), plasticity="window", guards: Guards | None = None):  # fmt: skip
        if kind not in ("rate", "spiking"):
            raise InputError(f"kind is {kind!r}; choose rate or spiking.")
        if placement not in ("unit", "cells") or (placement == "cells" and kind == "rate"):
            raise InputError(f"placement is {placement!r}; choose unit, or cells for a spiking circuit.")
        check_options(program, timing, biology)
        if not isinstance(samples, int) or samples < 1:
            raise InputError(f"samples is {samples!r}, the length of a segment; give an integer >= 1.")
        self.program, self.timing, self.kind, self.samples = program, timing, kind, samples
        self.weights = ties.complete(program, weights)
        spoken = _speaking(program) if kind == "spiking" else program
        ways = learning.ways(program, plasticity)
        if ways and kind == "rate":
            raise InputError(f"plasticity is {plasticity!r}; a rate circuit has no spikes to learn from: take 'window'.")
        spoken = learning.spoken(spoken, ways)
        names = {f"{name}_{k}": f"{name}_{k}" for k, cell in enumerate(spoken.cells) for name in cell.externals}
        names.setdefault("data_0", "data_0")
        built, values = spoken, self.weights
        if placement == "cells":
            built, names, values = cells.place(spoken, names, self.weights)
        self._placed, self._names = built, names  # of units, whatever their cells are
        if timing.cells > 1:
            if kind == "rate":
                raise InputError(f"cells is {timing.cells}: several cells per unit are of spikes; a rate circuit takes cells = 1.")
            built, _, values = crowd.crowd(built, {}, values, timing.cells)
        sizes = {f"{name}_{k}": cell.size for k, cell in enumerate(built.cells) for name in cell.externals}
        empty = {name: np.zeros((samples, size)) for name, size in sizes.items()}
        circuit, how = (rate.RateCircuit if kind == "rate" else spiking.SpikingCircuit), {}
        if ways:
            circuit, how = learning.LearningCircuit, {"ways": ways}
        self.plan: CircuitPlan = circuit(built, values, empty, timing, stream=Stream(samples, resets), **how).build()
        if biology:
            built = biology.embody(self.plan, built, timing, kind)
        self.built = built
        self._quiet_ends()
        self.output = self._listen()
        steps = round(self.ticks * self.plan.period / self.plan.dt)
        self.tracks = listen(self.plan, monitors, steps, samples)
        if guards:
            watch(self, guards)
        self._homes = homes.homes(built, self.plan, dale=bool(biology and biology.dale))
        self.engine = engine(self.plan, target, cache)
        self.state: dict[str, np.ndarray] = self.engine.start()

    @property
    def ticks(self) -> int:
        """Ticks of the slow clock per sample."""
        return self.plan.ticks // self.samples

    @property
    def seconds_per_sample(self) -> float:
        """Simulated time of a sample, all phases."""
        return self.ticks * round(self.plan.period / self.plan.dt) * self.plan.dt

    @property
    def quiet_seconds(self) -> float:
        """Simulated time at the end of every segment in which nothing is presented: one step, or until delays are over."""
        return max(self.plan.tail * self.plan.period, self.plan.dt)

    # -- running ---------------------------------------------------------------------------------------------------

    def run(self, given: Mapping[str, np.ndarray], rates: Rates = 0.0, taught: bool = True) -> Segment:
        """One segment of at most ``samples`` samples; weights and state go on from the last one.

        given: of ``streams.given`` for these samples. rates: one number, or one per weight ("W_1_0"), pathway ("W"), bias
        ("b") and "*" for all others; 0 freezes. taught: whether the teacher is there; without it the output is its own
        teacher and sees no error. Raises InputError for rates of what does not learn, SimulationError for what is not finite.
        """
        count = len(given["data_0"])
        if not 1 <= count <= self.samples:
            raise InputError(f"a segment has 1 to {self.samples} samples; {count} were given.")
        before = dict(self.state)
        self.state, recordings = self.engine.run({**self.state, **self._orders(count, rates, taught)}, self._timed(given))
        self._rewind()
        self._follow()
        self._finite()
        outputs = recordings.pop(f"{OUTPUTS}.{self.output[1]}")[self._reads(count)] if self.output else np.zeros((count, 0))
        outputs = outputs.reshape(count, -1, self.built.crowd).mean(-1) if self.built.crowd > 1 else outputs
        recordings.pop(f"{OUTPUTS}.t", None)
        seconds = count * self.seconds_per_sample
        hz = self._hz(before, self.samples * self.seconds_per_sample)  # a short segment takes as long as a whole one
        every = np.concatenate([*hz.values()]) if hz else np.array([np.nan])
        rates_of = {name: (float(v.mean()), float(v.max())) for name, v in hz.items()}
        return Segment(outputs, seconds, float(every.mean()), float(every.max()), rates_of, recordings)

    def _rewind(self) -> None:
        """The next segment starts at t = 0: what a synapse remembers as the time of its last spike goes back with the clock."""
        steps = np.ceil((self.plan.ticks * self.plan.period + self.quiet_seconds) / self.plan.dt - 1e-4)
        for key in self.state:
            if key.endswith(".lastupdate"):
                self.state[key] = self.state[key] - steps * self.plan.dt

    def load(self, weights: Mapping[str, np.ndarray], state: Mapping[str, np.ndarray]) -> None:
        """Go on from what ``weights`` and ``state`` of another circuit of the same kind were; no state: as built."""
        if missing := set(self.weights) ^ set(weights):
            raise InputError(f"these weights are of another circuit: {', '.join(sorted(missing)[:3])} do not agree.")
        self.weights, self.state = dict(weights), dict(state) or self.engine.start()

    def close(self) -> None:
        """End the process of a standalone circuit."""
        self.engine.close()

    def _orders(self, count: int, rates: Rates, taught: bool) -> dict[str, np.ndarray]:
        """What is set at the start of a segment: counters, learning rates, and weights before the first segment."""
        orders = {}
        for group in self.plan.groups:
            orders |= {f"{group.name}.tick": -1.0, f"{group.name}.sample": 0.0, f"{group.name}.count": float(count)}
            if "taught" in group.values:
                orders[f"{group.name}.taught"] = float(taught)
        table, values = self._rates(rates), ties.complete(self._placed, self.weights)
        for name, places in self._homes.items():
            for home in places:
                if home.rate:
                    orders[home.rate] = table[name]
                orders[home.key] = home.vector(values[name])
        return {name: np.asarray(value) for name, value in orders.items()}

    def _rates(self, rates: Rates) -> dict[str, float]:
        """{weight: rate}: the weight's own, else its pathway's, else the one for all."""
        plastic = {homes.base(self.built.weights[name]) for name in self.built.plastic_weights()}
        pathways = {self.program.weights[name].pathway for name in plastic}
        known = {*plastic, *pathways, *(n.rsplit("_", 1)[0] for n in plastic if self.program.weights[n].source is None), "*"}
        if isinstance(rates, Mapping) and (unknown := sorted(set(rates) - known)):
            raise InputError(f"rates name {unknown[0]!r}; what learns here is {', '.join(sorted(known - {'*'}))}.")

        def rate(name: str) -> float:
            if not isinstance(rates, Mapping):
                return quantity.si("learning rate", rates, "1", 0.0)
            weight = self.program.weights[name]
            own = name.rsplit("_", 1)[0] if weight.source is None else weight.pathway
            found = next((rates[n] for n in (name, own, weight.pathway, "*") if n in rates), 0.0)
            return quantity.si(f"learning rate of {name}", found, "1", 0.0)

        return {name: rate(name) for name in self._homes}

    def _timed(self, given: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        timed = {}
        for name, array in self.plan.timed.items():
            values = np.zeros_like(array)
            found = np.asarray(given[self._names[name.removeprefix("stream_")]], float)
            values[: len(found)] = np.repeat(found, self.built.crowd, axis=1)
            timed[name] = values
        return timed

    def _follow(self) -> None:
        """Weights from the synapses; copies of one weight are made equal, and those that follow others do so."""
        for name, places in self._homes.items():
            if any(home.rate for home in places):
                self.weights[name] = homes.follow(places, self.state, self.weights[name])
        self.weights = ties.complete(self.program, self.weights)

    # -- what is heard ---------------------------------------------------------------------------------------------

    def _listen(self) -> tuple[str, str] | None:
        """(group, variable) of what the output says, with a monitor on it; None for a rule without outputs."""
        for k, cell in enumerate(self.built.cells):
            if cell.kind == "output" and cell.has("rate") and (self.kind == "rate" or "rate" in cell.sent):
                variable = "rate" if self.kind == "rate" else "sent_rate"
                self.plan.monitors.append(MonitorPlan(OUTPUTS, self.plan.groups[k].name, [variable]))
                return self.plan.groups[k].name, variable
        return None

    def _reads(self, count: int) -> np.ndarray:
        """Ticks at which the output's first window of each sample has just closed."""
        each = self.ticks // len(self.built.phases)
        cell = next(c for c, g in zip(self.built.cells, self.plan.groups, strict=True) if g.name == self.output[0])
        forms = cell.signal("rate").forms
        first = next(n for n, phase in enumerate(self.built.phases) if phase in forms)
        return np.arange(count) * self.ticks + each * (first + 1)

    def _hz(self, before: Mapping[str, np.ndarray], seconds: float) -> dict[str, np.ndarray]:
        """{train: spikes per second of each cell}, counted by the cells."""
        found = {}
        for group in (*self.plan.groups, *self.plan.partners):
            for event in group.events:
                key = f"{group.name}.spikes_{event}"
                found[f"{group.name}.{event}"] = (self.state[key] - before.get(key, 0.0)) / seconds
        return found

    def _finite(self) -> None:
        for name, value in self.state.items():
            lost = ~(np.abs(np.atleast_1d(value)) < RUNAWAY)
            if lost.any():
                cell = int(np.flatnonzero(lost)[0])
                thing, variable = name.split(".")
                raise SimulationError(
                    f"{variable} of {thing} is not finite or beyond {RUNAWAY:g} (first at {cell}): learning or the circuit "
                    "diverged; take a smaller learning rate or dt, or check the loop with neurolearn.timescales."
                )

    def _quiet_ends(self) -> None:
        """If anything is delayed, nothing is sent after the last sample until all of it has arrived."""
        longest = max((late for s in self.plan.synapses for late in s.delays.values()), default=0.0)
        if longest == 0.0:
            return
        self.plan.tail = (longest + 2 * self.plan.dt) / self.plan.period
        for group in self.plan.groups:
            group.events = {name: f"({condition}) and present > 0.5" for name, condition in group.events.items()}


def _speaking(program: Program) -> Program:
    """The program in which the output's rate leaves as spikes, so that it can be read from outside."""
    last = max(cell.layer for cell in program.cells if cell.kind == "output")
    said = tuple(
        replace(c, sent=(*c.sent, "rate")) if c.layer == last and c.has("rate") and "rate" not in c.sent else c
        for c in program.cells
    )
    return replace(program, cells=said)
