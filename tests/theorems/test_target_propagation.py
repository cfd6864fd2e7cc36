"""Target propagation and its incremental form: inverses of the forward pass, and what they have to do with a gradient."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import RULES
from target_rules import (
    EPS,
    REALISATIONS,
    F,
    agrees,
    batch,
    draw,
    gaussian,
    haar,
    matrices,
    off,
    order,
    outer,
    run,
    signals,
    spoilt,
    square,
)

from neurolearn.changes import prepare, update
from neurolearn.compare import cosine
from neurolearn.observer import backprop_gradient
from neurolearn.tensor.rate import RateProgram

TP, ITP = RULES["target_propagation"], RULES["incremental_target_propagation"]
TP_LEARNED, ITP_LEARNED = RULES["target_propagation_learned"], RULES["incremental_target_propagation_learned"]

TP_MUTANTS = {
    "bias stays in the goal": (("goal = inv(target) - b", "goal = inv(target)"),),
    "sign of the mismatch": (("slope*(target - rate)", "slope*(rate - target)"),),
    "no slope": (("slope*(target - rate)", "target - rate"),),
    "goal is a rate": (("inv(target)", "target"),),
    "top goal without the potential": (("potential + teacher - rate", "teacher - rate"),),
}


def pulled_back(net, w, x, teacher, gamma: float = 1.0) -> dict[str, np.ndarray]:
    """The published recursion with numpy.linalg.inv: full targets (gamma = 1), or incremental ones."""
    rates, potentials, slopes = run(net, w, x)
    depth, inverse = net.output, F[net.activation.name][2]
    goal, deltas = potentials[depth] + gamma * (teacher - rates[depth]), {depth: teacher - rates[depth]}
    for k in range(depth, 1, -1):
        target = (goal - w[f"b_{k}"]) @ np.linalg.inv(w[f"W_{k}_{k - 1}"]).T
        deltas[k - 1] = slopes[k - 1] * (target - rates[k - 1]) / gamma ** (depth - k + 1)
        goal = inverse(rates[k - 1] + gamma * (target - rates[k - 1]))
    return outer(net, rates, deltas)


def by_autograd(net, w, x, teacher) -> dict[str, np.ndarray]:
    """J^-1 (t - h), with the Jacobian of everything above a layer by autograd."""
    torch_f = {"asinh": torch.asinh, "linear": lambda u: u}[net.activation.name]
    rates, _, slopes = run(net, w, x)
    matrix = {n: torch.tensor(v) for n, v in w.items()}
    deltas = {net.output: teacher - rates[net.output]}
    for layer in range(1, net.output):

        def above(rate, layer=layer):
            for k in range(layer + 1, net.output + 1):
                rate = matrix[f"W_{k}_{k - 1}"] @ rate + matrix[f"b_{k}"]
                rate = rate if k == net.output else torch_f(rate)
            return rate

        jacobians = [torch.func.jacrev(above)(torch.tensor(r)).numpy() for r in rates[layer]]
        errors = [np.linalg.solve(j, e) for j, e in zip(jacobians, deltas[net.output], strict=True)]
        deltas[layer] = slopes[layer] * np.array(errors)
    return outer(net, rates, deltas)


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


def conditioned(rng, rows, columns=None):
    """Neither orthogonal nor hard to invert."""
    return haar(rng, rows) @ np.diag(rng.uniform(0.7, 1.4, rows)) @ haar(rng, rows)


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


# -- Gauss-Newton targets ----------------------------------------------------------------------------------------------


def test_the_reference_is_the_inverse_jacobian():
    """Oracle: autograd's Jacobian and numpy.linalg.solve, for the reference function of both rules."""
    net = square(12, 4)
    w = draw(net, gaussian)
    x, teacher = batch(net, w)
    assert TP.own is ITP.own
    assert max(off(TP.own(net, w, x, teacher, {}), by_autograd(net, w, x, teacher), matrices(net, top=True))) < 1e-9


@pytest.mark.parametrize("make", [haar, gaussian])
def test_small_errors_follow_the_inverse_jacobian(make):
    """Order 1 in the size of the output error, W orthogonal or not."""
    net, steps = square(16, 3), 10.0 ** -np.arange(1, 6)
    w = draw(net, make)
    x, teacher = batch(net, w)
    rate = run(net, w, x)[0][3]
    expected = by_autograd(net, w, x, teacher)
    errors = []
    for step in steps:
        found = update(TP, net, x, rate + step * (teacher - rate), w)
        errors.append(off({n: found[n] / step for n in found.changes}, expected, matrices(net)))
    one, two = zip(*errors, strict=True)
    assert order(steps, one) == pytest.approx(1, abs=0.1)
    assert one[-1] < 1e-3
    assert max(two) < 1e-8  # no nonlinearity in the way: rounding over the step


GAMMAS = (3e-1, 1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4)
ITP_MUTANTS = {
    "wrong power": (("gamma**distance", "gamma"),),
    "no slope": (("slope*(target - rate)/", "(target - rate)/"),),
    "full target": (("rate + gamma*(target - rate)", "target"),),
    "sign of the pull": (("- potential", "+ potential"),),
}


def incremental_errors(rule, net, w, gammas, expected_of, extra=()) -> dict[str, list[float]]:
    """{matrix: errors at each gamma} against a function of (net, w, x, teacher)."""
    x, teacher = batch(net, w)
    w = w | dict(extra)
    expected, names = expected_of(net, w, x, teacher), matrices(net)
    rows = [off(update(rule.with_constants(gamma=g), net, x, teacher, w), expected, names) for g in gammas]
    return dict(zip(names, np.array(rows).T.tolist(), strict=True))


@pytest.mark.parametrize("make", [haar, conditioned])
def test_increments_follow_the_inverse_jacobian_with_order_two(make):
    """Three decades of gamma; the highest hidden layer is exact as the output is linear. Oracle: autograd's Jacobian.

    A nonlinear output would make it order 1; an output here is linear, or softmax with its error in the logits.
    """
    errors = incremental_errors(ITP, square(16, 4), draw(square(16, 4), make), GAMMAS, by_autograd)
    assert max(errors["W_3_2"]) < 1e3 * EPS / min(GAMMAS)
    assert order(GAMMAS, errors["W_2_1"]) == pytest.approx(2, abs=0.1)
    above_rounding = [k for k, gamma in enumerate(GAMMAS) if gamma**2 > 1e4 * EPS / gamma**3]
    assert len(above_rounding) >= 4
    slope = order(np.take(GAMMAS, above_rounding), np.take(errors["W_1_0"], above_rounding))
    assert slope == pytest.approx(2, abs=0.1)


def test_the_rounding_floor_of_increments_is_where_it_is_predicted():
    """Cancellation: eps over gamma to the number of layers above, within a factor of 100, where it rules."""
    net, small = square(16, 4), (1e-4, 3e-5, 1e-5)
    errors = incremental_errors(ITP, net, draw(net), small, by_autograd)
    for gamma, one, two, three in zip(small, *errors.values(), strict=True):
        assert 1e-2 < one / (EPS / gamma**3) < 1e2
        assert two < 10 * gamma**2 + 1e2 * EPS / gamma**2
        assert three < 1e2 * EPS / gamma


@pytest.mark.parametrize("mutant", ITP_MUTANTS)
def test_spoilt_increments_do_not_follow_it(mutant):
    net = square(16, 4)
    with np.errstate(all="ignore"):
        errors = incremental_errors(spoilt(ITP, *ITP_MUTANTS[mutant]), net, draw(net), (1e-2,), by_autograd)
    assert not max(e[0] for e in errors.values()) < 0.05


def test_learned_increments_follow_their_decoders():
    """Order 2 to D V D^-1 for any V; oracle: that recursion in NumPy. Not the inverse Jacobian while V is not W^-1."""
    net = square(12, 3)
    decoders = {f"V_{k - 1}_{k}": haar(np.random.default_rng(k), 12) for k in (2, 3)}

    def decoded(net, w, x, teacher):
        rates, _, slopes = run(net, w, x)
        error, deltas = teacher - rates[3], {}
        for k in (2, 1):
            error = (error / slopes[k + 1]) @ w[f"V_{k}_{k + 1}"].T
            deltas[k] = slopes[k] * error
        return outer(net, rates, deltas)

    errors = incremental_errors(ITP_LEARNED, net, draw(net), GAMMAS, decoded, decoders)
    assert order(GAMMAS, errors["W_1_0"]) == pytest.approx(2, abs=0.1)
    assert max(errors["W_2_1"]) < 1e3 * EPS / min(GAMMAS)
    other = incremental_errors(ITP_LEARNED, net, draw(net), (1e-3,), by_autograd, decoders)
    assert min(e[0] for e in other.values()) > 0.3
    w = draw(net) | decoders
    x, teacher = batch(net, w)
    assert max(off(ITP_LEARNED.own(net, w, x, teacher, {}), decoded(net, w, x, teacher), matrices(net))) < 1e-12


@pytest.mark.parametrize("gamma", [1.0, 0.5, 0.05])
def test_in_a_linear_net_increments_change_nothing(gamma):
    """ITP = TP for any invertible W. Rounding: the condition of W times eps over gamma to the depth."""
    net = square(12, 4, "linear")
    w = draw(net, conditioned)
    x, teacher = batch(net, w)
    full = update(TP, net, x, teacher, w)
    assert max(off(update(ITP.with_constants(gamma=gamma), net, x, teacher, w), full, full.changes)) < 1e-10
    assert min(off(full, backprop_gradient(net, w, x, teacher), matrices(net)[:2])) > 0.2
    spoilt_rule = spoilt(ITP, ("rate + gamma*(target - rate)", "rate + gamma**2*(target - rate)"))
    found = update(spoilt_rule.with_constants(gamma=0.5), net, x, teacher, w)
    assert off(found, full, ["W_1_0"])[0] > 0.5


@pytest.mark.parametrize("realisation", REALISATIONS)
def test_finite_increments_in_every_realisation(realisation):
    """Oracle: the published recursion at gamma = 1/2, asinh, W not orthogonal; tolerances of the edges."""
    net = square(4, 3)
    w = draw(net, conditioned)
    x, teacher = batch(net, w, 2, 2)
    expected = pulled_back(net, w, x, teacher, gamma=0.5)
    assert off(expected, pulled_back(net, w, x, teacher), ["W_1_0"])[0] > 0.04
    assert agrees(ITP, net, x, teacher, w, expected, realisation)


# -- the learned inverse -----------------------------------------------------------------------------------------------

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
