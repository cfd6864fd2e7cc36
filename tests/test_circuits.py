"""Circuits: the weights change inside Brian2, between cells there are only spikes, and what cannot work is refused."""

from __future__ import annotations

import copy
import os
import re
import subprocess
import sys
from dataclasses import replace
from typing import NamedTuple

import brian2 as b2
import numpy as np
import pytest
from conftest import NET, RULES, TEACHER, X, near, small

from neurolearn import circuit, streams
from neurolearn.changes import default_timing, prepare, update
from neurolearn.circuit.built import Circuit, execute
from neurolearn.errors import InputError, SaturationError, SettlingError, SimulationError
from neurolearn.network import mlp
from neurolearn.rule import Phase, Rule
from neurolearn.timescales import chain_time, settling_time, timescales
from neurolearn.timing import Timing

FA, DTP, DI = (RULES[n] for n in ("feedback_alignment", "dtp_learned_top", "dynamic_inversion"))
SHORT = Timing(settle=100, window=100)
CIRCUITS = {"rate": ("rate", "unit"), "spiking": ("spiking", "unit"), "spiking, cells": ("spiking", "cells")}


def build(
    rule: Rule, kind: str = "spiking", placement: str = "unit", timing: Timing = SHORT, network=NET, **options
) -> Circuit:
    x, teacher = X[:, : network.sizes[0]], TEACHER[:, : network.sizes[-1]]
    if network.sizes[-1] > teacher.shape[1]:
        teacher = np.eye(network.sizes[-1])[[0, 2]]
    return circuit.build(rule, network, x, teacher, kind=kind, placement=placement, timing=timing, **options)


def changes(rule: Rule, kind: str, placement: str, timing: Timing, network=NET) -> dict[str, np.ndarray]:
    built = build(rule, kind, placement, timing, network)
    built.run()
    return built.changes()


def synapses(built: Circuit) -> dict[str, b2.Synapses]:
    return {name: found for name, found in built.objects.items() if hasattr(found, "w")}


class Ran(NamedTuple):
    """A circuit of feedback alignment after its run, and the weights that its synapses had before."""

    kind: str
    placement: str
    circuit: Circuit
    before: dict[str, np.ndarray]


@pytest.fixture(scope="module", params=CIRCUITS)
def ran(request) -> Ran:
    built = build(FA, *CIRCUITS[request.param])
    before = {name: np.array(found.w[:]) for name, found in synapses(built).items()}
    built.run()
    return Ran(*CIRCUITS[request.param], built, before)


# -- the weights are Brian2's own --------------------------------------------------------------------------------------


def test_a_change_is_what_brian2_did_to_w(ran):
    """Oracle: Synapses.w after minus before, synapse by synapse."""
    for name in ("W_1_0", "W_2_1", "W_3_2"):
        found, reported = ran.circuit.objects[name], ran.circuit.changes()[name]
        total = np.zeros_like(reported)
        for i, j, before, after in zip(found.i[:], found.j[:], ran.before[name], found.w[:], strict=True):
            total[j % total.shape[0], i % total.shape[1]] += (after - before) / len(X)
        assert np.abs(total - reported).max() <= 1e-15
        assert np.abs(total).max() > 1e-3
    assert all(np.array_equal(found.w[:], ran.before[name])
               for name, found in synapses(ran.circuit).items() if name.startswith("B"))


def test_the_script_does_the_same_without_neurolearn_and_torch(ran, tmp_path):
    """Oracle: the weights of this process, bit for bit."""
    for name in ("neurolearn", "torch", "norse"):
        (tmp_path / "stubs").mkdir(exist_ok=True)
        (tmp_path / "stubs" / f"{name}.py").write_text(f"raise ImportError('{name} has no business here')\n")
    options = {"kind": ran.kind, "placement": ran.placement, "timing": SHORT}
    path = circuit.source(tmp_path / "circuit", FA, NET, X, TEACHER, **options)
    assert {file.name for file in tmp_path.glob("circuit.*")} == {"circuit.py", "circuit.npz"}
    assert not re.search(r"neurolearn|torch|norse", path.read_text())
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "stubs")}
    done = subprocess.run([sys.executable, str(path)], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "circuit.result.npz") as result:
        assert set(result) == set(synapses(ran.circuit))
        assert all(np.array_equal(result[name], found.w[:]) for name, found in synapses(ran.circuit).items())


def test_one_synapses_without_its_plasticity_line_stops_and_no_other(ran):
    """Oracle: the same run, with one line of one Synapses emptied."""
    plan = copy.deepcopy(ran.circuit.plan)
    code = next(s for s in plan.synapses if s.name == "W_2_1").regular[0].code
    line = next(n for n, text in enumerate(code) if text.startswith("change +="))
    code[line] = "change += 0"
    built = execute(ran.circuit.program, plan)
    built.run()
    for name, change in built.changes().items():
        assert np.array_equal(change, np.zeros_like(change) if name == "W_2_1" else ran.circuit.changes()[name])


ZEROED = {
    "Q": {"phases": {"inverse": replace(
        DTP.phases["inverse"], plasticity={"Q": "0*guess_slope_post*(probe_post - guess_post)*rate_pre"})}},
    "W": {"plasticity": {"W": "0*mismatch_post*rate_pre", "b": "mismatch_post"}},
    "b": {"plasticity": {"W": "mismatch_post*rate_pre", "b": "0*mismatch_post"}},
}


@pytest.mark.parametrize(("where", "keys"), [("rate", "QWb"), ("spiking", "Q"), ("spiking, cells", "Q")])
def test_a_pathway_without_plasticity_stops_and_no_other(where, keys):
    """Oracle: the rule with everything plastic."""
    brief, shallow = Timing(settle=40, window=40), mlp([6, 4, 3])
    whole = changes(DTP, *CIRCUITS[where], brief, shallow)
    assert all(np.abs(change).max() > 0 for change in whole.values())
    for key in keys:
        less = changes(replace(DTP, **ZEROED[key]), *CIRCUITS[where], brief, shallow)
        assert set(less) == set(whole)
        for name in less:
            assert np.array_equal(less[name], whole[name] * (not name.startswith(key)))


# -- everything can be recorded ----------------------------------------------------------------------------------------


def test_a_change_can_be_rebuilt_from_what_monitors_record():
    """Oracle: NumPy on the recorded trains and potentials: mean error of the window x spikes in the window / (U T)."""
    built, steps = build(FA), SHORT.settle + SHORT.window
    one, two, weights = built.objects["layer1"], built.objects["layer2"], built.objects["W_2_1"]
    error = b2.StateMonitor(two, "error", record=True, clock=two.clock)
    w = b2.StateMonitor(weights, "w", record=[0, 7], clock=two.clock)
    on, off = (b2.EventMonitor(one, f"rate_{side}") for side in ("on", "off"))
    built.network.add(error, w, on, off)
    built.run_to_last_step()
    mean = error.error[:, SHORT.settle : steps].mean(1)
    assert np.abs(mean - two.mean_error[:]).max() <= 1e-12
    built.run()

    def window(monitor) -> np.ndarray:
        step = np.round(monitor.t / b2.second / SHORT.dt)
        return np.bincount(monitor.i[(step >= SHORT.settle) & (step < steps)], minlength=len(one))

    sent = (window(on) - window(off)) / (SHORT.unit_rate * SHORT.window * SHORT.dt)
    change = np.mean([np.outer(mean.reshape(2, 4)[c], sent.reshape(2, 5)[c]) for c in range(2)], axis=0)
    assert np.abs(change - built.changes()["W_2_1"]).max() <= 1e-12
    assert (np.diff(w.w[:, :steps]) == 0).all()  # constant until the read
    assert (w.w[:, steps] != w.w[:, 0]).all()


# -- time --------------------------------------------------------------------------------------------------------------


def settled(rule: Rule, timing: Timing, network=NET, **weights) -> dict[str, np.ndarray]:
    built = circuit.build(rule, network, X, TEACHER, weights, kind="rate", timing=timing)
    built.run()
    return built.changes()


LOOP = DI.with_constants(leak=0.5)  # settles faster than with its default


@pytest.mark.parametrize(("rule", "tolerance"), [(FA, 1e-8), (LOOP, 1e-5)], ids=["feedback alignment", "a loop"])
def test_half_the_step_makes_no_difference(rule, tolerance):
    program, weights, given = prepare(rule, NET, X, TEACHER)
    timing = default_timing(program, weights, given, "circuit.rate", eps=tolerance / 100)
    coarse, fine = settled(rule, timing), settled(rule, replace(timing, dt=timing.dt / 2, settle=2 * timing.settle))
    assert max(near(fine[n], coarse[n]) for n in coarse) < tolerance
    assert max(np.abs(fine[n] - coarse[n]).max() for n in coarse) > 0  # two runs, not one


def test_a_loop_settles_at_the_pace_of_its_slowest_mode():
    """Oracle: eigenvalues of the circuit's Jacobian; update and residual fall as its slowest mode does."""
    program, weights, given = prepare(LOOP, NET, X, TEACHER)
    decay = timescales(program, weights, given)[0].decay(0.1)
    exact, lengths = update(LOOP, NET, X, TEACHER).changes, np.array([400, 600, 800])
    errors, residuals = [], []
    for settle in lengths:
        built = build(LOOP, "rate", timing=Timing(settle=int(settle)))
        built.run()
        errors.append(near(built.changes()["W_1_0"], exact["W_1_0"]))
        residuals.append(built.facts()["residual"])
    for found in (errors, residuals):
        slopes = -np.diff(np.log(found)) / np.diff(lengths * 0.1)
        assert slopes == pytest.approx([decay, decay], rel=0.1)


def chain(stages: int, steps: int, share: float = 0.1) -> float:
    """How much of a constant input has come through so many equal leaky stages: a binomial tail, by Euler's steps."""
    state = np.zeros(stages + 1)
    for _ in range(steps):
        state = np.array([1.0, *(state[1:] + share * (np.array([1.0, *state[1:-1]]) - state[1:]))])
    return state[-1]


def test_a_chain_settles_as_its_stages_let_it():
    """Oracle: the algebra with every product of k weights delayed by k stages, which is exact in a linear net."""
    linear = mlp([6, 5, 4, 3], "linear")
    _, w, _ = prepare(FA, linear, X, TEACHER)
    for settle in (20, 60, 120):
        found = settled(FA, Timing(settle=settle), linear)["W_1_0"]
        expected = np.zeros_like(found)
        for x, teacher in zip(X, TEACHER, strict=True):
            output = w["W_3_2"] @ w["W_2_1"] @ w["W_1_0"] @ x
            error = chain(2, settle) * teacher - chain(5, settle) * output
            expected += np.outer(w["B_1_2"] @ w["B_2_3"] @ error, x) / len(X)
        assert near(found, expected) < 1e-12


def test_the_settling_time_is_enough_and_not_much_more():
    """Oracle: the circuit itself, given that long and four fifths of it."""
    program, weights, given = prepare(FA, NET, X, TEACHER)
    time = settling_time(program, weights, given, eps=1e-4)
    assert time < chain_time(5, 1e-6)
    exact = update(FA, NET, X, TEACHER)["W_1_0"]
    errors = [near(settled(FA, Timing(settle=int(10 * time * share)))["W_1_0"], exact) for share in (1.0, 0.7)]
    assert errors[0] < 1e-3 and errors[1] > 1e-4


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("realisation", ["circuit.rate", "circuit.spiking", "tensor.spiking"])
@pytest.mark.parametrize("how", ["a fast controller", "large weights"])
def test_an_unstable_loop_is_refused_before_anything_runs(how, realisation, monkeypatch):
    def never(*_, **__):
        raise AssertionError("an unstable circuit was run")

    monkeypatch.setattr(Circuit, "run", never)
    monkeypatch.setattr("neurolearn.tensor.spiking.SpikingProgram.run", never)
    rule = replace(DI, times={"tau_control": 0.05}) if how == "a fast controller" else DI
    weights = {"W_2_1": 30 * streams.stream(0, "large").normal(size=(4, 5))} if how == "large weights" else {}
    with pytest.raises(SettlingError, match=r"unstable in phase 'learn'.*slower.*weaken the feedback weights"):
        update(rule, NET, X, TEACHER, weights, realisation=realisation)


@pytest.mark.parametrize("realisation", ["circuit.spiking", "tensor.spiking"])
def test_a_signal_that_its_cells_cannot_send_is_named(realisation):
    timing = Timing(settle=100, window=100, unit_rates={"error": 5000.0})
    with pytest.raises(SaturationError, match=r"'error'.*5000 Hz.*lower its entry in unit_rates"):
        update(FA, NET, X, TEACHER, realisation=realisation, timing=timing)


@pytest.mark.parametrize("kind", ["rate", "spiking"])
def test_what_is_not_a_number_is_not_returned(kind):
    with pytest.raises(InputError, match="not finite"):
        update(FA, NET, X * np.nan, TEACHER, realisation=f"circuit.{kind}")
    weights = {"W_2_1": np.full((4, 5), np.nan)}
    with pytest.raises(SimulationError, match=r"is not finite.*: the circuit is unstable or dt"):
        update(FA, NET, X, TEACHER, weights, realisation=f"circuit.{kind}", timing=SHORT)


@pytest.mark.parametrize(("options", "sentence"), [
    ({"target": "cuda"}, "target is 'cuda'; choose numpy or cython"),
    ({"kind": "analog"}, "kind is 'analog'; choose one of rate, spiking"),
    ({"placement": "soup"}, "placement is 'soup'; choose unit, or cells"),
    ({"kind": "rate", "placement": "cells"}, "choose unit, or cells for a spiking circuit"),
    ({"timing": Timing(settle=150, window=100)}, "settle .150 steps. must be a multiple of window .100."),
    ({"kind": "rate", "timing": Timing(cells=3)}, "several cells per unit are of spikes"),
])
def test_a_wrong_choice_is_answered_with_the_right_ones(options, sentence):
    with pytest.raises(InputError, match=sentence):
        build(FA, **options)


def test_a_term_with_two_signals_of_one_presynaptic_unit_is_refused_in_cells():
    rule = Rule(name="both", pathways={"B": FA.pathways["B"]}, hidden="error = slope*B(error_above)",
                output="error = teacher - rate",
                plasticity={"W": "error_post*rate_pre", "B": "error_post*rate_post*error_pre*rate_pre"})
    with pytest.raises(InputError, match="reads error, rate of the presynaptic unit, which are sent by different cells"):
        build(rule, placement="cells")


def test_what_is_learned_from_two_presynaptic_cells_is_learned_at_two_synapses():
    """Oracle: the weight changes of each Synapses, by its own presynaptic cell, and their sum."""
    rule = RULES["dtp_difference_reconstruction"]
    built = build(rule, placement="cells", network=small(rule))
    both = [s for s in built.plan.synapses if s.name in ("Q_2_3", "Q_2_3_by_view")]
    assert {s.source for s in both} == {"layer3_tugged", "layer3_view"} and len({s.target for s in both}) == 1
    built.run()
    found = [np.asarray(built.objects[s.name].w[:]) - s.w for s in both]
    assert all(np.abs(change).max() > 1e-3 for change in found)
    total = np.zeros((4, 3))
    np.add.at(total, tuple(both[0].units[1:]), sum(found) / 2)  # of two samples
    assert near(built.changes()["Q_2_3"], total) < 1e-12


@pytest.mark.parametrize(("name", "base", "factor"), [
    ("backprop", "W_2_1", 1.0), ("dynamic_inversion", "W_2_1", -1.0), ("kickback", "W_2_1", 1.0)])
def test_a_tied_pathway_has_synapses_of_its_own_in_cells(name, base, factor):
    """Oracle: the transpose, synapse by synapse."""
    built = build(RULES[name], placement="cells", network=small(RULES[name]))
    back = next(s for s in built.plan.synapses if s.name.startswith(("B_1_2", "K_1_2")))
    forward = next(s for s in built.plan.synapses if s.name == base)
    ahead = {(to, source): w for to, source, w in zip(*forward.units[1:], forward.w, strict=True)}
    behind = {(to, source): w for to, source, w in zip(*back.units[1:], back.w, strict=True)}
    assert {(source, to): factor * w for (to, source), w in behind.items()} == ahead
    assert not back.on_post and not any("summed" in line for line in back.model)


def test_a_phase_in_which_no_current_flows_takes_no_time_to_settle():
    """Oracle: tensor.rate."""
    rule = Rule(name="kept_noise", phases={"quiet": Phase(hidden="z = noise\nlatch kept = z")},
                hidden="error = slope*(kept - rate)", output="error = teacher - rate",
                plasticity={"W": "error_post*rate_pre"})
    found, rate = (update(rule, NET, X, TEACHER, realisation=where) for where in ("circuit.rate", "tensor.rate"))
    assert all(near(found[name], rate[name]) <= 1e-8 for name in rate.changes)


@pytest.mark.slow
def test_compiled_code_does_what_numpy_does():
    """Oracle: the numpy target."""
    tiny = mlp([2, 2, 2])
    found = [update(FA, tiny, X[:, :2], TEACHER[:, :2], realisation="circuit.rate", timing=SHORT, target=target)
             for target in ("numpy", "cython")]
    assert all(near(found[1][n], found[0][n]) <= 1e-12 for n in found[0].changes)
