"""The command line: ``neurolearn rules``, ``draw``, ``compare``, ``train`` and ``verify``.

Exit codes: 0 all good, 1 a check failed, 2 the input cannot be used. Whatever goes wrong is one sentence on stderr; the
traceback is for those who ask for it with ``--debug``. No simulator is loaded before a command needs it.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from platform import python_version
from typing import Annotated

import typer
from typer.core import TyperGroup

from neurolearn import __version__
from neurolearn.cli.compare import compare
from neurolearn.cli.draw import draw
from neurolearn.cli.rules import rules
from neurolearn.cli.train import train
from neurolearn.cli.verify import verify
from neurolearn.errors import NeurolearnError

BAD_INPUT, INTERRUPTED = 2, 130
UsageError = typer.BadParameter.__bases__[0]  # typer's own from 0.26 on, click's before; neither is exported


class Commands(TyperGroup):
    """The commands; an error in any of them is a sentence and an exit code. ``--debug`` may stand anywhere."""

    def main(self, args: Sequence[str] | None = None, standalone_mode: bool = True, **extra) -> None:
        """Run a command line and leave with its exit code."""
        args = list(sys.argv[1:] if args is None else args)
        try:
            code = super().main(args=[arg for arg in args if arg != "--debug"], standalone_mode=False, **extra)
        except typer.Abort:
            code = INTERRUPTED
        except Exception as error:
            if "--debug" in args:
                traceback.print_exc()
            print(f"neurolearn: {sentence(error)}", file=sys.stderr)
            code = BAD_INPUT
        if code == INTERRUPTED:
            print("neurolearn: interrupted; nothing more was written.", file=sys.stderr)
        sys.exit(code if isinstance(code, int) else 0)


def sentence(error: Exception) -> str:
    """What went wrong and what to do about it."""
    if isinstance(error, NeurolearnError):
        return str(error)
    if isinstance(error, UsageError):
        command = error.ctx.command_path if error.ctx else "neurolearn"
        return f"{error.format_message().rstrip('.')}; see {command} --help."
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{str(error.filename)!r} cannot be used ({error.strerror}); check the path and its permissions."
    said = str(error).strip().split("\n")[0]
    what = f"{type(error).__name__}: {said}" if said else type(error).__name__
    return f"unexpected {what.rstrip('.')}. To see where it was raised, run the same command with --debug."


app = typer.Typer(
    cls=Commands,
    add_completion=False,
    rich_markup_mode=None,  # plain help: it wraps where a box would cut names off
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


def _show_version(wanted: bool) -> None:
    if not wanted:
        return
    others = [f"Python {python_version()}"]
    for name in ("torch", "brian2", "norse", "numpy"):
        try:
            others.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            others.append(f"no {name}")
    print(f"neurolearn {__version__} ({', '.join(others)})")
    raise typer.Exit


@app.callback(invoke_without_command=True)
def neurolearn(
    context: typer.Context,
    show_version: Annotated[bool, typer.Option(
        "--version", is_eager=True, callback=_show_version,
        help="Print the version, and those of Python and the simulators.")] = False,
    debug: Annotated[bool, typer.Option(
        "--debug", help="Print the traceback of an error too; may stand anywhere on the line.")] = False,
) -> None:
    """Learning rules written once, as equations, and run four ways: as rate and spiking circuits (Brian2) and as rate
    and spiking tensor programs (torch, Norse). Each way is held against the others and against backprop.

    Start with the list of rules, look at one and its circuit, compare it with backprop, then check it:

    \b
        neurolearn rules
        neurolearn rules feedback_alignment
        neurolearn draw feedback_alignment
        neurolearn compare --rules feedback_alignment --out first-look
        neurolearn verify --rules feedback_alignment

    Wherever a rule is named, path/to/file.py:name takes one of your own; nothing has to be registered. Exit codes: 0
    all good, 1 a check failed, 2 the input cannot be used.
    """
    if context.invoked_subcommand is None:
        print(context.get_help())


app.command(short_help="What each rule is, and what it asks of a brain.")(rules)
app.command(short_help="Draw the circuit of a rule, and write its table of parameters.")(draw)
app.command(short_help="Train a circuit online, inside the simulation; resume it after a crash.")(train)
app.command(short_help="Train rules; hold their four realisations against backprop.")(compare)
app.command(short_help="Check that the realisations agree and that stated limits hold.")(verify)


def main() -> None:
    """The entry point of the ``neurolearn`` command."""
    app(prog_name="neurolearn")
