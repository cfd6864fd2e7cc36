"""What the theorem tests of feedback alignment share: chains, masked edges and learned skips, their weights and changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from conftest import RULES, near

from neurolearn import streams
from neurolearn.changes import prepare, update
from neurolearn.network import Connection, Network
from neurolearn.rule import Rule
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


SMALL = Network((5, 4, 4, 3), edges((0, 1), (0, 2), (1, 2), (1, 3), (2, 3)))
ONE = (X[:1, :5], TEACHER[:1])
BRIEF = Timing(settle=60, window=60, tau=5e-3)  # what is exact is so at any time


def small(rule: Rule, network: Network = SMALL, bias: float = 0.4) -> dict[str, np.ndarray]:
    return drawn(rule, network, bias, *ONE)


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
