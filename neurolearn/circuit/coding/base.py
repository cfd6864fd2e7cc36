"""What a coding is: how cells send a signal, and how a compartment hears it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from neurolearn.circuit.plan import GroupPlan
from neurolearn.draws import Code
from neurolearn.timing import Timing


@dataclass(frozen=True)
class Sender:
    """The cells that get a coding. start: the potentials drawn for them, one for each unit of every copy."""

    code: Code
    timing: Timing
    start: np.ndarray

    @property
    def signal(self) -> str:
        """Name of the signal."""
        return self.code.signal

    @property
    def unit(self) -> str:
        """Name of the constant that holds its spikes/s per unit."""
        return f"unit_rate_{self.code.signal}_{self.code.cell}"

    @property
    def count(self) -> str:
        """What one spike adds to a window's mean."""
        return f"1/({self.unit}*window)"


class Coding(ABC):
    r"""A signal s as spikes, at $U$ (``unit_rate``) spikes/s per unit of s.

    sides: the cells of a unit and the sign with which their spikes count. A receiving compartment is
    $\tau \dot I = b - I$; a spike kicks I by $w / (U \tau)$, so that I is w times the rate in units of s.
    Whatever must be subtracted from that is the term b, which a coding may keep at the receiving compartment.
    """

    sides: ClassVar[Mapping[str, str]] = {"on": "+"}

    @abstractmethod
    def send(self, group: GroupPlan, s: Sender) -> None:
        """Add the cells: potentials, events, and ``sent_<signal>``, which plasticity reads at its presynaptic end."""

    def needs(self, code: Code, timing: Timing) -> dict[str, tuple[float, str]]:
        """Constants of the sending cells beside the unit rate: name -> (value, unit)."""
        return {}

    def constants(self, key: str, share: float, tau: float, timing: Timing) -> dict[str, float]:
        """Jumps of a path by name. share: its factor over U; tau: of the receiving compartment (s)."""
        return {f"jump_{key}": share / tau}

    def arrive(self, current: str, here: str, key: str, weight: str) -> dict[str, str]:
        """Side -> what a spike does to the receiving compartment. weight: "w*" or ""."""
        return {side: f"{current}_{here} {sign}= {weight}jump_{key}" for side, sign in self.sides.items()}

    def current(self, current: str, index: int) -> tuple[str, list[str]]:
        """(b, the equations it needs) of a receiving compartment whose path of that index is coded so."""
        return "", []

    def before(self, current: str, s: Sender) -> dict[str, float]:
        """Variables of a receiving compartment that start with what unit weights would have brought them."""
        return {}

    def trace(self, group: GroupPlan, s: Sender) -> None:
        """Add ``filtered_<signal>``, an exponential trace of the cell's own spikes, for synaptic state to read."""
        name = f"filtered_{s.signal}"
        group.equations.append(f"d{name}/dt = -{name}/tau_trace : 1")
        for side, sign in self.sides.items():
            group.on_event[f"{s.signal}_{side}"] += f"; {name} {sign}= 1/({s.unit}*tau_trace)"

    def kept(self, current: str) -> list[str]:
        """Variables of a receiving compartment that are dropped when a window closes."""
        return []
