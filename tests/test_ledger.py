"""The ledger: what each rule assumes, argued from its paper, and its claims about weights, tried on the numbers."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from conftest import small
from own_rule import FA, own

from neurolearn import rules
from neurolearn.errors import InputError
from neurolearn.ledger import Ledger, dependencies, ledger
from neurolearn.network import Network, mlp
from neurolearn.program import lower
from neurolearn.rule import Pathway, Phase, Rule, Tied

SIZES = [3, 4, 5, 2]
UP = frozenset({"W_1_0", "b_1", "W_2_1", "b_2", "W_3_2", "b_3"})  # the forward pass, which every output error knows


def of(rule: Rule | str, network: Network | None = None) -> Ledger:
    rule = rules.get(rule) if isinstance(rule, str) else rule
    return ledger(lower(rule, network or mlp(SIZES, "relu")), rule)


def shipped(name: str) -> Ledger:
    """On a net that the rule is for."""
    rule = rules.get(name)
    return of(rule, mlp(SIZES, "relu") if name in EXPECTED else small(rule))


# -- the shipped rules -------------------------------------------------------------------------------------------------
# With ReLU units and inputs that are not negative a rate never is; an error, a difference, always may be.

EXPECTED = {
    # The error of a layer is one more output of its cells: down to the layer below, through the transpose of what comes
    # up, gated by the f' of the cell that sends it and by that of the cell that receives it. Layer 1 sends none.
    "backprop": {
        "transport": {"B": "exact (transpose of W), held for ever"},
        "copies": {"W_2_1": 1, "W_3_2": 1},  # each is needed upwards and downwards; nothing returns to the input
        "phases": ("learn",),
        "latches": {},
        "signed": {"hidden": ("error",), "output": ("error",)},
        "error_cells": {"hidden": ("error",), "output": ("error",)},
        "slope": ("own", "other"),
        "broadcasts": {}, "noise": {}, "teacher": {"output": ("learn",)},
        "trial_clock": ("changes are read at the end of a phase",),
        # B is no weight of its own, so nothing but the forward weights can matter
        "depends": dict.fromkeys(UP, UP),
    },
    # As backprop, with weights of its own on the way down: no transport, no copy.
    "feedback_alignment": {
        "transport": {"B": "none (fixed)"},
        "copies": {},
        "phases": ("learn",),
        "latches": {},
        "signed": {"hidden": ("error",), "output": ("error",)},
        "error_cells": {"hidden": ("error",), "output": ("error",)},
        "slope": ("own", "other"),
        "broadcasts": {}, "noise": {}, "teacher": {"output": ("learn",)},
        "trial_clock": ("changes are read at the end of a phase",),
        # the error reaches layer 1 through both feedback matrices, layer 2 through the upper one
        "depends": {**dict.fromkeys(("W_3_2", "b_3"), UP), **dict.fromkeys(("W_2_1", "b_2"), UP | {"B_2_3"}),
                    **dict.fromkeys(("W_1_0", "b_1"), UP | {"B_1_2", "B_2_3"})},
    },
    # The output alone sends an error, and it has passed no f' on its way: hidden cells have one axon and own slopes.
    "direct_feedback_alignment": {
        "transport": {"B": "none (fixed)"},
        "copies": {},
        "phases": ("learn",),
        "latches": {},
        "signed": {"output": ("error",)},
        "error_cells": {"output": ("error",)},
        "slope": ("own",),
        "broadcasts": {}, "noise": {}, "teacher": {"output": ("learn",)},
        "trial_clock": ("changes are read at the end of a phase",),
        "depends": {**dict.fromkeys(("W_3_2", "b_3"), UP), **dict.fromkeys(("W_2_1", "b_2"), UP | {"B_2_3"}),
                    **dict.fromkeys(("W_1_0", "b_1"), UP | {"B_1_3"})},
    },
    # Targets come down a learned inverse that must carry target and rate at once; the noise phase sends a probe up. No
    # f' of another cell is needed (the point of target propagation). Targets are rates plus differences, and the output
    # is linear: signed.
    "dtp_learned_top": {
        "transport": {"Q": "none (learned)"},
        # rate and probe up, target and rate down
        "copies": {"W_1_0": 1, "W_2_1": 1, "W_3_2": 1, "Q_1_2": 1, "Q_2_3": 1},
        "phases": ("inverse", "learn"),
        "latches": {},
        "signed": {"hidden": ("probe", "target"), "output": ("rate", "target")},
        "error_cells": {"input": ("probe",), "hidden": ("probe", "target"), "output": ("target",)},
        "slope": ("own",),
        "broadcasts": {}, "noise": {"hidden": ("inverse",)}, "teacher": {"output": ("learn",)},
        "trial_clock": ("2 phases in their order", "changes are read at the end of a phase"),
        # the inverse of layer 1 is learned from layers 1 and 2 alone: it does not know what lies above
        "depends": {**dict.fromkeys(("W_3_2", "b_3"), UP), **dict.fromkeys(("W_2_1", "b_2"), UP | {"Q_2_3"}),
                    **dict.fromkeys(("W_1_0", "b_1"), UP | {"Q_1_2", "Q_2_3"}), "Q_2_3": UP | {"Q_2_3"},
                    "Q_1_2": frozenset({"W_1_0", "b_1", "W_2_1", "b_2", "Q_1_2"})},
    },
    # Controllers drive the lower layer through minus the transpose and hear its answer through W itself: three readers
    # of one weight. Control and answer (delta) are axons of their own; the answer of layer 2 goes up only.
    "dynamic_inversion": {
        "transport": {"B": "exact, negated (transpose of W), held for ever"},
        "copies": {"W_2_1": 2, "W_3_2": 2},
        "phases": ("learn",),
        "latches": {},
        "signed": {"hidden": ("delta", "control"), "output": ("control",)},
        "error_cells": {"hidden": ("delta", "control"), "output": ("control",)},
        "slope": ("own", "other"),  # the controller of layer 2 compares with an error that its own f' has gated
        "broadcasts": {}, "noise": {}, "teacher": {"output": ("learn",)},
        "trial_clock": ("changes are read at the end of a phase",),
        "depends": dict.fromkeys(UP, UP),
    },
}


# Whose weights travel, by the paper of each rule; ``EXPECTED`` says it for the others.
TRANSPORT = {
    "target_propagation": {"V": "inverse (pseudo-inverse of W), held for ever"},
    "target_propagation_learned": {"V": "none (learned)"},
    "incremental_target_propagation": {"V": "inverse (pseudo-inverse of W), held for ever"},
    "incremental_target_propagation_learned": {"V": "none (learned)"},
    "gait_prop": {"V": "inverse (pseudo-inverse of W), held for ever"},
    "gait_prop_published": {"V": "inverse (pseudo-inverse of W), held for ever"},
    "gait_prop_orthogonal": {"V": "inverse (pseudo-inverse of W), held for ever",
                             "T": "exact (transpose of W), held for ever"},
    "difference_target_propagation": {"Q": "none (learned)", "T": "exact (transpose of W), held for ever"},
    "simplified_dtp": {"Q": "none (learned)"},
    "auxiliary_output_sdtp": {"Q": "none (learned)", "P": "none (learned)"},
    "dtp_difference_reconstruction": {"Q": "none (learned)"},
    "ddtp_linear": {"Q": "none (learned)"},
    "ddtp_rhl": {"Q": "none (learned)", "P": "none (learned)"},
    "ddtp_control": {"Q": "none (learned)"},
    "gauss_newton_target": {"T": "exact (transpose of W), held for ever"},
    "sequential_dynamic_inversion": {"B": "exact, negated (transpose of W), held for ever"},
    "single_loop_dynamic_inversion": {"B": "exact (negated path transpose of W), held for ever"},
    "non_dynamic_inversion": {"B": "inverse (pseudo-inverse of W, damping 0.1), held for ever"},
    "dynamic_inversion_learned": {"B": "none (learned)"},
    "kickback": {"K": "retrograde (along W), held for ever"},
    "infomax": {},
    "infomax_gaussian": {},
    "infomax_square": {"T": "exact (transpose of W), held for ever"},
}


@pytest.mark.parametrize("name", rules.ALL)
def test_whose_weights_a_shipped_rule_transports(name):
    assert shipped(name).transport == (TRANSPORT.get(name) or EXPECTED.get(name, {}).get("transport", {}))


@pytest.mark.parametrize("name", EXPECTED)
def test_the_ledger_of_a_shipped_rule(name):
    found = of(name)
    for field, expected in EXPECTED[name].items():
        assert getattr(found, field) == expected, field


@pytest.mark.parametrize("name", rules.ALL)
def test_a_person_and_a_machine_can_read_it(name):
    found = shipped(name)
    rows = dict(found.rows())
    assert all(isinstance(text, str) and text for pair in rows.items() for text in pair)
    assert set(found.depends) == {label.split()[2] for label in rows if label.startswith("change of")}
    plain = found.json()
    assert json.loads(json.dumps(plain)) == plain
    assert plain["rule"] == name
    assert plain["depends"]["W_1_0"] == sorted(found.depends["W_1_0"])


def test_rows_say_it_in_words():
    rows = dict(of("dtp_learned_top").rows())
    assert rows["synapse sets of one weight"] == (
        "W: 2 (W(rate_below), W(probe_below)), 1 at a time; Q: 2 (Q(target_above), Q(rate_above)), 2 at a time")
    assert rows["further axons per unit"] == "input: 1 (probe); hidden: 2 (probe, target); output: 1 (target)"
    assert rows["slope f'"] == "of the cell that learns"
    assert rows["broadcasts"] == "none"


def test_the_program_must_be_of_the_rule():
    with pytest.raises(InputError, match="belongs to rule 'backprop', not 'feedback_alignment'"):
        ledger(lower(rules.get("backprop"), mlp(SIZES)), rules.get("feedback_alignment"))


@pytest.mark.parametrize(("activation", "signed"), [
    ("relu", False), ("softplus", False), ("lif", False), ("tanh", True), ("asinh", True), ("linear", True),
    ("leaky_relu", True),
])
def test_the_sign_of_a_rate_is_that_of_its_activation(activation, signed):
    assert ("rate" in of("feedback_alignment", mlp(SIZES, activation)).signed["hidden"]) == signed


def test_softmax_rates_are_not_negative_and_need_an_axon_for_their_pool():
    found = of("dtp_learned_top", mlp(SIZES, "relu", "cross_entropy"))
    assert found.signed["output"] == ("target",)  # the rate is on an axon too
    assert found.error_cells["output"] == ("excitation", "target")
    assert "pool_3_3" in found.depends["W_3_2"]


# -- rules of one's own: each shows one entry --------------------------------------------------------------------------

def test_increments_that_are_shared_are_said_to_be():
    """Kolen-Pollack: forward and backward synapse add the same product; a decay does not change that."""
    shared = "none at the start; increments shared with W"
    decay = {"W": "error_post * rate_pre - leak*w", "B": "error_pre * rate_post - leak*w"}
    assert of(own(plasticity={**FA["plasticity"], "B": "rate_post * error_pre"})).transport == {"B": shared}
    assert of(own(plasticity=decay, constants={"leak": 0.1})).transport == {"B": shared}
    assert of(own(plasticity={**FA["plasticity"], "B": "rate_post * rate_pre"})).transport == {"B": "none (learned)"}


def test_a_broadcast_is_not_an_end_of_the_synapse():
    third = {"W": "reward*error_post*rate_pre", "B": "reward*error_pre*rate_post"}
    found = of(own(plasticity=third, broadcast={"reward": "sum(teacher*rate)"}))
    assert found.transport == {"B": "none at the start; increments shared with W"}
    assert found.broadcasts == {"reward": ("hidden", "output")}
    assert found.depends["W_3_2"] == UP


def test_a_signal_that_runs_back_along_the_forward_synapse():
    """Kickback has no feedback weights at all: take them out of backprop's program and nothing else."""
    rule = rules.get("backprop")
    program = lower(rule, mlp(SIZES))
    program = replace(program, weights={n: w for n, w in program.weights.items() if w.pathway != "B"})
    assert ledger(program, rule).transport == {"B": "retrograde (along W), held for ever"}


def test_a_forward_pathway_can_be_the_one_that_is_tied():
    rule = own(pathways={"B": Pathway("above"), "V": Pathway("below", Tied("B"))},
               plasticity={"B": "rate_post*error_pre"},
               hidden="potential = V(rate_below) + W(rate_below)\nerror = slope * B(error_above)")
    assert of(rule).transport == {"B": "none (learned)", "V": "exact (transpose of B), held for ever"}


def test_a_value_is_held_over_as_many_phases_as_it_is_kept():
    rule = own(phases={"free": Phase(hidden="latch kept = rate\nlatch unread = rate"), "pause": Phase()},
               hidden="error = slope * (rate - kept)", output="error = teacher - rate")
    found = of(rule)
    assert found.phases == ("free", "pause", "learn")
    assert found.latches == {"kept": 2}
    assert found.trial_clock[:2] == ("3 phases in their order", "values are held across phases")
    assert found.slope == ("own",)
    assert found.depends["W_1_0"] == {"W_1_0", "b_1"}


def test_a_presynaptic_value_that_was_kept_came_along_the_synapses_there_are():
    kept = Phase(input="latch kept = rate", hidden="latch kept = rate")
    found = of(own(phases={"free": kept}, plasticity={"W": "error_post * kept_pre"}))
    assert found.copies == {}
    assert found.latches == {"kept": 1}
    assert found.readers["W_2_1"] == {"W(rate_below)": ("free", "learn")}


def test_a_presynaptic_signal_that_no_call_carries_needs_synapses_of_its_own():
    rule = own(input="trace = rate", hidden="error = slope*B(error_above)\ntrace = rate - 1",
               plasticity={"W": "error_post * trace_pre"})
    found = of(rule)
    assert found.copies == {"W_1_0": 1, "W_2_1": 1, "W_3_2": 1}
    assert found.error_cells["input"] == ("trace",)


@pytest.mark.parametrize(("sent", "signed"), [
    *((text, False) for text in (
        "rate*rate", "slope", "(rate - 1)*(rate - 1)", "(rate - 1)**2", "rate + 2", "exp(potential)", "abs(potential)",
        "f(potential)/2", "half*rate", "rate**3", "where(potential > 0, rate, 0)", "tanh(rate)")),
    *((text, True) for text in (
        "potential", "rate - 1", "-rate", "minus*rate", "log(rate)", "noise", "where(potential > 0, rate, potential)",
        "tanh(potential)", "potential**3")),
])
def test_signs_are_read_off_the_equation(sent, signed):
    rule = own(hidden=f"x = {sent}\nerror = slope * B(x_above)", output="x = teacher*teacher\nerror = teacher - rate",
               constants={"half": 0.5, "minus": -1.0})
    assert of(rule).signed == ({"hidden": ("x",)} if signed else {})


@pytest.mark.parametrize(("text", "slopes"), [
    ("error = slope * B(error_above)", ("own", "other")),
    ("error = B(error_above)", ()),
    ("error = L(slope_here) * B(rate_above)", ("other",)),  # neighbours of the same layer are other cells
    ("error = df(B(rate_above))", ("own",)),
    ("error = B(gated_above)\ngated = slope * rate", ("other",)),
])
def test_whose_slope_a_change_needs(text, slopes):
    paths = {"B": Pathway("above"), "L": Pathway("here")}
    assert of(own(pathways=paths, hidden=text, output="error = teacher - rate\ngated = rate")).slope == slopes


def test_the_slope_of_a_presynaptic_cell_is_another_cells():
    assert of(own(input="rate = data\nslope = 1", plasticity={"W": "rate_post * slope_pre"})).slope == ("other",)


def test_the_right_side_of_a_derivative_is_not_its_value():
    rule = own(times={"tau": 1.0}, hidden="dx/dt = (rate + 1)/tau\nerror = slope * B(x_above)", output="x = 1\nerror = teacher - rate")
    assert of(rule).signed == {"hidden": ("x",)}


def test_a_weight_that_learns_in_two_phases_depends_on_what_either_reads():
    rule = own(phases={"early": Phase(plasticity={"W": "rate_post * rate_pre"})}, plasticity={"W": "0*w*rate_pre"})
    assert dependencies(lower(rule, mlp(SIZES)))["W_2_1"] == {"W_1_0", "b_1", "W_2_1", "b_2"}


def test_a_weight_depends_on_itself_where_it_is_named():
    """Oja's rule on a linear layer reads w; Hebb's with held ends does not."""
    plain = own(hidden="error = rate", output="error = rate", plasticity={"W": "error_post * rate_pre"})
    oja = replace(plain, plasticity={"W": "error_post * (rate_pre - error_post * w)"})
    assert dependencies(lower(plain, mlp(SIZES)).hold({1: {"error"}}))["W_1_0"] == set()
    assert dependencies(lower(oja, mlp(SIZES)).hold({1: {"error"}}))["W_1_0"] == {"W_1_0"}
