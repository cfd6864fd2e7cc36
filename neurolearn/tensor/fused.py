"""The fused program: the reference's algebra in static buffers, and weights that change in place.

Weights are frozen over all phases, so each value is computed once, whichever phases ask for it; every line that changes
a weight stands after the last line that reads one. The reference's own lines run loops, synaptic state and plasticity
that is no sum of products of one-sided factors: those allocate, and so does an activation of unknown torch text.
"""

from __future__ import annotations

from numbers import Integral

from neurolearn.equations import Expr
from neurolearn.errors import InputError
from neurolearn.program import Compartment, Node, Path, Plastic, Program
from neurolearn.tensor import plasticity
from neurolearn.tensor.buffers import ONE, Buffers, product_of, scaled, simple, sum_of
from neurolearn.tensor.emit import activation_value, template_of
from neurolearn.tensor.reference import Reference

Part = tuple[float, Expr, Expr, Expr]  # number * post (x) pre * weight, ONE where a factor is absent


def source(program: Program, batch: int) -> str:
    """Text of ``build(weight, dtype, device)``, which returns ``step(given, rates)`` for that batch size.

    ``step`` adds rates[name] * change to weight[name] in place for every plastic weight; rates: {name: float}.
    ``build`` keeps the tensors of ``weight`` ({name: (to, from)}, and mask_<name>); feedback matrices that hear one
    signal become views of one stack and are put back into ``weight``. Raises InputError, as does a step of another
    batch size.
    """
    if not isinstance(batch, Integral) or batch < 1:
        raise InputError(f"batch is {batch!r}; a fused program is built for one batch size, for example batch=128.")
    return "\n".join(_Fused(program, int(batch)).text()) + "\n"


class _Fused:
    def __init__(self, program: Program, batch: int):
        self.program, self.batch, self.code = program, batch, Buffers(batch)
        self.at: dict[Node, Expr] = {}  # what each signal is now, latches and given ones included
        self.stacks: dict[tuple[str, ...], str] = {}
        self.stacked: set[tuple[str, Expr]] = set()
        self.spelled: dict[str, None] = {}  # weights whose plasticity is the reference's line
        self.writes: list[tuple[str, str]] = []

    def text(self) -> list[str]:
        """All lines of the program."""
        program = self.program
        self.code.shape |= {w.name: w.shape for w in program.free()}
        for k, cell in enumerate(program.cells):
            for name in cell.externals:
                self.code.given.add(f"{name}_{k}")
                self.code.shape[f"{name}_{k}"] = self.code.rows(cell.size)
                self.code.put(f"{name}_{k} = given['{name}_{k}']{'[0]' if self.batch == 1 else ''}", cell.title)
                self.at[Node(k, name)] = Expr("name", f"{name}_{k}")
        for phase in program.phases:
            self._phase(phase)
        return [
            "from neurolearn.errors import InputError",
            "",
            "",
            "def build(weight, dtype, device):",
            f'    """{program.name} on {program.network}, for batches of {self.batch}; weights change in place."""',
            *(_line(4, *line) for line in self._weights()),
            *(f"    {line}" for line in self.code.static),
            "",
            "    def step(given, rates):",
            "        for name, value in given.items():",
            f"            if len(value) != {self.batch}:",
            "                raise InputError(f'{name} has {len(value)} samples; this program was built for batches of "
            f"{self.batch}.')",
            *(_line(8, *line) for line in [*self._literals(), *self.code.lines, *self.writes]),
            "",
            "    return step",
        ]

    def _weights(self) -> list[tuple[str, str]]:
        lines = []
        for w in self.program.free():
            lines.append((f"{w.name} = weight[{w.name!r}]", f"(to, from) {w.shape}"))
            if w.mask is not None:
                lines.append((f"mask_{w.name} = weight['mask_{w.name}']", ""))
        for weights, whole in self.stacks.items():
            kept = ", ".join(f"weight[{w!r}]" for w in weights)
            sizes = [self.code.shape[w][0] for w in weights]
            lines += [
                (f"{whole} = torch.cat([{', '.join(weights)}])", "they hear one signal"),
                (f"{kept} = {', '.join(weights)} = {whole}.split({sizes})", ""),
            ]
        return lines

    def _literals(self) -> list[tuple[str, str]]:
        """What the reference's lines expect to find."""
        if not self.spelled and not any(map(self.program.states, self.program.phases)):
            return []
        names = {**self.program.constants, **self.program.times, "n": self.batch}
        change = [("change = dict.fromkeys(" + repr([*self.spelled]) + ", 0.0)", "")] if self.spelled else []
        return [(f"{name} = {value!r}", "") for name, value in names.items()] + change

    # -- signals ---------------------------------------------------------------------------------------------------

    def _phase(self, phase: str) -> None:
        program, self.at = self.program, dict(self.at)
        if program.states(phase):
            self._loop(phase)
        for node in program.order(phase):
            value = self._value(node.cell, program.form(node, phase), phase)
            if value.kind == "name" and value.value in program.weights:
                value = Expr("full", self.code.rows(program.cells[node.cell].size), (value,))  # a weight may change
            line = program.cells[node.cell].signal(node.name).lines[phase]
            self.at[node] = self.code.define(self._name(node, phase), value, line)
        for k, cell in enumerate(program.cells):
            for latch in cell.latches:
                if latch.phase == phase:
                    self.at[Node(k, latch.name)] = self.at[Node(k, latch.signal)]
        for plastic in program.plastics:
            if plastic.phase == phase:
                self._learn(plastic)

    def _name(self, node: Node, phase: str) -> str:
        return f"{node.name}_{node.cell}" + (f"_{phase}" if len(self.program.phases) > 1 else "")

    def _value(self, k: int, expr: Expr, phase: str) -> Expr:
        activation = self.program.cells[k].activation

        def leaf(node: Expr) -> Expr:
            if node.kind == "call" and node.value in ("f", "df", "inv"):
                return activation_value(template_of(activation, node.value), node.args[0]).rewrite(simple)
            return self._named(k, node.value, phase) if node.kind == "name" else simple(node)

        return expr.rewrite(leaf)

    def _named(self, k: int, name: str, phase: str) -> Expr:
        program, cell = self.program, self.program.cells[k]
        for compartment in cell.compartments:
            if compartment.name == name:
                return self._compartment(compartment, phase)
        if name in program.constants:
            return Expr("number", program.constants[name])
        return Expr("name", cell.biases[name]) if name in cell.biases else self.at[Node(k, name)]

    def _compartment(self, compartment: Compartment, phase: str) -> Expr:
        terms = []
        for path in compartment.paths:
            heard = self._rows(self.at[Node(path.source, path.signal)], path.source)
            if path.kind == "broadcast":
                heard = Expr("call", "sum", (heard,))
            elif path.kind == "weight":
                self._stack(path, heard, phase)
                product = Expr("product", (path.weight, path.reverse), (heard,))
                heard = simple(Expr("*", None, (Expr("number", path.factor), product)))
            terms.append(heard)
        return sum_of(terms)

    def _rows(self, value: Expr, k: int) -> Expr:
        """A signal of a cell, spread over all samples and units."""
        return self.code.full(value, self.code.rows(self.program.cells[k].size))

    def _whole_batch(self, value: Expr) -> str:
        """Variable for the reference's lines, which want (batch, units)."""
        return self.code.read(value) + ("[None]" if self.batch == 1 else "")

    def _stack(self, path: Path, heard: Expr, phase: str) -> None:
        """If several weights bring the same signal of the output layer, they become the rows of one matrix."""
        weights = self._listeners(path, phase)
        if path.reverse or heard.kind != "name" or self.program.cells[path.source].kind != "output" or len(weights) < 2:
            return
        if weights not in self.stacks and {w for stack in self.stacks for w in stack} & set(weights):
            return
        whole = self.stacks.setdefault(weights, f"_stack{len(self.stacks) + 1}")
        if (whole, heard) not in self.stacked:
            self.stacked.add((whole, heard))
            self.code.stack(whole, weights, heard, f"{path.signal} of the output layer, to all who hear it")

    def _listeners(self, path: Path, phase: str) -> tuple[str, ...]:
        """Weights that bring this path's signal to any cell."""
        found: dict[str, None] = {}
        for cell in self.program.cells:
            read = set().union(*(s.forms[phase].names() for s in cell.signals if phase in s.forms))
            found |= dict.fromkeys(
                p.weight
                for c in cell.compartments
                if c.name in read
                for p in c.paths
                if p.kind == "weight" and not p.reverse and (p.source, p.signal) == (path.source, path.signal)
            )
        return tuple(found)

    def _loop(self, phase: str) -> None:
        """States are parts of one buffer, which the reference's flow settles."""
        at, states, whole = self.at, self.program.states(phase), f"_state_{phase}"
        sizes = {self._name(n, phase): self.program.cells[n.cell].size for n in states}

        def settle() -> None:
            text = Reference(self.program)
            outer = {n: self._whole_batch(self._rows(at[n], n.cell)) for n in text.flow(phase)}
            for line in text.out:
                self.code.put(line[4:], "")
            for n, variable in outer.items():
                self.code.put(f"outer_{n.name}_{n.cell} = {variable}", "")
            row = "[0]" if self.batch == 1 else ""
            self.code.put(f"{whole}.copy_(settle(flow, n, {sum(sizes.values())}, given['data_0']){row})")

        self.at |= zip(states, self.code.parts(whole, sizes, settle, "the fixed point"), strict=True)

    # -- plasticity ------------------------------------------------------------------------------------------------

    def _learn(self, plastic: Plastic) -> None:
        self.code.comment = f"{plastic.weight}: {plastic.line}"
        terms = None if plastic.states else plasticity.separate(plastic.expr, {})
        if terms is None:
            self._spell(plastic)
            return
        parts = [self._part(plastic, term) for term in terms]
        lines = self._direct(plastic, parts) or self._formed(plastic, parts)
        self.writes = [(text, self.code.comment) for text in lines] + self.writes  # the last read is still in the cache

    def _part(self, plastic: Plastic, term: plasticity.Term) -> Part:
        def leaf(node: Expr) -> Expr:
            if node.kind == "weight":
                return Expr("name", plastic.weight)
            if node.kind in ("post", "pre"):
                return self._named(plastic.target if node.kind == "post" else plastic.source, node.value, plastic.phase)
            return Expr("number", self.program.constants[node.value]) if node.kind == "name" else simple(node)

        (c, post), (d, pre), (e, weight) = (scaled(ONE if part is None else part.rewrite(leaf)) for part in term)
        post, pre = (
            end if end == ONE else self._rows(end, k) for end, k in ((post, plastic.target), (pre, plastic.source))
        )
        return c * d * e, post, pre, weight

    def _direct(self, plastic: Plastic, parts: list[Part]) -> list[str]:
        """Outer products straight onto the weight, decay as its factor; no lines if there is more to the change."""
        name, bias = plastic.weight, plastic.source is None
        decay = [c for c, *factors in parts if factors == [ONE, ONE, Expr("name", name)]]
        outer = [part for part in parts if part[1] != ONE and (bias or part[2] != ONE) and part[3] == ONE]
        once = sum(p.weight == name for p in self.program.plastics) == 1
        if not outer or len(outer) + len(decay) < len(parts) or self.program.weights[name].mask is not None:
            return []
        if decay and (bias or not once):
            return []
        beta = f", beta=1.0 + {sum(decay)!r}*rates[{name!r}]" if decay else ""
        return [self._add(name, c, post, pre, "" if i else beta) for i, (c, post, pre, _) in enumerate(outer)]

    def _add(self, name: str, c: float, post: Expr, pre: Expr, beta: str) -> str:
        """One outer product onto a weight, or the mean of post onto a bias, which has no pre."""
        rate = ("" if c == 1 else f"{c!r}*") + f"rates[{name!r}]" + ("" if self.batch == 1 else f"/{self.batch}")
        first = self.code.read(post)
        if self.batch == 1:
            return (
                f"{name}.add_({first}, alpha={rate})"
                if pre == ONE
                else (f"{name}.addr_({first}, {self.code.read(pre)}, alpha={rate}{beta})")
            )
        second = self.code.read(Expr("full", (self.batch,), (ONE,)) if pre == ONE else pre)
        function = "addmv_" if pre == ONE else "addmm_"
        return f"{name}.{function}({self.code.transposed(first)}, {second}, alpha={rate}{beta})"

    def _formed(self, plastic: Plastic, parts: list[Part]) -> list[str]:
        """The change as a value of its own, whatever its terms."""
        name, weight, bias = plastic.weight, self.program.weights[plastic.weight], plastic.source is None
        total = sum_of(
            [
                simple(product_of([Expr("number", c), self._mean(post, pre, bias), factor]))
                for c, post, pre, factor in parts
            ]
        )
        own = Expr("full", weight.shape, (total,)) if total.kind == "name" else self.code.full(total, weight.shape)
        change = self.code.read(own)
        if weight.mask is None:
            return [f"{name}.add_({change}, alpha=rates[{name!r}])"]
        return [f"{name}.addcmul_({change}, mask_{name}, value=rates[{name!r}])"]

    def _mean(self, post: Expr, pre: Expr, bias: bool) -> Expr:
        """The mean of post (x) pre over the batch, with ones for one that is absent; of post alone for a bias."""
        if post == pre == ONE:
            return ONE
        if bias:
            return post if self.batch == 1 else Expr("call", "mean", (post,))
        column = self.code.full(ONE, self.code.rows(1))
        return Expr("outer", None, tuple(column if end == ONE else end for end in (post, pre)))

    def _spell(self, plastic: Plastic) -> None:
        """The reference's own lines, for what is no sum of products of one-sided factors."""

        def variable(side: str, signal: str, k: int) -> str:
            if signal not in plastic.reads(side) and Node(k, signal) not in self.at:
                return signal
            return self._whole_batch(self._rows(self._named(k, signal, plastic.phase), k))

        for text, comment in plasticity.lines(self.program, plastic, variable):
            self.code.put(text, comment)
        if plastic.weight not in self.spelled:
            self.spelled[plastic.weight] = None
            self.writes.append(
                (
                    f"{plastic.weight}.add_(change[{plastic.weight!r}], alpha=rates[{plastic.weight!r}])",
                    self.code.comment,
                )
            )


def _line(indent: int, text: str, comment: str) -> str:
    line = " " * indent + text
    return f"{line:<76}  # {comment}" if comment else line
