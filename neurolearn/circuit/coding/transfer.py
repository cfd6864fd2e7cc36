"""What a coding makes of a signal: sent by real coding cells through one synapse, and decoded by a compartment, in Brian2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from neurolearn.circuit.biology import Biology
from neurolearn.errors import InputError
from neurolearn.network import mlp
from neurolearn.rule import Rule
from neurolearn.timing import Timing

HALF = (0.0233, 0.0527, 0.103, 0.237, 0.491, 0.743, 0.997)  # no whole numbers of spikes in a window
VALUES = (*(-value for value in reversed(HALF)), 0.0, *HALF)
TIMING = Timing(settle=1000, window=500)
SILENT = 0.1  # of a value: what arrives in a dead zone is less
ARRIVED = 0.9  # of the final value: what has come through at the latency


@dataclass(frozen=True)
class Transfer:
    """What constant signals, there from the start, were decoded as. Arrays have an entry for each of ``values``.

    decoded: window mean of the receiving compartment, mean over draws of the initial potentials. read: what plasticity reads at
    the presynaptic end (``sent_<signal>``). spread: standard deviation of the window mean over the draws. hz: spikes/s of all
    cells of one unit. response: (steps,) compartment over value, mean over draws and over the values of half the largest size
    and more. unit_rate: spikes/s per unit of signal. dt: step (s).
    """

    coding: str
    values: np.ndarray
    decoded: np.ndarray
    read: np.ndarray
    spread: np.ndarray
    hz: np.ndarray
    response: np.ndarray
    unit_rate: float
    dt: float

    @property
    def gain(self) -> float:
        """Slope of the straight line through what was decoded."""
        return float(np.polyfit(self.values, self.decoded, 1)[0])

    @property
    def offset(self) -> float:
        """What is decoded for 0, in units of the signal."""
        return float(np.interp(0.0, self.values, self.decoded))

    @property
    def dead_zone(self) -> float:
        """Hz: the largest |value| times ``unit_rate`` of which less than a tenth arrives; 0 where every value arrives.

        A value that is smaller than the noise of a window says nothing and is not asked.
        """
        lost = np.abs(self.decoded - self.offset) < SILENT * np.abs(self.values)
        lost &= self.spread < np.abs(self.values)
        return float(np.abs(self.values[lost]).max(initial=0.0) * self.unit_rate)

    @property
    def noise(self) -> float:
        """Standard deviation of one window's mean, in units of the signal: root mean square over the values."""
        return float(np.sqrt(np.mean(self.spread**2)))

    @property
    def latency(self) -> float:
        """Seconds from the start until nine tenths of what the large values are decoded as have come through; nan if never."""
        large = _large(self.values)
        there = np.flatnonzero(self.response >= ARRIVED * np.mean(self.decoded[large] / self.values[large]))
        return float((there[0] + 1) * self.dt) if len(there) else float("nan")

    @property
    def mean_hz(self) -> float:
        """Spikes/s that one unit spends, mean over the values."""
        return float(self.hz.mean())


def transfer_curve(
    coding: str,
    values: Sequence[float] = VALUES,
    *,
    timing: Timing = TIMING,
    draws: int = 32,
    biology: Biology | None = None,
    target: str = "numpy",
) -> Transfer:
    """Measure a coding of ``neurolearn.timing.CODINGS`` in a spiking circuit of two layers and one synapse.

    values: increasing constant signals. timing: of the circuit; its ``codings`` are replaced. draws: of initial potentials.
    biology: such as ``Biology(irregularity=1)``, for cells that fire like Poisson ones. Raises InputError for values that do
    not increase, SaturationError for values that its cells cannot send.
    """
    values = np.asarray(values, float)
    if len(values) < 2 or not (np.diff(values) > 0).all():
        raise InputError(f"values are {values.tolist()}; give two or more, each larger than the one before.")
    circuit = _circuit(replace(timing, codings={"rate": coding}), np.tile(values, draws)[:, None], biology, target)
    course = _record(circuit)
    circuit.run_to_last_step()
    sender, receiver = circuit.objects["layer0"], circuit.objects["layer1"]

    def each(variable) -> np.ndarray:
        return np.array(variable[:]).reshape(draws, len(values))

    decoded, read = each(receiver.mean_rate), each(sender.sent_rate)
    spikes = sum((each(getattr(sender, f"spikes_{event}")) for event in circuit.plan.groups[0].events), np.zeros(1))
    seconds = circuit.plan.period * circuit.plan.ticks
    circuit.run()
    steps = round(seconds / timing.dt)
    by_value = np.asarray(course.rate)[:, 1 : steps + 1].reshape(draws, len(values), -1).mean(0)
    large = _large(values)
    return Transfer(
        coding,
        values,
        decoded.mean(0),
        read.mean(0),
        decoded.std(0, ddof=1) if draws > 1 else np.zeros(len(values)),
        np.broadcast_to(spikes.mean(0) / seconds, values.shape),
        (by_value[large] / values[large, None]).mean(0),
        timing.rate_of("rate"),
        timing.dt,
    )


def _large(values: np.ndarray) -> np.ndarray:
    return np.abs(values) >= np.abs(values).max() / 2


def _circuit(timing: Timing, x: np.ndarray, biology: Biology | None, target: str):
    """One unit that sends its data, one that hears it through a weight of 1; a copy for every value and draw."""
    from neurolearn.circuit import build

    rule = Rule(name="transfer", hidden="", output="", plasticity={"W": "rate_post*rate_pre"})
    weights = {"W_1_0": np.ones((1, 1))}
    options = {"timing": timing, "biology": biology, "target": target}
    return build(rule, mlp([1, 1], "linear"), x, np.zeros_like(x), weights, **options)


def _record(circuit):
    from brian2 import StateMonitor

    group = circuit.objects["layer1"]
    monitor = StateMonitor(group, "rate", record=True, clock=group.clock, name="course")
    circuit.network.add(monitor)
    return monitor
