"""A rule on a network as a circuit that is taught and asked: ``Online`` with the program, the draws and the segments prepared."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from neurolearn import streams
from neurolearn.changes import prepare
from neurolearn.changes import samples as checked
from neurolearn.circuit.online import Online, Rates
from neurolearn.network import Network
from neurolearn.rule import Rule
from neurolearn.timing import Timing


@dataclass(frozen=True)
class Activity:
    """What all cells did since a circuit was made or restarted. In a rate circuit there are no spikes and no Hz.

    seconds: simulated. spikes: of all cells. mean_hz: over all cells. max_hz: of the busiest cell, in its busiest segment.
    """

    seconds: float = 0.0
    spikes: int = 0
    mean_hz: float = 0.0
    max_hz: float = 0.0

    def __str__(self) -> str:
        if not self.spikes:
            return f"{self.seconds:.4g} s"
        return f"{self.seconds:.4g} s, mean {self.mean_hz:.0f} Hz, max {self.max_hz:.0f} Hz, {self.spikes} spikes"


class Learner:
    """A Brian2 circuit of a rule on a network that learns from one sample after another, inside the simulation.

    weights: {name: (to, from)}; what is missing is drawn from ``seed``, biases with the standard deviation ``bias``.
    timing: of every sample. kind: "rate" or "spiking". placement: "unit" or "cells". samples: of one segment, after which
    weights can be read. target: "numpy", "cython", "standalone", or "auto": standalone where there is a C++ compiler, else
    numpy. options: of ``Online`` (resets, biology, cache, monitors). Raises InputError.

    ::

        circuit = nl.circuit.Learner(rule, network, timing=nl.Timing(tau=20e-3, settle=200, window=200))
        circuit.learn(x, teacher, 0.02)
        circuit.respond(x), circuit.weights, circuit.activity

    circuit: the ``Online``. activity: seconds, spikes and Hz since it was made or restarted.
    """

    def __init__(self, rule: Rule, network: Network, *, timing: Timing, kind: str = "spiking", placement: str = "unit",
                 weights=None, seed: int = 0, bias: float = 0.0, samples: int = 100, target: str = "auto", **options):  # fmt: skip
        if target == "auto":
            target = "standalone" if any(map(shutil.which, ("g++", "clang++", "c++"))) else "numpy"
        self.rule, self.network, self._bias = rule, network, bias
        program, start = self._start(weights, seed)
        self.circuit = Online(
            program, start, timing, kind, placement=placement, samples=samples, target=target, **options
        )
        self._rest = self.circuit.engine.start()
        self._begin(start, seed)

    def _start(self, weights, seed: int):
        """(program, weights of that seed)."""
        x, teacher = (np.zeros((1, self.network.sizes[k])) for k in (0, -1))
        return prepare(self.rule, self.network, x, teacher, weights, seed=seed, bias=self._bias)[:2]

    def _begin(self, weights, seed: int) -> None:
        self.circuit.load(weights, self._rest)
        self.seed, self.seen, self.asked, self.activity = seed, 0, 0, Activity()

    @property
    def weights(self) -> Mapping[str, np.ndarray]:
        """{name: (to, from)}, after everything that was learned so far."""
        return self.circuit.weights

    def restart(self, seed: int = 0, weights=None) -> None:
        """Back to rest and to the weights of that seed, without building the circuit again. weights: replace some of them."""
        self._begin(self._start(weights, seed)[1], seed)

    def learn(self, x, teacher, rates: Rates, recorder=None) -> np.ndarray:
        """Teach these samples, in this order. Returns what the output said to each, before it learned: (samples, outputs).

        x: (samples, inputs), teacher: (samples, outputs). rates: one number, or one for each weight, pathway or bias, as of
        ``Online.run``; ``readout_only(rate)`` makes those of the control. recorder: a ``Recorder``, to which every segment goes.
        """
        x, teacher = checked(self.network, x, teacher)
        said = self._run(x, teacher, rates, step=0, first=self.seen, recorder=recorder)
        self.seen += len(x)
        return said

    def respond(self, x) -> np.ndarray:
        """What the output says to these samples, untaught and with every weight frozen: (samples, outputs)."""
        x, nobody = checked(self.network, x, np.zeros((len(np.atleast_2d(x)), self.network.sizes[-1])))
        said = self._run(x, nobody, 0.0, step=1, first=self.asked)
        self.asked += len(x)
        return said

    def readout_only(self, rate: float) -> dict[str, float]:
        """Learning rates of the control in which only the weights into the output learn; all others stay as drawn."""
        program, top = self.circuit.program, self.network.output
        into = {program.weights[name].name for name in program.plastic_weights() if program.weights[name].target == top}
        return {"*": 0.0, **{name: rate for name in into if name.startswith(("W_", "b_"))}}

    def close(self) -> None:
        """End the process of a standalone circuit."""
        self.circuit.close()

    def _run(self, x, teacher, rates: Rates, step: int, first: int, recorder=None) -> np.ndarray:
        taught, said, circuit = step == 0, [], self.circuit
        for start in range(0, len(x), circuit.samples):
            part = slice(start, start + circuit.samples)
            indices = first + np.arange(len(x))[part]
            given = streams.given(circuit.program, x[part], teacher[part], self.seed, step, indices=indices)
            before = _spikes(circuit.state)
            segment = circuit.run(given, rates, taught)
            self._count(segment, _spikes(circuit.state) - before)
            said.append(segment.outputs)
            if recorder is not None:
                recorder.append(segment)
        return np.concatenate(said)

    def _count(self, segment, spikes: float) -> None:
        now, cells = self.activity, sum(g.size * len(g.events) for g in (*self.circuit.plan.groups, *self.circuit.plan.partners))
        seconds, total = now.seconds + segment.seconds, now.spikes + round(spikes)
        most = max(now.max_hz, segment.max_hz) if cells else 0.0
        self.activity = Activity(seconds, total, total / seconds / cells if cells else 0.0, most)


def _spikes(state: Mapping[str, np.ndarray]) -> float:
    return sum(float(np.sum(value)) for name, value in state.items() if name.split(".")[1].startswith("spikes_"))
