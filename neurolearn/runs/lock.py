"""One process at a time in a run's folder."""

from __future__ import annotations

import os
import time
import warnings
from contextlib import suppress
from pathlib import Path

from neurolearn.errors import RunError
from neurolearn.runs import atomic

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

NAME = "run.lock"
PATIENCE = 1.0  # seconds


class Lock:
    """Held from construction to ``release``. The system lets go of it when the process ends, however it ends.

    The file stays: to remove it would let two processes hold locks on two files of one name. It holds the process's number
    while it is locked. Raises RunError if another holds it.
    """

    def __init__(self, folder: Path):
        path = folder / NAME
        with atomic.sentences(path):
            self.handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o644)
        if fcntl is None:
            warnings.warn(
                "file locks need fcntl, which this system lacks: start no second process in this folder.", stacklevel=3
            )
            return
        try:
            self._take()
        except BlockingIOError:
            holder = os.read(self.handle, 32).decode(errors="replace").strip()
            os.close(self.handle)
            raise RunError(
                f"{str(folder)!r} is in use by another process{f' (number {holder})' if holder else ''}; wait until it has "
                "ended, or give another folder."
            ) from None
        except OSError as error:
            os.close(self.handle)
            raise RunError(
                f"{str(folder)!r} cannot be locked ({error.strerror}); give a folder on a file system with locks."
            ) from None
        with suppress(OSError):  # the number is for the other's message only
            os.ftruncate(self.handle, 0)
            os.pwrite(self.handle, f"{os.getpid()}\n".encode(), 0)

    def _take(self) -> None:
        """The lock, or BlockingIOError after a second: a killed holder's own child may have it until it runs its program."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                return fcntl.flock(self.handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.02)

    def release(self) -> None:
        """Let others in."""
        with suppress(OSError):
            os.ftruncate(self.handle, 0)
        os.close(self.handle)
