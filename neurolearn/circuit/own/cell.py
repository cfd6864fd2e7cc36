"""A cell of the user's own: any Brian2 model, and what of it receives the drive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from brian2 import Equations, NeuronGroup, have_same_dimensions, hertz, second
from brian2.core.namespace import DEFAULT_CONSTANTS, DEFAULT_FUNCTIONS, DEFAULT_UNITS
from brian2.units.fundamentalunits import DIMENSIONLESS, get_dimensions, get_unit
from brian2.utils.stringtools import get_identifiers, word_substitute

from neurolearn.errors import InputError

METHODS = ("euler", "rk2", "rk4", "exponential_euler")
FLAGS = {"unless refractory", "constant", "constant over dt"}
DRAWN = {"rand", "randn", "poisson"}
PRESENT = {"t", "dt", "i", "N", "not_refractory"}


@dataclass(frozen=True, eq=False)
class Cell:
    """One cell as Brian2 has it, with the drive that a network gives it.

    model: equations of one cell, with units. threshold, reset: as of a NeuronGroup. drive: the parameter of the model
    (declared, ``I : amp``, or only used) that is ``background + drive_scale * potential``, with the potential of the
    network, which has no unit. unit: the rate that counts as a signal of 1. refractory: a time, or None. method: euler,
    rk2, rk4 or exponential_euler. namespace: {name: quantity}. start: {variable: quantity, or (lowest, highest) between
    which every cell draws its own}; parameters of the model get their values here too. Raises InputError.
    """

    model: str
    threshold: str
    reset: str
    drive: str = "I"
    drive_scale: object = 1.0
    background: object = None
    unit: object = field(default_factory=lambda: 100 * hertz)
    refractory: object = None
    method: str = "euler"
    namespace: Mapping[str, object] = field(default_factory=dict)
    start: Mapping[str, object] = field(default_factory=dict)
    name: str = "cell"

    def __post_init__(self) -> None:
        if self.background is None:
            object.__setattr__(self, "background", 0 * self.drive_scale)
        for name, value in self.namespace.items():
            if callable(value) or np.ndim(value):
                raise InputError(f"{self.name}: namespace[{name!r}] is {value!r}; give one number or quantity.")
        if self.method not in METHODS:
            raise InputError(f"{self.name}: method is {self.method!r}; choose one of {', '.join(METHODS)}.")
        scale, background = self.drive_scale, self.background
        if not same(scale, background) or float(scale) == 0 or not np.isfinite([float(scale), float(background)]).all():
            raise InputError(
                f"{self.name}: drive_scale is {self.drive_scale!r} and background {self.background!r}; the scale is the "
                "drive for a potential of 1, not zero, and the background has its unit."
            )
        if not same(self.unit, hertz) or not float(self.unit) > 0:
            raise InputError(f"{self.name}: unit is {self.unit!r}; give the rate of a signal of 1, such as 100*Hz.")
        self._check_equations()
        self._check_refractory()
        self._check_names()
        self._check_start()

    # -- checks ----------------------------------------------------------------------------------------------------

    def _check_equations(self) -> None:
        for name, eq in self.equations.items():
            flags = set(eq.flags) - FLAGS
            if flags:
                raise InputError(
                    f"{self.name}: {name} has the flag {', '.join(sorted(flags))}; a cell of a network may have "
                    f"{', '.join(sorted(FLAGS))}."
                )
        declared = self.equations.get(self.drive)
        if declared is not None and declared.type != "parameter":
            raise InputError(
                f"{self.name}: drive is {self.drive!r}, which the model computes itself ({declared.type}); name a "
                "parameter."
            )
        if declared is not None and declared.dim is not get_dimensions(self.drive_scale):
            raise InputError(
                f"{self.name}: {self.drive} is in {unit_text(declared.dim)} and drive_scale is {self.drive_scale!r}; they "
                "need one unit."
            )
        if self.drive in self.namespace:
            raise InputError(
                f"{self.name}: {self.drive!r} is the drive and stands in namespace too; take it out there."
            )
        for name, such in (("threshold", "the condition of a spike, as 'v > 1'"), ("reset", "what it does, as 'v = 0'")):
            text = getattr(self, name)
            if not isinstance(text, str) or not text.strip():
                raise InputError(f"{self.name}: it has no {name} ({text!r}); give {such}.")

    def _check_refractory(self) -> None:
        if self.refractory is None:
            uses = [name for name, eq in self.equations.items() if "unless refractory" in eq.flags]
            if uses or "not_refractory" in self._identifiers:
                raise InputError(
                    f"{self.name}: its equations know a refractory period; give refractory=, such as 2*ms."
                )
        elif not same(self.refractory, second) or np.ndim(self.refractory):
            raise InputError(f"{self.name}: refractory is {self.refractory!r}; give one time, such as 2*ms, or None.")
        elif not 0 <= float(self.refractory) < np.inf:
            raise InputError(f"{self.name}: refractory is {self.refractory!r}; it is 0 ms or longer (None for none).")

    def _check_names(self) -> None:
        drawn = sorted(n for n in self._identifiers if n in DRAWN or n.startswith("xi"))
        if drawn:
            raise InputError(
                f"{self.name}: {drawn[0]} is drawn by Brian2, differently in each of its targets; a cell of a network is "
                "deterministic, and its noise is that of the spikes that it hears."
            )
        known = {*self.equations.names, *self.namespace, self.drive, *PRESENT}
        known |= {*DEFAULT_UNITS, *DEFAULT_FUNCTIONS, *DEFAULT_CONSTANTS}
        unknown = sorted(self._identifiers - known)
        if unknown:
            raise InputError(
                f"{self.name}: {', '.join(unknown)} is neither a variable of the model nor in namespace; give it a value "
                "there."
            )
        if self.drive not in self._identifiers:
            raise InputError(f"{self.name}: no equation reads the drive {self.drive!r}; name the variable with drive=.")

    def _check_start(self) -> None:
        for name, value in self.start.items():
            eq = self.equations.get(name)
            if eq is None or eq.type == "subexpression" or name == self.drive:
                raise InputError(f"{self.name}: start has {name!r}, which is no variable or parameter of the model.")
            if len(limits(value)) != 2:
                raise InputError(f"{self.name}: start[{name!r}] is {value!r}; give one value, or (lowest, highest).")
            if any(get_dimensions(part) is not eq.dim for part in limits(value)):
                raise InputError(f"{self.name}: start[{name!r}] is {value!r}; {name} is in {unit_text(eq.dim)}.")

    # -- parts -----------------------------------------------------------------------------------------------------

    @cached_property
    def equations(self) -> Equations:
        """The model, parsed. Raises InputError with Brian2's sentence if it cannot be."""
        try:
            return Equations(self.model)
        except Exception as error:
            raise InputError(f"{self.name}: Brian2 refuses the model: {reason(error)}") from error

    @cached_property
    def _identifiers(self) -> set[str]:
        texts = [self.threshold, self.reset, *(eq.expr.code for eq in self.equations.values() if eq.expr is not None)]
        return set().union(*map(get_identifiers, texts)) - {"and", "or", "not", "True", "False"}

    @property
    def unit_hz(self) -> float:
        """Hz of a signal of 1."""
        return float(self.unit)

    def starts(self, fraction: np.ndarray) -> dict[str, np.ndarray]:
        """{variable: SI values} where a fraction from 0 to 1 of the range in ``start`` has been drawn for each cell."""
        found = {}
        for name, value in self.start.items():
            low, high = (float(part) for part in limits(value))
            found[name] = low + (high - low) * fraction
        return found

    def group(self, drives: np.ndarray, dt, fraction: np.ndarray | float = 0.5) -> NeuronGroup:
        """A NeuronGroup of uncoupled copies, one for each drive (potentials of the network), as a user would write it."""
        lines = [f"{self.drive} : {unit_text(get_dimensions(self.drive_scale))} (constant)"]
        lines += [line_text(eq) for name, eq in self.equations.items() if name != self.drive]
        group = NeuronGroup(
            len(drives),
            "\n".join(lines),
            threshold=self.threshold,
            reset=self.reset,
            refractory=False if self.refractory is None else self.refractory,
            method=self.method,
            namespace=dict(self.namespace),
            dt=dt,
        )
        group.variables[self.drive].set_value(
            float(self.background) + float(self.drive_scale) * np.asarray(drives, float)
        )
        for name, value in self.starts(np.broadcast_to(fraction, len(drives))).items():
            group.variables[name].set_value(value)
        return group


def same(value, other) -> bool:
    """Whether both are quantities, or numbers, of one dimension."""
    try:
        return have_same_dimensions(value, other)
    except TypeError:
        return False


def reason(error: BaseException) -> str:
    """What Brian2 says is wrong: the first of its errors, in which the equation stands, on one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split())[:300]


def limits(value) -> tuple:
    """(lowest, highest) of an entry of ``start``."""
    return tuple(value) if isinstance(value, tuple | list) else (value, value)


def unit_text(dimensions) -> str:
    """SI unit of a dimension as Brian2 reads it."""
    return "1" if dimensions is DIMENSIONLESS else repr(get_unit(dimensions))


def line_text(eq, rename: Mapping[str, str] | None = None, flags: bool = True) -> str:
    """One equation as text, with names replaced."""
    rename = rename or {}
    name = rename.get(eq.varname, eq.varname)
    unit = "boolean" if eq.var_type == "boolean" else "integer" if eq.var_type == "integer" else unit_text(eq.dim)
    end = f" : {unit}" + (f" ({', '.join(eq.flags)})" if eq.flags and flags else "")
    if eq.type == "parameter":
        return name + end
    left = f"d{name}/dt" if eq.type == "differential equation" else name
    return f"{left} = {word_substitute(eq.expr.code, rename)}{end}"


def si(value) -> tuple[float, str]:
    """(number, unit) of a quantity."""
    dimensions = get_dimensions(value)
    return float(value), "" if dimensions is DIMENSIONLESS else unit_text(dimensions)
