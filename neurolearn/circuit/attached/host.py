"""A network of the user's own, as ``attach`` sees it: what it must have, and what its numbers are in the rate network."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from brian2 import Quantity, Synapses, hertz
from brian2.core.namespace import DEFAULT_CONSTANTS, DEFAULT_FUNCTIONS, DEFAULT_UNITS
from brian2.core.variables import Subexpression
from brian2.units.fundamentalunits import get_dimensions

from neurolearn.activations import Activation
from neurolearn.circuit.attached.additions import DRIVE
from neurolearn.circuit.own.cell import same, si, unit_text
from neurolearn.errors import InputError
from neurolearn.network import Connection, Network

KNOWN = {*DEFAULT_UNITS, *DEFAULT_FUNCTIONS, *DEFAULT_CONSTANTS}


@dataclass(frozen=True, eq=False)
class Drive:
    """What drives the cells of a group. variable: of the group; it is ``background + scale * potential``."""

    variable: str
    scale: object = 1.0
    background: object = None

    def __post_init__(self) -> None:
        if self.background is None:
            object.__setattr__(self, "background", 0 * self.scale)
        if not same(self.scale, self.background) or float(self.scale) == 0:
            raise InputError(
                f"drive {self.variable!r}: scale is {self.scale!r} and background {self.background!r}; the scale is the drive "
                "for a potential of 1, not zero, and the background has its unit."
            )


@dataclass(eq=False)
class Host:
    """groups: of the layers. synapses: between them. The other fields are those of ``attach``. Raises InputError."""

    groups: list
    synapses: list[Synapses]
    weight: str
    activation: Activation
    drive: Drive | None
    output: Drive | None
    area: object
    input_unit: object

    def __post_init__(self) -> None:
        cell = getattr(self.activation.cell, "cell", None)
        if self.drive is None and cell is not None:
            self.drive = Drive(cell.drive, cell.drive_scale, cell.background)
        if self.drive is None:
            raise InputError(
                f"attach: {self.activation.name} says nothing of the variable that drives a cell; give drive=Drive('I', ...)."
            )
        if self.activation.cell is None and self.activation.membrane is None:
            raise InputError(
                f"attach: {self.activation.name} is no cell's f-I curve; give measured(cell) of the cell that you use, or lif."
            )
        self.output = self.output or self.drive
        if not same(self.input_unit, hertz) or not float(self.input_unit) > 0:
            raise InputError(
                f"attach: input_unit is {self.input_unit!r}; give the rate of a signal of 1, such as 50*Hz."
            )
        self._check_groups()
        for name, synapses in zip(self.names, self.synapses, strict=True):
            self._check_synapses(name, synapses)

    # -- checks ----------------------------------------------------------------------------------------------------

    def _check_groups(self) -> None:
        if len(self.groups) < 2:
            raise InputError(
                f"attach: groups has {len(self.groups)}; give one for each layer, input and output included."
            )
        if not self.synapses:
            raise InputError("attach: synapses is empty; give the forward Synapses between the groups, connected.")
        for k, group in enumerate(self.groups):
            events = getattr(group, "events", {"spike": None})
            if k < len(self.groups) - 1 and "spike" not in events:
                raise InputError(f"attach: group {group.name} has no threshold; a layer that sends has to spike.")
            if abs(float(group.clock.dt) - self.dt) > 1e-9 * self.dt:
                raise InputError(
                    f"attach: {group.name} has steps of {float(group.clock.dt):g} s and {self.groups[0].name} of {self.dt:g} s; "
                    "give all groups one dt."
                )
        for k in range(1, len(self.groups)):
            group, drive = self.groups[k], self.drive_of(k)
            if drive.variable not in group.variables:
                raise InputError(
                    f"attach: group {group.name} has no variable {drive.variable!r} that drives it; name it with "
                    f"{'output' if k == len(self.groups) - 1 else 'drive'}=Drive(...)."
                )
            if group.variables[drive.variable].dim is not get_dimensions(drive.scale):
                raise InputError(
                    f"attach: {drive.variable} of {group.name} is in {unit_text(group.variables[drive.variable].dim)} and its "
                    f"scale is {drive.scale!r}; they need one unit."
                )
            self.constants(k)

    def _check_synapses(self, name: str, synapses: Synapses) -> None:
        where = f"attach: Synapses {synapses.name}"
        if self.names.count(name) > 1:
            raise InputError(f"{where} joins layers that others join too; one Synapses joins two groups.")
        equation = synapses.equations.get(self.weight)
        if equation is None or equation.type != "parameter" or {"constant", "shared"} & set(equation.flags):
            raise InputError(
                f"{where} has no weight {self.weight!r} that can be written; declare '{self.weight} : unit' in its model, "
                "without a flag."
            )
        if not len(synapses):
            raise InputError(f"{where} has no synapses yet; connect it, and set its {self.weight}, before attach.")
        _, target = self.ends(synapses)
        product = self.area * Quantity(1.0, dim=equation.dim) * hertz
        if not same(product, self.drive_of(target).scale):
            raise InputError(
                f"{where}: area is {self.area!r}; a weight in {unit_text(equation.dim)} times it, times a rate, has to be in "
                f"the unit of the drive, {self.drive_of(target).scale!r}."
            )
        if len({*zip(np.asarray(synapses.i), np.asarray(synapses.j), strict=True)}) < len(synapses):
            raise InputError(f"{where} has several synapses between two cells; attach knows one for each pair.")

    # -- what it is ------------------------------------------------------------------------------------------------

    @property
    def dt(self) -> float:
        """Step of the groups, in seconds."""
        return float(self.groups[0].clock.dt)

    def ends(self, synapses: Synapses) -> tuple[int, int]:
        """(source, target) layers of a Synapses."""
        found = [
            next((k for k, g in enumerate(self.groups) if g is end), None) for end in (synapses.source, synapses.target)
        ]
        if None in found or found[0] >= found[1]:
            raise InputError(
                f"attach: Synapses {synapses.name} runs from {synapses.source.name} to {synapses.target.name}; give Synapses "
                "from one of groups to a later one (a whole group, not a part of it)."
            )
        return found[0], found[1]

    @cached_property
    def names(self) -> list[str]:
        """Name of the weight of each Synapses in the rate network."""
        return [f"W_{target}_{source}" for source, target in map(self.ends, self.synapses)]

    def network(self) -> Network:
        """Layers and connections; a Synapses that does not join all pairs is a masked one."""
        connections = []
        for synapses in self.synapses:
            source, target = self.ends(synapses)
            mask = np.zeros((len(self.groups[target]), len(self.groups[source])), bool)
            mask[np.asarray(synapses.j), np.asarray(synapses.i)] = True
            kind = {"kind": "dense"} if mask.all() else {"kind": "masked", "mask": mask}
            connections.append(Connection(source, target, **kind))
        return Network(tuple(map(len, self.groups)), tuple(connections), activation=self.activation)

    def drive_of(self, layer: int) -> Drive:
        """What drives the cells of a layer."""
        return self.output if layer == len(self.groups) - 1 else self.drive

    def constants(self, layer: int) -> dict[str, object]:
        """What the drive of a layer is computed with, if it is computed: {name in the group's namespace: value}."""
        group, found, todo = self.groups[layer], {}, [self.drive_of(layer).variable] if layer else []
        while todo:
            name = todo.pop()
            variable = group.variables.get(name)
            if variable is None and name not in KNOWN:
                if name not in (group.namespace or {}):
                    raise InputError(
                        f"attach: {self.drive_of(layer).variable} of {group.name} is computed with {name!r}, which the group "
                        "takes from outside; put it into the group's namespace=."
                    )
                found[name] = group.namespace[name]
            todo += sorted(variable.identifiers) if isinstance(variable, Subexpression) else []
        return found

    def drives(self) -> dict[int, tuple[str, str]]:
        """{layer: (unit of the drive, the potential as text)}."""
        found = {}
        for layer in range(1, len(self.groups)):
            drive = self.drive_of(layer)
            scale, unit = si(drive.scale)
            times = f"*{unit}" if unit else ""
            text = f"({DRIVE} - {float(drive.background)!r}{times})/({scale!r}{times})"
            found[layer] = (unit or "1", text)
        return found

    def units(self) -> dict[int, float]:
        """{layer: Hz of a signal of 1}, of the layers whose rates are spikes."""
        own = self.activation.cell.unit_hz if self.activation.cell else self.activation.membrane.unit
        return {0: float(self.input_unit)} | dict.fromkeys(range(1, len(self.groups) - 1), own)

    def gains(self) -> dict[str, float]:
        """{weight: by what a weight in SI units is multiplied to be one of the rate network}."""
        found = {}
        for name, synapses in zip(self.names, self.synapses, strict=True):
            source, target = self.ends(synapses)
            found[name] = self.units()[source] * float(self.area) / float(self.drive_of(target).scale)
        return found

    def weights(self) -> dict[str, np.ndarray]:
        """{weight: (to, from)} in the numbers of the rate network."""
        found = {}
        for name, synapses in zip(self.names, self.synapses, strict=True):
            source, target = self.ends(synapses)
            found[name] = np.zeros((len(self.groups[target]), len(self.groups[source])))
            values = np.asarray(synapses.variables[self.weight].get_value())
            found[name][np.asarray(synapses.j), np.asarray(synapses.i)] = values * self.gains()[name]
        return found
