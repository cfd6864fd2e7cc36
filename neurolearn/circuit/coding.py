r"""How a signal becomes spikes: the equations of coding cells.

``opponent``: two cells per unit that integrate $+s$ and $-s$, unrectified; a spike takes the threshold from its own
cell and gives it to the other. With a long membrane the pair is an exact integrator of the signal, and the count of
ON minus OFF spikes over T seconds is $U \int s\,dt$ to within one spike (U: spikes/s per unit of signal).
``membrane``: one leaky integrate-and-fire cell with refractoriness, for a rate that *is* the cell's own f-I curve.
"""

from __future__ import annotations

from neurolearn.activations import Membrane
from neurolearn.circuit.plan import GroupPlan


def opponent(group: GroupPlan, signal: str, unit_rate: str) -> None:
    """Add an ON/OFF pair for ``signal``. unit_rate: name of its spikes/s per unit of signal."""
    for sign, side in (("", "on"), ("-", "off")):
        v = f"v_{signal}_{side}"
        group.equations.append(f"d{v}/dt = (v_leak + {sign}{signal}*({unit_rate}*tau_mem) - {v})/tau_mem : 1")
    for side, other, sign in (("on", "off", "+"), ("off", "on", "-")):
        group.events[f"{signal}_{side}"] = f"v_{signal}_{side} > v_th"
        group.on_event[f"{signal}_{side}"] = (
            f"v_{signal}_{side} -= v_th; v_{signal}_{other} += v_th; sent_{signal} {sign}= window_open*1/({unit_rate}*window)"
        )


def membrane(group: GroupPlan, signal: str, drive: str, cell: Membrane, unit_rate: str, dt: float) -> None:
    """Add a leaky integrate-and-fire cell driven by ``drive``. Its refractory rest is counted in steps of dt."""
    v, rest = f"v_{signal}_on", f"rest_{signal}"
    group.equations += [
        f"d{v}/dt = ({drive} + {cell.background!r} - {v})/({cell.tau_m!r}*second)*int({rest} < 0.5) : 1",
        f"d{rest}/dt = -int({rest} > 0.5)/({dt!r}*second) : 1",
    ]
    group.events[f"{signal}_on"] = f"{v} > v_th"
    group.on_event[f"{signal}_on"] = (
        f"{v} = 0; {rest} = {round(cell.t_ref / dt)}; sent_{signal} += window_open*1/({unit_rate}*window)"
    )


def relay(group: GroupPlan, signal: str, unit_rate: str) -> None:
    """Add cells that repeat spikes drawn beforehand (Poisson input), one step after they arrive."""
    for side, sign in (("on", "+"), ("off", "-")):
        v = f"v_{signal}_{side}"
        group.equations.append(f"{v} : 1")
        group.events[f"{signal}_{side}"] = f"{v} > 0.5"
        group.on_event[f"{signal}_{side}"] = f"{v} -= 1; sent_{signal} {sign}= window_open*1/({unit_rate}*window)"
