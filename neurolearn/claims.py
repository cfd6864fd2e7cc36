"""Scripts that make a claim, those of models/ and analysis/: what they are asked on the command line, and what they answer."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

import torch


def parser(file: str, words: str, smoke: str) -> argparse.ArgumentParser:
    """Options of every such script: ``--out`` (the figure, out/NAME.png by default) and ``--smoke`` (its smallest run).

    file: of the script. words: its docstring, of which the first line is shown. smoke: what the smallest run does and asks.
    """
    found = argparse.ArgumentParser(description=words.splitlines()[0])
    found.add_argument("--out", type=Path, default=Path("out", f"{Path(file).stem}.png"), help="figure (default: %(default)s)")
    found.add_argument("--smoke", action="store_true", help=smoke)
    return found


def begin(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The options that were given; the folder of the figure is there, and torch keeps to one thread."""
    options = parser.parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    return options


def verdict(failures: Iterable[str]) -> int:
    """The exit code: 0 if the claim holds, 1 after one line on stderr for each way in which it does not."""
    failures = list(failures)
    for failure in failures:
        print(f"the claim fails: {failure}", file=sys.stderr)
    return int(bool(failures))
