"""Physiology in the open: each option of a circuit against its closed form, and what it leaves as it was."""

from __future__ import annotations

import brian2 as b2
import numpy as np
import pytest
from brian2 import ms, mV
from conftest import NET, RULES, TEACHER, X, near

from neurolearn import circuit
from neurolearn.changes import update
from neurolearn.circuit import Biology
from neurolearn.circuit.built import Circuit
from neurolearn.errors import InputError
from neurolearn.rule import Rule
from neurolearn.timing import Timing

FA = RULES["feedback_alignment"]
SHORT = Timing(settle=100, window=100)


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


@pytest.mark.parametrize("placement", ["unit", "cells"])
def test_delayed_feedback_comes_to_the_same_limit(placement):
    """Oracle: tensor.rate; 3 % at 1000 steps, as for circuits without delays."""
    rate = update(FA, NET, X, TEACHER)
    late = update(FA, NET, X, TEACHER, realisation="circuit.spiking", placement=placement,
                  biology=Biology(delays={"B": 3 * ms}))
    plain = update(FA, NET, X, TEACHER, realisation="circuit.spiking", placement=placement)
    assert max(near(late[n], rate[n]) for n in rate.changes) < 0.03
    assert any(not np.array_equal(late[n], plain[n]) for n in rate.changes)


def test_the_script_says_the_delays():
    text = build(biology=Biology(delays={"B": 3 * ms})).source
    assert text.count("'error_on_I_B_error_above': 0.003*second") == 2
    assert "delay=" not in build().source


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("given", "sentence"), [
    ({"delays": {"B": 3 * mV}}, r"the delay of B is .*give one time, such as 3\*ms"),
    ({"delays": {"B": "3 ms"}}, r"the delay of B is '3 ms'; give one time"),
    ({"delays": {"B": -1e-3}}, "the delay of B is -0.001 s; it must be positive"),
    ({"delays": 3 * ms}, "delays is .*give a mapping"),
])
def test_an_option_that_makes_no_sense_is_refused(given, sentence):
    with pytest.raises(InputError, match=sentence):
        Biology(**given)


@pytest.mark.parametrize(("biology", "how", "sentence"), [
    (Biology(delays={"B": 3 * ms}), {"kind": "rate"}, "no delayed continuous coupling"),
    (Biology(delays={"Q": 3 * ms}), {}, "delays names 'Q'; the pathways that carry spikes here are B, B.error, W, W.rate"),
    (Biology(delays={"B": 0.1 * ms}), {}, "the delay of B is 0.0001 s, less than half a step"),
    (Biology(delays={"W": 20 * ms, "B": 20 * ms}), {}, r"delays add up to 0.1 s .* settles for 0.1 s"),
])
def test_a_circuit_that_cannot_have_an_option_says_so(biology, how, sentence):
    with pytest.raises(InputError, match=sentence):
        build(biology=biology, **how)


def test_tensors_have_no_biology():
    with pytest.raises(InputError, match="biology is of circuits"):
        update(FA, NET, X, TEACHER, biology=Biology())
