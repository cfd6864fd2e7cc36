"""From the texts of a rule to its Program on a network: names are resolved, and only what plasticity demands is kept."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from neurolearn import activations
from neurolearn.equations import SUFFIXES, Expr, Reader, Span, Statement
from neurolearn.network import Network
from neurolearn.program import Cell, Compartment, Latch, Node, Path, Plastic, Program, Signal, State, Weight
from neurolearn.rule import TIES, Mean, Pathway, Rule, Tied

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


class Lowering:
    """One lowering; ``program()`` gives the result."""

    def __init__(self, rule: Rule, network: Network):
        self.rule, self.network = rule, network
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
        self.kept: set[tuple[int, str]] = set()  # latches that are read
        self.weights: dict[str, Weight] = {}
        self.demand: dict[str, set[Node]] = {phase: set() for phase in self.phases}
        self.compartments: dict[int, dict[str, Compartment]] = {k: {} for k in range(len(network.sizes))}
        self.sent: dict[int, dict[str, None]] = {k: {} for k in range(len(network.sizes))}

    def program(self) -> Program:
        """Read, demand, assemble."""
        self._check_names()
        self._read_blocks()
        plastics = self._plastics()
        self._spread_demand()
        for plastic in plastics:
            for name in sorted(plastic.reads("pre")):
                latch = self._latch(plastic.source, name)
                self.sent[plastic.source].setdefault(latch.expr.value if latch else name)
        program = Program(
            self.rule.name, self.network, tuple(self.phases), tuple(self._cell(k) for k in self.compartments),
            self.weights, tuple(plastics), self.constants, self.times, self._closed(),
        )
        for phase in self.phases:
            try:
                program.order(phase)
            except ValueError as error:
                raise Span(f"phase {phase}", "", 0, 0).error(f"{error}.", self.rule.name) from None
        return program

    # -- reading ---------------------------------------------------------------------------------------------------

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
                lines = {s.name: s for s in self.reader.block(f"default of {kind}", default) if s.name not in earlier[kind]}
                title = kind if len(self.phases) == 1 else f"{kind} of phase {phase}"
                own = self.reader.block(title, getattr(texts, kind))
                lines.update({s.name: s for s in own if s.kind != "latch"})
                if kind == "output":
                    lines.update({f"in_{name}": self._broadcast(name, text) for name, text in self.rule.broadcast.items()})
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
            raise span.error("a broadcast is one number per sample: write sum(expression of the output layer).", self.rule.name)
        return Statement("algebraic", f"in_{name}", expr.args[0], span)

    # -- plasticity ------------------------------------------------------------------------------------------------

    def _plastics(self) -> list[Plastic]:
        plastics = []
        for phase, texts in self.phases.items():
            for key, text in texts.plasticity.items():
                plastics += self._plastic_pathway(phase, key, str(text), explicit=set(texts.plasticity))
        if not plastics:
            raise Span("plasticity", "", 0, 0).error("nothing learns; give plasticity for a pathway.", self.rule.name)
        return plastics

    def _plastic_pathway(self, phase: str, key: str, text: str, explicit: set[str]) -> Iterator[Plastic]:
        title = f"plasticity of {key}" if len(self.phases) == 1 else f"plasticity of {key} in phase {phase}"
        owners = {p.bias: name for name, p in self.pathways.items() if p.bias}
        span = Span(title, text.strip().splitlines()[0] if text.strip() else "", 0, 0)
        if key not in self.rule.pathways and key not in owners:
            known = ", ".join([*self.rule.pathways, *owners])
            raise span.error(f"there is no pathway {key!r}; this rule has {known}.", self.rule.name)
        pathway = owners.get(key, key)
        if isinstance(self.pathways[pathway].weights, Tied):
            raise span.error(f"{key} is tied to {self.pathways[pathway].weights.of} and cannot learn by itself.", self.rule.name)
        if not any(self._calls(pathway, kind) for kind in self.defaults):
            raise span.error(f"no cell calls {pathway}, so it has no synapses; write {pathway}(signal_"
                             f"{self.pathways[pathway].source}) in an equation.", self.rule.name)
        expr, states, line = self._plasticity_text(title, text)
        bias = self.pathways[pathway].bias
        for layer in range(len(self.network.sizes)):
            if not self._calls(pathway, self.network.kind(layer)):
                continue
            if key == pathway:
                for _, source, weight in self._edges(pathway, layer):
                    if weight:
                        yield self._plastic(weight, phase, source, layer, expr, states, line)
            if layer and (key == bias or (bias and bias not in explicit and not states and not expr.names("weight"))):
                name = self._bias(pathway, layer)
                yield self._plastic(name, phase, None, layer, expr.rewrite(_without_pre), (), line)

    def _plasticity_text(self, title: str, text: str) -> tuple[Expr, tuple[State, ...], str]:
        line = text.strip()
        if "\n" not in line and not re.match(r"[\w\s/]*=(?!=)", line):
            return self._synaptic(self.reader.expression(line, Span(title, line, 0, 0)), ()), (), line
        statements = self.reader.block(title, text, synapse=True)
        names = tuple(s.name for s in statements if s.kind == "differential")
        changes = [s for s in statements if s.name == "dw"]
        for s in statements:
            if s.kind != "differential" and s.name != "dw":
                raise s.span.error("a synapse has lines dx/dt = ... for its state and one line dw = ...", self.rule.name)
        if not changes:
            raise Span(title, statements[0].source, 1, 0).error("one line must say dw = ...", self.rule.name)
        states = tuple(State(s.name, self._synaptic(s.expr, names, times=True), s.source)
                       for s in statements if s.kind == "differential")
        return self._synaptic(changes[0].expr, names), states, changes[0].source

    def _synaptic(self, expr: Expr, states: tuple[str, ...], *, times: bool = False) -> Expr:
        """Resolve the names of a synapse: locality is checked here."""
        def resolve(node: Expr) -> Expr:
            if node.kind == "path" or (node.kind == "call" and node.value in ("f", "df", "sum")):
                raise node.span.error("a synapse has no pathways and no f; compute this in a cell and name it "
                                      "with _post or _pre.", self.rule.name)
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
                "synaptic state or a declared broadcast; bring anything else through a pathway.", self.rule.name)
        return expr.rewrite(resolve)

    def _plastic(self, weight, phase, source, target, expr, states, line) -> Plastic:
        plastic = Plastic(weight, phase, source, target, expr, states, line)
        for node in (n for e in (expr, *(s.expr for s in states)) for n in e.walk()):
            if node.kind in ("post", "pre"):
                self._want(phase, target if node.kind == "post" else source, node.value, node.span)
        return plastic

    # -- demand ----------------------------------------------------------------------------------------------------

    def _want(self, phase: str, layer: int, name: str, span: Span) -> None:
        kind = self.network.kind(layer)
        if name in self.statements[phase, kind]:
            self.demand[phase].add(Node(layer, name))
        elif latch := self._latch(layer, name, before=phase):
            self.kept.add((layer, name))
            self._want(self._phase_of(latch, kind), layer, latch.expr.value, latch.expr.span)
        elif name in self.rule.broadcast:
            self._compartment(phase, layer, name, span)
        else:
            known = ", ".join(sorted(n for n in self.statements[phase, kind] if not n.startswith("in_")))
            raise span.error(f"the {kind} layer has no signal {name!r} here; it has {known}.", self.rule.name)

    def _latch(self, layer: int, name: str, before: str | None = None) -> Statement | None:
        for phase in self.phases:
            if phase == before:
                return None
            for latch in self.latches[phase, self.network.kind(layer)]:
                if latch.name == name:
                    return latch
        return None

    def _phase_of(self, latch: Statement, kind: str) -> str:
        return next(phase for phase in self.phases if latch in self.latches[phase, kind])

    def _spread_demand(self) -> None:
        """Follow every demanded signal to what it reads, phases from last to first (latches reach back)."""
        for phase in reversed(self.phases):
            done: set[Node] = set()
            while todo := self.demand[phase] - done:
                node = min(todo)
                done.add(node)
                statement = self.statements[phase, self.network.kind(node.cell)][node.name]
                for part in statement.expr.walk():
                    self._follow(phase, node.cell, part, statement)

    def _follow(self, phase: str, layer: int, part: Expr, statement: Statement) -> None:
        kind = self.network.kind(layer)
        if part.kind == "path":
            self._compartment(phase, layer, part, part.span)
        elif part.kind == "call" and part.value == "sum":
            raise part.span.error("sum belongs to a broadcast; cells hear others through pathways.", self.rule.name)
        elif part.kind == "name":
            name, where = part.value, part.value.rpartition("_")[2]
            if name in self.constants or self._bias_owner(name, layer) or name == "noise":
                return
            if name in self.times and statement.kind == "differential":
                return
            if (name == "teacher" and kind == "output") or (name == "data" and kind == "input"):
                return
            if name in ("teacher", "data"):
                raise part.span.error(f"{name} is known to the {'output' if name == 'teacher' else 'input'} layer only; "
                                      "send what follows from it through a pathway.", self.rule.name)
            if where in SUFFIXES:
                carrier = next((p for p, pathway in self.rule.pathways.items() if pathway.source == where), "P")
                how = "names ending so stand in plasticity" if where in ("pre", "post") else (
                    f"it arrives only through a pathway from {where}, as in {carrier}({name})")
                raise part.span.error(f"{name!r} belongs to another cell; {how}.", self.rule.name)
            if name in self.pathways:
                raise part.span.error(f"{name} is a pathway; call it with a signal.", self.rule.name)
            if name in self.times:
                raise part.span.error(f"the time constant {name!r} belongs in a line dx/dt = ...", self.rule.name)
            self._want(phase, layer, name, part.span)

    def _compartment(self, phase: str, layer: int, part: Expr | str, span: Span) -> None:
        if isinstance(part, str):  # a broadcast
            self.compartments[layer].setdefault(
                part, Compartment(part, part, part, (Path("broadcast", self.network.output, f"in_{part}"),)))
            self.demand[phase].add(Node(self.network.output, f"in_{part}"))
            return
        pathway, signal, where = part.value
        paths = []
        argument = span.line.index(f"{signal}_{where}", span.line.index("(", span.column))
        for kind, source, weight in self._edges(pathway, layer):
            self._want(phase, source, signal, replace(span, column=argument))
            self.sent[source].setdefault(signal)
            tie = self.weights[weight].tie if weight else None
            paths.append(Path(kind, source, signal, tie[0], True, tie[1]) if tie else Path(kind, source, signal, weight))
        if not paths:
            raise span.error(f"nothing lies {where} this {self.network.kind(layer)} layer.", self.rule.name)
        name = _compartment_name(part)
        self.compartments[layer].setdefault(name, Compartment(name, f"{pathway}({signal}_{where})", pathway, tuple(paths)))

    # -- edges and weights -----------------------------------------------------------------------------------------

    def _calls(self, pathway: str, kind: str) -> bool:
        return any(node.kind == "path" and node.value[0] == pathway
                   for phase in self.phases for s in self.statements[phase, kind].values() for node in s.expr.walk())

    def _edges(self, pathway: str, layer: int) -> list[tuple[str, int, str | None]]:
        """(kind, source layer, weight name or None) of each edge of a pathway into a layer."""
        source, top = self.pathways[pathway].source, self.network.output
        if source == "below":
            edges = [(c.source, c.kind, c.mask) for c in self.network.below(layer)]
        elif source == "above":
            edges = [(c.target, c.kind, None if c.mask is None else np.asarray(c.mask).T) for c in self.network.above(layer)]
        else:
            edges = [(top if source == "output" else layer, "dense", None)] if source == "here" or layer != top else []
        return [("identity", k, None) if kind == "identity" else ("weight", k, self._matrix(pathway, layer, k, mask))
                for k, kind, mask in edges]

    def _matrix(self, pathway: str, layer: int, source: int, mask: np.ndarray | None) -> str:
        name, kind = f"{pathway}_{layer}_{source}", self.pathways[pathway]
        if name not in self.weights:
            shape = (self.network.sizes[layer], self.network.sizes[source])
            if kind.source == "here" and not kind.self_connections:
                mask = ~np.eye(shape[0], dtype=bool)
            tie = None
            if isinstance(kind.weights, Tied):
                tie = (self._matrix(kind.weights.of, source, layer, None if mask is None else mask.T), TIES[kind.weights.how])
            self.weights[name] = Weight(name, pathway, layer, source, shape, tie, mask)
        return name

    def _bias(self, pathway: str, layer: int) -> str:
        name = f"{self.pathways[pathway].bias}_{layer}"
        self.weights.setdefault(name, Weight(name, pathway, layer, None, (self.network.sizes[layer],)))
        return name

    def _bias_owner(self, name: str, layer: int) -> str | None:
        return next((p for p, kind in self.pathways.items() if kind.bias == name and layer > 0), None)

    # -- assembling ------------------------------------------------------------------------------------------------

    def _cell(self, layer: int) -> Cell:
        kind, signals, externals, biases = self.network.kind(layer), {}, {}, {}
        for phase in self.phases:
            for name, statement in self.statements[phase, kind].items():
                if Node(layer, name) not in self.demand[phase]:
                    continue
                expr = statement.expr.rewrite(lambda node, phase=phase: self._lowered(node, phase))
                for used in sorted(expr.names()):
                    if used in ("data", "teacher") or used.startswith("noise_"):
                        externals[used] = None
                    elif owner := self._bias_owner(used, layer):
                        biases[used] = self._bias(owner, layer)
                old = signals.get(name)
                if old and old.kind != statement.kind:
                    raise statement.span.error(f"{name!r} is d/dt in one phase and not in another.", self.rule.name)
                forms = {**(old.forms if old else {}), phase: expr}
                lines = {**(old.lines if old else {}), phase: statement.source}
                signals[name] = Signal(name, statement.kind, forms, lines)
        latches = tuple(Latch(s.name, phase, s.expr.value) for phase in self.phases
                        for s in self.latches[phase, kind] if (layer, s.name) in self.kept)
        activation = activations.linear if kind == "output" else self.network.activation
        return Cell(layer, self.network.sizes[layer], kind, f"layer{layer}", activation,
                    tuple(self.compartments[layer].values()), self._sorted(signals), latches,
                    tuple(self.sent[layer]), tuple(externals), biases)

    def _lowered(self, node: Expr, phase: str) -> Expr:
        if node.kind == "path":
            return replace(node, kind="name", value=_compartment_name(node))
        if node.kind == "name" and node.value == "noise":
            return replace(node, value=f"noise_{phase}")
        return node

    def _sorted(self, signals: dict[str, Signal]) -> tuple[Signal, ...]:
        """Differential signals first, then algebraic ones so that each follows what it reads."""
        done = [s for s in signals.values() if s.kind == "differential"]
        left = {n: s for n, s in signals.items() if s.kind == "algebraic"}
        while left:
            reads = {n: set().union(*(e.names() for e in s.forms.values())) & set(left) for n, s in left.items()}
            ready = [s for n, s in left.items() if not reads[n]]
            if not ready:
                while idle := set(left) - set().union(*(reads[n] for n in left)):  # only hang on the loop
                    left = {n: s for n, s in left.items() if n not in idle}
                span = next(iter(left[min(left)].forms.values())).span
                raise replace(span, column=0).error(
                    f"an algebraic loop among {', '.join(sorted(left))}; write one of them as d(.)/dt.", self.rule.name)
            done += ready
            for s in ready:
                del left[s.name]
        return tuple(done)

    def _closed(self) -> dict[Node, Expr]:
        """The softmax circuit's fixed point, if the rule left that circuit as it is."""
        top = self.network.output
        if self.network.loss != "cross_entropy":
            return {}
        own = {line for phase in self.phases for line in (s.source for s in self.statements[phase, "output"].values())}
        untouched = set(SOFTMAX.splitlines()[1:3]) <= own
        return {Node(top, "rate"): Expr("call", "softmax", (Expr("name", "potential"),))} if untouched else {}


def _compartment_name(part: Expr) -> str:
    pathway, signal, where = part.value
    return f"I_{pathway}_{signal}_{where}"


def _without_pre(node: Expr) -> Expr:
    """A bias is a weight from a cell whose signals are all 1."""
    if node.kind == "pre":
        return replace(node, kind="number", value=1.0)
    if node.kind == "*" and Expr("number", 1.0) in node.args:
        return node.args[0] if node.args[1] == Expr("number", 1.0) else node.args[1]
    return node
