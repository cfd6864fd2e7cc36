"""The physiological operating point: what a rule's spikes are worth in 200 ms at the rates of cortex.

Ordinary leaky integrate-and-fire cells replace the activation (their own f-I curve is the rate network's), synapses are
exponential, and one presentation lasts 200 ms per phase. Nothing here is asymptotic, so it is reported and never judged. The
numbers and their sources stand in ``neurolearn.constants``.
"""

from __future__ import annotations

from dataclasses import replace

from neurolearn.activations import Activation, lif
from neurolearn.constants import si
from neurolearn.network import Network
from neurolearn.timing import Timing

UNIT_HZ = si("physiological_rate")  # keeps a one-hot error and a white pixel well below the ceiling
MEMBRANE_S, REFRACTORY_S, SYNAPSE_S = si("membrane_time"), si("refractory"), si("synapse_decay")
STEP_S = si("physiological_step")
SETTLE, WINDOW = (round(si(f"physiological_{part}") / STEP_S) for part in ("settle", "window"))
CEILING_HZ = si("highest_rate")  # a signal with a larger peak gets fewer spikes per unit
POPULATION = int(si("population"))  # cells per unit in the second row


def cell() -> Activation:
    """The f-I curve of the cell, at threshold without input, in units of UNIT_HZ."""
    return lif(MEMBRANE_S, REFRACTORY_S, unit=UNIT_HZ)


def network(base: Network) -> Network:
    """The same layers and connections with these cells as hidden units."""
    return replace(base, activation=cell())


def timing(seed: int, cells: int = 1) -> Timing:
    """200 ms per phase in steps of 0.1 ms."""
    return Timing(dt=STEP_S, tau=SYNAPSE_S, settle=SETTLE, window=WINDOW, unit_rate=UNIT_HZ, seed=seed, cells=cells)
