"""Every script of analysis/ and models/: its smallest run draws a figure, its claim holds, its README names it."""

from __future__ import annotations

import os
import runpy
import sys
import traceback
from types import SimpleNamespace

import brian2  # noqa: F401  (what the scripts import takes longer than most of them)
import matplotlib.pyplot  # noqa: F401
import pytest
import sklearn.datasets  # noqa: F401
from conftest import ROOT

SCRIPTS = sorted(path for folder in ("analysis", "models") for path in (ROOT / folder).rglob("*.py"))


def run(path, *options, cwd):
    """Run a script as Python would, in a process forked from this one: what it imports is there already."""
    said = {name: (cwd / f"{name}.txt").open("w+") for name in ("stdout", "stderr")}
    child = os.fork()
    if not child:
        code = 70
        try:
            os.chdir(cwd)
            for number, file in enumerate(said.values(), 1):
                os.dup2(file.fileno(), number)
            sys.stdout, sys.stderr = (open(number, "w", closefd=False) for number in (1, 2))
            sys.argv, sys.path[0] = [str(path), *options], str(path.parent)
            code = script(path)
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    found = {}
    for name, file in said.items():
        file.seek(0)
        found[name] = file.read()
        file.close()
    return SimpleNamespace(returncode=os.waitstatus_to_exitcode(status), **found)


def script(path) -> int:
    """The exit code of a script that is run here."""
    try:
        runpy.run_path(str(path), run_name="__main__")
    except SystemExit as ended:
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_the_smoke_run_draws_and_keeps_its_claim(path, tmp_path):
    done = run(path, "--smoke", "--out", "figure.png", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    assert "figure: figure.png" in done.stdout


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_the_readme_of_its_folder_names_the_command(path):
    folder = path.relative_to(ROOT).parts[0]
    assert f"python {path.relative_to(ROOT).as_posix()}" in (ROOT / folder / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("options", "sentence"), [
    (("--rules", "no_such_rule"), "there is no rule 'no_such_rule'"),
    (("--steps", "1000"), "two numbers or more"),
])
def test_the_rate_limit_refuses_what_it_cannot_use(options, sentence, tmp_path):
    done = run(ROOT / "analysis/rate_limit.py", *options, cwd=tmp_path)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
