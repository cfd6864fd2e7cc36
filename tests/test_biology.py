"""Physiology in the open: each option of a circuit against its closed form, and what it leaves as it was."""

from __future__ import annotations

import re
from dataclasses import replace

import brian2 as b2
import numpy as np
import pytest
from brian2 import ms, mV
from conftest import NET, RULES, TEACHER, X, near

from neurolearn import circuit
from neurolearn.changes import default_timing, prepare, update
from neurolearn.circuit import Background, Biology
from neurolearn.circuit.built import Circuit
from neurolearn.errors import InputError, RuleError
from neurolearn.network import Network, mlp
from neurolearn.pathway import Pathway, Tied
from neurolearn.program import lower
from neurolearn.rule import Rule
from neurolearn.timing import Timing

FA = RULES["feedback_alignment"]
SHORT = Timing(settle=100, window=100)
SMALL = mlp([6, 5, 3])


def build(rule: Rule = FA, kind: str = "spiking", timing: Timing = SHORT, network=NET, **options) -> Circuit:
    return circuit.build(rule, network, X, TEACHER, kind=kind, timing=timing, **options)


# -- delays ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("placement", "groups"), [("unit", ("layer3", "layer2")), ("cells", ("layer3_error", "layer2_error"))])
def test_a_kick_arrives_after_its_delay(placement, groups):
    """Oracle: NumPy's sum over the recorded spikes, each d steps late, through the leaky current; 1e-12."""
    biology = Biology(delays={"B": 3 * ms, "W.rate": 7e-3})
    built = build(biology=biology, placement=placement)
    built.record_spikes()
    heard = built.objects[groups[1]]
    current = b2.StateMonitor(heard, "I_B_error_above", record=True, clock=heard.clock)
    built.network.add(current)
    built.run()
    sent = [built.objects[f"monitor_{groups[0]}_error_{side}"] for side in ("on", "off")]
    steps, trains = current.I_B_error_above.shape[1], []
    for monitor in sent:
        trains.append(np.zeros((steps + 10, 2, 3)))
        np.add.at(trains[-1].reshape(-1, 6), (np.round(monitor.t / ms).astype(int), monitor.i[:]), 1)
    synapses = next(s for s in built.plan.synapses if s.name == "B_2_3")
    w = np.zeros((4, 3))
    w[synapses.units[1], synapses.units[2]] = synapses.w  # both copies hold the same
    expected, now = [], np.zeros((2, 4))
    for n in range(steps):
        expected.append(now)
        late = (trains[0] - trains[1])[n - 3] if n >= 3 else np.zeros((2, 3))
        now = now - now * SHORT.dt / SHORT.tau + late @ w.T / (SHORT.unit_rate * SHORT.tau)
    assert np.abs(expected).max() > 0.1
    assert np.abs(np.array(expected).reshape(steps, -1).T - current.I_B_error_above).max() < 1e-12


def test_delayed_feedback_comes_to_the_same_limit():
    """Oracle: tensor.rate; 3 % at 1000 steps, as for circuits without delays."""
    rate = update(FA, SMALL, X, TEACHER)
    late = update(FA, SMALL, X, TEACHER, realisation="circuit.spiking", biology=Biology(delays={"B": 3 * ms}))
    assert max(near(late[n], rate[n]) for n in rate.changes) < 0.03


def test_the_script_says_the_delays():
    text = build(biology=Biology(delays={"B": 3 * ms})).source
    assert text.count("'error_on_I_B_error_above': 0.003*second") == 2
    assert set(re.findall(r"'[a-z_A-Z]+': ([0-9.e-]+)\*second", build().source)) == {"0.0"}


# -- sparse, non-reciprocal connectivity ---------------------------------------------------------------------------------

SPARSE = mlp([6, 5, 4, 3], connection=0.5, structure=3)


def thin(name: str, pathway: str, **changes) -> Rule:
    """A rule of the catalogue with a sparse pathway of its own."""
    rule = RULES[name]
    return replace(rule, pathways={**rule.pathways, pathway: replace(rule.pathways[pathway], connection=0.5, **changes)})


THIN = {
    "W and B": (thin("feedback_alignment", "B"), SPARSE),
    "from the output": (thin("direct_feedback_alignment", "B"), SPARSE),
    "learned": (thin("dtp_learned_top", "Q"), SPARSE),
    "tied": (RULES["backprop"], SPARSE),
    "lateral": (Rule(name="lateral", pathways={"L": Pathway("here", connection=0.5), "B": Pathway("above")},
                     hidden="error = slope*B(error_above) + 0.1*L(rate_here)", output="error = teacher - rate",
                     plasticity={"W": "error_post*rate_pre", "L": "error_post*rate_pre"}), NET),
}


@pytest.mark.parametrize("how", THIN)
def test_sparse_nets_settle_where_the_algebra_says(how):
    """Oracle: tensor.rate; 1e-10, the circuit being left to settle to 1e-13."""
    rule, net = THIN[how]
    program, weights, given = prepare(rule, net, X, TEACHER)
    timing = default_timing(program, weights, given, "circuit.rate", eps=1e-13)
    rate = update(rule, net, X, TEACHER)
    built = build(rule, "rate", timing, net)
    built.run()
    found = built.changes()
    masks = {name: w.mask for name, w in program.weights.items() if w.mask is not None and w.derived is None}
    assert any(m.mean() < 0.8 for m in masks.values())
    for name, change in rate.changes.items():
        assert near(found[name], change) < 1e-10 and np.linalg.norm(change) > 1e-4
        assert name not in masks or not change[~masks[name]].any()
    for name, synapses in ((n, o) for n, o in built.objects.items() if isinstance(o, b2.Synapses) and n in program.weights):
        shape = program.weights[name].shape
        there = np.zeros(shape, bool)
        there[synapses.j[:] % shape[0], synapses.i[:] % shape[1]] = True
        assert np.array_equal(there, masks.get(name, np.ones(shape, bool))), name
        assert len(synapses) == len(X) * there.sum()


def test_sparse_nets_spike_alike_in_brian2_and_torch():
    """Oracle: tensor.spiking on the same masks; 1e-9."""
    rule, net = THIN["W and B"]
    timing = Timing(settle=80, window=80, jitter=0.01)
    ours, theirs = (update(rule, net, X, TEACHER, realisation=f"{where}.spiking", timing=timing) for where in ("circuit", "tensor"))
    assert max(near(ours[n], theirs[n]) for n in theirs.changes) < 1e-9


def test_masks_are_drawn_as_stated():
    """Oracle: the binomial distribution, four standard deviations; forward and back are independent."""
    net = mlp([200, 150, 100], connection=0.1)
    weights = lower(thin("feedback_alignment", "B"), net).weights
    forward, back = weights["W_2_1"].mask, weights["B_1_2"].mask
    for mask, share in ((forward, 0.1), (back, 0.5), (weights["W_1_0"].mask, 0.1)):
        assert abs(mask.mean() - share) < 4 * np.sqrt(share * (1 - share) / mask.size)
    for one in (forward.T, forward):  # place by place, and draw by draw
        assert abs(np.corrcoef(one.ravel(), back.ravel())[0, 1]) < 4 / np.sqrt(back.size)
    assert np.array_equal(lower(RULES["backprop"], net).weights["B_1_2"].mask, forward.T)
    assert np.array_equal(lower(FA, net).weights["B_1_2"].mask, forward.T)
    again = lower(thin("feedback_alignment", "B"), mlp([200, 150, 100], connection=0.1, structure=1)).weights
    assert not np.array_equal(again["W_2_1"].mask, forward) and not np.array_equal(again["B_1_2"].mask, back)


def test_no_unit_is_left_without_a_synapse():
    mask = lower(thin("feedback_alignment", "B"), mlp([50, 50, 50], connection=0.001)).weights["W_2_1"].mask
    assert mask.any(1).all() and mask.sum() < 60


def test_a_derived_pathway_of_a_sparse_one_is_dense():
    """Oracle: the transposed product of the matrices, which is dense where they are sparse."""
    rule = replace(RULES["direct_feedback_alignment"], name="paths",
                   pathways={"B": Pathway("output", Tied("W", "path transpose"))}, limit=None)
    program, w, _ = prepare(rule, SPARSE, X, TEACHER)
    assert program.weights["B_1_3"].mask is None and program.weights["W_2_1"].mask is not None
    assert np.array_equal(w["B_1_3"], (w["W_3_2"] @ w["W_2_1"]).T)


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("given", "sentence"), [
    ({"delays": {"B": 3 * mV}}, r"the delay of B is .*give one time, such as 3\*ms"),
    ({"delays": {"B": "3 ms"}}, r"the delay of B is '3 ms'; give one time"),
    ({"delays": {"B": -1e-3}}, "the delay of B is -0.001 s; it must be positive"),
    ({"delays": 3 * ms}, "delays is .*give a mapping"),
    ({"heterogeneity": {"colour": 0.1}}, "heterogeneity of 'colour'; choose among threshold, membrane, synapse"),
    ({"heterogeneity": -0.1}, "heterogeneity of the threshold is -0.1; give a number from 0"),
    ({"irregularity": 1.5}, "irregularity is 1.5; give a number from 0"),
    ({"background": 0.1}, r"background is 0.1; give Background\(amplitude, tau\)"),
])
def test_an_option_that_makes_no_sense_is_refused(given, sentence):
    with pytest.raises(InputError, match=sentence):
        Biology(**given)


@pytest.mark.parametrize(("biology", "how", "sentence"), [
    (Biology(delays={"B": 3 * ms}), {"kind": "rate"}, "no delayed continuous coupling"),
    (Biology(delays={"Q": 3 * ms}), {}, "delays names 'Q'; the pathways that carry spikes here are B, B.error, W, W.rate"),
    (Biology(delays={"B": 0.1 * ms}), {}, "the delay of B is 0.0001 s, less than half a step"),
    (Biology(irregularity=0.5), {"kind": "rate"}, "irregularity is of spikes"),
    (Biology(irregularity=0.5), {"network": mlp([6, 5, 4, 3], "lif")}, "is the f-I curve of its cells"),
    (Biology(background=Background(0.1, 5 * ms)), {"kind": "rate"}, "into 'cells' is of spiking circuits"),
    (Biology(background=Background(0.1, 5 * ms, "Q")), {}, "background goes into 'Q'; here are B, B.error, W, W.rate, cells"),
    (Biology(heterogeneity=0.9), {"timing": replace(SHORT, tau=3e-3)}, "less than two steps of 0.001 s"),
    (Biology(dale=True), {"kind": "rate"}, "dale is of spikes"),
    (Biology(dale=True), {"rule": RULES["backprop"]}, "read in both directions; it has no sign of its own"),
    (Biology(dale=True), {"rule": RULES["third_factor"]}, "has more than a weight and its change"),
    (Biology(delays={"W": 20 * ms, "B": 20 * ms}), {}, r"delays add up to 0.1 s .* settles for 0.1 s"),
])
def test_a_circuit_that_cannot_have_an_option_says_so(biology, how, sentence):
    with pytest.raises(InputError, match=sentence):
        build(biology=biology, **how)


def test_tensors_have_no_biology():
    with pytest.raises(InputError, match="biology is of circuits"):
        update(FA, NET, X, TEACHER, biology=Biology())


@pytest.mark.parametrize("share", [0, -0.1, 1.5, "half", True, float("nan")])
def test_a_connection_is_a_probability(share):
    for make in (lambda: mlp([3, 3], connection=share), lambda: Pathway("above", connection=share)):
        with pytest.raises(InputError, match=r"connection is .*; give the probability of a synapse"):
            make()


def test_who_follows_another_has_no_connection_of_its_own():
    with pytest.raises(InputError, match="tied to W; a tied pathway has the synapses of the one that it follows"):
        Pathway("above", Tied("W"), connection=0.5)
    with pytest.raises(RuleError, match="the synapses of W are the network's"):
        thin("feedback_alignment", "W")
    assert Network((3, 3), connection=0.5).connections[0].kind == "masked"


@pytest.mark.parametrize(("given", "sentence"), [
    ({"amplitude": -1, "tau": 1 * ms}, "amplitude is -1; give a number that is not negative"),
    ({"amplitude": 1, "tau": 0}, "tau of the background is 0 s; it must be positive"),
    ({"amplitude": 1, "tau": 1 * mV}, "tau of the background is .*give one time"),
    ({"amplitude": 1, "tau": 1 * ms, "into": ()}, r"into is \(\); give 'cells', 'currents' or names of pathways"),
])
def test_a_background_that_makes_no_sense_is_refused(given, sentence):
    with pytest.raises(InputError, match=sentence):
        Background(**given)
