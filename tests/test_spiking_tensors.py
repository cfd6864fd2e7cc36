"""The spiking tensors: Norse defines the cells, the fused step equals them to the bit, codes carry their signals."""

from __future__ import annotations

import gc
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import NET, RULES, TEACHER, X, small

from neurolearn import activations, circuit, draws
from neurolearn.changes import fit_rates, prepare, update
from neurolearn.errors import InputError
from neurolearn.network import mlp
from neurolearn.tensor import cells
from neurolearn.tensor.spiking import SpikingProgram
from neurolearn.timing import Timing

FA = RULES["feedback_alignment"]
BRIEF = Timing(settle=60, window=60, tau=5e-3)


def program(rule=FA, network=NET, timing: Timing = BRIEF, kind: str = "reference"):
    """(a spiking program, what it is given)."""
    lowered, weights, given = prepare(rule, network, X, TEACHER)
    return SpikingProgram(lowered, weights, timing, kind=kind), given


# -- Norse -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("name", RULES)
def test_the_fused_step_is_norses_step(name, count):
    """Oracle: lif_box_feed_forward_step of Norse, to the bit: spikes, potentials, changes."""
    rule, net = RULES[name], small(RULES[name])
    teacher = np.eye(net.sizes[-1])[[0, min(2, net.sizes[-1] - 1)]]
    lowered, weights, given = prepare(rule, net, X[:, : net.sizes[0]], teacher)
    timing = fit_rates(lowered, weights, given, replace(BRIEF, cells=count))
    one, two = (SpikingProgram(lowered, weights, timing, kind=kind) for kind in ("reference", "fused"))
    ours, theirs = two.run(given, record=True), one.run(given, record=True)
    assert one.activity.spikes > 100
    assert all(torch.equal(ours[n], theirs[n]) for n in theirs)
    assert all(np.array_equal(two.activity.trains[n], train) for n, train in one.activity.trains.items())
    assert all(np.array_equal(two.final.potentials()[n], v) for n, v in one.final.potentials().items())
    assert replace(two.activity, trains={}) == replace(one.activity, trains={})


def test_the_reference_is_norse_and_the_fused_step_is_not(monkeypatch):
    """Oracle: Norse's own step with twice the threshold; the fused step has its own arithmetic and does not see it."""
    before = [program(kind=kind) for kind in ("reference", "fused")]
    kept = [one.run(given, record=True) and one.activity.trains for one, given in before]
    norse = cells.lif_box_feed_forward_step

    def doubled(drive, state, p, dt):
        return norse(drive, state, p._replace(v_th=2 * p.v_th), dt)

    monkeypatch.setattr(cells, "lif_box_feed_forward_step", doubled)
    after = [program(kind=kind) for kind in ("reference", "fused")]
    found = [one.run(given, record=True) and one.activity.trains for one, given in after]
    assert not np.array_equal(found[0]["rate_0"], kept[0]["rate_0"])
    assert all(np.array_equal(found[1][n], train) for n, train in kept[1].items())


# -- opponent pairs ----------------------------------------------------------------------------------------------------


def pairs(units: int, timing: Timing, kind=cells.Opponents):
    """The opponent pairs that send the input of a net, and the name of their signal."""
    lowered, weights, _ = prepare(FA, mlp([units, 2]), np.zeros((1, units)), np.zeros((1, 2)))
    code = next(c for c in draws.codes(lowered, timing) if c.cell == 0)
    return kind(SpikingProgram(lowered, weights, timing), [code], 1), cells.key(code)


@pytest.mark.parametrize("kind", [cells.Opponents, cells.FusedOpponents])
@pytest.mark.parametrize("shape", ["constant", "sinusoidal"])
def test_a_pair_is_an_integrator(shape, kind):
    """Oracle: the integral. ON minus OFF spikes stay within one of the charge at the start and U times the integral."""
    signals, steps = torch.linspace(-2, 2, 41, dtype=torch.float64)[None], 3000
    timing = Timing(seed=3)
    opponents, name = pairs(41, timing, kind)
    start, count, integral = opponents.potentials()[name], np.zeros(41), np.zeros(41)
    for k in range(steps):
        now = signals * (1 if shape == "constant" else np.sin(2 * np.pi * k / 700))
        count += opponents.send({name: now})[name][0].numpy()
        integral += now[0].numpy() * timing.unit_rate * timing.dt
        assert np.abs(start + integral - count).max() <= 1 + 1e-4  # the charge that is left; 1e-6 of it leaks a second
    assert np.abs(count - integral).max() <= 2
    if shape == "constant":
        assert count[-1] == pytest.approx(2 * timing.unit_rate * steps * timing.dt, abs=2)


def test_a_pair_has_no_dead_zone_and_a_leaky_one_has():
    """Oracle: the integral, here of signals that make 1 to 20 spikes in 20 s; the leaky zone ends at v_th/(U tau)."""
    signals = torch.tensor([[2.5e-4, 1e-3, 5e-3, -5e-3]], dtype=torch.float64)
    expected = signals[0].numpy() * 200 * 20
    for membrane, sends in ((Timing().membrane, True), ((20e-3, 0.0), False)):
        opponents, name = pairs(4, Timing(membrane=membrane))
        count = sum(opponents.send({name: signals})[name][0].numpy() for _ in range(20000))
        assert np.abs(count - expected * sends).max() <= 1


# -- cells with an f-I curve -------------------------------------------------------------------------------------------


def measured(drive: np.ndarray, seconds: float, dt: float, lif: activations.Activation) -> np.ndarray:
    """Hz of one leaky integrate-and-fire cell for each drive, in the window after its first spikes."""
    lowered, weights, given = prepare(FA, mlp([2, len(drive), 2, 2], lif), np.zeros((1, 2)), np.zeros((1, 2)))
    timing = Timing(dt=dt, tau=5e-3)
    one = cells.Cells(SpikingProgram(lowered, weights, timing), 1, given, 1)
    code = next(c for c in one.membranes if c.cell == 1)
    value = torch.tensor(drive)[None]
    spikes = np.array([one._membrane(code, value)[0].numpy() for _ in range(round(seconds / dt))])
    assert set(np.unique(spikes)) <= {0.0, 1.0}
    ends = [np.flatnonzero(train) for train in spikes.T]
    return np.array([(len(k) - 1) / ((k[-1] - k[0]) * dt) if len(k) > 1 else 0.0 for k in ends])


def at(text: str, u: np.ndarray) -> np.ndarray:
    """An activation's expression at u."""
    return eval(text.format(u="u"), {"torch": torch, "u": torch.tensor(u)}).numpy()


def test_a_cell_fires_as_its_f_i_curve_says():
    """Oracle: Gerstner et al. 2014, 1/(t_ref + tau log(d/(d-1))), in NumPy; an interval is at most a step too long, and
    Euler's climb is shorter by dt/(2 tau) of itself."""
    dt, tau, t_ref, unit = 1e-4, 20e-3, 2e-3, 100.0
    drive = np.array([-0.5, -0.01, 0.01, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0])
    found = measured(drive, 1.5, dt, activations.lif(tau, t_ref, unit))
    assert (found[:2] == 0).all()
    interval = t_ref + tau * np.log((drive[2:] + 1) / drive[2:])
    error = np.abs(1 / found[2:] - interval)
    assert (error <= dt + dt / (2 * tau) * (interval - t_ref) * 1.02).all()
    assert (np.diff(found[1:]) > 0).all()
    assert at(activations.lif(tau, t_ref, unit).torch, drive)[2:] == pytest.approx(1 / (unit * interval), rel=1e-12)


def test_the_slope_of_a_cell_is_the_slope_of_its_rate():
    """Oracle: central differences, of the curve closely and of measured rates as closely as their intervals allow."""
    curve, u = activations.lif(20e-3, 2e-3, 100.0), np.array([-0.3, 0.02, 0.1, 0.4, 1.0, 3.0])
    differences = (at(curve.torch, u + 1e-6) - at(curve.torch, u - 1e-6)) / 2e-6
    assert at(curve.torch_slope, u) == pytest.approx(differences, rel=1e-6)
    u, wide = np.array([0.3, 0.6, 1.2]), 0.2
    rates = measured(np.concatenate([u + wide, u - wide]), 2.0, 1e-4, curve) / 100.0
    exact = (at(curve.torch, u + wide) - at(curve.torch, u - wide)) / (2 * wide)
    assert (rates[:3] - rates[3:]) / (2 * wide) == pytest.approx(exact, rel=0.05)
    assert exact == pytest.approx(at(curve.torch_slope, u), rel=0.35)  # over so wide a difference


# -- what is drawn -----------------------------------------------------------------------------------------------------


def test_poisson_input_has_the_mean_and_variance_of_coin_tosses():
    """Oracle: p = |x| U dt, mean p, variance p (1 - p), within five standard errors; the sign is the signal's."""
    lowered, _, given = prepare(FA, NET, np.array([[0.1, 0.5, 0.9, -0.4, 0.0, 1.0]]), TEACHER[:1])
    timing, steps = Timing(encoding="poisson", seed=5), 20000
    train = draws.poisson(lowered, timing, given, steps)["rate_0"][:, 0]
    x = given["data_0"][0]
    p = np.abs(x) * timing.unit_rate * timing.dt
    assert (np.abs(train.mean(0) - p * np.sign(x)) <= 5 * np.sqrt(p * (1 - p) / steps)).all()
    assert (np.abs(np.abs(train).var(0) - p * (1 - p)) <= 5 * np.sqrt(p / steps)).all()
    lagged = np.mean(np.abs(train[1:]) * np.abs(train[:-1]), 0)
    assert (np.abs(lagged - p**2) <= 5 * np.sqrt((p**2 + 1e-12) / steps)).all()  # one step knows nothing of the last


def test_poisson_input_is_drawn_from_its_seed():
    lowered, _, given = prepare(FA, NET, X, TEACHER)
    trains = [draws.poisson(lowered, Timing(encoding="poisson", seed=seed), given, 500)["rate_0"] for seed in (5, 5, 6)]
    assert np.array_equal(trains[0], trains[1])
    assert not np.array_equal(trains[0], trains[2])
    timings = [replace(BRIEF, encoding="poisson", seed=seed) for seed in (5, 5, 6)]
    runs = [update(FA, NET, X, TEACHER, realisation="tensor.spiking", timing=timing) for timing in timings]
    assert all(np.array_equal(runs[0][n], runs[1][n]) for n in runs[0].changes)
    assert not np.array_equal(runs[0]["W_1_0"], runs[2]["W_1_0"])


def test_poisson_input_that_cannot_be_is_refused():
    lowered, _, given = prepare(FA, NET, X, TEACHER)
    with pytest.raises(InputError, match=r"lower unit_rate or dt to stay below 0\.5"):
        draws.poisson(lowered, Timing(encoding="poisson", unit_rate=900.0), given, 10)


@pytest.mark.parametrize(("text", "drawn"), [("rate = data", True), ("rate = 2*data", False), ("probe = data\nrate = probe", True)])
def test_input_is_poisson_where_it_is_the_data_itself(text, drawn):
    """What the input computes is no input, and is sent like any other signal."""
    lowered, _, given = prepare(replace(FA, name="other", input=text), NET, X, TEACHER)
    assert bool(draws.poisson(lowered, Timing(encoding="poisson"), given, 10)) == drawn


def test_thresholds_are_off_the_lattice_when_asked_and_the_same_on_both_sides():
    """Oracle: the range that ``jitter`` states; Brian2's cells."""
    lowered, _, _ = prepare(FA, NET, X, TEACHER)
    levels = draws.thresholds(lowered, Timing(jitter=0.01), 2)
    assert all((v > 1).all() and (v <= 1.01).all() and len(np.unique(v)) == v.size for v in levels.values())
    assert all((v == 1).all() for v in draws.thresholds(lowered, Timing(), 2).values())
    assert not np.array_equal(levels[1], draws.thresholds(lowered, Timing(jitter=0.01, seed=1), 2)[1])
    timing = replace(BRIEF, jitter=0.01)
    built, (simulated, _) = circuit.build(FA, NET, X, TEACHER, timing=timing), program(timing=timing)
    assert np.array_equal(built.objects["layer1"].v_th[:], draws.thresholds(simulated.program, timing, 2)[1].ravel())


def test_one_more_layer_draws_nothing_else_for_the_others():
    """Oracle: the draws of the smaller net; every draw has a name of its own."""
    small, _, _ = prepare(FA, mlp([6, 5, 3]), X, TEACHER)
    large, _, _ = prepare(FA, mlp([6, 5, 4, 3]), X, TEACHER)
    one, two = (draws.start_potentials(p, Timing(), 2) for p in (small, large))
    assert all(np.array_equal(one[n], two[n]) for n in ("rate_0", "rate_1"))


# -- memory ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["reference", "fused"])
def test_no_tensor_is_kept_for_a_step_that_is_over(kind):
    """Oracle: the garbage collector's count of tensors and their bytes, early and late in a window, with no record."""

    def held() -> tuple[int, int]:
        tensors = [one for one in gc.get_objects() if issubclass(type(one), torch.Tensor)]
        return len(tensors), sum(one.nbytes for one in tensors)

    for record in (False, True) if kind == "fused" else (False,):
        seen = []
        one, given = program(timing=Timing(settle=100, window=700), kind=kind)
        one.run(given, record=record, progress=lambda _, seen=seen: seen.append(held()))
        assert len(seen) == 4
        grown = [late - early for early, late in zip(seen[1], seen[-1], strict=True)]
        assert (min(grown) > 1000) if record else (grown == [0, 0])
