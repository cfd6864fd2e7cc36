"""What makes two runs the same run: the text of the rule, as values that can be written down, compared and hashed."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Mapping, Set
from dataclasses import fields, is_dataclass
from functools import partial
from itertools import zip_longest
from numbers import Integral, Real

import numpy as np

from neurolearn.errors import InputError

SAYS_NOTHING = frozenset(("reference", "limit", "own", "nets"))  # parts of a Rule that are about it, and run nothing


def canonical(value: object) -> object:
    """The value as JSON can hold it, the same in every process: dataclasses by field, functions by their source.

    Mappings keep their order, which is that of phases. Raises InputError for what has no such form.
    """
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return repr(float(value))
    if isinstance(value, np.ndarray):
        return {"array": [value.dtype.name, list(value.shape), hashlib.sha256(np.ascontiguousarray(value)).hexdigest()]}
    if is_dataclass(value) and not isinstance(value, type):
        kind = type(value).__name__
        skip = SAYS_NOTHING if kind == "Rule" else ()
        return {kind: {f.name: canonical(getattr(value, f.name)) for f in fields(value) if f.name not in skip}}
    if isinstance(value, Mapping):
        return [[canonical(key), canonical(one)] for key, one in value.items()]
    if isinstance(value, Set):
        return sorted(json.dumps(canonical(one)) for one in value)
    if isinstance(value, list | tuple):
        return [canonical(one) for one in value]
    if isinstance(value, partial):
        return {"partial": [canonical(part) for part in (value.func, value.args, value.keywords)]}
    if callable(value):
        return {"function": _source(value)}
    raise InputError(
        f"a value of type {type(value).__name__} stands in the rule and cannot be compared; use a dataclass."
    )


def digest(value: object) -> str:
    """16 hexadecimal digits that stand for the value."""
    return hashlib.sha256(json.dumps(canonical(value)).encode()).hexdigest()[:16]


def differences(before: object, after: object, where: str = "") -> list[str]:
    """Where two canonical values differ, each as "place was this and is that"; the innermost places."""
    if isinstance(before, dict) and isinstance(after, dict):
        found = []
        for key in dict.fromkeys((*before, *after)):
            place = f"{where}.{key}" if where else key
            if key not in before or key not in after:
                found.append(f"{place} {'is new' if key not in before else 'is gone'}")
            else:
                found += differences(before[key], after[key], place)
        return found
    if _is_mapping(before) and _is_mapping(after) and (before or after):
        return differences(dict(before), dict(after), where)
    if isinstance(before, str) and isinstance(after, str) and "\n" in before + after:
        return _lines(before, after, where)
    return [] if before == after else [f"{where or 'it'} was {_short(before)} and is {_short(after)}"]


def _lines(before: str, after: str, where: str) -> list[str]:
    """The first line that differs between two texts."""
    for number, (old, new) in enumerate(zip_longest(before.splitlines(), after.splitlines(), fillvalue=""), 1):
        if old != new:
            return [f"line {number} of {where or 'it'} was {_short(old)!r} and is {_short(new)!r}"]
    return [] if before == after else [f"{where or 'it'} ends differently"]


def _is_mapping(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str) for pair in value
    )


def _source(function: object) -> str:
    """Source text of a function (or of the class of a callable), with the plain values that it encloses (or holds).

    Where the source cannot be had, as in an interactive session, its name stands for it.
    """
    code, named = getattr(function, "__code__", None), function if hasattr(function, "__qualname__") else type(function)
    try:
        text = inspect.getsource(named)
    except (OSError, TypeError):
        text = named.__qualname__
    if code is not None:
        cells = function.__closure__ or ()
        held = {name: cell.cell_contents for name, cell in zip(code.co_freevars, cells, strict=True)}
    else:
        held = dict(vars(function)) if named is not function else {}
    plain = {name: value for name, value in sorted(held.items()) if not callable(value)}
    return "\n".join([text, *(f"{name} = {json.dumps(canonical(value))}" for name, value in plain.items())])


def _short(value: object) -> str:
    text = " ".join(str(value).split()) if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
