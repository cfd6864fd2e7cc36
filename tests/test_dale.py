"""Several cells per unit, and cells with one sign: against the tensors, and against the circuit without the law."""

from __future__ import annotations

from dataclasses import replace

import brian2 as b2
import numpy as np
import pytest
from brian2 import ms
from conftest import RULES, TEACHER, X, near
from scipy.stats import f as f_distribution
from test_axons import back_doors
from test_biology import FA, SHORT, SMALL, build
from test_noise import trains

from neurolearn import circuit
from neurolearn.changes import prepare
from neurolearn.circuit import Biology
from neurolearn.circuit.built import Circuit
from neurolearn.network import Connection, Network, mlp
from neurolearn.rule import Rule
from neurolearn.tensor.spiking import SpikingProgram
from neurolearn.timing import Timing

# -- several cells per unit --------------------------------------------------------------------------------------------

SKIP = Network((6, 4, 4, 3), (Connection(0, 1), Connection(1, 2, "identity"), Connection(2, 3), Connection(1, 3)))


@pytest.mark.parametrize(("name", "net", "encoding"), [
    ("feedback_alignment", SMALL, "poisson"),
    ("backprop", SKIP, "regular"),  # tied weights, an identity and a skip
    ("third_factor", SMALL, "regular"),  # a broadcast, and state at the synapse
])
def test_three_cells_per_unit_do_what_the_tensors_say(name, net, encoding):
    """Oracle: tensor.spiking with the same cells: the mean of their spikes in every bin, and the change to 1e-9."""
    timing = Timing(settle=60, window=60, tau=8e-3, jitter=0.01, cells=3, encoding=encoding, seed=4)
    program, weights, given = prepare(RULES[name], net, X, TEACHER)
    simulation = SpikingProgram(program, weights, timing)
    theirs = simulation.run(given, record=True)
    built = circuit.make(program, weights, given, timing)
    built.record_spikes()
    built.run()
    for train, found in built.spikes().items():
        mean = found.reshape(*found.shape[:2], -1, 3).mean(-1)
        assert np.abs(mean - simulation.activity.trains[train]).max() < 1e-12
        assert found.any()
    for weight, change in built.changes().items():
        assert change.shape == program.weights[weight].shape
        assert near(change, theirs[weight].numpy()) < 1e-9


@pytest.mark.parametrize(("biology", "encoding"), [(Biology(), "poisson"), (Biology(irregularity=1.0), "regular")])
def test_noise_falls_with_the_root_of_the_number_of_cells(biology, encoding):
    """Oracle: with no weights and a teacher of 1 the change is the input's count, and its variance that of a Poisson count
    over n; the F distribution of a ratio of variances, 0.1 % on each side. The mean within four standard errors.
    """
    net, variances = mlp([60, 1], "linear"), []
    x, weights = np.full((4, 60), 0.25), {"W_1_0": np.zeros((1, 60))}
    for n in (1, 9):
        timing = Timing(settle=200, window=200, cells=n, encoding=encoding)
        built = circuit.build(FA, net, x, np.ones((4, 1)), weights, timing=timing, biology=biology)
        built.run()
        found = built.changes()["W_1_0"][0]
        spikes = 200 * 0.2 * 0.25 * 4 * n * 60  # in all windows
        assert found.mean() == pytest.approx(0.25, rel=4 / np.sqrt(spikes))
        variances.append(found.var())
    low, high = f_distribution.ppf([1e-3, 1 - 1e-3], 59, 59)
    assert low < variances[0] / variances[1] / 9 < high


def test_cells_of_a_unit_differ_where_they_are_told_to():
    biology = Biology(heterogeneity={"threshold": 0.2})
    built = build(timing=replace(SHORT, cells=4), biology=biology)
    level = built.objects["layer1"].v_th[:].reshape(2, 5, 4)
    assert np.array_equal(level[0], level[1]) and (level[0].std(1) > 0.02).all()
    assert len(built.objects["W_2_1"]) == 2 * 20 * 16


# -- Dale's law --------------------------------------------------------------------------------------------------------

LATE = {"W": 1 * ms, "B": 1 * ms}


def dale(rule: Rule = FA, learning_rate: float = 1e-3, placement: str = "unit", law: bool = True) -> Circuit:
    timing = replace(SHORT, jitter=0.01)
    biology = Biology(delays=LATE, dale=law)
    return build(rule, timing=timing, network=SMALL, placement=placement, learning_rate=learning_rate, biology=biology)


@pytest.fixture(scope="module")
def lawful() -> tuple[Circuit, dict[str, np.ndarray], dict[str, np.ndarray]]:
    """(circuit after its run, mean errors of its last window by group, trains of its partners)."""
    built = dale()
    built.record_spikes()
    for partner in built.plan.partners:
        monitor = b2.EventMonitor(built.objects[partner.name], next(iter(partner.events)), name=f"monitor_{partner.name}_p")
        built.objects[monitor.name] = monitor
        built.network.add(monitor)
    built.run_to_last_step()
    means = {g.name: np.array(built.objects[g.name].mean_error[:]) for g in built.plan.groups[1:]}
    built.run()
    return built, means, {p.name: trains(built, p.name, 200, "p") for p in built.plan.partners}


def test_each_cell_has_one_sign_and_partners_repeat_their_cells(lawful):
    """Oracle: the plan's statements, group by group; a partner's train is that of its cell, a step later."""
    built, _, partners = lawful
    signs: dict[str, set[str]] = {}
    for s in (s for s in built.plan.synapses if not s.name.startswith("drive_")):
        signs.setdefault(s.source, set()).update(code.split()[1] for code in s.on_pre.values())
        assert (s.w >= 0).all()
    assert all(found == {"-=" if name in partners else "+="} for name, found in signs.items())
    assert set(partners) < set(signs) and len(partners) == 6
    for name, train in partners.items():
        group, event = name.split("_", 1)
        assert np.array_equal(train[1:], trains(built, group, 200, event.removesuffix("_inhibitory"))[:-1])
    assert back_doors(built.network) == []


@pytest.mark.parametrize(("rule", "placement"), [(FA, "unit"), (RULES["direct_feedback_alignment"], "cells")])
def test_cells_with_one_sign_fire_as_those_without(rule, placement, lawful):
    """Oracle: the circuit that is not split, with the same delays: every spike. Changes: a partner's count is a step late, so
    each of the two may differ by a spike at each end of the window, times the largest mean error.
    """
    plain = dale(rule, placement=placement, law=False)
    split = lawful[0] if (rule, placement) == (FA, "unit") else dale(rule, placement=placement)
    for built in (one for one in (plain, split) if one is not lawful[0]):
        built.record_spikes()
        built.run()
    for name, train in plain.spikes().items():
        assert np.array_equal(split.spikes()[name], train) and train.any()
    ours, theirs = split.changes(), plain.changes()
    assert set(ours) == set(theirs)
    for name, change in theirs.items():
        assert np.abs(ours[name] - change).max() <= 4 / (200 * 0.1) and near(ours[name], change) < 0.1


def test_each_synapse_learns_from_its_own_cell_and_stops_at_zero(lawful):
    """Oracle: NumPy on the trains of the cells and of the partners: mean error x spikes in the window / (U T); 1e-12. At a
    learning rate of 1 weights stop where they would change sign.
    """
    built, means, partners = lawful
    bold = dale(learning_rate=1.0)
    bold.run()
    stopped = 0
    for s in (s for s in built.plan.synapses if s.name.startswith("W_")):
        event = next(iter(s.on_event.values()))
        train = partners[s.source] if s.source in partners else trains(built, s.source, 200, event)
        effect = -1.0 if s.source in partners else 1.0
        expected = effect * means[s.target][s.j] * train[100:].sum(0)[s.i] / (200 * 0.1)
        found = (built.objects[s.name].w[:] - s.w) / 1e-3
        free = s.w + 1e-3 * expected > 0
        assert np.abs(found - expected)[free].max(initial=0.0) < 1e-11
        assert np.abs(bold.objects[s.name].w[:] - np.maximum(s.w + expected, 0)).max() < 1e-12
        stopped += np.sum(s.w + expected < 0)
    assert stopped > 2
