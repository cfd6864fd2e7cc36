"""The state of a run at the end of a segment, in one file: arrays and what describes them, or nothing at all.

A checkpoint is a safetensors file, ``checkpoint-00000012.safetensors`` after segment 12. Its metadata hold, as JSON under
"neurolearn", the format, the segment, whose state it is (``identity``), whatever the run adds (``meta``) and the SHA-256
of all that together with every array's name, type, shape and bytes.
"""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as read_arrays
from safetensors.numpy import save as written_arrays

from neurolearn.errors import InputError, RunError
from neurolearn.runs import atomic

FORMAT = 1
KEEP = 2  # the newest and, should it be damaged, the one before
KEY = "neurolearn"
NAME = re.compile(r"checkpoint-(\d{8,})\.safetensors")
DTYPES = frozenset(
    ("float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8", "bool")
)


class Damaged(RunError):
    """A checkpoint is not what was written."""


@dataclass(frozen=True)
class Checkpoint:
    """What was saved after ``segment`` segments. arrays: writable copies. meta: as it was given, read back from JSON."""

    segment: int
    arrays: dict[str, np.ndarray]
    meta: dict = field(default_factory=dict)
    identity: dict[str, str] = field(default_factory=dict)


def save(
    folder: str | Path,
    arrays: Mapping[str, np.ndarray],
    meta: Mapping | None = None,
    *,
    segment: int,
    identity: Mapping[str, str] | None = None,
) -> Path:
    """Write the checkpoint after ``segment`` segments, then remove all but the last two; returns its path.

    arrays: of floats, integers or booleans, of any shape, 0-d and empty too. meta: what JSON holds. identity: what the
    state belongs to, such as {"config": ..., "rule": ...}; ``load`` refuses it under any other. Raises InputError for what
    cannot be kept exactly, RunError if the file cannot be written (those before it are then still there).
    """
    if isinstance(segment, bool) or not isinstance(segment, int) or segment < 0:
        raise InputError(f"segment is {segment!r}; give how many segments have been run, an integer >= 0.")
    head = {"format": FORMAT, "segment": segment, "identity": dict(identity or {}), "meta": dict(meta or {})}
    head = json.loads(_json(head))  # as it will be read
    kept = plain(arrays)
    text = _json({**head, "digest": _digest(head, kept)})
    path = Path(folder) / f"checkpoint-{segment:08d}.safetensors"
    atomic.write(path, written_arrays(kept, {KEY: text}))
    older = [p for p in files(folder) if _segment(p) <= segment]
    for old in (*older[KEEP:], *Path(folder).glob(f"checkpoint-*{atomic.PARTIAL}")):
        with suppress(OSError):
            old.unlink()
    return path


def load(folder: str | Path, identity: Mapping[str, str] | None = None) -> Checkpoint | None:
    """The newest checkpoint that is whole, or None if there is none; a damaged one is passed over with a warning.

    Raises RunError if every checkpoint is damaged, if it is of another format, or if it was saved under an identity that
    differs from ``identity`` in any of its entries.
    """
    damage = []
    for path in files(folder):
        try:
            found = read(path)
        except Damaged as error:
            damage.append(str(error))
            continue
        _same(path, found.identity, identity or {})
        if damage:
            warnings.warn(
                f"{' '.join(damage)} The run goes on from {path.name}, the checkpoint before; segments after "
                f"{found.segment} are run again.",
                stacklevel=2,
            )
        return found
    if damage:
        raise RunError(
            f"{' '.join(damage)} No checkpoint in {str(folder)!r} is whole: restore one from a copy, or start the run in "
            "an empty folder."
        )
    return None


def plain(arrays: Mapping[str, object]) -> dict[str, np.ndarray]:
    """Copies as a checkpoint gives them back: native, C-contiguous, of their own type and shape.

    Raises InputError for a name or a type that a checkpoint cannot keep.
    """
    return {name: _array(name, value) for name, value in arrays.items()}


def read(path: Path) -> Checkpoint:
    """The checkpoint in one file. Raises Damaged if it is not what was written, RunError for another format."""
    with atomic.sentences(path):
        data = path.read_bytes()
    try:
        length = int.from_bytes(data[:8], "little")
        head = json.loads(json.loads(data[8 : 8 + length])["__metadata__"][KEY])
        number = head["format"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise Damaged(f"{path.name} is damaged: its head cannot be read.") from None
    if number != FORMAT:
        raise RunError(
            f"{path.name} has format {number!r}, and this version of neurolearn reads format {FORMAT}: go on with the "
            "version that the run's manifest.json names, or start the run in an empty folder."
        )
    try:
        arrays = {name: np.array(value) for name, value in read_arrays(data).items()}  # copies: those are read-only
    except (SafetensorError, ValueError, KeyError):
        raise Damaged(f"{path.name} is damaged: its arrays cannot be read ({len(data)} bytes).") from None
    digest = head.pop("digest", None)
    if digest != _digest(head, arrays):
        raise Damaged(f"{path.name} is damaged: its content is not what was written (another digest).")
    return Checkpoint(head["segment"], arrays, head["meta"], head["identity"])


def files(folder: str | Path) -> list[Path]:
    """All checkpoints of a folder, the newest first."""
    found = [path for path in Path(folder).glob("checkpoint-*.safetensors") if NAME.fullmatch(path.name)]
    return sorted(found, key=_segment, reverse=True)


def _segment(path: Path) -> int:
    return int(NAME.fullmatch(path.name)[1])


def _array(name: str, value: object) -> np.ndarray:
    """The value as safetensors can hold it bit for bit: native, contiguous, of its own shape (0-d stays 0-d)."""
    if not isinstance(name, str) or not name or name == "__metadata__":
        raise InputError(f"a checkpoint's array is named {name!r}; give it a name, a text other than '__metadata__'.")
    array = np.asarray(value)
    if array.dtype.name not in DTYPES:
        raise InputError(
            f"the array {name!r} is of type {array.dtype}, which a checkpoint cannot keep; make it float64, float32, an "
            "integer or bool (text and other values belong in meta)."
        )
    return np.array(array, dtype=array.dtype.newbyteorder("="), order="C")


def _digest(head: Mapping, arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of the head and of every array: name, type, shape and bytes."""
    total = hashlib.sha256()
    total.update(_json(head).encode())
    for name in sorted(arrays):
        array = arrays[name]
        total.update(_json([name, array.dtype.name, list(array.shape)]).encode())
        total.update(array.reshape(-1).view(np.uint8))
    return total.hexdigest()


def _json(value: object) -> str:
    try:
        return json.dumps(value, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"meta cannot be kept as JSON ({error}); put arrays and numbers that are not finite among the arrays."
        ) from None


def _same(path: Path, saved: Mapping[str, str], asked: Mapping[str, str]) -> None:
    """Raises RunError if the checkpoint is of something else than what is asked for."""
    for what, value in asked.items():
        if saved.get(what) != value:
            raise RunError(
                f"{path.name} belongs to another {what} ({saved.get(what, 'none')}, not {value}): start the changed run in "
                f"a folder of its own, or put the {what} back."
            )
