"""Expressions as torch text."""

from __future__ import annotations

from collections.abc import Callable

from neurolearn.activations import Activation
from neurolearn.equations import Expr
from neurolearn.program import Compartment, Program

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
