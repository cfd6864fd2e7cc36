"""What is known of kickback: where it is the gradient, when its signs are right, and what that does not promise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import RULES, near

from neurolearn import streams
from neurolearn.changes import prepare, update
from neurolearn.compare import angle, cosine, norm_ratio
from neurolearn.ledger import ledger
from neurolearn.network import Network, mlp
from neurolearn.observer import backprop_gradient
from neurolearn.program import lower
from neurolearn.rule import Pathway, Rule, Tied
from neurolearn.rules.kickback import truncated
from neurolearn.tensor.rate import RateProgram

KICKBACK = RULES["kickback"]
FREE = replace(
    KICKBACK,
    name="incoherent",
    pathways={**KICKBACK.pathways, "W": replace(KICKBACK.pathways["W"], coherent=False)},
)
EITHER = (KICKBACK, FREE)
EXACT = 1e-12  # relative: some 1e3 roundings of 1e-16 each
SHAPES = ((5, 8, 1), (5, 8, 6, 1), (5, 8, 6, 7, 6, 1))
MUTANTS = {
    "the sign turned": "-slope * K(slope_above)",
    "the gate left out": "K(slope_above)",
    "the gate above left out": "slope * K(rate_above)",
    "no kick": "slope",
    "a kick without end": "slope * K(credit_above)",  # backpropagation
}


def mutant(name: str, rule: Rule = KICKBACK) -> Rule:
    return replace(rule, name="mutant", hidden=f"credit = {MUTANTS[name]}", limit=None, own=None)


def signed(sizes, activation: str = "relu") -> Network:
    return mlp(sizes, activation, signed=True)


def batch(sizes, seed: int = 0, samples: int = 6) -> tuple[np.ndarray, np.ndarray]:
    rng = streams.stream(seed, "kickback")
    return rng.normal(size=(samples, sizes[0])), rng.normal(size=(samples, 1))


def drawn(rule: Rule, network: Network, seed: int = 0) -> dict[str, np.ndarray]:
    return prepare(rule, network, *batch(network.sizes, seed), seed=seed, bias=0.3)[1]


def changes(rule: Rule, network: Network, x, teacher, weights: dict, **options) -> dict[str, np.ndarray]:
    return dict(update(rule, network, x, teacher, weights, **options).changes)


def into(found: dict, *layers: int) -> dict[str, np.ndarray]:
    """Changes of weights and biases into these layers."""
    return {n: c for n, c in found.items() if int(n.split("_")[1]) in layers}


def worst(found: dict, expected: dict) -> float:
    """Largest relative error over all weights that ``expected`` names."""
    return max(near(found[name], change) for name, change in expected.items())


# -- where it is the gradient ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["relu", "softplus"])
@pytest.mark.parametrize("rule", EITHER, ids=lambda r: r.name)
@pytest.mark.parametrize("sizes", SHAPES, ids=str)
def test_the_last_two_layers_are_backpropagation(sizes, rule, activation):
    """Oracle: autograd, with and without coherence; so one hidden layer is all of it, and a third layer is not."""
    network, (x, teacher) = signed(sizes, activation), batch(sizes)
    weights, top = drawn(rule, network), len(sizes) - 1
    expected = backprop_gradient(network, weights, x, teacher)
    last = into(expected, top, top - 1)
    assert worst(changes(rule, network, x, teacher, weights), last) <= EXACT
    if top > 2:
        assert worst(changes(rule, network, x, teacher, weights), into(expected, top - 2)) > 0.1
    for name in ("the sign turned", "the gate left out", "the gate above left out", "no kick"):
        assert worst(changes(mutant(name, rule), network, x, teacher, weights), last) > 0.1, name


@pytest.mark.parametrize("activation", ["relu", "softplus"])
@pytest.mark.parametrize("rule", EITHER, ids=lambda r: r.name)
def test_paths_cut_off_after_one_layer(rule, activation):
    """Oracle: sums over paths in NumPy, which are autograd's gradient if nothing is cut off; a kick has a reach of one."""
    sizes = SHAPES[-1]
    network, (x, teacher) = signed(sizes, activation), batch(sizes)
    weights = drawn(rule, network)
    cut = [truncated(network, weights, x, teacher, {}, reach) for reach in range(6)]
    assert worst(cut[4], backprop_gradient(network, weights, x, teacher)) <= EXACT
    assert worst(cut[3], cut[4]) > 0.05
    expected = {0: "no kick", 1: None, 4: "a kick without end"}
    for reach, name in expected.items():
        found = changes(mutant(name, rule) if name else rule, network, x, teacher, weights)
        assert worst(found, cut[reach]) <= EXACT
        assert all(worst(found, cut[other]) > 0.1 for other in expected if other != reach)


def even(network: Network, weights: dict, c: float) -> dict[str, np.ndarray]:
    """The same with all weights to the output equal."""
    top = network.output
    return {**weights, f"W_{top}_{top - 1}": np.full_like(weights[f"W_{top}_{top - 1}"], c)}


@pytest.mark.parametrize("rule", EITHER, ids=lambda r: r.name)
def test_with_equal_output_weights_the_layer_below_is_the_gradient_over_them(rule):
    """Oracle: autograd over c; the layer below that is not, and neither are unequal weights or any mutant."""
    sizes, c = SHAPES[-1], 0.37
    network, (x, teacher) = signed(sizes), batch(sizes)
    weights = drawn(rule, network)
    equal = even(network, weights, c)
    gradient = {n: g / c for n, g in backprop_gradient(network, equal, x, teacher).items()}
    found = changes(rule, network, x, teacher, equal)
    assert worst(found, into(gradient, 3)) <= EXACT
    assert worst(found, into(gradient, 2)) > 0.1
    unequal = into({n: g / c for n, g in backprop_gradient(network, weights, x, teacher).items()}, 3)
    assert worst(changes(rule, network, x, teacher, weights), unequal) > 0.1
    for name in MUTANTS:
        assert worst(changes(mutant(name, rule), network, x, teacher, equal), into(gradient, 3)) > 0.1, name


# -- signs -------------------------------------------------------------------------------------------------------------


def wrong_signs(rule: Rule, sizes, activation: str, nets: int = 6) -> tuple[int, int, list[float]]:
    """(units whose error has the sign against autograd's, units in all, cosines of layers that are cut off), by sample.

    A unit whose gradient is not zero but that kickback does not move counts as wrong.
    """
    wrong, total, cosines = 0, 0, []
    for seed in range(nets):
        network, (x, teacher) = signed(sizes, activation), batch(sizes, seed)
        program, weights, given = prepare(rule, network, x, teacher, seed=seed, bias=0.1)
        program = RateProgram(program, weights)
        signals = {n: s.numpy() for n, s in program.signals(given)["learn"].items()}
        modulator = teacher - signals[f"rate_{network.output}"]
        for n in range(len(x)):
            gradient = backprop_gradient(network, weights, x[[n]], teacher[[n]])
            for k in range(1, network.output):
                error, expected = modulator[n] * signals[f"credit_{k}"][n], gradient[f"b_{k}"]
                moves = expected != 0
                wrong += int(np.sum(np.sign(error)[moves] != np.sign(expected)[moves]))
                total += int(np.sum(moves))
                if k < network.output - 1 and moves.any():
                    cosines.append(cosine(error, expected))
    return wrong, total, cosines


@pytest.mark.parametrize("activation", ["relu", "softplus"])
@pytest.mark.parametrize(("sizes", "share"), [((8, 16, 16, 1), 0.25), ((8, 16, 16, 16, 16, 1), 0.38)], ids=str)
def test_in_a_coherent_network_no_sample_moves_a_unit_the_wrong_way(sizes, share, activation):
    """Oracle: autograd, sample by sample. Without coherence half of the units of every cut layer go wrong: 25 or 38 %."""
    wrong, total, cosines = wrong_signs(KICKBACK, sizes, activation)
    assert (wrong, total > 500) == (0, True)
    assert np.mean(cosines) > 0.98
    assert min(cosines) > 0.9
    wrong, total, cosines = wrong_signs(FREE, sizes, activation)
    assert wrong / total == pytest.approx(share, abs=0.06)
    assert abs(np.mean(cosines)) < 0.3
    assert wrong_signs(mutant("no kick"), sizes, activation, nets=1)[0] == 0  # the kick buys precision, not signs
    for name in ("the sign turned", "the gate left out"):  # a silent or a negative unit is no positive one
        wrong, total, _ = wrong_signs(mutant(name), sizes, activation, nets=1)
        assert wrong / total > 0.2


def test_the_guarantee_is_per_sample_and_not_per_batch():
    r"""Oracle: by hand. Unit 0 of layer 1 drives a positive unit in the first sample, a negative one in the second.

    Its influence is 1 in both, $\pi$ is 1 and 4; the errors are 1 and -2, the inputs 2 and 1/2. So kickback adds
    $(1 \cdot 2 - 2 \cdot \frac12)/2 = \frac12$ to its weight and the gradient $(1 \cdot 2 - 8 \cdot \frac12)/2 = -1$.
    """
    network, x = signed((1, 2, 2, 1)), np.array([[2.0], [0.5]])
    weights = {
        "W_1_0": np.array([[1.0], [0.0]]),
        "b_1": np.array([0.0, -1.0]),
        "W_2_1": np.array([[1.0, 0.0], [-1.0, 0.0]]),
        "b_2": np.array([-1.0, 1.0]),
        "W_3_2": np.array([[1.0, 4.0]]),
        "b_3": np.zeros(1),
    }
    teacher = np.array([[1.0 + 1.0], [-2.0 - 2.0]])  # outputs are 1 and 4 * -1/2
    found, gradient = changes(KICKBACK, network, x, teacher, weights), backprop_gradient(network, weights, x, teacher)
    np.testing.assert_allclose(found["W_1_0"], [[0.5], [0.0]], rtol=0, atol=1e-15)
    np.testing.assert_allclose(gradient["W_1_0"], [[-1.0], [0.0]], rtol=0, atol=1e-15)
    for n in range(2):
        one = (x[[n]], teacher[[n]])
        along = changes(KICKBACK, network, *one, weights)["W_1_0"]
        assert np.sum(along * backprop_gradient(network, weights, *one)["W_1_0"]) > 0.1
    endless = changes(mutant("a kick without end"), network, x, teacher, weights)["W_1_0"]
    np.testing.assert_allclose(endless, gradient["W_1_0"], rtol=0, atol=1e-15)


# -- coherence is kept -------------------------------------------------------------------------------------------------


def trained(rule: Rule, kind: str, steps: int = 60) -> tuple[Network, list[dict[str, np.ndarray]]]:
    """Weights after every step, each with another batch, at a rate at which many of them would turn their sign."""
    sizes = SHAPES[-1]
    network = signed(sizes)
    program = lower(rule, network)
    engine = RateProgram(program, drawn(KICKBACK, network), kind=kind, batch=6)
    history = [engine.numpy()]
    for step in range(steps):
        engine.step(streams.given(program, *batch(sizes, step)), 0.1)
        history.append(engine.numpy())
    return network, history


def against(network: Network, weights: dict) -> int:
    """How many weights have the sign against their postsynaptic unit's polarity, but for those of the first layer."""
    layers = range(2, network.output + 1)
    return sum(int(np.sum(network.polarity(k)[:, None] * weights[f"W_{k}_{k - 1}"] < 0)) for k in layers)


@pytest.mark.parametrize("kind", ["reference", "fused"])
def test_weights_keep_the_sign_of_their_postsynaptic_unit(kind):
    """Oracle: the signs themselves, after every step; those from the input are free, and without coherence all are."""
    network, history = trained(KICKBACK, kind)
    assert not any(against(network, weights) for weights in history)
    assert sum(int(np.sum(history[-1][f"W_{k}_{k - 1}"] == 0)) for k in (2, 3, 4, 5)) > 3  # some were cut off
    assert near(history[-1]["W_2_1"], history[0]["W_2_1"]) > 0.1
    first = network.polarity(1)[:, None] * history[-1]["W_1_0"]
    assert np.sum(first < 0) > 5 < np.sum(first > 0)
    assert against(network, trained(FREE, kind)[1][-1]) > 3


def test_signs_are_of_the_target_and_so_at_the_start():
    """Oracle: row by row; the first half of a layer is positive, and the columns have both signs (not Dale's law)."""
    network = signed(SHAPES[-1])
    weights = drawn(KICKBACK, network)
    assert network.polarity(1).tolist() == [1, 1, 1, 1, -1, -1, -1, -1]
    assert network.polarity(3).tolist() == [1, 1, 1, 1, -1, -1, -1]
    assert network.polarity(5).tolist() == [1]
    for k in (2, 3, 4, 5):
        assert (np.sign(weights[f"W_{k}_{k - 1}"]) == network.polarity(k)[:, None]).all()
    assert against(network, drawn(FREE, network)) > 10


def test_the_ledger_says_what_runs_back():
    """Oracle: the paper's mechanism: nothing but the unit's own synapses, and one number for all."""
    program = lower(KICKBACK, signed(SHAPES[-1]))
    found = ledger(program, KICKBACK)
    assert list(found.transport) == ["K"]
    assert found.transport["K"].startswith("retrograde")
    assert set(found.broadcasts) == {"modulator"}
    assert not found.latches
    assert found.phases == ("learn",)
    assert program.weights["K_2_3"].tie == ("W_3_2", 1.0)
    assert found.depends_given["W_2_1"] == {"W_2_1", "b_2", "W_3_2"}  # what the unit hears by, and what it sends by
    carried = replace(KICKBACK, name="carried", pathways={**KICKBACK.pathways, "K": Pathway("above", Tied("W"))})
    assert ledger(lower(carried, signed(SHAPES[-1])), carried).transport["K"].startswith("exact")


# -- in the other realisations -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("realisation", ["circuit.rate", "tensor.spiking", "circuit.spiking"])
def test_signs_and_the_last_two_layers_hold_in_every_realisation(realisation):
    """Oracles: tensor.rate to the edge's 1e-8, or autograd to 2 degrees and 2 % in spikes, and autograd's signs.

    Signs of one sample are judged where the gradient is at least a twentieth of its largest entry.
    """
    sizes = (4, 6, 6, 1)
    network, (x, teacher) = signed(sizes, "softplus"), batch(sizes, samples=1)
    weights = drawn(KICKBACK, network)
    gradient = backprop_gradient(network, weights, x, teacher)
    algebra = changes(KICKBACK, network, x, teacher, weights)
    found = changes(KICKBACK, network, x, teacher, weights, realisation=realisation)
    if realisation == "circuit.rate":
        assert worst(found, algebra) <= 1e-8
    else:
        for expected in (algebra, into(gradient, 2, 3)):
            assert max(angle(found[n], e) for n, e in expected.items()) <= 2
            assert max(abs(norm_ratio(found[n], e) - 1) for n, e in expected.items()) <= 0.02
    assert worst(algebra, into(gradient, 1)) > 0.1

    def wrong(found: dict) -> int:
        large = {n: np.abs(g) > 0.05 * np.abs(g).max() for n, g in gradient.items()}
        return sum(int(np.sum(np.sign(found[n]) != np.sign(g), where=large[n])) for n, g in gradient.items())

    ungated = changes(mutant("the gate left out"), network, x, teacher, weights)
    assert (wrong(found), wrong(ungated) > 10) == (0, True)
