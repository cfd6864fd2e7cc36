"""Plasticity as torch text: an expression in post, pre and weight becomes a sum of outer products, where it can."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from neurolearn.equations import Expr
from neurolearn.program import Plastic, Program
from neurolearn.tensor.emit import torch_text

Naming = Callable[[str, str, int], str]  # (side, signal, cell) -> variable


class Term(NamedTuple):
    """post (x) pre * weight; a factor that is absent is None."""

    post: Expr | None
    pre: Expr | None
    weight: Expr | None


def sides(expr: Expr, states: dict[str, frozenset[str]]) -> frozenset[str]:
    """Which of post, pre and weight an expression depends on."""
    found: set[str] = set()
    for node in expr.walk():
        if node.kind in ("post", "pre", "weight"):
            found.add(node.kind)
        elif node.kind == "state":
            found |= states[node.value]
    return frozenset(found)


def state_sides(plastic: Plastic) -> dict[str, frozenset[str]]:
    """For each synaptic state, which ends it depends on (a state may read others)."""
    known = {s.name: frozenset[str]() for s in plastic.states}
    for _ in plastic.states:
        known = {s.name: sides(s.expr, known) for s in plastic.states}
    return known


def separate(expr: Expr, states: dict[str, frozenset[str]]) -> list[Term] | None:
    """The expression as a sum of products of one-sided factors, or None if it is not one."""
    here = sides(expr, states)
    if len(here) <= 1:
        side = next(iter(here), "post")
        return [Term(*(expr if side == s else None for s in ("post", "pre", "weight")))]
    if expr.kind == "neg":
        inner = separate(expr.args[0], states)
        return inner and [_negative(term) for term in inner]
    if expr.kind in "+-":
        left, right = (separate(a, states) for a in expr.args)
        if left is None or right is None:
            return None
        return left + (right if expr.kind == "+" else [_negative(t) for t in right])
    if expr.kind == "*":
        left, right = (separate(a, states) for a in expr.args)
        return left and right and [Term(*map(_multiply, a, b)) for a in left for b in right]
    if expr.kind == "/" and len(sides(expr.args[1], states)) <= 1:
        one = Expr("/", None, (Expr("number", 1.0), expr.args[1]))
        return separate(Expr("*", None, (expr.args[0], one)), states)
    return None


def _multiply(a: Expr | None, b: Expr | None) -> Expr | None:
    return b if a is None else a if b is None else Expr("*", None, (a, b))


def _negative(term: Term) -> Term:
    return Term(_multiply(Expr("number", -1.0), term.post), term.pre, term.weight)


def lines(program: Program, plastic: Plastic, name: Naming, *, solve: bool = True) -> list[tuple[str, str]]:
    """(code, comment) that put the batch mean of one plasticity into ``change[weight]``.

    solve: synaptic state is first put at its fixed point; otherwise ``<state>_<weight>`` is there already.
    """
    where = state_sides(plastic)
    flat = {state for state, side in where.items() if len(side) <= 1}
    deep = len(flat) < len(where)

    def leaf(expr: Expr, spread: bool) -> str:
        if expr.kind == "weight":
            return plastic.weight
        if expr.kind == "name":
            return str(expr.value)
        if expr.kind == "state":
            text, side = f"{expr.value}_{plastic.weight}", next(iter(where[expr.value]), "post")
            if expr.value not in flat:
                return text
        else:
            side = expr.kind
            text = name(side, expr.value, plastic.source if side == "pre" else plastic.target)
        return text if not spread else f"{text}[:, None, :]" if side == "pre" else f"{text}[:, :, None]"

    out = []
    if solve:
        for state in plastic.states:
            spread, variable = state.name not in flat, f"{state.name}_{plastic.weight}"
            text = torch_text(state.expr, lambda e, s=spread: leaf(e, s))
            like = shape_of(plastic, where[state.name], name)
            out.append((f"{variable} = settle_synapse(lambda {variable}: {text}, {like})", state.line))
    mask = "" if program.weights[plastic.weight].mask is None else f" * weight['mask_{plastic.weight}']"
    mean = _mean(plastic, where, leaf, deep)
    first = next(p for p in program.plastics if p.weight == plastic.weight) is plastic
    earlier = "" if first else f"change[{plastic.weight!r}] + "
    mean = f"({mean}){mask}" if mask and " + " in mean else f"{mean}{mask}"
    out.append((f"change[{plastic.weight!r}] = {earlier}{mean}", f"{plastic.weight}: {plastic.line}"))
    return out


def shape_of(plastic: Plastic, side: frozenset[str], name: Naming) -> str:
    """Text of a tensor shaped like a synaptic state that depends on these ends."""
    post = name("post", next(iter(sorted(plastic.reads("post"))), "rate"), plastic.target)
    pre = name("pre", next(iter(sorted(plastic.reads("pre"))), "rate"), plastic.source)
    if side == {"pre"}:
        return pre
    return post if len(side) <= 1 else f"{post}[:, :, None]*{pre}[:, None, :]"


def _mean(plastic: Plastic, where, leaf, deep: bool) -> str:
    if plastic.source is None:
        text = torch_text(plastic.expr, lambda e: leaf(e, False))
        constant = sides(plastic.expr, where) <= {"weight"}  # over the batch
        return f"torch.zeros_like({plastic.weight}) + {text}" if constant else f"({text}).mean(0)"
    terms = None if deep else separate(plastic.expr, where)
    if terms is None:
        return f"({torch_text(plastic.expr, lambda e: leaf(e, True))}).expand(n, -1, -1).mean(0)"
    return " + ".join(_term(term, lambda e: leaf(e, False)) for term in terms)


def _term(term: Term, leaf) -> str:
    """A term without post and pre is constant over the batch; one with both is a matrix product."""
    number = None
    if term.post is not None and not (term.post.names("post") | term.post.names("state")):
        number, term = term.post, term._replace(post=None)
    post, pre, weight = (None if part is None else _grouped(part, leaf) for part in term)
    factors = [] if number is None else [_grouped(number, leaf)]
    if post and pre:
        factors.append(f"({post}.T @ {pre})/n")
    elif post:
        factors.append(f"{post}.mean(0)[:, None]")
    elif pre:
        factors.append(f"{pre}.mean(0)[None, :]")
    if weight:
        factors.append(weight)
    return "*".join(factors)


def _grouped(expr: Expr, leaf) -> str:
    text = torch_text(expr, leaf)
    return text if text.isidentifier() else f"({text})"


def traces(program: Program) -> list[str]:
    """Text of ``traces(state, signals, filtered)``: right sides of all synaptic states, in synaptic time constants.

    state: {state_weight: tensor}. signals: {signal_cell: postsynaptic values}; filtered: the same for presynaptic ones.
    """
    out, names = ["def traces(state, signals, filtered):"], []
    for constant, value in {**program.constants, **program.times}.items():
        out.append(f"    {constant} = {value!r}")
    for p in program.plastics:
        where = state_sides(p)
        for s in p.states:
            spread = len(where[s.name]) > 1

            def leaf(e: Expr, p=p, spread=spread) -> str:
                if e.kind == "name":
                    return str(e.value)
                if e.kind == "state":
                    return f"state['{e.value}_{p.weight}']"
                if e.kind == "pre":
                    return f"filtered['{e.value}_{p.source}']" + ("[:, None, :]" if spread else "")
                return f"signals['{e.value}_{p.target}']" + ("[:, :, None]" if spread else "")

            names.append(f"{s.name}_{p.weight}")
            out.append(f"    {names[-1]} = {torch_text(s.expr, leaf)}  # {s.line}")
    return [*out, f"    return {{{', '.join(f'{n!r}: {n}' for n in names)}}}"]
