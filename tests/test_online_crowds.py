"""Streams of several cells per unit: one sample against the tensors, many against the circuit of one cell."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import RULES, TEACHER, X, near
from test_biology import SMALL
from test_dale import SKIP

from neurolearn import circuit, streams
from neurolearn.changes import prepare
from neurolearn.circuit.online import Online, _speaking
from neurolearn.circuit.recording.monitors import SpikeMonitor
from neurolearn.errors import InputError
from neurolearn.tensor.spiking import SpikingProgram
from neurolearn.timing import Timing

TIMING = Timing(settle=60, window=60, tau=8e-3, jitter=0.01, cells=3, seed=4)


def first(name: str, net, **options) -> tuple[dict, tuple]:
    """(what a stream learns from its first sample, at a rate of 1; what is presented)."""
    program, weights, given = prepare(RULES[name], net, X[:1], TEACHER[:1])
    online = Online(program, weights, TIMING, samples=1, **options)
    online.run(given, 1.0)
    return {n: online.weights[n] - weights[n] for n in program.plastic_weights()}, (program, weights, given)


@pytest.mark.parametrize(("name", "net"), [
    ("feedback_alignment", SMALL),
    ("backprop", SKIP),  # tied weights, an identity and a skip
    ("third_factor", SMALL),  # a broadcast, and state at the synapse
])
def test_three_cells_learn_from_a_sample_what_the_tensors_say(name, net):
    """Oracle: tensor.spiking with the same cells; 1e-9."""
    found, (program, weights, given) = first(name, net)
    theirs = SpikingProgram(program, weights, TIMING).run(given)
    for weight, change in found.items():
        assert near(change, theirs[weight].numpy()) < 1e-9 and change.any()


def test_three_cells_of_every_axon_learn_from_a_sample_what_the_single_presentation_says():
    """Oracle: the same placement as one presentation, ``circuit.make``; 1e-9."""
    found, (program, weights, given) = first("feedback_alignment", SMALL, placement="cells")
    built = circuit.make(_speaking(program), weights, given, TIMING, placement="cells")
    built.run()
    theirs = built.changes()
    assert all(near(change, theirs[name]) < 1e-9 and change.any() for name, change in found.items())


@pytest.mark.parametrize("placement", ["unit", "cells"])
def test_cells_that_are_all_alike_learn_what_one_cell_learns(placement):
    """Oracle: one cell per unit, five samples in segments of two, and delays; with halves of weights on two cells that start
    alike every sum is the same to rounding. It is cut and goes on from arrays in the middle.
    """
    rng = np.random.default_rng(0)
    x, teacher = rng.random((5, 6)), np.eye(3)[rng.integers(0, 3, 5)]
    program, weights, _ = prepare(RULES["feedback_alignment"], SMALL, x[:1], teacher[:1], bias=0.3)
    late = circuit.Biology(delays={"B": 2e-3})
    one, two, again = (
        Online(program, weights, replace(TIMING, cells=n, jitter=0.0), samples=2, placement=placement, biology=late)
        for n in (1, 2, 2)
    )
    groups = [g.name for g in one.plan.groups]
    alike = {k: np.repeat(v, np.size(two.state[k]) // np.size(v)) for k, v in one.state.items() if k.split(".")[0] in groups}
    two.load(weights, two.state | alike)
    said = {}
    for begin in (0, 2, 4):
        some = np.arange(begin, min(begin + 2, 5))
        given = streams.given(program, x[some], teacher[some], 0, 1, indices=some)
        if begin == 2:
            again.load(two.weights, two.state)
        said[begin] = one.run(given, 0.5), (two if begin < 2 else again).run(given, 0.5)
        assert near(said[begin][1].outputs, said[begin][0].outputs) < 1e-9
    for name in program.plastic_weights():
        assert near(again.weights[name], one.weights[name]) < 1e-9
        assert near(one.weights[name], weights[name]) > 1e-3
    assert said[4][1].mean_hz == pytest.approx(said[4][0].mean_hz)


def test_synapses_of_a_unit_differ_within_a_segment_and_agree_after_it():
    """Oracle: the mean of what the synapses themselves learned, read from the state; the next segment starts with it. What the
    output says is the mean count of its cells, from a recorder.
    """
    program, weights, _ = prepare(RULES["feedback_alignment"], SMALL, X, TEACHER)
    online = Online(program, weights, TIMING, samples=2, monitors=[SpikeMonitor("layer2")])
    segment = online.run(streams.given(program, X, TEACHER, 0, 1, indices=np.arange(2)), 1.0)
    synapses = next(s for s in online.plan.synapses if s.name == "W_2_1")
    size = tuple(3 * n for n in weights["W_2_1"].shape)
    held = np.zeros(size)
    held[synapses.units[1], synapses.units[2]] = online.state["W_2_1.w"]
    parts = held.reshape(size[0] // 3, 3, size[1] // 3, 3)
    assert np.allclose(online.weights["W_2_1"], parts.mean((1, 3)), rtol=0, atol=1e-12)
    assert parts.std((1, 3)).max() > 1e-3
    rows, counts = online.tracks[0].rows(segment.recordings, 2, 0), np.zeros((241, 9))
    np.add.at(counts, (np.round(rows["t"] / 1e-3).astype(int), rows["i"]), rows["sign"])
    counts = counts[:240].reshape(2, 120, 3, 3)[:, 60:].sum(1) / (60e-3 * TIMING.unit_rate)
    assert np.allclose(segment.outputs, counts.mean(-1), rtol=0, atol=1e-12) and counts.std(-1).max() > 0.01
    orders = online._orders(2, 1.0, True)["W_2_1.w"]
    assert np.array_equal(orders, np.kron(online.weights["W_2_1"], np.ones((3, 3)))[synapses.units[1], synapses.units[2]])


def test_a_rate_circuit_has_one_cell_per_unit():
    program, weights, _ = prepare(RULES["feedback_alignment"], SMALL, X, TEACHER)
    with pytest.raises(InputError, match="a rate circuit takes cells = 1"):
        Online(program, weights, TIMING, "rate")
