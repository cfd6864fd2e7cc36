"""With what a run was made: versions, platform, commit, command. No host names, no absolute paths, no user's name."""

from __future__ import annotations

import platform
import re
import subprocess
import sys
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import neurolearn

PACKAGES = ("numpy", "torch", "brian2", "norse", "safetensors")
PATH = re.compile(r"""(?:(?<=^)|(?<=[\s=:,;'"(\[]))(?:[A-Za-z]:)?[/\\](?:[^/\\\s'"]+[/\\])*""")


def versions() -> dict[str, str]:
    """Of Python, neurolearn and what it computes with; nothing is imported for it."""
    found = {"python": platform.python_version(), "neurolearn": neurolearn.__version__}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def machine() -> str:
    """Operating system and processor family, such as "Linux x86_64"."""
    return f"{platform.system()} {platform.machine()}"


def command() -> list[str]:
    """The command line; of an absolute path only the last part."""
    return [without_folders(part) for part in sys.argv]


def manifest() -> dict:
    """With what numbers were made: {"when", "command", "versions", "machine", "git"}; stands beside published ones."""
    return {"when": now(), "command": command(), "versions": versions(), "machine": machine(), "git": git()}


def without_folders(text: str) -> str:
    """The text with every absolute path in it cut down to its last part."""
    return PATH.sub("", text)


@cache
def git() -> dict[str, dict]:
    """{"project": of the current folder, "neurolearn": of the package}, where these are under git: commit and dirty.

    dirty: tracked files differ from the commit. An installed package is not under git, even if its environment lies in a
    folder that is. Asked once in a process: later changes are not what it runs.
    """
    found, package = {}, Path(neurolearn.__file__).parent
    for name, folder in (("project", Path.cwd()), ("neurolearn", package)):
        if name == "neurolearn" and not _git(folder, "ls-files", "__init__.py"):
            continue
        lines = (_git(folder, "status", "--porcelain=v2", "--branch", "--untracked-files=no") or "").splitlines()
        commit = next((line.split()[-1] for line in lines if line.startswith("# branch.oid")), None)
        if commit:
            found[name] = {"commit": commit, "dirty": any(not line.startswith("#") for line in lines)}
    return found


def now() -> str:
    """UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _git(folder: Path, *words: str) -> str | None:
    """What git prints, or None where there is no git, no repository or no answer within ten seconds."""
    try:
        done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
