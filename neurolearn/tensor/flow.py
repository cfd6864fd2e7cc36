"""The circuit's own flow, before it has settled: d/dt of every compartment and state, as torch text."""

from __future__ import annotations

from typing import NamedTuple

from neurolearn.equations import Expr
from neurolearn.program import Node, Program
from neurolearn.tensor.emit import compartment_text, torch_text


class Block(NamedTuple):
    """One state variable of one cell: a compartment or a differential signal."""

    cell: int
    name: str
    size: int


def blocks(program: Program, phase: str) -> list[Block]:
    """State variables that matter in a phase."""
    found = []
    for k, cell in enumerate(program.cells):
        used = {name for s in cell.signals if phase in s.forms for name in s.forms[phase].names()}
        used |= {e for p in program.plastics if p.phase == phase and p.target == k for e in p.reads("post")}
        found += [
            Block(k, c.name, cell.size if c.paths[0].kind != "broadcast" else 1)
            for c in cell.compartments
            if c.name in used
        ]
        found += [Block(k, s.name, cell.size) for s in cell.signals if s.kind == "differential" and phase in s.forms]
    return found


def source(program: Program, phase: str, taus: dict[str, float]) -> str:
    """Text of ``flow(state, given, weight)`` -> d state / dt, in units of the synaptic time constant.

    state: (batch, total size of ``blocks``). taus: "pathway.signal" -> time constant over the synaptic one. Also
    ``settled(signal, weight)``: the state that belongs to given settled signals {name_cell: tensor}.
    """
    variables = blocks(program, phase)
    names = [f"{b.name}_{b.cell}" for b in variables]
    head = [f"    {w.name} = weight['{w.name}']" for w in program.free()]
    out = ["def flow(state, given, weight):", *head]
    out += [f"    {name} = {value!r}" for name, value in {**program.constants, **program.times}.items()]
    out += [f"    {n}_{k} = given['{n}_{k}']" for k, cell in enumerate(program.cells) for n in cell.externals]
    out += [
        f"    {k.name}_{c} = given['{k.name}_{c}']"
        for c, cell in enumerate(program.cells)
        for k in cell.latches
        if program.phases.index(k.phase) < program.phases.index(phase)
    ]
    out.append(
        f"    {', '.join(names)}{',' if len(names) == 1 else ''} = state.split({[b.size for b in variables]}, dim=1)"
    )
    for k, cell in enumerate(program.cells):
        for s in cell.signals:
            if s.kind == "algebraic" and phase in s.forms:
                out.append(f"    {s.name}_{k} = {_text(program, Node(k, s.name), phase)}")
    out.append("    return torch.cat([")
    for block in variables:
        cell = program.cells[block.cell]
        if cell.has(block.name):
            out.append(f"        {_text(program, Node(block.cell, block.name), phase)},")
        else:
            compartment = next(c for c in cell.compartments if c.name == block.name)
            value = compartment_text(program, block.cell, compartment)
            out.append(f"        ({value} - {block.name}_{block.cell})/{taus.get(compartment.key, 1.0)!r},")
    out += ["    ], dim=1)", "", "def settled(signal, weight):", *head]
    out += [f"    {n} = signal['{n}']" for n in sorted(_sources(program, variables))]
    out.append("    return torch.cat([")
    for block in variables:
        cell = program.cells[block.cell]
        compartment = next((c for c in cell.compartments if c.name == block.name), None)
        value = compartment_text(program, block.cell, compartment) if compartment else f"{block.name}_{block.cell}"
        out.append(f"        {value},")
    out.append("    ], dim=1)")
    return "\n".join(out) + "\n"


def _sources(program: Program, variables: list[Block]) -> set[str]:
    found = set()
    for block in variables:
        cell = program.cells[block.cell]
        compartment = next((c for c in cell.compartments if c.name == block.name), None)
        if compartment:
            found |= {f"{p.signal}_{p.source}" for p in compartment.paths}
        else:
            found.add(f"{block.name}_{block.cell}")
    return found


def _text(program: Program, node: Node, phase: str) -> str:
    cell = program.cells[node.cell]

    def leaf(expr: Expr) -> str:
        name = expr.value
        if name in program.constants or name in program.times:
            return name
        return cell.biases.get(name, f"{name}_{node.cell}")

    return torch_text(program.form(node, phase, closed=False), leaf, cell.activation)
