"""Plasticity from spikes: at every step, at spikes only, and by forms such as STDP; each against NumPy, step by step."""

from __future__ import annotations

from dataclasses import replace

import brian2 as b2
import numpy as np
import pytest
from conftest import NET, RULES, TEACHER, X, near
from test_axons import back_doors

import neurolearn as nl
from neurolearn import circuit, stdp
from neurolearn.activations import lif
from neurolearn.changes import prepare
from neurolearn.circuit.online import Online
from neurolearn.circuit.plasticity.pairing import pairing
from neurolearn.errors import InputError, RuleError
from neurolearn.rule import Pathway, Phase, Rule, Uniform
from neurolearn.timing import Timing

FA = RULES["feedback_alignment"]
TIMING = Timing(settle=80, window=80, taus={"trace": 17e-3, "apical.error": 7e-3})
ROUNDING = 1e-12  # 160 steps of sums of products, each good to 1e-16
FULL = Rule(  # every kind of term that spikes can carry, in two phases, with something kept from the first
    "full",
    pathways={"B": Pathway("above", Uniform(1.0))},
    phases={"free": Phase(hidden="latch before = rate", output="latch before = rate",
                          input="latch before = rate", plasticity={"W": "-0.3*rate_post*rate_pre"})},
    constants={"decay": 0.2},
    hidden="error = slope * B(error_above)",
    output="error = teacher - rate",
    plasticity={"W": "(error_post - before_post/4)*rate_pre*2 + w*rate_pre*rate_post - decay*w + error_post - rate_pre*before_pre"},
)


def build(rule: Rule, plasticity, placement: str = "unit", network=NET, timing: Timing = TIMING, **options):
    return circuit.build(rule, network, X, TEACHER, timing=timing, placement=placement, plasticity=plasticity, **options)


def changes(*args, **options) -> dict[str, np.ndarray]:
    built = build(*args, **options)
    built.run()
    return built.changes()


# -- events are the clocked sum ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rule", "placement"), [(FA, "cells"), (FULL, "unit")], ids=["FA, cells", "every kind of term"])
def test_events_are_the_clocked_sum(rule, placement):
    """Oracle: the same traces, multiplied and summed up in every step by Brian2."""
    clocked, events = changes(rule, "traces", placement), changes(rule, "events", placement)
    assert set(clocked) == set(events)
    assert {n: near(events[n], clocked[n]) for n in clocked if near(events[n], clocked[n]) > ROUNDING} == {}
    assert min(np.abs(clocked[n]).max() for n in clocked if n.startswith("W")) > 1e-3


def decayed(spikes: np.ndarray, jump: float, tau: float, dt: float, late: int = 0) -> np.ndarray:
    """The trace at the start of each step, of spikes (steps, ...): Euler's steps, one after the other."""
    value, found = np.zeros(spikes.shape[1:]), []
    for now in spikes:
        found.append(value)
        value = value * (1 - dt / tau) + jump * now
    return np.array(found)


@pytest.mark.parametrize(("placement", "way"), [("unit", "events"), ("cells", "events"), ("unit", "clocked")])
def test_both_are_what_numpy_makes_of_the_recorded_spikes(placement, way):
    """Oracle: NumPy on the recorded trains and, where the post signal is graded, on the recorded potential."""
    built, t = build(FA, way, placement), TIMING
    built.record_spikes()
    at = {cell.title: k for k, cell in enumerate(built.program.cells)}
    post = "layer2" if placement == "unit" else "layer2_rate"
    graded = b2.StateMonitor(built.objects[post], "error", record=True, clock=built.objects[post].clock)
    built.network.add(graded)
    built.run()
    spikes, inside = built.spikes(), slice(t.settle, t.settle + t.window)
    source = at["layer1" if placement == "unit" else "layer1_rate"]
    x = decayed(spikes[f"rate_{source}"], 1 / (t.unit_rate * t.tau_of("trace")), t.tau_of("trace"), t.dt)
    if way == "clocked":
        y = graded.error.T[: t.settle + t.window].reshape(len(x), 2, -1)
    else:
        sender = at["layer2"] if placement == "unit" else at["layer2_error"]
        tau = t.tau_of("trace" if placement == "unit" else "apical.error")
        y = decayed(spikes[f"error_{sender}"], 1 / (t.unit_rate * tau), tau, t.dt)
    expected = np.einsum("tcj,tci->ji", y[inside], x[inside]) / (2 * t.window)
    assert near(built.changes()["W_2_1"], expected) < ROUNDING
    assert np.abs(x[t.settle]).max() > 0  # the trace is there when the window opens


def test_a_bias_sums_its_own_cell_up():
    """Oracle: NumPy on the recorded potential; the product of the means would be another number."""
    rule = Rule("squared", plasticity={"W": "rate_post*rate_pre", "b": "rate_post*(1 - rate_post)"})
    built = build(rule, "events")
    layer = built.objects["layer2"]
    rate = b2.StateMonitor(layer, "rate", record=True, clock=layer.clock)
    built.network.add(rate)
    built.run()
    r = rate.rate[:, TIMING.settle : TIMING.settle + TIMING.window].reshape(2, 4, -1)
    found = built.changes()["b_2"]
    assert near(found, (r * (1 - r)).mean((0, 2))) < ROUNDING
    assert near(found, (r.mean(2) * (1 - r.mean(2))).mean(0)) > 1e-4


def test_the_weight_is_constant_while_the_window_is_open():
    built = build(FA, "events")
    w = b2.StateMonitor(built.objects["W_2_1"], "w", record=[0, 7], clock=built.objects["layer1"].clock)
    change = b2.StateMonitor(built.objects["W_2_1"], "change", record=[0, 7], clock=built.objects["layer1"].clock)
    built.network.add(w, change)
    built.run()
    steps = TIMING.settle + TIMING.window
    assert (np.diff(w.w[:, :steps]) == 0).all() and (w.w[:, steps] != w.w[:, 0]).all()
    assert (change.change[:, : TIMING.settle] == 0).all() and (change.change[:, steps - 1] != 0).all()


@pytest.mark.parametrize(("way", "placement"), [("clocked", "unit"), ("events", "unit"), ("events", "cells"),
                                                (stdp.triplet(), "cells")])
def test_nothing_but_spikes_crosses(way, placement):
    """Oracle: the walk of tests/test_circuits.py over every object. In placement cells every cell has one axon."""
    built = build(FA, way, placement)
    assert back_doors(built.network) == []
    if placement == "cells":
        assert max(len({e.rpartition("_")[0] for e in g.events}) for g in built.plan.groups) == 1


def test_every_pathway_can_have_its_own_way():
    assert build(FA, {"W": "events"}).source == build(FA, "events").source
    with pytest.raises(InputError, match="names 'B'; the pathways that learn here are W"):
        build(FULL, {"B": "events"})


@pytest.mark.parametrize(("placement", "resets"), [("cells", False), ("unit", True)])
def test_a_stream_of_samples_learns_the_same_from_events(placement, resets):
    """Oracle: the clocked traces, over two segments of samples; what a synapse remembers goes on from one to the other."""
    network = nl.mlp([4, 4, 2])
    rng = np.random.default_rng(2)
    program, start, given = prepare(FA, network, rng.random((4, 4)), np.eye(2)[[0, 1, 1, 0]])
    learned = []
    for way in ("traces", "events"):
        online = Online(program, start, replace(TIMING, settle=30, window=30), placement=placement, samples=2, resets=resets,
                        plasticity=way)
        for part in (slice(0, 2), slice(2, 4)):
            online.run({name: value[part] for name, value in given.items()}, 0.5)
        learned.append({name: online.weights[name] - start[name] for name in ("W_1_0", "W_2_1")})
    for name, change in learned[0].items():
        assert near(learned[1][name], change) < ROUNDING
        assert np.abs(change).max() > 1e-3


# -- what is refused ---------------------------------------------------------------------------------------------------


def hebb(text: str, **more) -> Rule:
    return replace(FA, name="mine", plasticity={"W": text}, **more)


@pytest.mark.parametrize(("rule", "sentence"), [
    (hebb("slope_post*error_post*rate_pre"),
     r"mine: the term slope_post\*error_post\*rate_pre of the plasticity of W_1_0 .* two at one end"),
    (hebb("error_post*rate_pre - rate_pre**2"), r"the term -1\*rate_pre\*\*2 .* is a function of a train of spikes"),
    (RULES["third_factor"], "third_factor: the term .* of the plasticity of W_1_0 .* state at the synapse"),
    (hebb("surprise*rate_pre", broadcast={"surprise": "sum(error*error)"}), "surprise_post is graded and no train of spikes"),
])
def test_a_term_that_is_not_of_spikes_is_named(rule, sentence):
    with pytest.raises(InputError, match=f"(?s){sentence}.*Take plasticity='clocked'"):
        build(rule, "events")


@pytest.mark.parametrize(("options", "sentence"), [
    ({"plasticity": "online"}, "choose window, clocked, traces, events, or a form"),
    ({"plasticity": "events", "realisation": "circuit.rate"}, "circuit.rate has 'window' only"),
    ({"plasticity": "clocked", "realisation": "tensor.spiking"}, "tensor.spiking has 'window' only"),
])
def test_ways_that_do_not_exist(options, sentence):
    with pytest.raises(InputError, match=sentence):
        nl.update(FA, NET, X, TEACHER, **{"realisation": "circuit.spiking", "timing": TIMING, **options})


def test_a_coding_in_which_spikes_are_not_all_is_named():
    timing = replace(TIMING, codings={"error": "baseline"})
    with pytest.raises(InputError, match=r"error of layer1 is coded as 'baseline'.*Take plasticity='clocked'"):
        build(FA, "events", timing=timing)


# -- forms: STDP -------------------------------------------------------------------------------------------------------

DELAYS = np.array([-40, -11, -1, 0, 1, 7, 40]) * 1e-3


def trains(delay: float, repetitions: int, frequency: float) -> tuple[np.ndarray, np.ndarray]:
    """Steps of 1 ms at which the two cells spike."""
    pre = 1000 + np.round(np.arange(repetitions) * 1e3 / frequency).astype(int)
    return pre, pre + round(delay * 1e3)


def triplets(pre: np.ndarray, post: np.ndarray, c: dict, tau: dict) -> float:
    """The triplet rule as its authors write it: two detectors for each cell, all spikes in their order, pre before post."""
    r1 = r2 = o1 = o2 = w = 0.0
    last = 0
    for time, kind in sorted([*((t, 0) for t in pre), *((t, 1) for t in post)]):
        gone = (time - last) * 1e-3
        r1, r2, o1, o2 = (v * np.exp(-gone / tau[n]) for v, n in ((r1, "plus"), (r2, "x"), (o1, "minus"), (o2, "y")))
        if kind == 0:
            w -= o1 * (c["A2_minus"] + c["A3_minus"] * r2)
            r1, r2 = r1 + 1, r2 + 1
        else:
            w += r1 * (c["A2_plus"] + c["A3_plus"] * o2)
            o1, o2 = o1 + 1, o2 + 1
        last = time
    return w


@pytest.mark.parametrize("repetitions", [1, 4])
def test_the_pair_window_is_its_closed_form(repetitions):
    """Oracle: A exp(-|t|/tau), summed over all pairs of the two trains."""
    form, expected = stdp.pair(0.005, 0.004, 15e-3, 31e-3), []
    for delay in DELAYS:
        pre, post = trains(delay, repetitions, 10.0)
        t = np.subtract.outer(post, pre) * 1e-3
        expected.append(np.where(t >= 0, 0.005 * np.exp(-t / 15e-3), -0.004 * np.exp(t / 31e-3)).sum())
    found = pairing(form, DELAYS, repetitions, 10.0)
    assert np.abs(found - expected).max() < 1e-12 * np.abs(expected).max()


def test_the_nearest_spike_alone():
    """Oracle: at 10 Hz and 7 ms each post spike pairs with one pre spike, and each pre spike with the post before it."""
    found = pairing(stdp.pair(0.005, 0.004, 15e-3, 31e-3, nearest=True), [7e-3], 3, 10.0)
    assert found == pytest.approx(3 * 0.005 * np.exp(-7 / 15) - 2 * 0.004 * np.exp(-93 / 31), rel=1e-12)


@pytest.mark.parametrize("form", ["minimal", "full"])
def test_triplets_are_what_numpy_makes_of_the_trains(form):
    """Oracle: the detectors in NumPy, for delays of both signs and frequencies up to 50 Hz."""
    given = {"A2_plus": 5e-10, "A3_plus": 6.2e-3, "A2_minus": 7e-3, "A3_minus": 2.3e-4}
    rule = stdp.triplet() if form == "minimal" else stdp.triplet(**given, tau_y=125e-3)
    tau = {n: rule.traces[t].tau for n, t in (("plus", "r1"), ("x", "r2"), ("minus", "o1"), ("y", "o2"))}
    for frequency in (10.0, 50.0):
        delays = np.array([-10, -3, 0, 10]) * 1e-3
        expected = [triplets(*trains(d, 12, frequency), rule.constants, tau) for d in delays]
        found = pairing(rule, delays, 12, frequency)
        assert np.abs(found - expected).max() < 1e-12 * np.abs(expected).max()


def test_fast_pairing_turns_depression_into_potentiation():
    """Pfister and Gerstner 2006: post 10 ms before pre depresses at low frequency and potentiates at 50 Hz; pairs cannot."""
    slow, fast = (pairing(stdp.triplet(), [-10e-3], 15, f)[0] for f in (10.0, 50.0))
    assert slow < 0 < fast
    assert pairing(stdp.pair(), [-10e-3], 15, 50.0)[0] < 0


def test_a_form_of_ones_own_reads_the_weight():
    """Oracle: w is constant until it is read, so two pairs change it by twice the soft bound of the first."""
    soft = stdp.Form("soft", {"r": stdp.Trace("pre", 20e-3)}, on_post="A*(1 - w)*r", constants={"A": 0.1})
    assert pairing(soft, [5e-3], 2, 2.0, w=0.25) == pytest.approx(2 * 0.1 * 0.75 * np.exp(-0.25), rel=1e-9)


@pytest.mark.parametrize("placement", ["unit", "cells"])
def test_stdp_in_a_circuit_is_stdp_of_its_spikes(placement):
    """Oracle: all pairs of the recorded trains, of which one spike at least fell in the open window as the later one."""
    network = nl.mlp([6, 5, 3], lif())
    form = stdp.pair(0.005, 0.004, 15e-3, 31e-3)
    timing = Timing(settle=150, window=150, seed=3)
    built = build(replace(FA, plasticity={"W": "rate_post*rate_pre"}), {"W": form}, placement, network, timing,
                  weights={"W_1_0": np.random.default_rng(0).random((5, 6))})
    built.record_spikes()
    built.run()
    at = {cell.title: k for k, cell in enumerate(built.program.cells)}
    names = ("layer0", "layer1") if placement == "unit" else ("layer0_rate", "layer1_rate")
    pre, post = (built.spikes()[f"rate_{at[name]}"] > 0 for name in names)
    expected = np.zeros((5, 6))
    for copy in range(2):
        for j in range(5):
            for i in range(6):
                a, b = np.nonzero(pre[:, copy, i])[0], np.nonzero(post[:, copy, j])[0]
                t = np.subtract.outer(b, a) * 1e-3
                gain = np.where(t >= 0, 0.005 * np.exp(-t / 15e-3), -0.004 * np.exp(t / 31e-3))
                later = np.maximum.outer(b, a)
                expected[j, i] += gain[later >= timing.settle].sum() / 2
    assert near(built.changes()["W_1_0"], expected) < ROUNDING
    assert min(post.sum(0).max(), pre.sum(0).max()) > 3


def test_a_delayed_spike_is_heard_when_it_arrives():
    """Oracle: the pair window, shifted by the delay; both cells spike by themselves."""
    built = build(FA, {"W": stdp.pair()}, biology=circuit.Biology(delays={"W": 3e-3}))
    s = next(s for s in built.plan.synapses if s.name == "W_2_1")
    assert s.delays["learn_pre_rate_on"] == s.delays["rate_on_I_W_rate_below"] == 3e-3
    assert np.asarray(built.objects["W_2_1"].learn_pre_rate_on.delay)[()] == 3e-3


@pytest.mark.parametrize(("make", "sentence"), [
    (lambda: stdp.Form("mine", {"r": stdp.Trace("pre", 0.02)}, on_post="r*q"), r"'q' is not at this synapse; it has r, w"),
    (lambda: stdp.Form("mine", {"r": stdp.Trace("pre", 0.02)}, on_post="f(r)"), "f belongs to a cell"),
    (lambda: stdp.Form("mine", {"rate_post": stdp.Trace("pre", 0.02)}), "rename"),
    (lambda: stdp.Trace("below", 0.02), "side is 'below'; choose pre or post"),
    (lambda: stdp.Trace("pre", 0.0), "Trace: tau is 0.0; it must be positive"),
    (lambda: stdp.pair(A_plus=np.inf), "A_plus is inf"),
    (lambda: pairing(stdp.pair(), [0.6], 1, 1.0), r"half a period is 0\.5 s"),
    (lambda: pairing(stdp.pair(), [0.0005], 1, 1.0), "not multiples of dt"),
    (lambda: pairing(stdp.pair(), [0.005], 0, 1.0), "repetitions is 0"),
])
def test_what_a_form_cannot_be(make, sentence):
    with pytest.raises((InputError, RuleError), match=sentence):
        make()
