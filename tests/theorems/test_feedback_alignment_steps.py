"""Feedback alignment over many steps: alignment pays for growth, and layers wake up one by one."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from alignment_nets import (
    BP,
    BRIEF,
    DFA,
    FA,
    ONE,
    SIMULATIONS,
    SMALL,
    STRAIGHT,
    TEACHER,
    TOPOLOGIES,
    X,
    changes,
    drawn,
    edges,
    mutant,
    net,
    small,
)
from conftest import near

from neurolearn import streams
from neurolearn.changes import prepare
from neurolearn.network import Network
from neurolearn.rule import Rule
from neurolearn.tensor.rate import RateProgram


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


# -- in the other realisations -----------------------------------------------------------------------------------------


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
