"""The reference program: one operation a line, in the order of the equations, each line ending with its equation."""

from __future__ import annotations

from neurolearn.equations import Expr, show
from neurolearn.program import Node, Plastic, Program
from neurolearn.tensor.emit import compartment_text, separate, state_sides, torch_text


def source(program: Program, *, signals: bool = False) -> str:
    """Text of ``changes(given, weight)``: {name: change} of all plastic weights, averaged over the batch.

    given: {name_cell: (batch, units)} from ``streams.given``. weight: {name: (to, from)}, tied ones left out.
    signals: return instead {phase: {name_cell: settled signal}}, with what was latched under "latched".
    """
    return "\n".join(_Reference(program, signals).lines()) + "\n"


class _Reference:
    def __init__(self, program: Program, signals: bool = False):
        self.program, self.signals, self.out = program, signals, []

    def lines(self) -> list[str]:
        program = self.program
        self.out = [
            "def changes(given, weight):",
            f'    """{program.name} on {program.network}, settled."""',
            f"    n = len(given['data_0'])",
        ]
        for name, value in {**program.constants, **program.times}.items():
            self._put(f"{name} = {value!r}", "constant" if name in program.constants else "in synaptic time constants")
        for w in program.free():
            self._put(f"{w.name} = weight[{w.name!r}]", f"(to, from) {w.shape}")
        for k, cell in enumerate(program.cells):
            for name in cell.externals:
                self._put(f"{name}_{k} = given['{name}_{k}']", cell.title)
        self._put("signal = {'latched': {}}" if self.signals else "change = {}", "")
        for phase in program.phases:
            self._phase(phase)
        self._put("return signal" if self.signals else "return change", "")
        return self.out

    def _put(self, text: str, comment: str, indent: int = 4) -> None:
        line = " " * indent + text
        self.out.append(f"{line:<76}  # {comment}" if comment else line)

    def _phase(self, phase: str) -> None:
        program = self.program
        if len(program.phases) > 1:
            self.out.append(f"    # ---- phase {phase}")
        order, states = program.order(phase), program.states(phase)
        if states:
            self._loop(phase, order, states)
        else:
            for node in order:
                self._signal(node, phase)
        for k, cell in enumerate(program.cells):
            for latch in cell.latches:
                if latch.phase == phase:
                    self._put(f"{latch.name}_{k} = {latch.signal}_{k}", f"latch {latch.name} = {latch.signal}")
                    if self.signals:
                        self._put(f"signal['latched']['{latch.name}_{k}'] = {latch.signal}_{k}", "")
        if self.signals:
            names = [f"'{n.name}_{n.cell}': {n.name}_{n.cell}" for n in [*states, *order]]
            self._put(f"signal[{phase!r}] = {{{', '.join(names)}}}", "")
            return
        for plastic in program.plastics:
            if plastic.phase == phase:
                self._plastic(plastic)

    def _signal(self, node: Node, phase: str, indent: int = 4, expanded: bool = False) -> None:
        line = self.program.cells[node.cell].signal(node.name).lines[phase]
        self._put(f"{node.name}_{node.cell} = {self._text(node, phase)}", line, indent)

    def _text(self, node: Node, phase: str) -> str:
        cell = self.program.cells[node.cell]
        compartments = {c.name: c for c in cell.compartments}

        def leaf(expr: Expr) -> str:
            name = expr.value
            if name in compartments:
                text = compartment_text(self.program, node.cell, compartments[name])
                return f"({text})"
            if name in self.program.constants or name in self.program.times:
                return name
            return cell.biases.get(name, f"{name}_{node.cell}")

        return torch_text(self.program.form(node, phase), leaf, cell.activation)

    # -- loops -----------------------------------------------------------------------------------------------------

    def _loop(self, phase: str, order: list[Node], states: list[Node]) -> None:
        """Signals that hang on a state are computed inside the flow, and once more at its fixed point."""
        inside: set[Node] = set(states)
        for node in order:
            if any(n in inside for n in self.program.reads(node.cell, self.program.form(node, phase))):
                inside.add(node)
        needed = self._needed(phase, states, inside)
        for node in order:
            if node not in inside:
                self._signal(node, phase)
        sizes = [self.program.cells[n.cell].size for n in states]
        names = ", ".join(f"{n.name}_{n.cell}" for n in states) + ("," if len(states) == 1 else "")
        outer = sorted({n for node in [*needed, *states] for n in self.program.reads(
            node.cell, self.program.form(node, phase))} - inside)
        self._put("def flow(state, copies):", "the loop; copies: the batch stacked so many times")
        for n in outer:
            self._put(f"{n.name}_{n.cell} = outer_{n.name}_{n.cell}.repeat(copies, 1)", "", 8)
        for k, name in self._outside(phase, [*needed, *states]):
            self._put(f"{name}_{k} = given['{name}_{k}'].repeat(copies, 1)", "", 8)
        self._put(f"{names} = state.split({sizes}, dim=1)", "", 8)
        for node in order:
            if node in needed:
                self._signal(node, phase, 8)
        self._put("return torch.cat([", "", 8)
        for node in states:
            self._put(f"{self._text(node, phase)},", self.program.cells[node.cell].signal(node.name).lines[phase], 12)
        self._put("], dim=1)", "", 8)
        for n in outer:
            self._put(f"outer_{n.name}_{n.cell} = {n.name}_{n.cell}", "")
        self._put(f"{names} = settle(flow, n, {sum(sizes)}, given['data_0']).split({sizes}, dim=1)", "the fixed point")
        for node in order:
            if node in inside:
                self._signal(node, phase)

    def _needed(self, phase: str, states: list[Node], inside: set[Node]) -> set[Node]:
        needed, todo = set(), list(states)
        while todo:
            node = todo.pop()
            for read in self.program.reads(node.cell, self.program.form(node, phase)):
                if read in inside and read not in needed and read not in states:
                    needed.add(read)
                    todo.append(read)
        return needed

    def _outside(self, phase: str, nodes: list[Node]) -> list[tuple[int, str]]:
        return sorted({(n.cell, name) for n in nodes for name in self.program.form(n, phase).names()
                       if name in self.program.cells[n.cell].externals
                       or self.program.latch(n.cell, name) is not None})

    # -- plasticity ------------------------------------------------------------------------------------------------

    def _plastic(self, plastic: Plastic) -> None:
        where = state_sides(plastic)
        flat = {name: side for name, side in where.items() if len(side) <= 1}
        deep = len(flat) < len(where)

        def leaf(expr: Expr, spread: bool = deep) -> str:
            if expr.kind == "weight":
                return plastic.weight
            if expr.kind == "name":
                return expr.value
            side = expr.kind if expr.kind != "state" else next(iter(where[expr.value]), "post")
            cell = plastic.source if side == "pre" else plastic.target
            name = f"{expr.value}_{plastic.weight}" if expr.kind == "state" else f"{expr.value}_{cell}"
            if not spread or (expr.kind == "state" and expr.value not in flat):
                return name
            return f"{name}[:, None, :]" if side == "pre" else f"{name}[:, :, None]"

        for state in plastic.states:
            spread = state.name not in flat
            name = f"{state.name}_{plastic.weight}"
            text = torch_text(state.expr, lambda e, s=spread: leaf(e, s))
            like = self._like(plastic, where[state.name])
            self._put(f"{name} = settle_synapse(lambda {name}: {text}, {like})", state.line)
        self._put(f"change[{plastic.weight!r}] = {self._mean(plastic, where, leaf, deep)}{self._mask(plastic)}",
                  f"{plastic.weight}: {plastic.line}")

    def _like(self, plastic: Plastic, side: frozenset[str]) -> str:
        post, pre = (f"{self._any(c)}" for c in (plastic.target, plastic.source))
        if side == {"pre"}:
            return pre
        return post if len(side) <= 1 else f"{post}[:, :, None]*{pre}[:, None, :]"

    def _any(self, cell: int) -> str:
        return f"rate_{cell}"

    def _mask(self, plastic: Plastic) -> str:
        return "" if self.program.weights[plastic.weight].mask is None else f" * weight['mask_{plastic.weight}']"

    def _mean(self, plastic: Plastic, where, leaf, deep: bool) -> str:
        if plastic.source is None:
            return f"({torch_text(plastic.expr, lambda e: leaf(e, False))}).mean(0)"
        terms = None if deep else separate(plastic.expr, where)
        if terms is None:
            return f"({torch_text(plastic.expr, lambda e: leaf(e, True))}).expand(n, -1, -1).mean(0)"
        return " + ".join(self._term(plastic, term, lambda e: leaf(e, False)) for term in terms)

    def _term(self, plastic: Plastic, term, leaf) -> str:
        post, pre, weight = (None if part is None else torch_text(part, leaf) for part in term)
        constant_post = term.post is not None and not (term.post.names("post") or term.post.names("state"))
        factors = []
        if post is not None and constant_post:
            factors, post = [f"({post})"], None
        if post is not None and pre is not None:
            factors.append(f"(({post}).T @ ({pre}))/n")
        elif post is not None:
            factors.append(f"({post}).mean(0)[:, None]")
        elif pre is not None:
            factors.append(f"({pre}).mean(0)[None, :]")
        if weight is not None:
            factors.append(f"({weight})")
        return "*".join(factors) or "0.0"


def equation(plastic: Plastic) -> str:
    """The plasticity as it was resolved, for messages."""
    return f"{plastic.weight}: {show(plastic.expr)}"
