"""Recordings on disk: HDF5, appended segment by segment, whole after every one of them.

``run.h5`` holds one group for each table, ``spikes/layer1/rate`` or ``states/W_2_1/w``, with its columns (``t`` in seconds
since the run began, ...) as chunked, compressed datasets, and ``segments``: what each segment brought. A segment is written
into a copy, which then takes the file's place: a process that is killed leaves the file as it was after the segment before.
So that copies stay small a file that has grown to ``part`` bytes is followed by ``run.1.h5``, ``run.2.h5``, ...
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from neurolearn import __version__
from neurolearn.circuit.recording.monitors import Track
from neurolearn.errors import InputError, RunError

FORMAT = 1
PARTIAL = ".partial"
COLUMNS = {"spikes": ("t", "i", "sign"), "rates": ("t", "hz"), "states": ("t", "value")}
SEGMENT = np.dtype([("first", "i8"), ("samples", "i8"), ("start", "f8"), ("stop", "f8")])
PACKED = {"compression": "gzip", "compression_opts": 1, "shuffle": True}


class Recorder:
    """Writes what the recorders of an ``Online`` circuit or a ``Learner`` tell: ``append`` after each segment.

    path: of the first file, ending in .h5; there must be none yet. resume: seconds of the run from which a checkpoint goes on;
    what was recorded after them is cut, and the run appended to the rest. Without ``online`` it only cuts. part: bytes.
    seconds, samples: recorded so far. Raises InputError for what does not fit, RunError for files that cannot be used.
    """

    def __init__(self, path: str | Path, online=None, *, resume: float | None = None, part: float = 16e6):
        online = getattr(online, "circuit", online)
        self.path, self.part, self._tracks = Path(path), part, list(online.tracks) if online else []
        if self.path.suffix != ".h5" or re.search(r"\.\d+\.h5$", self.path.name):
            raise InputError(
                f"the recording is to be {self.path.name!r}; give it a name that ends in .h5, without a number before it."
            )
        if online and not self._tracks:
            raise InputError(
                "the circuit has no recorders; build it with Online(..., monitors=[SpikeMonitor(...), ...])."
            )
        for left in _named(self.path, PARTIAL).values():  # of a process that was killed
            left.unlink()
        found = parts(self.path)
        if online and resume is None and found:
            raise InputError(
                f"{self.path.name} holds a recording; take another name, or go on with it from a checkpoint: "
                "Recorder(path, online, resume=seconds)."
            )
        self._head = _head(online) if online else {}
        if online and found:
            with reading(found[0]) as file:
                if file.attrs["layout"] != self._head["layout"]:
                    raise InputError(f"{path} was recorded with other recorders or another circuit; take another name.")
        self.seconds, self.samples = _reached(found)
        if resume is not None:
            self.cut(resume)

    def append(self, segment) -> None:
        """Write what an ``online.Segment`` recorded, after what there is. Raises RunError if the disk refuses."""
        count, found = len(segment.outputs), parts(self.path)
        new = not found or found[-1].stat().st_size >= self.part
        stop = (self.samples + count) * self._tracks[0].clocks.sample * self._tracks[0].clocks.dt
        with _replaced(_part(self.path, len(found)) if new else found[-1], copy=not new) as file:
            if new:
                file.attrs.update(self._head)
            for track in self._tracks:
                _append(file, track, track.rows(segment.recordings, count, self.samples))
            _extend(file, "segments", np.array([(self.samples, count, self.seconds, stop)], SEGMENT))
        self.seconds, self.samples = stop, self.samples + count

    def cut(self, seconds: float) -> None:
        """Remove every segment that ends after ``seconds``. Raises InputError if less than that was recorded."""
        found = parts(self.path)
        tables = [_table(path) for path in found]
        # a checkpoint may count time by the slow clock, which is early by a fraction of a step in every segment
        half = [(table["stop"] - table["start"]) / table["samples"] / 2 for table in tables]
        kept = [int((table["stop"] - h <= seconds).sum()) for table, h in zip(tables, half, strict=True)]
        if seconds > self.seconds + (half[-1][-1] if half else 0):
            raise InputError(
                f"{self.path.name} ends at {self.seconds:g} s, before the {seconds:g} s from which the run goes on; go on "
                "from an earlier checkpoint, or record under another name."
            )
        for path, table, n in reversed(
            list(zip(found, tables, kept, strict=True))
        ):  # what is left is always a beginning
            if n == 0:
                path.unlink()
            elif n < len(table):
                with _replaced(path, copy=True) as file:
                    _shorten(file, n)
        self.seconds, self.samples = _reached(parts(self.path))


def parts(path: Path) -> list[Path]:
    """The files of a recording, in order. Raises RunError if one between others is missing."""
    numbers = _named(path)
    for n in range(max(numbers, default=-1)):
        if n not in numbers:
            raise RunError(f"{_part(path, n).name}, a part of the recording {path.name}, is missing; put it back.")
    return [numbers[n] for n in sorted(numbers)]


@contextmanager
def reading(path: Path) -> Iterator[h5py.File]:
    """An open part. Raises RunError if it is damaged or no recording."""
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("neurolearn recording") != FORMAT:
                raise RunError(
                    f"{path.name} is no recording of this version of neurolearn (format {FORMAT}); take another file."
                )
            yield file
    except (OSError, KeyError, RuntimeError) as error:
        what = " ".join(str(error).split())[:80]
        raise RunError(
            f"{path.name} is damaged ({what}); restore it from a copy, or remove it and the parts after it to keep those "
            "before."
        ) from error


def _head(online) -> dict:
    """What a file says about the circuit; layout: what must agree for a recording to go on."""
    clocks, plan = online.tracks[0].clocks, online.plan
    digests = {
        t.path: hashlib.sha256(repr((t.every, t.samples, t.index.tolist())).encode()).hexdigest() for t in online.tracks
    }
    layout = {"title": plan.title, "kind": online.kind, "dt": clocks.dt, "sample": clocks.sample, "tables": digests}
    return {
        "neurolearn recording": FORMAT, "neurolearn": __version__, "title": plan.title, "kind": online.kind,
        "dt": clocks.dt, "seconds of a sample": clocks.sample * clocks.dt, "unit of t": "s", "layout": json.dumps(layout),
    }  # fmt: skip


def _part(path: Path, number: int) -> Path:
    return path if number == 0 else path.with_name(f"{path.stem}.{number}.h5")


def _named(path: Path, end: str = "") -> dict[int, Path]:
    """{number: file} of the parts that there are, or of those that end in ``end`` besides."""
    name = re.compile(rf"{re.escape(path.stem)}(?:\.(\d+))?\.h5{re.escape(end)}")
    there = path.parent.iterdir() if path.parent.is_dir() else ()
    return {int(match[1] or 0): other for other in there if (match := name.fullmatch(other.name))}


def _table(path: Path) -> np.ndarray:
    with reading(path) as file:
        return file["segments"][:]


def _reached(found: list[Path]) -> tuple[float, int]:
    """(seconds, samples) at which a recording ends."""
    if not found:
        return 0.0, 0
    last = _table(found[-1])[-1]
    return float(last["stop"]), int(last["first"] + last["samples"])


@contextmanager
def _replaced(path: Path, copy: bool) -> Iterator[h5py.File]:
    """A file that takes the place of ``path`` once it is on the disk; it starts as a copy, or empty."""
    partial = path.with_name(path.name + PARTIAL)
    try:
        if copy:
            shutil.copyfile(path, partial)
        # free space is kept track of, or every chunk that grows would leave its old self behind
        space = {} if copy else {"fs_strategy": "fsm", "fs_persist": True, "fs_threshold": 1}
        with h5py.File(partial, "r+" if copy else "w", **space) as file:
            yield file
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        what = " ".join(str(error).split())[:80]
        raise RunError(
            f"{path.name} could not be written ({what}); what was recorded before is still there: make room or give another "
            "folder, and go on from the last checkpoint."
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def _append(file: h5py.File, track: Track, rows: dict[str, np.ndarray]) -> None:
    if track.path not in file:
        group = file.create_group(track.path)
        group.attrs.update({"every": track.every * track.clocks.dt, "group": track.group, "unit": track.unit})
        for name, values in {"index": track.index, **track.ends}.items():
            group.create_dataset(f"of/{name}", data=values, **PACKED)
    group = file[track.path]
    for name in COLUMNS[track.kind]:
        _extend(group, name, rows[name])
    _extend(group, "ends", np.array([len(group["t"])]))


def _extend(group: h5py.Group, name: str, rows: np.ndarray) -> None:
    if name not in group:
        row = max(1, rows.dtype.itemsize * int(np.prod(rows.shape[1:])))
        chunk = (max(1, min(8192, 2**17 // row)), *rows.shape[1:])
        group.create_dataset(name, data=rows, maxshape=(None, *rows.shape[1:]), chunks=chunk, **PACKED)
        return
    there = group[name]
    there.resize(len(there) + len(rows), axis=0)
    if len(rows):
        there[-len(rows) :] = rows


def _shorten(file: h5py.File, segments: int) -> None:
    """Keep the first ``segments`` segments of a part."""
    for table in json.loads(file.attrs["layout"])["tables"]:
        group = file[table]
        for name in COLUMNS[table.split("/")[0]]:
            group[name].resize(int(group["ends"][segments - 1]), axis=0)
        group["ends"].resize(segments, axis=0)
    file["segments"].resize(segments, axis=0)
