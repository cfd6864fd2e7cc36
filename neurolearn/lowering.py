"""From the texts of a rule to its Program on a network: only what plasticity demands is kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from neurolearn import activations
from neurolearn.equations import Expr, Span, Statement
from neurolearn.errors import InputError
from neurolearn.layers import Layers
from neurolearn.network import Network
from neurolearn.program import Cell, Compartment, Latch, Node, Path, Plastic, Program, Signal
from neurolearn.rule import Rule
from neurolearn.texts import PlasticText, Texts
from neurolearn.wiring import Wiring

DRAWN = ("noise", "uniform")  # numbers drawn for each unit, sample and phase
GIVEN = (*DRAWN, "polarity", "distance")


class Lowering:
    """One lowering; ``program()`` gives the result."""

    def __init__(self, rule: Rule, network: Network):
        self.rule, self.network, self.layers = rule, network, Layers(network, rule.populations)
        self.texts = Texts(rule, self.layers)
        self.wiring = Wiring(self.layers, self.texts.pathways)
        self.kept: set[tuple[int, str]] = set()  # latches that are read
        self.demand: dict[str, set[Node]] = {phase: set() for phase in self.texts.phases}
        self.compartments: dict[int, dict[str, Compartment]] = {k: {} for k in range(len(self.layers))}
        self.sent: dict[int, dict[str, None]] = {k: {} for k in range(len(self.layers))}

    def program(self) -> Program:
        """Demand what plasticity reads, follow it to what that reads, assemble."""
        texts = self.texts
        plastics = [p for text in texts.plasticity for p in self._plastics(text)]
        self._spread_demand()
        for plastic in plastics:
            for name in sorted(plastic.reads("pre")):
                latch = texts.latch(plastic.source, name)
                self.sent[plastic.source].setdefault(latch[1].expr.value if latch else name)
        softmax = Expr("call", "softmax", (Expr("name", "potential"),))
        closed = {Node(self.network.output, "rate"): softmax} if texts.softmax_untouched() else {}
        cells = tuple(self._cell(k) for k in self.compartments)
        program = Program(
            self.rule.name,
            self.network,
            tuple(texts.phases),
            cells,
            self.wiring.weights,
            tuple(plastics),
            texts.constants,
            texts.times,
            closed,
        )
        for phase in texts.phases:
            try:
                program.order(phase)
            except ValueError as error:
                raise Span(f"phase {phase}", "", 0, 0).error(f"{error}.", self.rule.name) from None
        return program

    # -- plasticity on edges ---------------------------------------------------------------------------------------

    def _plastics(self, text: PlasticText) -> Iterator[Plastic]:
        for layer in range(len(self.layers)):
            if text.layer not in (None, layer) or not self.texts.calls(text.pathway, layer):
                continue
            if text.is_bias and layer:
                yield self._plastic(text, self.wiring.bias(text.pathway, layer), None, layer)
            if not text.is_bias:
                for _, source, weight in self.wiring.edges(text.pathway, layer):
                    if weight:
                        yield self._plastic(text, weight, source, layer)

    def _plastic(self, text: PlasticText, weight: str, source: int | None, target: int) -> Plastic:
        for node in (n for e in (text.expr, *(s.expr for s in text.states)) for n in e.walk()):
            if node.kind in ("post", "pre"):
                self._want(text.phase, target if node.kind == "post" else source, node.value, node.span)
        return Plastic(weight, text.phase, source, target, text.expr, text.states, text.line)

    # -- demand ----------------------------------------------------------------------------------------------------

    def _want(self, phase: str, layer: int, name: str, span: Span) -> None:
        if name in self.texts.statements[phase, layer]:
            self.demand[phase].add(Node(layer, name))
        elif found := self.texts.latch(layer, name, before=phase):
            self.kept.add((layer, name))
            self._want(found[0], layer, found[1].expr.value, found[1].expr.span)
        elif name in self.rule.broadcast:
            self._compartment(phase, layer, name, span)
        else:
            known = ", ".join(sorted(n for n in self.texts.statements[phase, layer] if not n.startswith("in_")))
            raise span.error(
                f"the {self.layers.kind(layer)} layer has no signal {name!r} here; it has {known}.", self.rule.name
            )

    def _spread_demand(self) -> None:
        """Follow every demanded signal to what it reads, phases from last to first (latches reach back)."""
        for phase in reversed(self.texts.phases):
            done: set[Node] = set()
            while todo := self.demand[phase] - done:
                node = min(todo)
                done.add(node)
                statement = self.texts.statements[phase, node.cell][node.name]
                for part in statement.expr.walk():
                    self._follow(phase, node.cell, part, statement)

    def _follow(self, phase: str, layer: int, part: Expr, statement: Statement) -> None:
        kind = self.layers.kind(layer)
        if part.kind == "path":
            self._compartment(phase, layer, part, part.span)
        elif part.kind == "call" and part.value == "inv" and not self._activation(layer).torch_inverse:
            raise InputError(
                f"{self.rule.name} needs the inverse of the activation, and {self._activation(layer).name} has none; "
                "choose leaky_relu, asinh, tanh or softplus."
            )
        elif part.kind == "call" and part.value == "inv" and self.network.signed:
            raise InputError(
                f"{self.rule.name} takes f back to the potential, and units of fixed polarity have the rate s*f; choose a "
                "network that is not signed."
            )
        elif part.kind == "call" and part.value == "sum":
            raise part.span.error("sum belongs to a broadcast; cells hear others through pathways.", self.rule.name)
        elif part.kind == "name":
            name, where = part.value, part.value.rpartition("_")[2]
            if name == "polarity" and layer > self.network.output:
                raise part.span.error("the cells that a rule adds have no polarity.", self.rule.name)
            if name in self.texts.constants or self.wiring.bias_owner(name, layer) or name in GIVEN:
                return
            if name in self.texts.times and statement.kind == "differential":
                return
            if (name == "teacher" and kind == "output") or (name == "data" and kind == "input"):
                return
            if name in ("teacher", "data"):
                raise part.span.error(
                    f"{name} is known to the {'output' if name == 'teacher' else 'input'} layer only; "
                    "send what follows from it through a pathway.",
                    self.rule.name,
                )
            if where in self.texts.reader.suffixes:
                carrier = next((p for p, pathway in self.rule.pathways.items() if pathway.source == where), "P")
                how = (
                    "names ending so stand in plasticity"
                    if where in ("pre", "post")
                    else (f"it arrives only through a pathway from {where}, as in {carrier}({name})")
                )
                raise part.span.error(f"{name!r} belongs to another cell; {how}.", self.rule.name)
            if name in self.texts.pathways:
                raise part.span.error(f"{name} is a pathway; call it with a signal.", self.rule.name)
            if name in self.texts.times:
                raise part.span.error(f"the time constant {name!r} belongs in a line dx/dt = ...", self.rule.name)
            self._want(phase, layer, name, part.span)

    def _compartment(self, phase: str, layer: int, part: Expr | str, span: Span) -> None:
        if isinstance(part, str):  # a broadcast
            self.compartments[layer].setdefault(
                part, Compartment(part, part, part, (Path("broadcast", self.network.output, f"in_{part}"),))
            )
            self.demand[phase].add(Node(self.network.output, f"in_{part}"))
            return
        pathway, signal, where = part.value
        paths = []
        argument = span.line.index(f"{signal}_{where}", span.line.index("(", span.column))
        for kind, source, weight in self.wiring.edges(pathway, layer):
            self._want(phase, source, signal, replace(span, column=argument))
            self.sent[source].setdefault(signal)
            tie = self.wiring.weights[weight].tie if weight else None
            paths.append(
                Path(kind, source, signal, tie[0], True, tie[1]) if tie else Path(kind, source, signal, weight)
            )
        if not paths:
            raise span.error(f"nothing lies {where} this {self.layers.kind(layer)} layer.", self.rule.name)
        name = _compartment_name(part)
        self.compartments[layer].setdefault(
            name, Compartment(name, f"{pathway}({signal}_{where})", pathway, tuple(paths))
        )

    # -- assembling ------------------------------------------------------------------------------------------------

    def _cell(self, layer: int) -> Cell:
        kind, signals, externals, biases = self.layers.kind(layer), {}, {}, {}
        for phase in self.texts.phases:
            for name, statement in self.texts.statements[phase, layer].items():
                if Node(layer, name) not in self.demand[phase]:
                    continue
                expr = statement.expr.rewrite(lambda node, phase=phase: self._lowered(node, phase, layer))
                for used in sorted(expr.names()):
                    if used in ("data", "teacher", "polarity") or used.startswith(tuple(f"{d}_" for d in DRAWN)):
                        externals[used] = None
                    elif owner := self.wiring.bias_owner(used, layer):
                        biases[used] = self.wiring.bias(owner, layer)
                old = signals.get(name)
                if old and old.kind != statement.kind:
                    raise statement.span.error(f"{name!r} is d/dt in one phase and not in another.", self.rule.name)
                forms = {**(old.forms if old else {}), phase: expr}
                lines = {**(old.lines if old else {}), phase: statement.source}
                signals[name] = Signal(name, statement.kind, forms, lines)
        latches = tuple(
            Latch(s.name, phase, s.expr.value)
            for phase in self.texts.phases
            for s in self.texts.latches[phase, layer]
            if (layer, s.name) in self.kept
        )
        return Cell(
            layer,
            self.layers.sizes[layer],
            kind,
            self.layers.title(layer),
            self._activation(layer),
            tuple(self.compartments[layer].values()),
            self._sorted(signals),
            latches,
            tuple(self.sent[layer]),
            tuple(externals),
            biases,
        )

    def _activation(self, layer: int) -> activations.Activation:
        return activations.linear if self.layers.kind(layer) == "output" else self.network.activation

    def _lowered(self, node: Expr, phase: str, layer: int) -> Expr:
        if node.kind == "path":
            return replace(node, kind="name", value=_compartment_name(node))
        if node.kind == "name" and node.value in DRAWN:
            return replace(node, value=f"{node.value}_{phase}")
        if node.kind == "name" and node.value == "polarity" and not self.network.signed:
            return replace(node, kind="number", value=1.0)
        if node.kind == "name" and node.value == "distance":
            return replace(node, kind="number", value=float(self._distance(layer)))
        return node

    def _distance(self, layer: int) -> int:
        """Connections from a layer to the output, by the longest way."""
        if layer >= self.network.output:
            return 0
        return 1 + max(self._distance(c.target) for c in self.network.above(layer))

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
                    f"an algebraic loop among {', '.join(sorted(left))}; write one of them as d(.)/dt.", self.rule.name
                )
            done += ready
            for s in ready:
                del left[s.name]
        return tuple(done)


def _compartment_name(part: Expr) -> str:
    pathway, signal, where = part.value
    return f"I_{pathway}_{signal}_{where}"
