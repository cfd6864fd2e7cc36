"""When feedback learns, and training with one output."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
from test_training import SMALL, same, small

from neurolearn import rules
from neurolearn.data import waves
from neurolearn.errors import InputError
from neurolearn.network import mlp
from neurolearn.program import lower
from neurolearn.rule import Orthogonal
from neurolearn.training import Schedule, backprop_from, one_vs_rest, train
from neurolearn.training.schedule import Pass, only

# -- schedules ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def watched(monkeypatch):
    """Weights before and after every pass of the trainings in a test."""
    module, seen = sys.modules["neurolearn.training.train"], []
    run = module._pass

    def spy(engine, *arguments):
        before = engine.numpy()
        run(engine, *arguments)
        seen.append((before, engine.numpy()))

    monkeypatch.setattr(module, "_pass", spy)
    return seen


def moved(pair):
    """Pathways of which a weight has another value, by however little."""
    before, after = pair
    return {"W" if name[0] in "Wb" else name[0] for name in before if not np.array_equal(before[name], after[name])}


def test_a_schedule_spells_out_its_passes():
    assert [*Schedule().passes(2)] == [Pass(1, "all"), Pass(2, "all")]
    both = Schedule("alternating", pretraining=1, extra=1)
    assert [(p.epoch, p.learned) for p in both.passes(2)] == [
        (1, "feedback"),
        (1, "feedback"), (1, "forward"), (1, "feedback"),
        (2, "feedback"), (2, "forward"), (2, "feedback"),
    ]


@pytest.mark.parametrize(("rule", "feedback"), [
    ("difference_target_propagation", "Q"), ("dynamic_inversion_learned", "B"), ("target_propagation_learned", "V")])
@pytest.mark.parametrize("kind", ["reference", "fused"])
def test_in_a_pass_of_feedback_no_forward_weight_moves_and_the_other_way_round(few, watched, rule, feedback, kind):
    run = train(rule, small(rule), few, epochs=2, seed=0, rate=0.01, kind=kind, angles=False,
                schedule=Schedule("alternating", pretraining=1, extra=1))
    learned = ["feedback", "feedback", "forward", "feedback", "feedback", "forward", "feedback"]
    assert [row["learned"] for row in run.history] == ["nothing", *learned]
    assert [row["epoch"] for row in run.history] == [*range(8)]
    assert {row["epochs"] for row in run.history} == {7}
    assert [moved(pair) for pair in watched] == [{feedback} if who == "feedback" else {"W"} for who in learned]


def test_a_parallel_schedule_is_what_there_is_without_one_and_pretraining_comes_before_it(few, watched):
    usual = {"seed": 0, "rate": 0.05, "angles": False}
    rule = "difference_target_propagation"
    first, again = (train(rule, SMALL, few, epochs=2, **usual, **more) for more in ({}, {"schedule": Schedule()}))
    assert same(first.weights, again.weights)
    assert [moved(pair) for pair in watched] == [{"W", "Q"}] * 4
    assert [row["learned"] for row in first.history] == ["nothing", "all", "all"]
    watched.clear()
    train(rule, SMALL, few, epochs=1, schedule=Schedule(pretraining=2), **usual)
    assert [moved(pair) for pair in watched] == [{"Q"}, {"Q"}, {"W", "Q"}]


def test_the_rate_falls_with_the_epochs_of_forward_learning(few, monkeypatch):
    module, rates = sys.modules["neurolearn.training.train"], []
    monkeypatch.setattr(module, "_pass", lambda engine, dataset, batch, rate, seed, number: rates.append(dict(rate)))
    train("difference_target_propagation", SMALL, few, epochs=2, seed=0, rate={"W": 0.1, "*": 0.4}, angles=False,
          schedule=Schedule("alternating", pretraining=1))
    assert [(r["W"], r["Q"]) for r in rates] == [(0, 0.4), (0, 0.4), (0.1, 0), (0, 0.2), (0.05, 0)]
    program = lower(rules.get("difference_target_propagation"), SMALL)
    assert only("all", 0.3, program) == 0.3  # one number is handed on as it is


@pytest.mark.parametrize(("wrong", "says"), [
    ({"mode": "sometimes"}, "mode is 'sometimes'; choose one of parallel, alternating"),
    ({"pretraining": -1}, "pretraining is -1; give a number of passes, an integer >= 0"),
    ({"extra": 0.5}, "extra is 0.5"),
])
def test_a_schedule_that_makes_no_sense_is_refused(wrong, says):
    with pytest.raises(InputError, match=says):
        Schedule(**wrong)


def test_a_rule_without_learned_feedback_has_nothing_to_alternate_with(few):
    with pytest.raises(InputError, match="feedback_alignment has no feedback that learns, so there is nothing"):
        train("feedback_alignment", SMALL, few, epochs=1, seed=0, schedule=Schedule("alternating"))


# -- one output --------------------------------------------------------------------------------------------------------

COHERENT = mlp([8, 24, 16, 1], "relu", signed=True)


def test_kickback_learns_a_regression_that_neither_a_readout_nor_a_line_does():
    ends = {}
    for who, rate, like in (("kickback", 0.2, None), ("readout_only", 0.2, "kickback"), ("linear", 0.1, None)):
        ends[who] = [train(who, COHERENT, waves.load(seed, limit=1500), seed=seed, rate=rate, epochs=8, batch=32,
                            kind="fused", angles=False, like=like).history[-1]["test_nmse"] for seed in range(3)]
    worst, best = {name: max(v) for name, v in ends.items()}, {name: min(v) for name, v in ends.items()}
    assert worst["kickback"] < 0.5 * best["readout_only"], ends
    assert worst["kickback"] < 0.5 * best["linear"], ends


@pytest.mark.parametrize("coherent", [True, False])
def test_coherent_weights_keep_their_signs_in_every_pass_and_would_not_by_themselves(watched, coherent):
    rule = rules.get("kickback")
    if not coherent:  # the same rule, free to leave the signs
        rule = replace(rule, pathways={**rule.pathways, "W": replace(rule.pathways["W"], coherent=False)})
    train(rule, COHERENT, waves.load(0, limit=300), seed=0, rate=0.2, epochs=3, batch=32, kind="fused", angles=False)
    kept = [(COHERENT.polarity(k)[:, None] * after[f"W_{k}_{k - 1}"] >= 0).all() for _, after in watched for k in (2, 3)]
    assert all(kept) == coherent
    free = watched[-1][1]["W_1_0"]  # the input's weights have no sign to keep
    assert (COHERENT.polarity(1)[:, None] * free < 0).any()


def test_nmse_is_one_for_who_answers_the_mean_and_classes_have_accuracies():
    drawn = waves.load(0, limit=300)
    run = train("linear", mlp([8, 1]), drawn, seed=0, rate=0.05, epochs=1, batch=32)
    row, residual = run.history[-1], drawn.y_test - drawn.x_test @ run.weights["W_1_0"].T - run.weights["b_1"]
    assert row["test_nmse"] == pytest.approx(residual.var() + residual.mean() ** 2, rel=0.1)  # y has variance 1, nearly
    assert row["test_nmse"] == pytest.approx((residual**2).mean() / drawn.y_test.var(), rel=1e-12)
    assert not {key for key in row if key.endswith("accuracy")}


def test_one_network_per_class_decides_by_its_output(few):
    found, runs = one_vs_rest("kickback", mlp([4, 8, 6, 1], "relu", signed=True), few, seed=0, rate=0.05, epochs=2)
    assert len(runs) == 3
    assert not np.array_equal(runs[0].weights["W_1_0"], runs[1].weights["W_1_0"])  # each has a class of its own
    outputs = []
    for run in runs:
        h = few.x_test
        for k in (1, 2):
            h = run.network.polarity(k) * np.maximum(h @ run.weights[f"W_{k}_{k - 1}"].T + run.weights[f"b_{k}"], 0)
        outputs.append((h @ run.weights["W_3_2"].T + run.weights["b_3"])[:, 0])
    assert found["test_accuracy"] == np.mean(np.argmax(outputs, 0) == few.labels("test"))


def test_a_control_may_start_from_the_forward_weights_of_a_rule(few):
    net = mlp([4, 8, 6, 3], "leaky_relu")
    rule = rules.get("gait_prop")
    assert isinstance(rule.pathways["W"].weights, Orthogonal)
    start = train("gait_prop", net, few, epochs=0, seed=2).weights
    run = train("readout_only", net, few, epochs=1, seed=2, rate=0.1, like=rule)
    assert {name for name in run.weights if not np.array_equal(run.weights[name], start.get(name))} == {"W_3_2", "b_3"}
    other = train(backprop_from(rule), net, few, epochs=0, seed=2).weights
    assert all(np.array_equal(other[name], start[name]) for name in other if name in start)
    with pytest.raises(InputError, match="like is for the control readout_only, not for linear"):
        train("linear", net, few, epochs=0, seed=0, like=rule)
