"""Which text belongs to which layer: first, last, in turn; cells that a rule adds; what each layer is given."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import near

from neurolearn import rules
from neurolearn.changes import REALISATIONS, prepare, update
from neurolearn.errors import InputError, RuleError
from neurolearn.network import Connection, Network, mlp
from neurolearn.program import lower
from neurolearn.rule import Nets, Pathway, Phase, Population, Rule
from neurolearn.tensor.rate import RateProgram

DEEP = mlp([4, 5, 4, 3, 2])
X = np.random.default_rng(2).random((3, 4))
TEACHER = np.eye(2)[[0, 1, 0]]
PLAIN = {"pathways": {"B": Pathway("above")}, "hidden": "error = slope * B(error_above)",
         "output": "error = teacher - rate", "plasticity": {"W": "error_post * rate_pre"}}


def rule(**changes) -> Rule:
    return Rule(name="mine", **{**PLAIN, **changes})


def signals(one: Rule, network=DEEP, x=X, teacher=TEACHER) -> dict[str, dict[str, np.ndarray]]:
    program, w, given = prepare(one, network, x, teacher)
    found = RateProgram(program, w).signals(given)
    return {phase: {n: v.numpy() for n, v in values.items()} for phase, values in found.items()}


def test_first_and_last_take_the_place_of_hidden():
    found = signals(rule(first="error = 1 + 0*rate", last="error = 2 + 0*rate"))["learn"]
    assert (found["error_1"] == 1).all() and (found["error_3"] == 2).all()
    assert near(found["error_2"], np.full_like(found["error_2"], 1)) > 0.1


@pytest.mark.parametrize(("sizes", "value"), [([4, 3, 2], 2), ([4, 3, 3, 2], 1)])
def test_a_layer_that_is_both_is_the_last(sizes, value):
    found = signals(rule(first="error = 1 + 0*rate", last="error = 2 + 0*rate"), mlp(sizes))["learn"]
    assert (found["error_1"] == value).all()


def test_over_a_skip_only_layers_that_hear_the_input_alone_are_first():
    edges = (Connection(0, 1), Connection(0, 2), Connection(1, 2), Connection(2, 3))
    one = rule(first="error = 1 + 0*rate", last="error = 2 + 0*rate")
    found = signals(one, Network((4, 3, 3, 2), edges))["learn"]
    assert (found["error_1"] == 1).all() and (found["error_2"] == 2).all()


TURNS = {"poke": Phase(turn="mark = 1 + 0*rate\nlatch kept = mark", hidden="mark = 0*rate",
                       plasticity={"B": "mark_post * rate_pre"})}


def test_a_phase_with_turns_runs_from_the_top_once_for_every_hidden_layer():
    """Its plasticity and its latches are those of the layer whose turn it is, and nothing else is compiled."""
    program = lower(rule(phases=TURNS, hidden="error = slope * B(error_above) * kept"), DEEP)
    assert program.phases == ("poke3", "poke2", "poke1", "learn")
    assert {(p.phase, p.weight) for p in program.plastics if p.weight.startswith("B")} == {
        ("poke3", "B_3_4"), ("poke2", "B_2_3"), ("poke1", "B_1_2")}
    assert [(k, latch.phase) for k, cell in enumerate(program.cells) for latch in cell.latches] == [
        (1, "poke1"), (2, "poke2"), (3, "poke3")]
    assert not any("poke1" in s.forms for s in program.cells[3].signals)  # too high to matter in the turn of layer 1


def test_phases_of_one_name_are_refused():
    with pytest.raises(RuleError, match="two phases would be named 'poke1'"):
        rule(phases={**TURNS, "poke1": Phase()}, hidden="error = slope * B(error_above)")


# -- populations -------------------------------------------------------------------------------------------------------

RELAY = {
    "populations": {"relay": Population(7, "heard = tanh(R(error_output) + r)")},
    "pathways": {"R": Pathway("output", bias="r"), "Q": Pathway("relay"), "T": Pathway("top")},
    "hidden": "error = slope * Q(heard_relay)",
    "plasticity": {"W": "error_post * rate_pre", "R": "heard_post * error_pre"},
}


@pytest.mark.parametrize("realisation", REALISATIONS)
def test_added_cells_hear_send_and_learn_in_every_realisation(realisation):
    """Oracle: NumPy."""
    one = rule(**RELAY)
    program, w, _ = prepare(one, DEEP, X, TEACHER)
    rates = [X]
    for k in range(1, 5):
        drive = rates[-1] @ w[f"W_{k}_{k - 1}"].T + w[f"b_{k}"]
        rates.append(np.tanh(drive) if k < 4 else drive)
    error = TEACHER - rates[4]
    heard = np.tanh(error @ w["R_5_4"].T + w["r_5"])
    post = (1 - rates[1] ** 2) * (heard @ w["Q_1_5"].T)
    expected = {"R_5_4": heard.T @ error / 3, "r_5": heard.mean(0), "W_1_0": post.T @ X / 3}
    found = update(one, DEEP, X, TEACHER, w, realisation=realisation)
    tolerance = {"tensor.rate": 1e-12, "circuit.rate": 1e-8}.get(realisation, 0.05)
    assert {n for n in expected if near(found[n], expected[n]) > tolerance} == set()
    assert program.cells[5].kind == "relay" and program.cells[5].title == "population_relay"


def test_from_the_top_means_from_the_layers_below_the_output():
    one = rule(**{**RELAY, "populations": {"relay": Population(3, "heard = T(rate_top)")}, "plasticity": PLAIN["plasticity"]})
    assert {w.name for w in lower(one, DEEP).weights.values() if w.pathway == "T"} == {"T_5_3"}


@pytest.mark.parametrize(("changes", "sentence"), [
    ({"phases": {"early": Phase(populations={"other": "x = 1"})}}, "'other', which is no population"),
    ({"populations": {"relay": Population(3, "heard = polarity*R(error_output)")}}, "have no polarity"),
    ({"populations": {"relay": Population(3, "heard = R(error_output) + teacher")}}, "known to the output layer only"),
    ({"populations": {**RELAY["populations"], "W": Population(3)}}, "named in pathway W and in populations"),
    ({"populations": {**RELAY["populations"], "above": Population(3)}}, "'above' says where a signal comes from"),
])
def test_a_population_that_cannot_be_is_refused(changes, sentence):
    with pytest.raises(RuleError) as caught:
        rule(**{**RELAY, **changes})
    assert sentence in str(caught.value)


# -- what each layer is given ------------------------------------------------------------------------------------------


def test_distance_counts_the_longest_way_to_the_output():
    edges = (Connection(0, 1), Connection(1, 2), Connection(2, 3), Connection(1, 3))
    one = rule(hidden="error = slope * B(error_above)/2**distance")
    program = lower(one, Network((4, 3, 3, 2), edges))
    forms = [cell.signal("error").forms["learn"] for cell in program.cells[1:3]]
    assert [[n.value for n in form.args[1].walk() if n.kind == "number"][1] for form in forms] == [2.0, 1.0]


def test_uniform_numbers_are_drawn_for_each_sample_and_kept():
    one = rule(hidden="draw = uniform\nerror = slope*draw")
    given = prepare(one, DEEP, X, TEACHER, seed=1)[2]
    drawn = given["uniform_learn_1"]
    assert drawn.shape == (3, 5) and (0 <= drawn).all() and (drawn < 1).all() and len(np.unique(drawn)) == 15
    assert np.array_equal(prepare(one, DEEP, X[:1], TEACHER[:1], seed=1)[2]["uniform_learn_1"], drawn[:1])


def test_half_of_a_signed_layer_is_negative_and_the_slope_with_it():
    found = signals(rule(hidden="error = slope * B(error_above)\nboth = rate*slope"),
                    mlp([4, 5, 4, 2], "softplus", signed=True))["learn"]
    assert (found["rate_1"][:, :3] > 0).all() and (found["rate_1"][:, 3:] < 0).all()
    assert (found["slope_2"][:, :2] > 0).all() and (found["slope_2"][:, 2:] < 0).all()


@pytest.mark.parametrize(("name", "network", "sentence"), [
    ("target_propagation", Network((4, 4, 4), (Connection(0, 1), Connection(1, 2), Connection(0, 2)), "asinh"), "chain"),
    ("kickback", mlp([4, 3, 2], "relu"), "needs one output unit"),
    ("gait_prop", mlp([4, 4, 4, 4], "relu"), "relu has none"),
])
def test_a_network_that_a_rule_is_not_for_is_refused_by_name(name, network, sentence):
    with pytest.raises(InputError, match=sentence) as caught:
        lower(rules.get(name), network)
    assert name in str(caught.value)


def test_a_rule_shows_the_smallest_network_that_it_is_for():
    one = replace(rules.get("feedback_alignment"), name="small", nets=Nets(shapes=((3, 2, 1),), activations=("relu",)))
    assert str(one.example()) == "3-2-1 relu"
