"""``neurolearn draw``: what it writes, and what it refuses in one sentence."""

from __future__ import annotations

import json
import re

import pytest
from typer.testing import CliRunner

from neurolearn.cli import app


def run(*args: object):
    return CliRunner().invoke(app, ["draw", *map(str, args)], prog_name="neurolearn")


def test_the_command_writes_a_drawing_and_its_table(tmp_path, monkeypatch):
    """Oracle: the table and the size of the page that the functions give."""
    monkeypatch.chdir(tmp_path)
    done = run("feedback_alignment", "--sizes", "6-5-3", "--width", "120", "--parameters", "table.json")
    assert done.exit_code == 0, done.output
    assert done.stdout.split() == ["drawing:", "feedback_alignment.svg", "parameters:", "table.json"]
    svg = (tmp_path / "feedback_alignment.svg").read_text()
    assert float(re.search(r'width="([\d.]+)pt"', svg)[1]) == pytest.approx(120 / 25.4 * 72)
    assert "spiking circuit, one cell, one axon; 6-5-3 tanh" in svg
    read = json.loads((tmp_path / "table.json").read_text())
    counts = {row["name"]: row["synapses"] for s in read["sections"] if s["title"] == "Connectivity" for row in s["rows"]}
    assert counts == {"B_1_2": 15, "W_1_0": 30, "W_2_1": 15}
    assert run("feedback_alignment", "--kind", "rate", "--out", "rate.png").exit_code == 0
    assert (tmp_path / "rate.png").stat().st_size > 1000


@pytest.mark.parametrize(("args", "sentence"), [
    (["nonsense"], "RULE: there is no rule 'nonsense'"),
    (["backprop", "--out", "a.gif"], "--out is 'a.gif'; give a file that ends in .svg, .pdf, .png."),
    (["backprop", "--parameters", "a.doc"], "--parameters is 'a.doc'; give a file that ends in .md"),
    (["backprop", "--out", "no/a.svg"], "--out is 'no/a.svg', which lies in 'no', which is no folder"),
    (["backprop", "--kind", "analog"], "--kind is 'analog'; choose from rate, spiking."),
    (["backprop", "--placement", "rows"], "--placement is 'rows'; choose from unit, cells."),
    (["backprop", "--placement", "cells", "--kind", "rate"], "with --kind rate leave it out"),
    (["backprop", "--width", "wide"], "--width is 'wide'; give single, middle, double, or 40 to 1000 mm."),
    (["backprop", "--width", "nan"], "--width is 'nan'"),
    (["backprop", "--sizes", "3"], "--sizes is '3'"),
])
def test_what_the_command_refuses(args, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run(*args)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("neurolearn: ") and sentence in done.stderr
    assert not list(tmp_path.iterdir())


def test_the_help_of_the_command_names_its_options():
    text = run("--help").stdout
    words = ("RULE", "--kind", "--placement", "--sizes", "--activation", "--width", "--out", "--parameters", "Nordlie")
    assert not [word for word in words if word not in text]
    assert "neurolearn draw feedback_alignment" in text
