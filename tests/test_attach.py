"""Learning attached to a network that is there already: the user's own weights move as the rule says."""

from __future__ import annotations

import re

import brian2 as b2
import numpy as np
import pytest
from test_axons import back_doors

from neurolearn import activations, circuit, rules
from neurolearn.changes import update
from neurolearn.circuit import defaults
from neurolearn.errors import InputError
from neurolearn.network import Connection, Network
from neurolearn.timing import Timing

FA, DFA = (rules.ALL[name] for name in ("feedback_alignment", "direct_feedback_alignment"))
DT, HZ, ETA = 0.25 * b2.ms, 100 * b2.Hz, 1e-2
X, TEACHER = np.array([0.9, 0.2, 0.5]), np.array([1.0, 0.0])
SCALE = 200 * b2.pA  # of the drive, in the network with units
CELL = circuit.Cell(
    "dv/dt = (I - v)/tau : 1 (unless refractory)", threshold="v > 1", reset="v = 0", refractory=defaults.refractory,
    background=1.0, namespace={"tau": defaults.membrane_time}, start={"v": (0, 1)}, name="leaky",
)


@pytest.fixture(scope="module", autouse=True)
def numpy():
    """The user's choice of target; here the one without a compiler."""
    before, b2.prefs.codegen.target = b2.prefs.codegen.target, "numpy"
    yield
    b2.prefs.codegen.target = before


@pytest.fixture(scope="module")
def curve() -> activations.Activation:
    return circuit.measured(CELL, (-1, 5), points=100, seconds=0.7 * b2.second, settle=0.1 * b2.second, dt=DT)


class Mine:
    """A network as a user writes it: regular input, leaky cells, synaptic currents. amp: its currents have units."""

    def __init__(self, sizes, tau, masks=None, amp=False):
        rng = np.random.default_rng(0)
        one, unit = (SCALE, "amp") if amp else (1.0, "1")
        self.gain = float(HZ * tau / one)  # a weight of the rate network, per weight here
        retina = b2.NeuronGroup(sizes[0], "dv/dt = r : 1\nr : Hz", threshold="v > 1", reset="v -= 1", method="euler", dt=DT)
        retina.r, retina.v = X * HZ, rng.random(sizes[0])
        self.groups, self.synapses = [retina], []
        for k, n in enumerate(sizes[1:], 1):
            group = b2.NeuronGroup(
                n, f"dv/dt = (I/one - v)/tau_m : 1 (unless refractory)\nI = s + one : {unit}\nds/dt = -s/tau : {unit}",
                threshold="v > 1", reset="v = 0", refractory=2 * b2.ms, method="euler", dt=DT,
                namespace={"one": one, "tau": tau, "tau_m": 20 * b2.ms},
            )
            group.v = rng.random(n)
            low, high = (0.3, 1.5) if k < len(sizes) - 1 else (-0.8, 0.8)
            made = b2.Synapses(self.groups[-1], group, f"w : {unit}", on_pre="s_post += w", dt=DT)
            to, source = np.nonzero((masks or {}).get(k, np.ones((n, sizes[k - 1]))))
            order = rng.permutation(len(to))  # in whatever order the user connects
            made.connect(i=source[order], j=to[order])
            made.variables["w"].set_value(rng.uniform(low, high, len(to)) / self.gain)
            self.groups.append(group)
            self.synapses.append(made)

    def matrices(self) -> dict[str, np.ndarray]:
        """The weights as matrices (to, from) of the rate network."""
        found = {}
        for k, made in enumerate(self.synapses):
            found[f"W_{k + 1}_{k}"] = np.zeros((len(self.groups[k + 1]), len(self.groups[k])))
            found[f"W_{k + 1}_{k}"][made.j[:], made.i[:]] = np.asarray(made.w) * self.gain
        return found


def attach(mine: Mine, rule, curve, timing: Timing, **options):
    drive = options.pop("drive", None)
    area = mine.groups[1].namespace["tau"]
    return circuit.attach(
        rule, mine.groups, mine.synapses, activation=curve, drive=drive, area=area, input_unit=HZ, timing=timing,
        learning_rate=ETA, **options,
    )


def taught(mine: Mine, attached, *durations) -> list[dict[str, np.ndarray]]:
    """Changes of the user's own w, per learning rate, after each of the durations."""
    attached.teach(TEACHER)
    network, before, found = b2.Network(*mine.groups, *mine.synapses, *attached.added), mine.matrices(), []
    for duration in durations:
        network.run(duration, namespace={})
        found.append({name: (w - before[name]) / ETA for name, w in mine.matrices().items()})
    return found


def feedback(attached) -> dict[str, np.ndarray]:
    """The added pathways that do not learn, as matrices."""
    found = {}
    for s in attached.plan.synapses:
        if s.name.startswith("B"):
            found[s.name] = np.zeros(attached.program.weights[s.name].shape)
            found[s.name][s.units[1], s.units[2]] = s.w
    return found


def angle(u: np.ndarray, v: np.ndarray) -> float:
    return float(np.degrees(np.arccos(np.clip(np.sum(u * v) / np.linalg.norm(u) / np.linalg.norm(v), -1, 1))))


SPARSE = {2: np.array([[1, 1, 0, 1], [0, 1, 1, 1], [1, 1, 1, 0], [1, 0, 1, 1]])}
CASES = {"feedback alignment": (FA, [3, 4, 2], None, False), "direct, sparse, in pA": (DFA, [3, 4, 4, 2], SPARSE, True)}


@pytest.mark.parametrize("how", CASES)
def test_the_users_weights_move_as_the_rule_says(how, curve):
    """Oracle: tensor.rate of the same rule, with the curve of the same cell and the weights that the user has set.

    A cell sends 20 spikes or more in the window, so a factor is right to 5 %, or 3 degrees if the errors all lie across;
    measured 2.0 and 1.0 degrees at most, and 4 and 3 % in length. (Seen to fail with the pairs of cells of the twin in
    another order, and with the gain of the weights left out.)
    """
    rule, sizes, masks, amp = CASES[how]
    timing = Timing(dt=float(DT)).scaled(1600)
    mine = Mine(sizes, timing.tau * b2.second, masks, amp)
    start = mine.matrices()
    drive = circuit.Drive("I", SCALE, SCALE) if amp else None
    attached = attach(mine, rule, curve, timing, drive=drive)
    early, late = taught(mine, attached, attached.presentation, attached.dt)
    assert all(np.abs(change).max() <= 1e-9 for change in early.values())  # the window has not been read
    connections = tuple(
        Connection(k, k + 1, "masked", masks[k + 1]) if masks and k + 1 in masks else Connection(k, k + 1)
        for k in range(len(sizes) - 1)
    )
    network = Network(tuple(sizes), connections, activation=curve)
    rate = update(rule, network, X, TEACHER, {**start, **feedback(attached)})
    assert set(late) == {name for name in rate.changes if name.startswith("W")}
    for name, change in late.items():
        assert angle(change, rate[name]) <= 5
        assert abs(np.linalg.norm(change) / np.linalg.norm(rate[name]) - 1) <= 0.1
        assert np.allclose(change, attached.changes()[name], atol=1e-8)


def test_presentation_follows_presentation(curve):
    """Oracle: the first change; with a small step the second is nearly the same."""
    timing = Timing(dt=float(DT)).scaled(300)
    mine = Mine([3, 4, 2], timing.tau * b2.second)
    attached = attach(mine, FA, curve, timing)
    one, _, two = taught(mine, attached, attached.presentation + attached.dt, attached.presentation - 2 * attached.dt, 2 * attached.dt)
    for name in one:
        assert angle(two[name] - one[name], one[name]) <= 20
        assert np.linalg.norm(two[name]) > 1.5 * np.linalg.norm(one[name])


def test_what_is_added_speaks_in_spikes(curve):
    """Oracle: the walk through a spiking circuit. Within a cell its drive is read; at a synapse its own weight is written."""
    mine = Mine([3, 4, 2], 10 * b2.ms)
    attached = attach(mine, FA, curve, Timing(dt=float(DT)))
    doors = back_doors(b2.Network(*mine.groups, *mine.synapses, *attached.added))
    drives = [door for door in doors if re.match(r"learn_layer[12]\._?hosted_drive", door)]
    writes = [door for door in doors if re.match(r"learn_write_W_(1_0|2_1) sums w_pre\*per_unit ", door)]
    assert len(drives) >= 2 and len(writes) == 2
    assert set(doors) == {*drives, *writes}


def test_rules_with_other_pathways_attach_too(curve):
    """Backprop reads its own weights backwards; a loop settles; kickback broadcasts. They run and every weight moves."""
    for name in ("backprop", "dynamic_inversion", "kickback"):
        timing = Timing(dt=float(DT)).scaled(100)
        mine = Mine([3, 4, 1 if name == "kickback" else 2], timing.tau * b2.second)
        attached = attach(mine, rules.ALL[name], curve, timing)
        b2.Network(*mine.groups, *mine.synapses, *attached.added).run(attached.presentation + attached.dt, namespace={})
        assert all(np.abs(change).max() > 0 for change in attached.changes().values()), name


# -- what is missing ---------------------------------------------------------------------------------------------------


def test_what_a_network_lacks_is_said(curve):
    mine = Mine([3, 4, 2], 10 * b2.ms)
    retina, hidden, _ = mine.groups
    up, top = mine.synapses
    quiet = b2.NeuronGroup(4, "I : 1", dt=DT)
    other = b2.NeuronGroup(4, "I : 1", threshold="I > 1", dt=1 * b2.ms)
    fixed = b2.Synapses(retina, hidden, "w : 1 (constant)")
    fixed.connect()
    bare = b2.Synapses(retina, hidden, "w : 1")
    twice = b2.Synapses(retina, hidden, "w : 1")
    twice.connect(n=2)
    vague = b2.NeuronGroup(4, "I = x*one : 1\nx : 1", threshold="x > 1", dt=DT)
    into, out = b2.Synapses(retina, vague, "w : 1"), b2.Synapses(vague, mine.groups[2], "w : 1")
    part = b2.Synapses(retina[:2], hidden, "w : 1")
    part.connect()
    given = {
        "groups": mine.groups, "synapses": mine.synapses, "activation": curve, "area": 10 * b2.ms, "input_unit": HZ,
        "timing": Timing(dt=float(DT)),
    }
    lacks = {
        "has no threshold": {"groups": [retina, quiet, mine.groups[2]]},
        "give all groups one dt": {"groups": [retina, other, mine.groups[2]]},
        "has no variable 'J'": {"drive": circuit.Drive("J"), "output": circuit.Drive("I")},
        "that drives it; name it with output": {"output": circuit.Drive("J")},
        "they need one unit": {"drive": circuit.Drive("I", 1 * b2.pA)},
        "scale is 0": {"drive": lambda: circuit.Drive("I", 0)},
        "has no weight 'strength'": {"weight": "strength"},
        "has no weight 'w' that can be written": {"synapses": [fixed, top]},
        "has no synapses yet": {"synapses": [bare, top]},
        "several synapses between two cells": {"synapses": [twice, top]},
        "one Synapses joins two groups": {"synapses": [up, top, fixed]},
        "a whole group, not a part of it": {"synapses": [part, top]},
        "area is": {"area": 3.0},
        "rate of a signal of 1": {"input_unit": 3 * b2.ms},
        "is no cell's f-I curve": {"activation": "tanh", "drive": circuit.Drive("I")},
        "give drive=Drive": {"activation": "lif"},
        "computed with 'one', which the group": {"groups": [retina, vague, mine.groups[2]], "synapses": [into, out]},
        "they run together": {"timing": Timing()},
        "give one for each layer": {"groups": [retina]},
        "layer 1 sends no connection": {"synapses": [up]},
    }
    for sentence, change in lacks.items():
        with pytest.raises(InputError, match=sentence):
            made = {key: value() if callable(value) and key == "drive" else value for key, value in change.items()}
            options = {**given, **made}
            circuit.attach(FA, options.pop("groups"), options.pop("synapses"), **options)


def test_the_teacher_has_a_shape(curve):
    mine = Mine([3, 4, 2], 10 * b2.ms)
    attached = attach(mine, FA, curve, Timing(dt=float(DT)))
    with pytest.raises(InputError, match="needs"):
        attached.teach([1.0])


@pytest.mark.parametrize(("name", "sentence"), [
    ("difference_target_propagation", "sets potential of layer1 itself"),
    ("non_dynamic_inversion", "computes"),
    ("dynamic_inversion_learned", "noise_mirror from outside"),
])
def test_a_rule_that_cannot_be_attached_is_refused(name, sentence, curve):
    mine = Mine([3, 4, 4, 2], 10 * b2.ms)
    with pytest.raises(InputError, match=sentence):
        attach(mine, rules.ALL[name], curve, Timing(dt=float(DT)))
