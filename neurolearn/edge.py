"""One measured statement about a rule, and the nets, weights and batches on which such statements are measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

import numpy as np

from neurolearn import streams
from neurolearn.equations import Expr
from neurolearn.network import Network, mlp
from neurolearn.program import Program, lower
from neurolearn.rule import Rule

RATE, SPIKES, RATE_LIMIT, LIMIT = "circuit.rate=tensor.rate", "circuit.spiking=tensor.spiking", "spiking->rate", "limit"


FULL_BATCH = 32
MARGIN = 0.15
VANISHING = 1e-6  # of the largest change of the rule: below it there is nothing to compare


@dataclass(frozen=True)
class Edge:
    """One measured statement. norm: of what was compared, relative to backprop's where that is known."""

    rule: str
    network: str
    edge: str
    phase: str
    weight: str
    quantity: str
    measured: float
    tolerance: float
    norm: float
    note: str = ""

    @property
    def passed(self) -> bool:
        """Within tolerance, and not because there was nothing to compare."""
        return bool(self.measured <= self.tolerance and self.norm > 1e-9 and not self.note.startswith("void"))

    def json(self) -> dict:
        """Plain data, with the ratio of measured to tolerance."""
        ratio = self.measured / self.tolerance if self.tolerance else float(self.measured > 0)
        return {**asdict(self), "ratio": ratio, "passed": self.passed}


@dataclass(frozen=True)
class Setting:
    """A net, its weights and a batch on which edges are measured."""

    sizes: tuple[int, ...] = (12, 10, 8, 4)
    activation: str = "tanh"
    seed: int = 1
    batch: int = 4
    signed: bool = False

    def network(self) -> Network:
        """The net: a chain with squared error."""
        return mlp(self.sizes, self.activation, signed=self.signed)

    def batch_of(self, copies: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """(x, teacher) drawn from the seed; the whole batch ``copies`` times."""
        rng = streams.stream(self.seed, "verify")
        x = rng.random((self.batch, self.sizes[0]))
        teacher = np.eye(self.sizes[-1])[rng.integers(0, self.sizes[-1], self.batch)]
        if self.sizes[-1] == 1:
            teacher = rng.standard_normal((self.batch, 1))
        return np.tile(x, (copies, 1)), np.tile(teacher, (copies, 1))


def settings(rule: Rule, full: bool = False) -> tuple[Setting, ...]:
    """The nets of a rule: its smallest, or with ``full`` all its shapes and activations with two seeds each."""
    nets = rule.nets
    if not full:
        return (Setting(nets.shapes[0], nets.activations[0], signed=nets.signed),)
    return tuple(
        Setting(sizes, activation, seed, batch=FULL_BATCH, signed=nets.signed)
        for sizes in nets.shapes
        for activation in nets.activations
        for seed in (1, 2)
    )


def flip(program: Program) -> Program:
    """The program with the sign of every first plasticity of a weight turned round."""
    return replace(program, plastics=tuple(replace(p, expr=Expr("neg", None, (p.expr,))) for p in program.plastics))


def case(rule: Rule, setting: Setting, sabotage: bool, copies: int = 1):
    """(program, program under test, weights, given); ``copies`` of the batch side by side, with the same noise."""
    program = lower(rule, setting.network())
    weights = streams.initial_weights(program, rule.pathways, setting.seed, bias=0.2)
    indices = _steady(program, weights, setting)
    given = streams.given(program, *setting.batch_of(copies), setting.seed, indices=np.tile(indices, copies))
    return program, flip(program) if sabotage else program, weights, given


def _steady(program: Program, weights, setting: Setting) -> np.ndarray:
    """Indices of draws for the batch that decide alike if every ``uniform`` number were ``MARGIN`` larger or smaller.

    A stochastic unit whose draw lies nearer to its rate than the ripple of its spikes is decided otherwise in part of the
    window, which says nothing about the realisation. A sample takes the next draw until it is clear of that.
    """
    from neurolearn.tensor.rate import RateProgram

    rate, indices = RateProgram(program, weights), np.arange(setting.batch)
    while True:
        given = streams.given(program, *setting.batch_of(), setting.seed, indices=indices)
        drawn = [name for name in given if name.startswith("uniform_")]
        if not drawn:
            return indices
        now, less, more = (
            [v for phase in rate.signals({**given, **{n: given[n] + by for n in drawn}}).values() for v in phase.values()]
            for by in (0.0, -MARGIN, MARGIN)
        )
        same = [(a == b).all(1).numpy() for moved in (less, more) for a, b in zip(now, moved, strict=True)]
        if np.all(same):
            return indices
        indices = np.where(np.all(same, axis=0), indices, indices + setting.batch)


def algebra(program: Program, weights, given) -> dict[str, np.ndarray]:
    """The changes of tensor.rate."""
    from neurolearn.tensor.rate import RateProgram

    return {n: c.numpy() for n, c in RateProgram(program, weights).changes(given).items()}


def rows(
    rule, setting: Setting, edge: str, program: Program, quantity: str, measure, tolerance: float, norms, note=""
) -> Iterator[Edge]:
    """One edge for each plastic weight: ``measure(name)`` against the tolerance; void where the change vanishes."""
    largest = max(float(np.linalg.norm(norms[p.weight])) for p in program.plastics)
    for plastic in program.plastics:
        name, norm = plastic.weight, float(np.linalg.norm(norms[plastic.weight]))
        vanishes = norm <= VANISHING * largest
        yield Edge(
            rule.name,
            f"{setting.network()} seed {setting.seed}",
            edge,
            plastic.phase,
            name,
            quantity,
            float("nan") if vanishes else float(measure(name)),
            tolerance,
            norm,
            f"void: the change of {name} vanishes" if vanishes else note,
        )
