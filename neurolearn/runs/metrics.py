"""metrics.jsonl: one JSON object a line, on the disk before the checkpoint that counts it, never a line twice."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from math import isfinite
from pathlib import Path

from neurolearn.errors import RunError
from neurolearn.runs import atomic

NAME = "metrics.jsonl"


def read(path: Path) -> list[dict]:
    """All whole lines; a last line without its end, as a killed process may leave one, is passed over."""
    if not path.exists():
        return []
    with atomic.sentences(path):
        data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1].splitlines()
    try:
        return [json.loads(line) for line in whole]
    except ValueError:
        bad = next(n for n, line in enumerate(whole, 1) if not _is_json(line))
        raise RunError(
            f"{path.name}: line {bad} is no JSON; restore the file from a copy, or remove the line."
        ) from None


class Metrics:
    """The file while a run writes it, cut to what the checkpoint counts. cursor: its length in bytes.

    Raises RunError if the file is shorter than that, or if the cut would fall within a line.
    """

    def __init__(self, path: Path, cursor: int = 0):
        self.path = path
        with atomic.sentences(path):
            there = path.stat().st_size if path.exists() else 0
            if there < cursor:
                raise RunError(
                    f"{path.name} has {there} bytes, and the last checkpoint was saved when it had {cursor}: lines are "
                    "missing. Restore it from a copy, or start the run in an empty folder."
                )
            self.file = path.open("r+b" if path.exists() else "x+b", buffering=0)
            try:
                self.file.seek(max(0, cursor - 1))
                if cursor and self.file.read(1) != b"\n":
                    raise RunError(
                        f"{path.name} was changed since the last checkpoint: no line ends at byte {cursor}. Restore it "
                        "from a copy, or start the run in an empty folder."
                    )
                self.file.truncate(cursor)
                self.file.seek(cursor)
                atomic.sync(self.file)
                atomic.sync_folder(path.parent)
            except BaseException:
                self.file.close()
                raise

    def append(self, row: Mapping) -> None:
        """One more line, handed to the operating system at once. Numbers that are not finite become null."""
        rest = memoryview(json.dumps(_plain(row), allow_nan=False).encode() + b"\n")
        end = self.file.tell()
        with atomic.sentences(self.path):
            try:
                while rest:
                    rest = rest[self.file.write(rest) :]
            except BaseException:  # a full disk, Ctrl-C: the part of a line that was written goes again
                with suppress(OSError):
                    self.file.truncate(end)
                    self.file.seek(end)
                raise

    def cursor(self) -> int:
        """How long the file is, once all of it is on the disk."""
        with atomic.sentences(self.path):
            atomic.sync(self.file)
        return self.file.tell()

    def close(self) -> None:
        """Close the file."""
        self.file.close()


def _plain(value: object) -> object:
    """The value as JSON holds it: NumPy's numbers and arrays as Python's."""
    if hasattr(value, "tolist"):  # an array, or a number of NumPy's
        value = value.tolist()
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True
