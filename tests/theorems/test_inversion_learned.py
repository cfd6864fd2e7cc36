"""Learned dynamic inversion: B comes to minus the transpose, on average, and keeps the loop stable."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import near
from test_dynamic_inversion import (
    LEARNED,
    NET,
    TEACHER,
    X,
    swapped,
)

from neurolearn.changes import prepare
from neurolearn.compare import angle
from neurolearn.network import Network
from neurolearn.rule import Rule
from neurolearn.tensor.rate import RateProgram
from neurolearn.timescales import timescales

# -- learning B --------------------------------------------------------------------------------------------------------

PAIRS = {"B_1_2": "W_2_1", "B_2_3": "W_3_2"}


def exact_noise(given: dict, network: Network) -> dict:
    """Probes whose second moment is the identity in every layer: $\\sqrt{n} e_k$ in turn; as many as all sizes divide."""
    count = int(np.lcm.reduce(network.sizes[1:-1]))
    given = {n: np.repeat(v[:1], count, axis=0) for n, v in given.items()}
    for n, v in given.items():
        if n.startswith("noise"):
            given[n] = np.sqrt(v.shape[1]) * np.tile(np.eye(v.shape[1]), (count // v.shape[1], 1))
    return given


def mirrored(rule: Rule) -> float:
    program, w, given = prepare(rule, NET, X, TEACHER, seed=2)
    w.update({b: 3 * w[up].T[::-1, ::-1] for b, up in PAIRS.items()})  # far from the fixed point, so that decay is seen
    found = RateProgram(program, w).changes(exact_noise(given, NET))
    return max(near(found[b].numpy(), -w[up].T - w[b]) for b, up in PAIRS.items())


def test_feedback_learns_minus_the_transpose_on_average():
    """Oracle: $E[\\Delta B] = -W^\\top - B$, with probes of the exact second moment."""
    assert mirrored(LEARNED) < 1e-13
    swaps = {
        "-probe_post*answer_pre": "probe_post*answer_pre",
        " - w": "",
        "answer = W(probe_below)": "answer = f(W(probe_below))",
    }
    for old, new in swaps.items():
        assert mirrored(swapped(LEARNED, old, new)) > 0.04


def test_the_distance_to_the_transpose_decays_by_the_rate():
    """Oracle: $|B + W^\\top| \\propto (1 - \\eta)^k$ exactly, W frozen."""
    program, w, given = prepare(LEARNED, NET, X, TEACHER, seed=2)
    given, learner = exact_noise(given, NET), RateProgram(program, w)
    gap = {b: np.linalg.norm(w[b] + w[up].T) for b, up in PAIRS.items()}
    for step in range(1, 21):
        learner.step(given, {"B": 0.2})
        now = learner.numpy()
        for b, up in PAIRS.items():
            assert np.linalg.norm(now[b] + now[up].T) == pytest.approx(0.8**step * gap[b], rel=1e-10)


def trained(rate: float, updates: int = 60) -> tuple[list[float], dict, dict]:
    """(abscissa at every step, weights before and after) while W and B learn together from noise and samples."""
    rng = np.random.default_rng(8)
    x, teacher = rng.uniform(-1, 1, (16, 6)), np.eye(3)[rng.integers(0, 3, 16)]
    program, w, given = prepare(LEARNED, NET, x, teacher, seed=2, bias=0.2)
    learner, found = RateProgram(program, w), []
    for _ in range(updates):
        found.append(max(m.abscissa for m in timescales(program, learner.numpy(), given, samples=1)))
        noise = {n: rng.normal(size=v.shape) if n.startswith("noise") else v for n, v in given.items()}
        learner.step(noise, {"W": 0.05, "b": 0.05, "B": rate})
    return found, w, learner.numpy()


def test_b_learns_and_the_loop_stays_stable_all_the_while():
    """Oracles: the eigenvalues of the flow at every step, and $-W^\\top$ of the weights at the end. B starts small and
    independent of W, so its first loop is stable; the control's B does not learn and stays far."""
    stable, before, after = trained(0.1)
    assert max(stable) < 0
    _, _, frozen = trained(0.0, updates=20)
    for b, up in PAIRS.items():
        assert near(before[up], after[up]) > 0.01  # W has moved
        assert 60 < angle(before[b], -before[up].T) < 120
        assert angle(after[b], -after[up].T) < 25
        assert near(after[b], -after[up].T) < 0.4
        assert np.array_equal(frozen[b], before[b])
        assert near(frozen[b], -frozen[up].T) > 0.9
