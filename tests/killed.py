"""A toy run that is killed again and again, in processes forked from this one; ``tests/test_runs.py`` runs it as a script.

    python killed.py FOLDER moments|points|interrupts|full|locked|readonly [SEED]

Prints one JSON object. The run is a chaotic map: one bit more or less anywhere in its state, and its end is another.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path

import numpy as np

from neurolearn.errors import RunError
from neurolearn.runs import RunFolder, atomic

SEGMENTS = 8


class Config:
    """The least that a folder asks of a configuration."""

    def settings(self) -> dict:
        return {"seed": 3, "samples": 8}

    def id(self) -> str:
        return "toy"


def begin() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    return {"x": rng.random((5, 4)), "w": np.asfortranarray(rng.random((4, 5))), "step": np.array(0), "seen": np.zeros(5, bool),
            "past": np.zeros((0, 200), np.float32), "rng": rng.integers(0, 2**63, 4, dtype=np.uint64)}


def step(number: int, state: dict) -> tuple[dict, list[dict]]:
    """A segment of three steps: a coupled logistic map, multiplicative noise from a generator that is part of the state."""
    state, rows = dict(state), []
    for _ in range(3):
        rng = np.random.Generator(np.random.Philox(key=state["rng"][:2]))
        state["x"] = (3.97 * state["x"] * (1 - state["x"]) * (1 - 1e-3 * rng.random((5, 4)))) % 1.0
        state["w"] = np.asfortranarray((state["w"] + np.tanh(state["x"].T @ state["w"].T @ state["x"].T)) % 1.0)
        state["rng"] = rng.integers(0, 2**63, 4, dtype=np.uint64)
        state["step"] = state["step"] + 1
        state["seen"] = state["seen"] | (state["x"].mean(1) > 0.5)
        state["past"] = np.concatenate([state["past"], np.tile(state["x"].mean(1), 40)[None].astype(np.float32)])
        rows.append({"segment": number, "step": int(state["step"]), "mean": float(state["x"].mean()),
                     "w": float(np.linalg.norm(state["w"]))})
    return state, rows


def uninterrupted() -> tuple[str, str]:
    """What must come out, without any folder: the state's bytes, and the lines."""
    state, lines = {name: np.array(value, order="C") for name, value in begin().items()}, []
    for number in range(SEGMENTS):
        state, rows = step(number, state)
        state = {name: np.array(value, order="C") for name, value in state.items()}
        lines += [json.dumps(row) for row in rows]
    return as_text(state), "\n".join(lines) + "\n"


def as_text(state: dict) -> str:
    return json.dumps({name: [value.dtype.name, value.shape, value.tobytes().hex()] for name, value in sorted(state.items())})


def run(folder: Path, pause: float = 0.0) -> dict:
    def slow(number: int, state: dict):
        time.sleep(pause)
        return step(number, state)

    with RunFolder(folder, Config()) as open_:
        return open_.carry(begin, slow, SEGMENTS)


def child(work) -> int:
    """The number of a forked process that does the work; it ends with 0, or 1 after RunError, 2 after KeyboardInterrupt."""
    if number := os.fork():
        return number
    code = 3
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        work()
        code = 0
    except RunError as error:
        print(error, file=sys.stderr)
        code = 1
    except KeyboardInterrupt:
        code = 2
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def ended(number: int) -> int:
    """The exit code, or minus the signal."""
    return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])


def same(folder: Path) -> bool:
    state, lines = uninterrupted()
    return as_text(RunFolder(folder, Config()).latest().arrays) == state and (folder / "metrics.jsonl").read_text() == lines


def at_moments(folder: Path, seed: int, kind: signal.Signals) -> dict:
    """Two whole runs or more, killed eight times or more: again and again at random moments, until they get through."""
    rng, kills, codes, noted = np.random.default_rng(seed), 0, set(), set()
    begun = time.monotonic()
    run(folder / "alone", pause=0.002)
    patience, runs, good = time.monotonic() - begun, 0, True
    while runs < 2 or kills < 8:
        here, code = folder / str(runs), None
        while code != 0:
            number = child(lambda here=here: run(here, pause=0.002))
            time.sleep(rng.uniform(0.05, 1.0) * patience)
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, kind)
            code = ended(number)
            codes.add(code)
            kills += code != 0
            patience *= 0.7 if code == 0 else 1.1  # the machine may be busier now than before
        runs, good = runs + 1, good and same(here)
        noted |= {session["ended"] for session in RunFolder(here).manifest()["sessions"]}
    return {"runs": runs, "kills": kills, "codes": sorted(codes), "same": good, "ended": sorted(noted)}


class Points:
    """Counts every piece of a file that is written and, if asked, the lines of neurolearn/runs; dies at one of these points."""

    def __init__(self, at: int, lines: bool):
        self.at, self.lines, self.count = at, lines, 0

    def tick(self) -> None:
        self.count += 1
        if self.count == self.at:
            os.kill(os.getpid(), signal.SIGKILL)

    def trace(self, frame, event, _):
        if "neurolearn/runs/" not in frame.f_code.co_filename.replace(os.sep, "/"):
            return None
        if event == "line":
            self.tick()
        return self.trace

    def install(self) -> None:
        """From here on: files are written in pieces, and nothing waits for the disk (a kill loses no page)."""
        real, points = Path.open, self

        class Slow:
            def __init__(self, file):
                self.file = file

            def __getattr__(self, name):
                return getattr(self.file, name)

            def __enter__(self):
                return self

            def __exit__(self, *_):
                self.file.close()

            def write(self, data):
                if isinstance(data, str):
                    return self.file.write(data)
                piece = bytes(data)[: max(40, len(data) // 2)]
                points.tick()
                if not hasattr(self.file, "raw"):  # unbuffered: may write less than it was given
                    return self.file.write(piece)
                for part in (piece, bytes(data)[len(piece):]):
                    self.file.write(part)
                    self.file.flush()
                    points.tick()
                return len(data)

        Path.open = lambda path, *args, **kwargs: Slow(real(path, *args, **kwargs))
        os.fsync = lambda handle: None
        if self.lines:
            sys.settrace(self.trace)


def at_points(folder: Path, stride: int) -> dict:
    """A short run killed at the n-th point, then run to its end, for every n (in strides).

    stride 0: every piece of a file; else lines are points too.
    """
    global SEGMENTS
    SEGMENTS = 4 if stride else 2

    def work(points):
        points.install()
        run(here)
        (here / "count").write_text(str(points.count))

    here = folder / "all"
    assert ended(child(lambda: work(Points(-1, stride > 0)))) == 0
    total, bad, codes = int((here / "count").read_text()), [], set()
    for n in range(1, total + 1, max(1, stride)):
        shutil.rmtree(here)
        codes.add(ended(child(lambda n=n: work(Points(n, stride > 0)))))
        after = ended(child(lambda: (setattr(os, "fsync", lambda handle: None), run(here))))
        if after != 0 or not same(here) or list(here.glob("checkpoint*partial")):
            bad.append([n, after])
    return {"points": total, "codes": sorted(codes), "bad": bad}


def full(folder: Path) -> dict:
    """The disk is full from the fifth checkpoint on: a limit on the size of files stands in for it."""
    run(folder / "whole")
    segment = 3 * 200 * 4  # bytes by which the state grows: three rows of float32
    limit = (folder / "whole/checkpoint-00000008.safetensors").stat().st_size - 3 * segment - segment // 2

    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        run(folder / "here")

    code = ended(child(limited))
    left = sorted(path.name for path in (folder / "here").glob("checkpoint-*"))
    manifest = RunFolder(folder / "here").manifest()["sessions"][-1]["ended"]
    run(folder / "here")
    return {"code": code, "left": left, "ended": manifest, "same": same(folder / "here")}


def locked(folder: Path) -> dict:
    """A second process is refused while the first holds the folder, and let in once the first was killed."""
    first = child(lambda: run(folder / "here", pause=0.3))
    while not (folder / "here/metrics.jsonl").exists():
        time.sleep(0.005)
    second = ended(child(lambda: run(folder / "here")))
    os.kill(first, signal.SIGKILL)
    ended(first)
    return {"first": first, "second": second, "third": ended(child(lambda: run(folder / "here"))), "same": same(folder / "here")}


def readonly(folder: Path) -> dict:
    """A user who may not write there."""
    folder.joinpath("here").mkdir(mode=0o755)

    def nobody():
        if os.geteuid() == 0:
            os.setuid(65534)
        else:
            folder.joinpath("here").chmod(0o555)
        run(folder / "here")

    for parent in (folder, *folder.parents):
        with contextlib.suppress(OSError):
            parent.chmod(parent.stat().st_mode | 0o011)
    return {"code": ended(child(nobody))}


if __name__ == "__main__":
    place, what, number = Path(sys.argv[1]), sys.argv[2], int((*sys.argv, "0")[3])
    assert atomic  # imported once, before all forks
    print(json.dumps({
        "moments": lambda: at_moments(place, number, signal.SIGKILL),
        "interrupts": lambda: at_moments(place, number, signal.SIGINT),
        "points": lambda: at_points(place, number),
        "full": lambda: full(place), "locked": lambda: locked(place), "readonly": lambda: readonly(place),
    }[what]()))
