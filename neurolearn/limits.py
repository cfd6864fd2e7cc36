"""The limit edge: a rule against what it says it equals, or tends to, in tensor.rate (float64)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from neurolearn import activations
from neurolearn.compare import relative_error
from neurolearn.edge import LIMIT, Edge, Setting, algebra, case, rows
from neurolearn.errors import InputError
from neurolearn.network import Network
from neurolearn.observer import backprop_gradient
from neurolearn.rule import Identity, Limit, Rule


def limit_edge(rule: Rule, setting: Setting, sabotage: bool = False) -> Iterator[Edge]:
    """The rule against what it says it equals or tends to, in tensor.rate (float64)."""
    if isinstance(rule.limit, Identity):
        yield from _identity(rule, rule.limit, setting, sabotage)
    elif isinstance(rule.limit, Limit):
        yield from _limit(rule, rule.limit, setting, sabotage)


def _identity(rule: Rule, identity: Identity, setting: Setting, sabotage: bool) -> Iterator[Edge]:
    if identity.equals != "backprop":
        raise InputError(f"rule {rule.name!r}: Identity(equals={identity.equals!r}); only 'backprop' is known.")
    if identity.linear:
        setting = replace(setting, activation=activations.linear.name)
    program, tested, weights, given = case(rule, setting, sabotage)
    network = setting.network()
    for weight in program.free():
        how = identity.set.get(weight.pathway)
        if how and weight.source is not None:
            weights[weight.name] = _tied(weights, weight, how, network)
    ours = algebra(tested, weights, given)
    x, teacher = setting.batch_of()
    theirs = backprop_gradient(network, weights, x, teacher)
    yield from rows(
        rule,
        setting,
        LIMIT,
        program,
        "relative error to backprop",
        lambda n: relative_error(ours[n], theirs[n]),
        identity.tolerance,
        theirs,
    )


def _tied(weights, weight, how: str, network: Network) -> np.ndarray:
    if how == "transpose":
        return weights[f"W_{weight.source}_{weight.target}"].T
    if how == "path transpose":
        product = np.eye(network.sizes[weight.target])
        for layer in range(weight.target + 1, weight.source + 1):
            product = weights[f"W_{layer}_{layer - 1}"] @ product
        return product.T
    raise InputError(f"Identity: cannot set weights to {how!r}; choose 'transpose' or 'path transpose'.")


def _limit(rule: Rule, limit: Limit, setting: Setting, sabotage: bool) -> Iterator[Edge]:
    """Errors to the limit over its decades; the order is the slope of their logarithm, fitted above the rounding floor."""
    x, teacher = setting.batch_of()
    hidden, errors = [], {}
    for value in limit.values:
        changed = rule.with_constants(**{limit.parameter: value})
        program, tested, weights, given = case(changed, setting, sabotage)
        ours = algebra(tested, weights, given)
        theirs = limit.equals(setting.network(), weights, x, teacher, program.constants)
        hidden = [
            n
            for n in theirs
            if not n.endswith(f"_{setting.network().output}")
            and n.startswith("W")
            and program.weights[n].target != setting.network().output
        ]
        for name in hidden:
            errors.setdefault(name, []).append(relative_error(ours[name], theirs[name]))
    for name in hidden:
        order = float(np.polyfit(np.log(limit.values), np.log(errors[name]), 1)[0])
        yield Edge(
            rule.name,
            f"{setting.network()} seed {setting.seed}",
            LIMIT,
            program.phases[-1],
            name,
            f"order in {limit.parameter}",
            abs(order - limit.order),
            limit.tolerance,
            float(np.linalg.norm(theirs[name])),
            f"order {order:.3f}; errors " + " ".join(f"{e:.1e}" for e in errors[name]),
        )
