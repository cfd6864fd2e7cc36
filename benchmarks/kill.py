"""Runs that are killed at random moments and resumed: is their end the same, bit for bit, on every target?

    python benchmarks/kill.py                       # about 10 minutes on two cores; needs a C++ compiler
    python benchmarks/kill.py --targets numpy --kills 5

A spiking circuit with 3 ms delays on its error pathway is trained by ``neurolearn train`` in a process of its own. SIGKILL
ends that process at 20 random moments, every other time inside the writing of a checkpoint; the same command goes on. The
oracle is the run that nobody killed: weights, all state, metrics and result. Exits 1 if anything differs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from neurolearn.runs import RunFolder, atomic, provenance
from neurolearn.runs.config import RunConfig

SETTINGS = ["--sizes", "4-10-8-3", "--set", "segment=20", "--set", "timing.settle=100", "--set", "timing.window=100",
            "--set", "biology.delays.B=0.003", "--set", "evaluation.every=1000000", "--set", "evaluation.samples=20",
            "--set", "evaluation.final=40", "--no-controls"]  # fmt: skip
SAMPLES = {"numpy": 400, "cython": 800, "standalone": 4000}


def command(target: str, out: Path) -> list[str]:
    return [sys.executable, "-m", "neurolearn", "train", "feedback_alignment", *SETTINGS, "--samples", str(SAMPLES[target]),
            "--target", target, "--out", str(out)]  # fmt: skip


def start(target: str, out: Path) -> subprocess.Popen:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command(target, out), env=environment, start_new_session=True,
                            stdout=subprocess.DEVNULL, stderr=(out.parent / "said.txt").open("a"))  # fmt: skip


def killed(target: str, out: Path, wait: float, writing: bool) -> tuple[bool, bool]:
    """(whether it was killed before it ended, whether a file was half written then)."""
    process = start(target, out)
    checkpoints = set(out.glob("*.safetensors"))
    while process.poll() is None and set(out.glob("*.safetensors")) <= checkpoints:
        time.sleep(0.005)  # it has made some progress, so that the whole ends at some time
    until = time.monotonic() + wait
    while process.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    while writing and process.poll() is None and not any(out.glob(f"*{atomic.PARTIAL}")):
        pass  # until the next checkpoint is being written
    partial = any(out.glob(f"*{atomic.PARTIAL}"))
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return True, partial
    if process.returncode:
        raise SystemExit(f"{' '.join(command(target, out)[3:])} ended with {process.returncode}")
    return False, False


def end(out: Path) -> tuple[dict, list, dict]:
    """(arrays, metrics, result) of a finished run."""
    folder = RunFolder(out, RunConfig.read(out / "config.json"))
    folder.identity.pop("rule", None)
    return folder.latest().arrays, folder.metrics(), json.loads((out / "result.json").read_text())


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--targets", nargs="+", default=list(SAMPLES), choices=list(SAMPLES))
    words.add_argument("--kills", type=int, default=20)
    words.add_argument("--work", type=Path, default=Path("kill_runs"))
    words.add_argument("--json", type=Path, default=Path("benchmarks/results/kill.json"))
    asked, rng, rows = words.parse_args(), np.random.default_rng(0), {}
    for target in asked.targets:
        root = asked.work.resolve() / target
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(parents=True)
        whole, cut = root / "whole", root / "cut"
        if start(target, whole).wait():
            raise SystemExit((root / "said.txt").read_text())
        kills = inside = 0
        for n in range(asked.kills):
            done, partial = killed(target, cut, rng.uniform(0.0, 1.5), writing=n % 2 == 1)
            kills, inside = kills + done, inside + partial
        if start(target, cut).wait():
            raise SystemExit((root / "said.txt").read_text())
        (a, rows_a, result_a), (b, rows_b, result_b) = end(whole), end(cut)
        same = a.keys() == b.keys() and all(np.array_equal(a[n], b[n]) for n in a)
        rows[target] = {"killed": kills, "while a file was written": inside, "arrays": len(a), "state equal": bool(same),
                        "metrics equal": rows_a == rows_b, "result equal": result_a == result_b}  # fmt: skip
        print(target, rows[target], flush=True)
        asked.json.parent.mkdir(parents=True, exist_ok=True)
        asked.json.write_text(json.dumps({"targets": rows, "manifest": provenance.manifest()}, indent=1) + "\n")
    good = all(row[k] for row in rows.values() for k in ("state equal", "metrics equal", "result equal"))
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
