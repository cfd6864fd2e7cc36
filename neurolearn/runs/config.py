"""What defines an online run: one value, checked when it is made, that is written beside everything the run leaves."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Literal, Self, get_type_hints

from pydantic import Field, ValidationError, create_model, model_validator

from neurolearn import activations
from neurolearn.errors import InputError
from neurolearn.network import LOSSES
from neurolearn.runs import reading, record
from neurolearn.runs.biology import BiologySettings
from neurolearn.runs.parts import Count, Names, NotNegative, Number, Numbers, OneOrMany, Part, Seed, Values, Whole
from neurolearn.timing import Timing

REALISATIONS = ("circuit.rate", "circuit.spiking", "tensor.rate", "tensor.spiking")
FROZEN = {
    float: Number,
    int: Whole,
    Mapping[str, float]: Numbers,
    Mapping[str, str]: Names,
    tuple[float, float]: tuple[Number, Number],
}


class _Timing(Part):
    """``neurolearn.timing.Timing``, field by field; seed: the run's own if None."""

    def timing(self, seed: int = 0) -> Timing:
        """The Timing; seed: of the run. Raises InputError where its settings do not fit together."""
        settings = {name: getattr(self, name) for name in Timing.__dataclass_fields__}
        return Timing(**{**settings, "seed": seed if self.seed is None else self.seed})


def _of_timing() -> dict[str, tuple]:
    """Type and default of every setting, taken from Timing."""
    kinds = get_type_hints(Timing)
    found = {f.name: (FROZEN.get(kinds[f.name], kinds[f.name]), getattr(Timing(), f.name)) for f in fields(Timing)}
    plain = {name: (kind, Values(value) if isinstance(value, dict) else value) for name, (kind, value) in found.items()}
    return {**plain, "seed": (Seed | None, None)}


TimingSettings = create_model("TimingSettings", __base__=_Timing, **_of_timing())


class Evaluation(Part):
    """When the network is measured: every ``every`` segments, on the first ``samples`` of a split (None: all).

    final: how many samples of the test split are met at the end (None: all of them, which is what one reports).
    """

    every: Count = 1
    samples: Count | None = None
    split: Literal["validation", "test"] = "validation"
    final: Count | None = None


class RunConfig(Part):
    """An online run: ``samples`` presentations, one after the other, in segments of ``segment``.

    rule: a name in the catalogue or path/to/file.py:name. constants: of the rule, where they differ from its own.
    weight_scale: multiplies the initial forward weights; bias: standard deviation of the initial biases. resets: every
    sample starts from rest.
    learning_rate: one, or one per pathway ("*": the others). plastic: "all", "readout" (the weights of hidden layers stay
    as they are) or "none". placement, target, biology: of circuits. record: what a circuit writes down
    while it learns, each as ``record.wish`` reads it. Raises InputError with a sentence for every setting that is wrong.
    """

    rule: str
    realisation: Literal[*REALISATIONS] = "circuit.spiking"
    data: str
    sizes: Annotated[tuple[Count, ...], Field(min_length=2)]
    activation: str = "tanh"
    loss: Literal[*LOSSES] = "squared"
    signed: bool = False
    constants: Numbers = Values()
    weight_scale: Annotated[Number, Field(gt=0)] = 1.0
    bias: NotNegative = 0.0
    samples: Count
    segment: Count = 100
    seed: Seed = 0
    learning_rate: OneOrMany
    plastic: Literal["all", "readout", "none"] = "all"
    placement: Literal["unit", "cells"] = "unit"
    target: Literal["numpy", "cython", "standalone"] = "numpy"
    resets: bool = False
    timing: TimingSettings = TimingSettings()
    biology: BiologySettings = BiologySettings()
    evaluation: Evaluation = Evaluation()
    record: tuple[str, ...] = ()

    def __init__(self, **settings: object):
        try:
            super().__init__(**settings)
        except ValidationError as error:
            raise InputError(reading.sentences(error, type(self))) from None

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """The configuration in a .json, .yaml or .yml file. Raises InputError that names the file."""
        return reading.of_file(Path(path), lambda settings: cls(**settings))

    @model_validator(mode="after")
    def _fits(self) -> Self:
        """What two settings say together."""
        _choose("rule", self.rule, _rules())
        _choose("data", self.data, _data())
        _choose("activation", self.activation, activations.NAMED)
        circuit, spiking = self.realisation.startswith("circuit"), self.realisation.endswith("spiking")
        if self.placement == "cells" and self.realisation != "circuit.spiking":
            raise ValueError(
                f"placement is 'cells', which only circuit.spiking has, not {self.realisation}; take 'unit'."
            )
        if self.target != "numpy" and not circuit:
            raise ValueError(
                f"target is {self.target!r}, which belongs to circuits, not to {self.realisation}; leave it out."
            )
        for name, value in self.biology.options().items():
            if not circuit:
                raise ValueError(f"biology.{name} is of circuits, not of {self.realisation}; leave it out.")
            if not spiking and name in ("delays", "irregularity", "dale"):
                raise ValueError(f"biology.{name} is {value}, but {self.realisation} sends no spikes; leave it out.")
        if self.record and not circuit:
            raise ValueError(f"record is {list(self.record)}, which belongs to circuits, not to {self.realisation}; leave it out.")
        self.wishes()
        self.timing.timing()
        if spiking and self.timing.settle % self.timing.window:
            raise ValueError(
                f"timing.settle is {self.timing.settle} and timing.window {self.timing.window}; settle must be a multiple "
                "of window."
            )
        return self

    @property
    def segments(self) -> int:
        """How many segments the run has; the last one may be shorter."""
        return -(-self.samples // self.segment)

    def spans(self) -> list[range]:
        """The samples of every segment, counted from the start of the run."""
        return [range(first, min(first + self.segment, self.samples)) for first in range(0, self.samples, self.segment)]

    def wishes(self) -> list[record.Wish]:
        """What is recorded."""
        return [record.wish(text, self.samples) for text in self.record]

    def but(self, **changes: object) -> Self:
        """The same run with some settings changed, checked again."""
        return type(self)(**{**self.settings(), **changes})

    def settings(self) -> dict:
        """All settings as JSON holds them, defaults included."""
        return self.model_dump(mode="json")

    def text(self) -> str:
        """``settings`` as the JSON of a file, to be read again by ``read``."""
        return json.dumps(self.settings(), indent=2) + "\n"

    def id(self) -> str:
        """16 hexadecimal digits: two runs have the same if, and only if, all their settings are the same.

        The folder of a rule's file does not count; the rule's text is compared by itself (``runs.identity``).
        """
        settings = {**self.settings(), "rule": self.rule.replace("\\", "/").rpartition("/")[2]}
        return hashlib.sha256(json.dumps(settings, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:16]


def _rules() -> Mapping:
    from neurolearn import rules

    return rules.ALL


def _data() -> tuple[str, ...]:
    from neurolearn import data

    return data.NAMES


def _choose(field: str, value: str, names) -> None:
    """Raises ValueError if the value is none of the names (a rule may be in a file)."""
    path, _, name = value.rpartition(":")
    if field == "rule" and (path.endswith(".py") or value.endswith(".py")):
        if not (path and name.isidentifier()):
            raise ValueError(f"rule is {value!r}, a file without the name of a rule; give path/to/file.py:name.")
        return
    if value not in names:
        near = reading.did_you_mean(value, names)
        also = ", or give path/to/file.py:name" if field == "rule" else ""
        raise ValueError(f"{field} is {value!r}; " + (near or f"choose one of {', '.join(names)}{also}."))
