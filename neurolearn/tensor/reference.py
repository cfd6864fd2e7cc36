"""The reference program: one operation a line, in the order of the equations, each line ending with its equation."""

from __future__ import annotations

from neurolearn.equations import Expr
from neurolearn.program import Node, Program
from neurolearn.tensor import plasticity
from neurolearn.tensor.emit import compartment_text, torch_text


def source(program: Program, *, signals: bool = False) -> str:
    """Text of ``changes(given, weight)``: {name: change} of all plastic weights, averaged over the batch.

    given: {name_cell: (batch, units)} from ``streams.given``. weight: {name: (to, from)}, tied ones left out.
    signals: return instead {phase: {name_cell: settled signal}}, with what was latched under "latched".
    """
    return "\n".join(Reference(program, signals).lines()) + "\n"


class Reference:
    """The writer; ``flow`` alone serves the fused program too."""

    def __init__(self, program: Program, signals: bool = False):
        self.program, self.signals, self.out = program, signals, []

    def lines(self) -> list[str]:
        """The whole of ``changes``."""
        program = self.program
        self.out = [
            "def changes(given, weight):",
            f'    """{program.name} on {program.network}, settled."""',
            "    n = len(given['data_0'])",
        ]
        for name, value in {**program.constants, **program.times}.items():
            self._put(f"{name} = {value!r}", "constant" if name in program.constants else "in synaptic time constants")
        for w in program.free():
            how = f", {w.how} of {', '.join(w.derived.of)}" if w.derived else ""
            self._put(f"{w.name} = weight[{w.name!r}]", f"(to, from) {w.shape}{how}")
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
        plastics = [p for p in program.plastics if p.phase == phase]
        for k, name in sorted({(p.target, name) for p in plastics for name in p.reads("post")}):
            for compartment in program.cells[k].compartments:
                if compartment.name == name:
                    self._put(f"{name}_{k} = {compartment_text(program, k, compartment)}", f"broadcast {name}")
        for plastic in plastics:
            for text, comment in plasticity.lines(program, plastic, lambda side, name, cell: f"{name}_{cell}"):
                self._put(text, comment)

    def _signal(self, node: Node, phase: str, indent: int = 4) -> None:
        cell, text = self.program.cells[node.cell], self._text(node, phase)
        if self.program.form(node, phase).names() <= {*self.program.constants, *cell.biases}:  # for all samples alike
            text = f"given['data_0'].new_zeros(n, {cell.size}) + {text}"
        self._put(f"{node.name}_{node.cell} = {text}", cell.signal(node.name).lines[phase], indent)

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
        inside = self._inside(phase, order, states)
        for node in order:
            if node not in inside:
                self._signal(node, phase)
        for n in self.flow(phase):
            self._put(f"outer_{n.name}_{n.cell} = {n.name}_{n.cell}", "")
        sizes = [self.program.cells[n.cell].size for n in states]
        self._put(
            f"{_targets(states)} = settle(flow, n, {sum(sizes)}, given['data_0']).split({sizes}, dim=1)",
            "the fixed point",
        )
        for node in order:
            if node in inside:
                self._signal(node, phase)

    def flow(self, phase: str) -> list[Node]:
        """Write ``flow(state, copies)``; returns what it reads from outside, under ``outer_<name>_<cell>``."""
        order, states = self.program.order(phase), self.program.states(phase)
        inside = self._inside(phase, order, states)
        needed = self._needed(phase, states, inside)
        sizes = [self.program.cells[n.cell].size for n in states]
        latched, external = self._outside(phase, [*needed, *states])
        outer = sorted(
            {n for node in [*needed, *states] for n in self.program.reads(node.cell, self.program.form(node, phase))}
            - inside
            | set(latched)
        )
        self._put("def flow(state, copies):", "the loop; copies: the batch stacked so many times")
        for n in outer:
            self._put(f"{n.name}_{n.cell} = outer_{n.name}_{n.cell}.repeat(copies, 1)", "", 8)
        for n in external:
            self._put(f"{n.name}_{n.cell} = given['{n.name}_{n.cell}'].repeat(copies, 1)", "", 8)
        self._put(f"{_targets(states)} = state.split({sizes}, dim=1)", "", 8)
        for node in order:
            if node in needed:
                self._signal(node, phase, 8)
        self._put("return torch.cat([", "", 8)
        for node in states:
            self._put(f"{self._text(node, phase)},", self.program.cells[node.cell].signal(node.name).lines[phase], 12)
        self._put("], dim=1)", "", 8)
        return outer

    def _inside(self, phase: str, order: list[Node], states: list[Node]) -> set[Node]:
        inside: set[Node] = set(states)
        for node in order:
            if any(n in inside for n in self.program.reads(node.cell, self.program.form(node, phase))):
                inside.add(node)
        return inside

    def _needed(self, phase: str, states: list[Node], inside: set[Node]) -> set[Node]:
        needed, todo = set(), list(states)
        while todo:
            node = todo.pop()
            for read in self.program.reads(node.cell, self.program.form(node, phase)):
                if read in inside and read not in needed and read not in states:
                    needed.add(read)
                    todo.append(read)
        return needed

    def _outside(self, phase: str, nodes: list[Node]) -> tuple[list[Node], list[Node]]:
        """What the nodes read that no phase computes: latched values and given ones."""
        read = sorted({Node(n.cell, name) for n in nodes for name in self.program.form(n, phase).names()})
        return (
            [n for n in read if self.program.latch(*n)],
            [n for n in read if n.name in self.program.cells[n.cell].externals],
        )


def _targets(nodes: list[Node]) -> str:
    return ", ".join(f"{n.name}_{n.cell}" for n in nodes) + ("," if len(nodes) == 1 else "")
