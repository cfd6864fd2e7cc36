"""Between cells there are spikes and nothing else, and one cell has one axon: a walk over what Brian2 built."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import NamedTuple

import brian2 as b2
import numpy as np
import pytest
from brian2.groups.neurongroup import Resetter
from brian2.synapses.synapses import SynapticPathway
from brian2.utils.stringtools import get_identifiers
from conftest import NET, RULES, TEACHER, X, near, small
from test_circuits import FA, SHORT, build

from neurolearn import circuit
from neurolearn.changes import prepare, update
from neurolearn.circuit.built import Circuit
from neurolearn.program import Program
from neurolearn.timing import Timing

# -- between cells, spikes ---------------------------------------------------------------------------------------------


def everything(network: b2.Network) -> list:
    """All objects of a network, with those that they contain."""
    found, todo = [], list(network.objects)
    while todo:
        one = todo.pop()
        if one not in found:
            found.append(one)
            todo += one.contained_objects
    return found


def assignments(code: str) -> list[tuple[str, set[str]]]:
    """(variable, names on the right) of each statement."""
    lines = [re.sub("#.*", "", part).strip() for line in code.splitlines() for part in line.split(";")]
    parts = [re.match(r"(\w+)\s*[-+*/]?=\s*(.*)", line).groups() for line in lines if line]
    return [(name, get_identifiers(value)) for name, value in parts]


class Codes(NamedTuple):
    """The statements of a group: on its own events, on a clock, and the right sides of its equations."""

    events: list[tuple[str, set[str]]]
    clock: list[tuple[str, set[str]]]
    equations: dict[str, set[str]]

    @classmethod
    def of(cls, group) -> Codes:
        runners = [one for one in group.contained_objects if type(one) is b2.CodeRunner]
        resetters = [one for one in group.contained_objects if isinstance(one, Resetter)]
        return cls(
            [line for one in resetters for line in assignments(group.event_codes[one.event])],
            [line for one in runners for line in assignments(one.abstract_code)],
            {name: get_identifiers(eq.expr.code) for name, eq in group.equations.items() if eq.expr is not None},
        )


def counts(group: b2.NeuronGroup) -> set[str]:
    """Variables that only the cell's own spikes change: counts, traces that decay, filters of these, what is latched."""
    codes = Codes.of(group)
    shared = {name for name, eq in group.equations.items() if "shared" in eq.flags}
    variables = set(group.equations) - shared
    found = {name for name, _ in codes.events} | {name for name, _ in codes.clock}
    filters = [(name, reads - {name}) for name, reads in codes.equations.items()]
    while True:
        wrong = {name for name, reads in [*codes.events, *codes.clock, *filters] if reads & (variables - found)}
        if not found & wrong:
            counted = {name for name, _ in codes.events}
            return {n for n in found if n in counted or any(n == name and r & counted for name, r in codes.clock)}
        found -= wrong


def of_synapses(s: b2.Synapses, broadcasts: set[tuple[str, str, str]]) -> list[str]:
    """What synapses carry that is not spikes of the cell that sends."""
    found, variables = [], {*s.equations, *(name for name, v in s.variables.items() if v.owner is s)}
    for updater in s.summed_updaters.values():
        read = get_identifiers(updater.expression.code)
        if {(s.source.name, s.target.name, name) for name in read if name.endswith("_pre")} - broadcasts:
            found.append(f"{s.name} sums {updater.expression.code} without a spike")
    codes = Codes.of(s)
    reads = set().union(*codes.equations.values(), *(names | {name} for name, names in codes.clock))
    for equation in (s.event_driven or {}).values():
        reads |= get_identifiers(equation.expr.code) if equation.expr is not None else set()
    graded = {name for name in reads if name.endswith("_pre") and name[:-4] not in counts(s.source)}
    found += [f"{s.name} reads {name} without a spike" for name in sorted(graded)]
    for way in s._pathways:
        written = {name for name, _ in assignments(way.code)}
        read = set().union(*(names for _, names in assignments(way.code)))
        near_end = "_pre" if way.prepost == "pre" else "_post"
        other = {n for n in read if n.endswith(near_end)}
        if way.prepost == "post":  # names without an end are of the synapse or of the postsynaptic cell
            other |= {n for n in read if n in s.target.variables and n not in variables and n not in s.namespace}
        found += [f"a spike through {s.name} carries {name}" for name in sorted(other)]
        found += [f"a spike through {s.name} changes {name}" for name in sorted(written) if name.endswith(near_end)]
        if way.event not in way.source.events:
            found.append(f"{s.name} listens to {way.event}, which is no event of its source")
    return found


def of_group(group: b2.NeuronGroup) -> list[str]:
    """What a group reads beyond its own variables and constants."""
    found = [f"{group.name}.{name} is linked" for name, eq in group.equations.items() if "linked" in eq.flags]
    foreign = [n for n, v in group.variables.items() if getattr(v, "owner", None) not in (group, group.clock, None)]
    found += [f"{group.name}.{name} belongs to another group" for name in foreign]
    return found + [f"{group.name} calls {name}" for name, value in (group.namespace or {}).items() if callable(value)]


def back_doors(network: b2.Network, broadcasts: set[tuple[str, str, str]] = frozenset()) -> list[str]:
    """What crosses between cells other than by a spike. broadcasts: (from, to, variable) declared as such."""
    found = []
    passive = (b2.SpikeGeneratorGroup, b2.CodeRunner, b2.StateMonitor, b2.EventMonitor, SynapticPathway)
    for one in everything(network):
        if isinstance(one, b2.Synapses):
            found += of_synapses(one, broadcasts)
        elif isinstance(one, b2.NeuronGroup):
            found += of_group(one)
        elif not isinstance(one, passive):
            found.append(f"{one.name} is a {type(one).__name__}")
    return found


def broadcasts(program: Program) -> set[tuple[str, str, str]]:
    titles = [cell.title for cell in program.cells]
    return {
        (titles[path.source], cell.title, f"{path.signal}_pre")
        for cell in program.cells for c in cell.compartments for path in c.paths if path.kind == "broadcast"
    }


WALKS = [(name, placement) for placement in ("unit", "cells") for name in RULES]
BROADCASTING = {"third_factor", "kickback"}


@pytest.mark.parametrize(("name", "placement"), WALKS)
def test_nothing_but_spikes_crosses_between_cells(name, placement):
    """Oracle: the objects of the built Network, one by one. A rule that broadcasts declares it."""
    net = small(RULES[name])
    built = build(RULES[name], "spiking", placement, network=net)
    declared = broadcasts(built.program)
    assert bool(declared) == (name in BROADCASTING)
    assert back_doors(built.network, declared) == []
    groups = [g for g in built.network.objects if isinstance(g, b2.NeuronGroup)]
    signals = {g.name: {re.fullmatch("(.+)_(on|off)", event)[1] for event in g.events} for g in groups}
    assert any(signals.values())
    if placement == "cells":
        assert max(map(len, signals.values())) == 1  # one cell, one axon


def test_poisson_input_is_no_back_door():
    assert back_doors(build(FA, timing=replace(SHORT, encoding="poisson")).network) == []


def test_a_rate_circuit_is_not_taken_for_a_spiking_one():
    assert "sums" in " ".join(back_doors(build(FA, "rate").network))


def pair(synapses: str = "", clock: str = "", on_pre: str = "", on_post: str = "", cell: str = "") -> b2.Network:
    """Two groups and synapses between them; a's x is graded, its sent counts spikes."""
    equations = "dx/dt = (drive - x)/(10*ms) : 1\ndrive : 1\nsent : 1"
    a = b2.NeuronGroup(2, equations, events={"x_on": "x > 1"}, method="euler", name="a")
    a.run_on_event("x_on", "x -= 1; sent += 1")
    if cell:
        a.run_regularly(cell, dt=1 * b2.ms)
    b = b2.NeuronGroup(2, "y : 1", threshold="y > 1", reset="y = 0", name="b")
    given = {"on_pre": (on_pre, "x_on"), "on_post": (on_post, "spike")}
    ways = {key: {f"{key}_1": code} for key, (code, _) in given.items() if code}
    if ways:
        ways["on_event"] = {f"{key}_1": event for key, (code, event) in given.items() if code}
    s = b2.Synapses(a, b, f"w : 1\n{synapses}", method="euler", name="s", **ways)
    if clock:
        s.run_regularly(clock, dt=1 * b2.ms)
    return b2.Network(a, b, s)


def linked() -> b2.Network:
    a = b2.NeuronGroup(2, "x : 1", name="a")
    b = b2.NeuronGroup(2, "y : 1 (linked)", name="b")
    b.y = b2.linked_var(a, "x")
    return b2.Network(a, b)


def called() -> b2.Network:
    clamp = b2.TimedArray(np.zeros(3), dt=1 * b2.ms)
    return b2.Network(b2.NeuronGroup(1, "y = clamp(t) : 1", namespace={"clamp": clamp}, name="b"))


HONEST = {
    "spikes": lambda: pair(on_pre="y_post += w"),
    "spikes that go back": lambda: pair(on_post="x_pre += w"),
    "a count at the synapse": lambda: pair(clock="w += sent_pre*y_post", on_pre="y_post += w"),
    "a count that is cleared": lambda: pair(clock="w += sent_pre*y_post", cell="sent *= 0"),
}
DOORS = {
    "a graded sum": lambda: pair("y_post = w*x_pre : 1 (summed)"),
    "a linked variable": linked,
    "a network operation": lambda: b2.Network(b2.NetworkOperation(lambda: None)),
    "a clock that reads the sender": lambda: pair(clock="w += x_pre*y_post"),
    "a spike that carries a value": lambda: pair(on_pre="y_post += w*x_pre"),
    "a spike that carries a value back": lambda: pair(on_post="x_pre += w*y_post"),
    "a spike that carries an unnamed value back": lambda: pair(on_post="x_pre += w*y"),
    "a spike that changes its sender": lambda: pair(on_pre="x_pre = 0"),
    "a name in between": lambda: pair("seen = x_pre : 1", clock="w += seen"),
    "a filter of the sender": lambda: pair("dseen/dt = (x_pre - seen)/(5*ms) : 1 (clock-driven)", on_pre="y_post += w"),
    "a count that is none": lambda: pair(clock="w += sent_pre", cell="sent = x"),
    "a given array": called,
}


@pytest.mark.parametrize("how", HONEST)
def test_the_walk_lets_spikes_and_counts_pass(how):
    assert back_doors(HONEST[how]()) == []


@pytest.mark.parametrize("how", DOORS)
def test_the_walk_finds(how):
    assert back_doors(DOORS[how]())


# -- one cell, one axon ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["feedback_alignment", "direct_feedback_alignment", "dtp_learned_top", "backprop",
                                  "kickback", "gait_prop", "infomax_square", "auxiliary_output_sdtp"])
def test_cells_come_to_the_settled_algebra(name):
    """Oracle: tensor.rate; tolerance 3 %: a window of 1000 steps counts a signal of 1 to within 1 spike in 200."""
    net = small(RULES[name])
    x, teacher = X[:, : net.sizes[0]], np.eye(max(3, net.sizes[-1]))[[0, 2]][:, : net.sizes[-1]]
    rate = update(RULES[name], net, x, teacher)
    spikes = update(RULES[name], net, x, teacher, realisation="circuit.spiking", placement="cells")
    assert spikes.timing.settle + spikes.timing.window == 2000
    assert set(spikes.changes) == set(rate.changes)
    assert {n: near(spikes[n], rate[n]) for n in rate.changes if near(spikes[n], rate[n]) > 0.03} == {}


def axons(program: Program, weight: str) -> set[tuple[int, str]]:
    """(cell, signal) of all axons that a change depends on; potentials and currents carry over from phase to phase."""
    found, seen, todo = set(), set(), []

    def arrives(phase: str, cell: int, signal: str) -> None:
        found.add((cell, signal))
        earlier = program.phases[: program.phases.index(phase) + 1]
        todo.extend((p, cell, signal) for p in earlier)

    def at(cell: int, name: str, phase: str) -> tuple[str, str]:
        latch = program.latch(cell, name)
        return (latch.phase, latch.signal) if latch else (phase, name)

    for plastic in (p for p in program.plastics if p.weight == weight):
        todo += [(plastic.phase, plastic.target, name) for name in plastic.reads("post")]
        for name in plastic.reads("pre") if plastic.source is not None else ():
            phase, signal = at(plastic.source, name, plastic.phase)
            arrives(phase, plastic.source, signal)
    while todo:
        place = todo.pop()
        if place in seen:
            continue
        seen.add(place)
        phase, k, name = place
        if program.latch(k, name):
            phase, name = at(k, name, phase)
            todo.append((phase, k, name))
        elif program.cells[k].has(name):
            form = program.cells[k].signal(name).forms.get(phase)
            todo += [(phase, k, used) for used in form.names()] if form else []
        for compartment in program.cells[k].compartments:
            if compartment.name == name:
                for path in compartment.paths:
                    arrives(phase, path.source, path.signal)
    return found


@pytest.mark.parametrize("name", ["feedback_alignment", "dtp_learned_top"])
def test_silencing_a_population_changes_what_hears_it_and_nothing_else(name):
    """Oracle: who hears whom, followed through the placed program.

    One sample in many copies of the net, all equal to the bit; in every copy but the first one population is silent.
    """
    program = build(RULES[name], "spiking", "cells").program
    sending = [(k, cell) for k, cell in enumerate(program.cells) if cell.sent]
    copies = len(sending) + 1
    program, weights, given = prepare(RULES[name], NET, np.tile(X[:1], (copies, 1)), np.tile(TEACHER[:1], (copies, 1)))
    alike = {key: np.tile(value[:1], (copies, 1)) for key, value in given.items()}
    built = circuit.make(program, weights, alike, Timing(settle=60, window=60), placement="cells")
    groups = {cell.title: built.objects[cell.title] for cell in built.program.cells}
    for group in groups.values():
        for variable in (v for v in group.variables if v.startswith("v_") and v != "v_th" and v != "v_leak"):
            value = getattr(group, variable)[:]
            setattr(group, variable, np.tile(value[: len(group) // copies], copies))
    for place, (_, cell) in enumerate(sending, start=1):
        groups[cell.title].v_th[place * cell.size : (place + 1) * cell.size] = 1e9
    before = {weight: parts(built, weight) for weight in built.program.plastic_weights()}
    built.run()
    after = {weight: parts(built, weight) for weight in before}
    moved = {weight: after[weight] - before[weight] for weight in before}
    assert all(np.abs(change[0]).max() > 0 for change in moved.values())
    reach = {weight: axons(built.program, weight) for weight in moved}
    for place, (k, cell) in enumerate(sending, start=1):
        changed = {weight for weight, change in moved.items() if not np.array_equal(change[place], change[0])}
        assert changed == {weight for weight, heard in reach.items() if (k, cell.sent[0]) in heard}, cell.title
        assert changed
    assert any((k, cell.sent[0]) not in heard for k, cell in sending for heard in reach.values())


def parts(built: Circuit, weight: str) -> np.ndarray:
    """A weight as it stands, one row for each copy of the net."""
    if weight in built.objects:
        value = built.objects[weight].w[:]
    else:
        title, bias = next((c.title, b) for c in built.program.cells for b, w in c.biases.items() if w == weight)
        value = getattr(built.objects[title], bias)[:]
    return np.array(value).reshape(built.plan.copies, -1)
