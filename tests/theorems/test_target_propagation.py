"""Target propagation: inverses of the forward pass, and what they have to do with a gradient."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import RULES
from target_rules import (
    REALISATIONS,
    agrees,
    batch,
    conditioned,
    draw,
    haar,
    matrices,
    off,
    pulled_back,
    run,
    signals,
    spoilt,
    square,
)

from neurolearn.changes import update
from neurolearn.compare import cosine
from neurolearn.observer import backprop_gradient

TP, ITP = RULES["target_propagation"], RULES["incremental_target_propagation"]
TP_LEARNED, ITP_LEARNED = RULES["target_propagation_learned"], RULES["incremental_target_propagation_learned"]

TP_MUTANTS = {
    "bias stays in the goal": (("goal = inv(target) - b", "goal = inv(target)"),),
    "sign of the mismatch": (("slope*(target - rate)", "slope*(rate - target)"),),
    "no slope": (("slope*(target - rate)", "target - rate"),),
    "goal is a rate": (("inv(target)", "target"),),
    "top goal without the potential": (("potential + teacher - rate", "teacher - rate"),),
}


# -- target propagation and the gradient -------------------------------------------------------------------------------


def linear_case(activation: str = "linear", loss: str = "squared", width: int = 16, depth: int = 4):
    """A net that is linear on the batch: by name, or because no leaky unit comes near its kink."""
    net = square(width, depth, activation, loss)
    w = draw(net, haar, bias=0.3)
    if activation == "leaky_relu":
        x = np.random.default_rng(3).random((8, width))
        for k in range(1, depth):
            potentials = run(net, w, x)[1]
            w[f"b_{k}"] = w[f"b_{k}"] + 4 - potentials[k].min(0)
    x, teacher = batch(net, w)
    if loss == "cross_entropy":
        teacher = np.eye(width)[np.arange(8) % 4]
    return net, w, x, teacher


@pytest.mark.parametrize("loss", ["squared", "cross_entropy"])
@pytest.mark.parametrize("activation", ["linear", "leaky_relu"])
def test_it_is_backprop_if_orthogonal_and_linear_on_the_sample(activation, loss):
    """Oracle: autograd. Four products of orthogonal matrices: a few hundred eps."""
    net, w, x, teacher = linear_case(activation, loss)
    if activation == "leaky_relu":
        assert min(p.min() for p in run(net, w, x)[1][1:-1]) > 3
    expected = backprop_gradient(net, w, x, teacher)
    assert max(off(update(TP, net, x, teacher, w), expected, expected)) < 1e-12
    if activation == "linear":
        free = update(ITP.with_constants(gamma=0.5), net, x, teacher, w)
        assert max(off(free, expected, expected)) < 1e-12


@pytest.mark.parametrize("mutant", [m for m in TP_MUTANTS if m not in ("no slope", "goal is a rate")])
def test_a_spoilt_rule_is_not_backprop(mutant):
    """In a linear net the slope is 1 and f the identity; these two mutants meet their match in the closed form."""
    net, w, x, teacher = linear_case()
    found = update(spoilt(TP, *TP_MUTANTS[mutant]), net, x, teacher, w)
    assert max(off(found, backprop_gradient(net, w, x, teacher), matrices(net))) > 0.1


def test_an_inverse_of_another_matrix_is_not_backprop():
    """The mutant: a fixed orthogonal V of its own in place of the inverse."""
    net, w, x, teacher = linear_case()
    other = {f"V_{k - 1}_{k}": haar(np.random.default_rng(k), 16) for k in range(2, 5)}
    found = update(TP_LEARNED, net, x, teacher, w | other)
    assert min(off(found, backprop_gradient(net, w, x, teacher), matrices(net))) > 0.5


@pytest.mark.parametrize("realisation", REALISATIONS)
def test_it_is_backprop_there_in_every_realisation(realisation):
    """Oracle: autograd; tolerances of the edges."""
    net, w, x, teacher = linear_case(width=4, depth=3)
    x, teacher = x[:2], teacher[:2]
    assert agrees(TP, net, x, teacher, w, backprop_gradient(net, w, x, teacher), realisation)


def test_with_kinks_it_is_not_backprop():
    """Orthogonal W and leaky units: D^-1 stands where the gradient has D. Cosines here: .41, .18, .57."""
    net = square(64, 5, "leaky_relu")
    w = draw(net)
    x, teacher = batch(net, w, 32, 10)
    found, gradient = update(TP, net, x, teacher, w), backprop_gradient(net, w, x, teacher)
    assert max(cosine(found[n], gradient[n]) for n in matrices(net)[:3]) < 0.7
    assert off(found, gradient, ["W_4_3"])[0] < 1e-12  # the highest hidden layer has no kink above it
    assert np.linalg.norm(found["W_1_0"]) > 10 * np.linalg.norm(gradient["W_1_0"])
    assert max(off(found, pulled_back(net, w, x, teacher), matrices(net))) < 1e-10


def test_the_converse_is_false():
    """Backprop to 1e-12, and W_2 and W_3 are not orthogonal nor the slopes 1: their Jacobians D W are orthogonal."""
    net, rng = square(8, 4, "leaky_relu"), np.random.default_rng(5)
    w, x = draw(net, haar), rng.random((6, 8))
    for k in (1, 2, 3):  # every unit stays on its side of the kink
        below = np.arange(8) % 2 == 0
        w[f"b_{k}"] = np.where(below, -30.0, 30.0)
        if k > 1:
            w[f"W_{k}_{k - 1}"] = haar(rng, 8) / np.where(below, 0.1, 1.0)[:, None]
            w[f"b_{k}"] -= run(net, w, x)[1][k].mean(0) - w[f"b_{k}"]
    teacher = run(net, w, x)[0][4] + 0.1 * rng.standard_normal((6, 8))
    assert np.linalg.norm(w["W_2_1"].T @ w["W_2_1"] - np.eye(8)) > 10
    assert {0.1, 1.0} == set(np.unique(run(net, w, x)[2][2]))
    expected = backprop_gradient(net, w, x, teacher)
    assert max(off(update(TP, net, x, teacher, w), expected, expected)) < 1e-12
    w["W_2_1"] = w["W_2_1"] @ np.diag(rng.uniform(0.8, 1.2, 8))  # and any other W will not do
    assert off(update(TP, net, x, teacher, w), backprop_gradient(net, w, x, teacher), ["W_1_0"])[0] > 0.05


# -- closed forms ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("realisation", REALISATIONS[:2])
def test_targets_are_pulled_back_through_the_exact_inverse(realisation):
    """Oracle: the published recursion with numpy.linalg.inv, at the full target, asinh."""
    net = square(4, 3)
    w = draw(net, conditioned)
    x, teacher = batch(net, w, 2, 2)
    expected = pulled_back(net, w, x, teacher)
    assert min(off(expected, backprop_gradient(net, w, x, teacher), matrices(net))) > 0.05
    assert agrees(TP, net, x, teacher, w, expected, realisation)


@pytest.mark.parametrize("mutant", TP_MUTANTS)
def test_a_spoilt_rule_pulls_back_something_else(mutant):
    net = square(4, 3)
    w = draw(net, conditioned, bias=0.5)
    x, teacher = batch(net, w, 2, 2)
    found = update(spoilt(TP, *TP_MUTANTS[mutant]), net, x, teacher, w)
    assert max(off(found, pulled_back(net, w, x, teacher), matrices(net))) > 0.05


def test_samples_of_a_class_have_the_same_targets():
    """One-hot on all outputs leaves nothing of the sample; free outputs bring it back."""
    net = square(16, 4)
    w = draw(net, conditioned)
    x, free = batch(net, w, 12)
    labels = free[:, :4].argmax(1)
    spread = {}
    for name, teacher in (("full", np.eye(16)[labels]), ("free", free)):
        targets = signals(TP, net, x, teacher, w)
        spread[name] = [
            max(targets[f"target_{k}"][labels == c].std(0).max() for c in set(labels.tolist())) for k in (1, 2, 3)
        ]
    assert max(spread["full"]) < 1e-13
    assert min(spread["free"]) > 0.05
