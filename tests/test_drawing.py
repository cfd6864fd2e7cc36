"""A drawing of a circuit says what the plan has, all of it, once, and legibly."""

from __future__ import annotations

import re
from itertools import combinations, pairwise

import matplotlib.pyplot as plt
import pytest
from conftest import RULES
from looked import EVERY, example

from neurolearn.circuit.look.captions import LETTERS, edge_text, keys, weight_label
from neurolearn.circuit.look.drawing import draw
from neurolearn.circuit.look.layout import WIDTHS, layout
from neurolearn.circuit.look.outline import planned
from neurolearn.circuit.look.sketch import placed, sketch
from neurolearn.circuit.plan import Planned
from neurolearn.errors import InputError
from neurolearn.network import mlp
from neurolearn.timing import Timing

FA = RULES["feedback_alignment"]


@pytest.fixture(params=EVERY)
def circuit(request) -> Planned:
    return example(request.param)


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


def test_a_bias_is_marked_as_brian2_changes_it(circuit):
    """Oracle: the equations of the group that Brian2 runs: a bias that learns has a variable for its change, and reads its cell."""
    drawn = sketch(circuit)
    for group, cell in zip(circuit.plan.groups, placed(circuit).cells, strict=False):
        node, own = drawn.node(group.name), {line.partition(" :")[0] for line in group.equations}
        changed = [name for name in cell.biases if f"change_{name}" in own]
        assert (node.bias == "plastic") == bool(changed)
        assert bool(node.bias) == bool(own & set(cell.biases))
        code = "\n".join(line.split("#")[0] for part in group.regular for line in part.code)
        for name in changed:
            (read,) = set(re.findall(rf"change_{name} \+= (.*)", code))
            words = {re.sub("^(mean|sent)_", "", word) for word in re.findall(r"[a-z_]\w*", read)}
            if "mean_change" in read:  # a plasticity in every step: the product stands in another variable
                continue
            assert any(set(re.findall(r"[a-z]\w*", text)) <= words for text in node.reads), (read, node.reads)
    legend = dict(keys(drawn))
    assert {node.bias for node in drawn.nodes} - {""} == {what.removeprefix("bias ") for what in legend if what.startswith("bias ")}


def test_biases_of_feedback_alignment():
    """Oracle: by hand. The error cells of a hidden layer need its potential, and so a copy of its bias."""
    drawn = sketch(planned(FA, mlp([6, 5, 4, 3]), placement="cells", timing=Timing()))
    assert {n.name: (n.bias, n.reads) for n in drawn.nodes} == {
        "layer0_rate": ("", ()), "layer1_rate": ("plastic", ("error",)), "layer2_rate": ("plastic", ("error",)),
        "layer2_error": ("copy", ()), "layer3_error": ("plastic", ("error",)),
    }
    assert dict(keys(drawn))["bias plastic"] == "bias, plastic (Δ = error)"


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


@pytest.mark.parametrize("name", ["feedback_alignment", "dynamic_inversion", "dtp_learned_top"])
@pytest.mark.parametrize("placement", ["unit", "cells"])
def test_the_letters_stay_in_the_box_that_is_kept_free_for_them(name, placement):
    """Oracle: what the renderer measures; a box is guessed, as no font is asked."""
    circuit = planned(RULES[name], RULES[name].example(), placement=placement, timing=Timing())
    page = layout(sketch(circuit))
    figure = plt.figure(figsize=(page.width / 25.4, page.height / 25.4), dpi=100)
    ax = draw(circuit, figure.add_axes([0, 0, 1, 1]))
    where = {(round(text.get_position()[0], 6), text.get_text()): text for text in ax.texts}
    for label in page.labels:
        for line in label.lines:
            drawn = where[round(label.box.x0, 6), line].get_window_extent().transformed(ax.transData.inverted())
            assert drawn.x1 <= label.box.x1, line
    for _, words, x, _ in page.keys:
        (key,) = (text for (_, said), text in where.items() if said == words)
        assert key.get_window_extent().transformed(ax.transData.inverted()).x1 <= page.width, (words, x)
    plt.close(figure)


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
