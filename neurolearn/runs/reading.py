"""Configurations from files, and what is wrong with them in sentences: which field, which value, what to do."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import yaml

from neurolearn.errors import InputError
from neurolearn.runs import atomic

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

Made = TypeVar("Made")
LIMITS = {
    "greater_than": ("gt", ">"),
    "greater_than_equal": ("ge", ">="),
    "less_than": ("lt", "<"),
    "less_than_equal": ("le", "<="),
}
MAPPING = "names with their values"
TYPES = {
    "int": "a whole number",
    "float": "a number",
    "string": "a text",
    "bool": "true or false",
    "dict": MAPPING,
    "tuple": "a list",
    "model": MAPPING,
    "dataclass": MAPPING,
}


class _Unique(yaml.SafeLoader):
    """YAML's safe loader, which here refuses a key that stands twice."""

    def construct_mapping(self, node, deep=False):
        """The mapping of a node."""
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        if twice := [key for n, key in enumerate(keys) if key in keys[:n]]:
            raise InputError(f"{twice[0]!r} stands twice; keep one of them.")
        return super().construct_mapping(node, deep)


def of_file(path: Path, make: Callable[[Mapping], Made]) -> Made:
    """``make`` of the settings in a .json, .yaml or .yml file; InputErrors begin with the file's name."""
    if path.suffix not in (".json", ".yaml", ".yml"):
        raise InputError(f"{path.name} is no .json, .yaml or .yml file; give a configuration in one of these.")
    with atomic.sentences(path):
        data = path.read_bytes()
    try:
        text = data.decode("utf-8")
        if path.suffix == ".json":
            settings = json.loads(text, object_pairs_hook=_unique)
        else:
            settings = yaml.load(text, Loader=_Unique)  # a SafeLoader
        if not isinstance(settings, Mapping) or not all(isinstance(key, str) for key in settings):
            raise InputError("give settings by name, such as rule: feedback_alignment.")
        return make(settings)
    except InputError as error:
        raise InputError(f"{path.name}: {error}") from None
    except (ValueError, yaml.YAMLError) as error:
        raise InputError(f"{path.name} cannot be read: {' '.join(str(error).split())}.") from None


def _unique(pairs: list[tuple[str, object]]) -> dict:
    for n, (key, _) in enumerate(pairs):
        if key in [other for other, _ in pairs[:n]]:
            raise InputError(f"{key!r} stands twice; keep one of them.")
    return dict(pairs)


def sentences(error: ValidationError, model: type[BaseModel]) -> str:
    """Pydantic's findings about a model, one sentence for each field."""
    found: dict[str, list[str]] = {}
    for one in error.errors(include_url=False):
        place = ".".join(str(part) for part in one["loc"] if not _is_branch(str(part)))
        found.setdefault(place, []).append(_sentence(one, place, model))
    return " ".join(sentence for several in found.values() for sentence in several[-1:])


def _is_branch(part: str) -> bool:
    """Whether a part of a place names a member of a union and not a field."""
    return "[" in part


def _sentence(one: Mapping, place: str, model: type[BaseModel]) -> str:
    kind, value, context = one["type"], one.get("input"), one.get("ctx", {})
    if kind in ("extra_forbidden", "unexpected_keyword_argument"):
        *outer, last = one["loc"]
        names = _fields(model, outer)
        return f"there is no setting {place!r}; " + (did_you_mean(str(last), names) or f"choose from {', '.join(names)}.")
    if kind == "missing":
        return f"{place} is missing; give it a value."
    if kind == "value_error" and not place:
        return str(context["error"])
    shown = f"{place} is {_shown(value)}"
    if kind == "value_error":
        said = str(context["error"])
        return said if said.endswith(".") else f"{shown}; {said}."
    if kind == "literal_error":
        return f"{shown}; choose {context['expected']}."
    if kind in LIMITS:
        key, words = LIMITS[kind]
        return f"{shown}; give a number {words} {context[key]:g}."
    if kind in ("too_short", "too_long"):
        count = context.get("min_length", context.get("max_length"))
        return f"{shown}; give {'at least' if kind == 'too_short' else 'at most'} {count} values."
    if kind == "finite_number":
        return f"{shown}; give a finite number."
    return f"{shown}; give {_wanted(kind, one['msg'])}."


def _wanted(kind: str, message: str) -> str:
    return TYPES.get(kind.split("_")[0], message[0].lower() + message[1:])


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _fields(model: type[BaseModel], loc: Iterable) -> list[str]:
    """Names of the settings of the part of a model that is at ``loc``, itself a model or a dataclass."""
    names = model.model_fields
    for part in loc:
        field = names.get(str(part))
        kind = getattr(field, "annotation", None)
        names = getattr(kind, "model_fields", None) or getattr(kind, "__dataclass_fields__", None) or names
    return list(names)


def did_you_mean(word: str, names: Iterable[str]) -> str:
    """A question that proposes the name nearest to the word; nothing if none is near."""
    near = get_close_matches(word, list(names), 1, 0.6)
    return f"did you mean {near[0]!r}?" if near else ""
