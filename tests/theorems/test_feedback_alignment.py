"""What is known of feedback alignment and direct feedback alignment, on chains, masked edges and learned skips."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from alignment_nets import (
    BP,
    BRIEF,
    DFA,
    EXACT,
    FA,
    MUTANTS,
    ONE,
    SIMULATIONS,
    SMALL,
    STRAIGHT,
    TEACHER,
    TOPOLOGIES,
    X,
    changes,
    drawn,
    into,
    mutant,
    net,
    small,
    transposed,
    worst,
)
from conftest import near

from neurolearn import streams
from neurolearn.changes import prepare
from neurolearn.compare import angle, cosine
from neurolearn.network import mlp
from neurolearn.observer import backprop_gradient, loss
from neurolearn.rule import Normal, Tied, Uniform
from neurolearn.tensor.rate import RateProgram

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
