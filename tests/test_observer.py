"""The observer's gradient against complex-step differences in NumPy, and the rules' tensor programs against the observer."""

from __future__ import annotations

import numpy as np
import pytest

from neurolearn import observer, rules, streams
from neurolearn.activations import NAMED, Activation, get, leaky_relu, lif
from neurolearn.compare import relative_error
from neurolearn.errors import InputError
from neurolearn.network import LOSSES, Connection, Network, mlp
from neurolearn.program import lower
from neurolearn.tensor.rate import RateProgram

BATCH = 7
EXACT = 1e-12  # relative: some 1e2 roundings of 1e-16 each, and room

RNG = np.random.default_rng(0)
MASK = RNG.random((5, 6)) < 0.6
SHAPES = {
    "chain": (6, 5, 4, 3),
    "skips, a mask and an identity": (
        (6, 5, 5, 4, 3),
        (Connection(0, 1, "masked", MASK), Connection(1, 2, "identity"), Connection(0, 2), Connection(2, 3),
         Connection(1, 3), Connection(3, 4), Connection(0, 4)),
    ),
}
OWN = Activation("mine", "torch.atan({u})", "1.0/(1.0 + ({u})**2)", "arctan({u})", "1.0/(1.0 + ({u})**2)")
ACTIVATIONS = [*(get(name) for name in NAMED), leaky_relu(0.3), lif(10e-3, 5e-3, 50.0, 1.3), OWN]


def network(shape="chain", activation="tanh", loss="squared"):
    sizes, edges = SHAPES[shape] if isinstance(SHAPES[shape][0], tuple) else (SHAPES[shape], ())
    return Network(sizes, edges, get(activation), loss)


def presented(net, seed=0):
    """Inputs and a teacher that is a distribution over the classes, but not one-hot."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(BATCH, net.sizes[0])), rng.dirichlet(np.ones(net.sizes[-1]), size=BATCH)


def drawn(rule, net, seed=0):
    program = lower(rule, net)
    return program, streams.initial_weights(program, rule.pathways, seed, bias=0.5)


def changes(program, weights, x, teacher):
    found = RateProgram(program, weights).changes(streams.given(program, x, teacher))
    return {name: change.numpy() for name, change in found.items()}


# -- the observer, by complex steps ------------------------------------------------------------------------------------


def f(activation, u):
    """The activation in NumPy, analytic where it has a slope, so that a complex step can go through it."""
    if activation == OWN:
        return np.arctan(u)
    if activation.name == "leaky_relu":
        return np.where(u.real > 0, u, (0.1 if activation == leaky_relu() else 0.3) * u)
    if activation.name == "lif":
        tau, dead, unit, background = (20e-3, 2e-3, 100.0, 1.0) if activation == lif() else (10e-3, 5e-3, 50.0, 1.3)
        drive = np.where(u.real + background > 1, u + background, 2.0)
        return np.where(u.real + background > 1, 1 / (unit * (dead + tau * np.log(drive / (drive - 1)))), 0)
    return {
        "linear": lambda: u, "relu": lambda: np.where(u.real > 0, u, 0), "tanh": lambda: np.tanh(u),
        "asinh": lambda: np.arcsinh(u), "softplus": lambda: np.log1p(np.exp(u)),
    }[activation.name]()


def output(net, weights, x):
    """Potential of the output, layer by layer, edge by edge, sample by sample."""
    rates = [x]
    for k in range(1, len(net.sizes)):
        u = np.stack([weights[f"b_{k}"]] * len(x)).astype(complex)
        for edge in net.below(k):
            if edge.kind == "identity":
                u += rates[edge.source]
            else:
                matrix = weights[f"W_{k}_{edge.source}"] * (1 if edge.mask is None else edge.mask)
                u += np.einsum("ij,nj->ni", matrix, rates[edge.source])
        rates.append(f(net.activation, u))
    return u


def loss(net, weights, x, teacher):
    u = output(net, weights, x)
    if net.loss == "squared":
        return np.sum((teacher - u) ** 2) / 2 / len(x)
    return -np.sum(teacher * (u - np.log(np.exp(u).sum(1))[:, None])) / len(x)


def complex_steps(net, weights, x, teacher, h=1e-30):
    """Im loss(w + ih) / h: a finite difference without a subtraction, exact to rounding."""
    found = {}
    for name in [n for n in weights if n[0] in "Wb"]:
        slopes = np.zeros(weights[name].shape)
        for place in np.ndindex(slopes.shape):
            moved = weights[name].astype(complex)
            moved[place] += 1j * h
            slopes[place] = loss(net, {**weights, name: moved}, x, teacher).imag / h
        found[name] = -slopes
    return found


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda a: a.name)
def test_gradient_and_loss_are_those_of_the_equations(activation, shape, kind):
    net = network(shape, activation, kind)
    _, weights = drawn(rules.get("backprop"), net)
    x, teacher = presented(net)
    found, expected = observer.backprop_gradient(net, weights, x, teacher), complex_steps(net, weights, x, teacher)
    assert found.keys() == expected.keys()
    for name, slope in expected.items():
        assert np.abs(slope).max() > 1e-6
        # asinh and log lose digits in NumPy's complex functions; the loss is a sum of hundreds of terms near 1
        np.testing.assert_allclose(found[name], slope, rtol=0, atol=1e-12 * np.abs(slope).max())
    assert observer.loss(net, weights, x, teacher) == pytest.approx(loss(net, weights, x, teacher).real, rel=1e-13)


@pytest.mark.parametrize("u", [-40.0, -5.0, 0.0, 5.0, 21.0, 39.0, 41.0, 800.0])
def test_softplus_is_exact_where_torch_would_call_it_linear(u):
    weights = {"W_1_0": np.ones((1, 1)), "W_2_1": np.ones((1, 1)), "b_1": np.zeros(1), "b_2": np.zeros(1)}
    found = observer.forward(mlp([1, 1, 1], "softplus"), weights, np.array([[u]]))
    assert found.item() == pytest.approx(np.logaddexp(0.0, u), rel=1e-15)


def test_masked_weights_have_no_gradient_and_do_not_matter():
    net = network("skips, a mask and an identity")
    _, weights = drawn(rules.get("backprop"), net)
    x, teacher = presented(net)
    gradient = observer.backprop_gradient(net, weights, x, teacher)
    assert not gradient["W_1_0"][~MASK].any()
    assert gradient["W_1_0"][MASK].all()
    filled = weights | {"W_1_0": np.where(MASK, weights["W_1_0"], 7.0)}
    np.testing.assert_array_equal(observer.forward(net, filled, x), observer.forward(net, weights, x))


@pytest.mark.parametrize("kind", LOSSES)
def test_forward_gives_output_rates_and_accuracy_counts_their_argmax(kind):
    net = network(loss=kind)
    _, weights = drawn(rules.get("backprop"), net)
    x, teacher = presented(net)
    u = output(net, weights, x).real
    rates = u if kind == "squared" else np.exp(u) / np.exp(u).sum(1, keepdims=True)
    np.testing.assert_allclose(observer.forward(net, weights, x), rates, rtol=1e-13, atol=1e-13)
    right = sum(int(np.argmax(r) == np.argmax(t)) for r, t in zip(rates, teacher, strict=True))
    assert observer.accuracy(net, weights, x, teacher) == right / BATCH
    assert observer.accuracy(net, weights | {"b_3": np.full(3, np.nan)}, x, teacher) == 0.0


def test_the_inputs_are_left_alone():
    net = network()
    _, weights = drawn(rules.get("backprop"), net)
    x, teacher = presented(net)
    copies = {name: value.copy() for name, value in weights.items()}
    observer.backprop_gradient(net, weights, x, teacher)
    for name, value in copies.items():
        np.testing.assert_array_equal(weights[name], value)


def test_what_does_not_fit_is_named():
    net = mlp([6, 5, 3])
    _, weights = drawn(rules.get("backprop"), net)
    x, teacher = presented(net)
    with pytest.raises(InputError, match=r"x has shape \(7, 5\); this network \(6-5-3 tanh\) needs \(batch, 6\)"):
        observer.forward(net, weights, x[:, :5])
    with pytest.raises(InputError, match=r"teacher has shape \(7, 2\).* needs \(batch, 3\)"):
        observer.backprop_gradient(net, weights, x, teacher[:, :2])
    with pytest.raises(InputError, match="x has 7 samples and teacher 6"):
        observer.loss(net, weights, x, teacher[:6])
    with pytest.raises(InputError, match=r"weight W_2_1 has shape \(5, 3\).* needs \(3, 5\)"):
        observer.forward(net, weights | {"W_2_1": weights["W_2_1"].T}, x)
    with pytest.raises(InputError, match=r"there is no weight b_2; .* needs W_1_0, W_2_1, b_1, b_2"):
        observer.forward(net, {n: w for n, w in weights.items() if n != "b_2"}, x)


# -- rules, by the observer --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda a: a.name)
def test_the_backprop_rule_is_the_gradient(activation, shape, kind):
    net = network(shape, activation, kind)
    program, weights = drawn(rules.get("backprop"), net)
    x, teacher = presented(net)
    found, expected = changes(program, weights, x, teacher), observer.backprop_gradient(net, weights, x, teacher)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        assert relative_error(found[name], gradient) < EXACT, name


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("shape", SHAPES)
def test_feedback_alignment_with_transposed_weights_is_the_gradient(shape, kind):
    net = network(shape, loss=kind)
    program, weights = drawn(rules.get("feedback_alignment"), net)
    x, teacher = presented(net)
    gradient = observer.backprop_gradient(net, weights, x, teacher)
    assert relative_error(changes(program, weights, x, teacher)["W_1_0"], gradient["W_1_0"]) > 0.1
    for name in [n for n in weights if n.startswith("B_")]:
        _, layer, above = name.split("_")
        weights[name] = weights[f"W_{above}_{layer}"].T
    found = changes(program, weights, x, teacher)
    for name, expected in gradient.items():
        assert relative_error(found[name], expected) < EXACT, name


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("shape", SHAPES)
def test_direct_feedback_along_all_paths_is_the_gradient_of_a_linear_network(shape, kind):
    net = network(shape, "linear", kind)
    program, weights = drawn(rules.get("direct_feedback_alignment"), net)
    x, teacher = presented(net)
    reach = {net.output: np.eye(net.sizes[-1])}  # d output / d layer: the sum over all paths from there
    for layer in range(net.output - 1, 0, -1):
        steps = {e.target: np.eye(net.sizes[layer]) if e.kind == "identity" else weights[f"W_{e.target}_{layer}"]
                 for e in net.above(layer)}
        reach[layer] = sum(reach[target] @ step for target, step in steps.items())
        weights[f"B_{layer}_{net.output}"] = reach[layer].T
    found, expected = changes(program, weights, x, teacher), observer.backprop_gradient(net, weights, x, teacher)
    for name, gradient in expected.items():
        assert relative_error(found[name], gradient) < EXACT, name
