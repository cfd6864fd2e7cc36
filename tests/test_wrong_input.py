"""What a newcomer gets wrong in circuits: a wrong unit, a name that is not there, a number that cannot be.

Oracle: the sentence names the field, the value and a remedy, and the error is of this package; before, these were tracebacks of
Brian2 or NumPy, or went unnoticed.
"""

import subprocess
import sys

import numpy as np
import pytest
from brian2 import Hz, ms, mV, second

import neurolearn as nl
from neurolearn import circuit, stdp
from neurolearn.circuit import Biology, Cell, Guards, Learner, SpikeMonitor
from neurolearn.circuit.plasticity.pairing import pairing

RULE, NETWORK = nl.rules.get("feedback_alignment"), nl.mlp([4, 3, 2])
X, TEACHER = np.random.default_rng(0).random((1, 4)), np.eye(2)[[0]]
SHORT = nl.Timing(settle=20, window=20)
LEAKY = {"threshold": "v > 1", "reset": "v = 0", "namespace": {"tau_m": 20 * ms}}
MODEL = "dv/dt = (I - v)/tau_m : 1"


def build(rule=RULE, network=NETWORK, x=X, teacher=TEACHER, weights=None, **options):
    """A circuit of one presentation, plan only unless it is refused before."""
    return circuit.build(rule, network, x, teacher, weights, **{"timing": SHORT, **options})


def learner(**options):
    """A circuit of three samples a segment."""
    return Learner(options.pop("rule", RULE), NETWORK, **{"timing": SHORT, "samples": 3, "target": "numpy", **options})


def test_timing_takes_quantities():
    """A time or a rate with its unit is the number in SI that it stands for."""
    found = nl.Timing(dt=0.5 * ms, tau=20 * ms, unit_rate=50 * Hz, taus={"B": 5 * ms}, membrane=(20 * ms, 0.0),
                      unit_rates={"error": 90 * Hz}, baseline=nl.Baseline(rate=80 * Hz, tau=2 * second))  # fmt: skip
    plain = nl.Timing(dt=0.5e-3, tau=20e-3, unit_rate=50, taus={"B": 5e-3}, membrane=(20e-3, 0.0), unit_rates={"error": 90.0},
                      baseline=nl.Baseline(rate=80.0, tau=2.0))  # fmt: skip
    assert found == plain
    assert not hasattr(found.dt, "dim")
    assert stdp.Trace("pre", 20 * ms) == stdp.Trace("pre", 20e-3)
    np.testing.assert_array_equal(pairing(stdp.pair(), [-10, 10] * ms, 2), pairing(stdp.pair(), [-10e-3, 10e-3], 2))


TIMINGS = [
    ({"tau": 10 * mV}, r"tau is 10. \* mvolt; give a time"),
    ({"tau": "10 ms"}, "tau is '10 ms'; give a time"),
    ({"dt": None}, "dt is None; give a time"),
    ({"dt": float("inf"), "tau": float("inf")}, "dt is inf; it must be finite"),
    ({"unit_rate": 50 * ms}, r"unit_rate is 50. \* msecond; give a rate"),
    ({"settle": 100 * ms}, r"settle \(in steps of dt\) is 100. \* msecond; give a whole number"),
    ({"settle": 100.5}, "settle .* is 100.5; give a whole number"),
    ({"window": float("nan")}, "window .* is nan; give a whole number"),
    ({"seed": -1}, "seed is -1; give a whole number"),
    ({"jitter": -1}, "jitter is -1; it must be at least 0"),
    ({"membrane": 20e-3}, "membrane is 0.02; give .time constant, leak potential."),
    ({"membrane": (-1, 0)}, "membrane is -1; it must be positive"),
    ({"membrane": (1e-4, 0)}, "dt = 0.001 s is too coarse for a membrane of 0.0001 s"),
    ({"taus": 5e-3}, "taus is 0.005; give names with their values"),
    ({"unit_rates": {"error": -5}}, "unit_rates..error.. is -5; it must be positive"),
    ({"unit_rates": {"error": 0}}, "unit_rates..error.. is 0; it must be positive"),
    ({"codings": "baseline"}, "codings is 'baseline'; give signals with their codings"),
    ({"baseline": {"rate": 100}}, "baseline is .*; give Baseline"),
]


@pytest.mark.parametrize(("options", "sentence"), TIMINGS)
def test_timing_says_what_it_needs(options, sentence):
    """Every field of a Timing, in one sentence."""
    with pytest.raises(nl.InputError, match=sentence):
        nl.Timing(**options)


CALLS = [
    (lambda: build(rule="feedback_alignment"), "rule is 'feedback_alignment'; give a Rule"),
    (lambda: build(network=[4, 3, 2]), r"network is \[4, 3, 2\]; give a Network"),
    (lambda: nl.mlp([4, 2.5, 2]), "sizes is 2.5; give a whole number"),
    (lambda: build(timing="1 s"), "timing is '1 s'; give a Timing"),
    (lambda: build(biology={"delays": {}}), "biology is .*; give circuit.Biology"),
    (lambda: build(guards="all"), "guards is 'all'; give circuit.Guards"),
    (lambda: build(x=np.zeros((0, 4)), teacher=np.zeros((0, 2))), "x has no samples"),
    (lambda: build(x=[["a"] * 4]), "x is no array of numbers"),
    (lambda: build(weights={"W_9_1": np.zeros((3, 4))}), "weights names 'W_9_1'; feedback_alignment has W_1_0, W_2_1"),
    (lambda: build(weights={"W10": np.zeros((3, 4))}), "weights names 'W10'"),
    (lambda: build(weights=[1, 2]), "weights is list; give names with their matrices"),
    (lambda: build(seed=-1), "seed is -1; give a whole number"),
    (lambda: build(learning_rate=float("nan")), "learning_rate is nan; it must be positive"),
    (lambda: build(learning_rate="a"), "learning_rate is 'a'; give a number"),
    (lambda: build(timing=nl.Timing(settle=20, window=20, taus={"Q": 5e-3})), "taus names 'Q'; .* is of B, B.error, W"),
    (lambda: build(timing=nl.Timing(settle=20, window=20, unit_rates={"eror": 5})), "unit_rates names 'eror'; .* is error, rate"),
    (lambda: learner(timing=nl.Timing(settle=20, window=20, taus={"Q": 5e-3})), "taus names 'Q'"),
    (lambda: Biology(dale="yes"), "dale is 'yes'; give True or False"),
    (lambda: Guards(spikes=-1), "spikes is -1; it must be positive"),
    (lambda: Guards(residual="a"), "residual is 'a'; give a number"),
    (lambda: learner(rule="feedback_alignment"), "rule is 'feedback_alignment'"),
    (lambda: learner(timing=None), "timing is None; give a Timing"),
    (lambda: learner(biology={"delays": {}}), "biology is .*; give circuit.Biology"),
    (lambda: learner(monitors=SpikeMonitor("layer1")), "monitors is SpikeMonitor.*; give a list"),
    (lambda: learner(monitors=[SpikeMonitor("layer1", name="a/b")]), "name is 'a/b'; give the table a name without '/'"),
    (lambda: circuit.source("nowhere/x.py", RULE, NETWORK, X, TEACHER, timing=SHORT), "there is no folder 'nowhere'"),
    (lambda: circuit.draw("feedback_alignment"), "circuit is 'feedback_alignment'; give what circuit.planned"),
    (lambda: circuit.draw(circuit.planned(RULE, NETWORK, timing=SHORT), path="nowhere/x.svg"), "there is no folder 'nowhere'"),
    (lambda: circuit.parameters(circuit.planned(RULE, NETWORK, timing=SHORT)).save("nowhere/x.md"), "there is no folder 'nowhere'"),
    (lambda: pairing(stdp.pair(), [float("nan")]), "delays are not all numbers"),
    (lambda: pairing(stdp.pair(), [1] * mV), "delays is .* give times"),
    (lambda: pairing("pair", [1e-3]), "form is 'pair'; give a stdp.Form"),
    (lambda: pairing(stdp.pair(), [1e-3], 1.5), "repetitions is 1.5; give a whole number"),
]


@pytest.mark.parametrize(("call", "sentence"), CALLS)
def test_calls_say_what_they_need(call, sentence):
    """Arguments of the wrong kind, names that are not there, folders that are not there."""
    with pytest.raises(nl.InputError, match=sentence):
        call()


def test_a_learner_says_what_it_needs():
    """Samples and learning rates are looked at before anything runs."""
    made, x, teacher = learner(), np.zeros((2, 4)), np.zeros((2, 2))
    for call, sentence in (
        (lambda: made.learn(np.zeros((2, 5)), teacher, 0.1), r"x has shape \(2, 5\); .* needs \(batch, 4\)"),
        (lambda: made.learn(x[:0], teacher[:0], 0.1), "x has no samples"),
        (lambda: made.learn(np.full((2, 4), np.nan), teacher, 0.1), "x has values that are not finite"),
        (lambda: made.respond(np.full((2, 4), np.nan)), "x has values that are not finite"),
        (lambda: made.learn(x, teacher, float("nan")), "learning rate is nan"),
        (lambda: made.learn(x, teacher, {"W": -1}), "learning rate of W_1_0 is -1; it must be at least 0"),
        (lambda: made.learn(x, teacher, "a"), "learning rate is 'a'; give a number"),
    ):
        with pytest.raises(nl.InputError, match=sentence):
            call()
    assert made.seen == 0


CELLS = [
    ({"reset": None}, "it has no reset .None."),
    ({"threshold": ""}, "it has no threshold"),
    ({"refractory": -5 * ms}, "refractory is -5. . msecond; it is 0 ms or longer"),
    ({"drive_scale": float("nan")}, "drive_scale is nan"),
    ({"start": {"v": (0, 1, 2)}}, "give one value, or .lowest, highest."),
]


@pytest.mark.parametrize(("options", "sentence"), CELLS)
def test_cells_say_what_they_need(options, sentence):
    """A cell of one's own that cannot be one."""
    with pytest.raises(nl.InputError, match=sentence):
        Cell(MODEL, **{**LEAKY, **options})


CURVES = [
    (LEAKY, {"drives": 3}, "drives is 3; give .lowest, highest."),
    (LEAKY, {"drives": (float("nan"), 3)}, "drives is .nan, 3.; give"),
    (LEAKY, {"seconds": 0.3}, "seconds is 0.3; give a time with its unit"),
    (LEAKY, {"dt": 0 * ms}, "dt is 0. s; it must be positive"),
    (LEAKY, {"points": 1}, "points is 1; give a whole number"),
    ({**LEAKY, "namespace": {"tau_m": 20}}, {}, "does not have the expected unit"),  # Brian2's own sentence, not what wraps it
]


@pytest.mark.parametrize(("cell", "options", "sentence"), CURVES)
def test_measurements_say_what_they_need(cell, options, sentence):
    """Times without units, and equations whose units do not fit."""
    short = {"drives": (-1, 3), "points": 10, "seconds": 0.02 * second, "settle": 0 * ms, "dt": 0.5 * ms}
    with pytest.raises(nl.InputError, match=sentence):
        circuit.measured(Cell(MODEL, **cell), **{**short, **options})


LOOKED_AT = """
import gc, numpy as np, neurolearn as nl
from brian2 import NeuronGroup
made = nl.circuit.build(nl.rules.get("feedback_alignment"), nl.mlp([4, 3, 2]), np.ones((1, 4)), np.eye(2)[[0]],
                        timing=nl.Timing(settle=20, window=20))
print(len(made.source))
del made
NeuronGroup(1, "v : 1", name="mine")
gc.collect()
"""


def test_a_circuit_that_is_looked_at_goes_quietly():
    """Built, printed and dropped: no warnings of Brian2's for objects that did not run; its warnings of others' stay."""
    ended = subprocess.run([sys.executable, "-c", LOOKED_AT], capture_output=True, text=True, timeout=100, check=True)
    assert ended.stderr.count("never included in a network") == 1
    assert "'mine' is getting deleted" in ended.stderr


def test_a_learner_can_be_drawn(tmp_path):
    """The circuit inside a Learner is what is drawn and tabulated."""
    made = learner()
    circuit.draw(made, path=tmp_path / "x.svg")
    assert (tmp_path / "x.svg").stat().st_size > 1000
    assert circuit.parameters(made).text() == circuit.parameters(made.circuit).text()
