"""Training: that hidden layers learn, that the controls do not, and that a run which goes wrong says so."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from neurolearn import data, rules, streams
from neurolearn.compare import angle, by_layer
from neurolearn.errors import InputError, SettlingError
from neurolearn.network import mlp
from neurolearn.observer import accuracy, backprop_gradient
from neurolearn.program import lower
from neurolearn.rule import Normal, Pathway, Rule
from neurolearn.tensor.rate import RateProgram
from neurolearn.training import CONTROLS, search, settings, task, train
from neurolearn.training.controls import learner
from neurolearn.training.watch import Watch

SEEDS = range(5)
SMALL = mlp([4, 8, 6, 3])


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def few():
    return data.load("yin_yang", limit=200)


def same(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


# -- credit assignment -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def yin_yang():
    """{who: test accuracy of five seeds, each with its own data}; the budget and the rates are those of the settings."""
    net = mlp(task("yin_yang", "cross_entropy").sizes, loss="cross_entropy")
    sets = [data.load("yin_yang", seed=seed) for seed in SEEDS]
    return {who: np.array([train(who, net, one, seed=seed, kind="fused", angles=False).history[-1]["test_accuracy"]
                           for seed, one in zip(SEEDS, sets, strict=True)])
            for who in (*CONTROLS, *rules.ALL)}


@pytest.mark.parametrize("rule", rules.ALL)
def test_yin_yang_needs_hidden_layers_that_learn_and_every_rule_teaches_them(yin_yang, rule):
    gap = yin_yang[rule] - yin_yang["readout_only"]  # the same data, initial weights and order
    error = gap.std(ddof=1) / np.sqrt(len(gap))
    assert gap.mean() > 5 * error, f"{gap.mean():.3f} +- {error:.3f}"
    assert yin_yang[rule].mean() > yin_yang["linear"].mean() + 0.05


def test_digits_are_learnt_by_backprop_and_nearly_as_well_by_a_linear_readout():
    digits, net = data.load("digits"), mlp(task("digits", "squared").sizes)
    runs = {who: [train(who, net, digits, seed=seed, kind="fused", angles=False) for seed in SEEDS]
            for who in (*CONTROLS, "backprop")}
    reached = {who: np.mean([run.history[-1]["test_accuracy"] for run in found]) for who, found in runs.items()}
    assert reached["backprop"] >= 0.95
    assert reached["backprop"] > reached["linear"] > 0.92  # so that digits cannot show that hidden layers learn
    assert reached["backprop"] - 0.03 > reached["readout_only"] > 0.75


def test_the_readout_learns_and_no_hidden_weight_moves(few):
    run, untrained = train("readout_only", SMALL, few, epochs=2, seed=3), train("backprop", SMALL, few, epochs=0, seed=3)
    moved = {name for name in run.weights if not np.array_equal(run.weights[name], untrained.weights[name])}
    assert moved == {"W_3_2", "b_3"}
    assert run.rule == "readout_only"
    assert run.network is SMALL


def test_the_linear_control_is_a_network_without_hidden_layers(few):
    run = train("linear", SMALL, few, epochs=1, seed=0)
    assert {name: value.shape for name, value in run.weights.items()} == {"W_1_0": (3, 4), "b_1": (3,)}
    assert str(run.network) == "4-3 tanh"


def test_a_users_own_rule_is_trained_like_any_other(few):
    own = Rule(name="own", pathways={"B": Pathway("output", Normal())}, hidden="error = slope * B(error_output)",
               output="error = teacher - rate", plasticity={"W": "error_post * rate_pre"})
    run = train(own, SMALL, few, epochs=2, seed=0)
    assert [row["rule"] for row in run.history] == ["own"] * 3
    assert settings.task("yin_yang", "squared").rate("own") == settings.DEFAULT


# -- what a run says ---------------------------------------------------------------------------------------------------


def test_a_step_adds_the_mean_change_times_the_rate(few):
    rule, rates = rules.get("difference_target_propagation"), {"W": 0.1, "Q": 0.3}
    program = lower(rule, SMALL)
    weights = streams.initial_weights(program, rule.pathways, 5)
    order = streams.stream(5, "order", 1).permutation(200)
    for some in (order[:64], order[64:128], order[128:192]):  # eight samples are left over
        given = streams.given(program, few.x_train[some], few.y_train[some], 5, 1, indices=some)
        for name, change in RateProgram(program, weights).changes(given).items():
            weights[name] = weights[name] + rates[name[0] if name[0] == "Q" else "W"] * change.numpy()
    run = train(rule, SMALL, few, epochs=1, seed=5, batch=64, rate=rates)
    for name, expected in weights.items():
        np.testing.assert_allclose(run.weights[name], expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("rule", ["feedback_alignment", "difference_target_propagation"])
def test_the_seed_decides_every_weight(few, rule):
    first, again, other = (train(rule, SMALL, few, epochs=2, seed=seed, rate=0.05) for seed in (0, 0, 1))
    assert same(first.weights, again.weights)
    assert not any(np.array_equal(first.weights[n], other.weights[n]) for n in first.weights)


@pytest.mark.parametrize("rule", rules.ALL)
def test_the_fused_program_trains_the_same_weights(few, rule):
    one, other = (train(rule, SMALL, few, epochs=2, seed=0, kind=kind, rate=0.05, angles=False).weights
                  for kind in ("reference", "fused"))
    for name in one:
        np.testing.assert_allclose(one[name], other[name], rtol=0, atol=1e-11)  # 12 steps, each to 1e-12


def test_every_epoch_has_a_row_and_the_first_is_from_before_training(few):
    seen = []
    run = train("feedback_alignment", SMALL, few, epochs=2, seed=4, rate=0.05, on_epoch=seen.append)
    assert tuple(seen) == run.history
    assert [row["epoch"] for row in seen] == [0, 1, 2]
    assert all(row["rule"] == "feedback_alignment" and row["seed"] == 4 and row["epochs"] == 2 for row in seen)
    assert seen[0]["seconds"] < seen[1]["seconds"] < seen[2]["seconds"]
    for split in ("train", "valid", "test"):
        x, teacher = getattr(few, f"x_{split}"), getattr(few, f"y_{split}")
        assert seen[-1][f"{split}_accuracy"] == accuracy(SMALL, run.weights, x, teacher)


def test_the_angle_is_between_the_rules_next_change_and_the_gradient(few):
    rule = rules.get("dynamic_inversion")
    run = train(rule, SMALL, few, epochs=1, seed=0, rate=0.02)
    program = lower(rule, SMALL)
    given = streams.given(program, few.x_train, few.y_train)  # all 200: fewer than are watched
    change = RateProgram(program, run.weights).changes(given)
    gradient = by_layer(backprop_gradient(SMALL, run.weights, few.x_train, few.y_train))
    for layer, found in run.history[-1]["angle_to_backprop_deg"].items():
        assert found == pytest.approx(angle(change[f"W_{layer}_{layer - 1}"].numpy().ravel(), gradient[layer]), abs=1e-9)


def test_backprop_has_no_angle_to_itself_feedback_alignment_begins_at_a_right_one_and_controls_have_none(few):
    wide = mlp([4, 400, 300, 3])
    angles = {who: train(who, wide, few, epochs=0, seed=0).history[0]["angle_to_backprop_deg"]
              for who in ("backprop", "feedback_alignment", *CONTROLS)}
    assert max(angles["backprop"].values()) < 1e-6
    assert angles["linear"] is angles["readout_only"] is None
    assert angles["feedback_alignment"][3] < 1e-6  # the output layer's change is the gradient in every such rule
    assert abs(angles["feedback_alignment"][1] - 90) < 4 * np.degrees(1 / np.sqrt(300))  # random vectors in 300 dimensions
    assert train("backprop", SMALL, few, epochs=0, seed=0, angles=False).history[0]["angle_to_backprop_deg"] is None


# -- what goes wrong ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rule", "rate"), [("backprop", 5.0), ("linear", 20.0), ("dynamic_inversion", {"*": 8.0})])
def test_weights_that_diverge_end_the_run_and_are_named(few, rule, rate):
    seen = []
    number = next(iter(rate.values())) if isinstance(rate, dict) else rate
    with pytest.raises(InputError, match=rf"{rule} at rate {number:g}.*, epoch \d: .* diverged?; take a smaller rate"):
        train(rule, SMALL, few, epochs=30, seed=0, rate=rate, on_epoch=seen.append)
    assert all(np.isfinite(row["train_accuracy"]) for row in seen)
    assert len(seen) < 10


def test_feedback_that_diverges_is_noticed_even_before_it_reaches_the_output(few):
    who = learner("difference_target_propagation", SMALL)
    weights = streams.initial_weights(who.program, who.rule.pathways)
    watch = Watch(who, few, 0, angles=False)
    watch.check(weights, "here")
    with pytest.raises(InputError, match="here: Q_1_2 is no longer finite, so the weights diverged"):
        watch.check(weights | {"Q_1_2": np.full((8, 6), np.inf)}, "here")


def test_a_loop_that_never_settles_is_named_with_rule_rate_and_epoch(few):
    loop = replace(rules.get("dynamic_inversion"), name="loop", limit=None, own=None, hidden="""
        delta = B(control_above)
        error = slope * delta
        dcontrol/dt = (W(delta_below) - error + exp(control)) / tau_control
    """)
    with pytest.raises(SettlingError, match=r"loop at rate 0\.1, epoch 0: the loop did not settle.*smaller rate"):
        train(loop, SMALL, few, epochs=1, seed=0, rate=0.1)


@pytest.mark.parametrize(("wrong", "says"), [
    ({"epochs": -1}, "epochs is -1; give an integer >= 0"),
    ({"epochs": 1.5}, "epochs is 1.5"),
    ({"batch": 201}, "batch is 201; give an integer >= 1 and <= 200, the number of training samples"),
    ({"batch": 0}, "batch is 0"),
    ({"seed": -1}, "seed is -1"),
    ({"rate": 0.0}, "rate is 0.0; give a positive number"),
    ({"rate": float("nan")}, "rate is nan"),
    ({"rate": {"W": 0.1, "Q": -1.0}}, "rate is -1.0 for Q"),
    ({"rate": {"W": 0.1}}, "rate has nothing for Q; name it, or give '\\*'"),
    ({"rate": {"W": 0.1, "Q": 0.1, "B": 0.1}}, "rate names 'B'; in difference_target_propagation there learn Q, W"),
    ({"network": mlp([4, 5, 2])}, r"\(4-5-2 tanh\) does not fit yin_yang, which has 4 features and 3 classes"),
    ({"kind": "fast"}, "kind is 'fast'"),
    ({"rule": "nothing"}, "there is no rule 'nothing'"),
    ({"rule": replace(rules.get("backprop"), name="linear")}, "the rule is named 'linear', which is a control"),
])
def test_arguments_that_do_not_fit_are_named(few, wrong, says):
    usual = {"rule": "difference_target_propagation", "network": SMALL, "epochs": 1, "seed": 0}
    with pytest.raises(InputError, match=says):
        train(**{**usual, "dataset": few, **wrong})


# -- settings ----------------------------------------------------------------------------------------------------------


def test_every_rule_and_control_has_a_rate_for_every_task():
    for one in settings.TASKS.values():
        assert set(one.rates) == {*CONTROLS, *rules.ALL}


def test_the_search_scores_validation_and_marks_what_diverges(monkeypatch):
    small = replace(settings.task("digits", "squared"), epochs=8, sizes=(64, 10))
    monkeypatch.setitem(settings.TASKS, ("digits", "squared"), small)
    slow, good, wild = search("linear", "digits", "squared", [1e-6, 0.05, 50.0])
    assert wild is None
    assert 0 <= slow < 0.5 < good < 1
    runs = [train("linear", mlp([64, 10]), data.load("digits"), seed=seed, rate=0.05) for seed in (100, 101, 102)]
    assert good == pytest.approx(min(run.history[-1]["valid_accuracy"] for run in runs))
