"""A learning rule: equations of signals, pathways and plasticity. A value, not a program; it knows no simulator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import isfinite
from numbers import Real
from typing import TYPE_CHECKING

from neurolearn.equations import WHERE
from neurolearn.errors import InputError, RuleError
from neurolearn.pathway import Diagonal, Mean, Normal, Orthogonal, Pathway, Population, Tied, Uniform
from neurolearn.statement import Expectation, Identity, Limit, Nets

if TYPE_CHECKING:
    from neurolearn.network import Network

__all__ = [
    "FORWARD",
    "Diagonal",
    "Expectation",
    "Identity",
    "Limit",
    "Mean",
    "Nets",
    "Normal",
    "Orthogonal",
    "Pathway",
    "Phase",
    "Population",
    "Rule",
    "Tied",
    "Uniform",
]


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
            if name == "W" and pathway.connection is not None:
                raise RuleError(
                    f"pathway W: connection is {pathway.connection}; the synapses of W are the network's, "
                    "Network(..., connection=0.1).",
                    rule=self.name,
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
