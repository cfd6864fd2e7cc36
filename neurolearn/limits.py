"""The limit edge: a rule against what it says it equals, tends to or is on average, in tensor.rate (float64)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np

from neurolearn import activations, streams
from neurolearn.compare import relative_error
from neurolearn.edge import LIMIT, Edge, Setting, algebra, case, rows
from neurolearn.errors import InputError
from neurolearn.network import Network
from neurolearn.observer import backprop_gradient
from neurolearn.program import Program
from neurolearn.rule import Expectation, Identity, Limit, Rule

EXACT = 1e-11  # relative error at which a weight counts as exact for every value of a limit's parameter
TOGETHER = 5  # draws that are run side by side
SETS = ("transpose", "path transpose", "orthogonal")


def limit_edge(rule: Rule, setting: Setting, sabotage: bool = False) -> Iterator[Edge]:
    """The rule against its own statement; nothing if it makes none."""
    measure = {Identity: _identity, Limit: _limit, Expectation: _expectation}.get(type(rule.limit))
    if measure:
        yield from measure(rule, rule.limit, setting, sabotage)


def _identity(rule: Rule, identity: Identity, setting: Setting, sabotage: bool) -> Iterator[Edge]:
    if identity.linear:
        setting = replace(setting, activation=activations.linear.name)
    program, tested, weights, given = case(rule, setting, sabotage)
    set_weights(program, weights, identity.set)
    ours = algebra(tested, weights, given)
    theirs = _reference(rule, identity.equals)(setting.network(), weights, *setting.batch_of(), program.constants)
    named = _restricted(program, theirs, identity.weights)
    what = "backprop" if identity.equals == "backprop" else identity.equals.__name__.replace("_", " ")
    yield from rows(
        rule,
        setting,
        LIMIT,
        named,
        f"relative error to {what}",
        lambda n: relative_error(ours[n], theirs[n]),
        identity.tolerance,
        theirs,
    )


def _restricted(program: Program, theirs: Mapping[str, np.ndarray], pathways: tuple[str, ...] = ()) -> Program:
    """The program with the plasticity that a statement is about: of these pathways, as far as the reference says it."""
    about = tuple(
        p
        for p in program.plastics
        if p.weight in theirs and (not pathways or program.weights[p.weight].pathway in pathways)
    )
    return replace(program, plastics=about)


def _reference(rule: Rule, equals: str | Callable) -> Callable:
    if equals == "backprop":
        return lambda network, weights, x, teacher, constants: backprop_gradient(network, weights, x, teacher)
    if not callable(equals):
        raise InputError(f"rule {rule.name!r}: limit equals {equals!r}; give 'backprop' or a function.")
    return equals


def set_weights(program: Program, weights: dict[str, np.ndarray], how: Mapping[str, str]) -> None:
    """Give the pathways in ``how`` the weights that a statement asks for, in place; W first, as others may follow it."""
    for weight in sorted(program.free(), key=lambda w: w.pathway != "W"):
        if weight.pathway in how and weight.source is not None and not weight.derived:
            weights[weight.name] = _made(weights, weight, how[weight.pathway], program.network)


def _made(weights, weight, how: str, network: Network) -> np.ndarray:
    if how == "transpose":
        return weights[f"W_{weight.source}_{weight.target}"].T
    if how == "path transpose":
        product = np.eye(network.sizes[weight.target])
        for layer in range(weight.target + 1, weight.source + 1):
            product = weights[f"W_{layer}_{layer - 1}"] @ product
        return product.T
    if how == "orthogonal":
        left, _, right = np.linalg.svd(weights[weight.name], full_matrices=False)
        return left @ right
    raise InputError(f"a limit cannot set weights to {how!r}; choose one of {', '.join(SETS)}.")


def _limit(rule: Rule, limit: Limit, setting: Setting, sabotage: bool) -> Iterator[Edge]:
    """Errors to the limit over its decades; the order is the slope of their logarithm, asked of hidden matrices."""
    x, teacher = setting.batch_of()
    errors: dict[str, list[float]] = {}
    norms: dict[str, float] = {}
    for value in limit.values:
        changed = rule.with_constants(**{limit.parameter: value})
        program, tested, weights, given = case(changed, setting, sabotage)
        set_weights(program, weights, limit.set)
        ours = algebra(tested, weights, given)
        theirs = _reference(rule, limit.equals)(setting.network(), weights, x, teacher, program.constants)
        for name in theirs:
            weight = program.weights[name]
            if weight.source is not None and weight.target != program.network.output:
                errors.setdefault(name, []).append(relative_error(ours[name], theirs[name]))
                norms[name] = float(np.linalg.norm(theirs[name]))
    for name, found in errors.items():
        exact = max(found) < EXACT
        order = 0.0 if exact else float(np.polyfit(np.log(limit.values), np.log(found), 1)[0])
        yield Edge(
            rule.name,
            f"{setting.network()} seed {setting.seed}",
            LIMIT,
            program.phases[-1],
            name,
            f"relative error at every {limit.parameter}" if exact else f"order in {limit.parameter}",
            max(found) if exact else abs(order - limit.order),
            EXACT if exact else limit.tolerance,
            norms[name],
            ("exact; " if exact else f"order {order:.3f}; ") + "errors " + " ".join(f"{e:.1e}" for e in found),
        )


def _expectation(rule: Rule, expectation: Expectation, setting: Setting, sabotage: bool) -> Iterator[Edge]:
    """Mean change over draws of noise: how many standard errors it lies off, and the order in which these fall with N.

    The squared distance over the sum of squared standard errors is 1 on average; its root is what is measured.
    """
    program, tested, weights, _ = case(rule, setting, sabotage)
    set_weights(program, weights, expectation.set)
    theirs = _reference(rule, expectation.equals)(setting.network(), weights, *setting.batch_of(), program.constants)
    x, teacher = setting.batch_of(TOGETHER)
    batch = len(x)
    samples: dict[str, list[np.ndarray]] = {name: [] for name in theirs}
    for draw in range(expectation.draws // batch):
        indices = np.arange(batch) + draw * batch
        ours = algebra(tested, weights, streams.given(program, x, teacher, setting.seed, indices=indices))
        for name in theirs:
            samples[name].append(ours[name])
    for name, found in samples.items():
        drawn = np.stack(found)
        half = len(drawn) // 4
        errors = [part.std(0, ddof=1) / np.sqrt(len(part)) for part in (drawn, drawn[:half])]
        off = float(np.linalg.norm(drawn.mean(0) - theirs[name]) / max(np.linalg.norm(errors[0]), 1e-300))
        fall = float(np.linalg.norm(errors[0]) / np.linalg.norm(errors[1]))
        norm = float(np.linalg.norm(theirs[name]))
        place = (rule.name, f"{setting.network()} seed {setting.seed}", LIMIT, program.phases[-1], name)
        note = f"{len(drawn)} batches of {batch}; {off:.2f} standard errors off"
        resolved = norm > 4 * np.linalg.norm(errors[0])
        yield Edge(
            *place,
            "standard errors from the mean",
            off,
            expectation.tolerance,
            norm,
            note if resolved else f"void: {note}, which cannot be told from 0",
        )
        yield Edge(*place, "standard error, N over N/4", abs(fall - 0.5), 0.1, norm, f"ratio {fall:.3f}, 0.5 expected")
