"""The texts of a rule, read: lines by phase and kind of layer, latches, broadcasts and plasticity. Not yet on a network's
edges, but with every name of a synapse resolved: locality is checked here."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from neurolearn.dimensions import check_rate
from neurolearn.equations import Expr, Reader, Span, Statement
from neurolearn.network import Network
from neurolearn.program import State
from neurolearn.rule import Mean, Pathway, Rule, Tied

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


@dataclass(frozen=True)
class PlasticText:
    """What one pathway, or one bias, learns in one phase."""

    phase: str
    pathway: str
    is_bias: bool
    expr: Expr
    states: tuple[State, ...]
    line: str


class Texts:
    """All texts of a rule for networks of one kind of output. Raises RuleError with the place of a fault."""

    def __init__(self, rule: Rule, network: Network):
        self.rule = rule
        self.pathways, self.times, self.constants = dict(rule.pathways), dict(rule.times), dict(rule.constants)
        self.defaults = dict(DEFAULTS)
        if network.loss == "cross_entropy":
            self.pathways["pool"] = POOL
            self.times["tau_pool"] = 8.0
            self.constants["units"] = float(network.sizes[-1])
            self.defaults["output"] = SOFTMAX
        taken = {p.bias: f"the bias of {name}" for name, p in self.pathways.items() if p.bias}
        taken |= dict.fromkeys(self.constants, "a constant") | dict.fromkeys(self.times, "a time constant")
        taken |= dict.fromkeys(rule.broadcast, "a broadcast")
        self.reader = Reader(rule.name, {name: p.source for name, p in self.pathways.items()}, taken)
        self.phases = rule.all_phases()
        self.statements: dict[tuple[str, str], dict[str, Statement]] = {}  # (phase, kind of layer) -> name -> line
        self.latches: dict[tuple[str, str], list[Statement]] = {}
        self._check_names()
        self._read_blocks()
        self.plasticity = self._read_plasticity()
        for statement in (s for lines in self.statements.values() for s in lines.values()):
            if statement.kind == "differential":
                check_rate(statement.expr, self.times, rule.name)
        for state in (s for text in self.plasticity for s in text.states):
            check_rate(state.expr, self.times, rule.name)

    def calls(self, pathway: str, kind: str) -> bool:
        """Whether any line of that kind of layer calls the pathway."""
        return any(
            node.kind == "path" and node.value[0] == pathway
            for phase in self.phases
            for statement in self.statements[phase, kind].values()
            for node in statement.expr.walk()
        )

    def latch(self, kind: str, name: str, before: str | None = None) -> tuple[str, Statement] | None:
        """(phase, line) of the latch that fills ``name``, among the phases before ``before``."""
        for phase in self.phases:
            if phase == before:
                return None
            for latch in self.latches[phase, kind]:
                if latch.name == name:
                    return phase, latch
        return None

    def softmax_untouched(self) -> bool:
        """Whether the output layer still has the lines of the softmax circuit."""
        own = {s.source for phase in self.phases for s in self.statements[phase, "output"].values()}
        return self.defaults["output"] is SOFTMAX and set(SOFTMAX.splitlines()[1:3]) <= own

    # -- equations -------------------------------------------------------------------------------------------------

    def _check_names(self) -> None:
        plain = Reader(self.rule.name, {})
        for what in ("pathways", "constants", "times", "broadcast"):
            for name in getattr(self.rule, what):
                plain.check_name(name, Span(what, name, 0, 0))
        for pathway in self.rule.pathways.values():
            if pathway.bias and pathway.bias != "b":
                plain.check_name(pathway.bias, Span("pathways", pathway.bias, 0, 0))

    def _read_blocks(self) -> None:
        earlier: dict[str, set[str]] = {kind: set() for kind in self.defaults}
        for phase, texts in self.phases.items():
            for kind, default in self.defaults.items():
                lines = {
                    s.name: s for s in self.reader.block(f"default of {kind}", default) if s.name not in earlier[kind]
                }
                title = kind if len(self.phases) == 1 else f"{kind} of phase {phase}"
                own = self.reader.block(title, getattr(texts, kind))
                lines.update({s.name: s for s in own if s.kind != "latch"})
                if kind == "output":
                    lines.update(
                        {f"in_{name}": self._broadcast(name, text) for name, text in self.rule.broadcast.items()}
                    )
                self.statements[phase, kind] = lines
                self.latches[phase, kind] = [s for s in own if s.kind == "latch"]
                for latch in self.latches[phase, kind]:
                    if latch.name in lines:
                        raise latch.span.error(f"{latch.name!r} is latched and computed; rename one.", self.rule.name)
                    if latch.name in earlier[kind]:
                        raise latch.span.error(f"{latch.name!r} is latched in two phases; rename one.", self.rule.name)
                earlier[kind] |= {s.name for s in self.latches[phase, kind]}

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
        found = [p for phase, part in self.phases.items() for key in part.plasticity for p in self._plastic(phase, key)]
        if not found:
            raise Span("plasticity", "", 0, 0).error("nothing learns; give plasticity for a pathway.", self.rule.name)
        return found

    def _plastic(self, phase: str, key: str) -> list[PlasticText]:
        """The plasticity of a key, and of the bias that learns along with it unless it has a text of its own."""
        given = self.phases[phase].plasticity
        text, title = str(given[key]), f"plasticity of {key}" + (f" in phase {phase}" if len(self.phases) > 1 else "")
        owners = {p.bias: name for name, p in self.pathways.items() if p.bias}
        span = Span(title, text.strip().splitlines()[0] if text.strip() else "", 0, 0)
        if key not in self.rule.pathways and key not in owners:
            known = ", ".join([*self.rule.pathways, *owners])
            raise span.error(f"there is no pathway {key!r}; this rule has {known}.", self.rule.name)
        pathway = owners.get(key, key)
        weights = self.pathways[pathway].weights
        if isinstance(weights, Tied):
            raise span.error(f"{key} is tied to {weights.of} and cannot learn by itself.", self.rule.name)
        if not any(self.calls(pathway, kind) for kind in self.defaults):
            raise span.error(
                f"no cell calls {pathway}, so it has no synapses; write {pathway}(signal_"
                f"{self.pathways[pathway].source}) in an equation.",
                self.rule.name,
            )
        expr, states, line = self._plasticity_text(title, text)
        if key != pathway:
            return [PlasticText(phase, pathway, True, expr.rewrite(_without_pre), (), line)]
        found, bias = [PlasticText(phase, pathway, False, expr, states, line)], self.pathways[pathway].bias
        if bias and bias not in given and not states and not expr.names("weight"):
            found.append(PlasticText(phase, pathway, True, expr.rewrite(_without_pre), (), line))
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
            if node.kind == "path" or (node.kind == "call" and node.value in ("f", "df", "sum")):
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
