"""Expressions as Brian2 text."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from neurolearn.activations import Activation
from neurolearn.equations import Expr
from neurolearn.program import Cell, Signal


def brian_text(expr: Expr, leaf: Callable[[Expr], str], activation: Activation | None = None) -> str:
    """Brian2 text of an expression, fully bracketed; ``leaf`` writes names, post, pre, weight and state."""
    args = [brian_text(a, leaf, activation) for a in expr.args]
    match expr.kind:
        case "number":
            return repr(expr.value)
        case "neg":
            return f"(-{args[0]})"
        case "+" | "-" | "*" | "/" | "**" | "<" | ">" | "<=" | ">=":
            return f"({args[0]} {expr.kind} {args[1]})"
        case "call" if expr.value == "where":
            return f"(int({args[0]})*{args[1]} + (1 - int({args[0]}))*{args[2]})"
        case "call" if expr.value in ("f", "df", "inv"):
            templates = {"f": activation.brian, "df": activation.brian_slope, "inv": activation.brian_inverse}
            return templates[expr.value].format(u=args[0])
        case "call":
            return f"{expr.value}({args[0]})"
    return leaf(expr)


def bare(text: str) -> str:
    """Without a bracket around the whole."""
    if not text.startswith("("):
        return text
    depth = 0
    for k, letter in enumerate(text):
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if depth == 0:
            return text[1:-1] if k == len(text) - 1 else text
    return text


def signal_text(cell: Cell, signal: Signal) -> str:
    """Right side of a signal in all phases at once: gated by ``during_<phase>`` only where its forms differ."""

    def text(expr: Expr) -> str:
        return brian_text(expr, lambda e: str(e.value), cell.activation)

    forms: Mapping[str, Expr] = signal.forms
    if len(set(forms.values())) == 1:
        return bare(text(next(iter(forms.values()))))
    return " + ".join(f"during_{phase}*{text(expr)}" for phase, expr in forms.items())
