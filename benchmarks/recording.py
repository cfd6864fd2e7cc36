"""How much memory does it take to record ten simulated minutes of a circuit that learns?

    python benchmarks/recording.py --out results

A spiking circuit 4-30-30-3 learns yin-yang by feedback alignment, in C++ and steps of 0.5 ms, while every spike of every
cell, potentials each 5 ms, all weights of one pathway after every sample and a population rate go to an HDF5 file. The
growth is the sum, over this process, its worker and the largest simulation, of how far the peak of each is above what it held
when the circuit had been built (``VmHWM``, set back there, minus ``VmRSS``). Exits 1 if it is 200 MB or more, or if a spike
is missing. Needs Linux (/proc).
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from neurolearn import data, mlp, rules, streams
from neurolearn.changes import prepare
from neurolearn.circuit import PopulationRateMonitor, Recorder, Recording, SpikeMonitor, StateMonitor
from neurolearn.circuit.online import Online
from neurolearn.timing import Timing

ALLOWED = 200.0  # MB
TIMING = Timing(dt=5e-4, tau=20e-3, settle=200, window=200, unit_rate=100)
SENT = {"layer0": ["rate"], "layer1": ["rate"], "layer2": ["rate", "error"], "layer3": ["rate", "error"]}


class Memory:
    """Peaks of this process and of all that it starts, in MB above what they held when this was made."""

    def __init__(self):
        self.start, self.peaks, self.going = {}, {}, True
        for process in self._tree(os.getpid()):
            Path(f"/proc/{process}/clear_refs").write_text("5")  # the peak is from now on
            self.start[process] = self._status(process, "VmRSS")
        self.watch = threading.Thread(target=self._watch, daemon=True)
        self.watch.start()

    def end(self) -> dict[str, float]:
        """{"this process", "its worker", "simulations"}: growth. A simulation is a process that came and went."""
        self.going = False
        self.watch.join()
        self._look()
        here = os.getpid()
        grown = {p: peak - self.start.get(p, 0.0) for p, peak in self.peaks.items()}
        found = {"this process": grown[here], "its worker": sum(grown[p] for p in self.start if p != here)}
        return found | {"simulations": max((grown[p] for p in grown if p not in self.start), default=0.0)}

    def _watch(self) -> None:
        while self.going:
            self._look()
            time.sleep(0.02)

    def _look(self) -> None:
        for process in self._tree(
            os.getpid()
        ):  # the last answer counts: a process that was just forked still has its parent's
            self.peaks[process] = self._status(process, "VmHWM") or self.peaks.get(process, 0.0)

    def _tree(self, process: int) -> list[int]:
        found = [process]
        for thread in Path(f"/proc/{process}/task").glob("*/children"):
            try:
                found += [other for child in thread.read_text().split() for other in self._tree(int(child))]
            except OSError:
                continue
        return found

    def _status(self, process: int, what: str) -> float:
        try:
            lines = Path(f"/proc/{process}/status").read_text().splitlines()
        except OSError:
            return 0.0
        return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(what)), 0.0)


def recorders() -> list:
    """Every spike, and some of the rest."""
    return [
        *(SpikeMonitor(group, signal) for group, signals in SENT.items() for signal in signals),
        StateMonitor("layer1", "potential", every=5e-3),
        StateMonitor("W_2_1", "w", every="sample"),
        PopulationRateMonitor("layer1", every=10e-3),
    ]


def measure(minutes: float, target: str, segment: int, path: Path) -> dict:
    """Run and record; what it took."""
    yin_yang = data.load("yin_yang")
    x, teacher = yin_yang.x_train, yin_yang.y_train
    network = mlp([4, 30, 30, 3], "tanh")
    program, weights, _ = prepare(rules.get("feedback_alignment"), network, x[:1], teacher[:1])
    begun = time.perf_counter()
    circuit = Online(program, weights, TIMING, samples=segment, target=target, monitors=recorders())
    built, recorder = time.perf_counter() - begun, Recorder(path, circuit)
    count = max(1, round(minutes * 60 / circuit.seconds_per_sample / segment))
    memory, writing, begun = Memory(), 0.0, time.perf_counter()
    for n in range(count):
        some = np.arange(n * segment, (n + 1) * segment) % len(x)
        found = circuit.run(streams.given(program, x[some], teacher[some], 0, 0, indices=some), 0.02)
        before = time.perf_counter()
        recorder.append(found)
        writing += time.perf_counter() - before
    taken, grown = time.perf_counter() - begun, memory.end()
    recording, counters = Recording(path), circuit.state
    spikes = sum(len(recording.spikes(group, signal)[0]) for group, signals in SENT.items() for signal in signals)
    circuit.close()
    return {
        "target": target,
        "simulated minutes": recording.seconds / 60,
        "samples": recording.samples,
        "spikes": spikes,
        "spikes counted by the cells": int(sum(v.sum() for name, v in counters.items() if ".spikes_" in name)),
        "build s": built,
        "run s": taken,
        "writing s": writing,
        "file MB": sum(file.stat().st_size for file in path.parent.glob(f"{path.stem}*.h5")) / 2**20,
        "growth MB": {**grown, "in all": sum(grown.values())},
    }


def main() -> None:
    """Measure, print, write recording.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, help="simulated")
    parser.add_argument("--target", default="standalone", help="numpy, cython or standalone")
    parser.add_argument("--segment", type=int, default=50, help="samples of a segment")
    parser.add_argument("--out", type=Path, help="folder for recording.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(options.minutes, options.target, options.segment, Path(folder) / "run.h5")
    for name, value in found.items():
        shown = ", ".join(f"{k} {v:.1f}" for k, v in value.items()) if isinstance(value, dict) else value
        print(f"{name:28} {shown:.1f}" if isinstance(shown, float) else f"{name:28} {shown}")
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "recording.json").write_text(json.dumps(found, indent=1) + "\n")
    raise SystemExit(found["growth MB"]["in all"] >= ALLOWED or found["spikes"] != found["spikes counted by the cells"])


if __name__ == "__main__":
    main()
