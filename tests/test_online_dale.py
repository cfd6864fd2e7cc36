"""Dale's law in streams: what each synapse learns from its own cell's spikes, and one weight of them after every segment."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from conftest import RULES, near
from test_axons import back_doors
from test_biology import SMALL
from test_run_biology import RUN

from neurolearn import streams
from neurolearn.changes import prepare
from neurolearn.circuit import Biology
from neurolearn.circuit.online import Online
from neurolearn.circuit.recording.monitors import SpikeMonitor, StateMonitor
from neurolearn.errors import InputError
from neurolearn.runs.config import RunConfig
from neurolearn.timing import Timing
from neurolearn.training import online as training

LATE = {"W": 1e-3, "B": 2e-3}
TIMING = Timing(settle=60, window=60, tau=8e-3, jitter=0.01, seed=4)
SAMPLE, RATE = 120, 0.5
RNG = np.random.default_rng(0)
DATA = RNG.normal(size=(6, 6)), np.eye(3)[RNG.integers(0, 3, 6)]


def stream(law: bool = True, samples: int = 3, monitors=(), rule: str = "feedback_alignment", **options):
    """(circuit, weights at the start, what it is given for samples a to b)."""
    program, weights, _ = prepare(RULES[rule], SMALL, *(part[:1] for part in DATA), bias=0.3)
    weights = {n: 3 * w if n.startswith("W") else w for n, w in weights.items()}
    late = LATE | {"apical": 1e-3} if options.get("placement") == "cells" else LATE
    body = Biology(delays=late, dale=law)
    circuit = Online(program, weights, TIMING, samples=samples, biology=body, monitors=monitors, **options)

    def given(first: int, last: int):
        some = np.arange(first, last)
        return streams.given(program, DATA[0][some], DATA[1][some], 0, 1, indices=some)

    return circuit, weights, given


def train(circuit, found, name: str, sign: int) -> np.ndarray:
    """(steps of the segment, cells) of the spikes of one sign that a recorder found."""
    track = next(t for t in circuit.tracks if t.path == name)
    rows = track.rows(found.recordings, len(found.outputs), 0)
    spikes = np.zeros((len(found.outputs) * SAMPLE + 1, len(track.index)))
    mine = rows["sign"] == sign
    np.add.at(spikes, (np.round(rows["t"][mine] / 1e-3).astype(int), rows["i"][mine]), 1)
    return spikes[:-1]


def recorded(circuit, found, group: str, variable: str) -> np.ndarray:
    """(samples, cells or synapses) at the end of each sample of a segment, before anything is read."""
    track = next(t for t in circuit.tracks if (t.group, t.what) == (group, variable))
    return track.rows(found.recordings, len(found.outputs), 0)["value"]


@pytest.fixture(scope="module")
def watched():
    """(circuit, weights at the start, two segments with the state after each)."""
    plan = stream()[0].plan
    monitors = [SpikeMonitor(g.name, next(iter(g.events)), name=g.name) for g in plan.partners]
    monitors += [SpikeMonitor("layer0"), SpikeMonitor("layer1"), SpikeMonitor("layer2", "error")]
    monitors += [StateMonitor(name, "mean_error", every="sample") for name in ("layer1", "layer2")]
    monitors += [StateMonitor(s.name, "w", every="sample") for s in plan.synapses if s.name.startswith("W_")]
    circuit, weights, given = stream(monitors=monitors)
    found = [(circuit.run(given(n, n + 3), RATE), dict(circuit.state), dict(circuit.weights)) for n in (0, 3)]
    return circuit, weights, found


def test_each_synapse_learns_sample_after_sample_from_its_own_cell(watched):
    """Oracle: NumPy on the recorded trains: max(0, w + rate x effect x mean error x own spikes in the window / (U T)); 1e-12."""
    circuit, _, found = watched
    partners, stopped = {p.name for p in circuit.plan.partners}, 0
    for segment, state, _ in found:
        for s in (s for s in circuit.plan.synapses if s.name.startswith("W_")):
            event = next(iter(s.on_event.values()))
            signal, side = event.rsplit("_", 1)
            effect, name = (-1.0, f"{s.source}/{event}") if s.source in partners else (1.0, f"{s.source}/{signal}")
            spikes = train(circuit, segment, f"spikes/{name}", 1 if side == "on" else -1)
            held, means = recorded(circuit, segment, s.name, "w"), recorded(circuit, segment, s.target, "mean_error")
            for n in range(3):
                count = spikes[n * SAMPLE + 60 : (n + 1) * SAMPLE].sum(0)[s.i]
                expected = np.maximum(held[n] + RATE * effect * means[n][s.j] * count / (200 * 0.06), 0)
                after = held[n + 1] if n < 2 else state[f"{s.name}.w"]
                assert np.abs(after - expected).max() < 1e-12
                stopped += np.sum((expected == 0) & (held[n] > 0))
    assert stopped > 2
    doors = back_doors(circuit.engine.network)
    assert [door for door in doors if "calls stream_" not in door] == []  # data come in from outside


def test_a_weight_is_the_sum_of_what_its_synapses_learned_and_keeps_its_sign(watched):
    """Oracle: NumPy's sum over the synapses in the state, by (to, from), stopped at zero; the next segment starts with it."""
    circuit, before, found = watched
    signs = {n: np.where(w >= 0, 1, -1) for n, w in before.items()}
    crossed = 0
    for (_, state, after), following in zip(found, (found[1][0], None), strict=True):
        for name in ("W_1_0", "W_2_1"):
            total = np.array(before[name])
            for s in (s for s in circuit.plan.synapses if s.name.startswith(f"{name}_")):
                ends = s.units[1], s.units[2]
                np.add.at(total, ends, s.sign * (state[f"{s.name}.w"] - np.abs(before[name])[ends]))
                if following is not None:
                    assert np.array_equal(recorded(circuit, following, s.name, "w")[0], np.abs(after[name])[ends])
            crossed += np.sum(signs[name] * total < 0)
            assert np.abs(after[name] - np.where(signs[name] * total < 0, 0, total)).max() < 1e-12
            assert (signs[name] * after[name] >= 0).all()
        before = after
    assert crossed


@pytest.mark.parametrize("placement", ["unit", "cells"])
def test_cells_with_one_sign_fire_as_those_without_from_segment_to_segment(placement):
    """Oracle: the stream that is not split, with the same delays and frozen weights; every spike, and what the output says. The
    second segment is run by another circuit, from arrays alone.
    """
    rule = "direct_feedback_alignment" if placement == "cells" else "feedback_alignment"
    names = [(g.name, e.rsplit("_", 1)[0]) for g in stream(placement=placement, rule=rule)[0].plan.groups for e in g.events]
    monitors = [SpikeMonitor(*name) for name in dict.fromkeys(names)]
    plain, _, given = stream(law=False, samples=2, monitors=monitors, placement=placement, rule=rule)
    split, again = (stream(samples=2, monitors=monitors, placement=placement, rule=rule)[0] for _ in range(2))
    for first in (0, 2):
        if first:
            again.load(split.weights, split.state)
        a, b = plain.run(given(first, first + 2), 0.0), (again if first else split).run(given(first, first + 2), 0.0)
        for track, sign in product(plain.tracks, (1, -1)):
            spikes = train(plain, a, track.path, sign)
            assert np.array_equal(spikes, train(split, b, track.path, sign)) and spikes.any()
        assert np.array_equal(a.outputs, b.outputs)
    assert {n: v for n, v in b.hz.items() if n in a.hz} == a.hz and len(b.hz) > len(a.hz)


def test_they_learn_nearly_what_those_without_learn():
    """Oracle: the stream that is not split, in segments of one sample: a partner counts a step late, a spike at each end of the
    window, which is a tenth of the change.
    """
    (plain, start, given), (split, *_) = stream(law=False, samples=1), stream(samples=1)
    for n in range(4):
        for circuit in (plain, split):
            circuit.run(given(n, n + 1), 0.02)
    for name in ("W_1_0", "W_2_1", "b_1"):
        assert near(split.weights[name] - start[name], plain.weights[name] - start[name]) < 0.1


def test_three_cells_of_one_sign_keep_it_too():
    program, weights, _ = prepare(RULES["feedback_alignment"], SMALL, *(part[:1] for part in DATA))
    circuit = Online(program, weights, replace(TIMING, cells=3), samples=2, biology=Biology(delays=LATE, dale=True))
    some = np.arange(2)
    circuit.run(streams.given(program, DATA[0][some], DATA[1][some], 0, 1, indices=some), 2.0)
    for name in ("W_1_0", "W_2_1"):
        assert (weights[name] * circuit.weights[name] >= 0).all() and near(circuit.weights[name], weights[name]) > 0.01


def test_weights_of_other_signs_are_refused():
    circuit, weights, given = stream(samples=1)
    circuit.load({**weights, "W_2_1": -weights["W_2_1"]}, {})
    with pytest.raises(InputError, match="dale: W_2_1 would change its sign"):
        circuit.run(given(0, 1))


def test_a_run_has_it_and_records_the_partners():
    """Oracle: a partner's train is that of its cell, a step later."""
    config = RunConfig(**{**RUN, "biology": {"dale": True, "delays": {"W": 1e-3, "B": 1e-3}},
                          "record": ["spikes:layer1", "spikes:layer1_rate_on_inhibitory"]})  # fmt: skip
    run = training.OnlineTraining(config)
    after, rows = run.step(0, run.begin())
    assert rows[0]["mean_hz"] > 0 and not np.array_equal(after["weight:W_1_0"], run.start["W_1_0"])
    segment = run.circuit.run(run.stream.given(run.program, range(2))[0], 0.0)
    cells, partners = (track.rows(segment.recordings, 2, 0) for track in run.circuit.tracks)
    on = cells["sign"] == 1
    ours = set(zip(np.round(cells["t"][on] / 1e-3) + 1, cells["i"][on], strict=True))
    theirs = set(zip(np.round(partners["t"] / 1e-3), partners["i"], strict=True))
    assert {x for x in ours if x[0] < 80} == {x for x in theirs if 1 <= x[0] < 80} and len(theirs) > 5
