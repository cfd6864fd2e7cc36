"""The table of a circuit's parameters has every number that Brian2 has, with its unit, and the same in every format."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from conftest import RULES
from looked import EVERY, example

from neurolearn.circuit import Biology, Learner, build, script
from neurolearn.circuit.look.nordlie import UNITS, parameters
from neurolearn.circuit.look.outline import planned
from neurolearn.circuit.look.sketch import sketch
from neurolearn.circuit.look.tables import Quantity, said
from neurolearn.circuit.plan import Planned
from neurolearn.errors import InputError
from neurolearn.network import Connection, Network, mlp
from neurolearn.timing import Timing

FA = RULES["feedback_alignment"]


@pytest.fixture(params=EVERY)
def circuit(request) -> Planned:
    return example(request.param)


BUILT = {
    "rate": ("dtp_learned_top", mlp([4, 3, 2]), {"kind": "rate"}),
    "unit": ("kickback", mlp([4, 3, 1], "softplus", signed=True), {"placement": "unit"}),
    "cells": ("feedback_alignment", mlp([5, 4, 3, 2]), {"placement": "cells", "biology": Biology(delays={"B": 3e-3})}),
    "poisson": ("infomax", mlp([4, 3]), {"placement": "cells", "timing": Timing(encoding="poisson", jitter=0.1)}),
}


@pytest.mark.parametrize("name", BUILT)
def test_the_table_has_the_numbers_of_the_brian2_objects(name):
    """Oracle: len, N, the namespace and the delays of the objects that Brian2 made for two samples."""
    rule, network, options = RULES[BUILT[name][0]], *BUILT[name][1:]
    x, teacher = np.zeros((2, network.sizes[0])), np.zeros((2, network.sizes[-1]))
    built = build(rule, network, x, teacher, **{"timing": Timing(), **options})
    table, dt = parameters(built), built.plan.dt
    rows = {row[0]: dict(zip(table["Connectivity"].head, row, strict=True)) for row in table["Connectivity"].rows}
    found = {name: one for name, one in built.objects.items() if hasattr(one, "source") and hasattr(one, "connect")}
    assert set(rows) == set(found)
    for key, s in found.items():
        row = rows[key]
        assert row["synapses"] * 2 == len(s)
        assert (row["fan-in"], row["fan-out"]) == (len(s) / len(set(s.j[:])), len(s) / len(set(s.i[:])))
        ways = [way for way in s._pathways if way.variables["delay"] is not None]
        late = {float(np.ravel(way.delay_)[0] if np.size(way.delay_) else 0) + dt for way in ways}
        assert ({row["delay"].value} == late) if late else row["delay"] == "none: graded"
        if hasattr(s, "w"):
            assert row["weights, mean ± sd"] == f"{np.mean(s.w[:]):.3g} ± {np.std(s.w[:]):.3g}"
    units = dict(zip(table["Populations"].column("name"), table["Populations"].column("units"), strict=True))
    assert {key: 2 * size for key, size in units.items()} == {
        key: one.N for key, one in built.objects.items() if not hasattr(one, "connect")}
    taus = dict(zip(table["Synapse model"].column("compartment"), table["Synapse model"].column("time constant"), strict=True))
    for group in built.plan.groups:
        space = built.objects[group.name].namespace
        mine = [key for key in taus if key in built.objects[group.name].equations]
        assert all(taus[key].value == float(space[f"tau_{key}"]) for key in mine)


def test_no_number_of_the_circuit_is_missing_from_the_table(circuit):
    """Oracle: the printed script. Every constant that its code uses stands in some cell, times and rates with units."""
    table = parameters(circuit)
    cells = [cell for section in table.sections for row in section.rows for cell in row]
    quantities = {cell for cell in cells if isinstance(cell, Quantity)}
    words = " ".join(map(said, cells))
    code = "\n".join(k for k in script.text(circuit.plan).splitlines() if not k.startswith("    space["))
    for name, (value, unit) in circuit.plan.namespace.items():
        if not re.search(rf"\b{name}\b", code):
            continue
        if unit:
            here = Quantity(value, UNITS[unit])
            assert here in quantities or str(here) in words, name
        else:
            assert re.search(rf"(?<![\w.-]){re.escape(f'{value:.4g}')}(?![\w.])", words), name
    plastic = {s.name for s in circuit.plan.synapses if any(re.match("d?change( :|/dt)", line) for line in s.model)}
    assert plastic == set(table["Plasticity"].column("where")) - {g.name for g in circuit.plan.groups}
    assert {row[0] for row in table["Connectivity"].rows if row[-2] == "plastic"} == plastic


def test_an_online_circuit_can_be_looked_at():
    """Oracle: its plan, and the times that its samples were given."""
    network = mlp([3, 3, 2])
    learner = Learner(FA, network, timing=Timing(settle=40, window=20), placement="cells", samples=3, target="numpy")
    drawn, table = sketch(learner.circuit), parameters(learner.circuit)
    assert {n.name for n in drawn.nodes} == {g.name for g in learner.circuit.plan.groups}
    assert {e.name for e in drawn.edges} == {s.name for s in learner.circuit.plan.synapses}
    said_of = dict(table["Model summary"].rows)
    assert (said_of["presentation"], said_of["window"], said_of["copies"]) == ("60 ms", "20 ms", "1; samples follow one another")


@pytest.mark.parametrize(("value", "unit", "text"), [
    (1e-3, "s", "1 ms"), (0.01, "s", "10 ms"), (2.0, "s", "2 s"), (1e6, "s", "1e+06 s"), (2.5e-5, "s", "25 µs"),
    (200.0, "Hz", "200 Hz"), (0.0, "s", "0 s"), (12500.0, "Hz", "12.5 kHz"),
])
def test_quantities_are_said_in_the_unit_that_fits(value, unit, text):
    assert str(Quantity(value, unit)) == text


def test_a_table_is_the_same_in_every_format(tmp_path):
    """Oracle: the cells themselves, found again in what was written."""
    table = parameters(planned(RULES["dtp_learned_top"], mlp([5, 4, 4, 3]), placement="cells", timing=Timing()))
    for suffix in (".md", ".tex", ".json", ".txt"):
        assert table.save(tmp_path / f"table{suffix}").stat().st_size > 1000
    read = json.loads((tmp_path / "table.json").read_text())
    assert [s["title"] for s in read["sections"]] == [s.title for s in table.sections]
    assert read["sections"][0]["title"] == "Model summary" and table["Connectivity"].head[0] == "name"
    times = {row["name"]: row["value"] for s in read["sections"] if s["title"] == "Constants" for row in s["rows"]}
    assert times["learning_rate"] == 1.0 and times["sigma"] == RULES["dtp_learned_top"].constants["sigma"]
    text, markdown, latex = ((tmp_path / f"table{s}").read_text() for s in (".txt", ".md", ".tex"))
    for section in table.sections:
        for row in section.words():
            assert any(re.sub(r"\s+", " ", "  ".join(row)).strip() == re.sub(r"\s+", " ", k) for k in text.splitlines())
            assert any(all(word.replace("*", "\\*") in line for word in row) for line in markdown.splitlines())
            assert any(line.count(" & ") == len(row) - 1 for line in latex.splitlines())
    assert latex.count(r"\begin{tabularx}") == latex.count(r"\end{tabularx}") == len(table.sections)
    assert not re.search(r"(?<!\\)[_%#](?!\{)", "\n".join(k for k in latex.splitlines() if not k.startswith("%")))
    with pytest.raises(InputError, match=r"'table.doc'; parameters are written as .md, .tex, .json, .txt"):
        table.save("table.doc")


def test_gaps_in_a_matrix_are_said():
    """Oracle: by hand: 2 of 6 synapses; a network without self connections."""
    mask = np.array([[1, 0], [0, 1], [0, 0]])
    network = Network((4, 2, 3), (Connection(0, 1), Connection(1, 2, "masked", mask)))
    table = parameters(planned(FA, network, timing=Timing()))["Connectivity"]
    patterns = dict(zip(table.column("name"), table.column("pattern"), strict=True))
    assert patterns["W_2_1"] == "sparse, 33.3 %" and patterns["W_1_0"] == "all to all"
    lateral = parameters(planned(RULES["infomax"], RULES["infomax"].example(), timing=Timing()))["Connectivity"]
    assert dict(zip(lateral.column("name"), lateral.column("pattern"), strict=True))["L_1_1"] == "all to all but itself"
