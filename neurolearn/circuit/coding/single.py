r"""One cell per unit, which fires at a base rate $r_0$ without a signal, and at $r_0 + U s$ with one, never below 0.

The receiver has to know $r_0$. ``baseline`` learns it as a running mean of the spikes that arrive; ``two_phase`` hears it
in a part of the phase in which no cell sends its signal. Signals below $-r_0 / U$ are cut off.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from neurolearn.circuit.coding.base import Coding, Sender
from neurolearn.circuit.plan import GroupPlan, Regular
from neurolearn.draws import Code
from neurolearn.timing import Timing

LONG = 100.0  # times longer than it is watched: such a membrane does not leak


@cache
def usual_rate(rate: float, membrane: tuple[float, float], dt: float, steps: int = 10_000) -> float:
    """Hz of a coding cell that is driven at ``rate`` (Hz), by Euler's steps as in the circuit; membrane: as of ``Timing``.

    An exact integrator fires at that rate. A leaky cell fires less, and is silent below (1 - leak)/tau; where a few steps
    make an interval its rate locks to them, so it is counted and not computed.
    """
    tau, leak = membrane
    if tau > LONG * steps * dt:
        return rate + leak / tau
    v, spikes = 0.0, []
    for step in range(steps):
        v += dt * (leak + rate * tau - v) / tau
        if v > 1:
            v -= 1
            spikes.append(step)
    return (len(spikes) - 1) / ((spikes[-1] - spikes[0]) * dt) if len(spikes) > 1 else 0.0


class Single(Coding):
    """The cell that both codings share. ``gate``: what the signal is multiplied by."""

    gate = ""

    def needs(self, code: Code, timing: Timing) -> dict[str, tuple[float, str]]:
        """The base rate, and the time constant of its running mean."""
        base = {f"base_rate_{code.signal}_{code.cell}": (timing.base_rate_of(code.signal), "hertz")}
        return base | ({"tau_baseline": (timing.baseline.tau, "second")} if code.kind == "baseline" else {})

    def cell(self, group: GroupPlan, s: Sender, on_event: str) -> None:
        """A cell that integrates a rate."""
        v, base = f"v_{s.signal}_on", f"base_rate_{s.signal}_{s.code.cell}"
        rate = f"clip({base} + {self.gate}{s.signal}*{s.unit}, 0*hertz, inf*hertz)"
        group.equations.append(f"d{v}/dt = (v_leak + {rate}*tau_mem - {v})/tau_mem : 1")
        group.events[f"{s.signal}_on"] = f"{v} > v_th"
        group.on_event[f"{s.signal}_on"] = f"{v} -= v_th; {on_event}"
        group.values[v] = s.start


class Baseline(Single):
    r"""The signal is how far the rate is from its own running mean (as in Payeur et al. 2021, doi:10.1038/s41593-021-00857-x,
    where it is the probability of a burst).

    Every spike that arrives kicks the current I, and a slow trace $B$ of the same compartment through the same weight;
    $\tau \dot I = -B - I$, $\tau_B \dot B = -B$. B starts at the usual rate, as after a long time without signals. A
    signal that stands for t seconds has become its own baseline but for $e^{-t/\tau_B}$: that is the lag of a short
    $\tau_B$. Its noise is that of a mean over $\tau_B$ seconds: with regular spikes B jumps by $1/(U \tau_B)$, with Poisson
    ones it has the standard deviation $\sqrt{r_0 / 2 \tau_B} / U$. ``sent``: the window's spikes, less the window mean of
    the same trace of the cell's own axon.
    """

    def send(self, group: GroupPlan, s: Sender) -> None:
        """One cell, and the running mean of its own spikes."""
        usual = f"usual_{s.signal}"
        group.equations += [
            f"d{usual}/dt = -{usual}/tau_baseline : 1",
            f"dsent_{s.signal}/dt = -window_open*{usual}/window : 1",
        ]
        self.cell(group, s, f"sent_{s.signal} += window_open*{s.count}; {usual} += 1/({s.unit}*tau_baseline)")
        group.values[usual] = np.full(s.start.shape, self._usual(s))

    @staticmethod
    def _usual(s: Sender) -> float:
        t = s.timing
        return usual_rate(t.base_rate_of(s.signal), t.membrane, t.dt) / s.code.unit_rate

    def constants(self, key: str, share: float, tau: float, timing: Timing) -> dict[str, float]:
        """The jump of I and that of its baseline."""
        return {f"jump_{key}": share / tau, f"slow_{key}": share / timing.baseline.tau}

    def arrive(self, current: str, here: str, key: str, weight: str) -> dict[str, str]:
        """A spike kicks I and, through the same weight, its baseline."""
        kick = f"{current}_{here} += {weight}jump_{key}"
        return {"on": f"{kick}; baseline_{current}_{here} += {weight}slow_{key}"}

    def current(self, current: str, index: int) -> tuple[str, list[str]]:
        """I is pulled down by its baseline."""
        name = f"baseline_{current}"
        return f"-{name}", [f"d{name}/dt = -{name}/tau_baseline : 1"]

    def before(self, current: str, s: Sender) -> dict[str, float]:
        """The baseline of a cell that has sent nothing for long."""
        return {f"baseline_{current}": self._usual(s)}

    def trace(self, group: GroupPlan, s: Sender) -> None:
        """A trace that the running mean pulls down."""
        name = f"filtered_{s.signal}"
        group.equations.append(f"d{name}/dt = (-usual_{s.signal} - {name})/tau_trace : 1")
        group.on_event[f"{s.signal}_on"] += f"; {name} += 1/({s.unit}*tau_trace)"


class TwoPhase(Single):
    r"""The signal is what the cell fires in a nudged part of the phase, less what it fired in a free part.

    The first ``window`` steps of every phase are free: all cells coded so fire at $r_0$, the receiving compartment counts
    what arrives ($F$, spikes times weights over $U T$) and I is at rest. Then a held variable, ``nudged``, turns 1 for all
    of them at once: cells send $r_0 + U s$, spikes kick I, and $\tau \dot I = -F - I$. F is kept until the window closes.
    Settling needs ``settle`` to be two windows or more: one that is free, the rest to settle. ``sent``: spikes of the window
    less spikes of the free part, which is as long: exact to two spikes. It asks for a phase that all cells know, and a
    memory at the compartment.
    """

    gate = "nudged*"

    def send(self, group: GroupPlan, s: Sender) -> None:
        """One cell; its free spikes count negative."""
        group.equations.append(f"sent_{s.signal} : 1")
        self.cell(group, s, f"sent_{s.signal} += (window_open + nudged - 1)*{s.count}")

    def constants(self, key: str, share: float, tau: float, timing: Timing) -> dict[str, float]:
        """The jump of I and that of the free count."""
        return {f"jump_{key}": share / tau, f"free_{key}": share / (timing.window * timing.dt)}

    def arrive(self, current: str, here: str, key: str, weight: str) -> dict[str, str]:
        """A spike is counted while free, and kicks I while nudged."""
        kick = f"{current}_{here} += nudged_{here}*{weight}jump_{key}"
        return {"on": f"{kick}; free_{current}_{here} += (1 - nudged_{here})*{weight}free_{key}"}

    def current(self, current: str, index: int) -> tuple[str, list[str]]:
        """What was counted while free stands against what arrives while nudged."""
        return f"-nudged*free_{current}", [f"free_{current} : 1"]

    def trace(self, group: GroupPlan, s: Sender) -> None:
        """A trace against the cell's own free count."""
        name, free = f"filtered_{s.signal}", f"free_{s.signal}"
        group.equations += [f"{free} : 1", f"d{name}/dt = (-nudged*{free} - {name})/tau_trace : 1"]
        group.on_event[f"{s.signal}_on"] += f"; {name} += nudged/({s.unit}*tau_trace); {free} += (1 - nudged)*{s.count}"
        group.regular.append(Regular([f"{free} *= 1 - window_open"], 2))

    def kept(self, current: str) -> list[str]:
        """The free count ends with the window."""
        return [f"free_{current}"]
