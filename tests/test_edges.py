"""The edges of every rule, shipped or a user's: all pass, a flipped sign fails them, nothing passes void."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import EXAMPLES, RULES

from neurolearn import edges, rules
from neurolearn.edge import Edge, Setting, settings
from neurolearn.program import lower
from neurolearn.rule import Pathway, Uniform

SETTING = Setting()
SETTINGS = {name: settings(rule)[0] for name, rule in RULES.items()}
MEASURES = {"rate": edges.rate_edge, "spikes": edges.spike_edge, "rate limit": edges.rate_limit_edge}
LEARNT = {name: set(lower(rule, SETTINGS[name].network()).plastic_weights()) for name, rule in RULES.items()}
KINDS_OF_RULE = ("difference_target_propagation", "dynamic_inversion", "kickback", *EXAMPLES)
LONG = [(name, "rate limit") for name in KINDS_OF_RULE]  # seconds each; ``neurolearn verify`` measures it for every rule


def weights(rows: list[Edge]) -> set[str]:
    return {row.weight for row in rows} - {"all"}


def broken(rows: list[Edge]) -> list[str]:
    return [f"{r.weight}: {r.quantity} {r.measured:.2e} > {r.tolerance:.0e} {r.note}" for r in rows if not r.passed]


# Oracles: Brian2's weights against torch's algebra, Brian2's spikes against Norse's, spikes against the algebra.


@pytest.mark.parametrize(("name", "edge"), [*((n, e) for n in RULES for e in ("rate", "spikes")), *LONG])
def test_every_edge_of_every_rule_passes(name, edge):
    program = lower(RULES[name], SETTINGS[name].network())
    pairs = sum(cell.size * len(cell.sent) for cell in program.cells)  # more cells reach 1e4 spikes in fewer steps
    steps = {"spikes": max(200 * len(program.phases), 60_000 // pairs), "rate limit": 4000 if name in EXAMPLES else 8000}
    rows = list(MEASURES[edge](RULES[name], SETTINGS[name], **({"steps": steps[edge]} if edge in steps else {})))
    assert weights(rows) == LEARNT[name]
    assert not broken(rows)


# Oracle: a change with the wrong sign is 180 degrees and 200 % away; time is short, for 2 is far from any tolerance.


@pytest.mark.parametrize(("name", "edge"), [(n, e) for n in KINDS_OF_RULE for e in MEASURES])
def test_one_flipped_sign_fails_every_row(name, edge):
    steps = {"spikes": 300, "rate limit": 2000 if name == "dynamic_inversion" else 500}  # a loop must settle
    shorter = {"steps": steps[edge]} if edge in steps else {}
    flipped = MEASURES[edge](RULES[name], SETTINGS[name], sabotage=True, **shorter)
    rows = [row for row in flipped if row.quantity != "norm"]
    judged = [row for row in rows if row.weight != "all"]
    assert weights(judged) == LEARNT[name]
    assert not [row for row in judged if row.measured <= 10 * row.tolerance or row.passed]
    assert all(row.measured <= row.tolerance for row in rows if row.weight == "all")  # the spikes are as they were


# Oracle: the gradient by autograd, or the paper's closed form in NumPy.


@pytest.mark.parametrize("name", [name for name, rule in rules.ALL.items() if rule.limit])
def test_every_rule_reaches_its_limit_and_a_flipped_sign_does_not(name):
    rows, flipped = (list(edges.limit_edge(RULES[name], SETTINGS[name], bad)) for bad in (False, True))
    assert len(rows) >= 2
    assert not broken(rows)
    judged = [row for row in flipped if "N over N/4" not in row.quantity]  # the spread has no sign
    assert judged
    assert not [row for row in judged if row.measured <= row.tolerance]


# -- when a measurement does not count ---------------------------------------------------------------------------------


def test_an_edge_without_a_norm_or_void_does_not_pass():
    good = Edge("r", "n", "e", "learn", "W_1_0", "relative error", 1e-12, 1e-9, norm=1.0)
    assert good.passed
    assert not replace(good, norm=0.0).passed
    assert not replace(good, note="void: too few spikes").passed
    assert not replace(good, measured=1e-8).passed
    assert not replace(good, measured=float("nan")).passed


def test_a_change_that_vanishes_is_void_and_voids_no_other():
    """Without feedback weights the hidden layers have nothing to compare; the output layer has."""
    silent = replace(rules.get("feedback_alignment"), name="silent", pathways={"B": Pathway("above", Uniform(0.0))})
    passed = {row.weight: row.passed for row in edges.rate_edge(silent, SETTING)}
    assert passed == {"W_1_0": False, "W_2_1": False, "W_3_2": True, "b_1": False, "b_2": False, "b_3": True}


def test_too_few_spikes_pass_no_row():
    rows = list(edges.spike_edge(rules.get("feedback_alignment"), SETTING, steps=200))
    assert rows[0].norm < 1e4  # of the row that counts bins: how many spikes there were
    assert all(row.measured <= row.tolerance for row in rows)
    assert not [row for row in rows if row.passed]


def test_cells_that_are_all_silent_pass_no_row():
    """Equal spikes are no evidence where there are none."""
    dark = replace(rules.get("feedback_alignment"), name="dark", input="rate = 0*data",
                   hidden="rate = 0*f(potential) \n error = slope*B(error_above)", output="error = 0*(teacher - rate)")
    rows = list(edges.spike_edge(dark, replace(SETTING, batch=2), steps=100))
    assert rows[0].norm == 0
    assert not [row for row in rows if row.passed]


# -- other cells and nets ----------------------------------------------------------------------------------------------


# Oracle: as above, on cells with an f-I curve of their own, which send their rate themselves, with kinks, and in depth.


@pytest.mark.parametrize("setting", [Setting(activation="lif"), Setting((9, 12, 10, 7, 5), "relu", seed=2)],
                         ids=["lif", "deep relu"])
def test_spikes_agree_on_other_cells_and_deeper_nets(setting):
    steps = 1300 if setting.activation == "lif" else 1000
    rows = list(edges.spike_edge(rules.get("feedback_alignment"), setting, steps=steps))
    # the f-I curve is infinitely steep at threshold, and its slope magnifies the last bit of a potential there
    assert not broken([row for row in rows if setting.activation != "lif" or row.quantity != "potential"])


# Oracle: an integrator's count is within one spike of its signal's integral, so that its mean errs as 1/T.


def test_the_error_of_regular_spikes_falls_as_one_over_time():
    steps = (1000, 2000, 8000)
    errors = edges.error_curve(rules.get("direct_feedback_alignment"), SETTING, steps)
    assert np.polyfit(np.log(steps), np.log(errors), 1)[0] == pytest.approx(-1.0, abs=0.25)
