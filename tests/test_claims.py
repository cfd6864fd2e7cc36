"""claims: what the scripts of models/ and analysis/ are asked, and the exit code with which they answer."""

from __future__ import annotations

import sys

import pytest
import torch

from neurolearn import claims


def given(monkeypatch, *words: str):
    monkeypatch.setattr(sys, "argv", ["a_claim.py", *words])
    return claims.begin(claims.parser("models/a_claim.py", "One line.\n\nAnd more.", "a smaller one"))


def test_the_figure_goes_into_a_folder_that_is_made(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    options = given(monkeypatch)
    assert options.out.as_posix() == "out/a_claim.png"
    assert (tmp_path / "out").is_dir()
    assert not options.smoke
    assert given(monkeypatch, "--smoke", "--out", str(tmp_path / "deep/down/x.png")).smoke
    assert (tmp_path / "deep/down").is_dir()


def test_a_script_keeps_to_one_thread(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        given(monkeypatch)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_the_help_shows_the_first_line_alone(monkeypatch, capsys):
    with pytest.raises(SystemExit):
        given(monkeypatch, "--help")
    said = capsys.readouterr().out
    assert "One line." in said
    assert "a smaller one" in said
    assert "And more" not in said


@pytest.mark.parametrize(("failures", "code"), [([], 0), (["too far", "too late"], 1), (iter(["too far"]), 1)])
def test_a_verdict_says_every_failure_and_is_the_exit_code(failures, code, capsys):
    assert claims.verdict(failures) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("the claim fails: ") == (2 if isinstance(failures, list) and failures else code)
