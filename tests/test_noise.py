"""Cells that differ, fire irregularly or hear noise: each against its closed form."""

from __future__ import annotations

import shutil
from dataclasses import replace

import brian2 as b2
import numpy as np
import pytest
from brian2 import ms
from conftest import TEACHER, X, near
from scipy.stats import kstest
from test_axons import back_doors
from test_biology import FA, SHORT, SMALL, build

from neurolearn import circuit
from neurolearn.activations import lif
from neurolearn.changes import prepare
from neurolearn.circuit import Background, Biology
from neurolearn.circuit.biology import heterogeneity, lehmer
from neurolearn.circuit.built import Circuit
from neurolearn.circuit.online import Online
from neurolearn.errors import InputError
from neurolearn.network import mlp
from neurolearn.timing import Timing

# -- cells that differ -------------------------------------------------------------------------------------------------


def ones(inputs: int, value: float, **options) -> Circuit:
    """Input cells of one value each, in two copies of a net that hardly has anything else."""
    x = np.full((2, inputs), value)
    return circuit.build(FA, mlp([inputs, 1]), x, np.ones((2, 1)), {"W_1_0": np.zeros((1, inputs))}, **options)


def trains(built: Circuit, group: str, steps: int, event: str = "rate_on") -> np.ndarray:
    """(steps, cells) of 0 and 1 from a monitor."""
    monitor, found = built.objects[f"monitor_{group}_{event}"], np.zeros((steps, built.objects[group].N), int)
    at = np.round(monitor.t / b2.second / built.plan.dt).astype(int)
    np.add.at(found, (at[at < steps], monitor.i[:][at < steps]), 1)
    return found


def test_cells_are_drawn_with_the_stated_spread():
    """Oracle: the log-normal distribution of mean 1 (Kolmogorov and Smirnov; four standard errors)."""
    found = heterogeneity.factors(0.2, 20_000, 0, "layer1", "v_th")
    width = np.sqrt(np.log1p(0.04))
    assert kstest(np.log(found), "norm", (-(width**2) / 2, width)).pvalue > 0.01
    assert abs(found.mean() - 1) < 4 * 0.2 / np.sqrt(20_000) and abs(found.std() - 0.2) < 0.006
    assert not np.array_equal(found[:9], heterogeneity.factors(0.2, 9, 0, "layer2", "v_th"))


def test_a_threshold_of_its_own_is_a_gain_of_its_own():
    """Oracle: an integrator counts U x T/threshold spikes, within one."""
    built = ones(50, 0.4, timing=SHORT, biology=Biology(heterogeneity={"threshold": 0.3}))
    built.run_to_last_step()
    cells = built.objects["layer0"]
    level = cells.v_th[:]
    assert np.array_equal(level[:50], level[50:]) and 0.2 < level[:50].std() < 0.4
    assert np.abs(cells.spikes_rate_on[:] - 200 * 0.4 * 0.2 / level).max() <= 2  # one at each end


def test_synaptic_time_constants_of_its_own_bring_the_same_charge():
    """Oracle: NumPy's leaky currents, kicked by w/(U tau) for every recorded spike; in rates, 1 - (1 - dt/tau)^n. 1e-12."""
    biology = Biology(heterogeneity={"synapse": 0.3})
    for kind in ("rate", "spiking"):
        built = build(kind=kind, biology=biology)
        heard = built.objects["layer1"]
        current = b2.StateMonitor(heard, "I_W_rate_below", record=True, clock=heard.clock)
        built.network.add(current)
        if kind == "spiking":
            built.record_spikes()
        built.run()
        tau, found = heard.own_tau_I_W_rate_below[:], current.I_W_rate_below.T
        assert np.array_equal(tau[:5], tau[5:]) and 0.1 < (tau[:5] / tau.mean()).std() < 0.6
        steps, w = len(found), np.zeros((5, 6))
        synapses = next(s for s in built.plan.synapses if s.name == "W_1_0")
        w[synapses.units[1], synapses.units[2]] = synapses.w
        if kind == "rate":
            expected = (X @ w.T).ravel() * (1 - (1 - 1e-3 / tau) ** np.arange(steps)[:, None])
        else:
            sent = sum(s * trains(built, "layer0", steps, f"rate_{side}") for side, s in (("on", 1), ("off", -1)))
            sent, now, expected = (sent.reshape(steps, 2, 6) @ w.T).reshape(steps, -1), np.zeros(10), []
            for kick in sent:
                expected.append(now)
                now = now - now * 1e-3 / tau + kick / (200 * tau)
        assert np.abs(found).max() > 0.1 and np.abs(np.array(expected) - found).max() < 1e-12


def test_leaky_cells_with_membranes_of_their_own_fire_at_their_own_intervals():
    """Oracle: the number of Euler steps from 0 to the threshold, and the refractory ones; every interval, exactly."""
    net, timing = mlp([1, 40, 1], lif(20e-3, 2e-3)), Timing(dt=1e-4, tau=5e-3, settle=1000, window=1000)
    weights = {"W_1_0": np.zeros((40, 1)), "b_1": np.full(40, 1.5)}
    biology = Biology(heterogeneity={"membrane": 0.3, "threshold": 0.1})
    built = circuit.build(FA, net, np.ones((1, 1)), np.ones((1, 1)), weights, timing=timing, biology=biology)
    built.record_spikes()
    built.run()
    cells = built.objects["layer1"]
    drive, tau, level = 2.5, cells.own_tau_m_rate[:], cells.v_th[:]
    climb = drive * (1 - (1 - 1e-4 / tau) ** np.arange(2000)[:, None])
    interval = (climb > level).argmax(0) + 20
    train = trains(built, "layer1", 2000)
    assert 0.2 < (tau / 20e-3).std() < 0.4
    for cell in range(40):
        assert set(np.diff(np.nonzero(train[:, cell])[0])) == {interval[cell]}


def test_integrators_that_leak_do_so_at_their_own_pace():
    """Oracle: NumPy's Euler steps of each cell, spike by spike."""
    timing = replace(SHORT, membrane=(20e-3, 0.1))
    built = ones(50, 0.6, timing=timing, biology=Biology(heterogeneity={"membrane": 0.3}))
    built.record_spikes()
    cells = built.objects["layer0"]
    v, tau, train = cells.v_rate_on[:].copy(), cells.own_tau_mem[:].copy(), []
    built.run()
    for _ in range(200):
        v = v + 1e-3 * ((0.1 + 0.6 * (200 * tau) - v) / tau)
        train.append(v > 1)
        v = v - train[-1]
    assert tau.std() > 0.1 * tau.mean() and np.sum(train) > 1000
    assert np.array_equal(trains(built, "layer0", 200), np.array(train, int))


# -- irregular spikes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("irregularity", [0.5, 1.0])
def test_intervals_scatter_as_much_as_is_asked(irregularity):
    """Oracle: a renewal process whose intervals have this CV, seen at steps of 1/20 of the mean interval: the difference of
    two roundings adds 1/6 of a squared step. Mean rate and Fano factor (CV squared) within four standard errors.
    """
    built = ones(150, 0.25, timing=Timing(settle=2000, window=2000), biology=Biology(irregularity=irregularity))
    built.record_spikes()
    built.run()
    train = trains(built, "layer0", 4000)
    intervals = [np.diff(np.nonzero(one)[0]) for one in train.T]
    every = np.concatenate(intervals)
    expected = np.sqrt(irregularity**2 + 1 / (6 * 20**2))
    assert every.std() / every.mean() == pytest.approx(expected, rel=0.03, abs=1e-12)
    count = train.sum(0)
    assert count.mean() == pytest.approx(200, abs=4 * irregularity * np.sqrt(200 / 300) + 1)
    assert count.var() / 200 == pytest.approx(irregularity**2, rel=4 * np.sqrt(2 / 300) + 0.05)


def test_the_numbers_that_cells_draw_are_those_of_the_published_generator():
    """Oracle: the generator in Python's integers; and uniform by Kolmogorov and Smirnov."""
    first, second = np.array([12345.0, 1.0]), np.array([67890.0, 2147483398.0])
    found, a, b = lehmer.sequence(first, second, 2000), [12345, 1], [67890, 2147483398]
    for row in found:
        a, b = [40014 * v % 2147483563 for v in a], [40692 * v % 2147483399 for v in b]
        assert list(row) == [((u - v) % 2147483562 + 0.5) / 2147483562 for u, v in zip(a, b, strict=True)]
    assert kstest(found.ravel(), "uniform").pvalue > 0.01
    built = ones(20, 0.5, timing=SHORT, biology=Biology(irregularity=1.0))
    start = [built.plan.groups[0].values[f"draw_rate_on_{part}"] for part in "ab"]
    built.run()
    count = built.objects["layer0"].spikes_rate_on[:].astype(int)
    levels = 1 - 1.0 - np.log(lehmer.sequence(*start, count.max()))
    assert count.min() > 0
    assert np.abs(built.objects["layer0"].level_rate_on[:] - levels[count - 1, range(40)]).max() < 1e-12


# -- background --------------------------------------------------------------------------------------------------------


def test_background_has_its_amplitude_its_time_constant_and_no_company():
    """Oracle: a stationary autoregression of order 1 with a = exp(-dt/tau), four standard errors of each statistic; what a
    pair of cells integrates is the signal and the noise, so it counts both to within a spike at each end.
    """
    sigma, a, steps, size = 0.3, np.exp(-0.1), 2000, 300
    built = ones(size // 2, 0.2, timing=Timing(settle=1000, window=1000), biology=Biology(background=Background(sigma, 10 * ms)))
    cells = built.objects["layer0"]
    noise = b2.StateMonitor(cells, "background_rate", record=True, clock=cells.clock, when="end")
    built.network.add(noise)
    built.run()
    x = noise.background_rate[:, :steps] / sigma
    total, long = steps * size, (1 + a**2) / (1 - a**2)
    assert abs(x.mean()) < 4 * np.sqrt((1 + a) / (1 - a) / total)
    assert abs(x.var() - 1) < 4 * np.sqrt(2 * long / total)
    for lag in (1, 5, 20, 50):
        assert abs((x[:, lag:] * x[:, :-lag]).mean() - a**lag) < 4 * np.sqrt(2 * long / total)
    assert abs((x**4).mean() - 3 + 1.2 * (1 - a**2) / (1 + a**2)) < 4 * np.sqrt(96 * long / total)
    company = np.corrcoef(x)[np.triu_indices(size, 1)] * np.sqrt(steps / long)
    assert abs(company.std() - 1) < 0.03 and abs(company).max() < 5.5
    sent = cells.spikes_rate_on[:] - cells.spikes_rate_off[:]
    assert np.abs(sent - 200 * 1e-3 * (0.2 * (steps + 2) + sigma * noise.background_rate.sum(1) / sigma)).max() < 3


def test_background_into_a_current_is_filtered_by_it():
    """Oracle: the stationary variance of an autoregression that is driven by another."""
    net, sigma, a, b = mlp([3, 300, 1]), 0.3, np.exp(-0.1), 0.9
    biology = Biology(background=Background(sigma, 10e-3, into="W"))
    built = circuit.build(FA, net, X[:1, :3], np.ones((1, 1)), kind="rate", timing=Timing(settle=2000), biology=biology)
    cells = built.objects["layer1"]
    current = b2.StateMonitor(cells, "I_W_rate_below", record=True, clock=cells.clock)
    built.network.add(current)
    built.run()
    settled = current.I_W_rate_below[:, 200:2000]
    synapses = next(s for s in built.plan.synapses if s.name == "W_1_0")
    mean = np.zeros(300)
    np.add.at(mean, synapses.j, synapses.w * X[0, synapses.i])
    centred = settled - mean[:, None]
    expected = sigma**2 * (1 - b) / (1 + b) * (1 + a * b) / (1 - a * b)
    assert centred.var() == pytest.approx(expected, rel=0.03)


def test_a_circuit_with_everything_goes_on_where_it_was_stored(tmp_path):
    """Oracle: the run that was not interrupted, bit for bit."""
    biology = Biology(heterogeneity=0.1, irregularity=0.5, background=Background(0.2, 10 * ms))
    whole, first, second = (build(network=mlp([6, 3]), biology=biology) for _ in range(3))
    whole.run()
    first.network.run(0.11 * b2.second, namespace={})
    first.network.store("half", str(tmp_path / "half"))
    second.network.restore("half", str(tmp_path / "half"))
    second.network.run(second.duration - 0.11 * b2.second, namespace={})
    for name, variable in (("W_1_0", "w"), ("layer0", "v_rate_on"), ("layer0", "background_rate"), ("layer1", "b")):
        assert np.array_equal(*(getattr(one.objects[name], variable)[:] for one in (whole, second)))
    assert np.abs(whole.changes()["W_1_0"]).max() > 1e-3
    assert back_doors(whole.network) == []


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("target", ["numpy", *(pytest.param(name, marks=pytest.mark.slow) for name in ("cython", "standalone"))])
def test_a_stream_goes_on_from_its_state_on_every_target(target, tmp_path):
    """Oracle: the numpy circuit that was not interrupted; on numpy bit for bit, elsewhere to 1e-9."""
    if target != "numpy" and not shutil.which("g++"):
        pytest.skip("no C++ compiler")
    biology = Biology({"B": 3 * ms}, heterogeneity=0.1, irregularity=0.6, background=Background(0.2, 10 * ms, ("cells", "W")))
    program, weights, given = prepare(FA, SMALL, np.tile(X, (2, 1)), np.tile(TEACHER, (2, 1)))
    timing = Timing(settle=50, window=50)

    def circuit_on(where: str) -> Online:
        return Online(program, weights, timing, samples=2, target=where, biology=biology, cache=tmp_path)

    first, second = ({name: value[part] for name, value in given.items()} for part in (slice(2), slice(2, 4)))
    whole = circuit_on("numpy")
    whole.run(first, rates=0.1)
    kept = dict(whole.weights), dict(whole.state)
    whole.run(second, rates=0.1)
    again = circuit_on(target)  # built last: Brian2 takes the target of the circuit that was built last for all
    again.load(*kept)
    again.run(second, rates=0.1)
    if target == "standalone":
        again.close()
    for name, value in whole.state.items():
        assert near(again.state[name] + 1, value + 1) <= (0 if target == "numpy" else 1e-9)
    assert max(np.abs(whole.weights[name] - weights[name]).max() for name in weights) > 0.01


def test_what_is_computed_from_spikes_cannot_differ_from_cell_to_cell():
    """Oracle: plasticity by traces, which is the same thing where both are possible."""
    how = {"timing": Timing(settle=50, window=50), "network": mlp([6, 3, 3]), "placement": "cells"}
    biology = Biology(irregularity=0.6, background=Background(0.2, 10 * ms, ("cells", "W")))
    found = []
    for way in ("traces", "events"):
        built = build(biology=biology, plasticity=way, **how)
        built.run()
        found.append(built.changes())
    assert max(near(found[1][name], found[0][name]) for name in found[0] if name[0] == "W") < 1e-12
    for other in (Biology(heterogeneity=0.1), Biology(background=Background(0.2, 10 * ms, "currents"))):
        with pytest.raises(InputError, match="computes apical currents from their spikes"):
            build(biology=other, plasticity="events", **how)
