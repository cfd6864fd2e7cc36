"""Targets through learned difference reconstruction feedback, and what they teach."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import RULES, near
from test_difference_reconstruction import (
    DFA,
    EXACT,
    LAYERWISE,
    LINEAR,
    NET,
    RANDOM,
    TEACHER,
    X,
)

from neurolearn.changes import prepare, update
from neurolearn.compare import angle
from neurolearn.network import mlp
from neurolearn.rule import Rule
from neurolearn.rules.gauss_newton_target import newton
from neurolearn.tensor.rate import RateProgram

# -- targets -----------------------------------------------------------------------------------------------------------


def moved(rule: Rule, w: dict) -> dict[str, np.ndarray]:
    """First order of the chain of targets, sample by sample, as forward-mode derivatives of the feedback in torch."""
    w, total, top, f = {n: torch.tensor(v) for n, v in w.items()}, {}, 3, torch.tanh
    for x, teacher in zip(torch.tensor(X), torch.tensor(TEACHER), strict=True):
        rates, slopes = [x], [None]
        for k in (1, 2, 3):
            a = w[f"W_{k}_{k - 1}"] @ rates[-1] + w[f"b_{k}"]
            rates.append(a if k == top else f(a))
            slopes.append(torch.ones_like(a) if k == top else 1 - f(a) ** 2)
        error = teacher - rates[top]
        if rule.name == "ddtp_rhl":
            low = lambda y: f(w["Q_1_4"] @ f(w["R_4_3"] @ y) + w["c_1"])  # noqa: E731
            high = lambda y: f(w["P_2_3"] @ y + w["d_2"])  # noqa: E731
            posts = {k: torch.func.jvp(g, (rates[top],), (error,))[1] for k, g in ((1, low), (2, high))}
        else:
            two = torch.func.jvp(lambda u: f(w["Q_2_3"] @ u), (rates[3],), (error,))[1]
            posts = {2: two, 1: torch.func.jvp(lambda u: f(w["Q_1_2"] @ u), (rates[2],), (two,))[1]}
        for k, post in posts.items():
            change = torch.outer(slopes[k] * post, rates[k - 1]) / len(X)
            total[f"W_{k}_{k - 1}"] = total.get(f"W_{k}_{k - 1}", 0) + change.numpy()
    return total


STEPS = (1e-1, 1e-2, 1e-3, 1e-4)


def errors_of(rule: Rule, of: Rule) -> dict[str, list[float]]:
    w = prepare(of, NET, X, TEACHER, seed=4, bias=0.3)[1]
    oracle, found = moved(of, w), {"W_1_0": [], "W_2_1": []}
    for step in STEPS:
        changes = update(rule.with_constants(step=step), NET, X, TEACHER, w)
        for name, errors in found.items():
            errors.append(near(changes[name] / step, oracle[name]))
    return found


@pytest.mark.parametrize("rule", [LAYERWISE, RANDOM], ids=lambda r: r.name)
def test_small_steps_follow_the_feedback(rule):
    """Oracle: forward-mode derivatives of the feedback; what is left is of first order in the step."""
    for errors in errors_of(rule, rule).values():
        assert np.polyfit(np.log(STEPS), np.log(errors), 1)[0] == pytest.approx(1, abs=0.1)
        assert errors[-1] < 1e-3


@pytest.mark.parametrize("rule, old, new", [
    (LAYERWISE, "- f(Q(view_above))", ""),
    (LAYERWISE, "slope * (target", "(target"),
    (RANDOM, "- f(Q(calm_random) + c)", ""),
    (RANDOM, "f(Q(moved_random) + c)", "f(Q(moved_random))"),
])  # fmt: skip
def test_targets_without_the_difference_do_not(rule, old, new):
    assert old in rule.hidden
    mutant = replace(rule, name="mutant", hidden=rule.hidden.replace(old, new), limit=None)
    assert errors_of(mutant, rule)["W_1_0"][-1] > 0.1


def dfa_distance(rule: Rule) -> float:
    w = prepare(rule, NET, X, TEACHER, seed=4, bias=0.3)[1]
    feedback = {n.replace("Q", "B"): v for n, v in w.items() if n.startswith("Q")}
    ours = update(rule.with_constants(step=0.3), NET, X, TEACHER, w)
    theirs = update(DFA, NET, X, TEACHER, {**w, **feedback}).changes
    return max(near(ours[n], 0.3 * change) for n, change in theirs.items())


def test_with_frozen_feedback_ddtp_is_direct_feedback_alignment():
    """Oracle: direct_feedback_alignment with B = Q, times the step, in all layers; an identity of the two texts."""
    assert dfa_distance(LINEAR) < EXACT
    assert dfa_distance(replace(LINEAR, name="mutant", hidden="mismatch = Q(tug_output)", limit=None)) > 0.05
    output = "tug = step*(teacher - rate)\nmismatch = teacher - rate"
    assert dfa_distance(replace(LINEAR, name="mutant", output=output, limit=None)) > 0.5


# -- learning ----------------------------------------------------------------------------------------------------------

SHAPE = mlp([8, 7, 6, 3])
SETTINGS = {  # rates and number of updates
    "ddtp_linear": ({"Q": 0.1}, 300),
    "dtp_difference_reconstruction": ({"Q": 0.3}, 600),
    "ddtp_rhl": ({"Q": 0.02, "P": 0.3, "c": 0.1, "d": 0.1}, 600),
}


def angles_to_newton(rule: Rule, updates: int, rates: dict) -> tuple[dict, dict]:
    """Degrees from the change of each hidden matrix to the damped Gauss-Newton targets', before and after learning."""
    rng = np.random.default_rng(7)
    x, teacher = rng.uniform(-1, 1, (32, 8)), np.eye(3)[rng.integers(0, 3, 32)]
    program, w, given = prepare(rule, SHAPE, x, teacher, seed=5, bias=0.2)
    learner, found = RateProgram(program, w), []
    oracle = newton(SHAPE, w, x, teacher, 0.01, rule.constants["step"])
    for step in range(updates + 1):
        if step in (0, updates):
            changes = learner.changes(given)
            found.append({n: angle(changes[n].numpy(), oracle[n]) for n in ("W_1_0", "W_2_1")})
        noise = {n: rng.normal(size=v.shape) if n.startswith("noise") else v for n, v in given.items()}
        learner.step(noise, {"*": 0.0, **rates})
    now = learner.numpy()
    assert all(np.array_equal(now[n], w[n]) for n in now if n[0] in "WbR")
    return found[0], found[-1]


@pytest.mark.parametrize("name", SETTINGS)
def test_learned_feedback_turns_towards_gauss_newton(name):
    """Oracle: Gauss-Newton targets in NumPy. W is frozen, Q starts independent of it; the control's Q does not learn.

    In the lower layer some 26 degrees remain: one matrix serves samples whose Jacobians differ.
    """
    rates, updates = SETTINGS[name]
    rule = RULES[name].with_constants(sigma=0.05, decay=0.01)
    before, after = angles_to_newton(rule, updates, rates)
    assert min(before.values()) > 70
    assert after["W_1_0"] < 35
    assert after["W_2_1"] < 10
    assert angles_to_newton(rule, 3, dict.fromkeys(rates, 0.0))[1] == before
