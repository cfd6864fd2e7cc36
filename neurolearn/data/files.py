"""Where the files of a data set come from: ``$NEUROLEARN_DATA`` first, else the public mirror, by way of a cache."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from neurolearn.errors import InputError


def given(folder: str) -> Path | None:
    """``$NEUROLEARN_DATA/folder`` if there is one. Raises InputError if the variable names no folder at all."""
    root = os.environ.get("NEUROLEARN_DATA")
    if not root:
        return None
    if not Path(root).is_dir():
        raise InputError(f"NEUROLEARN_DATA is {root!r}, which is not a folder; unset it or name the data folder.")
    path = Path(root) / folder
    return path if path.is_dir() else None


def locate(folder: str, url: str, checksums: Mapping[str, str], *, layout: str = "") -> list[Path]:
    """Paths of the files of one data set, in the order of ``checksums``.

    A file in ``$NEUROLEARN_DATA/folder`` is taken as it is (its reader checks it); any other is fetched once from
    ``url + name``, compared with its checksum and kept in the user's cache.

    folder: the data set's own folder. checksums: md5 of each file, by name. layout: what to tell somebody who has no
    network to put into the folder; by default the names. Raises InputError if a file can be neither found nor fetched.
    """
    here = given(folder)
    remedy = (
        "Without a network, set NEUROLEARN_DATA to a folder that contains "
        f"{folder}/ with {layout or ', '.join(checksums)}."
    )
    return [
        here / name if here and (here / name).is_file() else _fetch(folder, name, url + name, md5, remedy)
        for name, md5 in checksums.items()
    ]


def _fetch(folder: str, name: str, url: str, md5: str, remedy: str) -> Path:
    try:
        import pooch
    except ImportError:
        raise InputError(
            f"{folder}/{name} is not on this computer, and pooch, which would fetch it, is not installed: "
            f'pip install "neurolearn[data]". {remedy}'
        ) from None
    cache = pooch.os_cache("neurolearn") / folder
    try:
        return Path(pooch.retrieve(url, known_hash=f"md5:{md5}", fname=name, path=cache))
    except OSError as error:
        reason = f"{folder}/{name} could not be fetched from {url} ({type(error).__name__})."
        raise InputError(f"{reason} {remedy}") from error
    except ValueError as error:
        reason = f"What {url} sent is not the file that was published as {folder}/{name}: its md5 is not {md5}."
        raise InputError(f"{reason} Try again later. {remedy}") from error
