"""What the papers prove of their rules, and the learned inverse, in every realisation in which it can hold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import NET, RULES, TEACHER, X, near

from neurolearn import streams
from neurolearn.changes import prepare, update
from neurolearn.compare import angle, norm_ratio
from neurolearn.network import mlp
from neurolearn.timing import Timing

REALISATIONS = ("tensor.rate", "circuit.rate", "tensor.spiking", "circuit.spiking")
SPIKES = Timing(settle=200, window=200, tau=8e-3)  # windows of 0.2 s at 200 spikes/s per unit
DI, DTP = RULES["dynamic_inversion"], RULES["dtp_learned_top"]


def forward(w: dict, x: np.ndarray) -> tuple[list, list]:
    """Rates and slopes of each layer for one sample; tanh, linear output."""
    rates, slopes = [x], [None]
    for k in (1, 2, 3):
        potential = w[f"W_{k}_{k - 1}"] @ rates[-1] + w[f"b_{k}"]
        rates.append(potential if k == 3 else np.array([np.tanh(u) for u in potential]))
        slopes.append(np.ones(len(potential)) if k == 3 else 1 - rates[-1] ** 2)
    return rates, slopes


def drawn(rule, bias: float = 0.3) -> dict[str, np.ndarray]:
    return prepare(rule, NET, X, TEACHER, seed=4, bias=bias)[1]


# -- dynamic inversion -------------------------------------------------------------------------------------------------


def settled_inverse(w: dict, leak: float) -> dict[str, np.ndarray]:
    r"""Podlaski and Machens 2020: $\delta_l = B_l (W_{l+1} B_l - \alpha I)^{-1} e_{l+1}$, $B = -W^\top$; or $W^+ e$."""
    total = {f"W_{k}_{k - 1}": 0 for k in (1, 2, 3)}
    for x, teacher in zip(X, TEACHER, strict=True):
        rates, slopes = forward(w, x)
        error = teacher - rates[3]
        for k in (3, 2, 1):
            total[f"W_{k}_{k - 1}"] = total[f"W_{k}_{k - 1}"] + np.outer(error, rates[k - 1]) / len(X)
            if k > 1:
                up = w[f"W_{k}_{k - 1}"]
                back = -up.T
                inverse = back @ np.linalg.inv(up @ back - leak * np.eye(len(error))) if leak else np.linalg.pinv(up)
                error = slopes[k - 1] * (inverse @ error)
    return total


@pytest.mark.parametrize("realisation", REALISATIONS)
def test_dynamic_inversion_settles_to_the_damped_inverse(realisation):
    """Oracle: the closed form, sample by sample; tolerances are the edges': 1e-10, 1e-5, 2 degrees and 2 %."""
    w, rule = drawn(DI), DI.with_constants(leak=0.5)
    found, expected = update(rule, NET, X, TEACHER, w, realisation=realisation), settled_inverse(w, leak=0.5)
    assert angle(expected["W_1_0"], settled_inverse(w, leak=0.0)["W_1_0"]) > 5  # not the undamped inverse
    for name, change in expected.items():
        if "spiking" in realisation:
            assert angle(found[name], change) <= 2
            assert abs(norm_ratio(found[name], change) - 1) <= 0.02
        else:
            assert near(found[name], change) <= {"tensor.rate": 1e-10, "circuit.rate": 1e-5}[realisation]


def test_dynamic_inversion_tends_to_the_pseudo_inverse():
    """Oracle: numpy.linalg.pinv; the damped inverse differs from it by a term in proportion to the leak."""
    w, leaks = drawn(DI), (1e-3, 1e-4, 1e-5, 1e-6)
    exact = settled_inverse(w, leak=0.0)
    for name in ("W_1_0", "W_2_1"):
        errors = [near(update(DI.with_constants(leak=leak), NET, X, TEACHER, w)[name], exact[name]) for leak in leaks]
        assert np.polyfit(np.log(leaks), np.log(errors), 1)[0] == pytest.approx(1, abs=0.1)


# -- difference target propagation -------------------------------------------------------------------------------------


def decoded(w: dict, delta: float = 1e-5) -> dict[str, np.ndarray]:
    """To first order a target moves by the decoder's Jacobian, here in central differences of tanh(Q h)."""
    total = {}
    for x, teacher in zip(X, TEACHER, strict=True):
        rates, slopes = forward(w, x)
        moved = teacher - rates[3]
        for k in (3, 2, 1):
            post = moved if k == 3 else slopes[k] * moved
            total[f"W_{k}_{k - 1}"] = total.get(f"W_{k}_{k - 1}", 0) + np.outer(post, rates[k - 1]) / len(X)
            if k > 1:
                jacobian = np.zeros((NET.sizes[k - 1], NET.sizes[k]))
                for n, unit in enumerate(np.eye(NET.sizes[k])):
                    ends = [np.tanh(w[f"Q_{k - 1}_{k}"] @ (rates[k] + s * delta * unit)) for s in (1, -1)]
                    jacobian[:, n] = (ends[0] - ends[1]) / (2 * delta)
                moved = jacobian @ moved
    return total


def test_small_steps_of_target_propagation_follow_the_decoders():
    """Oracle: finite differences of the decoders; what is left is of second order in the step."""
    w, steps = drawn(DTP), (1e-1, 1e-2, 1e-3, 1e-4)
    expected = decoded(w)
    for name in ("W_1_0", "W_2_1"):
        errors = []
        for step in steps:
            found = update(DTP.with_constants(step=step), NET, X, TEACHER, w)
            errors.append(near(found[name] / step, expected[name]))
            assert near(found["W_3_2"], expected["W_3_2"]) < 1e-12
        assert np.polyfit(np.log(steps), np.log(errors), 1)[0] == pytest.approx(1, abs=0.1)
        assert errors[-1] < 1e-3


@pytest.mark.parametrize("realisation", REALISATIONS[1:])
def test_a_finite_step_follows_the_decoders_in_every_realisation(realisation):
    """Oracle: the same differences; tolerance: the second order at this step (tensor.rate) and the spikes' 2 %."""
    small, w, timing = DTP.with_constants(step=0.1), drawn(DTP), Timing(settle=400, window=400, tau=16e-3)
    found, expected = update(small, NET, X, TEACHER, w, realisation=realisation, timing=timing), decoded(w)
    rest = {name: near(update(small, NET, X, TEACHER, w)[name] / 0.1, expected[name]) for name in ("W_1_0", "W_2_1")}
    for name, second_order in rest.items():
        assert near(found[name] / 0.1, expected[name]) <= second_order + 0.02


# -- the learned inverse -----------------------------------------------------------------------------------------------

INVERSE = replace(DTP, name="inverse", hidden="", output="", plasticity={}, limit=None, own=None)  # the noise phase
DEEP, BATCH, RATE, UPDATES, SIGMA = mlp([8, 6, 5, 3]), 16, 2.0, 8, 0.3
QS = {"Q_1_2": "W_2_1", "Q_2_3": "W_3_2"}  # the inverse -> of what
TIMINGS = {"circuit.rate": Timing(settle=150), "tensor.spiking": SPIKES, "circuit.spiking": SPIKES}


def samples(name: str, step: int, count: int) -> np.ndarray:
    return streams.stream(11, name, step).uniform(-1, 1, (count, 8))


def learned(rule, realisation: str, updates: int = UPDATES) -> tuple[dict, dict]:
    """Weights before and after so many noisy presentations, each of new samples and new noise; W is frozen."""
    teacher = np.zeros((BATCH, 3))
    start = prepare(rule, DEEP, samples("train", 0, BATCH), teacher, seed=2)[1]
    now = dict(start)
    for step in range(updates):
        change = update(rule, DEEP, samples("train", step, BATCH), teacher, now, realisation=realisation,
                        seed=100 + step, timing=TIMINGS.get(realisation))
        assert set(change.changes) == set(QS)
        now |= {name: now[name] + RATE * change[name] for name in QS}
    return start, now


def probed(w: dict, x: np.ndarray, noise: np.random.Generator) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """{Q: (probes, what the layer above then does)}, all layers at once, the noisy signal going up."""
    one = np.tanh(x @ w["W_1_0"].T + w["b_1"])
    one = one + SIGMA * noise.standard_normal(one.shape)
    two = np.tanh(one @ w["W_2_1"].T + w["b_2"])
    probe = two + SIGMA * noise.standard_normal(two.shape)
    return {"Q_1_2": (one, two), "Q_2_3": (probe, probe @ w["W_3_2"].T + w["b_3"])}


def reconstruction(w: dict) -> dict[str, float]:
    """Mean square of probe - f(Q h) on samples and noise that no update saw."""
    found = probed(w, samples("held out", 0, 300), streams.stream(11, "held-out noise"))
    return {q: float(np.mean((probe - np.tanh(above @ w[q].T)) ** 2)) for q, (probe, above) in found.items()}


def ideal(w: dict) -> dict[str, np.ndarray]:
    """The inverse at the end of plain gradient descent in NumPy on many samples."""
    found = probed(w, samples("ideal", 0, 2000), streams.stream(11, "ideal noise"))
    best = {q: w[q].copy() for q in QS}
    for _ in range(500):
        for q, (probe, above) in found.items():
            guess = np.tanh(above @ best[q].T)
            best[q] += ((1 - guess**2) * (probe - guess)).T @ above / len(above)
    return best


def only(w: dict) -> np.ndarray:
    return np.concatenate([w[q].ravel() for q in QS])


@pytest.fixture(scope="module")
def by_algebra() -> tuple[dict, dict]:
    return learned(INVERSE, "tensor.rate")


@pytest.mark.parametrize("realisation", REALISATIONS)
def test_the_inverse_is_learned(realisation, by_algebra):
    """Oracles: NumPy on held-out samples, the best constant guess, plain gradient descent, and the algebra's Q.

    The error falls to less than half of what it was and of the probes' variance, Q comes nearer to where gradient
    descent ends, and it ends where the algebra's does: to 5 % of the way in spikes (a signal of 1 is 40 of them in a
    window), to 1e-3 in the rate circuit, which has 15 synaptic time constants for a chain of four.
    """
    start, end = by_algebra if realisation == "tensor.rate" else learned(INVERSE, realisation)
    for q, w in QS.items():  # Q starts independent of W
        assert abs(np.sum(start[q] * start[w].T)) < 0.3 * np.linalg.norm(start[q]) * np.linalg.norm(start[w])
    assert all(np.array_equal(start[name], end[name]) for name in start if name not in QS)
    before, after, best = reconstruction(start), reconstruction(end), ideal(start)
    probes = probed(start, samples("held out", 0, 300), streams.stream(11, "held-out noise"))
    for q in QS:
        assert after[q] < 0.5 * before[q]
        assert after[q] < 0.5 * np.mean(np.var(probes[q][0], axis=0))
        assert np.linalg.norm(end[q] - best[q]) < 0.9 * np.linalg.norm(start[q] - best[q])
    way = only(by_algebra[1]) - only(start)
    assert near(only(end) - only(start), way) <= (0.05 if "spiking" in realisation else 1e-3)


@pytest.mark.parametrize("realisation", REALISATIONS)
def test_without_plasticity_the_inverse_stays_as_bad_as_it_was(realisation):
    """The control: the same presentations with a Q that does not learn."""
    text = "0*guess_slope_post*(probe_post - guess_post)*rate_pre"
    frozen = replace(INVERSE, name="frozen", phases={"inverse": replace(DTP.phases["inverse"], plasticity={"Q": text})})
    start, end = learned(frozen, realisation, updates=UPDATES if realisation.startswith("tensor") else 1)
    assert reconstruction(end) == reconstruction(start)
