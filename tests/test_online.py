"""Circuits that learn from a stream: against settled algebra sample by sample, on every target, cut and resumed anywhere."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from conftest import near, small
from oracles import ORACLES

from neurolearn import rules, streams
from neurolearn.changes import prepare
from neurolearn.circuit.biology import Biology
from neurolearn.circuit.online import Online
from neurolearn.errors import InputError, SimulationError
from neurolearn.timing import Timing

SETTLED = Timing(dt=1e-3, tau=10e-3, settle=400)  # 40 time constants: e^-40 of what a sample left is 4e-18
SPIKES = Timing(dt=1e-3, tau=20e-3, settle=60, window=60)
RATE = 0.05


def samples(network, count: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, network.sizes[0])), rng.normal(size=(count, network.sizes[-1]))


def online(name, count: int = 6, timing: Timing = SETTLED, kind: str = "rate", **options):
    """(circuit, program, samples one by one, weights at the start)."""
    rule = rules.ALL[name] if isinstance(name, str) else name
    network = small(rule)
    x, teacher = samples(network, count)
    program, weights, _ = prepare(rule, network, x[:1], teacher[:1])
    return Online(program, weights, timing, kind, **{"samples": count, **options}), program, (x, teacher), weights


def learn(circuit, program, data, cuts=None, rates=RATE, taught=True):
    """Run all samples in segments; what the last one gave."""
    x, teacher = data
    cuts, segment = cuts or [len(x)], None
    for first, last in zip(np.cumsum([0, *cuts[:-1]]), np.cumsum(cuts), strict=True):
        some = np.arange(first, last)
        given = streams.given(program, x[some], teacher[some], 0, 1, indices=some)
        segment = circuit.run(given, rates, taught)
    return segment


def reference(name: str, program, data, weights, rate=RATE) -> dict[str, np.ndarray]:
    """Oracle: the NumPy reference of the rule, that shares no line with the package, applied sample after sample."""
    w, net = {n: np.array(v) for n, v in weights.items()}, program.network
    for n, (x, teacher) in enumerate(zip(*data, strict=True)):
        draws = streams.noise(program, np.array([n]), 0, 1)
        found = ORACLES[name](net.sizes, net.activation.name, w, x[None], teacher[None], dict(program.constants), draws)
        for key, change in found.items():
            w[key] += rate * change
    return w


def furthest(u, v) -> float:
    return max(near(u[name], v[name]) for name in v if name in u and np.any(v[name]))


# -- what is learned -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name, count", [("feedback_alignment", 150), ("difference_target_propagation", 3)])
def test_online_learning_is_the_settled_algebra_sample_after_sample(name, count):
    """Oracle: ``reference``. Rounding, eps times 400 steps times the samples, and e^-40 from sample to sample: < 1e-9."""
    circuit, program, data, start = online(name, count, samples=50 if count > 50 else 2)
    cuts = [50] * (count // 50) or [2, 1]
    learn(circuit, program, data, cuts)
    expected = reference(name, program, data, start)
    assert furthest(circuit.weights, expected) < 1e-9
    moved = {n: near(expected[n], start[n]) for n in program.plastic_weights() if np.any(start[n])}
    assert min(moved.values()) > 1e-3  # and it is far from where it began
    forgets = reference(name, program, tuple(part[::-1] for part in data), start)
    assert furthest(circuit.weights, forgets) > 1e-4  # in another order it would have learned something else


@pytest.mark.slow
# A compiled target cannot be asked for without a compiler, and neurolearn works without one; CI has one and runs this.
@pytest.mark.skipif(not shutil.which("g++"), reason="compiled targets need a C++ compiler (g++), and there is none")
@pytest.mark.parametrize("target", ["cython", "standalone"])
def test_compiled_circuits_learn_the_same_over_1500_samples(target, tmp_path):
    """Oracle: ``reference``, after 600 s of simulated time: two clocks would have come apart by then (DESIGN, one slow clock)."""
    circuit, program, data, start = online("feedback_alignment", 1500, samples=500, target=target, cache=tmp_path)
    learn(circuit, program, data, [500] * 3)
    circuit.close()
    assert furthest(circuit.weights, reference("feedback_alignment", program, data, start)) < 1e-9


def test_spikes_learn_nearly_the_same_and_more_nearly_the_longer_a_sample_lasts():
    """Oracle: ``reference``. Regular spikes are right to one spike per window, so the error falls with its length."""
    errors = []
    for steps in (100, 400):
        timing = Timing(dt=1e-3, tau=steps * 1e-3 / 20, settle=steps, window=steps, unit_rate=200)
        circuit, program, data, start = online("feedback_alignment", 8, timing, "spiking")
        learn(circuit, program, data)
        expected = reference("feedback_alignment", program, data, start)
        errors.append(max(near(circuit.weights[n] - start[n], expected[n] - start[n]) for n in program.plastic_weights()))
    assert errors[1] < 0.1
    assert errors[1] < errors[0] / 2


def test_cells_that_hold_copies_of_one_weight_agree_after_every_segment():
    """Oracle: the rule has one Q. In placement cells it stands in several places, of which one learns it."""
    circuit, program, data, start = online("difference_target_propagation", 3, SPIKES, "spiking", placement="cells")
    learn(circuit, program, data, [2, 1])
    held = {key: circuit._homes[key] for key in circuit._homes if len(circuit._homes[key]) > 1}
    assert any(key.startswith("Q") for key in held)
    orders = circuit._orders(1, RATE, True)
    for key, homes in held.items():
        copies = [home.after(orders[home.key], circuit.weights[key]) for home in homes]
        assert all(np.array_equal(copy, circuit.weights[key]) for copy in copies)
        assert not np.array_equal(circuit.weights[key], start[key])


def test_coherent_weights_keep_their_signs_while_they_learn():
    """Oracle: the definition. At this rate they would change sign, and do once the cut is taken out of the rule."""
    rule = rules.ALL["kickback"]
    circuit, program, data, start = online("kickback", 10)
    learn(circuit, program, data, rates=2.0)
    signs = {n: w.sign for n, w in program.weights.items() if w.sign is not None}
    assert signs
    assert all((s * circuit.weights[n] >= 0).all() for n, s in signs.items())
    assert any(np.any(circuit.weights[n] == 0) for n in signs)  # some were cut
    free = replace(rule, pathways={n: replace(p, coherent=False) for n, p in rule.pathways.items()})
    loose, program, data, _ = online(free, 10)
    loose.weights = dict(start)
    learn(loose, program, data, rates=2.0)
    assert any((s * loose.weights[n] < 0).any() for n, s in signs.items())


# -- what is not touched ---------------------------------------------------------------------------------------------


def written(circuit) -> set[str]:
    """Variables that code on the slow clock writes, in cells and synapses."""
    things = [*circuit.plan.groups, *circuit.plan.synapses]
    lines = [line for thing in things for r in thing.regular for line in r.code]
    return {re.match(r"(\w+)\s*[-+*]?=", line)[1] for line in lines}


def test_no_cell_or_current_is_written_when_the_sample_changes():
    """Oracle: the printed code. Only clock, input, label, windows, what they counted, and weights; with resets, cells too."""
    own = r"tick|sample|present|during_\w+|window_open|last_window|data|label|mean_\w+|sent_\w+|change\w*|w|b"
    kept, *_ = online("feedback_alignment", 2, SPIKES, "spiking")
    reset, *_ = online("feedback_alignment", 2, SPIKES, "spiking", resets=True)
    assert all(re.fullmatch(own, name) for name in written(kept))
    more = {name for name in written(reset) if not re.fullmatch(own, name)}
    assert {"v_rate_on", "v_error_off", "I_W_rate_below", "I_B_error_above"} <= more


def test_rates_of_zero_freeze_to_the_last_bit_and_one_switch_leaves_only_the_readout():
    """Oracle: equality with the start."""
    circuit, program, data, start = online("feedback_alignment", 4)
    learn(circuit, program, data, rates=0.0)
    assert all(np.array_equal(circuit.weights[n], start[n]) for n in start)
    learn(circuit, program, data, rates={"*": 0.0, "W_3_2": RATE, "b_3": RATE})
    assert {n for n in start if not np.array_equal(circuit.weights[n], start[n])} == {"W_3_2", "b_3"}


def test_without_a_teacher_there_is_no_error():
    """Oracle: the output is its own teacher, so the change is 0 exactly; with the teacher it is not."""
    circuit, program, data, start = online("feedback_alignment", 3)
    learn(circuit, program, data, taught=False)
    assert all(np.array_equal(circuit.weights[n], start[n]) for n in start)
    learn(circuit, program, data)
    assert not np.array_equal(circuit.weights["W_1_0"], start["W_1_0"])


def test_outputs_are_what_the_network_answers():
    """Oracle: the forward pass in NumPy, at the weights before each sample (here frozen)."""
    circuit, program, (x, teacher), w = online("feedback_alignment", 5)
    found = learn(circuit, program, (x, teacher), rates=0.0).outputs
    r = x
    for k in (1, 2, 3):
        r = r @ w[f"W_{k}_{k - 1}"].T + w[f"b_{k}"]
        r = np.tanh(r) if k < 3 else r
    assert near(found, r) < 1e-12
    spiking, program, data, _ = online("feedback_alignment", 5, Timing(settle=500, window=500), "spiking")
    said = learn(spiking, program, data, rates=0.0)
    assert near(said.outputs, r) < 0.05
    assert 0 < said.mean_hz < said.max_hz < 1000


# -- segments --------------------------------------------------------------------------------------------------------


def test_a_run_goes_on_from_arrays_alone_with_delays_too():
    """Oracle: the same run without a break, bit for bit; spikes that were under way would be lost by a break."""
    late = Biology(delays={"B": 3e-3})
    whole, program, data, _ = online("feedback_alignment", 6, SPIKES, "spiking", biology=late, samples=2)
    learn(whole, program, data, [2, 2, 2])
    first, *_ = online("feedback_alignment", 6, SPIKES, "spiking", biology=late, samples=2)
    learn(first, program, tuple(part[:4] for part in data), [2, 2])
    second, *_ = online("feedback_alignment", 6, SPIKES, "spiking", biology=late, samples=2)
    second.load(first.weights, first.state)
    some = np.arange(4, 6)
    second.run(streams.given(program, data[0][some], data[1][some], 0, 1, indices=some), RATE)
    assert all(np.array_equal(second.weights[n], whole.weights[n]) for n in whole.weights)
    assert all(np.array_equal(second.state[n], whole.state[n]) for n in whole.state)
    assert not np.array_equal(first.weights["W_1_0"], whole.weights["W_1_0"])


def test_a_short_segment_leaves_the_rest_of_its_time_empty():
    """Oracle: a circuit built for just so many samples; rates, since spikes go on counting in an empty slot."""
    long, program, data, _ = online("feedback_alignment", 3, samples=7)
    short, *_ = online("feedback_alignment", 3)
    learn(long, program, data)
    learn(short, program, data)
    assert furthest(long.weights, short.weights) < 1e-12


# -- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how, sentence", [
    ({"rates": {"V": 0.1}}, "rates name 'V'; what learns here is .*W_1_0"),
    ({"cuts": [4]}, "a segment has 1 to 2 samples; 4 were given"),
])  # fmt: skip
def test_bad_orders_are_refused(how, sentence):
    circuit, program, data, _ = online("feedback_alignment", 4, samples=2)
    with pytest.raises(InputError, match=sentence):
        learn(circuit, program, data, **{"cuts": [2, 2], **how})


@pytest.mark.parametrize("options, sentence", [
    ({"kind": "graded"}, "kind is 'graded'; choose rate or spiking"),
    ({"kind": "rate", "placement": "cells"}, "placement is 'cells'"),
    ({"samples": 0}, "samples is 0"),
    ({"target": "cuda"}, "target is 'cuda'; choose one of numpy, cython, standalone"),
    ({"kind": "spiking", "timing": replace(SPIKES, encoding="poisson")}, "drawn before a run"),
])  # fmt: skip
def test_circuits_that_cannot_be_are_refused(options, sentence):
    with pytest.raises(InputError, match=sentence):
        online("feedback_alignment", 2, **options)


def test_learning_that_diverges_is_named():
    circuit, program, data, _ = online("feedback_alignment", 20)
    with pytest.raises(SimulationError, match=r"is not finite or beyond .* smaller learning rate"):
        learn(circuit, program, data, rates=1e6)
