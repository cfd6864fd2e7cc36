"""How fast circuits are that learn online, what a target buys, and how cost and memory grow with synapses.

    python benchmarks/circuit_speed.py                  # about 12 minutes on one core; needs a C++ compiler
    python benchmarks/circuit_speed.py --only steps     # or targets, or growth

Every time is the marginal cost of a step: two run lengths, their difference. It is taken on one pinned core, after the
build. Growth is measured on n-n-10 networks; peak memory is the program's own, as the kernel reports it (getrusage).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from neurolearn import rules, streams
from neurolearn.changes import prepare
from neurolearn.circuit.online import Online
from neurolearn.network import mlp
from neurolearn.runs import provenance
from neurolearn.timing import Timing

RULE = "feedback_alignment"
SIZES = (64, 64, 32, 10)
RATE = Timing(dt=1e-3, tau=10e-3, settle=100)  # dt = tau/10
SPIKES = Timing(dt=0.5e-3, tau=20e-3, settle=100, window=100, unit_rate=100.0)
TARGETS_STEPS = {"rate": 50_000, "spiking": 20_000}  # steps per second that one wants
SIDES = (100, 316, 1000, 3162)  # n of n-n-10: 1e4 to 1e7 synapses


def circuit(sizes, kind: str, samples: int, target: str, cache) -> tuple[Online, dict]:
    """A circuit and the inputs of one segment: half of the inputs are on, errors are large."""
    rule, network, rng = rules.get(RULE), mlp(list(sizes)), np.random.default_rng(0)
    x = rng.random((samples, sizes[0])) * (rng.random((samples, sizes[0])) < 0.5)
    teacher = np.eye(sizes[-1])[rng.integers(0, sizes[-1], samples)]
    program, weights, _ = prepare(rule, network, x[:1], teacher[:1])
    timing = RATE if kind == "rate" else SPIKES
    made = Online(program, weights, timing, kind, samples=samples, target=target, cache=cache)
    return made, streams.given(program, x, teacher, 0, 1)


def steps_of(made: Online) -> int:
    return round(made.samples * made.seconds_per_sample / made.plan.dt)


def pinned(call):
    """The call on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        return call()
    finally:
        os.sched_setaffinity(0, before)


def marginal(sizes, kind: str, target: str, lengths: tuple[int, int], cache, repeats: int = 3) -> dict:
    """Seconds per step, from the fastest of some runs of either length; spikes per step beside it."""
    found = []
    for samples in lengths:
        made, given = circuit(sizes, kind, samples, target, cache)
        segment = made.run(given, 1e-3)  # loads, and compiles if it is cython
        best = np.inf
        for _ in range(repeats):
            start = time.perf_counter()
            pinned(lambda made=made, given=given: made.run(given, 1e-3))
            best = min(best, time.perf_counter() - start)
        spikes = sum(v.sum() for k, v in made.state.items() if ".spikes_" in k) / (repeats + 1)
        found.append((steps_of(made), best, spikes, segment.mean_hz))
        made.close()
    (n1, t1, s1, _), (n2, t2, s2, hz) = found
    each = (t2 - t1) / (n2 - n1)
    row = {"kind": kind, "target": target, "sizes": "-".join(map(str, sizes)), "us_per_step": 1e6 * each,
           "steps_per_second": 1 / each}  # fmt: skip
    return row | ({} if kind == "rate" else {"spikes_per_step": (s2 - s1) / (n2 - n1), "mean_hz": hz})


# of a small process: the memory of whoever starts a program counts as the program's own until it has begun
PEAK = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL); " \
       "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"  # fmt: skip


def peak(made: Online, folder: Path) -> int:
    """Peak memory in bytes of the compiled program, run once by itself."""
    program = [sys.executable, "-S", "-c", PEAK, "./main", "--results_dir", f"{folder}/"]
    return 1024 * int(subprocess.run(program, cwd=made.engine.folder / "build", check=True, capture_output=True).stdout)


def events(made: Online) -> float:
    """Spikes that arrived at synapses in the last segment, whose counters began at 0."""
    found = 0.0
    for s in made.plan.synapses:
        for event in s.on_event.values():
            signal, side = event.rsplit("_", 1)
            found += made.state[f"{s.source}.spikes_{signal}_{side}"][s.i].sum()
    return found


def growth(kind: str, cache: Path) -> list[dict]:
    """Cost and memory against the number of synapses, in C++: the time that the program itself measures."""
    rows = []
    for n in SIDES:
        made, given = circuit((n, n, 10), kind, 4 if n > 500 else 40, "standalone", cache)
        folder, best = cache / f"results-{kind}-{n}", np.inf
        folder.mkdir(parents=True, exist_ok=True)
        start = dict(made.state)
        for _ in range(2):
            made.load(made.weights, start)
            pinned(lambda made=made, given=given: made.run(given, 1e-3))
            best = min(best, float((made.engine.folder / "build" / "results" / "last_run_info.txt").read_text().split()[0]))
        synapses = sum(len(s.i) for s in made.plan.synapses)
        rows.append({"kind": kind, "n": n, "synapses": synapses, "us_per_step": 1e6 * best / steps_of(made),
                     "events_per_step": events(made) / steps_of(made), "peak_bytes": peak(made, folder)})  # fmt: skip
        made.close()
        print(f"  {kind:8} {synapses:>9} synapses {rows[-1]['us_per_step']:10.1f} us a step {rows[-1]['events_per_step']:10.1f} "
              f"events a step {rows[-1]['peak_bytes'] / 2**20:8.0f} MiB", flush=True)  # fmt: skip
    return rows


def fitted(rows: list[dict]) -> dict:
    """t = a + b S through all sizes, weighted by 1/t; the worst relative residual; bytes per synapse between the largest.

    b_ns_per_event: b over the events per synapse and step of the largest circuit, since in spikes only events cost.
    """
    s, t = (np.array([r[k] for r in rows], float) for k in ("synapses", "us_per_step"))
    design = np.stack([1 / t, s / t], 1)
    (a, b), *_ = np.linalg.lstsq(design, np.ones(len(t)), rcond=None)
    last, before = rows[-1], rows[-2]
    memory = (last["peak_bytes"] - before["peak_bytes"]) / (last["synapses"] - before["synapses"])
    found = {"a_us": a, "b_ns_per_synapse": 1e3 * b, "worst_residual": float(np.abs((a + b * s) / t - 1).max()),
             "bytes_per_synapse": memory}  # fmt: skip
    if last["events_per_step"]:
        found["b_ns_per_event"] = 1e3 * b * last["synapses"] / last["events_per_step"]
    return found


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--only", choices=("steps", "targets", "growth"))
    words.add_argument("--json", type=Path, default=Path("benchmarks/results/circuit_speed.json"))
    words.add_argument("--cache", type=Path, default=Path("circuit_speed_builds"))
    asked = words.parse_args()
    cache = asked.cache.resolve()
    found = {"cores": os.cpu_count(), "manifest": provenance.manifest()}
    if asked.only in (None, "steps", "targets"):
        found["steps"] = []
        for kind in ("rate", "spiking"):
            targets = ("standalone",) if asked.only == "steps" else ("standalone", "cython")
            for target in targets:
                lengths = (20, 520) if target == "standalone" else (10, 110)
                found["steps"].append(marginal(SIZES, kind, target, lengths, cache))
                row = found["steps"][-1]
                print(f"{kind:8} {target:10} {row['us_per_step']:8.2f} us a step, {row['steps_per_second']:>9.0f} steps a "
                      f"second (wanted {TARGETS_STEPS[kind]})", flush=True)  # fmt: skip
    if asked.only in (None, "targets"):
        by = {(r["kind"], r["target"]): r["us_per_step"] for r in found["steps"]}
        found["cython_over_standalone"] = {k: by[k, "cython"] / by[k, "standalone"] for k in ("rate", "spiking")}
        big = {t: marginal((1000, 1000, 10), "spiking", t, (2, 12), cache, 2)["us_per_step"] for t in ("standalone", "cython")}
        found["cython_over_standalone"]["spiking, 1e6 synapses"] = big["cython"] / big["standalone"]
        print({k: round(v, 2) for k, v in found["cython_over_standalone"].items()}, flush=True)
    if asked.only in (None, "growth"):
        found["growth"] = {}
        for kind in ("rate", "spiking"):
            rows = growth(kind, cache)
            found["growth"][kind] = {"rows": rows, **fitted(rows)}
            print(f"  {kind}: {fitted(rows)}", flush=True)
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    asked.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
