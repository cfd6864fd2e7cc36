"""The table of a circuit's parameters that a paper prints, made from the plan that Brian2 runs.

Sections and their order are those of Nordlie, Gewaltig and Plesser 2009, doi:10.1371/journal.pcbi.1000456. Counts are of
one copy of the network (every sample of a batch has a copy of its own); what has a unit is given with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from neurolearn.circuit.captions import weight_label
from neurolearn.circuit.plan import CircuitPlan, GroupPlan, Planned, SynapsesPlan
from neurolearn.circuit.sketch import KINDS, Edge, Sketch, placed, sketch
from neurolearn.circuit.tables import Cell, Parameters, Quantity, Section, said
from neurolearn.equations import show
from neurolearn.program import Program

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
    """The parameters of a built ``Circuit``, or of what ``planned`` returns."""
    drawn, program, plan = sketch(circuit), placed(circuit), circuit.plan
    times = _times(plan, program, getattr(circuit, "samples", 1))
    sections = (
        _summary(drawn, program, plan, times),
        _populations(drawn, program, plan),
        _connectivity(drawn, plan),
        _neurons(plan),
        _synapses(program, plan),
        _plasticity(program, plan),
        _constants(program, plan),
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


def _summary(drawn: Sketch, program: Program, plan: CircuitPlan, times: dict[str, Quantity]) -> Section:
    spiking, names = _spikes(plan), [n.name for n in drawn.nodes]
    plastic = [e for e in drawn.edges if e.plastic]
    trains = sum(g.size * len(g.events) for g in plan.groups) // plan.copies
    rows = [
        ("populations", f"{len(names)}: {', '.join(names)}"),
        ("spike trains", str(trains) if spiking else ""),
        ("topology", f"layered, {program.network}; no positions"),
        ("connectivity", ", ".join(_counted(_pattern(e, drawn) for e in drawn.edges))),
        ("neuron model", "; ".join(dict.fromkeys(row[0] for row in _neurons(plan).rows)) or "leaky rate unit"),
        ("synapse model", "exponential current" if spiking else "graded signal onto a leaky current"),
        (
            "plasticity",
            f"{len(plastic)} of {len(drawn.edges)} Synapses, read once at the end of a phase" if plastic else "none",
        ),
        ("input", ", ".join(dict.fromkeys(name for n in drawn.nodes for name in n.outside))),
        ("phases", ", ".join(program.phases)),
        *((name, str(value)) for name, value in times.items()),
        ("integration", "forward Euler" + ("; a spike takes one time step to its synapses" if spiking else "")),
        ("copies", "1; samples follow one another" if plan.timed else f"{plan.copies}, of one sample each, side by side"),
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
    given = getattr(s, "delays", None) or {}
    every = sorted({round(given.get(name, 0.0) / plan.dt) + 1 for name in (*s.on_pre, *s.on_post)})
    if len(every) == 1:
        return Quantity(every[0] * plan.dt, "s")
    return " to ".join(str(Quantity(steps * plan.dt, "s")) for steps in (every[0], every[-1]))


def _neurons(plan: CircuitPlan) -> Section:
    """One row for each way of sending; ``x`` stands for the signal, ``U`` for its spikes/s per unit."""
    found: dict[tuple[str, ...], list[str]] = {}
    for k, group in enumerate(plan.groups):
        for signal in dict.fromkeys(event.rpartition("_")[0] for event in group.events):
            found.setdefault(_model(group, signal, k), []).append(f"{group.name}: {signal}")
    names = [n for n in plan.namespace if n in ("tau_mem", "v_leak") or n.endswith("_of_cell")]
    rows = []
    for (model, dynamics, threshold, reset), where in found.items():
        text = f"{dynamics}; {threshold}; {reset}"
        used = [f"{n} = {said(_constant(plan, n))}" for n in names if re.search(rf"\b{n}\b", text)]
        drawn = np.concatenate([np.ravel(g.values["v_th"]) for g in plan.groups if "v_th" in g.values])
        spread = f" ± {np.std(drawn):.3g}" if np.ptp(drawn) else ""
        used = ", ".join([*used, *([f"v_th = {np.mean(drawn):.6g}{spread}"] if "v_th" in threshold else [])])
        rows.append((model, dynamics, f"spike if {threshold}; {reset}", used, "; ".join(where)))
    return Section("Neuron model", ("model", "dynamics", "threshold and reset", "constants", "cells"), tuple(rows))


def _model(group: GroupPlan, signal: str, k: int) -> tuple[str, str, str, str]:
    """(name, dynamics, threshold, reset) of the ON cells of a signal, in the text that Brian2 runs."""

    def short(text: str) -> str:
        text = re.sub(rf"\bunit_rate_{signal}_{k}\b", "U", text).replace(f"_{signal}", "_x")
        return re.sub(rf"\b{signal}\b", "x", text).replace(f"*{group.name}", "")

    on = f"v_{signal}_on"
    mine = rf"d?{on}\b|d?rest_{signal}\b|d?\w+_of_{signal}\b|dsince_lastspike_of_{signal}\b"
    lines = [line.split(" : ")[0] for line in group.equations if re.match(mine, line)]
    if any(f"_of_{signal}" in line for line in lines):
        reset = [
            short(p.strip()) for p in group.on_event[f"{signal}_on"].split(";") if f"_of_{signal}" in p.split("=")[0]
        ]
        return "cell of its own", short("; ".join(lines)), short(group.events[f"{signal}_on"]), "; ".join(reset)
    pair = f"{signal}_off" in group.events
    rests = any(line.startswith("drest_") for line in lines)
    leaky = any(line.startswith("d") for line in lines)
    name = (
        "relay of drawn spikes" if not leaky else "leaky integrate-and-fire" if rests or not pair else "opponent pair"
    )
    code = [part.strip() for part in group.on_event[f"{signal}_on"].split(";")]
    reset = "; ".join(short(part) for part in code if part.startswith(("v_", "rest_")))
    return name, short("; ".join(lines)) or "none", short(group.events[f"{signal}_on"]), reset


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
    post, pre = ("window mean of ", "own spikes: ") if _spikes(plan) else ("", "")
    biases = {w: cell.title for cell in program.cells for w in cell.biases.values()}
    rows = []
    for plastic in program.plastics:
        where = biases.get(plastic.weight, "") if plastic.source is None else plastic.weight
        states = "; ".join(f"d{s.name}/dt = {show(s.expr)}" for s in plastic.states)
        reads = [", ".join(sorted(plastic.reads(side))) for side in ("post", "pre")]
        text = f"Δ = {show(plastic.expr)}" + (f"; {states}" if states else "")
        rows.append((weight_label(plastic.weight) if plastic.source is not None else f"bias {plastic.weight}", where,
                     plastic.phase, text, post + reads[0] if reads[0] else "none",
                     pre + reads[1] if reads[1] else "none"))  # fmt: skip
    head = ("weight", "where", "phase", "change", "reads of the postsynaptic cell", "reads of the presynaptic cell")
    return Section("Plasticity", head, tuple(rows))


def _constants(program: Program, plan: CircuitPlan) -> Section:
    """Constants of the rule, and what a circuit adds for learning."""
    rows = [(name, "of the rule", _constant(plan, name)) for name in (*program.constants, *program.times)]
    if any(p.states for p in program.plastics) and "tau_trace" in plan.namespace:
        rows.append(("tau_trace", "of the spikes that synaptic states hear", _constant(plan, "tau_trace")))
    if program.plastics:
        what = "w += learning_rate Δ, after the last phase; w is constant before"
        rate = _constant(plan, "learning_rate") if "learning_rate" in plan.namespace else "given to each segment"
        rows.append(("learning_rate", what, rate))
    return Section("Constants", ("name", "what", "value"), tuple(rows))


def _input(program: Program, plan: CircuitPlan) -> Section:
    rows = []
    for cell in program.cells:
        for name in cell.externals:
            kind, _, phase = name.partition("_")
            when = phase if kind in ("noise", "uniform") and phase else "all"
            rows.append((name, cell.title, when, OUTSIDE.get(kind, "given from outside")))
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
