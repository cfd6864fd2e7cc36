r"""Plasticity at spikes only: Brian2's ``on_pre`` and ``on_post``, with traces at the synapse that decay lazily.

The product. Let $x$ be the trace of the presynaptic spikes and $y$ that of the postsynaptic ones, and let a step leave
them $p x$ and $q y$ where no spike comes. Then $z = x y$ shrinks by $p q$, and summed over the steps of a window

    $\sum_n z_n = \frac{1}{1 - p q} \left( z_{open} - z_{close} + \sum_{spikes} \Delta z \right)$

where $\Delta z$ is $y\,\Delta x$ at a presynaptic spike and $x\,\Delta y$ at a postsynaptic one: a symmetric STDP window
with what is there when the window opens and what is left when it closes. $p = 1 - dt/\tau$ are Euler's factors; the
traces decay with the exponential that goes through Euler's steps, $\tau' = -dt / \log p$, so that this is the clocked sum
(``traces``) to rounding. What reached an apical compartment in a step is an event of the post cell in the next one, where
$x$ has shrunk by $p$ and $\Delta y$ by $q$ since.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product as combinations
from math import log

from neurolearn.circuit import coding
from neurolearn.circuit.plan import GroupPlan, Regular, SynapsesPlan
from neurolearn.circuit.text import brian_text
from neurolearn.equations import Expr, show
from neurolearn.errors import InputError
from neurolearn.program import Plastic
from neurolearn.stdp import Form

BEFORE_PRE = -2  # Brian2's own order of on_pre is -1


@dataclass(frozen=True)
class Train:
    """The spikes of a signal as a synapse hears them. events: of the cell, with their sign; tau: seconds.

    trace: the variable that they raise by ``kick``. late: they are heard a step after they changed the cell.
    """

    trace: str
    tau: float
    lasts: str
    kick: str
    events: tuple[tuple[str, str], ...]
    late: bool = False

    def kept(self, dt: float) -> float:
        """What Euler's step leaves of the trace."""
        return 1 - dt / self.tau


def product(circuit, synapses: SynapsesPlan, plastic: Plastic) -> None:
    """Make ``synapses`` learn a plasticity that is a sum of (post spikes) x (pre spikes) x (what the window holds constant).

    Raises InputError naming the rule, the weight and the first term that is not of this kind.
    """
    if plastic.states:
        _refuse(circuit, plastic, plastic.expr, "it has state at the synapse, which moves on between spikes")
    gate, opening = _gate(synapses, f"open_{plastic.phase}", f"window_open_post*during_{plastic.phase}_post")
    for n, factors in enumerate(_terms(plastic.expr)):
        post, pre, rest = _sides(circuit, plastic, factors)
        held = "*".join([gate, *rest])
        sides = {
            "post": post and _heard(circuit, plastic.target, post),
            "pre": pre and _sent(circuit, plastic.source, pre, "pre"),
        }
        trains = {side: train for side, train in sides.items() if train}
        if not trains:
            synapses.regular[0].code.append(f"change += {held}  # {plastic.line}")
            continue
        _sum(circuit, synapses, f"{plastic.weight}_{plastic.phase}_{n}", held, trains, opening, plastic.line)


def _sum(circuit, synapses, name: str, held: str, trains: dict[str, Train], opening: Regular, line: str) -> None:
    """One term: its part at each spike, and what is there when the window opens and left when it closes."""
    dt, space = circuit.timing.dt, circuit.plan.namespace
    left = 1.0
    for train in trains.values():
        left *= train.kept(dt)
    pairs = f"pairs_{name}"
    space[pairs] = (1 / (circuit.timing.window * (1 - left)), "")
    for side, train in trains.items():
        space[train.lasts] = (-dt / log(train.kept(dt)), "second")
        _trace(synapses, f"d{train.trace}/dt = -{train.trace}/{train.lasts} : 1 (event-driven)")
        _rest(circuit, opening, train.trace)
        others = [t for t in trains.values() if t is not train]
        kick = train.kick
        if train.late and others:
            space[f"{kick}_late"] = (space[kick][0] / others[0].kept(dt), "")
            kick = f"{kick}_late"
        raised = f"{train.trace} {{sign}}= {train.kick}"
        if train.late:
            space[f"{train.kick}_left"] = (space[train.kick][0] * train.kept(dt), "")
            raised = f"{train.trace} {{sign}}= {train.kick}_left"
        added = "*".join([f"change {{sign}}= {held}", pairs, kick, *(t.trace for t in others)])
        for event, sign in train.events:
            _at(synapses, side, event, added.format(sign=sign), raised.format(sign=sign))
    rates = " + ".join(f"1/{t.lasts}" for t in trains.values())
    there = "*".join([held, pairs, *(t.trace for t in trains.values()), f"exp(-(t - dt - lastupdate)*({rates}))"])
    synapses.regular[0].code.append(f"change -= {there}  # {line}")
    opening.code.append(f"change += {there}")


def _gate(synapses: SynapsesPlan, name: str, when: str) -> tuple[str, Regular]:
    """(variable of the synapses that is 1 while they may learn, what is done at the tick after which they may)."""
    if "change : 1" not in synapses.model:
        synapses.model.append("change : 1")
        synapses.regular.append(Regular([], 4))
    opening = next(r for r in synapses.regular if r.order == 4)
    if f"{name} : 1 (shared)" not in synapses.model:
        synapses.model.append(f"{name} : 1 (shared)")
        opening.code.insert(0, f"{name} = {when}")  # Brian2 wants what is shared first
    return name, opening


def _trace(synapses: SynapsesPlan, equation: str) -> None:
    if equation not in synapses.model:
        synapses.model.append(equation)


def _rest(circuit, opening: Regular, trace: str) -> None:
    """Where every sample starts from rest, so does a trace."""
    if circuit.stream and circuit.stream.resets and (line := f"{trace} *= 1 - first_post") not in opening.code:
        opening.code.append(line)


def _at(synapses: SynapsesPlan, side: str, event: str, added: str, raised: str) -> None:
    """What a spike does at the synapse: first it changes the weight, then it raises the traces of its own side."""
    pathway, name = (synapses.on_pre if side == "pre" else synapses.on_post), f"learn_{side}_{event}"
    parts = pathway.get(name, "").split("; ") if name in pathway else []
    changes = [part for part in parts if part.startswith("change")]
    raises = [part for part in parts if not part.startswith("change")]
    pathway[name] = "; ".join([*changes, added, *raises, *([] if raised in raises else [raised])])
    synapses.on_event[name] = event
    if side == "post":
        synapses.orders[name] = BEFORE_PRE


# -- whose spikes ------------------------------------------------------------------------------------------------------


def _sent(circuit, k: int, signal: str, side: str) -> Train:
    """The spikes that a cell sends, filtered with the time constant of traces."""
    code = next(c for c in circuit.codes if (c.cell, c.signal) == (k, signal))
    tau, kick = circuit.timing.tau_of("trace"), f"jump_filtered_{signal}_{k}"
    circuit.plan.namespace[kick] = (1 / (code.unit_rate * tau), "")
    events = tuple((f"{signal}_{cell}", sign) for cell, sign in _cells(circuit, code).items())
    return Train(f"filtered_{side}_{signal}", tau, "lasts_trace", kick, events)


def _cells(circuit, code) -> dict[str, str]:
    """{cell of a coding: sign of its spikes}. Raises InputError for a coding in which spikes are not all."""
    how = coding.of(code)
    if type(how).trace is not coding.Coding.trace or how.current("", 0)[0]:
        raise InputError(
            f"{circuit.program.name}: {code.signal} of {circuit.program.cells[code.cell].title} is coded as {code.kind!r}, which "
            "is more than spikes that are added up. Take plasticity='clocked', or code it as an opponent pair."
        )
    return dict(how.sides)


def _heard(circuit, k: int, signal: str) -> Train:
    """The spikes that a post cell's signal is made of: its own, or those that arrive on its apical compartment."""
    if not circuit.apical(k, signal):
        return _sent(circuit, k, signal, "post")
    compartment = next(c for c in circuit.program.cells[k].compartments if c.name == f"apical_{signal}")
    path = compartment.paths[0]
    code = next(c for c in circuit.codes if (c.cell, c.signal) == (path.source, path.signal))
    tau = circuit.timing.tau_of(compartment.key)
    synapses = next(s for s in circuit.plan.synapses if s.name == f"identity_{compartment.name}_{k}_{path.source}")
    group, events = circuit.plan.groups[k], []
    for side, sign in _cells(circuit, code).items():
        arrived = f"heard_{signal}_{side}"
        events.append((arrived, sign))
        if arrived not in group.heard:
            _listen(group, synapses, arrived, f"{signal}_{side}_{compartment.name}")
    jump = f"jump_{compartment.pathway}_{path.signal}_{path.source}"
    return Train(f"filtered_post_{signal}", tau, f"lasts_apical_{signal}", jump, tuple(events), late=True)


def _listen(group: GroupPlan, synapses: SynapsesPlan, arrived: str, pathway: str) -> None:
    """An arriving spike is an event of the cell that it reaches, in the next step."""
    group.equations.append(f"{arrived} : 1")
    group.heard[arrived] = f"{arrived} > 0.5"
    group.on_event[arrived] = f"{arrived} -= 1"
    synapses.on_pre[pathway] += f"; {arrived}_post += 1"


# -- which terms -------------------------------------------------------------------------------------------------------


def _terms(expr: Expr) -> list[list[Expr]]:
    """The expression as a sum of products, multiplied out."""
    if expr.kind in ("+", "-"):
        second = _terms(expr.args[1])
        return _terms(expr.args[0]) + ([[Expr("number", -1.0), *t] for t in second] if expr.kind == "-" else second)
    if expr.kind == "neg":
        return [[Expr("number", -1.0), *t] for t in _terms(expr.args[0])]
    if expr.kind == "*":
        return [[*a, *b] for a, b in combinations(_terms(expr.args[0]), _terms(expr.args[1]))]
    if expr.kind == "/":
        inverse = Expr("/", None, (Expr("number", 1.0), expr.args[1]))
        return [[*a, inverse] for a in _terms(expr.args[0])]
    return [[expr]]


def _sides(circuit, plastic: Plastic, factors: list[Expr]) -> tuple[str | None, str | None, list[str]]:
    """(post signal, pre signal, texts of what is constant while the window is open) of a term."""
    found: dict[str, str] = {}
    rest = []
    term = factors[0]
    for factor in factors[1:]:
        term = Expr("*", None, (term, factor))
    for factor in factors:
        moving = [n for n in factor.walk() if n.kind in ("post", "pre") and not _latched(circuit, plastic, n)]
        if not moving:
            rest.append(brian_text(factor, lambda e: circuit.synapse_leaf(e, plastic)))
        elif factor.kind not in ("post", "pre"):
            _refuse(circuit, plastic, term, f"{show(factor)} is a function of a train of spikes")
        elif factor.kind in found:
            _refuse(
                circuit, plastic, term, f"it has {found[factor.kind]}_{factor.kind} and {show(factor)}, two at one end"
            )
        elif factor.kind == "post" and not circuit.program.cells[plastic.target].has(factor.value):
            _refuse(circuit, plastic, term, f"{show(factor)} is graded and no train of spikes")
        else:
            found[factor.kind] = factor.value
    return found.get("post"), found.get("pre"), rest


def _latched(circuit, plastic: Plastic, node: Expr) -> bool:
    return circuit.program.latch(plastic.target if node.kind == "post" else plastic.source, node.value) is not None


def _refuse(circuit, plastic: Plastic, term: Expr, why: str) -> None:
    raise InputError(
        f"{circuit.program.name}: the term {show(term)} of the plasticity of {plastic.weight} cannot be computed at spikes "
        f"alone: {why}. Take plasticity='clocked', or name the product as a signal of the cell, which then sends it."
    )


# -- forms -------------------------------------------------------------------------------------------------------------


def form(circuit, synapses: SynapsesPlan, plastic: Plastic) -> None:
    """Make ``synapses`` learn by a ``stdp.Form`` from the spikes of the two cells' rates (of ON cells, where there are pairs)."""
    pathway = circuit.program.weights[plastic.weight].pathway
    way = circuit.ways[pathway]
    phases = [p.phase for p in circuit.program.plastics if p.weight == plastic.weight]
    if plastic.phase != phases[0]:
        return  # it was all said in the first
    when = " + ".join(f"during_{phase}_post" for phase in phases)
    if any(code.signal == "rate" and code.kind == "graded" for code in circuit.codes):
        raise InputError(f"{way.name} hears the spikes of rate, which is graded here and has none; take another coding.")
    gate, opening = _gate(synapses, "open_phases", f"window_open_post*({when})")
    for trace in way.traces:
        _rest(circuit, opening, trace)
    inscribe(synapses, way, circuit.plan.namespace, {"pre": "rate_on", "post": "rate_on"}, f"{gate}*", f"_{pathway}")
    synapses.keys["learn_pre_rate_on"] = f"{pathway}.rate"  # it is heard when it arrives


def inscribe(
    synapses: SynapsesPlan, form: Form, space: dict, events: dict[str, str], gate: str = "", suffix: str = ""
) -> None:
    """Write a form's text into ``synapses``. events: side -> event; gate: what a change is multiplied by.

    suffix: of the form's constants in ``space``, the namespace. Raises InputError if a name is taken there.
    """
    names = {name: f"{name}{suffix}" for name in form.constants}
    for name, value in form.constants.items():
        if space.setdefault(names[name], (value, "")) != (value, ""):
            raise InputError(f"{form.name}: the circuit has a constant {names[name]!r} already; rename {name!r}.")
    if "change : 1" not in synapses.model:
        synapses.model.append("change : 1")
    for name, trace in form.traces.items():
        space[f"tau_{name}{suffix}"] = (trace.tau, "second")
        _trace(synapses, f"d{name}/dt = -{name}/tau_{name}{suffix} : 1 (event-driven)  # {form.name}")
    for side, event in events.items():
        text = brian_text(form.expressions[side], lambda e: names.get(e.value, str(e.value)))
        raises = [f"{n} = 1" if t.nearest else f"{n} += 1" for n, t in form.traces.items() if t.side == side]
        pathway = synapses.on_pre if side == "pre" else synapses.on_post
        pathway[f"learn_{side}_{event}"] = "; ".join([f"change += {gate}{text}", *raises])
        synapses.on_event[f"learn_{side}_{event}"] = event
