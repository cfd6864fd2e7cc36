"""A circuit that is trained while it runs: the stream of samples, what is measured on the way, and the result.

The run is what its ``RunConfig`` says and nothing else: sample n of the run is the same sample with the same noise on every
target and after every crash. Between segments the whole state is arrays, so ``runs.RunFolder`` can stop and go on anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np

from neurolearn import data, streams, ties
from neurolearn.changes import prepare
from neurolearn.data.dataset import Dataset
from neurolearn.errors import InputError
from neurolearn.network import Network, mlp
from neurolearn.rule import Rule
from neurolearn.runs.config import RunConfig

Arrays = dict[str, np.ndarray]
Row = dict[str, Any]
RECORDING = "recording.h5"
KINDS = {"circuit.rate": "rate", "circuit.spiking": "spiking"}


class Stream:
    """The samples of a run, in the order in which the circuit meets them: shuffled pass after pass by named streams."""

    def __init__(self, config: RunConfig, dataset: Dataset):
        self.config, self.dataset, self.size = config, dataset, len(dataset.x_train)

    def indices(self, span: range) -> tuple[np.ndarray, np.ndarray]:
        """(index in the training split, number of the pass from 1) of the samples ``span`` of the run."""
        passes = np.array(span) // self.size + 1
        orders = {p: streams.stream(self.config.seed, "order", int(p)).permutation(self.size) for p in np.unique(passes)}
        return np.array([orders[p][n % self.size] for n, p in zip(span, passes, strict=True)]), passes

    def given(self, program, span: range) -> tuple[Arrays, np.ndarray]:
        """(what the circuit is given, the teachers) for these samples."""
        indices, passes = self.indices(span)
        parts = []
        for number in np.unique(passes):
            some = indices[passes == number]
            x, teacher = self.dataset.x_train[some], self.dataset.y_train[some]
            parts.append(streams.given(program, x, teacher, self.config.seed, int(number), indices=some))
        return {n: np.concatenate([p[n] for p in parts]) for n in parts[0]}, self.dataset.y_train[indices]


class OnlineTraining:
    """One run of a circuit. config: all of it; rule: a Rule, where the config names a file.

    guards: what is asked of the circuit before it runs and after every segment (``circuit.Guards``); None asks what
    ``Guards()`` does. They change nothing in the run, so they are no part of its config.
    """

    def __init__(self, config: RunConfig, rule: Rule | None = None, guards=None):
        from neurolearn import rules
        from neurolearn.circuit.guards import foreseen
        from neurolearn.circuit.guards.findings import Guards
        from neurolearn.circuit.online import Online

        if config.realisation not in KINDS:
            raise InputError(f"realisation is {config.realisation!r}; online training runs {' or '.join(KINDS)}.")
        self.config = config
        self.rule = rule or rules.get(config.rule)
        if config.constants:
            self.rule = self.rule.with_constants(**config.constants)
        self.dataset = data.load(config.data, seed=config.seed)
        self.network = network_of(config, self.dataset)
        self.stream = Stream(config, self.dataset)
        first = self.dataset.x_train[:1], self.dataset.y_train[:1]
        self.program, weights, given = prepare(self.rule, self.network, *first, seed=config.seed, bias=config.bias)
        scaled = {n: config.weight_scale * w if n.startswith("W_") else w for n, w in weights.items()}
        self.start = ties.complete(self.program, scaled)
        timing, self.guards = config.timing.timing(config.seed), guards or Guards()
        self._told: set = set()  # a run is warned of the same thing once
        body = biology(config)
        late = body and body.delays
        self.guards.judge(foreseen.faults(self.program, self.start, given, timing, KINDS[config.realisation], late))
        self.circuit = Online(self.program, self.start, timing, KINDS[config.realisation], placement=config.placement,
                              samples=config.segment, resets=config.resets, target=config.target,
                              biology=body, monitors=monitors(config), guards=self.guards)  # fmt: skip

    # -- a chain of segments ---------------------------------------------------------------------------------------

    def begin(self) -> Arrays:
        """The state before the first segment."""
        return _pack(self.start, {})

    def step(self, number: int, arrays: Mapping[str, np.ndarray], recorder=None) -> tuple[Arrays, list[Row]]:
        """One segment from that state; (the state after it, its row of metrics). Depends on nothing else.

        recorder: of ``recorder``; the segment is appended to it, and nothing of an evaluation.
        """
        from neurolearn.circuit.guards import stream

        self.circuit.load(*_unpack(arrays))
        span = self.config.spans()[number]
        falling = 1 - span.start / self.config.samples
        given, teachers = self.stream.given(self.program, span)
        segment = self.circuit.run(given, self.rates(falling))
        if recorder is not None:
            recorder.append(segment)
        stream.segment(self.circuit, self.guards, segment, span.start, self._told)
        after = _pack(self.circuit.weights, self.circuit.state)
        row = {"segment": number + 1, "samples": span.stop, **scored("train", segment.outputs, teachers, self.dataset)}
        row["seconds_simulated"] = segment.seconds
        if segment.hz:
            row |= {"mean_hz": segment.mean_hz, "max_hz": segment.max_hz}
        evaluation = self.config.evaluation
        if (number + 1) % evaluation.every == 0 or number + 1 == self.config.segments:
            row |= self.evaluate(evaluation.split, evaluation.samples)
        return after, [row]

    def recorder(self, folder: Path, done: int = 0):
        """The ``Recorder`` of a run whose first ``done`` segments are in a checkpoint, cut there; None if nothing is recorded."""
        if not self.config.record:
            return None
        from neurolearn.circuit.recording.recorder import Recorder

        clocks = self.circuit.tracks[0].clocks
        samples = self.config.spans()[done - 1].stop if done else 0
        return Recorder(folder / RECORDING, self.circuit, resume=samples * clocks.sample * clocks.dt)

    def rates(self, falling: float) -> dict[str, float]:
        """Learning rates of a segment, by weight: they fall linearly to 0 over the run; ``plastic`` is the switch."""
        rate, top = self.config.learning_rate, self.network.output
        table = dict(rate) if isinstance(rate, Mapping) else {"*": rate}
        table = {name: value * falling for name, value in table.items()}
        if self.config.plastic == "all":
            return table
        readout = [n for n in self.program.plastic_weights() if self.program.weights[n].target == top and _forward(n)]
        if self.config.plastic == "none" or not readout:
            return {"*": 0.0}
        own = table.get("W", table.get("*", 0.0))
        return {"*": 0.0, **{n: table.get(n, own) for n in readout}}

    def evaluate(self, split: str, samples: int | None = None, report: Callable[[float], None] | None = None) -> Row:
        """How well the circuit does with weights frozen and nobody teaching; its state is put back afterwards.

        report: is given the share that is done.
        """
        kept = dict(self.circuit.weights), dict(self.circuit.state)
        name = {"validation": "valid"}.get(split, split)
        x, y = (getattr(self.dataset, f"{k}_{name}")[:samples] for k in "xy")
        outputs = []
        for given in self._presented(x, y):
            outputs += list(self.circuit.run(given, 0.0, taught=False).outputs)
            if report:
                report(len(outputs) / len(x))
        self.circuit.load(*kept)
        return scored(name, np.array(outputs), y, self.dataset)

    def _presented(self, x: np.ndarray, y: np.ndarray) -> Iterator[Arrays]:
        size = self.config.segment
        for first in range(0, len(x), size):
            some = np.arange(first, min(first + size, len(x)))
            yield streams.given(self.program, x[some], y[some], self.config.seed, 0, indices=some)

    def close(self) -> None:
        """Give the simulator back."""
        self.circuit.close()


def run(training: OnlineTraining, folder, *, every: int = 1, report: Callable[[str, Row], None] | None = None) -> dict:
    """Run, or go on with, a training in its ``RunFolder``; the result, which also stands in the folder's result.json.

    every: segments between checkpoints. report: is given "segment" and every row of metrics as it comes, then "test" and
    {"share": of the test split that is done}. The test split is met once, at the end, with weights frozen; its accuracy
    comes with Wilson's interval. What the config asks to be recorded goes to the folder's recording.h5.
    """
    config = training.config

    def step(number: int, arrays: Arrays) -> tuple[Arrays, list[Row]]:
        after, rows = training.step(number, arrays, recorder)
        for row in rows if report else ():
            report("segment", row)
        return after, rows

    def tested(share: float) -> None:
        if report:
            report("test", {"share": share})

    if found := folder.kept("result.json"):
        return found
    recorder = training.recorder(folder.path, folder.start.segment if folder.start else 0)
    final = folder.carry(training.begin, step, config.segments, every)
    training.circuit.load(*_unpack(final))
    said = [row for row in folder.metrics() if "max_hz" in row]
    hz = {"mean_hz": float(np.mean([r["mean_hz"] for r in said])), "max_hz": max(r["max_hz"] for r in said)} if said else {}
    result = {"rule": training.rule.name, "realisation": config.realisation, "plastic": config.plastic,
              "data": config.data, "network": str(training.network), "seed": config.seed, "samples": config.samples,
              **training.evaluate("test", config.evaluation.final, tested), **hz,
              "seconds_simulated": config.samples * training.circuit.seconds_per_sample, "segments": config.segments,
              "quiet_seconds": config.segments * training.circuit.quiet_seconds, "resets": config.resets}  # fmt: skip
    folder.keep("result.json", result)
    return result


def biology(config: RunConfig):
    """The ``circuit.Biology`` of a config; None if nothing is asked for."""
    from neurolearn.circuit import Background, Biology

    options = config.biology.options()
    if noise := options.get("background"):
        options["background"] = Background(**noise.model_dump())
    return Biology(**options) if options else None


def monitors(config: RunConfig) -> list:
    """The recorders that a config asks for (``circuit.recording.monitors``)."""
    from neurolearn.circuit.recording.monitors import PopulationRateMonitor, SpikeMonitor, StateMonitor

    found = []
    for w in config.wishes():
        shared = {"record": w.only, "samples": w.samples, "name": w.name}
        if w.kind == "spikes":
            found.append(SpikeMonitor(w.group, *w.what, **shared))
        elif w.kind == "rate":
            found.append(PopulationRateMonitor(w.group, *w.what, every=w.every or "sample", **shared))
        else:
            found.append(StateMonitor(w.group, w.what, every=w.every, **shared))
    return found


def linear(config: RunConfig) -> Row:
    """{"test_accuracy" or "test_nmse"} of inputs straight to outputs, trained by tensors with the table's own settings."""
    from neurolearn.training.train import train

    dataset = data.load(config.data, seed=config.seed)
    network = mlp([dataset.x_train.shape[1], dataset.y_train.shape[1]], loss=config.loss)
    last = train("linear", network, dataset, seed=config.seed, angles=False).history[-1]
    return {name: value for name, value in last.items() if name in ("test_accuracy", "test_nmse")}


def network_of(config: RunConfig, dataset: Dataset) -> Network:
    """The network of a run. Raises InputError if its sizes do not fit the data."""
    network = mlp(list(config.sizes), config.activation, loss=config.loss, signed=config.signed)
    fit = dataset.x_train.shape[1], dataset.y_train.shape[1]
    if (network.sizes[0], network.sizes[-1]) != fit:
        raise InputError(f"sizes are {'-'.join(map(str, config.sizes))}; {config.data} needs {fit[0]} at the bottom and "
                         f"{fit[1]} at the top.")
    return network


def scored(name: str, outputs: np.ndarray, teachers: np.ndarray, dataset: Dataset) -> Row:
    """{name_accuracy, its 95 % interval} from the largest output, or {name_nmse} in a regression."""
    if outputs.shape[1] == 0:
        return {}
    if not dataset.classes:
        spread = np.mean((teachers - teachers.mean(0)) ** 2)
        return {f"{name}_nmse": float(np.mean((outputs - teachers) ** 2) / spread)}
    hits, count = int((outputs.argmax(1) == teachers.argmax(1)).sum()), len(teachers)
    return {f"{name}_accuracy": hits / count, f"{name}_interval": wilson(hits, count)}


def wilson(hits: int, count: int, z: float = 1.959963984540054) -> list[float]:
    r"""Wilson's 95 % interval of a share: $(p + z^2/2n \pm z \sqrt{p(1-p)/n + z^2/4n^2}) / (1 + z^2/n)$ (Wilson 1927)."""
    share = hits / count
    centre = share + z**2 / (2 * count)
    half = z * sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return [(centre - half) / (1 + z**2 / count), (centre + half) / (1 + z**2 / count)]


def _forward(name: str) -> bool:
    return name.startswith(("W_", "b_"))


def _pack(weights: Mapping[str, np.ndarray], state: Mapping[str, np.ndarray]) -> Arrays:
    return {f"weight:{n}": np.asarray(v) for n, v in weights.items()} | {f"state:{n}": np.asarray(v) for n, v in state.items()}


def _unpack(arrays: Mapping[str, np.ndarray]) -> tuple[Arrays, Arrays]:
    parts: dict[str, Arrays] = {"weight": {}, "state": {}}
    for key, value in arrays.items():
        kind, name = key.split(":", 1)
        parts[kind][name] = value
    return parts["weight"], parts["state"]
