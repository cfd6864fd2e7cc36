"""Guards of a stream: which sample was read before its circuit had settled, and by how much."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
from conftest import RULES
from test_train import BASE

from neurolearn import streams
from neurolearn.changes import prepare
from neurolearn.circuit import CircuitWarning, Guards
from neurolearn.circuit.guards import stream
from neurolearn.circuit.online import Online
from neurolearn.circuit.recording.monitors import StateMonitor
from neurolearn.errors import InputError, SettlingError
from neurolearn.network import mlp
from neurolearn.runs.config import RunConfig
from neurolearn.timing import Timing
from neurolearn.training import online as training

NET = mlp([3, 4, 2])
RATES = Timing(settle=50, tau=10e-3)  # 0.9**50 = 5e-3 of a sample is left at the read of the next
SPIKES = Timing(settle=20, window=20, tau=10e-3, unit_rate=600)
ORDER = np.array([0, 0, 1, 1, 1, 2, 2, 2])  # samples that are the same as the one before have settled
RNG = np.random.default_rng(5)
X, TEACHER = RNG.normal(size=(3, 3)) / 3, RNG.normal(size=(3, 2)) / 3


def run(kind: str, timing: Timing, guards: Guards | None, rule: str = "feedback_alignment", cuts=(5, 3), **options):
    """(circuit, [(segment, number of its first sample)]) of ``ORDER`` in segments of five, with weights frozen."""
    program, weights, _ = prepare(RULES[rule], NET, X[:1], TEACHER[:1])
    weights = weights | {"W_1_0": 90 * weights["W_1_0"]} if kind == "rate" else weights
    circuit, found, first = Online(program, weights, timing, kind, samples=5, guards=guards, **options), [], 0
    for count in cuts:
        some = ORDER[first : first + count]
        found.append((circuit.run(streams.given(program, X[some], TEACHER[some], 0, 1, indices=some), 0.0), first))
        found[-1] += (dict(circuit.state),)
        first += count
    return circuit, found


def findings(circuit, found, guards: Guards, guard: str) -> list:
    every = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CircuitWarning)
        for segment, first, state in found:
            circuit.state = state
            every += [f for f in stream.segment(circuit, guards, segment, first) if f.guard == guard]
    return every


def test_currents_that_had_not_settled_are_named_by_sample():
    r"""Oracle: $I_s = W x_s + (I_{s-1} - W x_s)(1 - dt/\tau)^{50}$ in NumPy, with a step without input between segments."""
    guards = Guards(unsettled="warn")
    circuit, found = run("rate", RATES, guards)
    mine = [f for f in findings(circuit, found, guards, "unsettled") if (f.population, f.signal) == ("layer1", "I_W_rate_below")]
    assert [f.samples for f in mine] == [(0, 2), (5,)]
    current, left, largest = np.zeros(4), [], []
    for n, x in enumerate(X[ORDER]):
        current = current * 0.9 if n == 5 else current
        settled = circuit.weights["W_1_0"] @ x
        current = settled + (current - settled) * 0.9**50
        left.append(np.abs(settled - current).max())
        largest.append(np.abs(current).max())
    values = [max(left[:5]) / max(largest[:5]), max(left[5:]) / max(largest[5:])]
    assert [f.value for f in mine] == pytest.approx(values, rel=1e-6)
    whole, cuts = run("rate", replace(RATES, settle=200), guards)
    assert findings(whole, cuts, guards, "unsettled") == []


def test_every_phase_of_a_sample_is_asked():
    """Oracle: with settled forward signals, targets of the second phase are what is late; the sample has one number."""
    guards = Guards(unsettled="warn", residual=1e-4)
    circuit, found = run("rate", RATES, guards, "difference_target_propagation")
    assert len(circuit.program.phases) > 1
    late = {(f.population, f.signal): f.samples for f in findings(circuit, found[:1], guards, "unsettled")}
    assert all(set(samples) <= {0, 2} for samples in late.values()) and (0, 2) in late.values()


@pytest.mark.parametrize("window", [20, 21])
def test_means_that_moved_within_a_window_are_named_by_sample(window):
    """Oracle: NumPy's means over the two parts of each window of the error that a recorder found at every step; 1e-9."""
    guards, timing = Guards(drift="warn", halves=0.1), replace(SPIKES, settle=window, window=window)
    circuit, found = run("spiking", timing, guards, monitors=[StateMonitor("layer1", "error")])
    mine = [f for f in findings(circuit, found, guards, "drift") if (f.population, f.signal) == ("layer1", "error")]
    expected = []
    for segment, first, _ in found:
        count = len(segment.outputs)
        error = circuit.tracks[0].rows(segment.recordings, 5, 0)["value"].reshape(5, 2 * window, 4)[:count]
        error = error[:, window - 1 : -1]  # a record is what the next step starts with
        moved = np.abs(error[:, window // 2 :].mean(1) - error[:, : window // 2].mean(1)) / np.abs(error.mean(1)).max()
        if moved.max() > 0.1:
            expected.append((moved.max(), tuple(first + n for n in np.flatnonzero((moved > 0.1).any(1)))))
    assert [f.samples for f in mine] == [samples for _, samples in expected] and expected
    assert [f.value for f in mine] == pytest.approx([value for value, _ in expected], rel=1e-9)
    assert 0 in mine[0].samples


@pytest.mark.parametrize(("kind", "timing"), [("rate", RATES), ("spiking", SPIKES)])
def test_to_be_watched_changes_no_bit(kind, timing):
    """Oracle: the circuit that nobody watches."""
    (_, a), (_, b) = (run(kind, timing, g, cuts=(5,)) for g in (Guards(unsettled="warn", drift="warn"), None))
    assert any(name.startswith("guard_") for name in a[0][0].recordings)
    assert not any(name.startswith("guard_") for name in b[0][0].recordings)
    assert all(np.array_equal(a[0][2][n], v) for n, v in b[0][2].items()) and np.array_equal(a[0][0].outputs, b[0][0].outputs)
    assert not run(kind, timing, Guards(unsettled="ignore"), cuts=())[0].plan.monitors[1:]


def test_a_run_raises_warns_once_or_says_nothing():
    """Oracle: a circuit that has a tenth of the time that it needs, sample 4 and those after it in the second segment."""
    config = RunConfig(**{**BASE, "timing": {"settle": 20}, "evaluation": {"every": 9, "samples": 2, "final": 2}})
    run = training.OnlineTraining(config)  # which warns

    def said(begin=None) -> list[str]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            run.step(1, begin or run.step(0, run.begin())[0])
        return [str(w.message) for w in caught if issubclass(w.category, CircuitWarning)]

    first = said()
    assert len({one.split(" was ")[0] for one in first}) == len(first) > 1
    assert all("let the phases settle for longer" in one for one in first)
    run.guards = Guards(unsettled="raise")
    with pytest.raises(SettlingError, match=r"of layer1 was .* \(samples 4, 5, 6, 7\): let the phases settle for longer"):
        run.step(1, run.begin())
    run.guards = Guards(unsettled="ignore")
    assert said(run.begin()) == []


def test_no_other_policy():
    with pytest.raises(InputError, match="unsettled is 'shout'"):
        Guards(unsettled="shout")
