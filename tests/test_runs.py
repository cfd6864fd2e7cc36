"""Runs that survive: killed at any moment, on a full disk, with damaged files, they end as if nothing had happened.

Oracles: the same numbers without any folder (``tests/killed.py``), the bytes that went in, and the settings that were given.
"""

from __future__ import annotations

import errno
import json
import os
import platform
import subprocess
import sys
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from hypothesis import settings

from neurolearn import rules, streams
from neurolearn.changes import prepare
from neurolearn.errors import RunError
from neurolearn.network import mlp
from neurolearn.runs import RunConfig, RunFolder, provenance
from neurolearn.runs.identity import canonical, differences, digest
from neurolearn.timing import Timing

SMALL = {"rule": "feedback_alignment", "data": "digits", "sizes": [64, 32, 10], "samples": 1000, "learning_rate": 0.1}
ARRAYS = {"w": np.arange(6.0).reshape(2, 3), "n": np.array(7), "seen": np.array([True, False])}
FEW = settings(max_examples=40, deadline=None)


# -- killed -----------------------------------------------------------------------------------------------------------


def script(folder: Path, *words: str) -> tuple[dict, str]:
    """What tests/killed.py prints, and what it says on stderr."""
    done = subprocess.run([sys.executable, str(Path(__file__).with_name("killed.py")), str(folder), *words],
                          env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def test_a_run_that_is_killed_at_random_moments_ends_bit_for_bit_as_if_it_had_not_been(tmp_path):
    found, _ = script(tmp_path, "moments", "1")
    assert found["same"] and found["kills"] >= 8
    assert set(found["codes"]) == {0, -9}
    assert found["ended"] == ["finished", "killed"]


def test_a_run_that_is_interrupted_keeps_its_last_checkpoint_and_goes_on_from_it(tmp_path):
    found, _ = script(tmp_path, "interrupts", "2")
    assert found["same"] and found["kills"] >= 8
    assert set(found["codes"]) == {0, 2}
    assert "interrupted" in found["ended"]


@pytest.mark.parametrize("stride", [0, 97, pytest.param(2, marks=pytest.mark.slow)])
def test_a_run_that_is_killed_at_any_line_or_within_any_file_ends_the_same(tmp_path, stride):
    """The points are the pieces in which files are written (stride 0: all of them) and the lines of neurolearn/runs."""
    found, _ = script(tmp_path, "points", str(stride))
    assert found["points"] > (1000 if stride else 20) and not found["bad"]
    assert found["codes"] == [-9]  # every point was reached


def test_a_full_disk_ends_the_run_with_a_sentence_and_costs_nothing_that_was_saved(tmp_path):
    found, said = script(tmp_path, "full")
    assert found["code"] == 1
    assert said.startswith("checkpoint-00000005.safetensors could not be written: file too large. What was saved")
    assert found["left"] == ["checkpoint-00000003.safetensors", "checkpoint-00000004.safetensors"]
    assert found["ended"].startswith("RunError: checkpoint-00000005")
    assert found["same"]


def test_two_processes_do_not_share_a_folder(tmp_path):
    found, said = script(tmp_path, "locked")
    assert (found["second"], found["third"], found["same"]) == (1, 0, True)
    assert f"in use by another process (number {found['first']}); wait until it has ended" in said


def test_a_folder_that_may_not_be_written_is_refused_with_a_sentence(tmp_path):
    found, said = script(tmp_path, "readonly")
    assert found["code"] == 1
    assert said.endswith("permission denied. Give a folder that you may write to, or change its permissions.\n")


def test_what_a_run_needs_loads_no_simulator():
    code = "import neurolearn.runs, sys; print([n for n in ('torch', 'brian2', 'norse', 'matplotlib') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr


# -- the folder --------------------------------------------------------------------------------------------------------


def begun(path: Path, config: RunConfig, rule=None, segments: int = 2) -> None:
    with RunFolder(path, config, rule) as run:
        run.carry(lambda: {"x": np.zeros(2)}, lambda n, s: ({"x": s["x"] + 1}, [{"n": n}]), segments)


def test_the_folder_says_with_what_the_run_was_made_and_nothing_about_the_place(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "train.py"), f"--out={tmp_path}/out", "--rate", "0.1"])
    begun(tmp_path / "run", RunConfig(**SMALL), rules.ALL["feedback_alignment"])
    folder = RunFolder(tmp_path / "run")
    session = folder.manifest()["sessions"][0]
    assert session["command"] == ["train.py", "--out=out", "--rate", "0.1"]
    assert session["versions"]["numpy"] == np.__version__ and session["versions"]["python"] == platform.python_version()
    assert session["ended"] == "finished" and session["finished"] >= session["started"]
    assert (folder.manifest()["seed"], folder.manifest()["config"]) == (0, RunConfig(**SMALL).id())
    assert RunConfig.read(tmp_path / "run/config.json") == RunConfig(**SMALL)
    assert folder.metrics() == [{"n": 0}, {"n": 1}] and np.array_equal(folder.latest().arrays["x"], [2.0, 2.0])
    everything = "".join(path.read_text(errors="replace") for path in (tmp_path / "run").iterdir())
    for place in (str(tmp_path), str(Path.home()), platform.node()):
        assert place not in everything


@pytest.mark.parametrize(("before", "after"), [
    ("/home/someone/a b/c.py", "c.py"), ("--out=/data/x/y", "--out=y"), ("C:\\Users\\me\\run.py", "run.py"), ("a/b.py", "a/b.py"),
    ("0.1/3", "0.1/3"), ("x is in '/data/q/r', not here", "x is in 'r', not here"),
])
def test_absolute_paths_are_cut_to_their_last_part(before, after):
    cut = provenance.without_folders(before)
    assert cut == after or (" " in before and "/home" not in cut and "someone" not in cut)


def test_another_configuration_or_rule_is_refused_with_what_is_different(tmp_path):
    config, rule = RunConfig(**SMALL), rules.ALL["feedback_alignment"]
    begun(tmp_path, config, rule)
    with pytest.raises(RunError, match=r"another configuration: learning_rate was 0\.1 and is 0\.2\. Start the changed run"):
        begun(tmp_path, config.but(learning_rate=0.2), rule)
    with pytest.raises(RunError, match=r"another rule: Rule\.hidden was error = .* and is error = 1\.0\*slope"):
        begun(tmp_path, config, replace(rule, hidden=rule.hidden.replace("slope", "1.0*slope")))
    begun(tmp_path, config, replace(rule, reference="another page"))  # says nothing about what runs
    assert [s["from_segment"] for s in RunFolder(tmp_path).manifest()["sessions"]] == [0, 2]


def test_a_rule_in_a_file_may_move_with_its_folder(tmp_path):
    begun(tmp_path, RunConfig(**{**SMALL, "rule": "here/own.py:mine"}))
    begun(tmp_path, RunConfig(**{**SMALL, "rule": "there/own.py:mine"}))
    with pytest.raises(RunError, match=r"rule was here/own\.py:mine and is here/own\.py:yours"):
        begun(tmp_path, RunConfig(**{**SMALL, "rule": "here/own.py:yours"}))


def test_metrics_that_were_shortened_or_changed_are_noticed(tmp_path):
    begun(tmp_path, RunConfig(**SMALL))
    lines, path = (tmp_path / "metrics.jsonl").read_bytes(), tmp_path / "metrics.jsonl"
    for data, sentence in ((lines[:9], "lines are missing"), (b" " + lines, "was changed since the last checkpoint")):
        path.write_bytes(data)
        with pytest.raises(RunError, match=sentence):
            begun(tmp_path, RunConfig(**SMALL), segments=3)
    path.write_bytes(lines + b'{"n": 2}\n{"n"')  # logged after the checkpoint, the last line torn
    assert RunFolder(tmp_path).metrics()[-1] == {"n": 2}
    begun(tmp_path, RunConfig(**SMALL), segments=3)
    assert path.read_bytes() == lines + b'{"n": 2}\n'


def test_a_number_that_is_not_finite_is_null_in_the_metrics(tmp_path):
    with RunFolder(tmp_path, RunConfig(**SMALL)) as run:
        run.log({"loss": np.float32("nan"), "angle": {"W": np.float64(0.5)}, "rates": np.array([1.0, np.inf]), "n": np.int64(3)})
    assert RunFolder(tmp_path).metrics() == [{"loss": None, "angle": {"W": 0.5}, "rates": [1.0, None], "n": 3}]


def test_an_error_in_the_run_is_noted_and_other_software_is_warned_of(tmp_path, monkeypatch):
    with pytest.raises(ZeroDivisionError), RunFolder(tmp_path, RunConfig(**SMALL)):
        _ = 1 / 0
    monkeypatch.setattr(provenance, "versions", lambda: {"numpy": "9.9"})
    with pytest.warns(UserWarning, match=r"goes on with other software: .*versions\.numpy was .* and is 9\.9"):
        begun(tmp_path, RunConfig(**SMALL))
    ended = [session["ended"] for session in RunFolder(tmp_path).manifest()["sessions"]]
    assert ended == ["ZeroDivisionError: division by zero", "finished"]


def test_a_step_finds_its_arrays_laid_out_as_after_a_resume(tmp_path):
    """A matrix product may round otherwise if its matrix is stored by columns."""
    orders = []

    def step(number, state):
        orders.append(state["w"].flags.c_contiguous)
        return {"w": np.asfortranarray(state["w"] + 1)}, []

    with RunFolder(tmp_path, RunConfig(**SMALL)) as run:
        run.carry(lambda: {"w": np.zeros((3, 2), order="F")}, step, 3)
    assert orders == [True] * 3


def test_of_a_line_that_the_disk_has_no_room_for_nothing_stays(tmp_path):
    with RunFolder(tmp_path, RunConfig(**SMALL)) as run:
        run.log({"n": 0})
        whole, real = run._metrics.file.write, run._metrics.file

        class Full:
            def __getattr__(self, name):
                return getattr(real, name)

            def write(self, data):
                if len(data) < 8:
                    raise OSError(errno.ENOSPC, "No space left on device")
                return whole(data[:3])

        run._metrics.file = Full()
        with pytest.raises(RunError, match=r"metrics\.jsonl could not be written: no space left on device.*make room"):
            run.log({"n": 1})
        run._metrics.file = real
        run.log({"n": 2})
    assert (tmp_path / "metrics.jsonl").read_text() == '{"n": 0}\n{"n": 2}\n'


def test_a_circuit_goes_on_from_its_folder_as_if_it_had_not_stopped(tmp_path):
    """Oracle: the circuit that ran all segments in one process; weights and whatever the folder keeps, bit for bit."""
    from neurolearn.circuit.online import Online

    rule, network = rules.ALL["feedback_alignment"], mlp([3, 4, 2])
    x, teacher = np.random.default_rng(0).random((6, 3)), np.eye(2)[[0, 1, 1, 0, 1, 0]]
    program, weights, _ = prepare(rule, network, x, teacher)
    config = RunConfig(**{**SMALL, "sizes": [3, 4, 2], "samples": 6, "segment": 2})

    def circuit() -> Online:
        return Online(program, weights, Timing(settle=20, window=20), samples=2)

    def step(built):
        def segment(number, arrays):
            built.load({n[2:]: v for n, v in arrays.items() if n[:2] == "w/"}, {n[2:]: v for n, v in arrays.items() if n[:2] == "s/"})
            some = slice(2 * number, 2 * number + 2)
            built.run(streams.given(program, x[some], teacher[some]), 0.1)
            return {f"w/{n}": v for n, v in built.weights.items()} | {f"s/{n}": v for n, v in built.state.items()}, []
        return segment

    def begin():
        return {f"w/{n}": v for n, v in weights.items()}

    with RunFolder(tmp_path / "whole", config, rule) as run:
        whole = run.carry(begin, step(circuit()), 3)
    for segments in (2, 3):
        with RunFolder(tmp_path / "parts", config, rule) as run:
            parts = run.carry(begin, step(circuit()), segments)
    assert set(parts) == set(whole) and len(parts) > 10
    assert all(parts[name].tobytes() == whole[name].tobytes() for name in whole)
    assert not np.array_equal(whole["w/W_1_0"], weights["W_1_0"])


@dataclass
class Drawn:
    """An initialiser of a user's own."""

    scale: float

    def __call__(self, rng, shape):
        return self.scale * rng.random(shape)


def test_rules_are_told_apart_by_their_text_alone():
    """Every rule of the catalogue by itself; and what the digest is made of does not depend on the process."""
    every = {name: digest(rule) for name, rule in rules.ALL.items()}
    assert len(set(every.values())) == len(every)
    code = "from neurolearn import rules; from neurolearn.runs.identity import digest; import json\n" \
           "print(json.dumps({n: digest(r) for n, r in rules.ALL.items()}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60,
                          env={**os.environ, "PYTHONHASHSEED": "7"})
    assert json.loads(done.stdout) == every, done.stderr
    makers = [lambda scale: lambda rng, shape: scale * rng.random(shape), lambda scale: partial(Drawn, scale), Drawn]
    for make in makers:
        assert digest(make(1.0)) == digest(make(1.0)) != digest(make(2.0))
    assert differences(canonical("a\nb\nc"), canonical("a\nB\nc"), "hidden") == ["line 2 of hidden was 'b' and is 'B'"]
