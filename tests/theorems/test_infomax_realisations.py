"""Infomax in circuits and in spikes adds what its equations say, and where a hard threshold keeps spikes from doing so.

Oracles: closed forms in NumPy for the same draws; a bound on the ripple of a filtered regular spike train.
"""

from __future__ import annotations

import numpy as np
import pytest
from conftest import RULES, near
from infomax_rules import EXACT, gap, start

from neurolearn import streams
from neurolearn.changes import default_timing, prepare
from neurolearn.circuit import make
from neurolearn.compare import angle, norm_ratio
from neurolearn.network import mlp
from neurolearn.rule import Rule
from neurolearn.tensor.rate import RateProgram
from neurolearn.tensor.spiking import SpikingProgram
from neurolearn.timing import Timing

BINARY, GAUSSIAN, SQUARE = (RULES[name] for name in ("infomax", "infomax_gaussian", "infomax_square"))


def closed_form(rule: Rule, weights: dict, x: np.ndarray, given: dict) -> dict[str, np.ndarray]:
    """What one layer adds for these draws, from the equations in the rule's docstring."""
    w, b, n = weights["W_1_0"], weights["b_1"], len(x)
    u = x @ w.T + b
    p = 1 / (1 + np.exp(-u))
    if rule is SQUARE:
        return SQUARE.limit.equals(mlp(w.shape), weights, x, None, {})
    if rule is GAUSSIAN:
        y, q = u + GAUSSIAN.constants["spread"] * given["noise_learn_1"], weights["Q_1_1"]
        return {"W_1_0": np.linalg.inv(q) @ y.T @ x / n, "b_1": -y.mean(0), "Q_1_1": y.T @ y / n - q}
    y = (given["uniform_learn_1"] < p) * 1.0
    guess = y @ weights["L_1_1"].T + weights["c_1"]
    post, miss = p * (1 - p) * (u - guess), y - 1 / (1 + np.exp(-guess))
    lateral = miss.T @ y / n * (1 - np.eye(len(w)))
    return {"W_1_0": post.T @ x / n, "b_1": post.mean(0), "L_1_1": lateral, "c_1": miss.mean(0)}


def ripple(w: np.ndarray, timing: Timing) -> np.ndarray:
    r"""How far a logistic rate may stray from its mean while regular spikes come in, by unit: $\frac14 \sum_j |w_{ij}| / r \tau$.

    One spike moves the current of its synapse by w over (rate per unit of signal times tau), and the current stays within
    one such step of its mean; the logistic function is nowhere steeper than 1/4.
    """
    return np.abs(w).sum(1) / (4 * timing.rate_of("fires") * timing.tau_of("W.fires"))


def changes(program, weights, given, realisation: str, timing: Timing) -> dict[str, np.ndarray]:
    if realisation == "tensor.spiking":
        return {n: c.numpy() for n, c in SpikingProgram(program, weights, timing).run(given).items()}
    circuit = make(program, weights, given, timing, realisation.split(".")[1])
    circuit.run()
    return circuit.changes()


@pytest.mark.parametrize("realisation", ["circuit.rate", "tensor.spiking", "circuit.spiking"])
@pytest.mark.parametrize("rule", [BINARY, GAUSSIAN, SQUARE], ids=lambda rule: rule.name)
def test_every_realisation_adds_the_closed_form(rule, realisation):
    """Tolerances of the edges: 1e-8, or 1e-5 with a loop; 2 degrees and 2 % in spikes.

    ``fires`` is a hard threshold. In spikes it is decided as in rates where the draw is further from the rate than the
    rate's ripple; the draws here are. (Two units that fire by the toss of a coin agree in no other sense.)
    """
    net, seed = mlp([4, 4] if rule is SQUARE else [5, 4]), 0
    x = streams.stream(2, "x").random((2, net.sizes[0]))
    weights = start(rule, net)
    program, weights, given = prepare(rule, net, x, np.zeros((2, 4)), weights)
    timing = default_timing(program, weights, given, realisation)
    if rule is BINARY:
        rate = 1 / (1 + np.exp(-x @ weights["W_1_0"].T - weights["b_1"]))
        while (np.abs(given["uniform_learn_1"] - rate) <= ripple(weights["W_1_0"], timing)).any():
            seed += 1
            given = prepare(rule, net, x, np.zeros((2, 4)), weights, seed=seed)[2]
        assert 0 < (given["uniform_learn_1"] < rate).sum() < rate.size
    expected = closed_form(rule, weights, x, given)
    found = changes(program, weights, given, realisation, timing)
    assert gap({n: c.numpy() for n, c in RateProgram(program, weights).changes(given).items()}, expected) <= EXACT
    for name, change in expected.items():
        assert np.linalg.norm(change) > 1e-3
        if realisation == "circuit.rate":
            assert near(found[name], change) <= (1e-5 if rule is GAUSSIAN else 1e-8)
        else:
            assert angle(found[name], change) <= 2
            assert abs(norm_ratio(found[name], change) - 1) <= 0.02


def test_spikes_decide_otherwise_only_within_the_ripple():
    """Without L and c the change of c is fires - 1/2, so its error is the share of the window that was decided otherwise.

    A draw is nearer to the rate than the ripple with a probability of twice the ripple; only those may be, and some are.
    """
    net, batch = mlp([5, 4]), 150
    x = streams.stream(2, "x").random((batch, 5))
    weights = start(BINARY, net) | {"L_1_1": np.zeros((4, 4)), "c_1": np.zeros(4)}
    program, weights, given = prepare(BINARY, net, x, np.zeros((batch, 4)), weights)
    timing = default_timing(program, weights, given, "tensor.spiking")
    shares = SpikingProgram(program, weights, timing, kind="fused").repeats(given, batch)
    rate = 1 / (1 + np.exp(-x @ weights["W_1_0"].T - weights["b_1"]))
    otherwise = np.abs(np.stack([s["c_1"].numpy() for s in shares]) - ((given["uniform_learn_1"] < rate) - 0.5)) > 1e-9
    bound = ripple(weights["W_1_0"], timing)
    near_by = np.abs(given["uniform_learn_1"] - rate) <= bound
    assert not (otherwise & ~near_by).any()
    assert 0 < otherwise.sum() < near_by.sum()
    chances = np.broadcast_to(2 * bound, rate.shape)
    assert near_by.sum() <= chances.sum() + 4 * np.sqrt(chances.sum())
