"""The ledger's claim about weights, on the numbers: a change moves with the weights in its set and with no other."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import small
from own_rule import own

from neurolearn import rules, streams
from neurolearn.equations import Expr
from neurolearn.ledger import dependencies, ledger
from neurolearn.network import Connection, Network, mlp
from neurolearn.program import Program, lower
from neurolearn.rule import Pathway, Phase, Rule
from neurolearn.tensor.rate import RateProgram

SIZES = [3, 4, 5, 2]
UP = frozenset({"W_1_0", "b_1", "W_2_1", "b_2", "W_3_2", "b_3"})  # the forward pass, which every output error knows


def drawn(program: Program, rule: Rule, seed: int = 0) -> dict[str, np.ndarray]:
    return streams.initial_weights(program, rule.pathways, seed, bias=0.3)


def sample(program: Program, held: dict | None = None) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    inputs, outputs = program.network.sizes[0], program.network.sizes[-1]
    return streams.given(program, rng.random((7, inputs)), rng.random((7, outputs)), seed=2, held=held)


# A target that starts from the label forgets the potential of its own layer; what is heard as W h + b - b has no b, and
# the answer to a shake, less the answer without it, has none either.
CANCEL = {"target_propagation_learned", "incremental_target_propagation_learned", "ddtp_linear"}


def moved_by(program: Program, rule: Rule, held: dict | None = None) -> dict[str, set[str]]:
    """Plastic weight -> weights whose replacement (another seed) moves its change.

    What moves at all moves by more than 1e-6 of the change, or by rounding, where terms cancel.
    """
    start, given = drawn(program, rule), sample(program, held)
    other = {name: value + (value == start[name]) * 0.1 for name, value in drawn(program, rule, seed=1).items()}
    compiled = RateProgram(program, start)
    before = compiled.changes(given)
    found: dict[str, set[str]] = {name: set() for name in before}
    for replaced in start:
        after = RateProgram(program, {**start, replaced: other[replaced]}).changes(given)
        for name, change in after.items():
            moved = (change - before[name]).norm() / before[name].norm()
            assert torch.equal(change, before[name]) or moved > 1e-6 or (rule.name in CANCEL and moved < 1e-13)
            if moved > 1e-6:
                found[name].add(replaced)
    assert all(change.norm() > 1e-6 for change in before.values())  # a vanishing change depends on nothing
    return found


KOLEN_POLLACK = own(plasticity={"W": "error_post * rate_pre - 0.1*w", "B": "rate_post * error_pre - 0.1*w"})
NUDGED = Phase(hidden="drive = C(error_output)\nlate = f(W(rate_below) + b + drive)\nlatch kept = late",
               output="error = teacher - rate")
THREE_PHASES = own(phases={"free": Phase(hidden="latch free = rate"), "nudged": NUDGED},
                   pathways={"C": Pathway("output")}, hidden="error = kept - free")
LATERAL = own(pathways={"B": Pathway("above"), "L": Pathway("here")},
              hidden="error = slope * (B(error_above) - L(rate_here))", output="error = teacher - rate - L(rate_here)",
              plasticity={"W": "error_post * rate_pre", "L": "rate_post * rate_pre"})
SKIPS = Network((3, 4, 4, 2), (Connection(0, 1), Connection(1, 2, "identity"), Connection(0, 2), Connection(2, 3),
                               Connection(1, 3, "masked", np.array([[1, 0, 1, 1], [0, 1, 1, 0]], bool))))
TRIED = [
    *((rule, small(rule)) for rule in rules.ALL.values()),
    (rules.get("feedback_alignment"), mlp(SIZES, loss="cross_entropy")),
    (rules.get("backprop"), SKIPS), (rules.get("direct_feedback_alignment"), SKIPS),
    (KOLEN_POLLACK, mlp(SIZES)), (THREE_PHASES, mlp(SIZES)), (LATERAL, mlp(SIZES)),
]


@pytest.mark.parametrize(("rule", "network"), TRIED, ids=[f"{rule.name} {network}" for rule, network in TRIED])
def test_a_change_moves_with_the_weights_in_its_set_and_with_no_other(rule, network):
    program = lower(rule, network)
    # the tensors take softmax in closed form, without the pool's weights
    moved, said = moved_by(program, rule), dependencies(program, closed=True)
    assert all(moved[weight] <= said[weight] for weight in said)
    assert rule.name in CANCEL or moved == said


@pytest.mark.parametrize(("name", "knows_the_output_weights"), [
    ("backprop", True), ("feedback_alignment", False), ("direct_feedback_alignment", False),
])
def test_with_the_output_error_held_only_backprop_knows_the_output_weights(name, knows_the_output_weights):
    rule = rules.get(name)
    program = lower(rule, mlp(SIZES)).hold({3: {"error"}})
    held = {"error": {3: np.random.default_rng(9).standard_normal((7, 2))}}
    moved, said = moved_by(program, rule, held), dependencies(program)
    assert moved == said
    for hidden in ("W_1_0", "b_1", "W_2_1", "b_2"):
        assert ("W_3_2" in said[hidden]) == knows_the_output_weights
        assert "b_3" not in said[hidden]


# Feedback that reads the weights of the layer above, through its own inverse or transpose, or back along them.
READS_ABOVE = {
    "backprop", "dynamic_inversion", "sequential_dynamic_inversion", "non_dynamic_inversion", "gauss_newton_target",
    "target_propagation", "incremental_target_propagation", "gait_prop", "gait_prop_published", "gait_prop_orthogonal",
    "kickback",
}
TRANSPORTED = {
    ("difference_target_propagation", 2): {"W_3_2"},  # the gradient step at the top
    ("single_loop_dynamic_inversion", 1): {"W_2_1", "W_3_2"},  # one matrix, the product of both
}


@pytest.mark.parametrize("rule", rules.ALL.values(), ids=rules.ALL)
@pytest.mark.parametrize("layer", [1, 2, 3])
def test_with_all_that_arrives_held_the_rest_is_in_the_cell_or_is_transport(rule, layer):
    """Hold what every other layer sends: what still moves a change are weights that the layer itself reads."""
    program = lower(rule, small(rule))
    if layer > program.network.output:
        layer = program.network.output
    others = {  # what they broadcast too
        k: {*cell.sent, *(s.name for s in cell.signals if s.name.startswith("in_"))}
        for k, cell in enumerate(program.cells)
        if k != layer and cell.sent
    }
    rng = np.random.default_rng(3)
    held: dict[str, dict[int, np.ndarray]] = {}
    for k in sorted(others):
        for name in sorted(others[k]):
            held.setdefault(name, {})[k] = rng.standard_normal((7, program.cells[k].size))
    clamped = program.hold(others)
    said, moved = ledger(program, rule).depends_given, moved_by(clamped, rule, held)
    here = [p.weight for p in program.plastics if p.target == layer]
    assert here
    for weight in here:
        assert moved[weight] <= said[weight] == dependencies(clamped)[weight]
        assert rule.name in CANCEL or moved[weight] == said[weight]
    transported = {w for weight in here for w in said[weight] if program.weights[w].target != layer}
    above = {f"W_{layer + 1}_{layer}"} if rule.name in READS_ABOVE and layer < program.network.output else set()
    assert transported == TRANSPORTED.get((rule.name, layer), above)


def test_the_circuit_of_softmax_depends_on_its_pool():
    program = lower(rules.get("feedback_alignment"), mlp(SIZES, loss="cross_entropy"))
    closed, circuit = dependencies(program, closed=True), dependencies(program)
    assert all(circuit[name] == closed[name] | {"pool_3_3"} for name in closed)


def test_a_state_and_a_synaptic_variable_are_followed():
    """d(.)/dt passes on what it reads, and so does an eligibility trace at the synapse."""
    rule = own(times={"tau_c": 4.0}, hidden="dslow/dt = (B(error_above) - slow)/tau_c\nerror = slope*slow",
               plasticity={"W": "dtrace/dt = (error_post*rate_pre - trace)/tau_c\ndw = trace"})
    found = dependencies(lower(rule, mlp(SIZES)))
    assert found["W_1_0"] == UP | {"B_1_2", "B_2_3"}
    assert Expr("state", "trace") == lower(rule, mlp(SIZES)).plastics[0].expr
