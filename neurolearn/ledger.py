"""The plausibility ledger: what a rule asks of a brain, computed from its Program and never typed by hand.

Locality of names is grammar and every rule has it. The ledger says the rest: whose weights travel, how often one weight
is needed, what is kept and for how long, what an axon must carry, and which weights a change depends on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, NamedTuple

from neurolearn.activations import NAMED
from neurolearn.equations import Expr
from neurolearn.errors import InputError
from neurolearn.program import Node, Path, Plastic, Program

if TYPE_CHECKING:
    from neurolearn.rule import Rule

UNSIGNED = {"relu", "softplus", "lif"}  # activations that are never negative; every named one rises with its potential


@dataclass(frozen=True)
class Ledger:
    """What a rule assumes on a network.

    transport: feedback or tied pathway -> where its weights come from. copies: weight -> synapse sets beyond the first
    that are needed when a pathway carries one signal; readers: weight -> {call: phases that make it}. latches: kept
    value -> phase boundaries that it crosses. signed: kind of layer -> transmitted signals that may be negative (data
    counts as non-negative). error_cells: kind of layer -> transmitted signals beside ``rate``, each one more axon per
    unit. slope: whose f' a change needs, of the "own" postsynaptic cell or of "other" cells. broadcasts: name -> kinds
    of layer that hear it. noise, teacher: kind of layer -> phases that read it. trial_clock: what must know where a
    trial begins and ends. depends: plastic weight -> all weights that move its change; depends_given: the same while
    everything that arrives from other cells is held.
    """

    rule: str
    reference: str
    network: str
    transport: Mapping[str, str]
    copies: Mapping[str, int]
    readers: Mapping[str, Mapping[str, tuple[str, ...]]]
    phases: tuple[str, ...]
    latches: Mapping[str, int]
    signed: Mapping[str, tuple[str, ...]]
    error_cells: Mapping[str, tuple[str, ...]]
    slope: tuple[str, ...]
    broadcasts: Mapping[str, tuple[str, ...]]
    noise: Mapping[str, tuple[str, ...]]
    teacher: Mapping[str, tuple[str, ...]]
    trial_clock: tuple[str, ...]
    depends: Mapping[str, frozenset[str]]
    depends_given: Mapping[str, frozenset[str]]

    def rows(self) -> list[tuple[str, str]]:
        """(label, sentence) of each entry, for a table that a person reads."""
        sets = {w.rsplit("_", 2)[0]: self.readers[w] for w in sorted(self.copies, key=self.copies.get)}
        once = {p: max(sum(phase in when for when in c.values()) for phase in self.phases) for p, c in sets.items()}
        needed = [f"{p}: {len(c)} ({', '.join(c)}), {once[p]} at a time" for p, c in sets.items()]
        axons = [f"{kind}: {len(names)} ({', '.join(names)})" for kind, names in self.error_cells.items()]
        whose = {"own": "of the cell that learns", "other": "of other cells, within what they send"}
        rows = {
            "weight transport": "; ".join(f"{pathway}: {how}" for pathway, how in self.transport.items()),
            "synapse sets of one weight": "; ".join(needed) or "1",
            "phases": ", ".join(self.phases),
            "held across phases": ", ".join(f"{name} ({count})" for name, count in self.latches.items()),
            "signed signals on an axon": _listed(self.signed),
            "further axons per unit": "; ".join(axons),
            "slope f'": " and ".join(whose[who] for who in self.slope),
            "broadcasts": _listed(self.broadcasts),
            "noise": _listed(self.noise),
            "teacher": _listed(self.teacher),
            "trial clock": "; ".join(self.trial_clock),
            **{
                f"change of {w} depends on": f"{', '.join(sorted(all_)) or 'no weight'}; with what arrives held: "
                f"{', '.join(sorted(self.depends_given[w])) or 'no weight'}"
                for w, all_ in self.depends.items()
            },
        }
        return [(label, sentence or "none") for label, sentence in rows.items()]

    def json(self) -> dict:
        """Plain data: text, numbers, lists and dictionaries."""
        return json.loads(json.dumps(asdict(self), default=sorted))


def ledger(program: Program, rule: Rule) -> Ledger:
    """The ledger of a rule's Program. Raises InputError if the program is another rule's."""
    if program.name != rule.name:
        raise InputError(f"the program belongs to rule {program.name!r}, not {rule.name!r}; lower that rule.")
    readers, latches, cells = _readers(program), _latches(program), program.cells
    sent = sorted((k, name) for k, cell in enumerate(cells) for name in cell.sent)
    signed = [
        (k, name)
        for k, name in sent
        if not all(
            _nonnegative(program, _Place(phase, k, name))
            for phase in (cells[k].signal(name).forms if cells[k].has(name) else program.phases)
        )
    ]
    clock = [f"{len(program.phases)} phases in their order"] if len(program.phases) > 1 else []
    clock += ["values are held across phases"] if latches else []
    return Ledger(
        rule.name,
        rule.reference,
        str(program.network),
        _transport(program),
        readers=readers,
        latches=latches,
        copies={w: len(calls) - 1 for w, calls in readers.items() if len(calls) > 1},
        phases=program.phases,
        signed=_grouped((cells[k].kind, name) for k, name in signed),
        error_cells=_grouped((cells[k].kind, name) for k, name in sent if name != "rate"),
        slope=_slope(program),
        broadcasts=_grouped(
            (c.name, cell.kind) for cell in cells for c in cell.compartments if c.paths[0].kind == "broadcast"
        ),
        noise=_outside(program, ("noise_", "uniform_")),
        teacher=_outside(program, ("teacher",)),
        trial_clock=(*clock, "changes are read at the end of a phase"),
        depends=dependencies(program),
        depends_given=dependencies(program, arriving_held=True),
    )


def dependencies(program: Program, *, closed: bool = False, arriving_held: bool = False) -> dict[str, frozenset[str]]:
    """Plastic weight -> weights that its change depends on; itself only through a signal or where it is named ``w``.

    Followed through signals, compartments, states and latches, phase by phase; of tied weights, the one that is real.
    Also for a program in which signals are held (``Program.hold``). closed: take known fixed points (softmax), as the
    tensors do, instead of the circuit that settles there. arriving_held: stop where another cell's axon ends.
    """
    found: dict[str, frozenset[str]] = {}
    for plastic in program.plastics:
        named = any(e.names("weight") for e in (plastic.expr, *(s.expr for s in plastic.states)))
        start = _ends(plastic, "post") + ([] if arriving_held else _ends(plastic, "pre"))
        weights = _reach(program, start, closed, arriving_held)[0] | ({plastic.weight} if named else set())
        found[plastic.weight] = found.get(plastic.weight, frozenset()) | weights
    return found


class _Place(NamedTuple):
    """A name at a cell in a phase: a signal, a compartment, a bias, a latched or an external value."""

    phase: str
    cell: int
    name: str


def _origin(program: Program, place: _Place, closed: bool) -> Expr | list[Path] | _Place | None:
    """What a name stands for: an expression, paths into a compartment, what was latched, or (None) itself."""
    cell = program.cells[place.cell]
    if cell.has(place.name) and place.phase in cell.signal(place.name).forms:
        return program.form(Node(place.cell, place.name), place.phase, closed=closed)
    for compartment in cell.compartments:
        if compartment.name == place.name:
            return list(compartment.paths)
    latch = program.latch(place.cell, place.name)
    return latch and _Place(latch.phase, place.cell, latch.signal)


def _ends(plastic: Plastic, side: str) -> list[_Place]:
    """What a synapse reads at its post or pre end."""
    return [_Place(plastic.phase, plastic.target if side == "post" else plastic.source, n) for n in plastic.reads(side)]


def _arriving(program: Program, place: _Place, closed: bool) -> list[_Place]:
    """What the paths into a compartment bring."""
    paths = _origin(program, place, closed)
    return [_Place(place.phase, p.source, p.signal) for p in paths] if isinstance(paths, list) else []


def _reach(program: Program, start: list[_Place], closed: bool, arriving_held: bool) -> tuple[set[str], set[_Place]]:
    """(weights, places) that the values at ``start`` depend on."""
    weights, seen, todo = set(), set(), list(start)
    while todo:
        place = todo.pop()
        if place in seen:
            continue
        seen.add(place)
        weights |= {w for name, w in program.cells[place.cell].biases.items() if name == place.name}
        match _origin(program, place, closed):
            case Expr() as form:
                todo += [place._replace(name=name) for name in form.names()]
            case _Place() as latched:
                todo.append(latched)
            case list() as paths:
                weights |= {real for path in paths if path.weight for real in _real(program, path.weight)}
                todo += [] if arriving_held else _arriving(program, place, closed)
    return weights, seen


def _real(program: Program, weight: str) -> tuple[str, ...]:
    """The weight itself, or those that it is computed from."""
    derived = program.weights[weight].derived
    return derived.of if derived else (weight,)


def _read_in(program: Program, k: int, name: str) -> tuple[str, ...]:
    """Phases in which cell k, or a synapse at either end of it, reads a name."""
    phases = {phase for signal in program.cells[k].signals for phase, e in signal.forms.items() if name in e.names()}
    phases |= {
        p.phase
        for p in program.plastics
        if (p.target == k and name in p.reads("post")) or (p.source == k and name in p.reads("pre"))
    }
    return tuple(phase for phase in program.phases if phase in phases)


def _transport(program: Program) -> dict[str, str]:
    how = {w.pathway: w.how for w in program.weights.values()}
    return {
        c.pathway: _whose(program, k, path, how.get(c.pathway, "retrograde"))
        for k, cell in enumerate(program.cells)
        for c in cell.compartments
        for path in c.paths
        if path.weight and (path.source > k or path.reverse)
    }


def _whose(program: Program, k: int, path: Path, how: str) -> str:
    """Where the weights of a path come from; how: the name of its tie, if it has one."""
    weight = program.weights[path.weight]
    if path.reverse:
        sign = "" if path.factor > 0 else ", negated"
        if how == "retrograde":
            return f"retrograde{sign} (along {weight.pathway}), held for ever"
        return f"exact{sign} (transpose of {weight.pathway}), held for ever"
    if weight.derived or weight.start:
        made = weight.derived or weight.start
        kind = {"pseudo-inverse": "inverse", "sign": "sign"}.get(how, "exact")
        damped = f", damping {made.damping:g}" if made.damping else ""
        base = program.weights[made.of[0]].pathway
        when = "held for ever" if weight.derived else "at the start only"
        return f"{kind} ({how} of {base}{damped}), {when}"
    mine = [p for p in program.plastics if p.weight == path.weight]
    other = [p for p in program.plastics if (p.target, p.source) == (path.source, k) and not p.states]
    theirs = [(p.phase, _swapped(p.expr)) for p in other]
    heard = frozenset(c.name for cell in program.cells for c in cell.compartments if c.paths[0].kind == "broadcast")
    if mine and all(not p.states and (p.phase, _swapped(p.expr, heard)) in theirs for p in mine):
        return f"none at the start; increments shared with {program.weights[other[0].weight].pathway}"
    return "none (learned)" if mine else "none (fixed)"


def _swapped(expr: Expr, keep: frozenset[str] | None = None) -> str:
    """Text that is equal for equal products; if ``keep`` is given, with the two ends swapped but for those names."""
    kind = {"post": "pre", "pre": "post"}.get(expr.kind) if keep is not None and expr.value not in keep else None
    parts = [_swapped(arg, keep) for arg in expr.args]
    return f"{kind or expr.kind} {expr.value} {sorted(parts) if expr.kind in '+*' else parts}"


def _readers(program: Program) -> dict[str, dict[str, tuple[str, ...]]]:
    found: dict[str, dict[str, tuple[str, ...]]] = {}
    carried: dict[str | None, set[str]] = {}
    for k, cell in enumerate(program.cells):
        for c in cell.compartments:
            for path in (path for path in c.paths if path.weight):
                found.setdefault(path.weight, {})[c.call] = _read_in(program, k, c.name)
                carried.setdefault(path.weight, set()).add("" if path.reverse else path.signal)
    for p in program.plastics:  # a presynaptic signal that no call carries needs synapses too
        for name in sorted(p.reads("pre")):
            latch = program.latch(p.source, name)
            if (latch.signal if latch else name) not in carried.get(p.weight, ()):
                found.setdefault(p.weight, {})[f"{name}_pre"] = (p.phase,)
    return found


def _latches(program: Program) -> dict[str, int]:
    found: dict[str, int] = {}
    for k, cell in enumerate(program.cells):
        for latch in cell.latches:
            last = max(map(program.phases.index, _read_in(program, k, latch.name)), default=0)
            found[latch.name] = max(found.get(latch.name, 0), last - program.phases.index(latch.phase))
    return {name: count for name, count in found.items() if count > 0}


def _slope(program: Program) -> tuple[str, ...]:
    """Whose f' stands in what a change reads: of the cell itself, or of cells that it hears or that synapse onto it."""
    places: dict[str, set[_Place]] = {"own": set(), "other": set()}
    for plastic in program.plastics:
        own = _reach(program, _ends(plastic, "post"), False, True)[1]
        heard = [source for place in own for source in _arriving(program, place, False)] + _ends(plastic, "pre")
        places["own"] |= own
        places["other"] |= _reach(program, heard, False, False)[1]
    forms = {who: [_origin(program, place, False) for place in reached] for who, reached in places.items()}
    return tuple(who for who in forms if any(isinstance(e, Expr) and "df" in e.names("call") for e in forms[who]))


def _nonnegative(program: Program, place: _Place, trail: frozenset[_Place] = frozenset()) -> bool:
    """Whether a value cannot be negative, by its equation alone; False where that is not certain."""
    cell, trail = program.cells[place.cell], trail | {place}

    def at(other: _Place) -> bool:
        return other not in trail and _nonnegative(program, other, trail)

    def sure(e: Expr) -> bool:
        match e.kind:
            case "number":
                return e.value >= 0
            case "name":
                return at(place._replace(name=e.value))
            case "call" if e.value == "f":
                return cell.activation.name in UNSIGNED or (cell.activation.name in NAMED and sure(e.args[0]))
            case "call" if e.value == "df":
                return cell.activation.name in NAMED
            case "call" if e.value in ("tanh", "where"):
                return all(map(sure, e.args[-2:]))
            case "call":
                return e.value in ("exp", "sqrt", "abs", "softmax")
            case "+" | "*" | "/":
                return all(map(sure, e.args)) or (e.kind == "*" and e.args[0] == e.args[1])
            case "**":
                return sure(e.args[0]) or (e.args[1].kind == "number" and e.args[1].value % 2 == 0)
        return False

    match _origin(program, place, True):
        case Expr() as form:
            return Node(place.cell, place.name) not in program.states(place.phase) and sure(form)
        case _Place() as latched:
            return at(latched)
        case list() as paths:
            return all(p.kind != "weight" for p in paths) and all(map(at, _arriving(program, place, True)))
    return place.name == "data" or program.constants.get(place.name, program.times.get(place.name, -1.0)) >= 0


def _outside(program: Program, prefix: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Kind of layer -> phases in which it reads values given from outside."""
    return _grouped(
        (cell.kind, phase)
        for k, cell in enumerate(program.cells)
        for name in cell.externals
        if name.startswith(prefix)
        for phase in _read_in(program, k, name)
    )


def _grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    found: dict[str, dict[str, None]] = {}
    for name, value in pairs:
        found.setdefault(name, {})[value] = None
    return {name: tuple(values) for name, values in found.items()}


def _listed(entries: Mapping[str, Iterable[str]]) -> str:
    return "; ".join(f"{name}: {', '.join(values)}" for name, values in entries.items())
