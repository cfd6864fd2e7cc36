"""A learning rule: equations of signals, pathways and plasticity. A value, not a program; it knows no simulator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import isfinite
from numbers import Real

import numpy as np

from neurolearn.equations import WHERE
from neurolearn.errors import InputError, RuleError

TIES = {"transpose": 1.0, "negated transpose": -1.0}


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
class Tied:
    """Weights that are another pathway's for ever: how is "transpose" or "negated transpose". Shown in the ledger."""

    of: str
    how: str = "transpose"

    def __post_init__(self) -> None:
        if self.how not in TIES:
            raise InputError(f"Tied: how is {self.how!r}; choose one of {', '.join(TIES)}.")


@dataclass(frozen=True)
class Pathway:
    """Weights from one layer to another.

    source: where its signals come from, seen from the receiving cell: above, below, output or here (lateral, without
    self-connections unless ``self_connections``). weights: an initialiser ``(rng, (to, from)) -> array``, which never
    sees another weight, or Tied. bias: name of a per-cell constant current that is learned with the pathway.
    """

    source: str
    weights: Callable | Tied = field(default_factory=Normal)
    bias: str | None = None
    self_connections: bool = False

    def __post_init__(self) -> None:
        if self.source not in WHERE:
            raise InputError(f"Pathway: source is {self.source!r}; choose one of {', '.join(WHERE)}.")


@dataclass(frozen=True)
class Phase:
    """One phase of a presentation: its own equations on top of the defaults, and what learns at its end."""

    input: str = ""
    hidden: str = ""
    output: str = ""
    plasticity: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Identity:
    """The rule equals ``equals`` at finite parameters once some weights are set; <= tolerance in float64.

    set: pathway -> "transpose" (of the forward weight on the same edge) or "path transpose" (of the product of all
    forward weights from there to the output). linear: the statement is about a network of linear units.
    """

    equals: str = "backprop"
    set: Mapping[str, str] = field(default_factory=dict)
    linear: bool = False
    tolerance: float = 1e-10


@dataclass(frozen=True)
class Limit:
    """As ``parameter`` goes to 0 over ``values`` the rule tends to ``equals`` with the stated order.

    equals: function (network, weights, x, teacher, constants) -> {weight name: change}, in NumPy from the paper.
    """

    parameter: str
    equals: Callable
    order: float = 1.0
    values: tuple[float, ...] = (1e-1, 1e-2, 1e-3, 1e-4)
    tolerance: float = 0.1


FORWARD = Pathway("below", Normal(), bias="b")


@dataclass(frozen=True)
class Rule:
    r"""A learning rule, written once.

    name, reference: the paper's name and its citation. hidden, output, input: equations of each kind of layer on top of
    the defaults ``potential = W(rate_below) + b``, ``rate = f(potential)``, ``slope = df(potential)`` (input:
    ``rate = data``). plasticity: pathway -> what its weights *add*, in ``x_pre``, ``x_post``, ``w``, constants,
    synaptic state and broadcasts. pathways: name -> Pathway; ``W`` (forward, from below) is always there. phases:
    phases that run before the main one, in their order; a rule may have phases only. constants: numbers. times: time
    constants, in units of the synaptic one. broadcast: name -> ``sum(expression of the output layer)``, one number per
    sample. limit: the statement that ``verify`` checks. own: what the rule follows, if not the gradient; a function
    like ``Limit.equals``.

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
    limit: Identity | Limit | None = None
    own: Callable | None = None

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

        lower(self, mlp([2, 2, 2, 2]))

    def _check_pathways(self) -> None:
        for name, pathway in self.pathways.items():
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
            if (self.pathways[tie.of].source, pathway.source) not in {("below", "above"), ("above", "below")}:
                raise RuleError(
                    f"pathway {name} (from {pathway.source}) cannot be the transpose of {tie.of} "
                    f"(from {self.pathways[tie.of].source}); the two must run along the same edge.",
                    rule=self.name,
                )

    def _check_names(self) -> None:
        """One name, one meaning."""
        groups = {f"pathway {name}": [name, *filter(None, [p.bias])] for name, p in self.pathways.items()}
        groups |= {what: list(getattr(self, what)) for what in ("constants", "times", "broadcast")}
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
            phases["learn"] = Phase(self.input, self.hidden, self.output, self.plasticity)
        return phases

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
