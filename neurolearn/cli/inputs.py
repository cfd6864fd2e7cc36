"""What stands on the command line, checked: each refusal names the option, the value and what to give instead."""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Iterable, Sequence
from contextlib import redirect_stdout
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Annotated
from zlib import crc32

import typer

from neurolearn import activations, rules
from neurolearn.changes import REALISATIONS
from neurolearn.errors import InputError, NeurolearnError
from neurolearn.rule import Rule

CONTROLS = ("linear", "readout_only")  # what every accuracy stands beside

RuleNames = Annotated[list[str] | None, typer.Option(
    "--rules", metavar="NAMES", show_default=False,
    help="Comma separated names of rules, path/to/file.py:name, or all; may be repeated.  [default: all]")]
JsonPlace = Annotated[str | None, typer.Option(
    "--json", metavar="FILE|-", show_default=False,
    help="Write everything as JSON to FILE, or to stdout; tables then go to stderr.")]
RuleSizes = Annotated[str | None, typer.Option(
    "--sizes", metavar="N-N-...", show_default=False,
    help="Units of each layer, input first.  [default: the smallest that the rule is verified on]")]
RuleActivation = Annotated[str | None, typer.Option(
    "--activation", metavar="NAME", show_default=False,
    help="Activation of its hidden layers.  [default: the rule's first]")]


def rules_of(texts: Iterable[str] | None, option: str = "--rules", default: str = "all") -> list[Rule]:
    """Rules named by comma separated texts: names, ``all``, or ``path/to/file.py:name``. default: if there is no text.

    Raises InputError for an unknown name, a file that cannot be used, and two rules of one name.
    """
    found: dict[str, Rule] = {}
    for name in _split([default] if not texts else texts, option, "rules, such as feedback_alignment"):
        for rule in rules.ALL.values() if name == "all" else [rule_of(name, option)]:
            if found.setdefault(rule.name, rule) is not rule:
                raise InputError(f"{option} gives two different rules named {rule.name!r}; rename one of them.")
    return list(found.values())


def rule_of(text: str, option: str) -> Rule:
    """One rule, by its name in the catalogue or as ``path/to/file.py:name``."""
    path, colon, name = text.rpartition(":")
    if colon and path.endswith(".py"):
        return _from_file(Path(path).expanduser(), name, option)
    if text.endswith(".py"):
        raise InputError(f"{option} is {text!r}, a file without the name of a rule; give {text}:name.")
    try:
        return rules.get(text)
    except InputError as error:
        raise InputError(f"{option}: {error}") from None


def _from_file(path: Path, name: str, option: str) -> Rule:
    if not path.is_file():
        raise InputError(f"{option}: there is no file {str(path)!r}; check the path. This folder is {Path.cwd()}.")
    module = _load(path.resolve(), option)
    there = ", ".join(key for key, value in vars(module).items() if isinstance(value, Rule)) or "none"
    if not name or not hasattr(module, name):
        wanted = f"has no {name!r}" if name else "is given without a name"
        raise InputError(f"{option}: {path} {wanted}; the rules in it are: {there}. Give {path}:name.")
    rule = getattr(module, name)
    if not isinstance(rule, Rule):
        kind = type(rule).__name__
        raise InputError(f"{option}: {name!r} in {path} is of type {kind}, not a Rule; the rules in it are: {there}.")
    return rule


def _load(path: Path, option: str):
    """The file as a module; files beside it can be imported while it loads, as when it is run. It prints to stderr."""
    name = f"neurolearn_file_{path.stem}_{crc32(str(path).encode()):08x}"
    if name in sys.modules:
        return sys.modules[name]
    spec = spec_from_file_location(name, path)
    module = sys.modules[name] = module_from_spec(spec)
    sys.path.insert(0, str(path.parent))
    try:
        with redirect_stdout(sys.stderr):
            spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise InputError(f"{option}: {path.name} cannot be loaded: {_why(error, path)}") from error
    finally:
        if str(path.parent) in sys.path:
            sys.path.remove(str(path.parent))
    return module


def _why(error: BaseException, path: Path) -> str:
    """The error in a user's file, with the line in that file and, for a rule or a syntax error, the caret."""
    if isinstance(error, SyntaxError):
        text, column = (error.text or "").rstrip(), (error.offset or 1) - 1
        caret = f"\n    {text}\n    {' ' * column}^" if text else ""
        return f"at line {error.lineno}: {error.msg}.{caret}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    where = f"at line {lines[-1]}: " if lines else ""
    return where + (str(error) if isinstance(error, NeurolearnError) else f"{type(error).__name__}: {error}.")


def realisations_of(texts: Iterable[str] | None, option: str = "--realisations") -> tuple[str, ...]:
    """Realisations in their own order; all four by default or for ``all``."""
    wanted = _split(["all"] if not texts else texts, option, f"realisations: {', '.join(REALISATIONS)}")
    for name in wanted:
        one_of(option, name, (*REALISATIONS, "all"))
    return tuple(name for name in REALISATIONS if name in wanted or "all" in wanted)


def sizes_of(text: str, option: str = "--sizes") -> tuple[int, ...]:
    """Layer sizes from ``64-64-32-10``."""
    if not re.fullmatch(r"[1-9][0-9]{0,6}(-[1-9][0-9]{0,6})+", text, re.ASCII):
        raise InputError(f"{option} is {text!r}; give the units of each layer, input first, joined by hyphens, for "
                         "example 64-64-32-10.")
    return tuple(map(int, text.split("-")))


def activation_of(text: str, option: str = "--activation") -> str:
    """The name of an activation function."""
    return one_of(option, text, tuple(activations.NAMED))


def data_of(text: str, option: str = "--data") -> str:
    """The name of a data set."""
    from neurolearn import data

    return one_of(option, text.replace("-", "_"), data.NAMES)


def device_of(text: str, option: str = "--device") -> str:
    """A torch device that this machine has; torch is asked only about CUDA."""
    if text == "cpu":
        return text
    if not (match := re.fullmatch(r"cuda(?::(\d+))?", text, re.ASCII)):
        raise InputError(f"{option} is {text!r}; give cpu, cuda or cuda:0 (the number of the device).")
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if int(match[1] or 0) >= count:
        last = f"at most cuda:{count - 1}, or cpu" if count else "cpu"
        raise InputError(f"{option} is {text!r}, but torch finds {count or 'no'} CUDA device(s) here; give {last}.")
    return text


def one_of(option: str, value: str, choices: Sequence[str]) -> str:
    """The value, if it is one of the choices."""
    if value not in choices:
        raise InputError(f"{option} is {value!r}; choose from {', '.join(choices)}.")
    return value


def number_of(option: str, text: str, least: int) -> int:
    """A whole number that is not too small."""
    if not re.fullmatch(r"[0-9]{1,9}", text, re.ASCII) or int(text) < least:
        raise InputError(f"{option} is {text!r}; give a whole number of at least {least}.")
    return int(text)


def positive(option: str, text: str) -> float:
    """A number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise InputError(f"{option} is {text!r}; give a positive number, such as 0.05.")
    return value


def file_of(option: str, path: Path | None) -> Path | None:
    """The path, if there is such a file (None stands for no file)."""
    if path is not None and not path.is_file():
        raise InputError(f"{option} is {str(path)!r}, which is no file; check the path. This folder is {Path.cwd()}.")
    return path


def folder_of(option: str, path: Path) -> Path:
    """The path, if it is a folder or can become one."""
    if blocked := next((p for p in (path, *path.parents) if p.exists() and not p.is_dir()), None):
        raise InputError(f"{option} is {str(path)!r}, but {str(blocked)!r} is a file; give another folder.")
    return path


def _split(texts: Iterable[str], option: str, what: str) -> list[str]:
    names = [name.strip() for text in texts for name in text.split(",") if name.strip()]
    if not names:
        raise InputError(f"{option} is empty; give {what}, separated by commas, or all.")
    return names
