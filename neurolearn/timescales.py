r"""How fast a circuit settles, and whether it does: eigenvalues of the flow's Jacobian at the settled state.

The Jacobian is taken at one presentation. It is split into strongly connected groups of variables first: within a
feedforward chain its eigenvalues are exact that way, where a dense solver would smear a Jordan block.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import exp

import numpy as np
import torch
from scipy.sparse.csgraph import connected_components

from neurolearn.errors import SettlingError
from neurolearn.program import Program
from neurolearn.tensor import compile, flow, plasticity
from neurolearn.tensor.rate import RateProgram
from neurolearn.timing import Timing


@dataclass(frozen=True, eq=False)
class Timescales:
    """Modes of one phase, in units of the synaptic time constant.

    eigenvalues: 1/tau. chain: the longest chain of state variables, each waiting for the one before. jacobians, settled:
    of the linearised flow at each sample; blocks: sizes of its variables.
    """

    phase: str
    eigenvalues: np.ndarray
    chain: int
    jacobians: np.ndarray
    settled: np.ndarray
    blocks: tuple[int, ...]

    @property
    def abscissa(self) -> float:
        """The largest real part; negative if the circuit is stable."""
        return float(self.eigenvalues.real.max())

    def decay(self, dt: float) -> float:
        """Decay rate of the slowest mode under Euler steps of dt (in synaptic time constants); negative: it grows."""
        return float(-np.log(np.abs(1 + dt * self.eigenvalues)).max() / dt)

    def settling(self, eps: float, dt: float = 0.1) -> float:
        """Time, in synaptic time constants, after which every variable is within eps of its settled value.

        From rest, under Euler steps of dt of the linearised flow; a variable is a compartment or signal of one layer,
        and eps is relative to its norm. Powers of the step matrix by squaring, then a binary search.
        """
        return max(self._settling(j, z, eps, dt) for j, z in zip(self.jacobians, self.settled, strict=True))

    def _settling(self, jacobian: np.ndarray, settled: np.ndarray, eps: float, dt: float) -> float:
        ends = np.cumsum(self.blocks)[:-1]
        scale = np.array([np.linalg.norm(part) for part in np.split(settled, ends)])
        scale = np.maximum(scale, 1e-9 * scale.max())

        def far(deviation: np.ndarray) -> bool:
            return any(np.linalg.norm(d) > eps * n for d, n in zip(np.split(deviation, ends), scale, strict=True))

        powers = [np.eye(len(settled)) + dt * jacobian]
        while far(powers[-1] @ settled):
            powers.append(powers[-1] @ powers[-1])
            if len(powers) > 40:
                raise SettlingError(f"phase {self.phase!r} does not settle to {eps:g} in any reasonable time.")
        steps, deviation = 0, settled
        for k in reversed(range(len(powers) - 1)):
            ahead = powers[k] @ deviation
            if far(ahead):
                steps, deviation = steps + 2**k, ahead
        return (steps + 1) * dt

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


def timescales(
    program: Program,
    weights: Mapping[str, np.ndarray],
    given: Mapping[str, np.ndarray],
    taus: Mapping[str, float] | None = None,
    samples: int = 2,
) -> list[Timescales]:
    """Modes of every phase at the settled state of the first ``samples`` samples (all their modes together).

    taus: "pathway.signal" -> its time constant over the synaptic one (1 where absent).
    """
    given = {name: value[:samples] for name, value in given.items()}
    reference = RateProgram(program, weights)
    inputs, signals = reference.load(given), reference.signals(given)
    found = []
    for phase in settling_phases(program):
        text = flow.source(program, phase, dict(taus or {}))
        title = f"{program.name}:flow of {phase} on {program.network}"
        move, settled = compile.function(text, "flow", title), compile.function(text, "settled", title)
        at = settled(signals[phase], reference.weight)
        inputs = inputs | signals["latched"]
        values, jacobians = [], []
        for n in range(len(at)):
            one = {name: value[n : n + 1] for name, value in inputs.items()}
            with torch.no_grad():
                jacobian = torch.func.jacfwd(lambda z, one=one, move=move: move(z[None], one, reference.weight)[0])(
                    at[n]
                ).numpy()
            values.append(_modes(jacobian))
            jacobians.append(jacobian)
        variables = flow.blocks(program, phase)
        found.append(
            Timescales(
                phase,
                np.concatenate(values),
                _chain(jacobian, variables),
                np.stack(jacobians),
                at.numpy(),
                tuple(b.size for b in variables),
            )
        )
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
    reads = np.array(
        [
            [np.any(jacobian[ends[a] : ends[a + 1], ends[b] : ends[b + 1]]) and a != b for b in range(size)]
            for a in range(size)
        ]
    )
    count, label = connected_components(reads, directed=True, connection="strong")
    weight = np.bincount(label, minlength=count)
    above = [set(label[np.nonzero(reads[label == g].any(0))[0]]) - {g} for g in range(count)]
    depth: dict[int, int] = {}

    def longest(group: int) -> int:
        if group not in depth:
            depth[group] = int(weight[group]) + max((longest(g) for g in above[group]), default=0)
        return depth[group]

    return max(longest(g) for g in range(count))


def settling_time(program: Program, weights, given, eps: float = 1e-9, dt: float = 0.1, taus=None) -> float:
    """Time in synaptic time constants after which every phase has settled to eps; raises if one never does."""
    modes = timescales(program, weights, given, taus)
    for mode in modes:
        mode.check(dt)
    return max((mode.settling(eps, dt) for mode in modes), default=dt) + _trace_time(program, weights, given, eps)


def _trace_time(program: Program, weights, given, eps: float) -> float:
    """How long synaptic state needs after its inputs have settled: the sum over the states of one synapse."""
    if not any(p.states for p in program.plastics):
        return 0.0
    reference = RateProgram(program, weights)
    signals = reference.signals(reference.load({n: v[:2] for n, v in given.items()}))
    values = {**signals["latched"]}
    for phase in program.phases:
        values |= signals[phase]
    step = compile.function("\n".join(plasticity.traces(program)), "traces", f"{program.name}: synaptic state")
    total = 0.0
    for p in program.plastics:
        times = []
        for s in p.states:
            rest = {f"{t.name}_{q.weight}": torch.zeros(()) for q in program.plastics for t in q.states}
            name = f"{s.name}_{p.weight}"
            moved = step({**rest, name: torch.ones(())}, values, values)[name] - step(rest, values, values)[name]
            if not (moved < 0).all():
                raise SettlingError(f"the synaptic state {s.name!r} of {p.weight} does not decay; give it a leak.")
            times.append(-np.log(eps) / float(-moved.max()))
        total = max(total, sum(times))
    return total


def loop_calls(program: Program, weights, given) -> set[str]:
    """Keys ("pathway.signal") of the compartments that lie on a feedback loop."""
    found = set()
    for phase, mode in zip(settling_phases(program), timescales(program, weights, given, samples=1), strict=True):
        count, label = connected_components(mode.jacobians[0] != 0, directed=True, connection="strong")
        crowded = np.bincount(label, minlength=count)[label] > 1
        ends = np.cumsum([0, *mode.blocks])
        for n, block in enumerate(flow.blocks(program, phase)):
            for compartment in program.cells[block.cell].compartments:
                if compartment.name == block.name and crowded[ends[n] : ends[n + 1]].any():
                    found.add(compartment.key)
    return found


def spiking_timing(
    program: Program, weights, given, steps: int, timing: Timing | None = None, eps: float = 3e-4
) -> Timing:
    """Timing of ``steps`` per phase, half of them window, with every time constant in proportion.

    Compartments outside loops filter over steps/50. A loop gets synapses fast enough that the whole circuit settles to
    eps before the window opens, and no faster. Raises SettlingError if that needs synapses below three steps of dt.
    """
    timing = (timing or Timing()).scaled(steps)
    loops = loop_calls(program, weights, given)
    if not program_has_states(program):
        return timing
    slow, keys = timing.tau, {c.key for cell in program.cells for c in cell.compartments}
    for k in range(24):
        tau = slow * 2 ** (-k / 3)
        if tau < 3 * timing.dt:
            break
        taus = dict.fromkeys(keys - loops, slow / tau)
        modes = timescales(program, weights, given, taus)
        for mode in modes:
            mode.check(timing.dt / tau)
        if max(mode.settling(eps, timing.dt / tau) for mode in modes) * tau <= timing.settle * timing.dt:
            return replace(timing, tau=tau, taus=dict.fromkeys(keys - loops, slow))
    raise SettlingError(
        f"{program.name} does not settle to {eps:g} within {timing.settle} steps of {timing.dt:g} s, even with synapses of three "
        "steps; simulate longer, raise the leak, or speed up the slow variable of the loop."
    )


def peaks(program: Program, weights, given) -> dict[str, np.ndarray]:
    """{signal_cell: (batch, units)}: the largest size that each transmitted signal settles to, over the phases."""
    found: dict[str, np.ndarray] = {}
    sent = {f"{name}_{k}" for k, cell in enumerate(program.cells) for name in cell.sent}
    for phase, signals in RateProgram(program, weights).signals(given).items():
        for name in sent & set(signals) if phase != "latched" else ():
            found[name] = np.maximum(found.get(name, 0.0), np.abs(signals[name].cpu().numpy()))
    return found


def settling_phases(program: Program) -> list[str]:
    """Phases with something to settle: in the others no current flows."""
    return [phase for phase in program.phases if flow.blocks(program, phase)]


def program_has_states(program: Program) -> bool:
    """Whether any signal is differential."""
    return any(program.states(phase, closed=False) for phase in program.phases)
