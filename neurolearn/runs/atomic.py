"""Files that are there whole or not at all, whenever the process, the disk or the power gives up."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from neurolearn.errors import RunError

PARTIAL = ".partial"  # ends the name of a file that is still being written
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)


def write(path: Path, data: bytes) -> None:
    """Replace the file by ``data``; readers see the old file or the new one, never a part.

    The bytes go to a file beside it and onto the disk before the name changes, and the changed name onto the disk before
    this returns. Raises RunError if the disk is full or the folder cannot be written; the old file is then still there.
    """
    partial = path.with_name(path.name + PARTIAL)
    with sentences(path):
        try:
            with partial.open("wb") as file:
                file.write(data)
                sync(file)
            os.replace(partial, path)
        except BaseException:  # KeyboardInterrupt too: nothing half-written stays behind
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def sync(file) -> None:
    """All that was written to an open file is on the disk."""
    file.flush()
    os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Names that were made, changed or removed in a folder are so on the disk, where folders can be synchronised."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(handle)


@contextmanager
def sentences(path: Path) -> Iterator[None]:
    """An OSError while ``path`` is read or written becomes a RunError that says what to do."""
    try:
        yield
    except OSError as error:
        what = (error.strerror or type(error).__name__).lower()
        if error.errno in FULL:
            raise RunError(
                f"{path.name} could not be written: {what}. What was saved before it is still there; make room in the "
                "folder's file system, then start the same run again and it goes on from its last checkpoint."
            ) from error
        if error.errno in READ_ONLY:
            raise RunError(
                f"{path.name} in {str(path.parent)!r} could not be written: {what}. Give a folder that you may write to, "
                "or change its permissions."
            ) from error
        raise RunError(f"{path.name} in {str(path.parent)!r} could not be used: {what}; check the path.") from error
