"""A recorder without a circuit: it appends made-up segments, and, run as a script, goes on until it is killed."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np

from neurolearn.circuit.plan import CircuitPlan, GroupPlan, SynapsesPlan
from neurolearn.circuit.recording.monitors import PopulationRateMonitor, SpikeMonitor, StateMonitor, listen
from neurolearn.circuit.recording.recorder import Recorder

DT, SAMPLE, SAMPLES, CELLS = 1e-3, 20, 3, 4
MONITORS = (
    SpikeMonitor("layer1"),
    PopulationRateMonitor("layer1", every=5e-3),
    StateMonitor("layer1", "potential"),
    StateMonitor("W_1_0", "w", every="sample"),
)


def plan() -> CircuitPlan:
    """Four cells that send ``rate`` and three synapses, of which nothing is ever built."""
    whole = CircuitPlan("made up", 1, DT, DT * SAMPLE, SAMPLES, {})
    events = {"rate_on": "", "rate_off": ""}
    equations = ["dv/dt = -v/tau : volt", "potential = v/volt : 1  # a: b", "tick : 1 (shared)"]
    whole.groups.append(GroupPlan("layer1", "", CELLS, equations, events))
    ends = np.array([[0, 0, 0], [0, 2, 3], [1, 1, 0]])
    model = ["w : 1", "S_I_post = w*rate_pre : 1 (summed)", "learning_rate : 1 (shared)"]
    whole.synapses.append(SynapsesPlan("W_1_0", "", "layer0", "layer1", ends[2], ends[1], ends, model))
    return whole


def circuit(monitors=MONITORS):
    """What a Recorder asks of an Online circuit."""
    whole = plan()
    return SimpleNamespace(plan=whole, kind="spiking", tracks=listen(whole, monitors, SAMPLE, SAMPLES))


def segment(online, number: int, count: int = SAMPLES):
    """The monitors of a segment, drawn from its number."""
    rng, steps, found = np.random.default_rng([7, number]), SAMPLE * SAMPLES, {}
    for monitor in online.plan.monitors:
        if hasattr(monitor, "event"):
            spiking = rng.random((steps + 1, CELLS)) < 0.2
            at, cells = np.nonzero(spiking)
            found[f"{monitor.name}.t"], found[f"{monitor.name}.i"] = at * DT, cells.astype(np.int32)
        else:
            for variable in monitor.variables:
                times = int(steps * DT / monitor.clock) + 2
                found[f"{monitor.name}.{variable}"] = rng.random((times, len(monitor.record)))
    return SimpleNamespace(outputs=np.zeros((count, 2)), recordings=found)


if __name__ == "__main__":
    online = circuit()
    recorder = Recorder(sys.argv[1], online, part=float(sys.argv[2]))
    print("begun", flush=True)
    while True:
        recorder.append(segment(online, recorder.samples // SAMPLES))
