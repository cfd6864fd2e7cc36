"""Expressions as torch text."""

from __future__ import annotations

import ast
from collections.abc import Callable

from neurolearn.activations import Activation
from neurolearn.equations import COMPARISONS, OPERATORS, Expr
from neurolearn.program import Compartment, Program

CALLS = {"exp": "torch.exp", "log": "torch.log", "sqrt": "torch.sqrt", "abs": "torch.abs", "tanh": "torch.tanh"}
OF_ACTIVATIONS = frozenset("exp expm1 log log1p sqrt rsqrt abs tanh atanh sinh asinh sigmoid logaddexp where".split())
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
        if not any(_varies(branch, leaf) for branch in expr.args[1:]):  # torch would make float32 of two numbers
            like = next((side for side in expr.args[0].args if _varies(side, leaf)), expr.args[0].args[0])
            args[1] = f"torch.full_like({torch_text(like, leaf, activation)}, {args[1]})"
        return f"torch.where({args[0]}, {args[1]}, {args[2]})"
    if expr.value == "softmax":
        return f"torch.softmax({args[0]}, dim=1)"
    if expr.value in ("f", "df", "inv"):
        template = template_of(activation, expr.value)
        inner = args[0] if expr.args[0].kind == "name" else f"({args[0]})"
        return (
            f"({template.format(u=inner)})"
            if not template.startswith("torch.") or expr.value == "df"
            else template.format(u=inner)
        )
    return f"{CALLS[expr.value]}({args[0]})"


def template_of(activation: Activation, function: str) -> str:
    """Torch text of f, df or inv."""
    return {"f": activation.torch, "df": activation.torch_slope, "inv": activation.torch_inverse}[function]


def _varies(expr: Expr, leaf) -> bool:
    """Whether the expression is a tensor; names that ``leaf`` leaves alone are constants."""
    return any(
        n.kind in ("post", "pre", "weight", "state") or (n.kind == "name" and leaf(n) != n.value) for n in expr.walk()
    )


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


def activation_value(template: str, at: Expr) -> Expr:
    """An activation's torch text as an expression at ``at``, or as the node torch if it says more than this can read.

    Beside the functions of the language there are calls of ``OF_ACTIVATIONS``, clamp_min, and float (of a comparison).
    """
    try:
        return _torch_value(ast.parse(template.format(u="u"), mode="eval").body, at)
    except LookupError:
        return Expr("torch", template, (at,))


def _torch_value(node: ast.AST, at: Expr) -> Expr:
    def read(*nodes: ast.AST) -> tuple[Expr, ...]:
        return tuple(_torch_value(n, at) for n in nodes)

    match node:
        case ast.Name("u"):
            return at
        case ast.Constant(float() | int() as number):
            return Expr("number", float(number))
        case ast.UnaryOp(ast.USub(), value):
            return Expr("neg", None, read(value))
        case ast.BinOp(left, operator, right) if type(operator) in OPERATORS:
            return Expr(OPERATORS[type(operator)], None, read(left, right))
        case ast.Compare(left, [operator], [right]) if type(operator) in COMPARISONS:
            return Expr(COMPARISONS[type(operator)], None, read(left, right))
        case ast.Call(ast.Attribute(value, "to")):
            (inner,) = read(value)
            return Expr("call", "float", (inner,)) if inner.kind in COMPARISONS.values() else inner
        case ast.Call(ast.Attribute(ast.Name("torch"), "relu"), [value]):
            return Expr("call", "clamp_min", (*read(value), Expr("number", 0.0)))
        case ast.Call(ast.Attribute(ast.Name("torch"), "clamp"), [value], [ast.keyword("min", low)]):
            return Expr("call", "clamp_min", read(value, low))
        case ast.Call(ast.Attribute(ast.Name("torch"), "zeros_like" | "ones_like" as name)):
            return Expr("number", float(name == "ones_like"))
        case ast.Call(ast.Attribute(ast.Name("torch"), name), values, []) if name in OF_ACTIVATIONS:
            return Expr("call", name, read(*values))
    raise LookupError(ast.dump(node))
