"""Where a stream's circuit runs: in this process (numpy, cython) or as a C++ program of its own (standalone).

Both take a state and inputs and give back a state and recordings; a run is a chain of such segments.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from neurolearn.circuit import script, worker
from neurolearn.circuit.built import executed
from neurolearn.circuit.plan import CircuitPlan
from neurolearn.errors import InputError, SimulationError

TARGETS = ("numpy", "cython", "standalone")


def engine(plan: CircuitPlan, target: str, cache: str | Path | None = None):
    """The engine of a target. cache: folder of compiled standalone circuits (default: the user's cache folder).

    Raises InputError for another target, or for standalone where there is no C++ compiler.
    """
    if target not in TARGETS:
        raise InputError(f"target is {target!r}; choose one of {', '.join(TARGETS)}.")
    source = script.text(plan)
    if target == "standalone":
        return Standalone(source, script.arrays(plan), cache)
    return worker.Runtime(executed(source, plan.title), script.arrays(plan), target)


class Standalone:
    """One compiled program, run once per segment, in a process of its own: Brian2 has one device per process."""

    def __init__(self, source: str, arrays: dict, cache: str | Path | None = None):
        if not (shutil.which("g++") or shutil.which("clang++") or shutil.which("c++")):
            raise InputError("target is 'standalone' but there is no C++ compiler (g++); install one, or take numpy.")
        self._lock: int | None
        self.folder, self._lock = _folder(source, cache)
        (self.folder / "circuit.py").write_text(source)
        np.savez(self.folder / "arrays.npz", **arrays)
        self._log = (self.folder / "log.txt").open("w")
        self._process = subprocess.Popen(
            [sys.executable, worker.__file__, str(self.folder)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True,
            pass_fds=(self._lock,),  # whoever dies first, the folder is taken until its last user has gone
        )  # fmt: skip
        self._answer()

    def start(self) -> dict[str, np.ndarray]:
        """Nothing has run yet: what the script sets is the state."""
        return {}

    def run(self, state: dict, timed: dict) -> tuple[dict, dict]:
        """One segment from t = 0 with this state and these inputs; (state, recordings) afterwards."""
        np.savez(self.folder / "given.npz", **state, **timed)
        order = {"given": "given.npz", "found": "found.npz", "results": "results"}
        try:
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass
        self._answer()
        with np.load(self.folder / "found.npz") as found:
            every = {name: found[name] for name in found.files}
        parts = {"state": {}, "monitor": {}}
        for name, value in every.items():
            kind, key = name.split(":", 1)
            parts[kind][key] = value
        return parts["state"], parts["monitor"]

    def _answer(self) -> dict:
        line = self._process.stdout.readline()
        if line:
            return json.loads(line)
        self._log.flush()
        said = [line for line in (self.folder / "log.txt").read_text().splitlines() if line.strip()]
        last = said[-1] if said else f"exit code {self._process.wait()}"
        raise SimulationError(f"the standalone circuit stopped: {last[:300]}; take target numpy to see where.")

    def close(self) -> None:
        """End the process and give the folder back."""
        if self._lock is None:
            return
        lock, self._lock = self._lock, None
        if self._process.poll() is None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
            self._process.wait(timeout=60)
        self._process.stdout.close()
        self._log.close()
        os.close(lock)

    def __del__(self):
        if getattr(self, "_lock", None) is not None:
            with contextlib.suppress(Exception):
                self.close()


def _folder(source: str, cache: str | Path | None) -> tuple[Path, int]:
    """A folder for this source that nobody else is using: the cached one, or the next."""
    import fcntl

    root = Path(cache) if cache else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "neurolearn"
    name = hashlib.sha256(source.encode()).hexdigest()[:16]
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError:
        root = Path(tempfile.mkdtemp(prefix="neurolearn-"))
    for number in range(1000):
        folder = root / (name if number == 0 else f"{name}-{number}")
        folder.mkdir(exist_ok=True)
        lock = os.open(folder / "lock", os.O_CREAT | os.O_RDWR)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return folder, lock
        except OSError:
            os.close(lock)
    raise InputError(f"{str(root)!r} holds a thousand circuits of this kind in use; give another cache folder.")
