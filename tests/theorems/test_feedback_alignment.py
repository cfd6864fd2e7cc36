"""What is known of feedback alignment and direct feedback alignment, on chains, masked edges and learned skips."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from conftest import RULES, near

from neurolearn import streams
from neurolearn.changes import prepare, update
from neurolearn.compare import angle, cosine
from neurolearn.network import Connection, Network, mlp
from neurolearn.observer import backprop_gradient, loss
from neurolearn.rule import Normal, Rule, Tied, Uniform
from neurolearn.tensor.rate import RateProgram
from neurolearn.timing import Timing

FA, DFA, BP = (RULES[n] for n in ("feedback_alignment", "direct_feedback_alignment", "backprop"))
SIMULATIONS = ("circuit.rate", "tensor.spiking", "circuit.spiking")
EXACT = 1e-12  # relative: some 1e3 roundings of 1e-16 each


def edges(*pairs: tuple[int, int], masks=None) -> tuple[Connection, ...]:
    masks = masks or {}
    return tuple(Connection(*p, "masked", masks[p]) if p in masks else Connection(*p) for p in pairs)


def mask(to: int, source: int, seed: int) -> np.ndarray:
    return streams.stream(seed, "mask", to, source).random((to, source)) < 0.6


CHAIN = ((0, 1), (1, 2), (2, 3), (3, 4))
SIZES = (6, 8, 7, 6, 3)
MASKS = {pair: mask(SIZES[pair[1]], SIZES[pair[0]], 1) for pair in (*CHAIN[:3], (1, 3))}
TOPOLOGIES = {
    "chain": edges(*CHAIN),
    "masked": edges(*CHAIN, masks={pair: MASKS[pair] for pair in CHAIN[:3]}),
    "skips": edges(*CHAIN, (0, 2), (1, 3), (2, 4)),
    "masked skips": edges(*CHAIN, (0, 2), (1, 3), (1, 4), masks=MASKS),
}
STRAIGHT = ("chain", "masked")
X = streams.stream(1, "x").uniform(-1, 1, (4, 6))
TEACHER = np.eye(3)[[0, 2, 1, 2]]


def net(topology: str = "chain", activation: str = "tanh") -> Network:
    return Network(SIZES, TOPOLOGIES[topology], activation)


def drawn(rule: Rule, network: Network, bias: float = 0.4, x=X, teacher=TEACHER) -> dict[str, np.ndarray]:
    return prepare(rule, network, x, teacher, seed=3, bias=bias)[1]


def changes(rule: Rule, network: Network, weights: dict, x=X, teacher=TEACHER, **options) -> dict[str, np.ndarray]:
    return dict(update(rule, network, x, teacher, weights, **options).changes)


def transposed(weights: dict) -> dict[str, np.ndarray]:
    """The same with every B_s_t the transpose of W_t_s."""
    names = {n: "W_{1}_{0}".format(*n.split("_")[1:]) for n in weights if n.startswith("B_")}
    return {**weights, **{feedback: weights[forward].T for feedback, forward in names.items()}}


def into(found: dict, layers) -> dict[str, np.ndarray]:
    """Changes of weights and biases into these layers."""
    return {n: c for n, c in found.items() if int(n.split("_")[1]) in layers}


def worst(found: dict, expected: dict) -> float:
    """Largest relative error over all weights that ``expected`` names."""
    return max(near(found[name], change) for name, change in expected.items())


B = {FA.name: "B(error_above)", DFA.name: "B(error_output)"}
MUTANTS = {
    "the sign turned": "-slope * {B}",
    "the gate left out": "{B}",
    "gated by the rate": "rate * {B}",
    "the error squashed": "slope * tanh(3*{B})",
}


def mutant(rule: Rule, name: str) -> Rule:
    """The same rule with another hidden error."""
    return replace(rule, name="mutant", hidden=f"error = {MUTANTS[name].format(B=B[rule.name])}", limit=None)


# -- equal to backpropagation ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_with_transposed_feedback_it_is_the_gradient(topology, activation):
    """Oracle: autograd. Any other hidden error is far from it, and so is feedback that is not transposed."""
    network = net(topology, activation)
    random = drawn(FA, network)
    weights = transposed(random)
    expected = backprop_gradient(network, weights, X, TEACHER)
    assert worst(changes(FA, network, weights), expected) <= EXACT
    assert worst(changes(FA, network, random), into(expected, (1, 2, 3))) > 0.1
    for name in MUTANTS:
        assert worst(changes(mutant(FA, name), network, weights), expected) > 0.1, name


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_direct_feedback_along_all_paths_is_the_gradient_of_a_linear_network(topology):
    """Oracle: autograd; B is the transpose of the sum over paths of the products of their weights."""
    weights = drawn(DFA, net(topology, "linear"))
    reach = {4: np.eye(3)}
    for layer in (3, 2, 1):
        reach[layer] = sum(reach[c.target] @ weights[f"W_{c.target}_{layer}"] for c in net(topology).above(layer))
        weights[f"B_{layer}_4"] = reach[layer].T
    for activation, holds in (("linear", True), ("tanh", False)):
        expected = backprop_gradient(net(topology, activation), weights, X, TEACHER)
        found = worst(changes(DFA, net(topology, activation), weights), expected)
        assert found <= EXACT if holds else found > 0.05
    for name in ("the sign turned", "gated by the rate", "the error squashed"):  # the gate of a linear unit is 1
        expected = backprop_gradient(net(topology, "linear"), weights, X, TEACHER)
        assert worst(changes(mutant(DFA, name), net(topology, "linear"), weights), expected) > 0.1


@pytest.mark.parametrize("rule", [FA, DFA], ids=lambda r: r.name)
@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_the_output_layer_learns_as_in_backpropagation(topology, rule):
    """Oracle: autograd, whatever the feedback; an output error that is squashed is not it."""
    network = net(topology)
    weights = drawn(rule, network)
    expected = into(backprop_gradient(network, weights, X, TEACHER), (4,))
    assert worst(changes(rule, network, weights), expected) <= EXACT
    squashed = replace(rule, name="mutant", output="error = tanh(teacher - rate)", limit=None)
    assert worst(changes(squashed, network, weights), expected) > 0.1


@pytest.mark.parametrize("topology", STRAIGHT)
def test_direct_or_not_is_the_same_in_the_last_hidden_layer(topology):
    """Oracle: the other rule, with the same feedback weights, bit for bit."""
    network = net(topology)
    one, two = drawn(FA, network), drawn(DFA, network)
    found = into(changes(FA, network, one), (3,))
    direct = changes(DFA, network, {**two, "B_3_4": one["B_3_4"]})
    assert all(np.array_equal(direct[name], change) for name, change in found.items())
    assert worst(changes(DFA, network, {**two, "B_3_4": one["B_3_4"]}), into(changes(FA, network, one), (1,))) > 0.1
    for name in MUTANTS:
        assert worst(changes(mutant(DFA, name), network, {**two, "B_3_4": one["B_3_4"]}), found) > 0.1, name


# -- feedback weights and nothing else ---------------------------------------------------------------------------------


@pytest.mark.parametrize("topology", STRAIGHT)
def test_stronger_feedback_is_a_larger_step_and_nothing_else(topology):
    r"""Oracle: $c^{L-l}$, or c if direct; exact for c = 2, which changes no digit of a float."""
    network = net(topology)
    for rule, power in ((FA, lambda k: 4 - k), (DFA, lambda k: min(4 - k, 1))):
        weights = drawn(rule, network)
        doubled = {n: 2 * w if n.startswith("B_") else w for n, w in weights.items()}
        once, twice = changes(rule, network, weights), changes(rule, network, doubled)
        for name, change in once.items():
            assert np.array_equal(twice[name], 2 ** power(int(name.split("_")[1])) * change)
        broken = mutant(rule, "the error squashed")
        once, twice = changes(broken, network, weights), changes(broken, network, doubled)
        assert near(twice["W_1_0"], 2 ** power(1) * once["W_1_0"]) > 0.1


@pytest.mark.parametrize("rule", [FA, DFA, BP], ids=lambda r: r.name)
@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_no_weight_is_transported(topology, rule):
    """Oracle: the same batch with other output weights and the error held: not one bit moves; backpropagation does."""
    network = net(topology)
    held = {"error": {4: streams.stream(2, "held").normal(size=(4, 3))}}
    weights = drawn(rule, network)
    into_output = [n for n in weights if n.startswith("W_4_")]
    others = {n: 3 * streams.stream(7, n).normal(size=weights[n].shape) for n in into_output}
    before = into(changes(rule, network, weights, held=held), (1, 2, 3))
    after = into(changes(rule, network, {**weights, **others}, held=held), (1, 2, 3))
    assert min(np.abs(change).max() for change in before.values()) > 1e-3
    if rule is BP:
        assert min(near(after[n], change) for n, change in before.items()) > 0.1
    else:
        assert all(np.array_equal(after[n], change) for n, change in before.items())


# -- direction ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", [FA, DFA], ids=lambda r: r.name)
@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_the_loss_falls_along_a_change_as_its_gradient_says(topology, rule):
    r"""Oracle: central differences of the loss (error $h^2$); along the output's change alone they are $-|\Delta W_L|^2$."""
    network, h = net(topology), 1e-5
    weights = drawn(rule, network)
    gradient = backprop_gradient(network, weights, X, TEACHER)

    def descent(step: dict[str, np.ndarray]) -> float:
        ends = [{n: w + s * h * step.get(n, 0) for n, w in weights.items()} for s in (1, -1)]
        return (loss(network, ends[1], X, TEACHER) - loss(network, ends[0], X, TEACHER)) / (2 * h)

    found = changes(rule, network, weights)
    along = sum(float(np.sum(found[n] * gradient[n])) for n in found)
    length = sum(float(np.sum(c**2)) for c in found.values())
    assert abs(descent(found) - along) <= 1e-9 * length
    top = into(found, (4,))
    square = sum(float(np.sum(c**2)) for c in top.values())
    assert descent(top) == pytest.approx(square, rel=1e-8)
    turned = replace(rule, name="mutant", output="error = rate - teacher", limit=None)
    assert descent(into(changes(turned, network, weights), (4,))) == pytest.approx(-square, rel=1e-8)


@pytest.mark.parametrize("rule", [FA, DFA], ids=lambda r: r.name)
@pytest.mark.parametrize("topology", ["chain", "skips"])
def test_for_one_sample_the_angle_of_a_change_is_that_of_the_error(topology, rule):
    """Oracle: autograd's error. The input factor cancels, on every edge; not so if the change decays the weight."""
    network = net(topology)
    weights = drawn(rule, network)
    decaying = replace(rule, name="mutant", plasticity={"W": "error_post * rate_pre - w"}, limit=None)
    for sample in range(len(X)):
        x, teacher = X[[sample]], TEACHER[[sample]]
        gradient = backprop_gradient(network, weights, x, teacher)
        found, broken = (changes(r, network, weights, x, teacher) for r in (rule, decaying))
        off = []
        for c in network.connections:
            name, bias = f"W_{c.target}_{c.source}", f"b_{c.target}"
            expected = cosine(found[bias], gradient[bias])
            assert cosine(found[name], gradient[name]) == pytest.approx(expected, abs=1e-14)
            off.append(abs(cosine(broken[name], gradient[name]) - expected))
        assert max(off) > 0.1


@pytest.mark.parametrize("rule", [FA, DFA], ids=lambda r: r.name)
@pytest.mark.parametrize("topology", ["chain", "skips"])
def test_inner_products_of_changes_need_no_change(topology, rule):
    r"""Oracle: $\langle \Delta W_a, \Delta W_b \rangle = \sum (D_a D_b^\top) \odot (H H^\top) / n^2$, b by autograd."""
    network = net(topology)
    weights = drawn(rule, network)
    program, _, given = prepare(rule, network, X, TEACHER, weights)
    signals = {n: s.numpy() for n, s in RateProgram(program, weights).signals(given)["learn"].items()}
    one = [backprop_gradient(network, weights, X[[n]], TEACHER[[n]]) for n in range(len(X))]
    gradient, found = backprop_gradient(network, weights, X, TEACHER), changes(rule, network, weights)
    decaying = replace(rule, name="mutant", plasticity={"W": "error_post * rate_pre - w"}, limit=None)
    broken, off = changes(decaying, network, weights), []
    for c in network.connections:
        name = f"W_{c.target}_{c.source}"
        d = signals[f"error_{c.target}"] @ np.stack([g[f"b_{c.target}"] for g in one]).T
        h = X if c.source == 0 else signals[f"rate_{c.source}"]
        gram = np.sum(d * (h @ h.T)) / len(X) ** 2
        scale = np.linalg.norm(found[name]) * np.linalg.norm(gradient[name])
        assert abs(np.sum(found[name] * gradient[name]) - gram) <= 1e-13 * scale
        off.append(abs(np.sum(broken[name] * gradient[name]) - gram) / scale)
    assert max(off) > 0.1


# -- over many steps ---------------------------------------------------------------------------------------------------


def trained(rule: Rule, network: Network, weights: dict, eta: float, steps: int, bias: float = 0.0) -> list[dict]:
    """Weights before and after every step of rate eta (biases: ``bias``) on one batch."""
    program, weights, given = prepare(rule, network, X, TEACHER, weights)
    engine = RateProgram(program, weights)
    given, history = engine.load(given), [engine.numpy()]
    for _ in range(steps):
        engine.step(given, {"W": eta, "b": bias})
        history.append(engine.numpy())
    return history


def paid(network: Network, weights: dict, layer: int) -> np.ndarray:
    r"""$\sum_s W_{ls} W_{ls}^\top - \sum_t (B_{lt} W_{tl} + \cdot^\top)$ over the edges into and out of a layer."""
    both = sum(weights[f"B_{layer}_{c.target}"] @ weights[f"W_{c.target}_{layer}"] for c in network.above(layer))
    into = [weights[f"W_{layer}_{c.source}"] for c in network.below(layer)]
    return sum(w @ w.T for w in into) - both - both.T


def drifts(rule: Rule, network: Network, weights: dict, layers, quantity) -> list[float]:
    """Largest change of a quantity over a time of 2, for three rates each of which is half of the one before."""
    found = []
    for eta in (0.04, 0.02, 0.01):
        first, *_, last = trained(rule, network, weights, eta, round(2 / eta))
        assert max(near(last[n], w) for n, w in first.items() if n.startswith("W")) > 0.03  # it does learn
        found.append(max(np.abs(quantity(network, last, k) - quantity(network, first, k)).max() for k in layers))
    return found


def conserved(found: list[float]) -> bool:
    """Whether the drift is Euler's: half of it at half the rate, and small."""
    return found[-1] < 0.02 and all(a / b == pytest.approx(2, abs=0.1) for a, b in pairwise(found))


def each(quantity):
    """Of a matrix what belongs to single units."""
    return lambda network, weights, layer: np.diag(quantity(network, weights, layer))


def norms(network: Network, weights: dict, layer: int) -> np.ndarray:
    """Of each unit, the squared norm of its incoming less that of its outgoing weights."""
    into = sum((weights[f"W_{layer}_{c.source}"] ** 2).sum(1) for c in network.below(layer))
    return into - sum((weights[f"W_{c.target}_{layer}"] ** 2).sum(0) for c in network.above(layer))


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_alignment_pays_for_growth(topology):
    r"""Oracle: gradient flow without biases conserves $|w_i|^2 - 2 (B W)_{ii}$ of every rectifier, so Euler's drift halves.

    Backpropagation conserves the norm in less the norm out; direct feedback the first, in the last hidden layer only.
    """
    network, hidden = net(topology, "relu"), (1, 2, 3)
    weights = drawn(FA, network, bias=0)
    assert conserved(drifts(FA, network, weights, hidden, each(paid)))
    assert not conserved(drifts(mutant(FA, "the gate left out"), network, weights, hidden, each(paid)))
    assert not conserved(drifts(FA, network, weights, hidden, norms))
    if topology in STRAIGHT:
        assert conserved(drifts(BP, network, drawn(BP, network, bias=0), hidden, norms))
        weights = drawn(DFA, network, bias=0)
        assert conserved(drifts(DFA, network, weights, (3,), each(paid)))
        assert not conserved(drifts(mutant(DFA, "the gate left out"), network, weights, (3,), each(paid)))


def test_alignment_pays_for_growth_in_every_direction_of_a_linear_layer():
    """Oracle: the same, for the whole matrix and not its diagonal; a masked or a tanh layer does not conserve it."""
    weights = drawn(FA, net("chain", "linear"), bias=0)
    assert conserved(drifts(FA, net("chain", "linear"), weights, (1, 2, 3), paid))
    assert conserved(drifts(FA, net("skips", "linear"), drawn(FA, net("skips"), bias=0), (1, 2, 3), paid))
    assert not conserved(drifts(FA, net("chain", "tanh"), weights, (1, 2, 3), paid))


def hops(network: Network) -> list[int]:
    """Of each layer the least number of edges from the input."""
    found = [0]
    for layer in range(1, len(network.sizes)):
        found.append(1 + min(found[c.source] for c in network.below(layer)))
    return found


def awake(history: list[dict], network: Network) -> list[set[tuple[int, int]]]:
    """After each step, the edges whose weights are not all zero."""
    return [{(c.source, c.target) for c in network.connections if h[f"W_{c.target}_{c.source}"].any()} for h in history]


@pytest.mark.parametrize("rule", [FA, DFA], ids=lambda r: r.name)
@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_from_zero_weights_one_more_layer_wakes_up_in_every_step(topology, rule):
    """Oracle: an edge learns once its source is active, one step after an edge into the source; biases are frozen at 0.

    Backpropagation never starts, an error that is gated by the rate neither; biases that learn wake all at once.
    """
    network = net(topology)
    zero = {n: 0 * w if n[0] in "Wb" else w for n, w in drawn(rule, network).items()}
    expected = [{(c.source, c.target) for c in network.connections if hops(network)[c.source] < t} for t in range(6)]
    assert awake(trained(rule, network, zero, 0.5, 5), network) == expected
    assert len(expected[-1]) == len(network.connections) > len(expected[1])
    free = awake(trained(rule, network, zero, 0.5, 2, bias=0.5), network)
    assert len(free[2]) == len(network.connections) > len(expected[2])
    asleep = awake(trained(mutant(rule, "gated by the rate"), network, zero, 0.5, 5), network)
    assert not asleep[-1] & {(c.source, c.target) for c in network.connections if c.target < network.output}
    assert not any(awake(trained(BP, network, zero, 0.5, 5), network))


# -- sign symmetry -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weights", [Uniform(), Normal()], ids=["uniform", "normal"])
def test_how_far_signs_alone_are_from_the_weights(weights):
    r"""Oracle: $\cos = |W|_1 / (\sqrt n |W|_2)$, 30.0 degrees for uniform weights and 37.1 for normal ones, +- 0.3."""
    pathways = {
        "W": replace(FA.pathways["W"], weights=weights),
        "B": replace(FA.pathways["B"], weights=Tied("W", "sign")),
    }
    found = drawn(replace(FA, name="signs", pathways=pathways, limit=None), mlp([6, 300, 300, 3]))
    w, b = found["W_2_1"], found["B_1_2"]
    assert cosine(b.T, w) == pytest.approx(np.abs(w).sum() / np.sqrt(w.size) / np.linalg.norm(w), rel=1e-13)
    assert angle(b.T, w) == pytest.approx(30.0 if isinstance(weights, Uniform) else 37.07, abs=0.3)
    assert near(b, np.abs(w).mean() * np.sign(w).T) < 1e-15


# -- in the other realisations -----------------------------------------------------------------------------------------

SMALL = Network((5, 4, 4, 3), edges((0, 1), (0, 2), (1, 2), (1, 3), (2, 3)))
ONE = (X[:1, :5], TEACHER[:1])
BRIEF = Timing(settle=60, window=60, tau=5e-3)  # what is exact is so at any time


def small(rule: Rule, network: Network = SMALL, bias: float = 0.4) -> dict[str, np.ndarray]:
    return drawn(rule, network, bias, *ONE)


@pytest.mark.parametrize("realisation", SIMULATIONS)
def test_what_is_exact_is_so_in_every_realisation(realisation):
    """Oracles: the same simulation of another rule, bit for bit where nothing differs; one sample's rank of one.

    The output learns as in backpropagation, the last hidden layer is direct feedback's, and the angle between changes
    is that between errors.
    """
    weights = small(FA)
    direct = {**small(DFA), "B_2_3": weights["B_2_3"]}
    fa, dfa, bp = (
        changes(rule, SMALL, w, *ONE, realisation=realisation, timing=BRIEF)
        for rule, w in ((FA, weights), (DFA, direct), (BP, weights))
    )
    assert all(np.array_equal(fa[n], bp[n]) and np.array_equal(dfa[n], bp[n]) for n in ("W_3_1", "W_3_2", "b_3"))
    assert all(np.array_equal(fa[n], dfa[n]) and not np.array_equal(fa[n], bp[n]) for n in ("W_2_0", "W_2_1", "b_2"))
    assert near(fa["W_1_0"], dfa["W_1_0"]) > 0.1
    for name, bias in (("W_1_0", "b_1"), ("W_2_0", "b_2"), ("W_2_1", "b_2")):
        assert cosine(fa[name], bp[name]) == pytest.approx(cosine(fa[bias], bp[bias]), abs=1e-13)
        assert abs(cosine(fa[name], bp[name])) < 0.99


@pytest.mark.parametrize("realisation", SIMULATIONS)
def test_a_change_pays_for_growth_in_every_realisation(realisation):
    r"""Oracle: $\sum_s \Delta W_s W_s^\top = \sum_t B_t \Delta W_t$ in a linear layer without biases.

    Tolerance: the edge's 1e-8, or 2 % in spikes; with the feedback of another draw it is far off.
    """
    network = replace(SMALL, activation="linear")
    weights = small(FA, network, bias=0)
    found = changes(FA, network, weights, *ONE, realisation=realisation)
    other = {n: streams.stream(9, n).normal(size=w.shape) for n, w in weights.items()}
    for layer in (1, 2):
        grown = sum(found[f"W_{layer}_{c.source}"] @ weights[f"W_{layer}_{c.source}"].T for c in network.below(layer))
        for feedback, holds in ((weights, True), (other, False)):
            price = sum(
                feedback[f"B_{layer}_{c.target}"] @ found[f"W_{c.target}_{layer}"] for c in network.above(layer)
            )
            off = near(grown, price)
            assert off <= (0.02 if "spiking" in realisation else 1e-8) if holds else off > 0.5


@pytest.mark.parametrize("realisation", SIMULATIONS)
def test_layers_wake_up_one_by_one_in_every_realisation(realisation):
    """Oracle: the hops from the input; what is silent changes nothing, not by rounding either."""
    network = Network((5, 4, 4, 3), edges((0, 1), (1, 2), (2, 3)))
    now = {n: 0 * w if n[0] in "Wb" else w for n, w in small(FA, network).items()}
    for woken in ({"W_1_0"}, {"W_1_0", "W_2_1"}):
        found = changes(FA, network, now, *ONE, realisation=realisation, timing=BRIEF)
        assert {n for n, c in found.items() if n[0] == "W" and c.any()} == woken
        now = {n: w + found[n] if n[0] == "W" else w for n, w in now.items()}
