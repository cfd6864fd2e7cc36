"""Expressions as torch text, and plasticity expressions as sums of outer products."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from neurolearn.activations import Activation
from neurolearn.equations import Expr
from neurolearn.program import Compartment, Plastic, Program

CALLS = {"exp": "torch.exp", "log": "torch.log", "sqrt": "torch.sqrt", "abs": "torch.abs", "tanh": "torch.tanh"}
BINDING = {"+": 1, "-": 1, "neg": 2, "*": 3, "/": 3, "**": 4}


def torch_text(expr: Expr, leaf: Callable[[Expr], str], activation: Activation | None = None) -> str:
    """Python text of an expression over torch; ``leaf`` writes names, post, pre, weight and state."""
    match expr.kind:
        case "number":
            return repr(expr.value)
        case "neg":
            return f"-{_bracket(expr.args[0], 2, leaf, activation)}"
        case "call":
            return _call(expr, leaf, activation)
        case "+" | "-" | "*" | "/" | "**":
            level = BINDING[expr.kind]
            left = _bracket(expr.args[0], level + (expr.kind == "**"), leaf, activation)
            right = _bracket(expr.args[1], level + (expr.kind in "-/"), leaf, activation)
            return f"{left} {expr.kind} {right}" if level == 1 else f"{left}{expr.kind}{right}"
        case "<" | ">" | "<=" | ">=":
            return f"({torch_text(expr.args[0], leaf, activation)} {expr.kind} {torch_text(expr.args[1], leaf, activation)})"
    return leaf(expr)


def _bracket(expr: Expr, level: int, leaf, activation) -> str:
    text = torch_text(expr, leaf, activation)
    return f"({text})" if BINDING.get(expr.kind, 9) < level or (expr.kind == "number" and expr.value < 0) else text


def _call(expr: Expr, leaf, activation) -> str:
    args = [torch_text(a, leaf, activation) for a in expr.args]
    if expr.value == "where":
        # multiplication keeps a branch that is a plain number legal
        return f"torch.where({args[0]}, {args[1]}, {args[2]})"
    if expr.value == "softmax":
        return f"torch.softmax({args[0]}, dim=1)"
    if expr.value in ("f", "df"):
        template = activation.torch if expr.value == "f" else activation.torch_slope
        inner = args[0] if expr.args[0].kind == "name" else f"({args[0]})"
        return f"({template.format(u=inner)})" if not template.startswith("torch.") or expr.value == "df" else template.format(u=inner)
    return f"{CALLS[expr.value]}({args[0]})"


def compartment_text(program: Program, k: int, compartment: Compartment) -> str:
    """The settled current of a compartment: the sum over its edges."""
    terms = []
    for path in compartment.paths:
        signal = f"{path.signal}_{path.source}"
        if path.kind == "identity":
            terms.append(signal)
        elif path.kind == "broadcast":
            terms.append(f"{signal}.sum(1, keepdim=True)")
        else:
            product = f"{signal} @ {path.weight}" + ("" if path.reverse else ".T")
            terms.append(product if path.factor == 1 else f"{path.factor:g}*({product})")
    return " + ".join(terms)


class Term(NamedTuple):
    """coefficient * post (x) pre * weight; a factor that is absent is None."""

    post: Expr | None
    pre: Expr | None
    weight: Expr | None


def sides(expr: Expr, states: dict[str, frozenset[str]]) -> frozenset[str]:
    """Which of post, pre and weight an expression depends on."""
    found: set[str] = set()
    for node in expr.walk():
        if node.kind in ("post", "pre", "weight"):
            found.add(node.kind)
        elif node.kind == "state":
            found |= states[node.value]
    return frozenset(found)


def state_sides(plastic: Plastic) -> dict[str, frozenset[str]]:
    """For each synaptic state, which ends it depends on (a state may read earlier ones)."""
    known = {s.name: frozenset[str]() for s in plastic.states}
    for _ in plastic.states:
        known = {s.name: sides(s.expr, known) for s in plastic.states}
    return known


def separate(expr: Expr, states: dict[str, frozenset[str]]) -> list[Term] | None:
    """The expression as a sum of products of one-sided factors, or None if it is not one."""
    here = sides(expr, states)
    if len(here) <= 1:
        side = next(iter(here), "post")
        return [Term(*(expr if side == s else None for s in ("post", "pre", "weight")))]
    if expr.kind == "neg":
        inner = separate(expr.args[0], states)
        return inner and [_times(Expr("number", -1.0), term) for term in inner]
    if expr.kind in "+-":
        left, right = (separate(a, states) for a in expr.args)
        if left is None or right is None:
            return None
        return left + (right if expr.kind == "+" else [_times(Expr("number", -1.0), t) for t in right])
    if expr.kind == "*":
        left, right = (separate(a, states) for a in expr.args)
        return left and right and [_product(a, b) for a in left for b in right]
    if expr.kind == "/" and len(sides(expr.args[1], states)) <= 1:
        one = Expr("/", None, (Expr("number", 1.0), expr.args[1]))
        return separate(Expr("*", None, (expr.args[0], one)), states)
    return None


def _multiply(a: Expr | None, b: Expr | None) -> Expr | None:
    return b if a is None else a if b is None else Expr("*", None, (a, b))


def _product(a: Term, b: Term) -> Term:
    return Term(*(_multiply(x, y) for x, y in zip(a, b)))


def _times(number: Expr, term: Term) -> Term:
    return Term(_multiply(number, term.post), term.pre, term.weight)
