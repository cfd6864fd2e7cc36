"""The folder of a run: what defines it, with what it was made, how it went, and from where it can go on.

    with RunFolder("out/digits", config, rule) as run:
        state = run.carry(begin, step, config.segments)

config.json, manifest.json, metrics.jsonl, checkpoint-<segment>.safetensors (the last two), run.lock.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from neurolearn.errors import InputError, RunError
from neurolearn.runs import atomic, checkpoint, metrics, provenance
from neurolearn.runs.identity import canonical, differences, digest
from neurolearn.runs.lock import Lock

if TYPE_CHECKING:
    from neurolearn.runs.config import RunConfig

Arrays = Mapping[str, np.ndarray]
OTHER = "Start the changed run in a folder of its own, or put it back as it was."


class RunFolder:
    """A run's folder. Read it as it is; enter it (``with``) to begin the run or to go on from its last checkpoint.

    config: a RunConfig, or whatever has ``settings()`` and ``id()``; not needed to read. rule: whose text the run depends
    on, a Rule or any value made of dataclasses. Entering makes the folder, locks it, writes config.json, and notes this
    start in manifest.json. Raises RunError if the folder holds another run, is in use or cannot be written.
    """

    def __init__(self, path: str | Path, config: RunConfig | None = None, rule: object = None):
        self.path, self.config = Path(path), config
        self.rule = None if rule is None else canonical(rule)
        self.identity = {} if config is None else {"config": config.id()}
        self.identity |= {} if rule is None else {"rule": digest(rule)}
        self._lock: Lock | None = None
        self._metrics: metrics.Metrics | None = None

    # -- reading -----------------------------------------------------------------------------------------------------

    def latest(self) -> checkpoint.Checkpoint | None:
        """The newest checkpoint that is whole, or None before the first. Raises RunError as ``checkpoint.load``."""
        return checkpoint.load(self.path, self.identity)

    def metrics(self) -> list[dict]:
        """The rows of metrics.jsonl, also while the run goes on."""
        return metrics.read(self.path / metrics.NAME)

    def settings(self) -> dict | None:
        """What config.json holds, or None before the run began."""
        return self._read("config.json")

    def manifest(self) -> dict | None:
        """What manifest.json holds, or None before the run began."""
        return self._read("manifest.json")

    # -- running -----------------------------------------------------------------------------------------------------

    def __enter__(self) -> RunFolder:
        if self.config is None:
            raise InputError("a run needs its config: RunFolder(path, config).")
        with atomic.sentences(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        self._lock = Lock(self.path)
        try:
            self._compare()
            self.start = self.latest()
            self._metrics = metrics.Metrics(self.path / metrics.NAME, self._cursor())
            if self.settings() is None:
                atomic.write(self.path / "config.json", _text(self.config.settings()))
            self._note_start()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, kind, error, _) -> None:
        try:
            ended = "finished"
            if error is not None:
                said = "" if isinstance(error, KeyboardInterrupt) else f": {provenance.without_folders(str(error))}"
                ended = "interrupted" if isinstance(error, KeyboardInterrupt) else f"{kind.__name__}{said}"
            self._note_end(ended)
        except RunError:
            if error is None:
                raise
        finally:
            self._close()

    def log(self, row: Mapping) -> None:
        """One line more in metrics.jsonl. Nothing that differs from one machine to the next belongs there, such as time."""
        self._open().append(row)

    def save(self, arrays: Arrays, segment: int, meta: Mapping | None = None) -> Path:
        """A checkpoint after ``segment`` segments, with all lines logged so far; returns its path.

        meta: what JSON holds; "cursor" is the folder's own.
        """
        meta = {**(meta or {}), "cursor": self._open().cursor()}
        return checkpoint.save(self.path, arrays, meta, segment=segment, identity=self.identity)

    def carry(
        self,
        begin: Callable[[], Arrays],
        step: Callable[[int, Arrays], tuple[Arrays, Iterable[Mapping]]],
        segments: int,
        every: int = 1,
    ) -> Arrays:
        """Run all segments that have not been run, with a checkpoint after each ``every``-th and the last; the final arrays.

        begin: the state before the first segment. step: (number of the segment from 0, state) -> (state after it, rows for
        metrics.jsonl); it must depend on nothing else that changes. What is interrupted goes on after the last checkpoint.
        """
        if every < 1:
            raise InputError(f"every is {every}; give a number of segments >= 1.")
        done, arrays = (self.start.segment, self.start.arrays) if self.start else (0, checkpoint.plain(begin()))
        for number in range(done, segments):
            arrays, rows = step(number, arrays)
            arrays = checkpoint.plain(arrays)  # the memory layout too is what it would be after a resume
            for row in rows:
                self.log(row)
            if (number + 1) % every == 0 or number + 1 == segments:
                self.save(arrays, number + 1)
        return arrays

    def keep(self, name: str, value: object) -> Path:
        """A JSON file beside the others, written whole or not at all."""
        path = self.path / name
        atomic.write(path, _text(value))
        return path

    def kept(self, name: str) -> dict | None:
        """What ``keep`` wrote under that name, or None."""
        return self._read(name)

    # -- what is in the folder -----------------------------------------------------------------------------------------

    def _compare(self) -> None:
        """Raises RunError if the folder holds a run of another configuration or rule, with what is different."""
        before, manifest = self.settings(), self.manifest() or {}
        if before is None:
            if manifest or checkpoint.files(self.path):
                raise RunError(
                    f"{str(self.path)!r} holds a run without its config.json: restore that file, or give an empty folder."
                )
            return
        now = json.loads(json.dumps(self.config.settings()))
        if manifest["config"] != self.config.id() if manifest else before != now:
            raise RunError(
                f"{str(self.path)!r} holds a run of another configuration: {'; '.join(differences(before, now)[:4])}. {OTHER}"
            )
        rule = manifest.get("rule")
        if rule is not None and self.rule is not None and rule != self.rule:
            raise RunError(
                f"{str(self.path)!r} holds a run of another rule: {'; '.join(differences(rule, self.rule)[:4])}. {OTHER}"
            )

    def _cursor(self) -> int:
        """Bytes of metrics.jsonl that the checkpoint counts."""
        if self.start is None:
            return 0
        if "cursor" not in self.start.meta:
            raise RunError(
                f"the checkpoint in {str(self.path)!r} was not saved by a RunFolder and does not say how long metrics.jsonl "
                "was; start the run in an empty folder."
            )
        return self.start.meta["cursor"]

    def _note_start(self) -> None:
        found = self.manifest() or {
            "config": self.config.id(),
            "rule": self.rule,
            "seed": self.config.settings().get("seed"),
            "sessions": [],
        }
        for session in found["sessions"]:
            session["ended"] = session["ended"] or "killed"
        now = {"versions": provenance.versions(), "platform": provenance.machine()}
        if found["sessions"] and (changed := differences({k: found["sessions"][-1][k] for k in now}, now)):
            warnings.warn(
                f"the run in {self.path.name!r} goes on with other software: {'; '.join(changed)}. Its numbers need not be "
                "those of an uninterrupted run to the last bit.",
                stacklevel=3,
            )
        found["sessions"].append(
            {
                "command": provenance.command(),
                "started": provenance.now(),
                "from_segment": self.start.segment if self.start else 0,
                **now,
                "git": provenance.git(),
                "finished": None,
                "ended": None,
            }
        )
        atomic.write(self.path / "manifest.json", _text(found))

    def _note_end(self, ended: str) -> None:
        found = self.manifest()
        found["sessions"][-1] |= {"finished": provenance.now(), "ended": ended}
        atomic.write(self.path / "manifest.json", _text(found))

    def _read(self, name: str) -> dict | None:
        path = self.path / name
        with atomic.sentences(path):
            try:
                return json.loads(path.read_bytes())
            except FileNotFoundError:
                return None
            except ValueError as error:
                raise RunError(f"{name} cannot be read ({error}); restore it from a copy.") from None

    def _open(self) -> metrics.Metrics:
        if self._metrics is None:
            raise InputError("the run's folder is not open; write into it within `with RunFolder(...) as run:`.")
        return self._metrics

    def _close(self) -> None:
        if self._metrics is not None:
            self._metrics.close()
        if self._lock is not None:
            self._lock.release()
        self._metrics = self._lock = None


def _text(value: object) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()
