"""Physiology in the open: each option of a circuit against its closed form, and what it leaves as it was."""

from __future__ import annotations

import shutil
from dataclasses import replace

import brian2 as b2
import numpy as np
import pytest
from brian2 import ms, mV
from conftest import NET, RULES, TEACHER, X, near
from scipy.stats import f as f_distribution
from scipy.stats import kstest
from test_circuits import back_doors

from neurolearn import circuit
from neurolearn.activations import lif
from neurolearn.changes import default_timing, prepare, update
from neurolearn.circuit import Background, Biology, heterogeneity, lehmer
from neurolearn.circuit.built import Circuit
from neurolearn.circuit.online import Online
from neurolearn.errors import InputError, RuleError
from neurolearn.network import Connection, Network, mlp
from neurolearn.pathway import Pathway, Tied
from neurolearn.program import lower
from neurolearn.rule import Rule
from neurolearn.tensor.spiking import SpikingProgram
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
    assert "delay=" not in build().source


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
    (Biology(dale=True), {"kind": "rate"}, "dale is of spiking circuits"),
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
