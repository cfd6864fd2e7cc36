"""Numbers with units: what a user may give where a time, a rate or a plain number is wanted. Brian2 is never imported here."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from numbers import Real

from neurolearn.errors import InputError

KINDS = {"s": "a time, such as 5*ms or 5e-3 (seconds)", "s^-1": "a rate, such as 50*Hz or 50.0", "1": "a number without a unit"}


def si(what: str, value, kind: str = "1", least: float | None = None) -> float:
    """A finite float in SI units. value: a plain number, or a Brian2 quantity of that kind ("s", "s^-1" or "1").

    least: the smallest that is allowed; None asks for a positive one, -inf for any. Raises InputError, which names ``what``,
    the value and what it may be.
    """
    dimension = str(getattr(value, "dim", kind))
    plain = isinstance(value, Real) and not isinstance(value, bool)
    if not (plain or hasattr(value, "dim")) or getattr(value, "shape", ()) or dimension != kind:
        raise InputError(f"{what} is {value!r}; give {KINDS[kind]}.")
    found = float(value)
    if not isfinite(found) or (found <= 0 if least is None else found < least):
        must = "finite" if abs(found) == float("inf") else "positive" if least is None else f"at least {least:g}"
        raise InputError(f"{what} is {value}; it must be {must}{'' if kind == '1' else ' (SI units)'}.")
    return found


def table(what: str, values, kind: str) -> dict[str, float]:
    """{name: positive float in SI units} of a mapping. Raises InputError."""
    if not isinstance(values, Mapping):
        raise InputError(f"{what} is {values!r}; give names with their values, such as {{'B': 5e-3}}.")
    return {name: si(f"{what}[{name!r}]", value, kind) for name, value in values.items()}


def whole(what: str, value, least: int) -> int:
    """An int that is not too small. Raises InputError."""
    plain = isinstance(value, Real) and not isinstance(value, bool) and not hasattr(value, "dim")
    if not plain or not isfinite(value) or int(value) != value or value < least:
        raise InputError(f"{what} is {value!r}; give a whole number of at least {least}.")
    return int(value)
