"""What the tests of infomax share: mutants of a rule's text, weights of ordinary size, and how far changes are apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from conftest import near

from neurolearn.changes import prepare
from neurolearn.network import Network
from neurolearn.rule import Rule

EXACT = 1e-10  # relative; some 1e3 roundings of 1e-16, with room for the condition of Q and W
WIDE = 0.1  # a mutant is at least so far off


def mutant(rule: Rule, old: str, new: str) -> Rule:
    """The rule with one piece of its text changed, wherever it stands."""
    texts = {"hidden": rule.hidden, "output": rule.output}
    changed = {k: t.replace(old, new) for k, t in texts.items()}
    plasticity = {k: t.replace(old, new) for k, t in rule.plasticity.items()}
    assert (changed, plasticity) != (texts, dict(rule.plasticity))
    return replace(rule, **changed, plasticity=plasticity, limit=None)


def gap(found: dict, expected: dict) -> float:
    """The largest relative error among the weights that are expected to change."""
    return max(near(found[name], value) for name, value in expected.items())


def start(rule: Rule, net: Network, seed: int = 2) -> dict[str, np.ndarray]:
    """Weights of ordinary size, lateral ones too."""
    weights = prepare(rule, net, np.zeros((1, net.sizes[0])), np.zeros((1, net.sizes[-1])), seed=seed, bias=0.5)[1]
    return {name: 5 * w if name.startswith("L") else w for name, w in weights.items()}
