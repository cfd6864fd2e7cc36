"""Looking at a circuit: the drawing and the table say what the plan has, all of it, once, and legibly."""

from __future__ import annotations

import json
import re
from itertools import combinations, pairwise

import matplotlib.pyplot as plt
import numpy as np
import pytest
from conftest import RULES
from typer.testing import CliRunner

from neurolearn.circuit import Background, Biology, Learner, build, script
from neurolearn.circuit.look.captions import LETTERS, edge_text, keys, weight_label
from neurolearn.circuit.look.drawing import draw
from neurolearn.circuit.look.layout import WIDTHS, layout
from neurolearn.circuit.look.nordlie import UNITS, parameters
from neurolearn.circuit.look.outline import planned
from neurolearn.circuit.look.sketch import sketch
from neurolearn.circuit.look.tables import Quantity, said
from neurolearn.circuit.plan import Planned
from neurolearn.cli import app
from neurolearn.errors import InputError
from neurolearn.network import Connection, Network, mlp
from neurolearn.stdp import pair
from neurolearn.timing import Timing

FA = RULES["feedback_alignment"]
UNIT_ONLY = {"gait_prop_orthogonal"}
SKIPS = Network(
    (6, 5, 4, 4, 3),
    (Connection(0, 1), Connection(1, 2), Connection(0, 2), Connection(2, 3, "identity"), Connection(3, 4), Connection(1, 4)),
)


def every() -> dict[str, tuple]:
    """Name -> what ``planned`` takes: all rules in both placements, a rate circuit, Poisson input, skips, many layers."""
    found = {
        f"{name} {placement}": (rule, rule.example(), {"placement": placement})
        for name, rule in RULES.items()
        for placement in ("unit", "cells")
        if (name, placement) not in {(n, "cells") for n in UNIT_ONLY}
    }
    deep, cells = mlp([784, 64, 32, 32, 10]), {"placement": "cells"}
    return found | {
        "rate": (RULES["dtp_learned_top"], RULES["dtp_learned_top"].example(), {"kind": "rate"}),
        "poisson": (FA, FA.example(), {**cells, "timing": Timing(encoding="poisson")}),
        "skips unit": (FA, SKIPS, {}),
        "skips cells": (FA, SKIPS, cells),
        "deep unit": (FA, deep, {}),
        "deep cells": (FA, deep, cells),
        **{name: (FA, mlp([6, 5, 4, 3]), {**cells, **options}) for name, options in BEYOND.items()},
    }


BEYOND = {  # what circuits have beyond their rule: codings, ways to learn, physiology, several cells per unit
    "baseline": {"timing": Timing(codings={"error": "baseline"}, unit_rate=50.0)},
    "two phases": {"timing": Timing(settle=2000, codings={"error": "two_phase", "rate": "rectified_pair"})},
    "graded": {"timing": Timing(codings={"error": "graded"})},
    "clocked": {"plasticity": "clocked"},
    "events": {"plasticity": "events"},
    "stdp": {"plasticity": pair()},
    "physiology": {"biology": Biology(delays={"B": 3e-3}, heterogeneity=0.1, irregularity=0.5, background=Background(0.1, 5e-3))},
    "three cells": {"timing": Timing(cells=3)},
}


EVERY = every()
PLANS: dict[str, Planned] = {}


@pytest.fixture(params=EVERY)
def circuit(request) -> Planned:
    if request.param not in PLANS:
        rule, network, options = EVERY[request.param]
        PLANS[request.param] = planned(rule, network, **{"timing": Timing(), **options})
    return PLANS[request.param]


# -- what is drawn -----------------------------------------------------------------------------------------------------


def test_every_group_and_every_synapses_of_the_plan_is_drawn_once(circuit):
    """Oracle: the plan. What learns there has a variable ``change``; rows are the layers of the Program."""
    drawn, plan = sketch(circuit), circuit.plan
    assert sorted(n.name for n in drawn.nodes) == sorted(g.name for g in (*plan.groups, *plan.spikes))
    assert sorted(e.name for e in drawn.edges) == sorted(s.name for s in plan.synapses)
    edges = {e.name: e for e in drawn.edges}
    for s in plan.synapses:
        edge = edges[s.name]
        assert (edge.source, edge.target) == (s.source, s.target)
        assert edge.plastic == any(re.match("d?change( :|/dt)", line) for line in s.model)
        assert edge.count * plan.copies == len(s.i)
        assert (edge.form == "all_to_all") == (s.w is not None)
    for group in plan.groups:
        assert drawn.node(group.name).size * plan.copies == group.size
    layers = {cell.title: cell.layer for cell in circuit.program.cells if cell.layer <= circuit.program.network.output}
    for edge in drawn.edges:
        if edge.source in layers and edge.target in layers:
            up = layers[edge.target] - layers[edge.source]
            assert edge.way == ("forward" if up > 0 else "feedback" if up < 0 else "lateral")


def test_a_label_names_what_the_synapses_read(circuit):
    """Oracle: the variables of either end in the code and the equations that Brian2 will run at these synapses."""
    if any(re.match("d?change/dt|open_", line) for s in circuit.plan.synapses for line in s.model):
        pytest.skip("learns from spikes as they come: the code has them under other names")
    for edge in sketch(circuit).edges:
        s = next(s for s in circuit.plan.synapses if s.name == edge.name)
        code = [line for part in s.regular for line in part.code if line.startswith("change +=")]
        code += [line for line in s.model if "clock-driven" in line]
        text = "\n".join(line.split("#")[0] for line in code)
        read = {re.sub("^(mean|sent|filtered)_", "", name) for name in re.findall(r"\w+_(?:post|pre)\b", text)}
        read = {n for n in read if not re.match("(window_open|during_.*|last_window|tick)_post", n)}
        for letters in LETTERS:
            label = " ".join(edge_text(edge, ("learn",), True, letters)[1:])
            assert set(re.findall(r"\w+_(?:post|pre)\b", label)) == read
        assert read == {f"{n}_post" for m in edge.learns for n in m.post} | {f"{n}_pre" for m in edge.learns for n in m.pre}


def test_kinds_of_cells_of_feedback_alignment():
    """Oracle: by hand. What an error cell sends depends on the teacher; a copy follows the weights that learn."""
    drawn = sketch(planned(FA, mlp([6, 5, 4, 3]), placement="cells", timing=Timing()))
    assert {n.name: n.kind for n in drawn.nodes} == {
        "layer0_rate": "input", "layer1_rate": "rate", "layer2_rate": "rate", "layer2_error": "error",
        "layer3_error": "error",
    }
    assert [e.name for e in drawn.edges if e.copy] == ["W_2_1_to_error_from_rate"]
    assert [(e.name, e.form) for e in drawn.edges if e.apical] == [("identity_apical_error_2_3", "one_to_one")]
    assert drawn.node("layer3_error").outside == ("teacher",)
    assert {signal: column for (_, signal), column in drawn.columns.items()} == {"rate": 0, "error": 1}


def test_ties_and_broadcasts_are_told_apart():
    """Oracle: the rules' texts: backprop reads W backwards, kickback sends a signal back along it and has a broadcast."""
    legends = {
        name: dict(keys(sketch(planned(RULES[name], RULES[name].example(), timing=Timing()))))
        for name in ("backprop", "kickback", "feedback_alignment")
    }
    marks = {"transpose", "retrograde", "broadcast"}
    assert {name: marks & set(found) for name, found in legends.items()} == {
        "backprop": {"transpose"}, "kickback": {"retrograde", "broadcast"}, "feedback_alignment": set(),
    }


@pytest.mark.parametrize(("name", "label"), [
    ("W_2_1", "W₂₁"), ("W_2_1_to_error_from_rate", "W₂₁"), ("W_12_11", "W₁₂,₁₁"), ("Q_1_2_by_view", "Q₁₂ by view"),
    ("Q_1_2_by_view_to_target_from_view", "Q₁₂ by view"),
])
def test_names_of_weights(name, label):
    assert weight_label(name) == label


# -- how it lies on the page -------------------------------------------------------------------------------------------


def uprights(page, drawn):
    """(axon or edge, x, bottom, top) of every vertical line; the parts of one axon count as one."""
    senders = {e.name: e.source for e in drawn.edges}
    for wire in page.wires:
        for line in wire.lines:
            for k, (a, b) in enumerate(pairwise(line)):
                if a[0] == b[0] and a[1] != b[1]:
                    key = (senders[wire.edge], a[0]) if k == 0 else wire.edge
                    yield key, a[0], min(a[1], b[1]), max(a[1], b[1])


def test_nothing_lies_on_anything_else(circuit):
    """Oracle: rectangles and intervals. Nodes and labels are apart, all is on the page, and lines only cross."""
    drawn = sketch(circuit)
    page = layout(drawn)
    for a, b in combinations([*page.boxes.values(), *(label.box for label in page.labels)], 2):
        assert not a.overlaps(b)
    for box in (*page.boxes.values(), *(label.box for label in page.labels)):
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= page.width and box.y1 <= page.height
    for (one, x, lo, hi), (other, z, bottom, top) in combinations(set(uprights(page, drawn)), 2):
        if one != other and abs(x - z) < 0.4:
            same = isinstance(one, tuple) or isinstance(other, tuple)
            assert min(hi, top) - max(lo, bottom) <= 1e-9 or (same and _of_one_axon(one, other, drawn)), (one, other)


def _of_one_axon(one, other, drawn) -> bool:
    """Whether an edge goes straight on from the axon that it belongs to."""
    names = [n for n in (one, other) if isinstance(n, str)]
    axons = [n[0] for n in (one, other) if isinstance(n, tuple)]
    return bool(names) and all(next(e.source for e in drawn.edges if e.name == n) in axons for n in names)


def test_every_line_begins_at_its_cell_and_ends_at_its_target(circuit):
    """Oracle: the boxes. Forward edges end below a node, all others on top of it."""
    drawn = sketch(circuit)
    page = layout(drawn)
    for wire in page.wires:
        edge = next(e for e in drawn.edges if e.name == wire.edge)
        box, source = page.boxes[edge.target], page.boxes[edge.source]
        assert box.x0 - 2 <= wire.tip[0] <= box.x1 + 2
        assert wire.tip[1] == (box.y0 if edge.way == "forward" else box.y1)
        assert all(line[-1] == wire.tip for line in wire.lines)
        for line in wire.lines:
            assert line[0][1] in (source.y0, source.y1)
            assert all(a[0] == b[0] or a[1] == b[1] for a, b in pairwise(line))


@pytest.mark.parametrize("width", [*WIDTHS, 140.0])
def test_a_page_has_the_width_of_a_journal(width):
    page = layout(sketch(planned(FA, FA.example(), placement="cells", timing=Timing())), width)
    assert page.width == WIDTHS.get(width, width)


def test_a_drawing_is_written_in_three_formats_and_into_axes(tmp_path):
    circuit = planned(FA, FA.example(), placement="cells", timing=Timing())
    for suffix, start in ((".svg", b"<?xml"), (".pdf", b"%PDF"), (".png", b"\x89PNG")):
        draw(circuit, path=tmp_path / f"drawing{suffix}")
        assert (tmp_path / f"drawing{suffix}").read_bytes().startswith(start)
    svg = (tmp_path / "drawing.svg").read_text()
    words = {"feedback alignment", "teacher", "layer 2", "W₂₁ copy", "plastic (Δ: what it learns from)"}
    assert not [word for word in words if word not in svg]
    assert svg.count("Δ = error_post · rate_pre") == 3 - svg.count("Δ = error_post ·<")
    figure, ax = plt.subplots(figsize=(3, 3))
    assert draw(circuit, ax, title=False, legend=False) is ax
    assert {text.get_text() for text in ax.texts} >= {"error", "rate", "B₂₃"}
    plt.close(figure)
    with pytest.raises(InputError, match=r"'drawing.gif'; a drawing is written as .svg, .pdf, .png"):
        draw(circuit, path="drawing.gif")
    with pytest.raises(InputError, match="width is 'wide'; give millimetres or one of single, middle, double"):
        draw(circuit, width="wide")


# -- the table of parameters -------------------------------------------------------------------------------------------

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


# -- on the command line -----------------------------------------------------------------------------------------------


def run(*args: object):
    return CliRunner().invoke(app, ["draw", *map(str, args)], prog_name="neurolearn")


def test_the_command_writes_a_drawing_and_its_table(tmp_path, monkeypatch):
    """Oracle: the table and the size of the page that the functions give."""
    monkeypatch.chdir(tmp_path)
    done = run("feedback_alignment", "--sizes", "6-5-3", "--width", "120", "--parameters", "table.json")
    assert done.exit_code == 0, done.output
    assert done.stdout.split() == ["drawing:", "feedback_alignment.svg", "parameters:", "table.json"]
    svg = (tmp_path / "feedback_alignment.svg").read_text()
    assert float(re.search(r'width="([\d.]+)pt"', svg)[1]) == pytest.approx(120 / 25.4 * 72)
    assert "spiking circuit, one cell, one axon; 6-5-3 tanh" in svg
    read = json.loads((tmp_path / "table.json").read_text())
    counts = {row["name"]: row["synapses"] for s in read["sections"] if s["title"] == "Connectivity" for row in s["rows"]}
    assert counts == {"B_1_2": 15, "W_1_0": 30, "W_2_1": 15}
    assert run("feedback_alignment", "--kind", "rate", "--out", "rate.png").exit_code == 0
    assert (tmp_path / "rate.png").stat().st_size > 1000


@pytest.mark.parametrize(("args", "sentence"), [
    (["nonsense"], "RULE: there is no rule 'nonsense'"),
    (["backprop", "--out", "a.gif"], "--out is 'a.gif'; give a file that ends in .svg, .pdf, .png."),
    (["backprop", "--parameters", "a.doc"], "--parameters is 'a.doc'; give a file that ends in .md"),
    (["backprop", "--out", "no/a.svg"], "--out is 'no/a.svg', which lies in 'no', which is no folder"),
    (["backprop", "--kind", "analog"], "--kind is 'analog'; choose from rate, spiking."),
    (["backprop", "--placement", "rows"], "--placement is 'rows'; choose from unit, cells."),
    (["backprop", "--placement", "cells", "--kind", "rate"], "with --kind rate leave it out"),
    (["backprop", "--width", "wide"], "--width is 'wide'; give single, middle, double, or 40 to 1000 mm."),
    (["backprop", "--width", "nan"], "--width is 'nan'"),
    (["backprop", "--sizes", "3"], "--sizes is '3'"),
    (["gait_prop_orthogonal"], "use placement='unit'"),
])
def test_what_the_command_refuses(args, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run(*args)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("neurolearn: ") and sentence in done.stderr
    assert not list(tmp_path.iterdir())


def test_the_help_of_the_command_names_its_options():
    text = run("--help").stdout
    words = ("RULE", "--kind", "--placement", "--sizes", "--activation", "--width", "--out", "--parameters", "Nordlie")
    assert not [word for word in words if word not in text]
    assert "neurolearn draw feedback_alignment" in text
