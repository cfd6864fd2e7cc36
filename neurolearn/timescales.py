r"""How fast a circuit settles, and whether it does: eigenvalues of the flow's Jacobian at the settled state.

The Jacobian is taken at one presentation. It is split into strongly connected groups of variables first: within a
feedforward chain its eigenvalues are exact that way, where a dense solver would smear a Jordan block.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp

import numpy as np
import torch
from scipy.sparse.csgraph import connected_components

from neurolearn.errors import SettlingError
from neurolearn.program import Program
from neurolearn.tensor import compile, flow
from neurolearn.tensor.rate import RateProgram


@dataclass(frozen=True)
class Timescales:
    """Modes of one phase, in units of the synaptic time constant.

    eigenvalues: 1/tau. chain: the longest chain of state variables, each waiting for the one before.
    """

    phase: str
    eigenvalues: np.ndarray
    chain: int

    @property
    def abscissa(self) -> float:
        """The largest real part; negative if the circuit is stable."""
        return float(self.eigenvalues.real.max())

    def decay(self, dt: float) -> float:
        """Decay rate of the slowest mode under Euler steps of dt (in synaptic time constants); negative: it grows."""
        return float(-np.log(np.abs(1 + dt * self.eigenvalues)).max() / dt)

    def settling(self, eps: float, dt: float = 0.1) -> float:
        r"""Time, in synaptic time constants, after which a deviation has shrunk to eps.

        $x / \mathrm{decay}$ with $e^{-x} \sum_{j<k} x^j / j! = \epsilon$ for a chain of k equal stages.
        """
        return chain_time(self.chain, eps) / self.decay(dt)

    def check(self, dt: float = 0.1) -> None:
        """Raises SettlingError if the circuit is unstable, or if dt is too coarse for its fastest mode."""
        if self.abscissa >= 0:
            raise SettlingError(
                f"the circuit is unstable in phase {self.phase!r}: a mode grows by {self.abscissa:+.3g} per synaptic time "
                "constant. Make the slow variable of the loop slower (a larger entry in the rule's times), weaken the "
                "feedback weights or raise the leak."
            )
        if self.decay(dt) <= 0:
            fastest = np.abs(self.eigenvalues).max()
            raise SettlingError(
                f"dt is too coarse in phase {self.phase!r}: the fastest mode needs steps below {2 / fastest:.2g} synaptic "
                f"time constants, and dt is {dt:.2g}. Take a smaller dt or a longer tau."
            )


def chain_time(stages: int, eps: float) -> float:
    r"""x with $e^{-x} \sum_{j < k} x^j/j! = \epsilon$: how long k equal leaky stages in a row take to settle to eps."""
    low, high = 0.0, 10.0 + 20.0 * stages - 4 * np.log(eps)
    for _ in range(80):
        x = (low + high) / 2
        term, total = 1.0, 1.0
        for j in range(1, stages):
            term *= x / j
            total += term
        low, high = (x, high) if exp(-x) * total > eps else (low, x)
    return high


def timescales(program: Program, weights: Mapping[str, np.ndarray], given: Mapping[str, np.ndarray],
               taus: Mapping[str, float] | None = None, samples: int = 2) -> list[Timescales]:
    """Modes of every phase at the settled state of the first ``samples`` samples (all their modes together).

    taus: pathway -> its time constant over the synaptic one (1 where absent).
    """
    given = {name: value[:samples] for name, value in given.items()}
    reference = RateProgram(program, weights)
    inputs, signals = reference.load(given), reference.signals(given)
    found = []
    for phase in program.phases:
        text = flow.source(program, phase, dict(taus or {}))
        title = f"{program.name}:flow of {phase} on {program.network}"
        move, settled = compile.function(text, "flow", title), compile.function(text, "settled", title)
        at = settled(signals[phase], reference.weight)
        inputs = inputs | signals["latched"]
        values = []
        for n in range(len(at)):
            one = {name: value[n : n + 1] for name, value in inputs.items()}
            with torch.no_grad():
                jacobian = torch.func.jacfwd(lambda z, one=one: move(z[None], one, reference.weight)[0])(at[n]).numpy()
            values.append(_modes(jacobian))
        found.append(Timescales(phase, np.concatenate(values), _chain(jacobian, flow.blocks(program, phase))))
    return found


def _modes(jacobian: np.ndarray) -> np.ndarray:
    count, label = connected_components(jacobian != 0, directed=True, connection="strong")
    order = np.argsort(label, kind="stable")
    groups = np.split(order, np.cumsum(np.bincount(label, minlength=count))[:-1])
    return np.concatenate([np.linalg.eigvals(jacobian[np.ix_(g, g)]) for g in groups])


def _chain(jacobian: np.ndarray, variables: list[flow.Block]) -> int:
    """Longest path over the blocks; the blocks of a loop count together."""
    ends = np.cumsum([0, *(b.size for b in variables)])
    size = len(variables)
    reads = np.array([[np.any(jacobian[ends[a] : ends[a + 1], ends[b] : ends[b + 1]]) and a != b
                       for b in range(size)] for a in range(size)])
    count, label = connected_components(reads, directed=True, connection="strong")
    weight = np.bincount(label, minlength=count)
    above = [set(label[np.nonzero(reads[label == g].any(0))[0]]) - {g} for g in range(count)]
    depth: dict[int, int] = {}

    def longest(group: int) -> int:
        if group not in depth:
            depth[group] = int(weight[group]) + max((longest(g) for g in above[group]), default=0)
        return depth[group]

    return max(longest(g) for g in range(count))


def settling_time(program: Program, weights, given, eps: float = 1e-9, dt: float = 0.1) -> float:
    """Time in synaptic time constants after which every phase has settled to eps; raises if one never does."""
    modes = timescales(program, weights, given)
    for mode in modes:
        mode.check(dt)
    return max(mode.settling(eps, dt) for mode in modes)
