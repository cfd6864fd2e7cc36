"""Values as torch calls that write into static buffers: each is computed once, when first read, in a place of its own.

A value is an ``Expr`` whose names are variables. Beside the language's kinds there are: product, a signal through a
matrix (value: its name, and whether it is read backwards); outer, the mean over the batch of post (x) pre; full, a
smaller value spread over a shape; torch, text to be filled in; and the calls mean (over the batch) and float (of a
comparison). Signals are (batch, units), and vectors if the batch is 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce

import numpy as np

from neurolearn.equations import Expr

ONE = Expr("number", 1.0)
COMPARISONS = {"<": "lt", ">": "gt", "<=": "le", ">=": "ge"}
BINARY = {"/": "div", "**": "pow", **COMPARISONS}

Shape = tuple[int, ...]


def scaled(expr: Expr) -> tuple[float, Expr]:
    """The value as number * rest; a number is that many times ONE."""
    if expr.kind == "number":
        return expr.value, ONE
    if expr.kind in ("neg", "*", "/"):
        (c, rest), (d, other) = scaled(expr.args[0]), scaled(expr.args[-1])
        if expr.kind == "neg":
            return -c, rest
        if expr.kind == "*":
            return c * d, product_of([rest, other])
        if other == ONE and d:
            return c / d, rest
    return 1.0, expr


def product_of(factors: Sequence[Expr]) -> Expr:
    """The factors multiplied, ones left out."""
    result = ONE
    for factor in factors:
        result = factor if result == ONE else result if factor == ONE else Expr("*", None, (result, factor))
    return result


def sum_of(terms: Sequence[Expr]) -> Expr:
    """The terms added up."""
    return reduce(lambda a, b: Expr("+", None, (a, b)), terms)


def simple(expr: Expr) -> Expr:
    """The value with its number in front, if it has one, and numbers added up."""
    if expr.kind in ("+", "-") and all(a.kind == "number" for a in expr.args):
        a, b = (a.value for a in expr.args)
        return Expr("number", a + b if expr.kind == "+" else a - b)
    c, rest = scaled(expr)
    return rest if c == 1 else Expr("number", c) if rest == ONE else Expr("*", None, (Expr("number", c), rest))


def _factors(expr: Expr) -> list[Expr]:
    return [f for a in expr.args for f in _factors(a)] if expr.kind == "*" else [expr]


def _alpha(c: float) -> str:
    return "" if c == 1 else f", alpha={c!r}"


class Buffers:
    """The code of one batch size: ``static`` lines, which run once, and (line, comment) of every step."""

    def __init__(self, batch: int):
        self.batch, self.comment = batch, ""
        self.static: list[str] = []
        self.lines: list[tuple[str, str]] = []
        self.shape: dict[str, Shape] = {}
        self.given: set[str] = set()  # variables that each step brings along
        self._names: dict[Expr, Expr] = {}  # value -> the variable that holds it
        self._meaning: dict[str, Expr] = {}  # and back
        self._whole: dict[str, str] = {}  # part -> the buffer it lies in
        self._pending: dict[str, tuple[Callable[[], None], str]] = {}
        self._transposed: set[str] = set()

    def rows(self, size: int) -> Shape:
        """Shape of a signal of so many units."""
        return (size,) if self.batch == 1 else (self.batch, size)

    def shape_of(self, expr: Expr) -> Shape:
        """Shape of a value."""
        match expr.kind:
            case "number":
                return ()
            case "name":
                return self.shape[expr.value]
            case "full":
                return expr.value
            case "product":
                weight, reverse = expr.value
                return self.rows(self.shape[weight][reverse])
            case "outer":
                return tuple(self.shape_of(a)[-1] for a in expr.args)
        shape = np.broadcast_shapes(*map(self.shape_of, expr.args))
        return (*shape[:-1], 1) if expr.value == "sum" else shape[1:] if expr.value == "mean" else shape

    def full(self, expr: Expr, shape: Shape) -> Expr:
        """The value, spread over the shape if it is smaller."""
        return expr if self.shape_of(expr) == shape else Expr("full", shape, (expr,))

    def put(self, text: str, comment: str | None = None) -> None:
        """One line of the step; the comment is that of the value in hand."""
        self.lines.append((text, self.comment if comment is None else comment))

    # -- names -----------------------------------------------------------------------------------------------------

    def define(self, name: str, expr: Expr, comment: str) -> Expr:
        """What a name stands for: a number, or a variable that is computed when it is first read."""
        if expr.kind in ("name", "number"):
            return expr
        if expr not in self._names:
            self._names[expr], self._meaning[name], self.shape[name] = Expr("name", name), expr, self.shape_of(expr)
            self._pending[name] = lambda: self._fill(expr, name), comment
        return self._names[expr]

    def parts(self, whole: str, pieces: dict[str, int], compute: Callable[[], None], comment: str) -> list[Expr]:
        """Signals side by side in one buffer, which ``compute`` fills."""
        self.shape[whole] = self.rows(sum(pieces.values()))
        self._allocate(whole)
        comma = "," if len(pieces) == 1 else ""
        self.static.append(f"{', '.join(pieces)}{comma} = {whole}.split({[*pieces.values()]}, dim=-1)")
        self._pending[whole] = compute, comment
        self._whole |= dict.fromkeys(pieces, whole)
        self.shape |= {name: self.rows(size) for name, size in pieces.items()}
        return [Expr("name", name) for name in pieces]

    def stack(self, whole: str, matrices: Sequence[str], signal: Expr, comment: str) -> None:
        """One product in place of several: ``matrices``, the rows of ``whole``, hear the same signal."""
        self.shape[whole] = sum(self.shape[m][0] for m in matrices), self.shape[matrices[0]][1]
        out, pieces = f"{whole}_{signal.value}", {f"{m}_{signal.value}": self.shape[m][0] for m in matrices}
        heard = Expr("product", (whole, False), (signal,))
        views = self.parts(out, pieces, lambda: self._product(None, 1.0, heard, out), comment)
        self._names |= {Expr("product", (m, False), (signal,)): view for m, view in zip(matrices, views, strict=True)}

    def read(self, expr: Expr) -> str:
        """The variable (or number) that holds a value; the lines that compute it are written at its first reading."""
        if expr.kind == "number":
            return repr(float(expr.value))
        if expr.kind != "name":
            return self.read(self.define(f"_t{len(self._names)}", expr, self.comment))
        compute, comment = self._pending.pop(self._whole.get(expr.value, expr.value), (None, ""))
        if compute:
            outer, self.comment = self.comment, comment
            compute()
            self.comment = outer
        return expr.value

    def transposed(self, name: str) -> str:
        """The transpose of a variable: a view that is made once, where the variable lasts."""
        if name in self.given:
            return f"{name}.T"
        if name not in self._transposed:
            self._transposed.add(name)
            self.static.append(f"{name}_T = {name}.T")
        return f"{name}_T"

    # -- lines -----------------------------------------------------------------------------------------------------

    def _allocate(self, name: str, dtype: str = "dtype") -> None:
        self.static.append(f"{name} = torch.empty({self.shape[name]}, dtype={dtype}, device=device)")

    def _fill(self, expr: Expr, out: str) -> None:
        if expr.kind == "full" and expr.args[0].kind == "number":
            number = self.read(expr.args[0])
            self.static.append(f"{out} = torch.full({expr.value}, {number}, dtype=dtype, device=device)")
            return
        match expr.kind:
            case "+" | "-":
                self._sum(expr, out)
            case "*":
                self._times(expr, out)
            case "product":
                self._product(None, 1.0, expr, out)
            case "outer":
                self._outer(expr, out)
            case "full":
                self.put(f"{out}.copy_({self.read(expr.args[0])})")
            case "torch":
                self.put(f"{out}.copy_({expr.value.format(u=self.read(expr.args[0]))})")
            case "call":
                self._call(expr, out)
            case _:
                self._binary(expr, out)
        self._allocate(out, "torch.bool" if expr.kind in COMPARISONS else "dtype")

    def _tensor(self, expr: Expr) -> str:
        return self.read(Expr("full", (), (expr,)) if expr.kind == "number" else expr)

    def _binary(self, expr: Expr, out: str) -> None:
        first, second = self._tensor(expr.args[0]), self.read(expr.args[1])
        self.put(f"torch.{BINARY[expr.kind]}({first}, {second}, out={out})")

    def _call(self, expr: Expr, out: str) -> None:
        if expr.value == "float":  # a comparison as a number, 0 or 1
            self._binary(expr.args[0], out)
            return
        read = self.read if expr.value == "clamp_min" else self._tensor
        more = {"softmax": ", -1", "sum": ", -1, keepdim=True", "mean": ", 0"}.get(expr.value, "")
        self.put(f"torch.{expr.value}({', '.join(map(read, expr.args))}{more}, out={out})")

    def _onto(self, start: str, function: str, arguments: str, out: str) -> str:
        """out = function(start, arguments), in place if ``start`` is ``out``."""
        self.put(
            f"{out}.{function}_({arguments})" if start == out else f"torch.{function}({start}, {arguments}, out={out})"
        )
        return out

    def _start(self, c: float, name: str, out: str) -> str:
        """Where a sum or a product goes on from: ``name`` itself, or ``out`` once it holds c * name."""
        if self.shape[name] == self.shape[out]:
            return name if c == 1 else self._onto(name, "mul", repr(c), out)
        self.put(f"{out}.copy_({name})")
        return out if c == 1 else self._onto(out, "mul", repr(c), out)

    def _sum(self, expr: Expr, out: str) -> None:
        terms = self._terms(expr)
        products = [(c, rest) for c, rest in terms if rest.kind == "product" and rest not in self._names]
        others = [(c, self.read(rest)) for c, rest in terms if rest != ONE and (c, rest) not in products]
        others.sort(key=lambda term: self.shape[term[1]] != self.shape[out])
        start = next((name for c, name in others if c == 1), None) if products else self._start(*others.pop(0), out)
        if products and start:
            others.remove((1.0, start))
        for c, product in products:
            start = self._product(start, c, product, out)
        for c, name in others:
            start = self._onto(start, "sub" if c == -1 else "add", name if c == -1 else f"{name}{_alpha(c)}", out)
        shift = sum(c for c, rest in terms if rest == ONE)
        if shift or start != out:
            self._onto(start, "add", repr(shift), out)

    def _terms(self, expr: Expr, sign: float = 1.0, top: bool = True) -> list[tuple[float, Expr]]:
        """The sum as (number, rest); what has a variable already is not taken apart."""
        c, rest = scaled(expr)
        if rest.kind in ("+", "-") and (top or rest not in self._names):
            last = -c if rest.kind == "-" else c
            return self._terms(rest.args[0], sign * c, False) + self._terms(rest.args[1], sign * last, False)
        return [(sign * c, rest)]

    def _times(self, expr: Expr, out: str) -> None:
        c, rest = scaled(expr)
        if rest.kind == "product" and rest not in self._names:
            self._product(None, c, rest, out)
            return
        factors = _factors(rest)
        gates = (self._gate(f, product_of(factors[:i] + factors[i + 1 :]), out) for i, f in enumerate(factors))
        start, names = out, []
        if gate := next(filter(None, gates), ""):
            self.put(gate)
        else:
            names = sorted(map(self.read, factors), key=lambda name: self.shape[name] != self.shape[out])
            start = self._start(1.0, names.pop(0), out)
        for name in names:
            start = self._onto(start, "mul", name, out)
        if c != 1:
            self._onto(start, "mul", repr(c), out)

    def _gate(self, slope: Expr, signal: Expr, out: str) -> str:
        """Call that multiplies by the slope of relu or tanh without forming it, if ``slope`` is one."""
        if signal == ONE or self.shape_of(slope) != self.shape[out]:
            return ""
        match self._meaning.get(slope.value, slope) if slope.kind == "name" else slope:
            case Expr("call", "float", (Expr(">", _, (at, Expr("number", threshold))),)):
                name, more = "threshold_backward", f", {threshold!r}"
            case Expr("-", _, (Expr("number", 1.0), Expr("**", _, (Expr("call", "tanh") as at, Expr("number", 2.0))))):
                name, more = "tanh_backward", ""
            case _:
                return ""
        signal = self.read(self.full(signal, self.shape[out]))
        return f"torch.ops.aten.{name}.grad_input({signal}, {self.read(at)}{more}, grad_input={out})"

    def _product(self, start: str | None, c: float, product: Expr, out: str) -> str:
        """out = start + c * product."""
        (weight, reverse), signal = product.value, self.read(product.args[0])
        if self.batch == 1:
            function, pair = "mv", f"{self.transposed(weight) if reverse else weight}, {signal}"
        else:
            function, pair = "mm", f"{signal}, {weight if reverse else self.transposed(weight)}"
        if start:
            return self._onto(start, f"add{function}", f"{pair}{_alpha(c)}", out)
        self.put(
            f"torch.{function}({pair}, out={out})"
            if c == 1
            else f"torch.add{function}({out}, {pair}, beta=0{_alpha(c)}, out={out})"
        )
        return out

    def _outer(self, expr: Expr, out: str) -> None:
        post, pre = map(self.read, expr.args)
        if self.batch == 1:
            self.put(f"torch.outer({post}, {pre}, out={out})")
        else:
            self.put(f"torch.addmm({out}, {self.transposed(post)}, {pre}, beta=0, alpha={1 / self.batch!r}, out={out})")
