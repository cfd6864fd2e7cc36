"""The learned inverse of target propagation: where it is an inverse, and that its decoder descends its own error."""

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
    spoilt,
    square,
)

from neurolearn.changes import prepare, update
from neurolearn.tensor.rate import RateProgram

TP = RULES["target_propagation"]
TP_LEARNED, ITP_LEARNED = RULES["target_propagation_learned"], RULES["incremental_target_propagation_learned"]
LEARNED = {"target": TP_LEARNED, "incremental": ITP_LEARNED}
DECODERS = ("V_1_2", "V_2_3")


def images(net, w, x) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """{V: (h below, o = W h)} of the batch."""
    rates = run(net, w, x)[0]
    return {f"V_{k - 1}_{k}": (rates[k - 1], rates[k - 1] @ w[f"W_{k}_{k - 1}"].T) for k in range(2, net.output + 1)}


def trained(rule, net, w, x, updates: int, rate: float) -> dict[str, np.ndarray]:
    """The weights after so many presentations of the batch, W frozen."""
    program, weights, given = prepare(rule, net, x, run(net, w, x)[0][-1], w)
    learner = RateProgram(program, weights)
    for _ in range(updates):
        learner.step(given, {"V": rate})
    assert all(np.array_equal(learner.numpy()[name], w[name]) for name in w if name not in DECODERS)
    return learner.numpy()


def decoder_case(samples: int):
    net = square(6, 3)
    w = draw(net, conditioned)
    w |= {v: haar(np.random.default_rng(7 + k), 6) for k, v in enumerate(DECODERS)}
    x = np.random.default_rng(2).uniform(-2, 2, (samples, 6))
    rate = 1.9 / max(np.linalg.eigvalsh(o.T @ o / len(x)).max() for _, o in images(net, w, x).values())
    return net, w, x, rate


@pytest.mark.parametrize("samples", [30, 3])
@pytest.mark.parametrize("rule", LEARNED)
def test_the_decoder_learns_the_inverse_where_there_are_data(rule, samples):
    """V - W^-1 shrinks by I - rate <o o^T> in every update (oracle: its power). V starts independent of W.

    With 3 samples the inverse is learned on their span only, and elsewhere V stays what it was; a V that does not learn,
    the control, stays as bad as it was.
    """
    net, w, x, rate = decoder_case(samples)
    updates = 300
    end = trained(LEARNED[rule], net, w, x, updates, rate)
    frozen = spoilt(LEARNED[rule], ("wonder_post * image_pre", "0*wonder_post * image_pre"))
    control = trained(frozen, net, w, x, 2, rate)
    for v, (h, o) in images(net, w, x).items():
        inverse = np.linalg.inv(w[f"W_{v[-1]}_{v[2]}"])
        similarity = np.sum(w[v] * inverse) / (np.linalg.norm(w[v]) * np.linalg.norm(inverse))
        assert abs(similarity) < 0.5
        law = inverse + (w[v] - inverse) @ np.linalg.matrix_power(np.eye(6) - rate * o.T @ o / len(x), updates)
        assert np.linalg.norm(end[v] - law) < 1e-11
        before, after = (np.linalg.norm(o @ m.T - h) / np.linalg.norm(h) for m in (w[v], end[v]))
        assert before > 0.5
        assert after < 1e-2
        away = np.eye(6) - np.linalg.pinv(o) @ o  # onto what no datum has
        assert np.linalg.norm((end[v] - w[v]) @ away) < 1e-11
        if samples == 30:
            assert np.linalg.norm(end[v] - inverse) < 0.05 * np.linalg.norm(w[v] - inverse)
        assert np.array_equal(control[v], w[v])


DECODER_MUTANTS = {
    "sign": ("rate - V(image_above)", "rate + V(image_above)"),
    "bias in the image": ("image = potential - b", "image = potential"),
    "wrong end": ("wonder_post * image_pre", "wonder_post * rate_pre"),
}


def biased_case():
    net, w, x, _ = decoder_case(30)
    return net, w | {f"b_{k}": np.random.default_rng(k).standard_normal(6) for k in (1, 2, 3)}, x, np.zeros((30, 6))


@pytest.mark.parametrize("rule", LEARNED)
def test_the_inverse_is_a_fixed_point_and_the_transpose_is_not(rule):
    """V's change vanishes at W^-1, to 1e-13 of what it is at the start; biases are in the way of neither."""
    net, w, x, teacher = biased_case()
    size = min(np.linalg.norm(update(LEARNED[rule], net, x, teacher, w)[v]) for v in DECODERS)
    for at, low, high in ((np.linalg.inv, 0, 1e-13), (np.transpose, 0.05, np.inf)):
        change = update(LEARNED[rule], net, x, teacher, w | {v: at(w[f"W_{v[-1]}_{v[2]}"]) for v in DECODERS})
        assert all(low <= np.linalg.norm(change[v]) / size <= high for v in DECODERS)


@pytest.mark.parametrize("mutant", [None, *DECODER_MUTANTS])
@pytest.mark.parametrize("rule", LEARNED)
def test_the_decoder_descends_its_own_error(rule, mutant):
    """Oracle: (h - V o) o^T, minus the gradient of the squared error; every mutant is far from it."""
    net, w, x, teacher = biased_case()
    change = update(spoilt(LEARNED[rule], DECODER_MUTANTS[mutant]) if mutant else LEARNED[rule], net, x, teacher, w)
    expected = {v: (h - o @ w[v].T).T @ o / len(x) for v, (h, o) in images(net, w, x).items()}
    errors = off(change, expected, DECODERS)
    assert min(errors) > 0.3 if mutant else max(errors) < 1e-12


@pytest.mark.parametrize("realisation", REALISATIONS)
def test_the_decoder_learns_in_every_realisation(realisation):
    """One update of V: oracle (W^-1 - V) <o o^T> in NumPy; tolerances of the edges."""
    net = square(4, 3)
    w = draw(net, conditioned) | {v: haar(np.random.default_rng(7 + k), 4) for k, v in enumerate(DECODERS)}
    x, teacher = batch(net, w, 2, 2)
    expected = {}
    for v, (_, o) in images(net, w, x).items():
        expected[v] = (np.linalg.inv(w[f"W_{v[-1]}_{v[2]}"]) - w[v]) @ o.T @ o / len(x)
    assert agrees(TP_LEARNED, net, x, teacher, w, expected, realisation, DECODERS)


def test_a_learned_inverse_makes_it_target_propagation():
    """At V = W^-1 the learned rules are the exact ones, W's changes included. Oracle: the published recursion."""
    net = square(8, 3)
    w = draw(net, conditioned)
    x, teacher = batch(net, w)
    at = {v: np.linalg.inv(w[f"W_{v[-1]}_{v[2]}"]) for v in DECODERS}
    for rule, gamma in ((TP_LEARNED, 1.0), (ITP_LEARNED, 0.5)):
        found = update(rule, net, x, teacher, w | at)
        assert max(off(found, pulled_back(net, w, x, teacher, gamma), matrices(net, top=True))) < 1e-12
        assert min(off(update(rule, net, x, teacher, w), pulled_back(net, w, x, teacher, gamma), matrices(net))) > 0.3
