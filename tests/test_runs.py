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
import warnings
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from neurolearn import rules, streams
from neurolearn.activations import NAMED
from neurolearn.changes import prepare
from neurolearn.errors import InputError, RunError
from neurolearn.network import mlp
from neurolearn.runs import RunConfig, RunFolder, checkpoint, provenance
from neurolearn.runs.identity import canonical, differences, digest
from neurolearn.timing import Timing

SMALL = {"rule": "feedback_alignment", "data": "digits", "sizes": [64, 32, 10], "samples": 1000, "learning_rate": 0.1}
ARRAYS = {"w": np.arange(6.0).reshape(2, 3), "n": np.array(7), "seen": np.array([True, False])}
FEW = settings(max_examples=40, deadline=None)


@pytest.fixture(scope="module")
def unsynchronised():
    """Nothing here loses its power: what is written need not reach the disk."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        yield


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


# -- checkpoints -------------------------------------------------------------------------------------------------------


ANY = st.dictionaries(
    st.text(min_size=1, max_size=8).filter(lambda name: name != "__metadata__"),
    st.sampled_from(["f8", "f4", "i8", "i4", "u1", "u8", "?", ">f8", ">i4"]).flatmap(
        lambda kind: hnp.arrays(kind, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    ),
    max_size=4,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=8,
)


@FEW
@given(arrays=ANY, meta=st.dictionaries(st.text(), JSON, max_size=3))
def test_arrays_and_meta_come_back_as_they_were(unsynchronised, tmp_path_factory, arrays, meta):
    """Bit for bit, not-a-number payloads and the sign of zero too; the shape of 0-d and empty arrays as well."""
    folder = tmp_path_factory.mktemp("checkpoint")
    odd = {f"{name}.T": value.T for name, value in arrays.items()} | {f"{n}[::2]": v[..., ::2] for n, v in arrays.items() if v.ndim}
    checkpoint.save(folder, arrays | odd, meta, segment=3)
    found = checkpoint.load(folder)
    assert (found.segment, found.meta) == (3, meta)
    assert set(found.arrays) == set(arrays | odd)
    for name, value in (arrays | odd).items():
        back = found.arrays[name]
        assert (back.shape, back.dtype) == (value.shape, value.dtype.newbyteorder("="))
        assert back.tobytes() == np.array(value, value.dtype.newbyteorder("="), order="C").tobytes()
        assert back.flags.writeable and back.flags.c_contiguous


def two(folder: Path, **options) -> Path:
    """Checkpoints after segments 1 and 2; the path of the second."""
    checkpoint.save(folder, {**ARRAYS, "w": ARRAYS["w"] - 1}, {"at": 1}, segment=1, **options)
    return checkpoint.save(folder, ARRAYS, {"at": 2}, segment=2, **options)


def test_the_last_two_are_kept_and_nothing_half_written(tmp_path):
    (tmp_path / "checkpoint-00000001.safetensors.partial").write_bytes(b"half")
    for segment in range(1, 6):
        checkpoint.save(tmp_path, ARRAYS, segment=segment)
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"checkpoint-0000000{n}.safetensors" for n in (4, 5)]


def test_whatever_byte_is_changed_or_cut_off_is_noticed(unsynchronised, tmp_path):
    """Every byte of the file, and every length: the checkpoint before it is what is found, with a warning that says so."""
    newest = two(tmp_path)
    whole = newest.read_bytes()
    damaged = [whole[:n] for n in range(len(whole))]
    damaged += [whole[:n] + bytes([whole[n] ^ 1 << n % 8]) + whole[n + 1:] for n in range(len(whole))]
    other_format = 0
    for data in [*damaged, whole + b"\0"]:
        newest.write_bytes(data)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            try:
                found = checkpoint.load(tmp_path)
            except RunError as error:
                assert "has format" in str(error)  # the one digit of the format: newer versions write another
                other_format += 1
                continue
        assert found.meta == {"at": 1} and np.array_equal(found.arrays["w"], ARRAYS["w"] - 1)
        assert "checkpoint-00000002.safetensors is damaged" in str(said[0].message)
        assert "goes on from checkpoint-00000001.safetensors" in str(said[0].message)
    assert other_format <= 2


def test_if_every_checkpoint_is_damaged_nothing_is_made_up(tmp_path):
    for path in (two(tmp_path), tmp_path / "checkpoint-00000001.safetensors"):
        path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(RunError, match=r"000002.safetensors is damaged.*000001.safetensors is damaged.*No checkpoint in .* whole"):
        checkpoint.load(tmp_path)


@pytest.mark.parametrize("what", ["config", "rule"])
def test_a_checkpoint_of_something_else_is_refused(tmp_path, what):
    """Not passed over for an older one: that would throw work away."""
    two(tmp_path, identity={"config": "a", "rule": "b"})
    with pytest.raises(RunError, match=rf"000002.safetensors belongs to another {what} \([ab], not c\): start the changed run"):
        checkpoint.load(tmp_path, {"config": "a", "rule": "b", what: "c"})


def test_a_checkpoint_of_a_newer_format_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "FORMAT", 2)
    two(tmp_path)
    monkeypatch.undo()
    with pytest.raises(RunError, match="has format 2, and this version of neurolearn reads format 1: go on with the version"):
        checkpoint.load(tmp_path)


@pytest.mark.parametrize(("arrays", "meta", "sentence"), [
    ({"x": np.array(["a"])}, {}, "the array 'x' is of type <U1, which a checkpoint cannot keep; make it float64"),
    ({"x": np.array([1j])}, {}, "complex128, which a checkpoint cannot keep"),
    ({"x": np.array([None])}, {}, "object, which a checkpoint cannot keep"),
    ({"": np.zeros(1)}, {}, "named ''; give it a name"),
    ({"__metadata__": np.zeros(1)}, {}, "named '__metadata__'"),
    ({}, {"x": np.zeros(1)}, "meta cannot be kept as JSON .*put arrays and numbers that are not finite among the arrays"),
    ({}, {"x": float("nan")}, "meta cannot be kept as JSON"),
])
def test_what_cannot_be_kept_exactly_is_refused(tmp_path, arrays, meta, sentence):
    with pytest.raises(InputError, match=sentence):
        checkpoint.save(tmp_path, arrays, meta, segment=1)
    assert not list(tmp_path.iterdir())


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
    ("0.1/3", "0.1/3"), ("x is in '/tmp/q/r', not here", "x is in 'r', not here"),
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


# -- configurations ------------------------------------------------------------------------------------------------------


POSITIVE = st.floats(1e-6, 1e6)
CONFIGS = st.fixed_dictionaries(
    {
        "rule": st.sampled_from(["backprop", "dynamic_inversion", "own/rules.py:mine"]),
        "data": st.sampled_from(["digits", "yin_yang"]),
        "sizes": st.lists(st.integers(1, 300), min_size=2, max_size=5),
        "samples": st.integers(1, 10**7),
        "learning_rate": POSITIVE | st.dictionaries(st.sampled_from(["W", "B", "*"]), POSITIVE),
    },
    optional={
        "activation": st.sampled_from(sorted(NAMED)), "seed": st.integers(0, 2**40), "segment": st.integers(1, 1000),
        "constants": st.dictionaries(st.sampled_from(["beta", "leak"]), st.floats(-1e3, 1e3)), "signed": st.booleans(),
        "plastic": st.sampled_from(["all", "readout", "none"]), "target": st.sampled_from(["numpy", "cython", "standalone"]),
        "timing": st.fixed_dictionaries({}, optional={
            "dt": st.floats(1e-5, 1e-3), "unit_rate": POSITIVE, "settle": st.just(3000),
            "taus": st.dictionaries(st.sampled_from(["W", "B.error"]), st.floats(0.002, 1))}),
        "evaluation": st.fixed_dictionaries({}, optional={"every": st.integers(1, 9), "samples": st.none() | st.integers(1, 99)}),
    },
)


@FEW
@given(CONFIGS, CONFIGS)
def test_configurations_survive_files_and_are_the_same_if_their_settings_are(tmp_path_factory, one, other):
    folder, config = tmp_path_factory.mktemp("config"), RunConfig(**one)
    (folder / "a.json").write_text(config.text())
    (folder / "b.json").write_text(json.dumps(one))
    (folder / "c.yaml").write_text(yaml.safe_dump(one))
    for name in ("a.json", "b.json", "c.yaml"):
        again = RunConfig.read(folder / name)
        assert again == config and again.id() == config.id() and hash(again) == hash(config)
    assert (RunConfig(**other).id() == config.id()) == (RunConfig(**other).settings() == config.settings())
    assert config.timing.timing(5) == replace(Timing(**one.get("timing", {})), seed=5)


@FEW
@given(st.integers(1, 10**4), st.integers(1, 10**4))
def test_the_segments_of_a_run_are_all_its_samples_once(samples, segment):
    config = RunConfig(**{**SMALL, "samples": samples, "segment": segment})
    assert [n for span in config.spans() for n in span] == list(range(samples))
    assert len(config.spans()) == config.segments and all(len(span) == segment for span in config.spans()[:-1])


def test_the_timing_of_a_run_has_all_settings_of_timing():
    assert {f.name for f in fields(Timing)} == set(type(RunConfig(**SMALL).timing).model_fields)
    assert RunConfig(**SMALL).timing.timing() == Timing()


@pytest.mark.parametrize(("change", "sentence"), [
    ({"rule": "feedback_aligment"}, "rule is 'feedback_aligment'; did you mean 'feedback_alignment'?"),
    ({"rule": "own.py"}, "rule is 'own.py', a file without the name of a rule; give path/to/file.py:name."),
    ({"data": "q"}, "data is 'q'; choose one of yin_yang, digits, mnist, fashion_mnist, cifar10."),
    ({"activation": "tan"}, "activation is 'tan'; did you mean 'tanh'?"),
    ({"sizes": [3]}, "sizes is [3]; give at least 2 values."),
    ({"sizes": [3, 0, 2]}, "sizes.1 is 0; give a number >= 1."),
    ({"learnig_rate": 2}, "there is no setting 'learnig_rate'; did you mean 'learning_rate'?"),
    ({"timing": {"tua": 3}}, "there is no setting 'timing.tua'; did you mean 'tau'?"),
    ({"timing": {"baseline": {"rat": 50}}}, "there is no setting 'timing.baseline.rat'; did you mean 'rate'?"),
    ({"timing": {"baseline": {"rate": -1}}}, "Baseline: rate is -1.0; it must be positive (SI units)."),
    ({"learning_rate": {"W": -1}}, "learning_rate.W is -1; give a number >= 0."),
    ({"learning_rate": float("nan")}, "learning_rate is nan; give a finite number."),
    ({"learning_rate": "fast"}, "learning_rate is 'fast'; give a number."),
    ({"samples": True}, "samples is True; give a whole number."),
    ({"samples": 2.5}, "samples is 2.5; give a whole number."),
    ({"samples": 0, "segment": -1}, "samples is 0; give a number >= 1. segment is -1; give a number >= 1."),
    ({"plastic": "some"}, "plastic is 'some'; choose 'all', 'readout' or 'none'."),
    ({"signed": "maybe"}, "signed is 'maybe'; give true or false."),
    ({"timing": {"dt": 0.02}}, "Timing: dt = 0.02 s is too coarse for the filter of 0.01 s; take dt at most half of it, and a tenth "
                               "where figures count."),
    ({"timing": {"settle": 150}}, "timing.settle is 150 and timing.window 1000; settle must be a multiple of window."),
    ({"placement": "cells", "realisation": "circuit.rate"},
     "placement is 'cells', which only circuit.spiking has, not circuit.rate; take 'unit'."),
    ({"target": "cython", "realisation": "tensor.rate"},
     "target is 'cython', which belongs to circuits, not to tensor.rate; leave it out."),
    ({"delays": {"W": 1e-3}, "realisation": "circuit.rate"},
     "delays is {'W': 0.001}, but circuit.rate sends no spikes; leave it out."),
])
def test_a_wrong_setting_is_a_sentence(change, sentence):
    with pytest.raises(InputError) as error:
        RunConfig(**{**SMALL, **change})
    assert str(error.value) == sentence


@pytest.mark.parametrize(("name", "text", "sentence"), [
    ("a.toml", "", "a.toml is no .json, .yaml or .yml file; give a configuration in one of these."),
    ("a.yaml", "seed: 1\nseed: 2", "a.yaml: 'seed' stands twice; keep one of them."),
    ("a.json", '{"seed": 1, "seed": 2}', "a.json: 'seed' stands twice; keep one of them."),
    ("a.yaml", "- 3", "a.yaml: give settings by name, such as rule: feedback_alignment."),
    ("a.yaml", "rule: !!python/object/apply:os.getcwd []", "a.yaml cannot be read: could not determine a constructor for the tag"),
    ("a.json", "{", "a.json cannot be read: Expecting property name"),
    ("a.yaml", "rule: backprop", "a.yaml: data is missing; give it a value. sizes is missing"),
])
def test_a_file_that_is_no_configuration_is_refused_by_name(tmp_path, name, text, sentence):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError) as error:
        RunConfig.read(tmp_path / name)
    assert str(error.value).startswith(sentence)


def test_a_file_that_is_not_there_is_refused_and_yaml_numbers_are_numbers(tmp_path):
    with pytest.raises(RunError, match=r"no\.yaml in .* could not be used: no such file"):
        RunConfig.read(tmp_path / "no.yaml")
    (tmp_path / "a.yaml").write_text(yaml.safe_dump({**SMALL, "learning_rate": None}).replace("null", "1e-3"))
    assert RunConfig.read(tmp_path / "a.yaml").learning_rate == 1e-3  # a text, for YAML


def test_a_configuration_does_not_change(tmp_path):
    config = RunConfig(**SMALL, constants={"beta": 1.0})
    with pytest.raises(TypeError, match=r"make another with config\.but"):
        config.constants["beta"] = 2.0
    with pytest.raises(ValueError, match="frozen"):
        config.seed = 2
    assert config.but(seed=2).seed == 2 and config.but(seed=2).id() != config.id()
    with pytest.raises(InputError, match="seed is -2"):
        config.but(seed=-2)
