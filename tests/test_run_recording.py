"""What a run records: the words that ask for it, and a recording that holds every instant once, whoever killed the run."""

from __future__ import annotations

import json
import os
import signal

import numpy as np
import pytest
from test_cli import refused
from test_recorders import same
from test_runs import SMALL

from neurolearn.circuit.recording.monitors import PopulationRateMonitor, SpikeMonitor, StateMonitor
from neurolearn.circuit.recording.playback import Recording
from neurolearn.errors import InputError
from neurolearn.runs.config import RunConfig
from neurolearn.runs.folder import RunFolder
from neurolearn.runs.record import Wish, wish
from neurolearn.training import online

RECORD = ["spikes:layer1", "rate:layer2.error every=0.01 name=top", "weights:W_2_1 only=0/1,2/2", "state:layer1.potential samples=-3:"]
RUN = {"rule": "feedback_alignment", "realisation": "circuit.spiking", "data": "yin_yang", "sizes": (4, 5, 3),
       "samples": 9, "segment": 3, "learning_rate": 0.05, "timing": {"settle": 20, "window": 20, "tau": 0.01}, "bias": 0.5,
       "weight_scale": 2.0, "evaluation": {"every": 2, "samples": 3, "final": 3}, "record": RECORD}  # fmt: skip
SECONDS = 0.04  # of a sample


@pytest.mark.parametrize("text, expected", [
    ("spikes:layer1", Wish("spikes", "layer1", ("rate",))),
    ("spikes:layer2.error only=1:4", Wish("spikes", "layer2", ("error",), only=(1, 2, 3))),
    ("rate:layer1 every=.01 samples=-3:", Wish("rate", "layer1", ("rate",), 0.01, samples=range(97, 100))),
    ("state:layer1.potential,rate every=sample name=a", Wish("state", "layer1", ("potential", "rate"), "sample", name="a")),
    ("weights:W_2_1 only=0/1,2/0 samples=::50", Wish("weights", "W_2_1", ("w",), "sample", ((0, 1), (2, 0)), range(0, 100, 50))),
])  # fmt: skip
def test_words_say_what_is_recorded(text, expected):
    assert wish(text, 100) == expected


@pytest.mark.parametrize("text, sentence", [
    ("spike:layer1", "record is 'spike:layer1'; did you mean 'spikes'?"),
    ("layer1", "record is 'layer1'; give KIND:GROUP, such as spikes:layer1"),
    ("spikes:layer1 each=3", "'each=3' is not one of every=, only=, samples=, name="),
    ("spikes:layer1 every=0.01", "every spike has its own time: leave every= out, or take rate:layer1"),
    ("rate:layer1 every=often", "every=often is no time: give seconds"),
    ("rate:layer1 only=a", "only=a names no cells"),
    ("state:layer1", "name a variable: state:GROUP.VARIABLE"),
    ("weights:W_1_0.w", "weights have no further name"),
    ("spikes:layer1 samples=5", "samples=5 is no slice of the run"),
    ("spikes:layer1 samples=2000:", "the run has 1000 samples, and none of them are in samples=2000:"),
])  # fmt: skip
def test_words_that_say_nothing_are_refused(text, sentence):
    with pytest.raises(InputError) as error:
        RunConfig(**SMALL, record=[text])
    assert sentence in str(error.value)


def test_a_recording_belongs_to_circuits_and_to_what_defines_a_run():
    with pytest.raises(InputError, match="which belongs to circuits"):
        RunConfig(**SMALL, realisation="tensor.rate", record=["spikes:layer1"])
    config = RunConfig(**RUN)
    assert json.loads(config.text())["record"] == RECORD and config.id() != config.but(record=[]).id()
    assert online.monitors(config) == [
        SpikeMonitor("layer1"), PopulationRateMonitor("layer2", "error", 0.01, name="top"),
        StateMonitor("W_2_1", ("w",), ((0, 1), (2, 2)), "sample"), StateMonitor("layer1", ("potential",), samples=range(6, 9)),
    ]  # fmt: skip


@pytest.mark.parametrize("record, sentence", [
    ("spikes:layer7", "the groups that send spikes are layer0, layer1, layer2"),
    ("weights:W_7_6", "there is no such group; there are layer0, layer1, layer2, B_1_2, W_1_0, W_2_1"),
    ("rate:layer1 every=0.007", "does not divide a sample of 0.04 s"),
])  # fmt: skip
def test_what_is_not_there_is_answered_with_what_is(record, sentence):
    with pytest.raises(InputError, match=sentence):
        online.OnlineTraining(RunConfig(**{**RUN, "record": [record]}))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """(training, folder of the run that nobody stopped, its recording)."""
    path, training = tmp_path_factory.mktemp("whole") / "run", online.OnlineTraining(RunConfig(**RUN))
    with RunFolder(path, training.config) as folder:
        online.run(training, folder)
    return training, folder, Recording(path / online.RECORDING)


def test_a_recording_holds_the_training_and_no_evaluation(whole):
    """Oracle: the cells' own counters, and the last weights of the checkpoint before the last sample learned."""
    training, folder, found = whole
    assert found.samples == 9 and found.seconds == pytest.approx(9 * SECONDS)
    t, i, sign = found.spikes("layer1")
    for side, name in ((1, "on"), (-1, "off")):
        counted = folder.latest().arrays[f"state:layer1.spikes_rate_{name}"]
        assert np.array_equal(np.bincount(i[sign == side], minlength=5), counted) and counted.any()
    t, w = found.states("W_2_1", "w")
    assert np.allclose(t, np.arange(1, 10) * SECONDS) and w.shape == (9, 2) and np.ptp(w) > 0
    assert np.array_equal(w[0], training.start["W_2_1"][[0, 2], [1, 2]])
    t, _ = found.states("layer1", "potential")
    assert t[0] == pytest.approx(6 * SECONDS + 1e-3) and len(t) == 3 * 40
    assert [found.time(n) for n in (0, 3, -1)] == pytest.approx([0, 3 * SECONDS, 8 * SECONDS])


@pytest.mark.parametrize("every, segment", [(1, 2), (3, 2)])
def test_a_killed_run_records_every_instant_once(whole, tmp_path, every, segment):
    """Oracle: the recording of the run that nobody killed, dataset by dataset. The kill comes after a segment was recorded and
    before its checkpoint; with ``every`` more segments are recorded than the checkpoint knows, or there is no checkpoint yet.
    """
    training, expected, recording = whole

    def kill(stage, row):
        if row.get("segment") == segment:
            os.kill(os.getpid(), signal.SIGKILL)

    def go_on(report=None):
        with RunFolder(tmp_path / "run", training.config) as folder:
            return folder.start, online.run(training, folder, every=every, report=report)

    child = os.fork()
    if not child:
        try:
            go_on(kill)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    left = Recording(tmp_path / "run" / online.RECORDING)
    assert left.samples == segment * 3
    (tmp_path / "run" / "recording.h5.partial").write_bytes(b"half")
    start, _ = go_on()
    done = start.segment if start else 0
    assert done == (segment - 1) // every * every < segment
    same(Recording(tmp_path / "run" / online.RECORDING), recording)
    assert not list((tmp_path / "run").glob("*.partial"))
    ours = RunFolder(tmp_path / "run", training.config)
    assert all(np.array_equal(ours.latest().arrays[n], v) for n, v in expected.latest().arrays.items())


def test_a_run_goes_on_with_what_it_records():
    assert "leave RULE, --config, --set and --record out" in refused("train", "--resume", "x", "--record", "spikes:layer1")
