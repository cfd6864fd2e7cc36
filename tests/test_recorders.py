"""What recorders tell, against Brian2's own monitors added by hand; and recordings that outlive what wrote them."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import recorded
from recorded import CELLS, DT, SAMPLE, SAMPLES

from neurolearn import rules, streams
from neurolearn.changes import prepare
from neurolearn.circuit.online import Online
from neurolearn.circuit.recording import playback
from neurolearn.circuit.recording.monitors import PopulationRateMonitor, SpikeMonitor, StateMonitor, listen
from neurolearn.circuit.recording.recorder import COLUMNS, Recorder, reading
from neurolearn.errors import InputError, RunError
from neurolearn.network import mlp
from neurolearn.timing import Timing

TIMING = Timing(dt=1e-3, tau=10e-3, settle=15, window=15, unit_rate=400)
STEPS = 30  # of a sample
STATE = ["I_B_error_above", "potential", "mean_error"]
MONITORS = (
    SpikeMonitor("layer1"),
    SpikeMonitor("layer2", "error", record=[1], samples=range(1, 6, 2)),
    StateMonitor("layer1", STATE, record=[2, 0]),
    StateMonitor("layer1", "potential", every=5e-3, samples=range(2, 5), name="coarse"),
    StateMonitor("W_2_1", "w", record=[(1, 2), (0, 0)], every="sample"),
    PopulationRateMonitor("layer1", every=5e-3),
)


def learner(monitors=(), target="numpy", kind="spiking", samples=3, cache=None):
    """A circuit of segments of ``samples`` samples, and six samples for it."""
    network, rng = mlp([2, 3, 2, 2], "tanh"), np.random.default_rng(0)
    x, teacher = rng.normal(size=(6, 2)), rng.normal(size=(6, 2))
    program, weights, _ = prepare(rules.get("feedback_alignment"), network, x[:1], teacher[:1])
    circuit = Online(program, weights, TIMING, kind, samples=samples, monitors=monitors, target=target, cache=cache)

    def given(first: int, last: int):
        some = np.arange(first, last)
        return streams.given(program, x[some], teacher[some], 0, 0, indices=some)

    return circuit, given


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """(circuit with recorders, circuit without, recording, what Brian2's monitors found by hand, per segment)."""
    from brian2 import EventMonitor
    from brian2 import StateMonitor as Bare

    (watched, given), (bare, _) = learner(MONITORS), learner()
    things, network = watched.engine.objects, watched.engine.network
    clock = things["layer1"].clock
    hand = {f"{g}.{e}": EventMonitor(things[g], e) for g in ("layer1", "layer2") for e in things[g].events if e != "spike"}
    # at the end of step m - 1 there is what there is just before step m, whatever the slow clock does in between
    hand["layer1"] = Bare(things["layer1"], STATE, record=True, clock=clock, when="end")
    hand["W_2_1"] = Bare(things["W_2_1"], "w", record=True, clock=clock, when="end")
    network.add(*hand.values())
    path = tmp_path_factory.mktemp("recorded") / "run.h5"
    recorder, raw, heard = Recorder(path, watched), [], dict.fromkeys(hand, 0)
    for first in (0, 3):
        recorder.append(watched.run(given(first, first + 3), 0.3))
        bare.run(given(first, first + 3), 0.3)
        raw.append({name: _columns(monitor, heard[name]) for name, monitor in hand.items()})
        heard = {name: len(monitor.t) for name, monitor in hand.items()}
    return watched, bare, playback.Recording(path), raw


def _columns(monitor, start: int) -> dict[str, np.ndarray]:
    """What a monitor found from record ``start`` on."""
    if hasattr(monitor, "event"):
        return {"t": np.array(monitor.t_)[start:], "i": np.array(monitor.i)[start:]}
    return {v: np.array(getattr(monitor, v))[:, start:].T for v in monitor.record_variables}


def test_recorders_change_no_bit_of_what_is_learned(both):
    watched, bare, *_ = both
    assert all(np.array_equal(watched.weights[name], value) for name, value in bare.weights.items())
    assert all(np.array_equal(watched.state[name], value) for name, value in bare.state.items())
    assert np.abs(bare.weights["W_2_1"] - bare.plan.synapses[-1].w[0]).max() > 0


def test_spikes_are_those_of_brians_own_monitor_and_of_the_cells_counters(both):
    watched, _, found, raw = both
    t, i, sign = found.spikes("layer1", "rate")
    for side, name in ((1, "rate_on"), (-1, "rate_off")):
        # a segment ends with one step more than its samples have, and the next starts where the samples ended
        brian = [(n, s, c) for n, one in enumerate(raw) for s, c in zip(*one[f"layer1.{name}"].values(), strict=True)]
        oracle = [(n * 3 * STEPS + round(s / 1e-3), c) for n, s, c in brian]
        mine = zip(np.round(t[sign == side] / 1e-3).astype(int), i[sign == side], strict=True)
        assert sorted(mine) == sorted(oracle)
        assert np.array_equal(np.bincount(i[sign == side], minlength=3), watched.state[f"layer1.spikes_{name}"])
    assert len(t) > 20 and np.all(np.diff(t) >= 0)


def test_cells_and_samples_of_a_recorder_are_the_only_ones_kept(both):
    *_, found, raw = both
    t, i, sign = found.spikes("layer2", "error")
    wanted = []
    for n, one in enumerate(raw):
        for name, side in (("error_on", 1), ("error_off", -1)):
            for s, c in zip(*one[f"layer2.{name}"].values(), strict=True):
                step = round(s / 1e-3)
                sample = 3 * n + min(step // STEPS, 2)
                wanted += [(n * 3 * STEPS + step, side)] * int(c == 1 and sample % 2 == 1)
    assert sorted(zip(np.round(t / 1e-3).astype(int), sign.astype(int), strict=True)) == sorted(wanted) and len(wanted) > 3
    assert set(i) == {1}
    t, values = found.states("coarse", "potential")
    steps = np.arange(2 * STEPS + 5, 5 * STEPS + 1, 5)
    assert np.array_equal(np.round(t / 1e-3), steps)
    oracle = np.concatenate([one["layer1"]["potential"][: 3 * STEPS] for one in raw])
    assert np.array_equal(values, oracle[steps - 1])


def test_states_are_those_just_before_each_step(both):
    *_, found, raw = both
    for variable in STATE:
        t, values = found.states("layer1", variable)
        oracle = np.concatenate([one["layer1"][variable][: 3 * STEPS] for one in raw])
        assert np.array_equal(np.round(t / 1e-3), np.arange(1, 6 * STEPS + 1))
        assert np.array_equal(values, oracle[:, [2, 0]]) and np.ptp(values) > 0


def test_weights_are_those_with_which_each_sample_ran(both):
    watched, _, found, raw = both
    t, values = found.states("W_2_1", "w")
    about, oracle = found.about("states/W_2_1/w"), np.concatenate([one["W_2_1"]["w"][: 3 * STEPS] for one in raw])
    assert about["to"].tolist() == [1, 0] and about["from"].tolist() == [2, 0] and about["unit"] == "1"
    assert np.array_equal(values, oracle[STEPS - 1 :: STEPS][:, about["index"]])
    assert np.allclose(t, np.arange(1, 7) * STEPS * 1e-3) and np.abs(values[-1] - watched.weights["W_2_1"][[1, 0], [2, 0]]).max() > 0


def test_in_a_long_segment_too_a_record_comes_before_the_read(both):
    """3000 samples: the clocks are less than 1e-4 of a step apart where they meet, which Brian2 takes as the same instant."""
    from brian2 import second

    circuit, given = learner([StateMonitor("layer1", "mean_error", every="sample"), MONITORS[4]], samples=3000)
    circuit.engine.duration = (3 * STEPS + 0.5) * 1e-3 * second
    found = circuit.run(given(0, 3), 0.3)
    for track, index in zip(circuit.tracks, (slice(None), both[2].about("states/W_2_1/w")["index"]), strict=True):
        oracle = both[3][0][track.group][track.what][STEPS - 1 :: STEPS][:3, index]
        assert np.array_equal(track.rows(found.recordings, 3, 0)["value"], oracle) and np.ptp(oracle) > 0


def test_population_rates_are_spikes_counted_in_bins(both):
    *_, found, raw = both
    t, hz = found.rates("layer1")
    counts = np.zeros(36)
    for n, one in enumerate(raw):
        for name in ("rate_on", "rate_off"):
            for s in one[f"layer1.{name}"]["t"]:
                counts[18 * n + min(round(s / 1e-3) // 5, 17)] += 1
    assert np.allclose(hz, counts / (6 * 5e-3)) and np.allclose(t, np.arange(1, 37) * 5e-3) and hz.max() > 0


@pytest.mark.slow  # two compilers
@pytest.mark.timeout(1800)
# A compiled target cannot be asked for without a compiler, and neurolearn works without one.
@pytest.mark.skipif(not shutil.which("g++"), reason="compiled targets need a C++ compiler (g++), and there is none")
@pytest.mark.parametrize("target", ["cython", "standalone"])
def test_every_target_records_the_same(both, tmp_path, target):
    watched, given = learner(MONITORS, target, cache=tmp_path)
    recorder = Recorder(tmp_path / "run.h5", watched)
    for first in (0, 3):
        recorder.append(watched.run(given(first, first + 3), 0.3))
    watched.close()
    same(playback.Recording(tmp_path / "run.h5"), both[2], 1e-10)


def same(a: playback.Recording, b: playback.Recording, tolerance: float = 0.0) -> None:
    assert a.tables == b.tables and np.array_equal(a.segments, b.segments)
    for table in a.tables:
        kind, name, what = table.split("/")
        for mine, other in zip(getattr(a, kind)(name, what), getattr(b, kind)(name, what), strict=True):
            assert mine.shape == other.shape and np.allclose(mine, other, rtol=tolerance, atol=tolerance)


def test_a_rate_circuit_has_states_and_no_spikes():
    with pytest.raises(InputError, match="no cell of this circuit sends spikes"):
        learner([SpikeMonitor("layer1")], kind="rate")
    assert [t.path for t in learner([StateMonitor("layer1", "rate")], kind="rate")[0].tracks] == ["states/layer1/rate"]


@pytest.mark.parametrize(("wrong", "sentence"), [
    (SpikeMonitor("layer9"), "the groups that send spikes are layer1"),
    (SpikeMonitor("layer1", "error"), "what layer1 sends is rate"),
    (SpikeMonitor("layer1", record=[4]), "record has 4; the cells are 0 to 3"),
    (SpikeMonitor("layer1", record=[1, 1]), "twice"),
    (SpikeMonitor("layer1", samples=(0, 3)), "give a range of samples"),
    (StateMonitor("layer9", "v"), "there are layer1, W_1_0"),
    (StateMonitor("layer1", "tick"), "no variable 'tick'; layer1 has v, potential"),
    (StateMonitor("W_1_0", "S_I_post"), "W_1_0 has w"),
    (StateMonitor("W_1_0", "w", record=[(1, 1)]), "no synapse goes to 1 from 1"),
    (StateMonitor("layer1", "v", every=1.5e-3), "multiple of the step of 0.001 s"),
    (StateMonitor("layer1", "v", every=3e-3), "does not divide a sample of 0.02 s; take 0.002 s"),
    (StateMonitor("layer1", "v", every="window"), "give a time such as 5\\*ms"),
    ("layer1", "give SpikeMonitor, StateMonitor or PopulationRateMonitor"),
    (SpikeMonitor("layer1"), "spikes/layer1/rate is recorded twice"),
])  # fmt: skip
def test_a_recorder_of_what_is_not_there_is_refused(wrong, sentence):
    with pytest.raises(InputError, match=sentence):
        listen(recorded.plan(), [SpikeMonitor("layer1"), wrong], SAMPLE, SAMPLES)


def written(path: Path, segments: int, part: float = 16e6, counts=None) -> playback.Recording:
    online = recorded.circuit()
    recorder = Recorder(path, online, part=part)
    for n in range(segments):
        recorder.append(recorded.segment(online, n, *([counts[n]] if counts else [])))
    return playback.Recording(path)


def test_a_recording_in_many_files_reads_as_one(tmp_path):
    one, many = written(tmp_path / "one.h5", 4), written(tmp_path / "many.h5", 4, part=1)
    assert [path.name for path in many._parts] == ["many.h5", "many.1.h5", "many.2.h5", "many.3.h5"]
    same(one, many)
    t, i, sign = one.spikes("layer1", start=0.03, stop=0.13)
    every, cells, _ = one.spikes("layer1")
    inside = (every > 0.0295) & (every < 0.1295)
    assert np.array_equal(t, every[inside]) and np.array_equal(i, cells[inside]) and len(t) > 10
    assert all(np.array_equal(a, b) for a, b in zip((t, i, sign), many.spikes("layer1", start=0.03, stop=0.13), strict=True))


def test_a_short_segment_ends_where_its_samples_end(tmp_path):
    found = written(tmp_path / "run.h5", 2, counts=[2, 3])
    assert found.samples == 5 and found.seconds == pytest.approx(5 * SAMPLE * DT)
    t, values = found.states("layer1", "potential")
    assert np.array_equal(np.round(t / DT), np.arange(1, 5 * SAMPLE + 1))
    online = recorded.circuit()
    assert np.array_equal(values[2 * SAMPLE :], recorded.segment(online, 1).recordings["recorder_2.potential"][1 : 3 * SAMPLE + 1])


@pytest.mark.parametrize("part", [16e6, 1])
def test_a_resumed_recording_is_the_one_that_was_never_cut(tmp_path, part):
    whole = written(tmp_path / "whole.h5", 5, part)
    written(tmp_path / "run.h5", 4, part)
    online, path = recorded.circuit(), tmp_path / "run.h5"
    with pytest.raises(InputError, match="holds a recording"):
        Recorder(path, online)
    with pytest.raises(InputError, match=r"ends at 0\.24 s"):
        Recorder(path, online, resume=0.3)
    with pytest.raises(InputError, match="other recorders"):
        Recorder(path, recorded.circuit(recorded.MONITORS[:2]), resume=0.12)
    recorder = Recorder(path, online, resume=0.12 - 0.4 * DT)  # time by a slow clock, early by some of a step
    assert (recorder.samples, recorder.seconds) == (6, pytest.approx(0.12))
    for n in range(2, 5):
        recorder.append(recorded.segment(online, n))
    same(playback.Recording(path), whole)
    Recorder(path).cut(0.0)
    assert not path.exists() and not list(tmp_path.glob("run*"))


@pytest.mark.parametrize("part", ["1e4", "16e6"])
def test_whatever_moment_it_is_killed_at_a_recording_is_whole(tmp_path, part):
    """Oracle: the same segments written by a process that lived."""
    path = tmp_path / "run.h5"
    child = subprocess.Popen([sys.executable, recorded.__file__, str(path), part], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "begun\n"
    moment = time.monotonic() + 0.4 + np.random.default_rng().random() * 0.1
    while time.monotonic() < moment or not path.exists():
        time.sleep(1e-3)
    child.kill()
    child.wait()
    child.stdout.close()
    found = playback.Recording(path)
    count = len(found.segments)
    same(found, written(tmp_path / "alive.h5", count, float(part)))
    online = recorded.circuit()
    recorder = Recorder(path, online, resume=found.seconds)
    recorder.append(recorded.segment(online, count))
    assert not list(tmp_path.glob("*.partial")) and playback.Recording(path).samples == SAMPLES * (count + 1)


def test_a_damaged_or_missing_part_is_named(tmp_path):
    written(tmp_path / "run.h5", 3, part=1)
    second = tmp_path / "run.1.h5"
    data = second.read_bytes()
    second.write_bytes(data[: len(data) // 2])
    with pytest.raises(RunError, match=r"run\.1\.h5 is damaged"):
        playback.Recording(tmp_path / "run.h5")
    second.unlink()
    with pytest.raises(RunError, match=r"run\.1\.h5, a part of the recording run\.h5, is missing"):
        Recorder(tmp_path / "run.h5")
    with pytest.raises(InputError, match="without a number before it"):
        Recorder(second)
    with pytest.raises(InputError, match="there is no recording"):
        playback.Recording(tmp_path / "none.h5")


def test_a_file_does_not_grow_by_what_it_rewrites(tmp_path):
    """Chunks that grow leave room that is used again: 30 segments take what they store twice over, beside the empty tables."""
    found = written(tmp_path / "run.h5", 30)
    stored = 0
    with reading(tmp_path / "run.h5") as file:
        for table in found.tables:
            stored += sum(file[table][column].id.get_storage_size() for column in COLUMNS[table.split("/")[0]])
    assert (tmp_path / "run.h5").stat().st_size < 2 * stored + 2**17


def test_neo_gets_every_spike_and_every_state(both, monkeypatch):
    neo = pytest.importorskip("neo")
    import quantities as pq

    *_, found, _ = both
    segment = found.to_neo().segments[0]
    trains = {(s.annotations["group"], s.annotations["cell"], s.annotations["sign"]): s for s in segment.spiketrains}
    t, i, sign = found.spikes("layer1")
    train = trains["layer1", 0, 1]
    assert np.array_equal(train.times.rescale(pq.s).magnitude, t[(i == 0) & (sign == 1)]) and isinstance(train, neo.SpikeTrain)
    assert sum(len(s) for s in segment.spiketrains) == len(t) + len(found.spikes("layer2", "error")[0])
    signals = {s.name: s for s in segment.analogsignals}
    assert np.array_equal(signals["W_2_1.w"].magnitude, found.states("W_2_1", "w")[1])
    assert signals["W_2_1.w"].array_annotations["to"].tolist() == [1, 0]
    assert signals["layer1.rate"].units == pq.Hz and signals["layer1.potential"].sampling_period.rescale("ms") == 1 * pq.ms
    monkeypatch.setitem(sys.modules, "neo", None)
    with pytest.raises(InputError, match=r"pip install 'neurolearn\[neo\]'"):
        found.to_neo()


def test_figures_show_what_was_recorded(both):
    from brian2 import mV
    from matplotlib.figure import Figure

    *_, found, _ = both
    axes = Figure().subplots(4)
    t, i, _ = found.spikes("layer1", start=0.06)
    found.draw(axes[0], "spikes/layer1/rate", start=0.06)
    drawn = [np.column_stack(line.get_data()) for line in axes[0].lines if len(line.get_xdata())]
    wanted = np.column_stack([t * 1e3, i])
    assert np.allclose(sorted(map(tuple, np.concatenate(drawn))), sorted(map(tuple, wanted))) and len(t) > 10
    assert np.allclose(axes[0].get_xlim(), (60, 1e3 * found.seconds))  # silence at either end is there to be seen
    for start in ("a", 1 * mV):
        with pytest.raises(InputError, match=r"start is .*; give a time"):
            found.spikes("layer1", start=start)
    found.draw(axes[1], "states/layer1/potential")
    assert np.array_equal(axes[1].lines[1].get_ydata(), found.states("layer1", "potential")[1][:, 1])
    found.draw(axes[2], "states/W_2_1/w")
    assert np.allclose(axes[2].lines[-1].get_data(), [np.arange(1, 7), found.states("W_2_1", "w")[1].mean(1)])
    found.draw(axes[3], "rates/layer1/rate")
    assert np.array_equal(axes[3].lines[0].get_ydata(), found.rates("layer1")[1])


def test_samples_with_gaps_are_irregular_in_neo(tmp_path):
    pytest.importorskip("neo")
    online = recorded.circuit([replace(recorded.MONITORS[2], samples=range(0, 9, 4))])
    recorder = Recorder(tmp_path / "run.h5", online)
    for n in range(3):
        recorder.append(recorded.segment(online, n))
    found = playback.Recording(tmp_path / "run.h5")
    (signal,) = found.to_neo().segments[0].irregularlysampledsignals
    assert signal.shape == (3 * SAMPLE, CELLS) and np.array_equal(np.round(signal.times.magnitude[::SAMPLE] / DT), [1, 81, 161])
