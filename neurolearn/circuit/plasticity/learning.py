r"""How the weights of a spiking circuit learn: from a window that is read once, or from spikes as they come.

    window    product of the window mean of the post cell's graded signals and the count of the pre cell's spikes.
    clocked   $\frac{1}{T}\int$ (graded post) x (pre spikes, filtered) over the open window, summed up in every step.
    traces    the same with the post signals as spike trains too: what arrives one to one on an apical compartment is an
              exponential current already, what the cell sends itself is filtered as the pre spikes are.
    events    equal to ``traces``, computed at spikes only (``events.py``).

A ``stdp.Form`` takes the place of the product. In all of them ``w`` stays as it is while a window is open and takes its
change once, when it is read. A bias has no presynaptic spikes: it reads its own cell's graded signals, in every step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from neurolearn.circuit.plan import GroupPlan, Regular, SynapsesPlan
from neurolearn.circuit.plasticity import events
from neurolearn.circuit.spiking import SpikingCircuit
from neurolearn.circuit.text import brian_text
from neurolearn.equations import Expr
from neurolearn.errors import InputError
from neurolearn.program import Path, Plastic, Program
from neurolearn.stdp import Form

WAYS = ("window", "clocked", "traces", "events")
Way = str | Form


def ways(program: Program, plasticity: Way | Mapping[str, Way]) -> dict[str, Way]:
    """{pathway: how it learns} of the pathways that learn in another way than ``window``.

    plasticity: a way for every pathway, or {pathway: way}. Raises InputError for an unknown way or pathway.
    """
    learning = list(dict.fromkeys(program.weights[p.weight].pathway for p in program.plastics))
    given = plasticity if isinstance(plasticity, Mapping) else dict.fromkeys(learning, plasticity)
    for pathway, way in given.items():
        if pathway not in learning:
            raise InputError(f"plasticity names {pathway!r}; the pathways that learn here are {', '.join(learning)}.")
        if not isinstance(way, Form) and way not in WAYS:
            raise InputError(
                f"plasticity of {pathway} is {way!r}; choose {', '.join(WAYS)}, or a form such as stdp.pair()."
            )
    return {pathway: way for pathway, way in given.items() if way != "window"}


def spoken(program: Program, ways: Mapping[str, Way]) -> Program:
    """The program in which the post signals that are learned from as spikes are sent, whether anybody else hears them or not.

    A form reads the rates of the two cells, in place of what the rule's text reads.
    """
    plastics = []
    for plastic in program.plastics:
        form = ways.get(program.weights[plastic.weight].pathway)
        if isinstance(form, Form) and plastic.source is not None:
            product = Expr("*", None, (Expr("post", "rate"), Expr("pre", "rate")))
            line = f"{form.name}: on_pre {form.on_pre}, on_post {form.on_post}"
            plastic = replace(plastic, expr=product, states=(), line=line)
        plastics.append(plastic)
    cells = list(program.cells)
    for plastic in plastics:
        way = ways.get(program.weights[plastic.weight].pathway)
        if plastic.source is None or way is None or way == "clocked":
            continue
        if isinstance(way, Form):
            for k in (plastic.source, plastic.target):
                if not cells[k].has("rate"):
                    raise InputError(f"{way.name}: {cells[k].title} has no rate here; let a line of the rule read it.")
                cells[k] = _sending(cells[k], "rate")
        for name in sorted(plastic.reads("post")):
            if cells[plastic.target].has(name):
                cells[plastic.target] = _sending(cells[plastic.target], name)
    return replace(program, cells=tuple(cells), plastics=tuple(plastics))


def _sending(cell, name: str):
    return cell if name in cell.sent else replace(cell, sent=(*cell.sent, name))


class LearningCircuit(SpikingCircuit):
    """A spiking circuit of which some weights learn from spikes as they come. ways: of ``ways``."""

    def __init__(self, *args, ways: Mapping[str, Way], **options):
        self.ways = ways
        self.flows: dict[str, list[str]] = {}  # synapses -> what flows into their change, phase by phase
        super().__init__(*args, **options)

    def way(self, plastic: Plastic) -> Way:
        """How a weight learns; a bias cannot hear forms or events."""
        found = self.ways.get(self.program.weights[plastic.weight].pathway, "window")
        if plastic.source is None:
            return "window" if isinstance(found, Form) or found == "window" else "clocked"
        return found

    def apical(self, k: int, signal: str) -> bool:
        """Whether a signal of a cell is what arrives on an apical compartment, spike by spike."""
        cell = self.program.cells[k]
        return cell.has(signal) and set(cell.signal(signal).forms.values()) == {Expr("name", f"apical_{signal}")}

    def _post(self, plastic: Plastic, name: str) -> str:
        """Variable of the post cell that a clocked synapse reads for a signal."""
        own = self.way(plastic) == "traces" and name in self.program.cells[plastic.target].sent
        return f"filtered_{name}_post" if own else f"{name}_post"

    def synapse_leaf(self, expr: Expr, plastic: Plastic) -> str:
        """A clocked synapse sees what is there at the instant."""
        if self.way(plastic) == "window" or expr.kind not in ("post", "pre", "state"):
            return super().synapse_leaf(expr, plastic)
        if expr.kind == "post":
            return self._post(plastic, expr.value)
        if expr.kind == "pre" and self.program.latch(plastic.source, expr.value) is None:
            return f"filtered_{expr.value}_pre"
        return str(expr.value) if expr.kind == "state" else super().synapse_leaf(expr, plastic)

    def learner(self, plastic: Plastic) -> SynapsesPlan:
        """The synapses that learn, with a change and a place for what is done at a tick."""
        synapses = self._synapses(plastic.target, None, Path("weight", plastic.source, "", plastic.weight))
        if not synapses.regular:
            synapses.regular.append(Regular([], 0))
        return synapses

    def _plastic(self, plastic: Plastic) -> None:
        way = self.way(plastic)
        if way == "window":
            super()._plastic(plastic)
        elif way in ("clocked", "traces"):
            synapses = self.learner(plastic)
            for state in plastic.states:
                self.synaptic_state(synapses, plastic, state)
            text = brian_text(plastic.expr, lambda e: self.synapse_leaf(e, plastic))
            self.flows.setdefault(synapses.name, []).append(f"during_{plastic.phase}_post*{text}  # {plastic.line}")
        else:
            learn = events.form if isinstance(way, Form) else events.product
            learn(self, self.learner(plastic), plastic)

    def synaptic_state(self, synapses: SynapsesPlan, plastic: Plastic, state) -> None:
        """Where a weight learns in every step, nobody reads the window mean of its state."""
        super().synaptic_state(synapses, plastic, state)
        if self.way(plastic) != "window":
            synapses.model.pop()

    def _consolidate(self, synapses: SynapsesPlan) -> None:
        flows = self.flows.get(synapses.name)
        if flows:
            parts, lines = zip(*(flow.split("  # ") for flow in flows), strict=True)
            total = parts[0] if len(parts) == 1 else f"({' + '.join(parts)})"
            line = "; ".join(dict.fromkeys(lines))
            synapses.model.append(f"dchange/dt = window_open_post*{total}/window : 1 (clock-driven)  # {line}")
        super()._consolidate(synapses)

    def bias_read(self, group: GroupPlan, k: int, name: str, plastic: Plastic) -> str:
        """What flows into a bias in every step is kept as one window mean."""
        if self.way(plastic) == "window":
            return super().bias_read(group, k, name, plastic)
        flow = f"mean_change_{name}_{plastic.phase}"

        def leaf(expr: Expr) -> str:
            return name if expr.kind == "weight" else str(expr.value)

        group.equations.append(
            f"d{flow}/dt = window_open*{brian_text(plastic.expr, leaf)}/window : 1  # {plastic.line}"
        )
        group.regular.append(Regular([f"{flow} *= 1 - window_open"], 2))
        return f"change_{name} += window_open*during_{plastic.phase}*{flow}"

    def _means(self, k: int) -> list[str]:
        """What a window is read for: by weights that learn from it, and by latches."""
        wanted = {latch.signal for latch in self.program.cells[k].latches}
        for plastic in self.program.plastics:
            if plastic.target == k and self.way(plastic) == "window":
                wanted |= plastic.expr.names("post")
        return sorted(n for n in wanted if self.program.latch(k, n) is None)

    def _filtered(self, k: int) -> list[str]:
        """Also what clocked weights read as traces of spikes."""
        found = set(super()._filtered(k))
        for plastic in self.program.plastics:
            way = self.way(plastic)
            if plastic.source == k and way in ("clocked", "traces"):
                found |= plastic.expr.names("pre")
            if plastic.target == k and way == "traces":
                found |= plastic.expr.names("post") & set(self.program.cells[k].sent)
        return sorted(n for n in found if self.program.latch(k, n) is None)
