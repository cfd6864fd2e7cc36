"""Guards: each names the fault that a circuit truly has, with the value that a closed form gives, and is silent on a healthy one.

In most circuits here ``W_2_1`` is 0: the output stays at 0, its error is the teacher from the first step on, and what the other
cells do has a closed form.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from math import exp

import brian2  # noqa: F401  (loaded before any test records warnings: it reroutes them once)
import numpy as np
import pytest
from conftest import RULES

from neurolearn import circuit, streams
from neurolearn.changes import prepare
from neurolearn.circuit import CircuitWarning, Finding, Guards
from neurolearn.circuit.guards.findings import ERRORS
from neurolearn.errors import InputError, NeurolearnError, SaturationError, SettlingError, SimulationError
from neurolearn.network import mlp
from neurolearn.timing import Timing

FA, DTP, DI = (RULES[name] for name in ("feedback_alignment", "dtp_learned_top", "dynamic_inversion"))
NET = mlp([3, 4, 2])
X, TEACHER = np.array([[0.9, 0.2, 0.5], [0.1, 0.8, 0.4]]), np.array([[1.0, 0.0], [0.5, 0.5]])
MUTE = {
    "W_1_0": np.array([[1.0, 0.5, 0], [0, 1, 0], [0.5, 0, 0.5], [0, 0, 1]]),
    "W_2_1": np.zeros((2, 4)),
    "B_1_2": np.array([[0.3, 0.1], [0.2, 0], [0, 0.2], [0.1, 0.3]]),
}
SHORT = Timing(settle=100, window=100)
ONLY = dict.fromkeys(ERRORS, "ignore")
ALL = Guards(**dict.fromkeys(ERRORS, "raise"))


def faults(guard: str, rule=FA, network=NET, timing: Timing = SHORT, weights=None, x=X, runs=True, **options) -> dict[tuple, Finding]:
    """{(population, signal): finding} of one guard, the only one that is asked, which warns. runs: False asks before only."""
    guards = Guards(**{**ONLY, guard: "warn"})
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", CircuitWarning)
        built = circuit.build(rule, network, x, TEACHER, weights, timing=timing, guards=guards, **options)
        found = list(built.findings)
        if runs:
            built.run()
            found = built.findings
    assert sorted(str(w.message) for w in said if w.category is CircuitWarning) == sorted(map(str, found))
    assert {finding.guard for finding in found} <= {guard}
    return {(finding.population, finding.signal): finding for finding in found}


# -- healthy -----------------------------------------------------------------------------------------------------------


HEALTHY = {
    "spiking, cells": (FA, Timing(settle=200, window=200), {"placement": "cells"}),
    "two phases": (DTP, Timing(settle=200, window=200), {}),
    "a stable loop": (DI, Timing(settle=1500), {"kind": "rate"}),
    **{coding: (FA, Timing(settle=200, window=100, codings={"error": coding}), {}) for coding in ("baseline",)},
}


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_circuit_raises_nothing_and_does_the_same_with_guards(name):
    """Oracle: the circuit that nobody looks at, bit for bit."""
    rule, timing, options = HEALTHY[name]
    guards = replace(ALL, drift="ignore") if timing.codings else ALL
    guarded = circuit.build(rule, NET, X, TEACHER, timing=timing, guards=guards, **options)
    guarded.run()
    assert guarded.findings == []
    if not timing.codings:
        plain = circuit.build(rule, NET, X, TEACHER, timing=timing, **options)
        plain.run()
        assert all(np.array_equal(guarded.changes()[weight], change) for weight, change in plain.changes().items())


# -- after a run ---------------------------------------------------------------------------------------------------------


def test_a_signal_that_its_cells_cannot_send_is_named_with_the_charge_they_owe():
    """Oracle: 5000 Hz are 5 thresholds a step and a spike takes 1: 4 a step for an error of 1, 1.5 for one of 0.5."""
    found = faults("saturation", weights=MUTE, timing=replace(SHORT, unit_rates={"error": 5000.0}))
    assert set(found) == {("layer2", "error")}
    assert found["layer2", "error"].value == pytest.approx(4 * 200, abs=5)  # the start, and the step on which Brian2 ends
    assert found["layer2", "error"].samples == (0, 1)
    one = faults("saturation", weights=MUTE, timing=replace(SHORT, unit_rates={"error": 1500.0}))
    assert one["layer2", "error"].samples == (0,)  # 0.75 spikes a step for the other: it can be sent


@pytest.mark.parametrize("placement", ["unit", "cells"])
def test_a_population_whose_signal_no_cell_can_turn_into_a_spike_is_named(placement):
    """Oracle: a cell of membrane tau fires above s = 1 / (U tau) = 2.5; its signal is worth U s T spikes in a window of T."""
    timing = replace(SHORT, membrane=(2e-3, 0.0))
    found = faults("silence", weights=MUTE, timing=timing, x=X * [[1], [0.01]], placement=placement)
    name = {"unit": "layer{}", "cells": "layer{}_{}"}[placement].format
    data, error = found[name(0, "rate"), "rate"], found[name(2, "error"), "error"]
    assert data.value == pytest.approx(200 * 0.9 * 0.1) and data.samples == (0,)  # the other input is worth 0.16 spikes
    assert error.value == pytest.approx(200 * 1.0 * 0.1) and error.samples == (0, 1)
    assert "lengthen the membrane" in data.remedy


def test_a_hidden_layer_in_which_no_cell_fires_is_named():
    found = faults("silence", network=mlp([3, 4, 2], "relu"), weights={"b_1": np.full(4, -5.0)})
    assert set(found) == {("layer1", "rate")} and "below threshold" in found["layer1", "rate"].remedy
    assert not faults("silence", network=mlp([3, 4, 2], "relu"), weights={"b_1": np.full(4, 1.0)})


def test_a_current_that_has_not_settled_is_named():
    """Oracle: after n Euler steps of a constant input a leaky current lacks (1 - dt/tau)^n of it."""
    options = {"network": mlp([3, 4, 2], "linear"), "weights": MUTE, "kind": "rate", "learning_rate": 1e-9}
    found = faults("unsettled", timing=Timing(settle=20), **options)
    assert {current for _, current in found} == {"I_W_rate_below", "I_B_error_above"}
    assert found["layer1", "I_W_rate_below"].value == pytest.approx(0.9**20 / (1 - 0.9**21))  # the largest current is the same
    assert not faults("unsettled", timing=Timing(settle=80), **options)  # 0.9**80 is 2e-4


def test_a_mean_that_still_moves_within_its_window_is_named():
    r"""Oracle: the mean of $1 - e^{-t/\tau}$ over each half of the window; spikes of 900 Hz make a hundredth of it."""
    timing = replace(SHORT, taus={"B": 0.2}, unit_rates={"error": 900.0})
    found = faults("drift", network=mlp([3, 4, 2], "linear"), weights=MUTE, timing=timing)

    def mean(a: float, b: float) -> float:
        return 1 - 0.2 * (exp(-a / 0.2) - exp(-b / 0.2)) / (b - a)

    assert set(found) == {("layer1", "error")}
    assert found["layer1", "error"].value == pytest.approx((mean(0.15, 0.2) - mean(0.1, 0.15)) / mean(0.1, 0.2), rel=0.05)
    assert not faults("drift", network=mlp([3, 4, 2], "linear"), weights=MUTE, timing=replace(timing, taus={"B": 0.01}))


def test_a_loop_that_explodes_is_not_a_number_and_says_where():
    large = {"W_2_1": 30 * streams.stream(0, "large").normal(size=(2, 4))}
    found = faults("nan", DI, mlp([3, 4, 2], "linear"), Timing(settle=3000), large, kind="rate")
    assert ("layer2", "control") in found and found["layer2", "control"].samples == (0, 1)


# -- before a run --------------------------------------------------------------------------------------------------------


def test_an_unstable_loop_is_foreseen():
    found = faults("stability", runs=False, rule=replace(DI, times={"tau_control": 0.05}), kind="rate", timing=Timing(settle=20))
    assert found["", "learn"].value > 0 and "weaken the feedback weights" in found["", "learn"].remedy


def test_steps_that_are_too_coarse_are_foreseen():
    """Oracles: two steps of dt in every time constant; and Euler on a mode of -leak/tau_control, stable below 2 tau_control/leak."""
    timing = replace(SHORT, membrane=(1.5e-3, 0.0))
    assert faults("step", runs=False, timing=timing)["", "the membrane of coding cells"].limit == pytest.approx(0.75e-3)
    assert not faults("step", runs=False, timing=replace(timing, membrane=(2e-3, 0.0)))
    stiff = faults("step", runs=False, rule=DI.with_constants(leak=300.0), kind="rate", timing=Timing(settle=20))
    tau_control = DI.times["tau_control"] * 10e-3
    assert stiff["", "learn"].limit == pytest.approx(2 * tau_control / 300, rel=0.05)  # W and its loop add a little


def test_a_signal_that_asks_for_more_than_a_spike_a_step_is_foreseen():
    """Oracle: the error is the teacher, of 1 in sample 0 and 0.5 in sample 1, at 1500 Hz per unit."""
    found = faults("rates", runs=False, weights=MUTE, timing=replace(SHORT, unit_rates={"error": 1500.0}))
    assert set(found) == {("layer2", "error")}
    error = found["layer2", "error"]
    assert (error.value, error.limit, error.samples) == (pytest.approx(1500), pytest.approx(1000), (0,))
    assert not faults("rates", runs=False, weights=MUTE, timing=replace(SHORT, unit_rates={"error": 999.0}))


# -- policies ------------------------------------------------------------------------------------------------------------


def test_a_policy_says_what_is_done():
    timing = replace(SHORT, unit_rates={"error": 5000.0})
    for guards in (Guards(), Guards(rates="ignore")):
        with pytest.raises(SaturationError, match=r"layer2.*lower its entry in unit_rates") as raised:
            circuit.build(FA, NET, X, TEACHER, timing=timing, guards=guards).run()
        assert raised.value.findings[0].guard == ("rates" if guards == Guards() else "saturation")
    quiet = circuit.build(FA, NET, X, TEACHER, timing=timing, guards=Guards(**ONLY))
    quiet.run()
    assert quiet.findings == []
    with pytest.raises(InputError, match="Guards: silence is 'shout'; choose one of raise, warn, ignore"):
        Guards(silence="shout")


def test_every_guard_has_an_error_and_findings_are_sentences():
    assert set(ERRORS.values()) == {SimulationError, SaturationError, SettlingError}
    assert all(issubclass(error, NeurolearnError) for error in ERRORS.values())
    text = str(Finding("nan", "layer1", "rate", 0.0, 0.0, "rate of layer1 is not finite", "do this", tuple(range(7))))
    assert text == "rate of layer1 is not finite (samples 0, 1, 2, 3 and 3 more): do this."


# -- segments of an online circuit ------------------------------------------------------------------------------------------


def test_the_state_at_the_end_of_a_segment_is_asked_too():
    from neurolearn.circuit.guards import stream
    from neurolearn.circuit.online import Online

    def segment(activation: str, **settings) -> dict[tuple, Finding]:
        bias = {"b_1": np.full(4, -5.0 if activation == "relu" else 0.0)}
        program, weights, given = prepare(FA, mlp([3, 4, 2], activation), X, TEACHER, {**MUTE, **bias})
        online = Online(program, weights, replace(SHORT, settle=20, window=20, **settings), samples=2)
        online.run(given, 0.0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CircuitWarning)
            found = stream.segment(online, Guards(**dict.fromkeys(ERRORS, "warn")))
        return {(f.guard, f.population, f.signal): f for f in found}

    assert segment("tanh") == {}
    assert set(segment("relu")) == {("silence", "layer1", "rate")}
    owed = segment("tanh", unit_rates={"error": 5000.0})
    assert set(owed) == {("saturation", "layer2", "error")} and owed["saturation", "layer2", "error"].value > 100
