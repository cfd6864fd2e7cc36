"""Codings of signed signals: what each sends and what arrives, against closed forms; only spikes cross; rules run on them."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
from conftest import NET, RULES, TEACHER, X, near, small
from test_axons import back_doors, broadcasts

from neurolearn import circuit, stdp
from neurolearn.changes import fit_rates, prepare, update
from neurolearn.circuit.biology import Biology
from neurolearn.circuit.built import execute
from neurolearn.circuit.coding.transfer import transfer_curve
from neurolearn.circuit.online import Online
from neurolearn.errors import InputError, SaturationError
from neurolearn.network import mlp
from neurolearn.rule import Rule
from neurolearn.timing import CODINGS, Baseline, Timing

FA = RULES["feedback_alignment"]
SPIKING = [coding for coding in CODINGS if coding != "graded"]
U, DT, TAU = 200.0, 1e-3, 10e-3  # spikes/s per unit, step, filter: Timing's own
SHORT = Timing(settle=600, window=300)
T = SHORT.window * DT
SIGNED = np.linspace(-0.97, 0.97, 41)


# -- what is decoded ---------------------------------------------------------------------------------------------------


def lag(timing: Timing) -> float:
    """What is left of a constant signal in the window, the mean of exp(-t/tau) over it."""
    t = np.arange(timing.settle, timing.settle + timing.window) * timing.dt
    return float(np.exp(-t / timing.baseline.tau).mean())


@pytest.mark.parametrize(("coding", "spikes"), [
    ("opponent", 1), ("rectified_pair", 1), ("baseline", 1), ("two_phase", 2), ("graded", 0)])
def test_a_count_is_the_signal_to_so_many_spikes(coding, spikes):
    """Oracle: the integral of what each cell is driven by. A baseline is a steady mean but for its steps, 1/(U tau), and its
    start half an interval off; a compartment differs from the count by what its filter holds, a spike at either end."""
    timing = replace(SHORT, baseline=Baseline(tau=2.0))
    found = transfer_curve(coding, SIGNED, timing=timing, draws=1)
    expected = SIGNED * (lag(timing) if coding == "baseline" else 1.0)
    slack = T / timing.baseline.tau if coding == "baseline" else 1e-6  # the membrane of 1e6 s leaks that much
    assert (np.abs(found.read - expected) * U * T).max() <= spikes + slack
    assert (np.abs(found.decoded - found.read) * U * T).max() <= (spikes + slack if spikes else 1e-6)
    if spikes:
        assert np.unique(np.round(found.hz * found.dt * 900)).size > 5  # spikes, and not the value itself
    assert (coding == "graded") == (found.hz.max() == 0)


@pytest.mark.parametrize("coding", ["opponent", "baseline", "two_phase"])
def test_a_step_arrives_through_one_filter(coding):
    """Oracle: -tau log(0.1) after a cell begins to send. Kicks are a fifth of a filter apart and 128 trains are averaged, so
    that a standard error of 1 % of the signal is a tenth of a filter; four of these, and a step for the way."""
    found = transfer_curve(coding, (-0.97, -0.61, 0.61, 0.97), timing=SHORT, draws=32)
    begin = T if coding == "two_phase" else 0.0
    assert found.gain == pytest.approx(lag(SHORT) if coding == "baseline" else 1.0, abs=1 / (U * T))
    reached = 0.9 * found.gain
    assert found.latency == pytest.approx(begin - TAU * np.log(1 - reached), abs=0.4 * TAU + DT)


LEAK = 20e-3
LEAKY = Timing(dt=2.5e-4, settle=1600, window=800, membrane=(LEAK, 0.0))


@pytest.mark.parametrize(("coding", "leak"), [("opponent", 0.0), ("opponent", 0.5), ("rectified_pair", 0.0)])
def test_a_leaky_pair_does_not_send_what_a_threshold_swallows(coding, leak):
    """Oracle: a cell that is driven to v_leak + U s tau < v_th = 1 never fires, so the zone ends at (1 - v_leak)/tau."""
    edge = (1 - leak) / LEAK
    hz = np.array([-1.5, -1.03, -0.97, -0.5, 0.0, 0.5, 0.97, 1.03, 1.5]) * edge
    found = transfer_curve(coding, hz / U, timing=replace(LEAKY, membrane=(LEAK, leak)), draws=2)
    assert (found.decoded[np.abs(hz) < edge] == 0).all() and (np.abs(found.decoded)[np.abs(hz) > edge] > 0).all()
    assert found.dead_zone == pytest.approx(0.97 * edge)


@pytest.mark.parametrize("coding", ["baseline", "two_phase"])
def test_one_leaky_cell_has_no_dead_zone_but_its_f_i_curve(coding):
    """Oracle: the rate 1/(tau log(d/(d - 1))) at drive d, less that at the base rate; Euler's climb is shorter by dt/2 tau, and
    an interval is rounded up by half a step: 5 % here at most, of a difference. No value sends less than half of itself."""
    hz = np.array([-120.0, -60.0, -30.0, -12.0, 12.0, 30.0, 60.0, 120.0])
    timing = replace(LEAKY, baseline=Baseline(tau=1e3))
    found = transfer_curve(coding, hz / U, timing=timing, draws=4)

    def rate(drive: np.ndarray) -> np.ndarray:
        return 1 / (LEAK * np.log1p(1 / (drive * LEAK - 1)))

    expected = (rate(U + hz) - rate(np.array(U))) / U
    assert np.abs(found.decoded - expected).max() <= 0.05 * np.abs(expected).max()
    assert (np.abs(found.decoded) > np.abs(hz / U) / 2).all() and found.dead_zone == 0


def test_the_cells_of_a_rectified_pair_stop_at_0_and_know_nothing_of_each_other():
    """Oracle: the potentials. The cell of the other sign rests at its floor, where that of an opponent pair mirrors its twin."""
    for coding, silent in (("rectified_pair", 0.0), ("opponent", None)):
        built = run_on(FA, {"rate": "graded", "error": coding}, run=False)
        built.run_to_last_step()
        cells = built.objects["layer3"]
        on, off = np.array(cells.v_error_on[:]), np.array(cells.v_error_off[:])
        error = np.array(cells.error[:])
        if silent is None:
            assert np.abs(on + off).max() < 1e-12
        else:
            assert (np.where(error > 0, off, on) == silent).all()
            assert (np.where(error > 0, on, off) > silent).all()


@pytest.mark.parametrize(("coding", "windows"), [("opponent", 0.0), ("two_phase", 1.0)])
def test_irregular_spikes_cost_what_counting_them_costs(coding, windows):
    """Oracle: a Poisson count has the variance of its mean: of U s T spikes in a pair, of (r + U s) T in one cell and of r T
    in each free window besides; r = U. Of 320 counts, the standard error of a deviation is 4 %; four of these."""
    values, timing = np.array([0.37, 0.51, 0.77]), replace(SHORT, dt=2.5e-4, settle=1600, window=800)
    found = transfer_curve(coding, values, timing=timing, draws=320, biology=Biology(irregularity=1.0))
    base = 0.0 if coding == "opponent" else 1.0
    expected = np.sqrt((base * (1 + windows) + values) / (U * timing.window * timing.dt))
    assert found.spread == pytest.approx(expected, rel=0.16)


@pytest.mark.parametrize("coding", ["baseline", "two_phase"])
def test_one_cell_cannot_fire_less_than_never(coding):
    """Oracle: s, cut off at -base/U; the count is exact to two spikes."""
    values = np.array([-0.9, -0.7, -0.3, 0.3])
    timing = replace(SHORT, baseline=Baseline(rate=100.0, tau=1e4))
    found = transfer_curve(coding, values, timing=timing, draws=4)
    assert (np.abs(found.read - np.maximum(values, -0.5)) * U * T).max() <= 2


# -- only spikes cross -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("coding", "placement"), [
    ("rectified_pair", "unit"), ("baseline", "unit"), ("baseline", "cells"), ("two_phase", "unit"), ("two_phase", "cells")])
def test_nothing_but_spikes_crosses_in_any_coding(coding, placement):
    """Oracle: the objects of the built Network, one by one, of a rule with phases and one with synaptic state."""
    built = run_on(RULES["dtp_learned_top" if placement == "cells" else "third_factor"], {"rate": coding}, placement=placement,
                   run=False)
    assert back_doors(built.network, broadcasts(built.program)) == []


def test_graded_is_no_spiking_pathway_and_is_seen():
    """The walk over the Network finds the value that crosses, and finds nothing where it does not."""
    found = " ".join(back_doors(run_on(FA, {"error": "graded"}, run=False).network))
    assert "sums" in found and "error_pre" in found and "rate_pre" not in found


def test_a_running_mean_of_anything_but_spikes_is_seen():
    """The plan of a baseline, with the signal itself in the running mean of its cell's axon."""
    built = run_on(RULES["third_factor"], {"rate": "baseline"}, run=False)
    plan = copy.deepcopy(built.plan)
    group = plan.groups[0]
    line = next(n for n, text in enumerate(group.equations) if text.startswith("dusual_rate/dt"))
    group.equations[line] = "dusual_rate/dt = (rate - usual_rate)/tau_baseline : 1"
    assert "filtered_rate_pre without a spike" in " ".join(back_doors(execute(built.program, plan).network))


# -- rules on codings --------------------------------------------------------------------------------------------------


def run_on(rule, codings, timing: Timing = SHORT, *, run: bool = True, **options):
    """A circuit of a rule, on the small net that it is for."""
    net = small(rule)
    teacher = np.eye(net.sizes[-1])[[0, 2]]
    timing = replace(timing, codings=codings)
    built = circuit.build(rule, net, X[:, : net.sizes[0]], teacher, timing=timing, **options)
    if run:
        built.run()
    return built


def error(coding: str, window: int, rule=FA) -> float:
    """How far the changes of two hidden layers are from tensor.rate, where only the error is sent by spikes.

    Filters grow with the window: what a short one leaves of the base rate's rhythm is cut off at 0 by the next cell.
    """
    timing = Timing(settle=2 * window, window=window, tau=window * DT / 10, baseline=Baseline(tau=1e4))
    found = run_on(rule, {"rate": "graded", "error": coding}, timing).changes()
    exact = update(rule, NET, X, TEACHER).changes
    return float(np.sqrt(np.mean([near(found[name], exact[name]) ** 2 for name in ("W_1_0", "W_2_1")])))


@pytest.mark.parametrize("coding", SPIKING)
def test_feedback_alignment_comes_to_tensor_rate(coding):
    """Oracle: tensor.rate. Each error is right to two spikes of U T, so the change falls as 1/T: four times the time, at most
    half the error, and below that of two spikes in an error of a tenth."""
    short, long = error(coding, 60), error(coding, 240)
    assert long < short / 2
    assert long < 2 / (U * 240 * DT * 0.1)
    assert short > 1e-3  # it was sent by spikes


def test_what_was_heard_in_one_phase_is_not_kept_for_the_next():
    """Oracle: tensor.rate of a rule with two phases, each of which has a free part of its own; rates are right to two spikes of
    U T, and a change is of the size of a rate."""
    rule = RULES["two_phases"]
    timing = Timing(settle=240, window=120, tau=12e-3)
    found, exact = run_on(rule, {"rate": "two_phase", "shift": "two_phase"}, timing).changes(), update(rule, NET, X, TEACHER).changes
    assert all(near(found[name], exact[name]) < 6 / (U * 120 * DT) for name in exact)


@pytest.mark.parametrize("coding", ["baseline", "two_phase"])
def test_a_coded_error_runs_back_along_a_tied_synapse(coding):
    """Oracle: tensor.rate. What the compartment knows of the base rate came through the same weights, backwards."""
    assert error(coding, 240, RULES["backprop"]) < 2 / (U * 240 * DT * 0.1)


TRACED = Rule(
    name="traced",
    times={"tau_seen": 3.0},
    hidden="error = rate",
    output="error = teacher - rate",
    plasticity={"W": "dseen/dt = (rate_pre - seen) / tau_seen \n dw = error_post * seen"},
)


@pytest.mark.parametrize("coding", ["baseline", "two_phase", "graded"])
def test_a_synaptic_trace_hears_what_the_coding_says(coding):
    """Oracle: tensor.rate. The trace and the potential are means that are right to two spikes of U T; the error is a difference
    of nearly 1, so twice that."""
    net, timing = mlp([6, 3], "linear"), replace(SHORT, codings={"rate": coding}, baseline=Baseline(tau=1e4))
    found = update(TRACED, net, X, TEACHER, realisation="circuit.spiking", timing=timing).changes
    exact = update(TRACED, net, X, TEACHER).changes
    assert near(found["W_1_0"], exact["W_1_0"]) < 4 / (U * T)


# -- what is refused ---------------------------------------------------------------------------------------------------


def test_rates_are_fitted_to_the_cell_that_sends():
    """Oracle: the largest settled signal; the cell must stay between 0 and a spike in two steps."""
    program, weights, given = prepare(FA, NET, X, 10 * TEACHER)
    peak = 10.0  # the teacher's, but for what a random net gives
    for rate in (None, 100.0):
        timing = Timing(codings={"error": "baseline"}, baseline=Baseline(rate=rate))
        fitted = fit_rates(program, weights, given, timing)
        unit, base = fitted.rate_of("error"), fitted.base_rate_of("error")
        assert base + unit * 0.8 * peak <= 0.5 / DT
        assert rate is None or unit * 0.8 * peak <= base
        assert unit * 1.25 * peak >= min(0.5 / DT - base, base) * 0.8


def test_one_cell_that_is_asked_for_too_much_is_named():
    timing = Timing(settle=100, window=100, unit_rates={"error": 1000.0})
    with pytest.raises(SaturationError, match=r"'error'.*1000 Hz.*lower its entry in unit_rates"):
        run_on(FA, {"error": "baseline"}, timing)


@pytest.mark.parametrize(("call", "sentence"), [
    (lambda: Timing(codings={"error": "morse"}), r"codings\['error'\] is 'morse'; choose one of opponent, rectified_pair"),
    (lambda: Timing(baseline=Baseline(rate=-1.0)), "Baseline: rate is -1.0; it must be positive"),
    (lambda: Timing(baseline=Baseline(tau=0.0)), "Baseline: tau is 0.0; it must be positive"),
    (lambda: run_on(FA, {"eror": "baseline"}), "codings names 'eror', which no cell of feedback_alignment sends.*error, rate"),
    (lambda: run_on(FA, {"error": "two_phase"}, Timing(settle=100, window=100)), "must be two windows .100. or more"),
    (lambda: update(FA, NET, X, TEACHER, realisation="tensor.spiking", timing=replace(SHORT, codings={"error": "baseline"})),
     "'baseline'; tensor.spiking sends signed signals by opponent pairs only"),
    (lambda: run_on(FA, {"rate": "baseline"}, plasticity="events", run=False), "more than spikes that are added up"),
    (lambda: run_on(FA, {"rate": "graded"}, plasticity=stdp.pair(), run=False), "spikes of rate, which is graded here"),
    (lambda: run_on(FA, {"error": "baseline"}, biology=Biology(dale=True), run=False), "dale is of pairs"),
    (lambda: run_on(FA, {"error": "graded"}, biology=Biology(dale=True), run=False), "dale is of pairs"),
    (lambda: transfer_curve("opponent", (0.5, 0.5)), "give two or more, each larger"),
])
def test_a_wrong_coding_is_answered_with_the_right_ones(call, sentence):
    with pytest.raises(InputError, match=sentence):
        call()


@pytest.mark.parametrize("coding", ["baseline", "two_phase"])
def test_a_stream_goes_on_with_what_it_knows_of_the_base_rate(coding):
    """Oracle: one presentation of the second sample alone, in tensor.rate. Currents rest in between, running means stay: they
    moved by T/tau, which a long tau makes small. A segment may hold fewer samples than there is time for."""
    timing = Timing(settle=240, window=120, tau=12e-3, codings={"rate": "graded", "error": coding}, baseline=Baseline(tau=1e4))
    program, weights, given = prepare(FA, NET, X, TEACHER)
    online = Online(program, weights, timing, samples=2, resets=True)
    ends = []
    for k in (0, 1):
        online.run({name: value[k : k + 1] for name, value in given.items()}, rates=float(k))
        ends.append(dict(online.weights))
    exact = update(FA, NET, X[1:], TEACHER[1:]).changes
    for name in ("W_1_0", "W_2_1"):
        assert np.array_equal(ends[0][name], weights[name])
        assert near(ends[1][name] - weights[name], exact[name]) < 4 / (U * 120 * DT * 0.3)
