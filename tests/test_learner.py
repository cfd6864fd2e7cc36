"""circuit.Learner: taught sample by sample it goes where tensor.rate goes; asked, it does not change."""

from __future__ import annotations

import numpy as np
import pytest

import neurolearn as nl
from neurolearn import panels, teaching
from neurolearn.data import subspace
from neurolearn.tensor.online import follow

SETTLED = nl.Timing(dt=1e-3, tau=5e-3, settle=150)  # 30 time constants for a chain of four: e^-30 * 30^3/6 = 4e-10
SPIKES = nl.Timing(dt=1e-3, tau=10e-3, settle=50, window=50, unit_rate=200.0)


def samples(sizes, count: int):
    draw = np.random.default_rng(3)
    return draw.normal(size=(count, sizes[0])), draw.normal(size=(count, sizes[-1]))


def test_a_rate_circuit_goes_where_the_algebra_goes():
    sizes = (4, 3, 2)
    learner = nl.circuit.Learner(nl.rules.get("feedback_alignment"), nl.mlp(sizes), timing=SETTLED, kind="rate", samples=3,
                                 target="numpy", bias=0.5)  # fmt: skip
    x, y = samples(sizes, 5)
    start = dict(learner.weights)
    after, heard = follow(learner.circuit.program, start, x, y, 0.1)
    said = learner.learn(x, y, 0.1)  # two segments, the second of them not full
    for name, value in after.items():
        assert np.allclose(learner.weights[name], value, rtol=0, atol=1e-8), name
    assert not np.allclose(learner.weights["W_1_0"], start["W_1_0"], atol=1e-3)
    assert np.allclose(said, heard, rtol=0, atol=1e-7)
    assert learner.seen == 5
    assert learner.activity.spikes == 0


def test_a_restart_forgets_and_an_answer_teaches_nothing():
    sizes = (4, 3, 2)
    learner = nl.circuit.Learner(
        nl.rules.get("feedback_alignment"), nl.mlp(sizes), timing=SPIKES, samples=3, target="numpy"
    )
    x, y = samples(sizes, 3)
    runs = []
    for _ in range(2):
        learner.restart(7)
        before = dict(learner.weights)
        asked = learner.respond(x)
        assert all(np.array_equal(learner.weights[name], value) for name, value in before.items())
        learner.learn(x, y, learner.readout_only(0.1))
        assert np.array_equal(learner.weights["W_1_0"], before["W_1_0"])
        assert not np.array_equal(learner.weights["W_2_1"], before["W_2_1"])
        learner.learn(x, y, 0.1)
        assert not np.array_equal(learner.weights["W_1_0"], before["W_1_0"])
        runs.append((asked, dict(learner.weights), learner.activity))
    assert np.array_equal(runs[0][0], runs[1][0])
    assert all(np.array_equal(runs[0][1][name], runs[1][1][name]) for name in runs[0][1])
    assert runs[0][2] == runs[1][2]
    assert runs[0][2].seconds == pytest.approx(9 * 0.1, rel=1e-3)
    cells = sum(g.size * len(g.events) for g in learner.circuit.plan.groups)
    assert runs[0][2].mean_hz == pytest.approx(runs[0][2].spikes / cells / runs[0][2].seconds)
    assert runs[0][2].mean_hz < runs[0][2].max_hz


def test_a_signed_network_learns_online_and_keeps_its_signs():
    sizes = (3, 4, 4, 1)
    network = nl.mlp(sizes, "relu", signed=True)
    learner = nl.circuit.Learner(
        nl.rules.get("kickback"), network, timing=SETTLED, kind="rate", samples=4, target="numpy"
    )
    x, y = samples(sizes, 4)
    start = dict(learner.weights)
    after, _ = follow(learner.circuit.program, start, x, y, 2.0)  # large, so that some weights arrive at 0
    learner.learn(x, y, 2.0)
    assert np.allclose(learner.weights["W_2_1"], after["W_2_1"], rtol=0, atol=1e-6 * np.abs(after["W_2_1"]).max())
    signed = network.polarity(2)[:, None] * learner.weights["W_2_1"]
    assert signed.min() == 0.0
    assert signed.max() > 0


def test_teaching_compares_a_circuit_with_its_readout_and_its_algebra():
    def load(seed):
        return subspace.load(seed, limit=4)

    learner = nl.circuit.Learner(nl.rules.get("feedback_alignment"), nl.mlp((20, 4, 4)), timing=SETTLED, kind="rate", samples=2,
                                 target="numpy")  # fmt: skip
    taught = teaching.teach(learner, load, 0.05, samples=4, seeds=1, block=2, tested=2)
    assert np.allclose(taught.curves["circuit"], taught.curves["tensor.rate"], rtol=1e-6)
    assert np.allclose(taught.tested["circuit"], taught.tested["tensor.rate"], rtol=1e-6)
    assert not np.allclose(taught.curves["circuit"][:, 1], taught.curves["readout only"][:, 1], rtol=1e-4)
    assert taught.angles["W_1_0"].shape == (1, 2)
    assert "readout only" in taught.table()


def test_blocks_are_means_and_what_is_left_over_is_left_out():
    assert panels.blocks([1.0, 3.0, 5.0, 7.0, 100.0], 2).tolist() == [2.0, 6.0]
    assert panels.error([1.0, 3.0]) == pytest.approx(1.0)
