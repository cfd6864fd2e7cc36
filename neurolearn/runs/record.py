"""What a run records, said in a few words each: ``spikes:layer1``, ``rate:layer1 every=0.01``, ``weights:W_2_1 samples=-100:``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from neurolearn.errors import InputError
from neurolearn.runs.reading import did_you_mean

KINDS = ("spikes", "rate", "state", "weights")
OPTIONS = ("every", "only", "samples", "name")
FORM = "give KIND:GROUP, such as spikes:layer1, rate:layer1 every=0.01, state:layer1.potential or weights:W_2_1"


@dataclass(frozen=True)
class Wish:
    """One thing to record. what: the signal (spikes, rate) or the variables (state, weights) of ``group``.

    every: seconds, "sample", or None where it is left to the recorder. only: cells or synapses by number, or synapses as (to,
    from). samples: of the run, those that are kept, or None for all. name: in the recording, or "" for the group's.
    """

    kind: str
    group: str
    what: tuple[str, ...]
    every: float | str | None = None
    only: tuple[int, ...] | tuple[tuple[int, int], ...] | None = None
    samples: range | None = None
    name: str = ""


def wish(text: str, samples: int) -> Wish:
    """The wish that a text states, in a run of ``samples`` samples. Raises InputError.

    KIND:GROUP[.WHAT] [every=SECONDS|sample] [only=0,3|0:10|TO/FROM,...] [samples=FROM:TO:STEP] [name=NAME]. What is "rate" for
    spikes and rates; of states it is variables, joined by commas; weights are the variable w at the end of each sample.
    samples are as slices are in Python: -100: is the last hundred of the run, ::100 every hundredth.
    """
    head, *options = text.split() or [""]
    kind, colon, rest = head.partition(":")
    group, dot, what = rest.partition(".")
    if kind not in KINDS or not group or not colon:
        near = did_you_mean(kind, KINDS) if colon and kind not in KINDS else ""
        raise InputError(f"record is {text!r}; {near or f'{FORM}.'}")
    found: dict[str, str] = {}
    for option in options:
        name, _, value = option.partition("=")
        if name not in OPTIONS or not value or name in found:
            raise InputError(f"record is {text!r}; {option!r} is not one of {'=, '.join(OPTIONS)}=, each once and with a value.")
        found[name] = value
    if kind == "spikes" and "every" in found:
        raise InputError(f"record is {text!r}; every spike has its own time: leave every= out, or take rate:{group}.")
    if kind == "weights" and dot:
        raise InputError(f"record is {text!r}; weights have no further name: weights:{group}.")
    if kind == "state" and not what:
        raise InputError(f"record is {text!r}; name a variable: state:GROUP.VARIABLE.")
    usual = {"weights": "w", "state": what}.get(kind, what or "rate")
    return Wish(
        kind, group, tuple(usual.split(",")),
        _every(text, found["every"]) if "every" in found else "sample" if kind == "weights" else None,
        _only(text, found["only"]) if "only" in found else None,
        _samples(text, found["samples"], samples) if "samples" in found else None, found.get("name", ""),
    )  # fmt: skip


def _every(text: str, value: str) -> float | str:
    if value == "sample":
        return value
    try:
        return float(value)
    except ValueError:
        raise InputError(f"record is {text!r}; every={value} is no time: give seconds, such as every=0.01, or every=sample.") from None


def _only(text: str, value: str) -> tuple:
    if found := re.fullmatch(r"(\d+):(\d+)", value):
        return tuple(range(int(found[1]), int(found[2])))
    if re.fullmatch(r"\d+(,\d+)*", value):
        return tuple(map(int, value.split(",")))
    if re.fullmatch(r"\d+/\d+(,\d+/\d+)*", value):
        return tuple(tuple(map(int, pair.split("/"))) for pair in value.split(","))
    raise InputError(f"record is {text!r}; only={value} names no cells: give 0,3 or 0:10, or synapses as TO/FROM,TO/FROM.")


def _samples(text: str, value: str, samples: int) -> range:
    if not (re.fullmatch(r"(-?\d+)?:(-?\d+)?(:[1-9]\d*)?", value)):
        raise InputError(f"record is {text!r}; samples={value} is no slice of the run: give 0:100, -100: or ::10.")
    kept = range(samples)[slice(*(int(part) if part else None for part in value.split(":")))]
    if not kept:
        raise InputError(f"record is {text!r}; the run has {samples} samples, and none of them are in samples={value}.")
    return kept
