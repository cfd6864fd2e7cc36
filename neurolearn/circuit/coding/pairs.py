r"""Two cells per unit, one for each sign; what arrives is ON minus OFF.

``opponent``: two cells that integrate $+s$ and $-s$, unrectified; a spike takes the threshold from its own cell and gives
it to the other. With a long membrane the pair is an exact integrator of the signal, and the count of ON minus OFF spikes
over T seconds is $U \int s\,dt$ to within one spike.
``rectified_pair``: two cells that know nothing of each other and whose potentials stop at 0, in the manner of the error
neurons of Neftci et al. 2017, doi:10.3389/fnins.2017.00324. A steady signal is sent as well as by an opponent pair. One
that fluctuates through 0 is not: each cell drops what is below its floor, both fire, and the gain rises from 1 to 4/3
(the first passage of reflected Brownian motion, where fluctuations do the firing).
"""

from __future__ import annotations

from neurolearn.circuit.coding.base import Coding, Sender
from neurolearn.circuit.plan import GroupPlan

SIGNS = {"on": "+", "off": "-"}


class Opponent(Coding):
    """An ON/OFF pair that shares its residual. ``sent``: ON minus OFF spikes of the window, exact to one spike."""

    sides = SIGNS

    def send(self, group: GroupPlan, s: Sender) -> None:
        """Two cells, each other's mirror image."""
        group.equations.append(f"sent_{s.signal} : 1")
        for sign, side in (("", "on"), ("-", "off")):
            v = f"v_{s.signal}_{side}"
            group.equations.append(f"d{v}/dt = (v_leak + {sign}{s.signal}*({s.unit}*tau_mem) - {v})/tau_mem : 1")
        for side, other, sign in (("on", "off", "+"), ("off", "on", "-")):
            v, back = f"v_{s.signal}_{side}", f"v_{s.signal}_{other}"
            group.events[f"{s.signal}_{side}"] = f"{v} > v_th"
            group.on_event[f"{s.signal}_{side}"] = (
                f"{v} -= v_th; {back} += v_th; sent_{s.signal} {sign}= window_open*{s.count}"
            )
        group.values |= {f"v_{s.signal}_on": s.start, f"v_{s.signal}_off": -s.start}


class RectifiedPair(Coding):
    """Two independent cells with a floor at 0. ``sent``: ON minus OFF spikes of the window."""

    sides = SIGNS

    def send(self, group: GroupPlan, s: Sender) -> None:
        """Two cells; a step never takes a potential below 0."""
        group.equations.append(f"sent_{s.signal} : 1")
        for side, sign in self.sides.items():
            v = f"v_{s.signal}_{side}"
            drift = f"(v_leak - {v})/tau_mem {sign} {s.signal}*{s.unit}"
            group.equations.append(f"d{v}/dt = clip({drift}, -{v}/({s.timing.dt!r}*second), inf*hertz) : 1")
            group.events[f"{s.signal}_{side}"] = f"{v} > v_th"
            group.on_event[f"{s.signal}_{side}"] = f"{v} -= v_th; sent_{s.signal} {sign}= window_open*{s.count}"
        group.values |= {f"v_{s.signal}_on": s.start, f"v_{s.signal}_off": 1 - s.start}
