"""The physiology of a run, in numbers that a file can hold; times in seconds. ``circuit.Biology`` says what each option does."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from neurolearn.runs.parts import Delays, NotNegative, OneOrEach, Part, Seconds, Share, Values


def _several(value: object) -> object:
    return (value,) if isinstance(value, str) else value


class BackgroundSettings(Part):
    """A noise current. amplitude: its standard deviation, in units of what it joins. tau: its time constant (s). into: "cells",
    "currents", or pathways by name ("W", "B.error").
    """

    amplitude: NotNegative
    tau: Seconds
    into: Annotated[tuple[str, ...], BeforeValidator(_several), Field(min_length=1)] = ("cells",)


class BiologySettings(Part):
    """Options of ``circuit.Biology``; all are off unless given.

    delays: pathway ("B") or call of it ("W.rate") -> seconds. heterogeneity: relative standard deviation, or that of each of
    threshold, membrane and synapse. irregularity: coefficient of variation of the intervals between spikes. background: a
    noise current. dale: every cell excites or inhibits. Several cells per unit are ``timing.cells``.
    """

    delays: Delays = Values()
    heterogeneity: OneOrEach = 0.0
    irregularity: Share = 0.0
    background: BackgroundSettings | None = None
    dale: bool = False

    def options(self) -> dict[str, object]:
        """What was given, by name."""
        return {name: getattr(self, name) for name in type(self).model_fields if getattr(self, name)}
