"""Placement "cells": one cell, one axon. A Program in which every transmitted signal has a population of its own.

A population computes its signal from its own compartments. Another transmitted signal of the same unit reaches it by a
one-to-one spiking projection onto a compartment ``apical_<signal>``; a signal that nobody transmits is computed where it
is needed, from that cell's own copy of the synapses. Of the copies of one weight, that one learns which meets the signals
that its plasticity names; the others are copied from it (here: they start equal, and a presentation is one segment).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import product

import numpy as np

from neurolearn import ties
from neurolearn.equations import Expr
from neurolearn.errors import InputError
from neurolearn.program import Cell, Compartment, Derivation, Path, Plastic, Program, Signal


@dataclass
class Population:
    """A population while it is being put together: what it sends and which signals, compartments, latches it needs."""

    layer: int
    sends: str | None
    needs: dict[str, None] = field(default_factory=dict)
    arriving: dict[str, None] = field(default_factory=dict)  # sent by another population of the same unit


def place(program: Program, given: Mapping[str, np.ndarray], weights: Mapping[str, np.ndarray]):
    """(program, given, weights) with one population per transmitted signal; learning weights keep their names.

    Two synapses in two places cannot be one: a pathway that is tied to another has synapses of its own here, which follow
    the other's weights from presentation to presentation.
    """
    program, bases = _one_sender(_untied(program))
    weights = ties.complete(program, {**weights, **{name: weights[base] for name, base in bases.items()}})
    return _Placement(program).result(given, weights)


def _untied(program: Program) -> Program:
    """The program with a matrix for every pathway that read another's backwards."""
    weights = {
        name: replace(w, tie=None, derived=Derivation(w.how, (w.tie[0],))) if w.tie else w
        for name, w in program.weights.items()
    }

    def own(k: int, pathway: str, path: Path) -> Path:
        back = {"weight": f"{pathway}_{k}_{path.source}", "reverse": False, "factor": 1.0}
        return replace(path, **back) if path.reverse else path

    def compartments(k: int, cell: Cell) -> tuple[Compartment, ...]:
        return tuple(replace(c, paths=tuple(own(k, c.pathway, p) for p in c.paths)) for c in cell.compartments)

    cells = tuple(replace(cell, compartments=compartments(k, cell)) for k, cell in enumerate(program.cells))
    return replace(program, cells=cells, weights=weights)


def _one_sender(program: Program) -> tuple[Program, dict[str, str]]:
    """(program, {synapses: the weight that they are copies of}): each plasticity split by the presynaptic signals it reads.

    A synapse has one presynaptic cell. What a weight learns from a second signal of a unit is learned by synapses of its
    own between the cells concerned, which carry that signal; the change of the weight is the sum.
    """
    homes: dict[tuple[str, str], str] = {}  # (weight, signal) -> synapses
    plastics = []
    for plastic in program.plastics:
        parts = {None: plastic.expr} if plastic.source is None else _by_sender(program, plastic)
        for signal, expr in parts.items():
            first = not any(weight == plastic.weight for weight, _ in homes)
            name = plastic.weight if first or signal is None else f"{plastic.weight}_by_{signal}"
            name = homes.setdefault((plastic.weight, signal), name)
            plastics.append(replace(plastic, weight=name, expr=expr))
    bases = {name: weight for (weight, _), name in homes.items() if name != weight}

    def own(path: Path) -> Path:
        return replace(path, weight=homes.get((path.weight, path.signal), path.weight))

    cells = tuple(
        replace(cell, compartments=tuple(replace(c, paths=tuple(map(own, c.paths))) for c in cell.compartments))
        for cell in program.cells
    )
    weights = program.weights | {name: replace(program.weights[base], name=name) for name, base in bases.items()}
    return replace(program, cells=cells, plastics=tuple(plastics), weights=weights), bases


def _by_sender(program: Program, plastic: Plastic) -> dict[str, Expr]:
    """Presynaptic signal -> the terms of a plasticity that read it; terms that read none are with the first."""
    latched = {k.name: k.signal for k in program.cells[plastic.source].latches}

    def senders(expr: Expr) -> list[str]:
        return sorted({latched.get(name, name) for name in expr.names("pre")})

    every = sorted({latched.get(name, name) for name in plastic.reads("pre")})
    if len(every) < 2 or plastic.states:
        return dict.fromkeys(every[:1] or ["rate"], plastic.expr)
    found: dict[str, Expr] = {}
    rest = []
    for term in _terms(plastic.expr):
        match senders(term):
            case []:
                rest.append(term)
            case [one]:
                found[one] = Expr("+", None, (found[one], term)) if one in found else term
            case several:
                raise InputError(
                    f"{program.name}: a term of the plasticity of {plastic.weight} reads {', '.join(several)} of the "
                    "presynaptic unit, which are sent by different cells; a synapse has one presynaptic cell. Form their "
                    "product in the cell, or use placement='unit'."
                )
    for term in rest:
        name = next(iter(found))
        found[name] = Expr("+", None, (found[name], term))
    return found


def _terms(expr: Expr) -> list[Expr]:
    """The expression as a sum, products of sums multiplied out."""
    if expr.kind == "+":
        return [t for a in expr.args for t in _terms(a)]
    if expr.kind == "-":
        return _terms(expr.args[0]) + [Expr("neg", None, (t,)) for t in _terms(expr.args[1])]
    if expr.kind == "neg":
        return [Expr("neg", None, (t,)) for t in _terms(expr.args[0])]
    if expr.kind == "*":
        return [Expr("*", None, pair) for pair in product(*map(_terms, expr.args))]
    return [expr]


class _Placement:
    def __init__(self, program: Program):
        self.program = program
        self.populations = [Population(k, s) for k, cell in enumerate(program.cells) for s in _ordered(cell) or (None,)]
        for population in self.populations:
            if population.sends:
                self._need(population, population.sends)
        self.hosts = {id(p): self._host(p) for p in program.plastics}
        for plastic in program.plastics:
            host = self.populations[self.hosts[id(plastic)]]
            for name in sorted(plastic.reads("post")):
                self._need(host, name)
            for name in self._learning(plastic):
                self._need(host, name)
            for name in sorted(plastic.reads("pre")) if plastic.source is not None else ():
                self._need(self.populations[self._sender(plastic)], name)
        for compartment in (c for cell in program.cells for c in cell.compartments):
            for path in compartment.paths:
                if path.kind == "broadcast":
                    self._need(self.populations[self._emitter(path)], path.signal)
        self.copies: dict[str, str] = {}
        self.fixed: dict[str, tuple[int, int | None]] = {}  # weight that never learns -> where it keeps its name

    # -- what each population needs --------------------------------------------------------------------------------

    def _need(self, population: Population, name: str) -> None:
        cell = self.program.cells[population.layer]
        if name in population.needs or name in population.arriving:
            return
        if name in cell.sent and name != population.sends and cell.kind != "input" and population.sends:
            population.arriving[name] = None
            return
        population.needs[name] = None
        latch = self.program.latch(population.layer, name)
        if latch:
            self._need(population, latch.signal)
        elif cell.has(name):
            for form in cell.signal(name).forms.values():
                for used in sorted(form.names()):
                    self._need(population, used)

    def _host(self, plastic: Plastic) -> int:
        """Index of the population whose synapses learn: the first that hears the presynaptic signal through them.

        If none does yet, the first population of the layer will, once it computes what its plasticity reads.
        """
        cell = self.program.cells[plastic.target]
        heard = {self._origin(plastic.source, n) for n in plastic.reads("pre")} if plastic.source is not None else None
        for n, population in enumerate(self.populations):
            if population.layer != plastic.target:
                continue
            if plastic.source is None:
                if any(w == plastic.weight for b, w in cell.biases.items() if b in population.needs):
                    return n
                continue
            for compartment in cell.compartments:
                if compartment.name in population.needs:
                    for path in compartment.paths:
                        if path.weight == plastic.weight and path.signal in heard:
                            return n
        return next(n for n, population in enumerate(self.populations) if population.layer == plastic.target)

    def _learning(self, plastic: Plastic) -> list[str]:
        """What must stand in the host for the weight to be there, even if no equation reads what it brings."""
        cell = self.program.cells[plastic.target]
        if plastic.source is None:
            return [bias for bias, weight in cell.biases.items() if weight == plastic.weight]
        heard = {self._origin(plastic.source, name) for name in plastic.reads("pre")}
        return [c.name for c in cell.compartments for p in c.paths if p.weight == plastic.weight and p.signal in heard]

    def _origin(self, layer: int, name: str) -> str:
        latch = self.program.latch(layer, name)
        return latch.signal if latch else name

    def _emitter(self, path: Path) -> int:
        """Index of the population that sends a path's signal (a broadcast starts at the first of its layer)."""
        return next(
            n
            for n, p in enumerate(self.populations)
            if p.layer == path.source and (path.kind == "broadcast" or p.sends == path.signal)
        )

    # -- the new program -------------------------------------------------------------------------------------------

    def result(self, given: Mapping[str, np.ndarray], weights: Mapping[str, np.ndarray]):
        cells = tuple(self._cell(n) for n in range(len(self.populations)))
        plastics = tuple(self._plastic(p) for p in self.program.plastics)
        own = {name: self.program.weights[base] for name, base in self.copies.items()}
        all_weights = {**self.program.weights, **{name: replace(w, name=name) for name, w in own.items()}}
        placed = replace(self.program, cells=cells, plastics=plastics, weights=all_weights, closed={})
        values = {
            f"{name}_{n}": given[f"{name}_{self.populations[n].layer}"]
            for n, cell in enumerate(cells)
            for name in cell.externals
        }
        values.setdefault("data_0", given["data_0"])
        return placed, values, {**weights, **{name: weights[base] for name, base in self.copies.items()}}

    def _cell(self, n: int) -> Cell:
        population = self.populations[n]
        old = self.program.cells[population.layer]
        compartments = [self._compartment(n, c) for c in old.compartments if c.name in population.needs]
        signals = []
        for name in population.arriving:
            signals.append(self._arriving(name))
            source = next(m for m, p in enumerate(self.populations) if (p.layer, p.sends) == (population.layer, name))
            compartments.append(
                Compartment(f"apical_{name}", f"{name} of this unit", "apical", (Path("identity", source, name),))
            )
        signals += [s for s in old.signals if s.name in population.needs]
        needs = population.needs
        title = f"layer{population.layer}" + (f"_{population.sends}" if population.sends else "")
        return replace(
            old,
            title=title,
            compartments=tuple(compartments),
            signals=tuple(signals),
            latches=tuple(k for k in old.latches if k.name in needs),
            sent=(population.sends,) if population.sends else (),
            externals=tuple(e for e in old.externals if e in needs),
            biases={b: self._copy(w, n, None) for b, w in old.biases.items() if b in needs},
        )

    def _arriving(self, name: str) -> Signal:
        return Signal(
            name,
            "algebraic",
            {p: Expr("name", f"apical_{name}") for p in self.program.phases},
            dict.fromkeys(self.program.phases, f"{name}, sent one to one"),
        )

    def _compartment(self, n: int, compartment: Compartment) -> Compartment:
        paths = []
        for path in compartment.paths:
            source = self._emitter(path)
            weight = path.weight and self._copy(path.weight, n, source, path.signal)
            paths.append(replace(path, source=source, weight=weight))
        return replace(compartment, paths=tuple(paths))

    def _copy(self, weight: str, n: int, source: int | None, signal: str | None = None) -> str:
        """The weight itself where it learns (or nothing learns), else a copy named after where it stands."""
        mine = [p for p in self.program.plastics if p.weight == weight]
        learns = any(
            self.hosts[id(p)] == n and (signal is None or signal in {self._origin(p.source, x) for x in p.reads("pre")})
            for p in mine
        )
        if learns or (not mine and self.fixed.setdefault(weight, (n, source)) == (n, source)):
            return weight
        population = self.populations[n]
        name = f"{weight}_to_{population.sends}" + (
            f"_from_{self.populations[source].sends}" if source is not None else ""
        )
        self.copies[name] = weight
        return name

    def _plastic(self, plastic: Plastic) -> Plastic:
        source = None if plastic.source is None else self._sender(plastic)
        return replace(plastic, source=source, target=self.hosts[id(plastic)])

    def _sender(self, plastic: Plastic) -> int:
        """Index of the one population whose spikes the synapses of a plasticity read."""
        signals = {self._origin(plastic.source, name) for name in plastic.reads("pre")} or {"rate"}
        if len(signals) != 1:
            raise InputError(
                f"{self.program.name}: the synaptic state of {plastic.weight} reads {', '.join(sorted(signals))} of the "
                "presynaptic unit, which are sent by different cells; use placement='unit'."
            )
        signal = signals.pop()
        return next(n for n, p in enumerate(self.populations) if (p.layer, p.sends) == (plastic.source, signal))


def _ordered(cell: Cell) -> tuple[str, ...]:
    """Transmitted signals so that each follows those of the same unit that it reads."""
    order = [s.name for s in cell.signals]
    return tuple(sorted(cell.sent, key=lambda name: (name != "rate", order.index(name))))
