"""What a text becomes: what is compiled, weights and edges, softmax, phases and broadcasts."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import small
from test_language import KEEP, ROOT, SOUND, B

from neurolearn import rules, streams
from neurolearn.equations import Expr, show
from neurolearn.network import Connection, Network, mlp
from neurolearn.program import Node, Path, lower
from neurolearn.rule import Pathway, Phase, Rule
from neurolearn.tensor.rate import RateProgram

# -- what is compiled --------------------------------------------------------------------------------------------------


def needed(program) -> dict[str, set[tuple[int, str]]]:
    """Signals per phase that plasticity reads, and all that those read: by hand, from the Program's own edges."""
    found = {phase: set() for phase in program.phases}
    todo = [(p.phase, p.target, name) for p in program.plastics for name in p.reads("post")]
    todo += [(p.phase, p.source, name) for p in program.plastics for name in p.reads("pre")]
    while todo:
        phase, k, name = todo.pop()
        cell = program.cells[k]
        if (k, name) in found[phase]:
            continue
        if cell.has(name) and phase in cell.signal(name).forms:
            found[phase].add((k, name))
            todo += [(phase, k, read) for read in cell.signal(name).forms[phase].names()]
        todo += [(phase, path.source, path.signal) for c in cell.compartments if c.name == name for path in c.paths]
        todo += [(latch.phase, k, latch.signal) for latch in cell.latches if latch.name == name]
    return found


JUNK = {
    "times": {"tau_slow": 2.0},
    "pathways": {**B, "Q": Pathway("above", bias="q"), "L": Pathway("here")},
    "input": "loud = 2*rate",
    "hidden": """
        error = slope * B(error_above)
        guess = f(Q(rate_above) + q) + L(guess_here)
        dslow/dt = (guess - slow) / tau_slow
    """,
    "output": "error = teacher - rate\nguess = rate*noise",
}


@pytest.mark.parametrize("rule", [*rules.ALL.values(), Rule(**{**SOUND, **JUNK})], ids=lambda rule: rule.name)
def test_nothing_is_compiled_that_plasticity_does_not_need(rule):
    program = lower(rule, small(rule))
    for phase, wanted in needed(program).items():
        compiled = {(k, s.name) for k, cell in enumerate(program.cells) for s in cell.signals if phase in s.forms}
        assert compiled == wanted
    read = {p.weight for cell in program.cells for c in cell.compartments for p in c.paths if p.weight}
    tied = {w.name for w in program.weights.values() if w.tie and w.tie[0] in read}
    tied |= {name for w in program.weights.values() if w.derived and w.name in read for name in w.derived.of}
    assert set(program.weights) == read | tied | {w for cell in program.cells for w in cell.biases.values()}


def test_lines_that_nothing_reads_change_nothing():
    plain, junk = (lower(Rule(**{**SOUND, **more}), mlp([3, 4, 5, 2])) for more in ({}, JUNK))
    assert repr(junk.cells) == repr(plain.cells)
    assert repr(junk.weights) == repr(plain.weights)


def test_the_lowest_controller_of_dynamic_inversion_is_absent():
    """No cell listens to the control of layer 1: below it there is only the input."""
    program = lower(rules.get("dynamic_inversion"), mlp([3, 4, 5, 2]))
    assert [cell.has("control") for cell in program.cells] == [False, False, True, True]
    assert "W(delta_below)" not in [c.call for c in program.cells[1].compartments]
    assert program.states("learn") == [Node(2, "control"), Node(3, "control")]


def test_a_pathway_into_the_input_layer_learns():
    program = lower(Rule(**{**SOUND, "input": "error = rate - B(rate_above)",
                            "plasticity": {**KEEP, "B": "error_post * rate_pre"}}), mlp([3, 4, 5, 2]))
    assert [p.weight for p in program.plastics if p.weight.startswith("B")] == ["B_0_1", "B_1_2", "B_2_3"]


MIXED = """
from neurolearn import rules
from neurolearn.network import mlp
from neurolearn.program import lower
from neurolearn.rule import Pathway, Phase, Rule
mixed = Rule(name="mixed", pathways={"B": Pathway("above", bias="q"), "C": Pathway("output", bias="p")},
    hidden="error = slope*(B(error_above) + q + C(error_output) + p) + free*noise", constants={"k": 1, "g": 2},
    phases={"early": Phase(hidden="latch free = rate")}, broadcast={"reward": "sum(teacher*rate)"},
    output="error = k*(teacher - rate) + g*noise*teacher",
    plasticity={"W": "reward*error_post*rate_pre", "B": "rate_post*error_pre", "C": "rate_post*error_pre"})
for rule in (*rules.ALL.values(), mixed):
    for loss in ("squared", "cross_entropy"):
        sizes = [3, 4, 5, 1 if rule.nets.scalar else 2]
        print(repr(lower(rule, mlp(sizes, rule.nets.activations[0], loss))))
"""


def test_the_program_does_not_depend_on_the_hash_seed():
    running = [subprocess.Popen([sys.executable, "-c", MIXED], cwd=ROOT, stdout=subprocess.PIPE, text=True,
                                env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": str(seed)})
               for seed in (0, 1, 2, 3)]
    texts = [process.communicate(timeout=120)[0] for process in running]
    assert all(process.returncode == 0 for process in running)
    assert "mixed" in texts[0]
    assert len(set(texts)) == 1


# -- weights and edges -------------------------------------------------------------------------------------------------


def test_initialisers_see_a_generator_and_a_shape_and_no_weight():
    calls = []

    def spy(*args, **more):
        calls.append((args, more))
        return np.zeros(args[1])

    rule = Rule(**{**SOUND, "pathways": {"W": Pathway("below", spy, bias="b"), "B": Pathway("above", spy)}})
    program = lower(rule, mlp([3, 4, 5, 2]))
    streams.initial_weights(program, rule.pathways, seed=1)
    assert [args[1] for args, _ in calls] == [(4, 3), (5, 4), (2, 5), (4, 5), (5, 2)]
    for args, more in calls:
        assert len(args) == 2
        assert isinstance(args[0], np.random.Generator)
        assert more == {}


def test_a_weight_is_drawn_alike_whatever_else_there_is():
    lateral = {"pathways": {"A": Pathway("here"), **B}, "hidden": "error = slope*(B(error_above) + A(rate_here))"}
    few, many = (lower(Rule(**{**SOUND, **more}), mlp([3, 4, 5, 2])) for more in ({}, lateral))
    pathways = {"A": Pathway("here"), **Rule(**SOUND).pathways}
    one, other = streams.initial_weights(few, pathways, 3), streams.initial_weights(many, pathways, 3)
    assert set(other) - set(one) == {"A_1_1", "A_2_2"}
    assert all(np.array_equal(one[name], other[name]) for name in one)
    assert not np.diag(other["A_1_1"]).any()  # lateral: no cell hears itself


def test_an_initialiser_of_another_shape_is_refused():
    rule = Rule(**{**SOUND, "pathways": {"B": Pathway("above", lambda rng, shape: np.zeros(3))}})
    with pytest.raises(ValueError, match=r"pathway B returned \(3,\); it must return \(4, 2\)"):
        streams.initial_weights(lower(rule, mlp([3, 4, 2])), rule.pathways)


MASK = np.array([[1, 0, 1, 1], [0, 1, 1, 0]], bool)  # (to, from) of the edge 1 -> 3
GRAPH = Network((3, 4, 4, 2), (
    Connection(0, 1), Connection(1, 2, "identity"), Connection(0, 2), Connection(2, 3),
    Connection(1, 3, "masked", MASK),
))


def test_a_graph_has_a_weight_per_learned_edge_and_a_path_per_edge():
    program = lower(rules.get("feedback_alignment"), GRAPH)
    shapes = {name: weight.shape for name, weight in program.weights.items() if weight.source is not None}
    assert shapes == {"W_1_0": (4, 3), "W_2_0": (4, 3), "W_3_1": (2, 4), "W_3_2": (2, 4),
                      "B_1_3": (4, 2), "B_2_3": (4, 2)}
    assert np.array_equal(program.weights["W_3_1"].mask, MASK)
    assert np.array_equal(program.weights["B_1_3"].mask, MASK.T)  # feedback runs along the same edge
    paths = {(k, c.call): c.paths for k, cell in enumerate(program.cells) for c in cell.compartments}
    assert paths == {
        (1, "W(rate_below)"): (Path("weight", 0, "rate", "W_1_0"),),
        (2, "W(rate_below)"): (Path("weight", 0, "rate", "W_2_0"), Path("identity", 1, "rate")),
        (3, "W(rate_below)"): (Path("weight", 1, "rate", "W_3_1"), Path("weight", 2, "rate", "W_3_2")),
        (1, "B(error_above)"): (Path("identity", 2, "error"), Path("weight", 3, "error", "B_1_3")),
        (2, "B(error_above)"): (Path("weight", 3, "error", "B_2_3"),),
    }
    assert set(program.plastic_weights()) == {"W_1_0", "W_2_0", "W_3_1", "W_3_2", "b_1", "b_2", "b_3"}


def test_direct_feedback_runs_past_the_graph():
    program = lower(rules.get("direct_feedback_alignment"), GRAPH)
    assert [p for c in program.cells[1].compartments if c.pathway == "B" for p in c.paths] == [
        Path("weight", 3, "error", "B_1_3")]
    assert program.weights["B_1_3"].mask is None  # no forward edge, no mask


def test_masked_weights_start_and_stay_masked():
    rule = rules.get("feedback_alignment")
    program = lower(rule, GRAPH)
    weights = streams.initial_weights(program, rule.pathways)
    assert not weights["W_3_1"][~MASK].any()
    rng = np.random.default_rng(0)
    change = RateProgram(program, weights).changes(streams.given(program, rng.random((5, 3)), rng.random((5, 2))))
    assert not change["W_3_1"].numpy()[~MASK].any()
    assert change["W_3_1"].numpy()[MASK].all()


@pytest.mark.parametrize(("name", "signal", "factor"), [
    ("backprop", "error", 1.0), ("dynamic_inversion", "control", -1.0),
])
def test_a_tied_pathway_reads_the_weight_that_is_real(name, signal, factor):
    rule = rules.get(name)
    program = lower(rule, mlp([3, 4, 5, 2]))
    for target, source in ((1, 2), (2, 3)):
        tied, real = program.weights[f"B_{target}_{source}"], program.weights[f"W_{source}_{target}"]
        assert tied.tie == (real.name, factor)
        assert tied.shape == real.shape[::-1]
        call = next(c for c in program.cells[target].compartments if c.pathway == "B")
        assert call.paths == (Path("weight", source, signal, real.name, True, factor),)
    assert set(streams.initial_weights(program, rule.pathways)) == {w.name for w in program.free()}
    assert {w.name for w in program.free()} == set(program.weights) - {"B_1_2", "B_2_3"}


def test_a_tie_on_a_graph_keeps_its_edge_and_its_mask():
    program = lower(rules.get("backprop"), GRAPH)
    assert program.weights["B_1_3"].tie == ("W_3_1", 1.0)
    assert np.array_equal(program.weights["W_3_1"].mask, MASK)
    assert next(c for c in program.cells[1].compartments if c.pathway == "B").paths == (
        Path("identity", 2, "error"), Path("weight", 3, "error", "W_3_1", True))


def test_a_tie_multiplies_by_the_transpose():
    """error_2 = slope_2 * W_3_2^T error_3, from the settled signals themselves."""
    rule = rules.get("backprop")
    program = lower(rule, mlp([3, 4, 5, 2]))
    weights = streams.initial_weights(program, rule.pathways, bias=0.3)
    rng = np.random.default_rng(0)
    compiled = RateProgram(program, weights)
    signals = {name: value.numpy() for name, value in compiled.signals(
        streams.given(program, rng.random((6, 3)), rng.random((6, 2))))["learn"].items()}
    expected = signals["slope_2"] * np.einsum("bo,oi->bi", signals["error_3"], weights["W_3_2"])
    np.testing.assert_allclose(signals["error_2"], expected, rtol=1e-13, atol=1e-15)  # a sum of two products: rounding


# -- softmax, phases, broadcasts ---------------------------------------------------------------------------------------


def test_softmax_has_a_closed_form_and_keeps_its_circuit():
    program = lower(rules.get("feedback_alignment"), mlp([3, 4, 3], loss="cross_entropy"))
    rate = Node(2, "rate")
    assert show(program.form(rate, "learn")) == "softmax(potential)"
    assert (program.states("learn"), program.states("learn", closed=False)) == ([], [rate])
    assert rate in program.order("learn")
    assert rate not in program.order("learn", closed=False)
    circuit = program.form(rate, "learn", closed=False)
    # At rate = softmax(potential) the circuit stands still: excitation/units = rate * mean excitation.
    potential = np.array([0.3, -1.0, 2.0])
    excitation, settled = np.exp(potential), np.exp(potential) / np.exp(potential).sum()
    values = {"excitation": excitation, "rate": settled, "I_pool_excitation_here": excitation.mean(),
              **program.constants, **program.times}

    def value(e: Expr):
        if e.kind in ("name", "number"):
            return values[e.value] if e.kind == "name" else e.value
        a, b = map(value, e.args)
        return {"-": a - b, "*": a * b, "/": a / b}[e.kind]

    np.testing.assert_allclose(value(circuit), 0.0, atol=1e-15)


def test_a_rule_with_its_own_output_dynamics_has_no_closed_form():
    rule = Rule(**{**SOUND, "times": {"tau": 2.0}, "output": "drate/dt = (potential - rate)/tau\nerror = teacher - rate"})
    program = lower(rule, mlp([3, 4, 3], loss="cross_entropy"))
    assert program.closed == {}
    assert program.states("learn") == [Node(2, "rate")]


def test_a_latch_reaches_back_over_phases():
    rule = Rule(
        name="three_phases", constants={"nudge": 0.1},
        phases={
            "free": Phase(hidden="latch before = rate", output="latch before = rate"),
            "pause": Phase(),
            "nudged": Phase(
                input="latch before = rate",
                hidden="potential = W(rate_below) + b + nudge*before\nlatch after = rate",
                output="rate = before + nudge*(teacher - before)\nlatch after = rate",
            ),
        },
        plasticity={"W": "(after_post - before_post) * before_pre"},
    )
    program = lower(rule, mlp([3, 4, 2]))
    assert program.phases == ("free", "pause", "nudged", "learn")
    assert [len(program.order(phase)) > 0 for phase in program.phases] == [True, False, True, False]
    kept = [{latch.name: (latch.phase, latch.signal) for latch in cell.latches} for cell in program.cells]
    both = {"before": ("free", "rate"), "after": ("nudged", "rate")}
    assert kept == [{"before": ("nudged", "rate")}, both, both]
    weights = streams.initial_weights(program, rule.pathways, bias=0.3)
    rng = np.random.default_rng(0)
    x, teacher = rng.random((5, 3)), rng.random((5, 2))
    # The free phase, the nudged one and the product of what was kept, by hand.
    before = np.tanh(x @ weights["W_1_0"].T + weights["b_1"])
    after = np.tanh(x @ weights["W_1_0"].T + weights["b_1"] + 0.1 * before)
    change = RateProgram(program, weights).changes(streams.given(program, x, teacher))
    np.testing.assert_allclose(change["W_1_0"].numpy(), (after - before).T @ x / 5, rtol=1e-13, atol=1e-16)


def test_a_latch_of_a_latch_is_kept_and_one_that_nothing_reads_is_not():
    rule = Rule(**{**SOUND, "phases": {"free": Phase(hidden="latch first = rate\nlatch idle = rate"),
                                       "late": Phase(hidden="latch again = first")},
                   "hidden": "error = slope * again"})
    program = lower(rule, mlp([3, 4, 2]))
    assert [(latch.name, latch.phase) for latch in program.cells[1].latches] == [("first", "free"), ("again", "late")]
    weights = streams.initial_weights(program, rule.pathways, bias=0.3)
    rng = np.random.default_rng(0)
    x, teacher = rng.random((5, 3)), rng.random((5, 2))
    rate = np.tanh(x @ weights["W_1_0"].T + weights["b_1"])
    change = RateProgram(program, weights).changes(streams.given(program, x, teacher))
    np.testing.assert_allclose(change["W_1_0"].numpy(), ((1 - rate**2) * rate).T @ x / 5, rtol=1e-13, atol=1e-16)


def test_a_broadcast_is_a_graded_sum_over_the_output():
    rule = Rule(**{**SOUND, "broadcast": {"reward": " sum(teacher*rate)"},
                   "hidden": "error = slope*reward*B(error_above)", "plasticity": {"W": "reward*error_post*rate_pre"}})
    program = lower(rule, mlp([3, 4, 2]))
    for cell in program.cells[1:]:
        heard = next(c for c in cell.compartments if c.name == "reward")
        assert heard.paths == (Path("broadcast", 2, "in_reward"),)
    assert show(program.cells[2].signal("in_reward").forms["learn"]) == "teacher*rate"
    assert "in_reward" not in program.cells[2].sent  # not an axon
    assert not [name for name in program.weights if "reward" in name]


def test_a_held_signal_is_given_from_outside_and_nothing_else_moves():
    program = lower(rules.get("dynamic_inversion"), mlp([3, 4, 5, 2]))
    held = program.hold({3: {"control"}})
    assert held.states("learn") == [Node(2, "control")]
    assert show(held.form(Node(3, "control"), "learn")) == "held_control"
    assert repr(held.cells[:3]) == repr(program.cells[:3])
