"""The language of a rule: lines of text to expression trees that remember where they stood.

Nothing here evaluates text. A line is ``x = expression``, ``dx/dt = expression``, ``clamp x = expression`` or
``latch y = x``; an expression has numbers, names, ``+ - * / **``, comparisons inside ``where`` and calls of the listed
functions or of the rule's pathways. Python's ``ast`` reads it against that whitelist; anything else is a RuleError.
"""

from __future__ import annotations

import ast
import keyword
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from neurolearn.errors import RuleError

FUNCTIONS = {"f": 1, "df": 1, "inv": 1, "exp": 1, "log": 1, "sqrt": 1, "abs": 1, "tanh": 1, "where": 3, "sum": 1}
WHERE = ("above", "below", "output", "top", "here")
SUFFIXES = (*WHERE, "pre", "post")
OPERATORS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Pow: "**"}
COMPARISONS = {ast.Lt: "<", ast.Gt: ">", ast.LtE: "<=", ast.GtE: ">="}
PREFIXES = (
    "I_",
    "S_",
    "v_",
    "mean_",
    "sent_",
    "held_",
    "noise_",
    "uniform_",
    "in_",
    "during_",
    "change_",
    "filtered_",
    "rest_",
    "jump_",
    "left_",
    "apical_",
    "heard_",
    "lasts_",
    "pairs_",
    "spikes_",
    "tau_I_",
    "unit_",
)  # what the circuits call their own
RESERVED = frozenset(
    # Brian2's variables, functions and the units it reads as names; what its objects are made of; what the printed
    # programs call their own; what softmax brings
    """e i j t dt N pi xi inf lambda lastspike not_refractory clip rand randn poisson sign int sin cos tan sinh cosh
    arcsin arccos arctan log10 expm1 log1p exprel ceil floor timestep True False None and or not is if else for in
    second msecond ms us mV volt mvolt amp mamp namp pA nA uA mA siemens nS uS mS farad pF nF uF ohm Mohm hertz Hz kHz
    MHz metre meter cm mm um nm kilogram kg gram kelvin mole candela newton watt joule pascal coulomb weber tesla henry
    lumen lux becquerel gray sievert katal molar mM uM liter name clock namespace events when order state variables
    spikes start stop group equations method threshold reset refractory w dw b data teacher noise open phase torch
    np len given weight change signal copies flow settle settle_synapse n
    pool units tau_pool uniform distance polarity""".split()
)


@dataclass(frozen=True)
class Span:
    """Where a piece of text stood: which text (``hidden``), its line, the line's number and the column in it."""

    text: str
    line: str
    number: int
    column: int

    def error(self, message: str, rule: str) -> RuleError:
        """RuleError that points here."""
        place = self.text if self.number == 0 else f"{self.text}, line {self.number}"
        return RuleError(message, rule=rule, equation=place, line=self.line, column=self.column)


@dataclass(frozen=True)
class Expr:
    """A node: kind is number, name, neg, an operator, a comparison, call or path (value: pathway, signal, where).

    In plasticity also post, pre (value: the signal), weight and state.
    """

    kind: str
    value: object = None
    args: tuple[Expr, ...] = ()
    span: Span | None = field(default=None, compare=False, repr=False)

    def walk(self) -> Iterator[Expr]:
        """This node and all below it."""
        yield self
        for arg in self.args:
            yield from arg.walk()

    def names(self, kind: str = "name") -> set[str]:
        """Values of all nodes of that kind."""
        return {node.value for node in self.walk() if node.kind == kind}

    def rewrite(self, change: Callable[[Expr], Expr]) -> Expr:
        """A copy in which ``change`` was applied to every node, leaves first."""
        return change(replace(self, args=tuple(arg.rewrite(change) for arg in self.args)))


@dataclass(frozen=True)
class Statement:
    """One line: kind is algebraic, differential or latch."""

    kind: str
    name: str
    expr: Expr
    span: Span

    @property
    def source(self) -> str:
        """The line as the author wrote it."""
        return self.span.line


class Reader:
    """Reads the texts of one rule. pathways: name -> where its signals come from; taken: other name -> what it is.

    populations: names of the populations that the rule adds; signals can come from them too.
    """

    def __init__(
        self,
        rule: str,
        pathways: dict[str, str],
        taken: dict[str, str] | None = None,
        populations: tuple[str, ...] = (),
    ):
        self.rule, self.pathways, self.taken = rule, pathways, taken or {}
        self.where, self.suffixes = (*WHERE, *populations), (*SUFFIXES, *populations)

    def block(self, title: str, text: str, *, synapse: bool = False) -> list[Statement]:
        """Statements of a block, in their order. Raises RuleError with the place."""
        statements, seen = [], set()
        for number, raw in enumerate(text.splitlines(), 1):
            line = raw.split("#")[0].strip()
            if not line:
                continue
            statement = self._line(title, line, number, synapse)
            if (statement.name, statement.kind == "latch") in seen:
                raise statement.span.error(f"{statement.name!r} is defined twice; keep one of the lines.", self.rule)
            seen.add((statement.name, statement.kind == "latch"))
            statements.append(statement)
        return statements

    def _line(self, title: str, line: str, number: int, synapse: bool) -> Statement:
        start = Span(title, line, number, 0)
        match = re.match(r"(?:(?P<word>latch|clamp)\s+)?(?P<left>[^=<>]*?)\s*=(?!=)\s*", line)
        if not match:
            raise start.error("expected 'x = expression', 'dx/dt = expression' or 'latch y = x'.", self.rule)
        left, word = match["left"].strip(), match["word"]
        derivative = re.fullmatch(r"d(\w+)\s*/\s*dt", left)
        name = derivative[1] if derivative else left
        if not (synapse and name == "dw"):
            self.check_name(name, replace(start, column=match.start("left")))
        if word and derivative:
            raise start.error(f"{word} keeps or sets a value; write '{word} {name} = ...'.", self.rule)
        expr = self.expression(line[match.end() :], replace(start, column=match.end()))
        if word == "latch" and expr.kind != "name":
            raise expr.span.error("latch keeps one signal of the same unit: write 'latch y = x'.", self.rule)
        return Statement(word if word == "latch" else "differential" if derivative else "algebraic", name, expr, start)

    def check_name(self, name: str, span: Span) -> None:
        """Refuses what is no name, what a simulator uses for itself and what means something else in this rule."""
        if not re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII):
            raise span.error(f"{name!r} is no name; use letters, digits and _, beginning with a letter.", self.rule)
        if (
            name in RESERVED
            or name in FUNCTIONS
            or keyword.iskeyword(name)
            or name.endswith("_")
            or name.startswith(PREFIXES)
        ):
            raise span.error(f"the name {name!r} is taken by the simulators; choose another.", self.rule)
        for suffix in self.suffixes:
            if name.endswith("_" + suffix):
                raise span.error(
                    f"{name!r} ends in _{suffix}, which says where a signal comes from; rename.", self.rule
                )
        if re.search(r"_\d+$", name):
            raise span.error(f"{name!r} ends as the programs number their layers; leave the last _ out.", self.rule)
        if name in self.pathways or name in self.taken:
            what = self.taken.get(name, "a pathway")
            raise span.error(f"{name!r} is {what}; a signal needs a name of its own.", self.rule)

    def expression(self, text: str, start: Span) -> Expr:
        """Expression tree of a piece of text that begins at ``start``."""
        try:
            tree = ast.parse(text, mode="eval").body
        except SyntaxError as error:
            column = start.column + (min(error.offset - 1, len(text)) if error.offset else len(text))
            raise replace(start, column=column).error(f"cannot read this: {error.msg}.", self.rule) from None
        return self._node(tree, start)

    def _node(self, node: ast.AST, start: Span, *, test: bool = False) -> Expr:
        before = start.line[start.column :].encode()[: node.col_offset].decode()  # ast counts bytes
        span = replace(start, column=start.column + len(before))
        match node:
            case ast.Constant(value=int() | float()) if not isinstance(node.value, bool) and node.value < 1e300:
                return Expr("number", float(node.value), (), span)
            case ast.Name():
                return Expr("name", node.id, (), span)
            case ast.UnaryOp(op=ast.USub()):
                return Expr("neg", None, (self._node(node.operand, start),), span)
            case ast.BinOp() if type(node.op) in OPERATORS:
                pair = (self._node(node.left, start), self._node(node.right, start))
                return Expr(OPERATORS[type(node.op)], None, pair, span)
            case ast.Compare(ops=[op]) if test and type(op) in COMPARISONS:
                pair = (self._node(node.left, start), self._node(node.comparators[0], start))
                return Expr(COMPARISONS[type(op)], None, pair, span)
            case ast.Call(func=ast.Name()) if not node.keywords:
                return self._call(node, span, start)
        raise span.error(
            f"{ast.unparse(node)!r} ({type(node).__name__.lower()}) is not part of the language; use numbers, signals, "
            f"+ - * / **, {', '.join(FUNCTIONS)} and pathways; one comparison, inside where.",
            self.rule,
        )

    def _call(self, node: ast.Call, span: Span, start: Span) -> Expr:
        name = node.func.id
        if name in self.pathways:
            return self._path(node, name, span)
        if name not in FUNCTIONS:
            known = ", ".join([*self.pathways, *FUNCTIONS])
            raise span.error(f"{name!r} is neither a pathway nor a function; known are {known}.", self.rule)
        if len(node.args) != FUNCTIONS[name]:
            raise span.error(f"{name} takes {FUNCTIONS[name]} argument(s), not {len(node.args)}.", self.rule)
        args = tuple(self._node(arg, start, test=name == "where" and arg is node.args[0]) for arg in node.args)
        if name == "where" and args[0].kind not in COMPARISONS.values():
            raise args[0].span.error("the first argument of where is a comparison, such as x > 0.", self.rule)
        return Expr("call", name, args, span)

    def _path(self, node: ast.Call, pathway: str, span: Span) -> Expr:
        source = self.pathways[pathway]
        remedy = f"write {pathway}(signal_{source})"
        if len(node.args) != 1 or not isinstance(node.args[0], ast.Name):
            raise span.error(f"a pathway carries one named signal of another cell; {remedy}.", self.rule)
        signal, _, where = node.args[0].id.rpartition("_")
        inner = replace(span, column=span.column + node.args[0].col_offset - node.col_offset)
        if where not in self.where or not signal:
            raise inner.error(f"{node.args[0].id!r} does not say where it comes from; {remedy}.", self.rule)
        if where != source:
            raise inner.error(f"pathway {pathway} carries signals from {source!r}, not {where!r}; {remedy}.", self.rule)
        return Expr("path", (pathway, signal, where), (), span)


BINDING = {"<": 0, ">": 0, "<=": 0, ">=": 0, "+": 1, "-": 1, "*": 2, "/": 2, "neg": 3, "**": 4}


def show(expr: Expr) -> str:
    """The expression as text again, bracketed where it matters: reading it gives the same expression."""
    match expr.kind:
        case "number":
            return f"{expr.value:g}" if float(f"{expr.value:g}") == expr.value else repr(expr.value)
        case "name" | "state":
            return str(expr.value)
        case "post" | "pre":
            return f"{expr.value}_{expr.kind}"
        case "weight":
            return "w"
        case "call":
            return f"{expr.value}({', '.join(map(show, expr.args))})"
        case "path":
            pathway, signal, where = expr.value
            return f"{pathway}({signal}_{where})"
    level = BINDING[expr.kind]
    if expr.kind == "neg":
        return f"-{_bracketed(expr.args[0], level)}"
    left = _bracketed(expr.args[0], level + (expr.kind == "**"))
    right = _bracketed(expr.args[1], level + (expr.kind != "**"))
    return f"{left} {expr.kind} {right}" if level < 2 else f"{left}{expr.kind}{right}"


def _bracketed(expr: Expr, level: int) -> str:
    return f"({show(expr)})" if BINDING.get(expr.kind, 9) < level else show(expr)
