"""Who learns: a rule on a network, or one of the two controls without which its accuracy says nothing.

``linear``: inputs straight to outputs, with the network's loss. ``readout_only``: the same network and initial weights,
but only the weights into the output learn; every hidden weight stays as it was drawn, to the last bit. What these reach
needed no credit to be assigned.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from neurolearn import rules
from neurolearn.errors import InputError
from neurolearn.network import Network, mlp
from neurolearn.program import Program, lower
from neurolearn.rule import Rule

CONTROLS = ("linear", "readout_only")


@dataclass(frozen=True, eq=False)
class Learner:
    """What is trained. name: the rule's or the control's; program: of the rule on the network."""

    name: str
    rule: Rule
    network: Network
    program: Program


def backprop_from(rule: Rule | str) -> Rule:
    """Backprop with the forward pathway of a rule: its initial weights, and the signs that it keeps if it is coherent."""
    rule, backprop = rules.get(rule) if isinstance(rule, str) else rule, rules.get("backprop")
    return replace(backprop, pathways={**backprop.pathways, "W": rule.pathways["W"]})


def learner(rule: Rule | str, network: Network, like: Rule | str | None = None) -> Learner:
    """The learner of a Rule, of a control's name or of the name of a rule in the catalogue.

    like: the rule whose forward pathway readout_only has (backprop's by default). Raises InputError for any other name,
    for a rule of one's own that has the name of a control, and for ``like`` beside anything but readout_only.
    """
    if like is not None and rule != "readout_only":
        raise InputError(f"like is for the control readout_only, not for {rule if isinstance(rule, str) else rule.name}.")
    if isinstance(rule, Rule) and rule.name in CONTROLS:
        raise InputError(f"the rule is named {rule.name!r}, which is a control; rename the rule.")
    if rule not in CONTROLS:
        rule = rules.get(rule) if isinstance(rule, str) else rule
        return Learner(rule.name, rule, network, lower(rule, network))
    backprop = rules.get("backprop") if like is None else backprop_from(like)
    if rule == "linear":
        network = mlp([network.sizes[0], network.sizes[-1]], loss=network.loss)
    program = lower(backprop, network)
    readout = tuple(plastic for plastic in program.plastics if plastic.target == network.output)
    return Learner(rule, backprop, network, replace(program, plastics=readout))
