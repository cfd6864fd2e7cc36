"""Where a command writes: tables for people, JSON for programs, progress on stderr so that neither is disturbed."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from math import isfinite
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from neurolearn.errors import InputError

WIDTH = 120  # columns, where there is no terminal to ask
QUIET = 10.0  # seconds between two lines of progress, where there is no terminal


class Output:
    """Tables on stdout, or on stderr if stdout is for JSON (``--json -``).

    Raises InputError if the JSON cannot be written where it should, before anything is computed.
    """

    def __init__(self, json_to: str | None = None):
        self.json_to = json_to
        if json_to == "":
            raise InputError("--json is empty; give a file, or - for stdout.")
        if json_to not in (None, "-"):
            path = Path(json_to)
            if path.is_dir() or not path.parent.is_dir():
                what = "is a folder" if path.is_dir() else f"lies in {str(path.parent)!r}, which is no folder"
                raise InputError(f"--json is {json_to!r}, which {what}; give a file in a folder that exists, or -.")
        self.console = _console(sys.stderr if json_to == "-" else sys.stdout)

    def print(self, *parts: object, style: str | None = None) -> None:
        """Print text or tables; a long text wraps at words."""
        self.console.print(*parts, style=style)

    def table(self, title: str, head: Sequence[str], rows: Iterable[Sequence[str | Text]], caption: str = "") -> None:
        """Print a table under its title; the caption explains its words.

        Cells wrap, but only at words; where the terminal is too narrow for that, every row becomes a paragraph.
        """
        rows = list(rows)
        widths = [max(_longest_word(str(cell)) for cell in column) for column in zip(head, *rows, strict=True)]
        widths[0] = max(len(str(row[0])) for row in [head, *rows])
        self.print(f"\n{title}", style="bold")
        if sum(widths) + 2 * len(widths) <= self.console.width:
            made = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
            for k, (column, width) in enumerate(zip(head, widths, strict=True)):
                made.add_column(column, no_wrap=k == 0, overflow="fold", min_width=width)
            for row in rows:
                made.add_row(*row)
            self.print(made)
        else:
            for row in rows:
                self._paragraph(head, row)
        if caption:
            self.print(caption, style="dim")

    def _paragraph(self, head: Sequence[str], row: Sequence[str | Text]) -> None:
        """A row as its first cell and, under it, the others that are not empty, each after its column's name."""
        self.print(row[0])
        said = [Text.assemble(f"{' '.join(column.split())}: " if column else "", cell)
                for column, cell in zip(head[1:], row[1:], strict=True) if str(cell)]
        if said:
            self.print(Padding(Text("; ").join(said), (0, 0, 0, 4)))

    def json(self, data: object) -> None:
        """Write the JSON, if it was asked for; what is not a finite number is null."""
        if self.json_to is None:
            return
        text = json.dumps(plain(data), indent=1, allow_nan=False, ensure_ascii=False)
        if self.json_to == "-":
            print(text)
            return
        try:
            Path(self.json_to).write_text(f"{text}\n", encoding="utf-8")
        except OSError as error:
            what = f"{self.json_to!r} cannot be written ({error.strerror})"
            raise InputError(f"--json: {what}; give another file.") from error


def _console(file) -> Console:
    width = None if file.isatty() or "COLUMNS" in os.environ else WIDTH
    return Console(file=file, width=width, markup=False, emoji=False, highlight=False)


def _longest_word(text: str) -> int:
    return max(map(len, text.split()), default=0)


@contextmanager
def progress() -> Iterator:
    """``report(stage, what, fraction)`` for a long computation: bars on a terminal, elsewhere a line now and then.

    What others print meanwhile goes to stderr: stdout is for results.
    """
    with redirect_stdout(sys.stderr):
        if not sys.stderr.isatty():
            yield _lines()
            return
        share = TextColumn("{task.percentage:>3.0f} %")
        columns = TextColumn("{task.description}"), BarColumn(), share, TimeElapsedColumn()
        with Progress(*columns, console=_console(sys.stderr), transient=True) as bars:
            tasks = {}

            def report(stage: str, what: str, fraction: float) -> None:
                if stage not in tasks:
                    tasks[stage] = bars.add_task(stage, total=1.0)
                bars.update(tasks[stage], completed=fraction, description=f"{stage}: {what}")

            yield report


def _lines():
    last = [-QUIET, ""]

    def report(stage: str, what: str, fraction: float) -> None:
        now = time.monotonic()
        if now - last[0] >= QUIET or stage != last[1]:
            last[:] = now, stage
            print(f"{stage} {fraction:4.0%} {what}", file=sys.stderr, flush=True)

    return report


def plain(value: object) -> object:
    """The value as JSON can say it: numbers that are not finite become null, arrays lists, paths text."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, set | frozenset):
        return sorted(map(plain, value), key=str)
    if hasattr(value, "tolist"):  # numpy and torch
        return plain(value.tolist())
    if isinstance(value, float):
        return value if isfinite(value) else None
    return str(value)


def one_thread() -> None:
    """Keep torch to one thread unless the environment says otherwise: these tensors are small, and threads only wait."""
    import os

    import torch

    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)
