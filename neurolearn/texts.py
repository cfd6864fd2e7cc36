"""The texts of a rule, read: lines by phase and kind of layer, latches, broadcasts and plasticity. Not yet on a network's
edges, but with every name of a synapse resolved: locality is checked here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from neurolearn.dimensions import check_rate
from neurolearn.equations import WHERE, Expr, Reader, Span, Statement
from neurolearn.errors import RuleError
from neurolearn.layers import Layers, check_fit
from neurolearn.program import State
from neurolearn.rule import Mean, Pathway, Phase, Rule, Tied

DEFAULTS = {
    "input": "rate = data",
    "hidden": "potential = W(rate_below) + b\nrate = f(potential)\nslope = df(potential)",
    "output": "potential = W(rate_below) + b\nrate = f(potential)\nslope = df(potential)",
}
# Softmax as shunting inhibition by the mean excitation of the layer; no cell divides.
SOFTMAX = """potential = W(rate_below) + b
excitation = exp(potential)
drate/dt = (excitation/units - rate*pool(excitation_here)) / tau_pool
slope = df(potential)"""
POOL = Pathway("here", weights=Mean(), self_connections=True)


SIGNED = {"hidden": "potential = W(rate_below) + b\nrate = polarity*f(potential)\nslope = polarity*df(potential)"}


@dataclass(frozen=True)
class PlasticText:
    """What one pathway, or one bias, learns in one phase; layer: the only one in which it does, if it is one's turn."""

    phase: str
    pathway: str
    is_bias: bool
    expr: Expr
    states: tuple[State, ...]
    line: str
    layer: int | None


class Texts:
    """All texts of a rule on a network's layers. Raises RuleError with the place of a fault, InputError for the network.

    phases: the names of all runs of all phases, in their order. turns: phase -> the layer whose turn it is, or None.
    """

    def __init__(self, rule: Rule, layers: Layers):
        self.rule, self.layers, network = rule, layers, layers.network
        check_fit(rule, network)
        self.pathways, self.times, self.constants = dict(rule.pathways), dict(rule.times), dict(rule.constants)
        self.defaults = {**DEFAULTS, **(SIGNED if network.signed else {})}
        if network.loss == "cross_entropy":
            self.pathways["pool"] = POOL
            self.times["tau_pool"] = 8.0
            self.constants["units"] = float(network.sizes[-1])
            self.defaults["output"] = SOFTMAX
        taken = {p.bias: f"the bias of {name}" for name, p in self.pathways.items() if p.bias}
        taken |= dict.fromkeys(self.constants, "a constant") | dict.fromkeys(self.times, "a time constant")
        taken |= dict.fromkeys(rule.broadcast, "a broadcast")
        self.reader = Reader(
            rule.name, {name: p.source for name, p in self.pathways.items()}, taken, tuple(rule.populations)
        )
        self.parts: dict[str, tuple[str, Phase]] = {}  # run of a phase -> the phase as it is declared
        self.turns: dict[str, int | None] = {}
        for name, part in rule.all_phases().items():
            for layer in reversed(layers.hidden()) if part.turn is not None else (None,):
                run = name if layer is None else f"{name}{layer}"
                if run in self.parts:
                    raise RuleError(f"two phases would be named {run!r}; rename one.", rule=rule.name)
                self.parts[run], self.turns[run] = (name, part), layer
        self.phases = tuple(self.parts)
        self.statements: dict[tuple[str, int], dict[str, Statement]] = {}  # (phase, layer) -> name -> line
        self.latches: dict[tuple[str, int], list[Statement]] = {}
        self._blocks: dict[tuple[str, str], list[Statement]] = {}
        self._check_names()
        for layer in range(len(layers)):
            self._read_layer(layer)
        self.called = {node.value[0] for s in self._written() for node in s.expr.walk() if node.kind == "path"}
        self.plasticity = self._read_plasticity()
        for statement in (s for lines in self.statements.values() for s in lines.values()):
            if statement.kind == "differential":
                check_rate(statement.expr, self.times, rule.name)
        for state in (s for text in self.plasticity for s in text.states):
            check_rate(state.expr, self.times, rule.name)

    def calls(self, pathway: str, layer: int) -> bool:
        """Whether any line of that layer calls the pathway."""
        return any(
            node.kind == "path" and node.value[0] == pathway
            for phase in self.phases
            for statement in self.statements[phase, layer].values()
            for node in statement.expr.walk()
        )

    def latch(self, layer: int, name: str, before: str | None = None) -> tuple[str, Statement] | None:
        """(phase, line) of the latch that fills ``name``, among the phases before ``before``."""
        for phase in self.phases:
            if phase == before:
                return None
            for latch in self.latches[phase, layer]:
                if latch.name == name:
                    return phase, latch
        return None

    def softmax_untouched(self) -> bool:
        """Whether the output layer still has the lines of the softmax circuit."""
        top = self.layers.network.output
        own = {s.source for phase in self.phases for s in self.statements[phase, top].values()}
        return self.defaults["output"] is SOFTMAX and set(SOFTMAX.splitlines()[1:3]) <= own

    # -- equations -------------------------------------------------------------------------------------------------

    def _check_names(self) -> None:
        plain = Reader(self.rule.name, {})
        for what in ("pathways", "constants", "times", "broadcast", "populations"):
            for name in getattr(self.rule, what):
                plain.check_name(name, Span(what, name, 0, 0))
        for name in self.rule.populations:
            if name in WHERE:
                raise RuleError(
                    f"population {name!r} says where a signal comes from; rename it.", rule=self.rule.name
                )
        for phase, part in self.rule.all_phases().items():
            for name in part.populations:
                if name not in self.rule.populations:
                    raise RuleError(
                        f"phase {phase!r} has a text for {name!r}, which is no population; this rule has "
                        f"{', '.join(self.rule.populations) or 'none'}.",
                        rule=self.rule.name,
                    )
        for pathway in self.rule.pathways.values():
            if pathway.bias and pathway.bias != "b":
                plain.check_name(pathway.bias, Span("pathways", pathway.bias, 0, 0))

    def _block(self, phase: str, title: str, text: str) -> list[Statement]:
        """Lines of one text, read once however many layers share it."""
        if (phase, title) not in self._blocks:
            place = title if len(self.rule.all_phases()) == 1 else f"{title} of phase {phase}"
            self._blocks[phase, title] = self.reader.block(place, text)
        return self._blocks[phase, title]

    def _own(self, run: str, layer: int) -> list[Statement]:
        """The rule's own lines for a layer, those of its turn last."""
        (phase, part), kind = self.parts[run], self.layers.kind(layer)
        if part.last is not None and self.layers.is_last(layer):
            lines = self._block(phase, "last", part.last)
        elif part.first is not None and self.layers.is_first(layer):
            lines = self._block(phase, "first", part.first)
        elif kind in DEFAULTS:
            lines = self._block(phase, kind, getattr(part, kind))
        else:
            lines = self._block(phase, kind, part.populations.get(kind, ""))
        return [*lines, *self._block(phase, "turn", part.turn)] if self.turns[run] == layer else lines

    def _written(self) -> Iterator[Statement]:
        """Every line that is written down, those for layers that this network lacks too."""
        for phase, part in self.rule.all_phases().items():
            texts = {**part.populations, **{t: getattr(part, t) for t in (*DEFAULTS, "first", "last", "turn")}}
            for title, text in texts.items():
                yield from self._block(phase, title, text or "")
        yield from (s for lines in self.statements.values() for s in lines.values())

    def _read_layer(self, layer: int) -> None:
        kind, earlier = self.layers.kind(layer), set()
        for run in self.phases:
            lines = {
                s.name: s
                for s in self.reader.block(f"default of {kind}", self.defaults.get(kind, ""))
                if s.name not in earlier
            }
            own = self._own(run, layer)
            lines.update({s.name: s for s in own if s.kind != "latch"})
            if kind == "output":
                lines.update({f"in_{name}": self._broadcast(name, text) for name, text in self.rule.broadcast.items()})
            self.statements[run, layer] = lines
            self.latches[run, layer] = [s for s in own if s.kind == "latch"]
            for latch in self.latches[run, layer]:
                if latch.name in lines:
                    raise latch.span.error(f"{latch.name!r} is latched and computed; rename one.", self.rule.name)
                if latch.name in earlier:
                    raise latch.span.error(f"{latch.name!r} is latched in two phases; rename one.", self.rule.name)
            earlier |= {s.name for s in self.latches[run, layer]}

    def _broadcast(self, name: str, text: str) -> Statement:
        span = Span(f"broadcast {name}", text := text.strip(), 0, 0)
        expr = self.reader.expression(text, span)
        if expr.kind != "call" or expr.value != "sum":
            raise span.error(
                "a broadcast is one number per sample: write sum(expression of the output layer).", self.rule.name
            )
        return Statement("algebraic", f"in_{name}", expr.args[0], span)

    # -- plasticity ------------------------------------------------------------------------------------------------

    def _read_plasticity(self) -> list[PlasticText]:
        found = []
        for phase, part in self.rule.all_phases().items():
            texts = [text for key in part.plasticity for text in self._plastic(phase, part, key)]
            for run, layer in self.turns.items():
                if self.parts[run][0] == phase:
                    found += [replace(text, phase=run, layer=layer) for text in texts]
        if not any(part.plasticity for part in self.rule.all_phases().values()):
            raise Span("plasticity", "", 0, 0).error("nothing learns; give plasticity for a pathway.", self.rule.name)
        return found

    def _plastic(self, phase: str, part: Phase, key: str) -> list[PlasticText]:
        """The plasticity of a key, and of the bias that learns along with it unless it has a text of its own."""
        given, several = part.plasticity, len(self.rule.all_phases()) > 1
        text, title = str(given[key]), f"plasticity of {key}" + (f" in phase {phase}" if several else "")
        owners = {p.bias: name for name, p in self.pathways.items() if p.bias}
        span = Span(title, text.strip().splitlines()[0] if text.strip() else "", 0, 0)
        if key not in self.rule.pathways and key not in owners:
            known = ", ".join([*self.rule.pathways, *owners])
            raise span.error(f"there is no pathway {key!r}; this rule has {known}.", self.rule.name)
        pathway = owners.get(key, key)
        weights = self.pathways[pathway].weights
        if isinstance(weights, Tied) and not weights.at_start:
            raise span.error(f"{key} is tied to {weights.of} and cannot learn by itself.", self.rule.name)
        if pathway not in self.called:
            raise span.error(
                f"no cell calls {pathway}, so it has no synapses; write {pathway}(signal_"
                f"{self.pathways[pathway].source}) in an equation.",
                self.rule.name,
            )
        expr, states, line = self._plasticity_text(title, text)
        if key != pathway:
            return [PlasticText(phase, pathway, True, expr.rewrite(_without_pre), (), line, None)]
        found, bias = [PlasticText(phase, pathway, False, expr, states, line, None)], self.pathways[pathway].bias
        if bias and bias not in given and not states and not expr.names("weight"):
            found.append(PlasticText(phase, pathway, True, expr.rewrite(_without_pre), (), line, None))
        return found

    def _plasticity_text(self, title: str, text: str) -> tuple[Expr, tuple[State, ...], str]:
        line = text.strip()
        if "\n" not in line and not re.match(r"[\w\s/]*=(?!=)", line):
            return self._synaptic(self.reader.expression(line, Span(title, line, 0, 0)), ()), (), line
        statements = self.reader.block(title, text, synapse=True)
        names = tuple(s.name for s in statements if s.kind == "differential")
        changes = [s for s in statements if s.name == "dw"]
        for s in statements:
            if s.kind != "differential" and s.name != "dw":
                raise s.span.error(
                    "a synapse has lines dx/dt = ... for its state and one line dw = ...", self.rule.name
                )
        if not changes:
            raise Span(title, statements[0].source, 1, 0).error("one line must say dw = ...", self.rule.name)
        states = tuple(
            State(s.name, self._synaptic(s.expr, names, times=True), s.source)
            for s in statements
            if s.kind == "differential"
        )
        return self._synaptic(changes[0].expr, names), states, changes[0].source

    def _synaptic(self, expr: Expr, states: tuple[str, ...], *, times: bool = False) -> Expr:
        """Resolve the names of a synapse: locality is checked here."""

        def resolve(node: Expr) -> Expr:
            if node.kind == "path" or (node.kind == "call" and node.value in ("f", "df", "inv", "sum")):
                raise node.span.error(
                    "a synapse has no pathways and no f; compute this in a cell and name it with _post or _pre.",
                    self.rule.name,
                )
            if node.kind != "name":
                return node
            name = node.value
            for side in ("post", "pre"):
                if name.endswith(f"_{side}"):
                    return replace(node, kind=side, value=name[: -len(side) - 1])
            if name == "w":
                return replace(node, kind="weight")
            if name in states:
                return replace(node, kind="state")
            if name in self.rule.broadcast:
                return replace(node, kind="post")
            if name in self.constants or (times and name in self.times):
                return node
            raise node.span.error(
                f"{name!r} is not available at a synapse. Use signals ending in _pre or _post, the weight w, a constant, "
                "synaptic state or a declared broadcast; bring anything else through a pathway.",
                self.rule.name,
            )

        return expr.rewrite(resolve)


def _without_pre(node: Expr) -> Expr:
    """A bias is a weight from a cell whose signals are all 1."""
    if node.kind == "pre":
        return replace(node, kind="number", value=1.0)
    if node.kind == "*" and Expr("number", 1.0) in node.args:
        return node.args[0] if node.args[1] == Expr("number", 1.0) else node.args[1]
    return node
