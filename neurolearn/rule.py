"""A learning rule: equations of signals, pathways and plasticity. A value, not a program; it knows no simulator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import isfinite
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np

from neurolearn.equations import WHERE
from neurolearn.errors import InputError, RuleError

if TYPE_CHECKING:
    from neurolearn.network import Network

SAME_SYNAPSE = {"transpose": 1.0, "negated transpose": -1.0, "retrograde": 1.0}
DERIVED = ("pseudo-inverse", "sign", "path transpose", "negated path transpose")


@dataclass(frozen=True)
class Normal:
    """Independent normal weights of standard deviation ``scale / sqrt(fan_in)``."""

    scale: float = 1.0

    def __call__(self, rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
        """Weights (to, from) drawn from rng."""
        return rng.normal(0.0, self.scale / np.sqrt(shape[1]), shape)


@dataclass(frozen=True)
class Uniform:
    """Independent weights, uniform in ``+- scale / sqrt(fan_in)``."""

    scale: float = 1.0

    def __call__(self, rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
        """Weights (to, from) drawn from rng."""
        return rng.uniform(-self.scale, self.scale, shape) / np.sqrt(shape[1])


@dataclass(frozen=True)
class Mean:
    """Every weight is ``1 / fan_in``: the target hears the mean of the source layer."""

    def __call__(self, rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
        """The constant weights."""
        return np.full(shape, 1.0 / shape[1])


@dataclass(frozen=True)
class Orthogonal:
    """Random weights with orthonormal rows or columns, whichever are fewer: square ones are orthogonal (Haar)."""

    scale: float = 1.0

    def __call__(self, rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
        """Weights (to, from) drawn from rng."""
        q, r = np.linalg.qr(rng.normal(size=(max(shape), min(shape))))
        q = q * np.sign(np.diag(r))
        return self.scale * (q if shape[0] >= shape[1] else q.T)


@dataclass(frozen=True)
class Diagonal:
    """``scale`` times the identity matrix: a lateral pathway on which every cell hears only itself at the start."""

    scale: float = 1.0

    def __call__(self, rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
        """The constant weights."""
        return self.scale * np.eye(*shape)


@dataclass(frozen=True)
class Tied:
    r"""Weights that follow another pathway's. What is tied, and for how long, stands in the ledger.

    how: "transpose" and "negated transpose" are one synapse read in both directions; "retrograde" is the same, for a
    signal that runs back along its own forward synapse. "pseudo-inverse" is $W^\top (W W^\top + d I)^{-1}$ with
    ``damping`` d ($W^+$ at 0), "sign" is $\mathrm{sign}(W)^\top$ times the mean of $|W|$, "path transpose" and
    "negated path transpose" are the transposed product of all matrices from the receiving layer up to the output.
    at_start: only the first weights are so; afterwards the pathway goes its own way.
    """

    of: str
    how: str = "transpose"
    damping: float = 0.0
    at_start: bool = False

    def __post_init__(self) -> None:
        if self.how not in (*SAME_SYNAPSE, *DERIVED):
            raise InputError(f"Tied: how is {self.how!r}; choose one of {', '.join((*SAME_SYNAPSE, *DERIVED))}.")
        if not (isinstance(self.damping, Real) and isfinite(self.damping) and self.damping >= 0):
            raise InputError(f"Tied: damping is {self.damping!r}; give a number that is not negative.")
        if self.damping and self.how != "pseudo-inverse":
            raise InputError(f"Tied: damping belongs to 'pseudo-inverse', not to {self.how!r}.")


@dataclass(frozen=True)
class Pathway:
    """Weights from one layer to another.

    source: where its signals come from, seen from the receiving cell: above, below, output, top (the layers just below
    the output), here (lateral, without self-connections unless ``self_connections``) or the name of a population of the
    rule. weights: an initialiser ``(rng, (to, from)) -> array``, which never sees another weight, or Tied. bias: name
    of a per-cell constant current that is learned with the pathway. coherent: every weight has the sign of the
    postsynaptic unit's polarity, at the start and after every change; those from the input are free.
    """

    source: str
    weights: Callable | Tied = field(default_factory=Normal)
    bias: str | None = None
    self_connections: bool = False
    coherent: bool = False


@dataclass(frozen=True)
class Population:
    """Cells that a rule adds to the network: how many, and their equations in the main text. They have no defaults."""

    size: int
    text: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.size, int) or isinstance(self.size, bool) or self.size < 1:
            raise InputError(f"Population: size is {self.size!r}; give a positive integer.")


@dataclass(frozen=True)
class Phase:
    """One phase of a presentation: its own equations on top of the defaults, and what learns at its end.

    first, last: text of the hidden layer that hears the input only, or sends to the output only, in place of
    ``hidden``. populations: name -> text. turn: if given, the phase runs once for every hidden layer, from the highest
    to the lowest; these lines are added in the layer whose turn it is, and latches of ``turn`` and all plasticity of the
    phase belong to that layer alone.
    """

    input: str = ""
    hidden: str = ""
    output: str = ""
    plasticity: Mapping[str, str] = field(default_factory=dict)
    first: str | None = None
    last: str | None = None
    turn: str | None = None
    populations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Nets:
    """Networks that a rule is for. ``verify`` measures it on these; chain and scalar are required of every network.

    shapes: sizes of the first net (small; all edges) and of those that ``--full`` adds. activations: of the hidden
    layers, the first for slopes. signed: with units of fixed polarity. chain: no skip connections. scalar: one output.
    """

    shapes: tuple[tuple[int, ...], ...] = ((12, 10, 8, 4), (9, 12, 10, 7, 5))
    activations: tuple[str, ...] = ("tanh", "relu")
    signed: bool = False
    chain: bool = False
    scalar: bool = False


@dataclass(frozen=True)
class Identity:
    """The rule equals ``equals`` at finite parameters once some weights are set; <= tolerance in float64.

    set: pathway -> "transpose" (of the forward weight on the same edge), "path transpose" (of the product of all forward
    weights from there to the output) or "orthogonal" (rows or columns, whichever are fewer). equals: "backprop" or a
    function like ``Limit.equals``. linear: the statement is about a network of linear units. weights: pathways that it
    is about (all that learn, if none are named).
    """

    equals: str | Callable = "backprop"
    set: Mapping[str, str] = field(default_factory=dict)
    linear: bool = False
    tolerance: float = 1e-10
    weights: tuple[str, ...] = ()


@dataclass(frozen=True)
class Limit:
    """As ``parameter`` goes to 0 over ``values`` the rule tends to ``equals`` with the stated order.

    equals: "backprop" or a function (network, weights, x, teacher, constants) -> {weight name: change}, in NumPy from
    the paper. set: as of Identity. Weights whose change equals the limit at every value count as exact; the order is
    asked of the others.
    """

    parameter: str
    equals: str | Callable
    order: float = 1.0
    values: tuple[float, ...] = (1e-1, 1e-2, 1e-3, 1e-4)
    tolerance: float = 0.1
    set: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Expectation:
    r"""The mean change over draws of the rule's own noise is ``equals``: within 4 standard errors, which fall as $N^{-1/2}$.

    equals: function like ``Limit.equals``; it may name some of the weights only. set: as of Identity. draws: N.
    """

    equals: Callable
    draws: int = 4000
    set: Mapping[str, str] = field(default_factory=dict)
    tolerance: float = 4.0


FORWARD = Pathway("below", Normal(), bias="b")


@dataclass(frozen=True)
class Rule:
    r"""A learning rule, written once.

    name, reference: the paper's name and its citation. hidden, output, input: equations of each kind of layer on top of
    the defaults ``potential = W(rate_below) + b``, ``rate = f(potential)``, ``slope = df(potential)`` (input:
    ``rate = data``). plasticity: pathway -> what its weights *add*, in ``x_pre``, ``x_post``, ``w``, constants,
    synaptic state and broadcasts. pathways: name -> Pathway; ``W`` (forward, from below) is always there. phases:
    phases that run before the main one, in their order; a rule may have phases only. first, last, populations: as of
    Phase, for the main text; populations also says how many cells there are. constants: numbers. times: time
    constants, in units of the synaptic one. broadcast: name -> ``sum(expression of the output layer)``, one number per
    sample. nets: the networks that the rule is for. limit: the statement that ``verify`` checks. own: what the rule
    follows, if not the gradient; a function like ``Limit.equals``.

    Raises RuleError, with the line and a caret, if anything is not local or not in the language.
    """

    name: str
    hidden: str = ""
    output: str = ""
    input: str = ""
    plasticity: Mapping[str, str] = field(default_factory=dict)
    pathways: Mapping[str, Pathway] = field(default_factory=dict)
    phases: Mapping[str, Phase] = field(default_factory=dict)
    constants: Mapping[str, float] = field(default_factory=dict)
    times: Mapping[str, float] = field(default_factory=dict)
    broadcast: Mapping[str, str] = field(default_factory=dict)
    reference: str = ""
    limit: Identity | Limit | Expectation | None = None
    own: Callable | None = None
    first: str | None = None
    last: str | None = None
    populations: Mapping[str, Population] = field(default_factory=dict)
    nets: Nets = field(default_factory=Nets)

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise RuleError(f"the name {self.name!r} must be an identifier, such as my_rule.")
        object.__setattr__(self, "pathways", {"W": FORWARD, **self.pathways})
        self._check_pathways()
        self._check_names()
        object.__setattr__(self, "constants", self._numbers("constants"))
        object.__setattr__(self, "times", self._numbers("times"))
        from neurolearn.network import mlp  # lowering onto a small net finds every error at construction
        from neurolearn.program import lower

        lower(self, mlp([2, 2, 2, 2, 1 if self.nets.scalar else 2]))

    def _check_pathways(self) -> None:
        for name, pathway in self.pathways.items():
            if isinstance(pathway, Pathway) and pathway.source not in (*WHERE, *self.populations):
                places = ", ".join((*WHERE, *self.populations))
                raise RuleError(
                    f"pathway {name}: source is {pathway.source!r}; choose one of {places}.", rule=self.name
                )
            if not isinstance(pathway, Pathway):
                raise RuleError(
                    f"pathway {name} is {pathway!r}; give a Pathway(source=..., weights=...).", rule=self.name
                )
            tie = pathway.weights if isinstance(pathway.weights, Tied) else None
            if not tie:
                continue
            if tie.of not in self.pathways or isinstance(self.pathways[tie.of].weights, Tied):
                raise RuleError(
                    f"pathway {name} is tied to {tie.of!r}, which has no weights of its own.", rule=self.name
                )
            ends = (self.pathways[tie.of].source, pathway.source)
            if "path" in tie.how and ends != ("below", "output"):
                raise RuleError(
                    f"pathway {name}: {tie.how!r} leads from the output (source='output') back along a pathway from "
                    f"below; here {name} comes from {ends[1]} and {tie.of} from {ends[0]}.",
                    rule=self.name,
                )
            if "path" not in tie.how and ends not in {("below", "above"), ("above", "below")}:
                raise RuleError(
                    f"pathway {name} (from {ends[1]}) cannot be the {tie.how} of {tie.of} (from {ends[0]}); the two must "
                    "run along the same edge.",
                    rule=self.name,
                )

    def _check_names(self) -> None:
        """One name, one meaning."""
        groups = {f"pathway {name}": [name, *filter(None, [p.bias])] for name, p in self.pathways.items()}
        groups |= {what: list(getattr(self, what)) for what in ("constants", "times", "broadcast", "populations")}
        owner: dict[str, str] = {}
        for group, names in groups.items():
            for name in names:
                if name in owner:
                    raise RuleError(f"{name!r} is named in {owner[name]} and in {group}; rename one.", rule=self.name)
                owner[name] = group
        for phase in self.phases:
            if not phase.isidentifier():
                raise RuleError(f"the phase {phase!r} must be an identifier, such as nudged.", rule=self.name)
        if "learn" in self.phases and (self.hidden or self.output or self.input or self.plasticity):
            raise RuleError("learn is the phase of the main text; give the phase 'learn' another name.", rule=self.name)

    def _numbers(self, what: str) -> dict[str, float]:
        """Constants or times as plain floats, which the printed programs can show."""
        for name, value in getattr(self, what).items():
            if not isinstance(value, Real) or not isfinite(value) or (what == "times" and value <= 0):
                kind = "a positive number" if what == "times" else "a number"
                raise RuleError(f"{name} in {what} is {value!r}; give {kind}.", rule=self.name)
        return {name: float(value) for name, value in getattr(self, what).items()}

    def all_phases(self) -> dict[str, Phase]:
        """Phases in the order in which they run; the main text is the phase ``learn``."""
        phases = dict(self.phases)
        if self.plasticity or self.hidden or self.output or self.input or not phases:
            texts = {name: population.text for name, population in self.populations.items()}
            phases["learn"] = Phase(
                self.input,
                self.hidden,
                self.output,
                self.plasticity,
                first=self.first,
                last=self.last,
                populations=texts,
            )
        return phases

    def example(self) -> Network:
        """The smallest of the networks that the rule is for."""
        from neurolearn.network import mlp

        return mlp(self.nets.shapes[0], self.nets.activations[0], signed=self.nets.signed)

    def with_constants(self, **constants: float) -> Rule:
        """The same rule with other constants. Raises InputError for a name that it does not have."""
        for name in constants:
            if name not in self.constants:
                raise InputError(
                    f"rule {self.name!r} has no constant {name!r}; it has {', '.join(self.constants) or 'none'}."
                )
        return replace(self, constants={**self.constants, **constants})

    def source(self, realisation: str, network) -> str:
        """The text that is compiled and run for a realisation on a network (``circuit.source`` writes a circuit's)."""
        from neurolearn.changes import source

        return source(self, network, realisation)
