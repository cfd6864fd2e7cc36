r"""A noisy linear layer, and a square one, follow the gradient of information.

Oracles: autograd of the information of each channel (``neurolearn.information``, tested by itself), water filling, the
mixing matrix, NumPy's solver. Gaussian noise comes with exact moments, so that means are exact and nothing is sampled.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import RULES, near
from infomax_rules import EXACT, WIDE, gap, mutant, start

from neurolearn import information, streams
from neurolearn.changes import prepare
from neurolearn.network import mlp
from neurolearn.program import lower
from neurolearn.rule import Rule
from neurolearn.tensor.rate import RateProgram

GAUSSIAN, SQUARE = RULES["infomax_gaussian"], RULES["infomax_square"]

# -- a linear layer with Gaussian noise --------------------------------------------------------------------------------

INPUTS, OUTPUTS, SPREAD = 6, 4, 0.5
LINEAR = mlp([INPUTS, OUTPUTS], "linear")
ROOT = streams.stream(7, "covariance").standard_normal((INPUTS, INPUTS)) * np.array([0.8, 0.6, 0.4, 0.2, 0.1, 0.05])
SIGMA, CENTRE = ROOT @ ROOT.T, np.linspace(-1, 2, INPUTS)


def exact_moments(rule: Rule, weights: dict, rows: int = 16):
    """A batch in which x has mean CENTRE and covariance SIGMA, the noise 0 and 1, and the two are uncorrelated."""
    drawn = np.c_[np.ones(rows), streams.stream(9, "rows").standard_normal((rows, INPUTS + OUTPUTS))]
    white = np.linalg.qr(drawn)[0][:, 1:] * np.sqrt(rows)
    program, weights, given = prepare(
        rule, LINEAR, white[:, :INPUTS] @ ROOT.T + CENTRE, np.zeros((rows, OUTPUTS)), weights
    )
    given["noise_learn_1"] = white[:, INPUTS:]
    return program, weights, given


def channel(w: np.ndarray) -> dict[str, np.ndarray]:
    """Q and b as they should be: the covariance of y, and no mean."""
    return {"Q_1_1": w @ SIGMA @ w.T + SPREAD**2 * np.eye(OUTPUTS), "b_1": -w @ CENTRE}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (None, None),
        ("(rate - Q(fit_here))", "(rate + Q(fit_here))"),
        ("(rate - Q(fit_here))", "(rate - fit - 0*Q(fit_here))"),
        ("fit_post * rate_pre", "rate_post * rate_pre"),
        ("fit_post * rate_pre", "fit_post * rate_pre - 0.2*w"),
        ("spread*noise", "2*spread*noise"),
        ("rate_post*rate_pre - w", "rate_post*rate_pre + w"),
        ("rate_post*rate_pre - w", "rate_post*rate_pre"),
    ],
)
def test_inhibition_by_the_covariance_gives_the_gradient_of_information(old, new):
    """Oracle: autograd of I of the channel; Q and b stay where they are."""
    w = start(GAUSSIAN, LINEAR)["W_1_0"]
    program, weights, given = exact_moments(mutant(GAUSSIAN, old, new) if old else GAUSSIAN, {"W_1_0": w, **channel(w)})
    found = RateProgram(program, weights).changes(given)
    error = near(found["W_1_0"], information.gaussian_gradient(w, SIGMA, SPREAD)["W"])
    still = float(found["Q_1_1"].norm()) / np.linalg.norm(weights["Q_1_1"]), float(found["b_1"].norm())
    if old:
        assert error > WIDE or still[0] > WIDE
    else:
        assert error <= EXACT
        assert max(still) <= EXACT


def test_the_loop_settles_to_the_inverse():
    """Oracle: numpy.linalg.solve, sample by sample, for a Q that is no covariance at all."""
    lateral = 2 * np.eye(OUTPUTS) + streams.stream(1, "lateral").standard_normal((OUTPUTS, OUTPUTS)) / 4
    program, weights, given = exact_moments(GAUSSIAN, {"Q_1_1": lateral})
    signals = RateProgram(program, weights).signals(given)["learn"]
    assert near(signals["fit_1"], np.linalg.solve(lateral, signals["rate_1"].numpy().T).T) < 1e-12


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (None, None),
        ("rate_post*rate_pre - w", "rate_post*rate_pre - 2*w"),
        ("-rate_post", "fit_post"),
        ("-rate_post", "0"),
    ],
)
def test_lateral_synapses_and_the_bias_find_the_covariance(old, new):
    """From the identity, with W at rest; Oracle: Cov(y) = W Sigma W' + s^2. A Hebbian bias, as W has, does not get there."""
    program, weights, given = exact_moments(mutant(GAUSSIAN, old, new) if old else GAUSSIAN, start(GAUSSIAN, LINEAR))
    rate = RateProgram(program, weights)
    for _ in range(60):  # both halve what is missing
        rate.step(given, {"Q": 0.5, "b": 0.5})
    found = gap(rate.numpy(), channel(weights["W_1_0"]))
    assert found > WIDE if old else found <= EXACT


@pytest.mark.parametrize("hebb", [False, True])
def test_ascent_at_constant_power_fills_with_water(hebb):
    """Oracle: the water-filling optimum. With Hebb's product instead all units share the one strongest direction."""
    power, rule = 1.0, mutant(GAUSSIAN, "fit_post * rate_pre", "rate_post * rate_pre") if hebb else GAUSSIAN
    program, weights, given = exact_moments(rule, start(GAUSSIAN, LINEAR))
    rate = RateProgram(program, weights, kind="fused", batch=len(given["data_0"]))
    given, w = rate.load(given), rate.weight["W_1_0"]
    best, powers = information.water_filling(SIGMA, SPREAD, power, OUTPUTS)
    told = []
    for _ in range(600):  # a step of W is small, so that Q and b, always one step behind, are nearly right
        w.mul_(np.sqrt(power) / w.norm())
        told.append(information.gaussian_information(w, SIGMA, SPREAD))
        rate.step(given, {"W": 0.02, "b": 1.0, "Q": 1.0})
    assert 1 < np.count_nonzero(powers) < OUTPUTS  # there is a direction that is not worth its power
    assert told[0] < 0.8 * best
    assert told[-1] < 0.85 * best if hebb else 0 <= best - told[-1] < 1e-4 * best


@pytest.mark.parametrize(
    ("old", "new"), [(None, None), ("-rate_post", "fit_post"), ("rate_post*rate_pre - w", "rate_post*rate_pre")]
)
def test_the_stated_moments_are_those_of_the_channel(old, new):
    """``rule.limit.equals`` against the rule on noise with exact moments, Q and b anywhere."""
    weights = start(GAUSSIAN, LINEAR) | {"Q_1_1": 5 * np.eye(OUTPUTS) + np.arange(OUTPUTS)}
    program, weights, given = exact_moments(mutant(GAUSSIAN, old, new) if old else GAUSSIAN, weights)
    found = {n: c.numpy() for n, c in RateProgram(program, weights).changes(given).items()}
    stated = GAUSSIAN.limit.equals(LINEAR, weights, given["data_0"], None, GAUSSIAN.constants)
    assert gap(found, stated) > WIDE if old else gap(found, stated) <= EXACT
    assert set(stated) == set(found)


# -- a square layer ----------------------------------------------------------------------------------------------------

SAME = mlp([4, 4])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (None, None),
        ("w + (1 - 2*rate_post)", "w - (1 - 2*rate_post)"),
        ("w + (1 - 2*rate_post)", "(1 - 2*rate_post)"),
        ("(1 - 2*rate_post)", "(1 - rate_post)"),
        ("potential - b", "potential"),
        ("echo_pre", "rate_pre"),
    ],
)
def test_the_square_rule_is_the_natural_gradient(old, new):
    """Oracle: autograd of <log |det dy/dx|>, times W' W; neither W nor the batch is special."""
    weights = start(SQUARE, SAME) | {"W_1_0": streams.stream(3, "square").standard_normal((4, 4))}
    x, w = 0.5 + streams.stream(4, "square").standard_normal((7, 4)), weights["W_1_0"]
    program, weights, given = prepare(mutant(SQUARE, old, new) if old else SQUARE, SAME, x, np.zeros((7, 4)), weights)
    found = {n: c.numpy() for n, c in RateProgram(program, weights).changes(given).items()}
    exact = information.square_gradient(w, weights["b_1"], x)
    expected = {"W_1_0": exact["W"] @ w.T @ w, "b_1": exact["b"]}
    assert gap(found, expected) > WIDE if old else gap(found, expected) <= EXACT
    assert gap(SQUARE.limit.equals(SAME, weights, x, None, {}), expected) <= EXACT


@pytest.mark.parametrize("linear", [False, True])
def test_three_sources_are_told_apart(linear):
    """Oracle: the mixing matrix. W A ends as a scaled permutation; a linear unit decorrelates and cannot tell them apart."""
    rule = mutant(SQUARE, "(1 - 2*rate_post)*echo", "-drive_post*echo") if linear else SQUARE
    mixing, net, batch = streams.stream(12, "mixing").standard_normal((3, 3)), mlp([3, 3]), 50
    program = lower(rule, net)
    rate = RateProgram(program, streams.initial_weights(program, rule.pathways, 1), kind="fused", batch=batch)
    sources = torch.tensor(streams.stream(13, "sources").laplace(size=(3000, batch, 3)))

    def mixed() -> float:
        """How large the second largest source is in a unit, of the largest; the worst unit."""
        parts = np.sort(np.abs(rate.numpy()["W_1_0"] @ mixing), axis=1)
        return float((parts[:, -2] / parts[:, -1]).max())

    before = mixed()
    for k, data in enumerate(sources @ mixing.T):
        rate.step({"data_0": data}, {"W": 0.05 / (1 + k / 300)})
    assert before > 0.3
    assert mixed() > 0.3 if linear else mixed() < 0.05
    if not linear:
        assert sorted(np.abs(rate.numpy()["W_1_0"] @ mixing).argmax(1)) == [0, 1, 2]
