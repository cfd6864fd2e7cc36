"""Every script of analysis/ and models/: its smallest run draws a figure, its claim holds, its README names it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from conftest import ROOT

SCRIPTS = sorted(path for folder in ("analysis", "models") for path in (ROOT / folder).rglob("*.py"))


def run(path, *options, cwd):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
    return subprocess.run([sys.executable, str(path), *options], cwd=cwd, env=environment, capture_output=True, text=True,
                          timeout=240)


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
