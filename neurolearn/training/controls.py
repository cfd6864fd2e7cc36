"""Who learns: a rule on a network, or one of the two controls without which an accuracy says nothing about it.

``linear``: inputs straight to outputs, with the network's loss. ``readout_only``: the same network and initial weights,
but only the weights into the output learn; every hidden weight stays as it was drawn, to the last bit. What these reach
needed no credit to be assigned.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from neurolearn import rules
from neurolearn.network import Network, mlp
from neurolearn.program import Program, lower
from neurolearn.rule import Rule

CONTROLS = ("linear", "readout_only")


@dataclass(frozen=True, eq=False)
class Learner:
    """What is trained: name (the rule's, or the control's), rule, network and the Program of both."""

    name: str
    rule: Rule
    network: Network
    program: Program


def learner(rule: Rule | str, network: Network) -> Learner:
    """The learner of a Rule, a control's name or the name of a rule of the catalogue. Raises InputError for another."""
    if rule == "linear":
        small = mlp([network.sizes[0], network.sizes[-1]], loss=network.loss)
        return Learner(rule, rules.backprop, small, lower(rules.backprop, small))
    if rule == "readout_only":
        whole = lower(rules.backprop, network)
        readout = tuple(p for p in whole.plastics if p.target == network.output)
        return Learner(rule, rules.backprop, network, replace(whole, plastics=readout))
    rule = rules.get(rule) if isinstance(rule, str) else rule
    return Learner(rule.name, rule, network, lower(rule, network))
