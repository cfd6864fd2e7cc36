"""Training a circuit while it runs: the stream, the switch, what is scored, and a run that is stopped and goes on."""

from __future__ import annotations

import json

import numpy as np
import pytest
from test_cli import good, refused

from neurolearn import streams
from neurolearn.runs.config import RunConfig
from neurolearn.runs.folder import RunFolder
from neurolearn.training import online

BASE = {"rule": "feedback_alignment", "realisation": "circuit.rate", "data": "yin_yang", "sizes": (4, 6, 5, 3),
        "samples": 12, "segment": 4, "learning_rate": {"*": 0.05}, "timing": {"settle": 100},
        "evaluation": {"samples": 8, "final": 8}, "bias": 0.5, "weight_scale": 2.0}  # fmt: skip


@pytest.fixture(scope="module")
def training():
    made = online.OnlineTraining(RunConfig(**BASE))
    yield made
    made.close()


def test_the_stream_is_the_training_split_shuffled_pass_after_pass(training):
    """Oracle: every sample once per pass, by the streams' own generator; cuts make no difference."""
    size = len(training.dataset.x_train)
    indices, passes = training.stream.indices(range(2 * size))
    assert sorted(indices[:size]) == sorted(indices[size:]) == list(range(size))
    assert np.array_equal(indices[:size], streams.stream(0, "order", 1).permutation(size))
    assert not np.array_equal(indices[:size], indices[size:])
    assert set(passes[:size]) == {1} and set(passes[size:]) == {2}
    given, teachers = training.stream.given(training.program, range(size - 2, size + 2))
    assert np.array_equal(given["data_0"], training.dataset.x_train[indices[size - 2 : size + 2]])
    assert np.array_equal(teachers, training.dataset.y_train[indices[size - 2 : size + 2]])


def test_weights_begin_as_the_config_says(training):
    """Oracle: the weights that the same seed gives unscaled, doubled; feedback as drawn; biases of that spread."""
    plain = online.OnlineTraining(RunConfig(**{**BASE, "weight_scale": 1.0, "bias": 0.0}))
    assert np.array_equal(training.start["W_2_1"], 2 * plain.start["W_2_1"])
    assert np.array_equal(training.start["B_1_2"], plain.start["B_1_2"])
    assert not plain.start["b_1"].any()
    assert 0.1 < np.std(np.concatenate([training.start[f"b_{k}"] for k in (1, 2, 3)])) < 1


@pytest.mark.parametrize("plastic, learns", [
    ("all", {"W_1_0", "W_2_1", "W_3_2", "b_1", "b_2", "b_3"}), ("readout", {"W_3_2", "b_3"}), ("none", set()),
])  # fmt: skip
def test_one_switch_says_what_learns(plastic, learns):
    """Oracle: equality to the last bit."""
    made = online.OnlineTraining(RunConfig(**{**BASE, "plastic": plastic}))
    after, _ = made.step(0, made.begin())
    assert {n for n, w in made.start.items() if not np.array_equal(after[f"weight:{n}"], w)} == learns


def test_measuring_leaves_no_trace(training):
    """Oracle: the same segments with and without an evaluation between them."""
    first, _ = training.step(0, training.begin())
    training.evaluate("validation", 6)
    measured, rows = training.step(1, first)
    again = online.OnlineTraining(RunConfig(**{**BASE, "evaluation": {"every": 9, "samples": 8}}))
    plain, unmeasured = again.step(1, again.step(0, again.begin())[0])
    assert all(np.array_equal(measured[n], plain[n]) for n in plain)
    assert "valid_accuracy" in rows[0] and "valid_accuracy" not in unmeasured[0]


def test_a_silent_layer_is_named_while_it_trains():
    """Oracle: without weights into the first layer, nothing above the input ever fires."""
    from neurolearn.circuit.guards.seen import Guards
    from neurolearn.errors import SimulationError

    spiking = {"realisation": "circuit.spiking", "bias": 0.0, "weight_scale": 1e-9,
               "timing": {"settle": 40, "window": 40}, "samples": 2, "segment": 2}  # fmt: skip
    made = online.OnlineTraining(RunConfig(**{**BASE, **spiking}), guards=Guards(silence="raise"))
    with pytest.raises(SimulationError, match="layer1"):
        made.step(0, made.begin())


def test_wilson_against_the_roots_that_define_it():
    r"""Oracle: $p$ with $(\hat p - p)^2 = z^2 p (1 - p) / n$, by polynomial roots."""
    for hits, count in ((0, 10), (7, 10), (355, 360)):
        z, share = 1.959963984540054, hits / count
        roots = np.roots([1 + z**2 / count, -(2 * share + z**2 / count), share**2])
        assert np.allclose(online.wilson(hits, count), sorted(roots.real), atol=1e-9)


def test_scores_count_the_largest_output(training):
    outputs, teachers = np.array([[1.0, 2, 0], [3, 1, 1], [0, 0, 1]]), np.eye(3)[[1, 0, 0]]
    found = online.scored("test", outputs, teachers, training.dataset)
    assert found["test_accuracy"] == pytest.approx(2 / 3)
    assert found["test_interval"] == online.wilson(2, 3)


def test_a_run_that_is_stopped_goes_on_to_the_same_end(tmp_path, training):
    """Oracle: the run without a stop; weights, metrics and result to the last bit."""
    config = RunConfig(**BASE)
    with RunFolder(tmp_path / "whole", config) as folder:
        whole = online.run(training, folder)

    class Stopped(Exception):
        pass

    def stop(stage, row):
        if row.get("segment") == 2:
            raise Stopped

    with pytest.raises(Stopped), RunFolder(tmp_path / "cut", config) as folder:
        online.run(training, folder, report=stop)
    fresh = online.OnlineTraining(config)
    with RunFolder(tmp_path / "cut", config) as folder:
        assert folder.start.segment == 1
        assert online.run(fresh, folder) == whole
    a, b = (RunFolder(tmp_path / name, config) for name in ("whole", "cut"))
    assert a.metrics() == b.metrics()
    assert all(np.array_equal(b.latest().arrays[n], v) for n, v in a.latest().arrays.items())
    assert json.loads((tmp_path / "cut" / "result.json").read_text()) == whole


def test_the_command_trains_shows_its_control_and_goes_on(tmp_path):
    words = ["train", "feedback_alignment", "--realisation", "circuit.rate", "--sizes", "4-6-3", "--samples", "8",
             "--target", "numpy", "--set", "segment=4", "--set", "timing.settle=60", "--set", "evaluation.samples=4",
             "--set", "evaluation.final=8", "--out", str(tmp_path / "run"), "--json", str(tmp_path / "out.json")]  # fmt: skip
    shown = good(*words).stdout
    assert all(word in shown for word in ("readout_only", "linear", "Wilson"))
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["results"]["run"]["samples"] == 8
    assert (tmp_path / "run" / "learning.png").stat().st_size > 5000
    good("train", "--resume", tmp_path / "run")
    assert "learning_rate" in refused(*words[:-2], "--rate", "0.3")


@pytest.mark.parametrize("words, sentence", [
    (["feedback_alignment", "--rate", "-1"], "--rate is '-1'; give a positive number"),
    (["feedback_alignment", "--set", "foo=1"], "no setting 'foo'"),
    (["feedback_alignment", "--set", "foo"], "--set is 'foo'; give NAME=VALUE"),
    (["feedback_alignment", "--guard", "sound=warn"], "--guard is 'sound'; choose from nan, saturation"),
    (["feedback_alignment", "--guard", "silence=maybe"], "silence is 'maybe'; choose one of raise, warn, ignore"),
    (["feedback_alignment", "--data", "mnist"], "--sizes is needed for mnist"),
    (["feedback_alignment", "--set", 'segment="a"'], "segment is 'a'; give a whole number"),
    (["--resume", "nowhere"], "holds no run"),
    (["--resume", "nowhere", "--rate", "0.3"], "--resume goes on with a run as it is; leave --rate out"),
    (["--resume", "nowhere", "--samples", "4"], "leave --samples out"),
    ([], "which rule?"),
])  # fmt: skip
def test_bad_words_get_a_sentence(words, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert sentence in refused("train", *words)
    assert not list(tmp_path.iterdir())
