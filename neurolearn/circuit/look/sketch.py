"""A circuit as nodes and edges, for a drawing: one node for each group of the plan, one edge for each Synapses.

Everything is read from the plan and its Program. Nothing here knows where on the page a thing will stand.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from neurolearn.circuit.plan import CircuitPlan, Planned, SynapsesPlan
from neurolearn.equations import show
from neurolearn.errors import InputError
from neurolearn.program import Cell, Compartment, Path, Plastic, Program

KINDS = ("input", "rate", "other", "error", "source")


@dataclass(frozen=True)
class Node:
    """A population. kind: input, rate (the principal cells of a layer), error (what it sends depends on the teacher),
    other (a further axon of the unit) or source (spikes drawn beforehand).

    row: 0 is the lowest. size: cells of one copy. sends: signals with an axon, and the kind of each. apical: signals of
    the same unit that arrive one to one. outside: what is given to it (data, teacher, noise). bias: of its cells, plastic,
    copy (it follows that of another population), fixed, or "" for none. reads: what changes it, signals of the cell itself.
    """

    name: str
    kind: str
    row: int
    size: int
    sends: tuple[tuple[str, str], ...]
    apical: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()
    bias: str = ""
    reads: tuple[str, ...] = ()
    added: bool = False  # by the rule, beside the layers


@dataclass(frozen=True)
class Carried:
    """A signal on an edge and the compartment in which it arrives. back: against the direction of the synapse."""

    signal: str
    compartment: str
    back: bool = False


@dataclass(frozen=True)
class Learning:
    """What changes an edge: the phase, the text of the change, and the signals that it reads at both ends.

    states: equations of variables of each synapse that the change reads.
    """

    phase: str
    text: str
    post: tuple[str, ...]
    pre: tuple[str, ...]
    states: tuple[str, ...] = ()


@dataclass(frozen=True)
class Edge:
    """A Synapses object. way: forward, feedback or lateral; form: all_to_all, one_to_one, broadcast or relay.

    copy: its weights follow those of another Synapses. tie: how a second pathway shares these synapses ("transpose",
    "retrograde"), if it does. pathway: name in the rule.
    """

    name: str
    source: str
    target: str
    way: str
    form: str
    pathway: str
    carries: tuple[Carried, ...]
    learns: tuple[Learning, ...] = ()
    copy: bool = False
    tie: str = ""
    count: int = 0

    @property
    def plastic(self) -> bool:
        """Whether the simulation changes its weights."""
        return bool(self.learns)

    @property
    def apical(self) -> bool:
        """Whether it brings one signal of a unit to another cell of the same unit."""
        return any(c.compartment.startswith("apical_") for c in self.carries)


@dataclass(frozen=True)
class Sketch:
    """Nodes and edges of a circuit. columns: (node, signal) -> which column its cells stand in, from left to right.

    title, about: the rule, and which circuit of it. rows: names of the rows from the lowest up. phases: of a
    presentation. unit: a node is a layer and has many signals.
    """

    title: str
    about: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    columns: dict[tuple[str, str], int]
    rows: tuple[str, ...]
    phases: tuple[str, ...]
    unit: bool

    def node(self, name: str) -> Node:
        """The node of that name."""
        return next(n for n in self.nodes if n.name == name)


def placed(circuit: Planned) -> Program:
    """The Program that a circuit was made from: after its placement."""
    return getattr(circuit, "built", circuit.program)  # an online circuit keeps the one before as ``program``


def whole(circuit) -> Planned:
    """What has a plan: the circuit itself, or that of a ``Learner``. Raises InputError for what has none."""
    found = getattr(circuit, "circuit", circuit)
    if not (hasattr(found, "plan") and hasattr(found, "program")):
        raise InputError(f"circuit is {circuit!r}; give what circuit.planned, build or Learner return.")
    return found


def sketch(circuit: Planned) -> Sketch:
    """Nodes and edges of a circuit: of ``planned``, ``build``, ``Online`` or ``Learner``. Raises InputError for anything else."""
    circuit = whole(circuit)
    program, plan = placed(circuit), circuit.plan
    taught, noisy = _depends(program, "teacher"), _depends(program, "noise", "uniform")
    principal = _principal(program, taught, noisy)
    first = 1 if plan.spikes else 0  # spikes drawn beforehand stand below the input
    rows = {layer: row + first for layer, row in _rows(program).items()}
    nodes = [_node(program, k, rows, taught, principal) for k in range(len(program.cells))]
    nodes += [
        Node(s.name, "source", 0, s.size // plan.copies, ((s.name.removeprefix("drawn_"), "source"),))
        for s in plan.spikes
    ]
    place = {n.name: n.row for n in nodes}
    edges = tuple(_edge(program, plan, s, place) for s in plan.synapses)
    network = program.network
    names = [f"layer {k}" if network.kind(k) == "hidden" else network.kind(k) for k in range(len(network.sizes))]
    unit = {g.name for g in plan.groups} == {cell.title for cell in program.cells} and not any(
        cell.title.startswith(f"layer{cell.layer}_") for cell in program.cells
    )
    names = (["drawn"] if first else []) + names
    spikes = any(g.events for g in plan.groups)
    about = (
        "rate circuit"
        if not spikes
        else "spiking circuit, " + ("a group for each layer" if unit else "one cell, one axon")
    )
    about = f"{about}; {network}"
    title = program.name.replace("_", " ")
    return Sketch(title, about, tuple(nodes), edges, _columns(nodes), tuple(names), program.phases, unit)


# -- nodes -------------------------------------------------------------------------------------------------------------


def _depends(program: Program, *outside: str) -> set[tuple[int, str]]:
    """(cell, signal) that depend on something given from outside, through other cells too."""
    found: set[tuple[int, str]] = set()
    while True:
        new = {
            (k, s.name)
            for k, cell in enumerate(program.cells)
            for s in cell.signals
            for form in s.forms.values()
            if any(name.split("_")[0] in outside for name in form.names() if name in cell.externals)
            or any((n.cell, n.name) in found for n in program.reads(k, form))
            or any((k, latch.signal) in found for latch in cell.latches if latch.name in form.names())
        }
        if new <= found:
            return found
        found |= new


def _principal(program: Program, taught: set[tuple[int, str]], noisy: set[tuple[int, str]]) -> set[tuple[int, str]]:
    """(cell, signal): of each layer the signal "rate", or the first without teacher (and, if there is one, noise)."""
    found, layers = set(), {}
    for k, cell in enumerate(program.cells):
        layers.setdefault(cell.layer, []).extend((k, name) for name in cell.sent or ("",))
    for signals in layers.values():
        free = [s for s in signals if s not in taught]
        found |= set(([s for s in free if s[1] == "rate"] or [s for s in free if s not in noisy] or free)[:1])
    return found


def _rows(program: Program) -> dict[int, int]:
    """Layer -> row: a layer's number; a population that the rule adds stands beside the layer above what it hears."""
    rows = {cell.layer: cell.layer for cell in program.cells if cell.layer <= program.network.output}
    for cell in program.cells:
        if cell.layer not in rows:
            heard = [program.cells[p.source].layer for c in cell.compartments for p in c.paths]
            below = max((rows[layer] for layer in heard if layer in rows), default=0)
            rows[cell.layer] = min(below + 1, program.network.output)
    return rows


def _node(program: Program, k: int, rows: dict[int, int], taught: set, principal: set) -> Node:
    cell = program.cells[k]

    def kind(name: str) -> str:
        if cell.kind == "input" and not _hears(cell, name):
            return "input"
        if name == "rate" or (k, name) in principal:
            return "rate"
        return "error" if (k, name) in taught else "other"

    sends = tuple((name, kind(name)) for name in sorted(cell.sent, key=lambda n: (n != "rate", cell.sent.index(n))))
    apical = tuple(c.name.removeprefix("apical_") for c in cell.compartments if c.name.startswith("apical_"))
    outside = tuple(dict.fromkeys(name.split("_")[0] for name in cell.externals))
    own = [kind for _, kind in sends] or [kind("")]
    whole = "rate" if "rate" in own else own[0]
    added = cell.layer > program.network.output
    return Node(cell.title, whole, rows[cell.layer], cell.size, sends, apical, outside, *_bias(program, cell), added)


def _bias(program: Program, cell: Cell) -> tuple[str, tuple[str, ...]]:
    """(plastic, copy, fixed or "", the texts of what changes it) of the biases of a cell."""
    names, plastics = set(cell.biases.values()), program.plastics
    reads = dict.fromkeys(_learning(p).text.replace("_post", "") for p in plastics if p.weight in names)
    if reads:
        return "plastic", tuple(reads)
    learned = {f"{w.pathway}_{w.target}" for name in program.plastic_weights() for w in [program.weights[name]]}
    copied = any(f"{w.pathway}_{w.target}" in learned for name in names for w in [program.weights[name]])
    return ("copy" if copied else "fixed") if names else "", ()


def _hears(cell: Cell, name: str) -> bool:
    """Whether a signal of a cell is made of what reaches it through a compartment."""
    used, todo = set(), {name}
    while todo:
        used |= todo
        forms = [form for one in todo if cell.has(one) for form in cell.signal(one).forms.values()]
        todo = set().union(*(form.names() for form in forms)) - used
    return any(c.name in used for c in cell.compartments)


def _columns(nodes: list[Node]) -> dict[tuple[str, str], int]:
    """Principal cells to the left, then further axons, then what depends on the teacher, then added populations.

    A signal stands in one column in all layers, unless two nodes of one row send signals of the same name.
    """
    rank: dict[tuple[str, str], int] = {}  # (signal, or that and its node) -> how far to the right
    slot: dict[tuple[str, str], tuple[str, str]] = {}
    taken: set[tuple[int, tuple[str, str]]] = set()
    for node in sorted(nodes, key=lambda n: (n.added, n.kind == "source")):
        for signal, kind in node.sends or (("", node.kind),):
            place = (signal, "")
            if node.added or node.kind == "source" or (node.row, place) in taken:
                place = (signal, node.name)
            taken.add((node.row, place))
            slot[node.name, signal] = place
            mine = 3 if node.added else {"input": 0, "source": 0, "rate": 0, "other": 1, "error": 2}[kind]
            rank[place] = max(rank.get(place, 0), mine)
    order = list(rank)
    order = sorted(order, key=lambda place: (rank[place], place[0] != "rate", order.index(place)))
    own = [place for place in order if not any(s == place and n.startswith("drawn_") for (n, _), s in slot.items())]
    drawn = [place for place in order if place not in own]
    number = {place: k for k, place in enumerate(own)} | {place: k for k, place in enumerate(drawn)}
    return {key: number[place] for key, place in slot.items()}


# -- edges -------------------------------------------------------------------------------------------------------------


def _edge(program: Program, plan: CircuitPlan, s: SynapsesPlan, place: dict[str, int]) -> Edge:
    found = list(_calls(program, s.name))
    weight = program.weights.get(s.name)
    forms = {"identity": "one_to_one", "broadcast": "broadcast", "weight": "all_to_all"}
    form = forms[found[0][1].kind] if found else "all_to_all" if weight else "relay"
    carries = tuple(Carried(path.signal, compartment.name, path.reverse) for compartment, path in found)
    up = place[s.target] - place[s.source]
    return Edge(
        s.name,
        s.source,
        s.target,
        "forward" if up > 0 or form == "relay" else "feedback" if up < 0 else "lateral",
        form,
        weight.pathway if weight else found[0][0].pathway if found else "",
        carries,
        tuple(_learning(p) for p in program.plastics if p.weight == s.name),
        bool(weight) and s.name != f"{weight.pathway}_{weight.target}_{weight.source}" and not _learns(program, s.name),
        next((w.how for w in program.weights.values() if w.tie and w.tie[0] == s.name), ""),
        len(s.i) // plan.copies,
    )


def _calls(program: Program, name: str):
    """(compartment, path) of everything that the Synapses of that name carry."""
    for k, cell in enumerate(program.cells):
        for compartment in cell.compartments:
            for path in compartment.paths:
                if (path.weight or synapses_name(k, compartment, path)) == name:
                    yield compartment, path


def synapses_name(k: int, compartment: Compartment, path: Path) -> str:
    """Name of the Synapses that carry a path without weights into cell k."""
    return f"{path.kind}_{compartment.name}_{k}_{path.source}"


def _learns(program: Program, weight: str) -> bool:
    return any(p.weight == weight for p in program.plastics)


def _learning(plastic: Plastic) -> Learning:
    post, pre = (tuple(sorted(plastic.reads(side))) for side in ("post", "pre"))
    if ": on_pre " in plastic.line:  # a form in place of the rule's product
        name = plastic.line.partition(":")[0]
        return Learning(plastic.phase, f"{name}(rate_post, rate_pre)", post, pre)
    text = re.sub(r"-\(([^()+-]*)\)", r"-\1", show(plastic.expr)).replace("+ -", "- ")
    states = tuple(f"d{s.name}/dt = {show(s.expr)}" for s in plastic.states)
    return Learning(plastic.phase, text, post, pre, states)
