"""Codings that a signal does not choose, and one that is none: a cell's own f-I curve, drawn input, a graded value."""

from __future__ import annotations

from typing import ClassVar

from neurolearn.circuit.coding.base import Coding, Sender
from neurolearn.circuit.own import sender
from neurolearn.circuit.plan import GroupPlan
from neurolearn.draws import Code
from neurolearn.timing import Timing


class Membrane(Coding):
    """One leaky integrate-and-fire cell with refractoriness, for a rate that *is* the cell's own f-I curve."""

    def send(self, group: GroupPlan, s: Sender) -> None:
        """A leaky cell driven by what its f-I curve is a function of. Its refractory rest is counted in steps."""
        cell, dt, v, rest = s.code.membrane, s.timing.dt, f"v_{s.signal}_on", f"rest_{s.signal}"
        group.equations += [
            f"sent_{s.signal} : 1",
            f"d{v}/dt = ({s.code.drive} + {cell.background!r} - {v})/({cell.tau_m!r}*second)*int({rest} < 0.5) : 1",
            f"d{rest}/dt = -int({rest} > 0.5)/({dt!r}*second) : 1",
        ]
        group.events[f"{s.signal}_on"] = f"{v} > v_th"
        group.on_event[f"{s.signal}_on"] = (
            f"{v} = 0; {rest} = {round(cell.t_ref / dt)}; sent_{s.signal} += window_open*{s.count}"
        )
        group.values[v] = s.start


class Own(Coding):
    """A user's cell, whose measured curve is the rate (``circuit.own``)."""

    def needs(self, code: Code, timing: Timing) -> dict[str, tuple[float, str]]:
        """The cell's own constants."""
        return sender.constants(code.own.cell, code.signal)

    def send(self, group: GroupPlan, s: Sender) -> None:
        """The cell's equations, with names of their own."""
        group.equations.append(f"sent_{s.signal} : 1")
        sender.add(group, s.signal, s.code.drive, s.code.own, s.unit, s.timing.dt, s.start)


class Heard(Coding):
    """Compartments that repeat the spikes of the cell that they belong to, one step after they arrive (``circuit.attach``)."""

    def send(self, group: GroupPlan, s: Sender) -> None:
        """A cell outside adds 1 to ``heard_<signal>``."""
        heard = f"heard_{s.signal}"
        group.equations += [f"sent_{s.signal} : 1", f"{heard} : 1"]
        group.events[f"{s.signal}_on"] = f"{heard} > 0.5"
        group.on_event[f"{s.signal}_on"] = f"{heard} -= 1; sent_{s.signal} += window_open*{s.count}"


class Relay(Coding):
    """Cells that repeat spikes drawn beforehand (Poisson input), one step after they arrive."""

    sides: ClassVar = {"on": "+", "off": "-"}

    def send(self, group: GroupPlan, s: Sender) -> None:
        """An event for each sign; ``start`` says which cells spike in the first step."""
        group.equations.append(f"sent_{s.signal} : 1")
        for side, sign in self.sides.items():
            v = f"v_{s.signal}_{side}"
            group.equations.append(f"{v} : 1")
            group.events[f"{s.signal}_{side}"] = f"{v} > 0.5"
            group.on_event[f"{s.signal}_{side}"] = f"{v} -= 1; sent_{s.signal} {sign}= window_open*{s.count}"


class Graded(Coding):
    """No spikes: the value itself crosses, as in a rate circuit. A reference for the other codings and not a pathway of a
    spiking circuit. ``sent``: the window mean of the value.
    """

    sides: ClassVar = {}

    def send(self, group: GroupPlan, s: Sender) -> None:
        """Nothing is sent; the window mean is kept."""
        group.equations.append(f"dsent_{s.signal}/dt = window_open*{s.signal}/window : 1")

    def current(self, current: str, index: int) -> tuple[str, list[str]]:
        """The weighted sum of the values, which the synapses form."""
        return f"S_{current}_{index}", [f"S_{current}_{index} : 1"]

    def trace(self, group: GroupPlan, s: Sender) -> None:
        """A filter of the value."""
        name = f"filtered_{s.signal}"
        group.equations.append(f"d{name}/dt = ({s.signal} - {name})/tau_trace : 1")
