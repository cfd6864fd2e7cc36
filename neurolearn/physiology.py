"""The physiological operating point: what a rule's spikes are worth in 200 ms at the rates of cortex.

Ordinary leaky integrate-and-fire cells replace the activation (their own f-I curve is the rate network's), synapses are
exponential, and one presentation lasts 200 ms per phase. Nothing here is asymptotic, so it is reported and never judged.
"""

from __future__ import annotations

from dataclasses import replace

from neurolearn.activations import Activation, lif
from neurolearn.network import Network
from neurolearn.timing import Timing

UNIT_HZ = (
    50.0  # a signal of 1; keeps a one-hot error and a white pixel at 50 Hz, below the 200 Hz that a cell can reach
)
MEMBRANE_S = (
    20e-3  # membrane time constant of a pyramidal cell (Gerstner et al. 2014, Neuronal Dynamics, ch. 1: 10-20 ms)
)
REFRACTORY_S = 2e-3  # absolute refractory period (ibid.)
SYNAPSE_S = 5e-3  # decay of a fast excitatory current (ibid., ch. 3: about 5 ms)
STEP_S, SETTLE, WINDOW = 1e-4, 1000, 1000  # 100 ms to settle, 100 ms to read
CEILING_HZ = 200.0  # no cell is asked for more; a signal with a larger peak gets fewer spikes per unit
POPULATION = 20  # cells per unit in the second row


def cell() -> Activation:
    """The f-I curve of the cell, at threshold without input, in units of UNIT_HZ."""
    return lif(MEMBRANE_S, REFRACTORY_S, unit=UNIT_HZ)


def network(base: Network) -> Network:
    """The same layers and connections with these cells as hidden units."""
    return replace(base, activation=cell())


def timing(seed: int, cells: int = 1) -> Timing:
    """200 ms per phase in steps of 0.1 ms."""
    return Timing(dt=STEP_S, tau=SYNAPSE_S, settle=SETTLE, window=WINDOW, unit_rate=UNIT_HZ, seed=seed, cells=cells)
