"""The table of a circuit's parameters that a paper prints, made from the plan that Brian2 runs.

Sections and their order are those of Nordlie, Gewaltig and Plesser 2009, doi:10.1371/journal.pcbi.1000456. Counts are of
one copy of the network (every sample of a batch has a copy of its own); what has a unit is given with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from neurolearn.circuit.look.captions import weight_label
from neurolearn.circuit.look.models import Model, models, thresholds
from neurolearn.circuit.look.sketch import KINDS, Edge, Sketch, placed, sketch, whole
from neurolearn.circuit.look.tables import Cell, Parameters, Quantity, Section, said
from neurolearn.circuit.plan import CircuitPlan, Planned, SynapsesPlan
from neurolearn.equations import show
from neurolearn.program import Plastic, Program

UNITS = {"second": "s", "hertz": "Hz", "volt": "V", "amp": "A", "farad": "F", "siemens": "S", "ohm": "Ω"}
KIND = {
    "input": "input",
    "rate": "principal cells",
    "other": "further axon of a unit",
    "error": "error or target cells",
    "source": "spikes drawn beforehand",
}
FORM = {"all_to_all": "all to all", "one_to_one": "one to one", "broadcast": "broadcast", "relay": "one to one"}
OUTSIDE = {
    "data": "input of the presentation, held while it lasts",
    "teacher": "label of the presentation, held while it lasts",
    "noise": "one normal number for each cell and presentation",
    "uniform": "one uniform number for each cell and presentation",
    "polarity": "sign of what the cell sends, for ever",
    "held": "a signal given from outside",
}


def parameters(circuit: Planned) -> Parameters:
    """The parameters of a built ``Circuit``, of a ``Learner``, or of what ``planned`` returns."""
    circuit = whole(circuit)
    drawn, program, plan = sketch(circuit), placed(circuit), circuit.plan
    times = _times(plan, program, getattr(circuit, "samples", 1))
    found = models(plan)
    sections = (
        _summary(drawn, program, plan, times, found),
        _populations(drawn, program, plan),
        _connectivity(drawn, plan),
        _neurons(plan, found),
        _synapses(program, plan),
        _plasticity(program, plan),
        _constants(program, plan, found),
        _input(program, plan),
        _measurements(program, plan, times),
    )
    return Parameters(f"{drawn.title}: {drawn.about}", tuple(s for s in sections if s.rows))


def _spikes(plan: CircuitPlan) -> bool:
    return any(group.events for group in plan.groups)


def _constant(plan: CircuitPlan, name: str) -> Cell:
    """A constant of the namespace with its unit."""
    value, unit = plan.namespace[name]
    return Quantity(value, UNITS.get(unit, unit)) if unit else float(value)


def _times(plan: CircuitPlan, program: Program, samples: int) -> dict[str, Quantity]:
    """Step, phase, window and presentation; samples: that follow one another in the plan's time."""
    period = round(plan.period / plan.dt) * plan.dt  # of a stream it is a little less
    phase = plan.ticks * period / len(program.phases) / samples
    found = {"time step": plan.dt, "phase": phase}
    if _spikes(plan):
        found |= {"settling before the window": phase - period, "window": period}
    found["presentation"] = phase * len(program.phases)
    return {name: Quantity(value, "s") for name, value in found.items()}


def _summary(
    drawn: Sketch, program: Program, plan: CircuitPlan, times: dict[str, Quantity], found: list[Model]
) -> Section:
    spiking, names = _spikes(plan), [n.name for n in drawn.nodes]
    plastic = [e for e in drawn.edges if e.plastic]
    trains = sum(g.size * len(g.events) for g in plan.groups) // plan.copies
    rows = [
        ("populations", f"{len(names)}: {', '.join(names)}"),
        ("spike trains", str(trains) if spiking else ""),
        ("cells per unit", str(program.crowd) if getattr(program, "crowd", 1) > 1 else ""),
        ("topology", f"layered, {program.network}; no positions"),
        ("connectivity", ", ".join(_counted(_pattern(e, drawn) for e in drawn.edges))),
        ("neuron model", "; ".join(dict.fromkeys(model.name for model in found)) or "leaky rate unit"),
        ("synapse model", "exponential current" if spiking else "graded signal onto a leaky current"),
        (
            "plasticity",
            f"{len(plastic)} of {len(drawn.edges)} Synapses, read once at the end of a phase" if plastic else "none",
        ),
        ("input", ", ".join(dict.fromkeys(name for n in drawn.nodes for name in n.outside))),
        ("phases", ", ".join(program.phases)),
        *((name, str(value)) for name, value in times.items()),
        ("integration", "forward Euler" + ("; a spike takes one time step to its synapses" if spiking else "")),
        (
            "copies",
            "1; samples follow one another" if plan.timed else f"{plan.copies}, of one sample each, side by side",
        ),
    ]
    return Section("Model summary", ("what", "value"), tuple(row for row in rows if row[1]))


def _counted(words) -> Iterator[str]:
    words = list(words)
    return (f"{words.count(word)} {word}" for word in dict.fromkeys(words))


def _populations(drawn: Sketch, program: Program, plan: CircuitPlan) -> Section:
    rows = []
    cells = {cell.title: cell for cell in program.cells}
    for node in sorted(drawn.nodes, key=lambda n: (n.row, KINDS.index(n.kind))):
        cell = cells.get(node.name)
        lines = dict.fromkeys(line for s in cell.signals for line in s.lines.values()) if cell else {}
        names = [c.name for c in cell.compartments] if cell else []
        sends = ", ".join(name for name, _ in node.sends) or "none"
        rows.append((node.name, KIND[node.kind], node.size, sends, ", ".join(names) or "none", "; ".join(lines)))
    return Section("Populations", ("name", "kind", "units", "sends", "compartments", "computes"), tuple(rows))


def _connectivity(drawn: Sketch, plan: CircuitPlan) -> Section:
    rows = []
    for edge in drawn.edges:
        s = next(s for s in plan.synapses if s.name == edge.name)
        weights = "none" if s.w is None else f"{np.mean(s.w):.3g} ± {np.std(s.w):.3g}"
        fan = (_fan(s.j), _fan(s.i))
        pattern = _pattern(edge, drawn)
        learns = "plastic" if edge.plastic else "copy" if edge.copy else "fixed"
        rows.append((edge.name, edge.source, edge.target, edge.way, pattern, edge.count, *fan, weights,
                     learns, _delay(s, plan, edge)))  # fmt: skip
    head = ("name", "source", "target", "way", "pattern", "synapses", "fan-in", "fan-out", "weights, mean ± sd", "learning",
            "delay")  # fmt: skip
    return Section("Connectivity", head, tuple(rows))


def _pattern(edge: Edge, drawn: Sketch) -> str:
    """Who is connected to whom; of a matrix with gaps, how much of it is there."""
    rows, columns = drawn.node(edge.target).size, drawn.node(edge.source).size
    if edge.form != "all_to_all" or edge.count == rows * columns:
        return FORM[edge.form]
    if edge.source == edge.target and edge.count == rows * (rows - 1):
        return "all to all but itself"
    return f"sparse, {100 * edge.count / (rows * columns):.3g} %"


def _fan(ends: np.ndarray) -> float:
    """Mean number of synapses of the cells that have any."""
    return float(len(ends) / len(np.unique(ends))) if len(ends) else 0.0


def _delay(s: SynapsesPlan, plan: CircuitPlan, edge: Edge) -> Cell:
    """From a spike to the change of the current: the delays that the Synapses have, after the step that a spike takes."""
    if not (s.on_pre or s.on_post):
        return "none: graded"
    every = sorted(
        {round(s.delays.get(n, 0.0) / plan.dt) + 1 for n in (*s.on_pre, *s.on_post) if not n.startswith("learn_")}
    )
    if not every:
        return "none: only learns"
    if len(every) == 1:
        return Quantity(every[0] * plan.dt, "s")
    return " to ".join(str(Quantity(steps * plan.dt, "s")) for steps in (every[0], every[-1]))


def _neurons(plan: CircuitPlan, found: list[Model]) -> Section:
    rows = []
    for model in found:
        used = [f"{short} = {said(_constant(plan, name))}" for name, short in model.constants.items()]
        used += [_over_cells("v_th", thresholds(plan), "")] if "v_th" in model.threshold else []
        spike = f"spike if {model.threshold}; {model.reset}"
        rows.append((model.name, model.dynamics, spike, ", ".join(used), "; ".join(model.cells)))
    return Section("Neuron model", ("model", "dynamics", "threshold and reset", "constants", "cells"), tuple(rows))


def _over_cells(name: str, values: np.ndarray, unit: str) -> str:
    """One value, or mean and standard deviation over cells."""
    mean, spread = (str(Quantity(float(f(values)), unit)) if unit else f"{f(values):.6g}" for f in (np.mean, np.std))
    return f"{name} = {mean}" + (f" ± {spread} over cells" if np.ptp(values) else "")


def _synapses(program: Program, plan: CircuitPlan) -> Section:
    found: dict[str, list] = {}
    known = {c.name for cell in program.cells for c in cell.compartments}
    for group in plan.groups:
        for line in group.equations:
            match = re.match(r"d(\w+)/dt = (.*?) : 1\s*(?:#\s*(.*))?$", line)
            if match and match[1] in known:
                found.setdefault(match[1], [match[2], match[3] or "", []])[2].append(group.name)
    rows = []
    for name, (right, call, where) in found.items():
        compartment = next(c for cell in program.cells for c in cell.compartments if c.name == name)
        jumps = {f"jump_{compartment.pathway}_{p.signal}_" for p in compartment.paths}
        kicks = sorted({v for n, (v, _) in plan.namespace.items() if n.startswith(tuple(jumps))})
        kick = " to ".join(f"{v:.4g}" for v in dict.fromkeys((kicks[0], kicks[-1]))) if kicks else "none"
        rows.append((name, call, f"d{name}/dt = {right}", _constant(plan, f"tau_{name}"), kick, ", ".join(where)))
    head = ("compartment", "receives", "dynamics", "time constant", "jump per spike and weight", "cells")
    return Section("Synapse model", head, tuple(rows))


def _plasticity(program: Program, plan: CircuitPlan) -> Section:
    biases = {w: cell.title for cell in program.cells for w in cell.biases.values()}
    rows = []
    for plastic in program.plastics:
        bias = plastic.source is None
        where = biases.get(plastic.weight, "") if bias else plastic.weight
        states = "; ".join(f"d{s.name}/dt = {show(s.expr)}" for s in plastic.states)
        reads = (", ".join(sorted(plastic.reads(side))) or "none" for side in ("post", "pre"))
        text = plastic.line if _form(plastic) else f"Δ = {show(plastic.expr)}"
        name = f"bias {plastic.weight}" if bias else weight_label(plastic.weight)
        how = _evaluated(plan, plastic.weight) if not bias else "once, from window means" if _spikes(plan) else "once"
        rows.append((name, where, plastic.phase, f"{text}; {states}" if states else text, *reads, how))
    head = ("weight", "where", "phase", "change", "reads at post", "reads at pre", "evaluated")
    return Section("Plasticity", head, tuple(rows))


def _form(plastic: Plastic) -> bool:
    """Whether a form such as STDP took the place of the rule's product."""
    return ": on_pre " in plastic.line


def _evaluated(plan: CircuitPlan, weight: str) -> str:
    """When and from what a change is computed, by what stands at the synapse."""
    s = next(s for s in plan.synapses if s.name == weight)
    if any(line.startswith("dchange/dt") for line in s.model):
        return "in every step of the window, from filtered spikes"
    if any(name.startswith("learn_") for name in (*s.on_pre, *s.on_post)):
        return "at the spikes of both ends"
    if _spikes(plan):
        return "once, from window means (post) and counts of spikes (pre)"
    return "once, from settled signals"


def _constants(program: Program, plan: CircuitPlan, found: list[Model]) -> Section:
    """Constants of the rule, what a circuit adds for learning, and whatever no other section says."""
    rows = [(name, "of the rule", _constant(plan, name)) for name in (*program.constants, *program.times)]
    if program.plastics:
        what = "w += learning_rate Δ, after the last phase; w is constant before"
        rate = _constant(plan, "learning_rate") if "learning_rate" in plan.namespace else "given to each segment"
        rows.append(("learning_rate", what, rate))
    elsewhere = set().union(*(model.names for model in found)) | {"window", *(row[0] for row in rows)}
    elsewhere |= {f"tau_{c.name}" for cell in program.cells for c in cell.compartments}
    code = [line for g in plan.groups for line in g.equations] + [line for s in plan.synapses for line in s.model]
    code += [line for s in plan.synapses for line in (*s.on_pre.values(), *s.on_post.values())]
    code += [line for o in (*plan.groups, *plan.synapses) for part in o.regular for line in part.code]
    text = "\n".join([*code, *(line for g in plan.groups for line in g.on_event.values())])
    left = [n for n in plan.namespace if n not in elsewhere and not n.startswith(("unit_rate_", "jump_"))]
    rows += [(n, "of the circuit", _constant(plan, n)) for n in left if re.search(rf"\b{n}\b", text)]
    for name in dict.fromkeys(n for g in plan.groups for n in g.values if n.startswith("own_tau_")):
        drawn = np.concatenate([np.ravel(g.values[name]) for g in plan.groups if name in g.values])
        rows.append((name, "of each cell", _over_cells("", drawn, "s").removeprefix(" = ")))
    return Section("Constants", ("name", "what", "value"), tuple(rows))


def _input(program: Program, plan: CircuitPlan) -> Section:
    rows = []
    for cell in program.cells:
        for name in cell.externals:
            kind, _, phase = name.partition("_")
            when = phase if kind in ("noise", "uniform") and phase else "all"
            rows.append((name, cell.title, when, OUTSIDE.get(kind, "given from outside")))
    noise = [(n, g.name) for g in plan.groups for n in g.values if n.startswith("background_")]
    rows += [(n, where, "all", "noise current, of every cell its own") for n, where in noise]
    rows += [(s.name, f"{s.name}_relay", "all", "Poisson spikes, drawn beforehand") for s in plan.spikes]
    return Section("Input", ("what", "into", "phase", "how"), tuple(rows))


def _measurements(program: Program, plan: CircuitPlan, times: dict[str, Quantity]) -> Section:
    rows: list[tuple[Cell, ...]] = []
    for name in plan.namespace:
        match = re.match(r"unit_rate_(\w+)_(\d+)$", name)
        if match:
            where = program.cells[int(match[2])]
            how = "ON minus OFF" if f"{match[1]}_off" in plan.groups[int(match[2])].events else "all"
            rows.append((f"spikes of {match[1]}", where.title, f"{how}; per unit of signal", _constant(plan, name)))
    read = "window" if _spikes(plan) else "phase"
    what = "window mean of graded signals, count of spikes" if _spikes(plan) else "settled signals"
    rows.append((what, "synapses that learn", f"at the end of each phase ({', '.join(program.phases)})", times[read]))
    rows.append(("weights", "every Synapses", "before and after", times["presentation"]))
    return Section("Measurements", ("what", "where", "how", "value"), tuple(rows))
