"""Time in equations: a line dx/dt = ... must be a quantity per second. Checked when a rule is made, not by a simulator."""

from __future__ import annotations

from collections.abc import Collection

from neurolearn.equations import Expr
from neurolearn.errors import RuleError

PER_TIME = -1


def check_rate(expr: Expr, times: Collection[str], rule: str) -> None:
    """Raises RuleError unless the right side of dx/dt is per time; ``times`` are the names of the time constants."""
    found = _power(expr, times, rule)
    if found not in (PER_TIME, None):
        known = f" (one of {', '.join(times)})" if times else "; declare it in times={'tau_x': 1.0}"
        raise _error(expr, f"the right side of d/dt is not per time; divide it by a time constant{known}.", rule)


def _power(expr: Expr, times: Collection[str], rule: str) -> int | None:
    """The power of time that an expression has; None for a plain zero, which has any."""
    powers = [_power(arg, times, rule) for arg in expr.args]
    match expr.kind:
        case "number":
            return None if expr.value == 0 else 0
        case "name":
            return 1 if expr.value in times else 0
        case "neg":
            return powers[0]
        case "*" | "/":
            if None in powers:
                return None
            return powers[0] + powers[1] if expr.kind == "*" else powers[0] - powers[1]
        case "+" | "-":
            return _same(expr, powers, rule)
        case "<" | ">" | "<=" | ">=":
            _same(expr, powers, rule)
        case "**":
            exponent = expr.args[1]
            if powers[0] and exponent.kind != "number":
                raise _error(expr, "a time constant can only be raised to a number.", rule)
            return int(powers[0] * exponent.value) if powers[0] else powers[0]
        case "call" if expr.value == "where":
            return _same(expr, powers[1:], rule)
        case "call":
            if any(powers):
                raise _error(
                    expr, f"{expr.value} of a time has no meaning; make a ratio of time constants first.", rule
                )
    return 0


def _same(expr: Expr, powers: list[int | None], rule: str) -> int | None:
    known = [p for p in powers if p is not None]
    if len(set(known)) > 1:
        raise _error(
            expr, "the two sides differ in time: one of them is divided or multiplied by a time constant.", rule
        )
    return known[0] if known else None


def _error(expr: Expr, message: str, rule: str) -> RuleError:
    span = next((node.span for node in expr.walk() if node.span), None)
    return span.error(message, rule) if span else RuleError(message, rule=rule)
