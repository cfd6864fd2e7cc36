"""One question to a circuit that learns: does it get further than its readout alone, and where do its changes point?

The same circuit is taught twice with the same samples in the same order, once with all its weights and once with those into
the output only (the control), and the settled algebra of the rule, tensor.rate, goes the same way beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from neurolearn import compare
from neurolearn.circuit import build
from neurolearn.circuit.learner import Activity, Learner
from neurolearn.claims import verdict
from neurolearn.data.dataset import Dataset
from neurolearn.observer import backprop_gradient
from neurolearn.tensor.online import follow

CIRCUIT, CONTROL, ALGEBRA = "circuit", "readout only", "tensor.rate"


@dataclass(frozen=True, eq=False)
class Taught:
    """What came of it. at: samples in the middle of each block; curves: {who: (seeds, blocks)}, squared error over the
    variance of the target, before each sample was learned. tested: {who: (seeds,)}, the same of samples that were never
    taught. angles: {weight: (seeds, blocks)}, degrees from the change of a block to the backprop gradient of its samples.
    start, end: {seed: weights} of the circuit. activity: of the circuit with all its weights, last seed.
    """

    at: np.ndarray
    curves: dict[str, np.ndarray]
    tested: dict[str, np.ndarray]
    angles: dict[str, np.ndarray]
    activity: Activity
    start: dict[int, Mapping[str, np.ndarray]] = field(repr=False)
    end: dict[int, Mapping[str, np.ndarray]] = field(repr=False)

    def table(self) -> str:
        """Who reached which error on new samples, mean and standard error over seeds, and what that took."""
        rows = [f"{'error / variance, new samples':32}"]
        for who, values in self.tested.items():
            spread = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
            rows.append(f"{who:32}{values.mean():7.3f} +- {spread:.3f}")
        for name, values in self.angles.items():
            rows.append(
                f"{f'degrees to backprop, {name}':32}{values[:, 0].mean():7.0f}, then {values[:, -1].mean():.0f}"
            )
        return "\n".join([*rows, f"{'a run of the circuit':32}{self.activity}"])

    @property
    def beyond(self) -> float:
        """Error of the circuit over that of its readout alone, on samples that were never taught; means over seeds."""
        return float(self.tested[CIRCUIT].mean() / self.tested[CONTROL].mean())

    def failures(self, claim: float) -> list[str]:
        """What there is to say if ``beyond`` is not below ``claim``."""
        if self.beyond < claim:
            return []
        return [f"{self.beyond:.2f} of the error with only the readout learning, not {claim:g}"]


def teach(learner: Learner, load: Callable[[int], Dataset], rates, *, samples: int, seeds: int, block: int,
          tested: int = 200) -> Taught:  # fmt: skip
    """Teach a circuit ``samples`` samples of ``load(seed)``, again from the first when they are over, for each seed.

    learner: its segments are best as long as a block. rates: of ``Learner.learn``, with an entry "W" if it is not a number.
    """
    curves, tests, angles = ({who: [] for who in (CIRCUIT, CONTROL, ALGEBRA)} for _ in range(3))
    start, end, readout = {}, {}, learner.readout_only(rates["W"] if isinstance(rates, Mapping) else rates)
    for who, seed in ((who, seed) for who in (CONTROL, CIRCUIT) for seed in range(seeds)):
        data = load(seed)
        learner.restart(seed)
        if who == CIRCUIT:
            start[seed] = dict(learner.weights)
        curve, angle = _blocks(learner, data, rates if who == CIRCUIT else readout, samples, block, who == CIRCUIT)
        curves[who].append(curve)
        if who == CIRCUIT:
            angles[who].append(angle)
            end[seed] = dict(learner.weights)
            activity = learner.activity
        tests[who].append(_error(learner.respond(data.x_test[:tested]), data.y_test[:tested]))
    for seed in range(seeds):
        data, program = load(seed), learner.circuit.program
        x, y = _order(data, 0, samples)
        after, said = follow(program, start[seed], x, y, rates, seed=seed)
        curves[ALGEBRA].append(
            [_error(said[a : a + block], y[a : a + block], y.var()) for a in range(0, samples, block)]
        )
        _, said = follow(program, after, data.x_test[:tested], data.y_test[:tested], 0.0, seed=seed)
        tests[ALGEBRA].append(_error(said, data.y_test[:tested]))
    names = angles[CIRCUIT][0]
    return Taught(
        block * (np.arange(samples // block) + 0.5),
        {who: np.array(values) for who, values in curves.items()},
        {who: np.array(values) for who, values in tests.items()},
        {name: np.array([a[name] for a in angles[CIRCUIT]]) for name in names},
        activity, start, end,
    )  # fmt: skip


def astray(learner: Learner, x, y, rates) -> tuple[float, dict, dict]:
    """(degrees between what a circuit and what tensor.rate change with the same samples, both changes); W only."""
    start = dict(learner.weights)
    after, _ = follow(learner.circuit.program, start, x, y, rates, seed=learner.seed, first=learner.seen)
    learner.learn(x, y, rates)
    moved, exact = ({k: w[k] - start[k] for k in start if k.startswith("W")} for w in (learner.weights, after))
    return compare.angle(moved, exact), moved, exact


def smoke(learners: Mapping[str, tuple[Learner, float]], data: Dataset, rates, path) -> int:
    """The smallest run of a claim: each circuit, and the algebra beside it, learns the first samples, one segment of them.

    learners: {words: (circuit, degrees by which it may part from the algebra)}. Prints, draws into ``path``, and returns 1 if
    one parts further.
    """
    from neurolearn import panels

    found, failures = {}, []
    for words, (learner, claim) in learners.items():
        count = learner.circuit.samples
        angle, *found[words] = astray(learner, data.x_train[:count], data.y_train[:count], rates)
        print(f"{words:18}{angle:6.1f} degrees from tensor.rate after {count} samples")
        failures += [] if angle < claim else [f"{words}: {angle:.1f} degrees from tensor.rate, not {claim:g}"]
    panels.changes(path, found)
    print(f"figure: {path}")
    return verdict(failures)


def shown(learner: Learner, x, teacher, weights=None):
    """A ``Circuit`` of the learner's rule, network and timing that has run these samples side by side, with all its spikes.

    weights: {name: (to, from)}; by default those that the learner has now. The learner itself stays as it is.
    """
    timing, weights = learner.circuit.timing, dict(learner.weights if weights is None else weights)
    found = build(learner.rule, learner.network, x, teacher, weights, kind="spiking", timing=timing)
    found.record_spikes()
    found.run()
    return found


def _blocks(learner: Learner, data: Dataset, rates, samples: int, block: int, watched: bool):
    """(error of each block, {weight of a hidden layer: degrees from its change to backprop})."""
    curve, angles, network = [], {}, learner.network
    hidden = [f"W_{c.target}_{c.source}" for c in network.connections if c.target < network.output]
    for first in range(0, samples, block):
        x, y = _order(data, first, first + block)
        before = dict(learner.weights)
        curve.append(_error(learner.learn(x, y, rates), y, data.y_train.var()))
        gradient = backprop_gradient(network, before, x, y) if watched else {}
        for name in (n for n in hidden if n in gradient):
            angles.setdefault(name, []).append(compare.angle(learner.weights[name] - before[name], gradient[name]))
    return curve, angles


def _order(data: Dataset, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
    index = np.arange(first, last) % len(data.x_train)
    return data.x_train[index], data.y_train[index]


def _error(said: np.ndarray, y: np.ndarray, variance: float | None = None) -> float:
    return float(((said - y) ** 2).mean() / (y.var() if variance is None else variance))
