r"""Dale's law: what a cell does to others has one sign, and weights never change theirs.

Every event that crosses a pathway (ON or OFF) is sent by two populations: the cells that code the signal, which excite, and
inhibitory partners, one for each of them, which are driven one to one and fire a step after it. Where a spike would have
brought $+|w|$ the coding cell has a synapse of strength $|w|$; where it would have brought $-|w|$ its partner has one, whose
strength is subtracted. So a weight stands at an excitatory synapse of the ON cell and at an inhibitory one of the OFF cell's
partner, or the other way round. Each learns from its own presynaptic cell's spikes, and is clipped at zero where it learns;
the change of the rule's weight is the sum, as of all synapses that share a weight.
"""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from neurolearn.circuit.plan import CircuitPlan, GroupPlan, Regular, SynapsesPlan
from neurolearn.equations import Expr
from neurolearn.errors import InputError
from neurolearn.program import Program

COUNTED = re.compile(r"\bsent_(\w+)_pre\b")
RATE = "learning_rate : 1 (shared)"  # of a stream
KICK = re.compile(r"(\w+_post) ([+-])= (.+)")


def split(plan: CircuitPlan, program: Program, kind: str) -> Program:
    """Give a plan its inhibitory partners; returns the program whose weights are those synapses.

    Raises InputError for what has no such form: rate circuits, synapses that are read backwards, or that learn other
    than by the window product of one presynaptic signal.
    """
    if kind != "spiking":
        raise InputError("dale is of spikes, which excite or inhibit; a rate circuit has none. Build kind='spiking'.")
    if any(name.startswith("base_rate_") for name in plan.namespace) or any(
        "(summed)" in line for s in plan.synapses if s.w is not None for line in s.model
    ):
        raise InputError("dale is of pairs; take coding 'opponent' or 'rectified_pair' for every signal.")
    groups = {group.name: group for group in plan.groups}
    pieces: list[SynapsesPlan] = []
    sources: dict[str, str] = {}  # new synapses -> the weight that they are part of
    for s in plan.synapses:
        if s.source not in groups or not (s.on_pre or s.on_post or s.w is not None):
            pieces.append(s)  # drawn input, and broadcasts, which are no spikes
            continue
        _check(s, program)
        for way in s.on_pre:
            for positive in (True, False):
                piece = _piece(plan, groups[s.source], s, way, positive)
                if piece:
                    pieces.append(piece)
                    sources[piece.name] = s.name
    plan.synapses = _drives(plan) + pieces
    weights = {**program.weights, **{n: replace(program.weights[w], name=n) for n, w in sources.items() if w in program.weights}}
    learning = {s.name for s in plan.synapses if any("change" in line for line in s.model)}
    plastics = [p for p in program.plastics if p.source is None]
    for p in (p for p in program.plastics if p.source is not None):
        plastics += [replace(p, weight=n) for n, w in sources.items() if w == p.weight and n in learning]
    return replace(program, weights=weights, plastics=tuple(plastics))


def _check(s: SynapsesPlan, program: Program) -> None:
    """Raises InputError for synapses that cannot be split by sign."""
    if s.on_post:
        raise InputError(f"dale: {s.name} is one synapse that is read in both directions; it has no sign of its own.")
    if not s.on_pre:
        raise InputError(f"dale: {s.name} carries no spikes from {s.source}, so no cell there could have its sign.")
    strange = [line for line in s.model if line not in ("w : 1", "change : 1", RATE)]
    if strange or not all(KICK.fullmatch(code) for code in s.on_pre.values()):
        raise InputError(f"dale: {s.name} has more than a weight and its change ({(strange or [*s.on_pre.values()])[0]}).")
    carried = {event.rsplit("_", 1)[0] for event in s.on_event.values()}
    for line in _changes(s):
        if len(COUNTED.findall(line)) != 1 or COUNTED.findall(line)[0] not in carried:
            raise InputError(f"dale: {s.name} learns by {line!r}, which is no product with one presynaptic signal it carries.")
    for p in program.plastics:
        if p.weight == s.name and not _linear(p.expr):
            raise InputError(f"dale: the plasticity of {s.name} is not linear in its presynaptic signal.")


def _linear(e: Expr) -> bool:
    """Whether an expression is a presynaptic signal times what does not depend on it."""
    inside = [bool(a.names("pre")) for a in e.args]
    if e.kind == "pre":
        return True
    if e.kind in ("*", "neg"):
        return sum(inside) == 1 and _linear(e.args[inside.index(True)])
    return e.kind == "/" and inside == [True, False] and _linear(e.args[0])


def _changes(s: SynapsesPlan) -> list[str]:
    return [line for part in s.regular for line in part.code if line.startswith("change +=")]


def _piece(plan: CircuitPlan, group: GroupPlan, s: SynapsesPlan, way: str, positive: bool) -> SynapsesPlan | None:
    """The synapses of one event whose weights are positive, or those whose weights are negative; None if there are none."""
    here = np.full(len(s.i), positive) if s.w is None else (s.w >= 0) == positive
    if not here.any():
        return None
    event, sign = s.on_event[way], 1.0 if positive else -1.0
    current, effect, strength = KICK.fullmatch(s.on_pre[way]).groups()
    excites = (effect == "+") == positive
    source, late = group.name, s.delays.get(way, 0.0)
    if not excites:
        source, late = _partner(plan, group, event), late - plan.dt
    signal, side = event.rsplit("_", 1)
    mine = [line for line in _changes(s) if COUNTED.findall(line)[0] == signal]
    piece = SynapsesPlan(
        f"{s.name}_{event}_{'exc' if excites else 'inh'}", f"{source} -> {s.target}", source, s.target,
        s.i[here], s.j[here], s.units[:, here], ["w : 1"] if s.w is not None else [],
        {way: f"{current} {'+' if excites else '-'}= {strength}"}, on_event={way: event}, keys={way: s.keys.get(way, "")},
        w=None if s.w is None else np.abs(s.w[here]), sign=sign,
    )  # fmt: skip
    if late > plan.dt / 2:
        piece.delays[way] = late
    if mine:
        _count(group, signal, side)
        piece.model += ["change : 1", *(line for line in s.model if line == RATE)]
        piece.values |= {name: value for name, value in s.values.items() if name == "learning_rate"}
        rest = [line for part in s.regular for line in part.code if not line.startswith("change +=")]
        code = [_own(line, sign if effect == "+" else -sign, event, positive) for line in mine] + rest
        after = next(n for n, line in enumerate(code) if line.startswith("w +="))
        code.insert(after + 1, "w = clip(w, 0, inf)  # it never changes its sign")
        piece.regular.append(Regular(code, 0))
    return piece


def _own(line: str, factor: float, event: str, positive: bool) -> str:
    """The change of a strength, from the count of the cell that has the synapse."""
    left, _, right = line.partition(" += ")
    right, mark, comment = right.partition("  # ")
    right = COUNTED.sub(f"sent_{event}_pre", right)
    right = right if positive else re.sub(r"\bw\b", "(-w)", right)
    return f"{left} += {factor!r}*({right}){mark}{comment}"


def _count(group: GroupPlan, signal: str, side: str) -> None:
    """A count of one cell's own spikes in the window, beside that of ON minus OFF."""
    name, event = f"sent_{signal}_{side}", f"{signal}_{side}"
    if f"{name} : 1" in group.equations:
        return
    share = re.search(rf"\bsent_{signal} [+-]= ([^;]+)", group.on_event[event])
    if share is None:
        raise InputError(f"dale: the coding of {signal} in {group.name} counts more than spikes; take opponent pairs.")
    group.equations.append(f"{name} : 1")
    group.on_event[event] += f"; {name} += {share[1]}"
    group.regular.append(Regular([f"{name} *= 1 - window_open"], 2))


def _partner(plan: CircuitPlan, group: GroupPlan, event: str) -> str:
    """The inhibitory cells that repeat an event of a group; made when they are first asked for."""
    name = f"{group.name}_{event}_inhibitory"
    if any(one.name == name for one in plan.partners):
        return name
    signal = event.rsplit("_", 1)[0]
    share = re.search(rf"\bsent_{signal} [+-]= window_open\*([^;]+)", group.on_event[event])
    if share is None:
        raise InputError(f"dale: the coding of {signal} in {group.name} counts more than spikes; take opponent pairs.")
    partner = GroupPlan(name, f"inhibitory partners of {group.name}, {event}", group.size)
    partner.equations = ["v : 1", f"sent_{event} : 1", f"spikes_{event} : 1"]
    partner.events = {event: "v > 0.5"}
    partner.on_event = {event: f"v -= 1; sent_{event} += {share[1]}; spikes_{event} += 1"}
    partner.regular.append(Regular([f"sent_{event} *= 0"], 2))  # a tick is a window
    plan.partners.append(partner)
    return name


def _drives(plan: CircuitPlan) -> list[SynapsesPlan]:
    """One synapse from every cell to its partner."""
    found = []
    for partner in plan.partners:
        event = next(iter(partner.events))
        source = partner.name.removesuffix(f"_{event}_inhibitory")
        every, name = np.arange(partner.size), f"drive_{partner.name}"
        found.append(SynapsesPlan(
            name, f"{source} -> {partner.name}", source, partner.name, every, every, np.zeros((3, 0)),
            on_pre={"drive": "v_post += 1"}, on_event={"drive": event},
        ))  # fmt: skip
    return found
