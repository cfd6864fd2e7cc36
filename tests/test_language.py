"""The language: what a rule may say, what is said, and where, when it may not, and what becomes of the rest."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path as File

import numpy as np
import pytest
from conftest import small

from neurolearn import rules, streams
from neurolearn.equations import Expr, Reader, Span, show
from neurolearn.errors import InputError, RuleError
from neurolearn.network import Connection, Network, mlp
from neurolearn.program import Node, Path, lower
from neurolearn.rule import Pathway, Phase, Population, Rule, Tied
from neurolearn.tensor.rate import RateProgram

ROOT = File(__file__).resolve().parent.parent
B = {"B": Pathway("above")}
SOUND = {  # feedback alignment; each broken rule changes one thing in it
    "name": "broken", "pathways": B, "hidden": "error = slope * B(error_above)", "output": "error = teacher - rate",
    "plasticity": {"W": "error_post * rate_pre"},
}
KEEP = {"W": "error_post * rate_pre"}


def hidden(line: str, **more) -> dict:
    return {"hidden": line, **more}


def learns(text: str) -> dict:
    return {"plasticity": {"W": text}}


# What is broken, how, what the message says, and what stands at the caret in the line that was given.
BROKEN = [
    # calls
    ("unknown function", hidden("error = slope * sinh2(potential)"), "'sinh2' is neither a pathway nor", "sinh2("),
    ("wrong number of arguments", hidden("error = rate * exp(slope, 2)"), "exp takes 1 argument(s), not 2", "exp("),
    ("where with one argument", hidden("error = where(slope > 0)"), "where takes 3 argument(s), not 1", "where("),
    ("where without comparison", hidden("error = where(slope, 1, 0)"), "argument of where is a comparison", "slope"),
    ("comparison outside where", hidden("error = rate * (slope > 0)"), "one comparison, inside where", "slope > 0"),
    ("sum in a cell", hidden("error = slope * sum(rate)"), "sum belongs to a broadcast", "sum("),
    # signals
    ("unknown signal", hidden("error = gain * B(error_above)"), "hidden layer has no signal 'gain'", "gain"),
    ("unknown signal above", hidden("error = slope * B( eror_above)"), "no signal 'eror'", "eror_above"),
    ("unknown signal at a synapse", learns("rate_pre * eror_post"), "no signal 'eror'", "eror_post"),
    ("error above, bare", hidden("error = slope * error_above"), "from above, as in B(error_above)", "error_above"),
    ("rate below, bare", hidden("error = slope * rate_below"), "from below, as in W(rate_below)", "rate_below"),
    ("rate_pre in a cell", hidden("error = slope * rate_pre"), "names ending so stand in plasticity", "rate_pre"),
    ("teacher in a hidden layer", hidden("error = slope * (teacher - rate)"), "to the output layer only", "teacher"),
    ("data in a hidden layer", hidden("error = slope * data"), "known to the input layer only", "data"),
    ("time constant in algebra", hidden("error = slope * tau_c", times={"tau_c": 2}), "belongs in a line", "tau_c"),
    ("pathway without a signal", hidden("error = slope * B"), "B is a pathway; call it with a signal", "B"),
    # pathways
    ("no direction", hidden("error = slope * B(error)"), "where it comes from; write B(signal_above)", "error)"),
    ("wrong direction", hidden("error = slope * B(error_below)"), "from 'above', not 'below'", "error_below"),
    ("arithmetic inside", hidden("error = slope * B(2*error_above)"), "one named signal of another cell", "B(2"),
    ("no argument", hidden("error = slope * B()"), "one named signal of another cell", "B()"),
    ("nothing above the output", {"output": "error = B(error_above)"}, "nothing lies above this output layer", "B("),
    # locality
    ("teacher at a synapse", learns("rate_pre * teacher"), "'teacher' is not available at a synapse", "teacher"),
    ("bare rate at a synapse", learns("error_post * rate"), "'rate' is not available at a synapse", "rate"),
    ("pathway at a synapse", learns("rate_pre * B(error_above)"), "a synapse has no pathways", "B("),
    ("f at a synapse", learns("rate_pre * f(error_post)"), "a synapse has no pathways and no f", "f("),
    ("a rate that is not per time", hidden("dslow/dt = rate - slow\nerror = slope*slow"), "is not per time", "rate - slow"),
    ("sides that differ in time", hidden("dslow/dt = rate/tau - slow\nerror = slope*slow", times={"tau": 2.0}),
     "the two sides differ in time", "rate/tau"),
    ("synapse without dw", learns("dtrace/dt = rate_pre - trace"), "one line must say dw", "dtrace"),
    ("algebra at a synapse", learns("dw = x\nx = error_post*rate_pre"), "one line dw", "x ="),
    ("the teacher's label at a synapse", learns("dw = rate_pre*teacher_post"), "no signal 'teacher'", "teacher_post"),
    # names
    *((f"reserved name {name}", hidden(f"error = slope\n{name} = 2*rate"), f"{name!r} is taken by the simulators", name)
      for name in ("dt", "i", "mV", "I_x", "held_x", "n", "class", "pool")),
    ("name ending in _pre", hidden("error = slope\nrate_pre = 2*rate"), "ends in _pre, which says where", "rate_pre"),
    ("name ending in _above", hidden("error = slope\nx_above = 2*rate"), "ends in _above, which says where", "x_above"),
    ("name ending in a layer", hidden("error = slope\nrate_1 = rate"), "as the programs number their layers", "rate_1"),
    ("no name", hidden("error = slope\n2x = rate"), "'2x' is no name", "2x"),
    ("a pathway's name", hidden("error = slope\nB = rate"), "'B' is a pathway; a signal needs a name of its own", "B"),
    ("a constant's name", hidden("error = slope\nk = rate", constants={"k": 1}), "'k' is a constant", "k"),
    # lines
    ("assignment missing", hidden("slope * B(error_above)"), "expected 'x = expression'", "slope"),
    ("comparison as a line", hidden("error == slope"), "expected 'x = expression'", "error"),
    ("syntax error", hidden("error = slope * * rate"), "cannot read this", "* rate"),
    ("unfinished", hidden("error = slope *"), "cannot read this", ""),
    ("bracket left open", hidden("error = slope * (rate + 1"), "cannot read this", "("),
    ("defined twice", hidden("error = slope\nerror = rate"), "'error' is defined twice", "error"),
    ("clamped and defined", hidden("error = slope\nclamp error = rate"), "'error' is defined twice", "clamp"),
    ("loop within a layer", hidden("error = slope * other\nother = 2*error"), "loop among error, other;", "error"),
    ("loop beside what hangs on it", hidden("error = x\ny = x\nx = 2*y"), "an algebraic loop among x, y;", "x"),
    # constructions of Python
    ("attribute", hidden("error = rate * slope.mean"), "'slope.mean' (attribute) is not part", "slope.mean"),
    ("subscript", hidden("error = rate * slope[0]"), "'slope[0]' (subscript) is not part", "slope[0]"),
    ("lambda", hidden("error = rate * (lambda x: x)"), "(lambda) is not part of the language", "lambda"),
    ("string", hidden("error = rate * 'gain'"), "(constant) is not part of the language", "'gain'"),
    ("truth", hidden("error = rate * True"), "'True' (constant) is not part", "True"),
    ("infinity", hidden("error = rate * 1e999"), "(constant) is not part of the language", "1e999"),
    ("and", hidden("error = where(rate and slope, 1, 0)"), "'rate and slope' (boolop) is not part", "rate and"),
    ("chained comparison", hidden("error = where(0 < rate < 1, 1, 0)"), "(compare) is not part", "0 < rate < 1"),
    ("choice", hidden("error = rate + (rate if 1 else 2)"), "(ifexp) is not part of the language", "rate if"),
    ("matrix product", hidden("error = rate + slope @ rate"), "'slope @ rate' (binop) is not part", "slope @"),
    ("keyword", hidden("error = rate * exp(x=slope)"), "(call) is not part of the language", "exp("),
    ("after letters of two bytes", hidden("error = rate * ä * sinh2(rate)"), "'sinh2' is neither", "sinh2"),
    # plasticity, latches, broadcasts
    ("plasticity of no pathway", {"plasticity": {**KEEP, "V": "rate_post"}},
     "there is no pathway 'V'; this rule has W, B, b", "rate_post"),
    ("plasticity of a tied pathway",
     {"pathways": {"B": Pathway("above", Tied("W"))}, "plasticity": {**KEEP, "B": "rate_post"}},
     "B is tied to W and cannot learn by itself", "rate_post"),
    ("plasticity of a pathway that nobody calls",
     {"pathways": {**B, "V": Pathway("above")}, "plasticity": {**KEEP, "V": "rate_post"}},
     "no cell calls V, so it has no synapses; write V(signal_above)", "rate_post"),
    ("latch of an expression", {"phases": {"free": Phase(hidden="latch kept = 2*rate")}},
     "latch keeps one signal", "2*rate"),
    ("latch of what is not there", hidden("error = kept", phases={"free": Phase(hidden="latch kept = rat")}),
     "no signal 'rat'", "rat"),
    ("latch of a derivative", {"phases": {"free": Phase(hidden="latch dkept/dt = rate")}},
     "write 'latch kept = ...'", "latch"),
    ("latched and computed", {"phases": {"free": Phase(hidden="kept = slope\nlatch kept = rate")}},
     "'kept' is latched and computed", "latch"),
    ("latched in two phases", hidden("error = kept", phases={"free": Phase(hidden="latch kept = rate"),
                                                             "late": Phase(hidden="latch kept = slope")}),
     "'kept' is latched in two phases", "latch kept = slope"),
    ("latch read before it is filled", hidden("error = kept\nlatch kept = rate"), "no signal 'kept'", "kept"),
    ("broadcast of a vector", {"broadcast": {"reward": "teacher - rate"}},
     "write sum(expression of the output", "teacher"),
    ("name of a constant", {"constants": {"dt": 1.0}}, "'dt' is taken by the simulators", "dt"),
]


def given_lines(changes: dict) -> list[str]:
    """All lines of text in what a rule was changed by, names of constants too."""
    lines: list[str] = []
    for key, value in changes.items():
        if key in ("hidden", "output"):
            lines += value.splitlines()
        elif key == "phases":
            lines += [line for phase in value.values() for line in phase.hidden.splitlines()]
        elif key in ("plasticity", "broadcast"):
            lines += [line for text in value.values() for line in text.splitlines()]
        elif key == "constants":
            lines += list(value)
    return lines


@pytest.mark.parametrize(("changes", "sentence", "at"), [case[1:] for case in BROKEN], ids=[case[0] for case in BROKEN])
def test_a_broken_rule_is_refused_at_its_place(changes, sentence, at):
    with pytest.raises(RuleError) as caught:
        Rule(**{**SOUND, **changes})
    error = caught.value
    assert sentence in error.message
    assert error.message.rstrip(".") != error.message  # a sentence
    assert error.line in given_lines(changes)  # the offending line is one of the author's
    assert error.line[error.column :].startswith(at)
    assert at or error.column == len(error.line)  # what is missing is missing at the end
    *_, line, caret = str(error).splitlines()
    assert line == "    " + error.line
    assert caret == " " * (4 + error.column) + "^"
    assert "'broken'" in str(error).splitlines()[0]
    assert error.equation in str(error).splitlines()[0]


# The line where these stand is the declaration itself: no caret.
BROKEN_DECLARATIONS = [
    ("loop across layers", hidden("error = slope * B(error_above)\nrate = f(potential + error)"),
     "write one of them as d(.)/dt so that it can settle"),
    ("nothing learns", {"plasticity": {}}, "nothing learns; give plasticity for a pathway"),
    ("tied to a lateral pathway", {"pathways": {**B, "L": Pathway("here", Tied("W"))}}, "must run along the same edge"),
    ("tied across layers", {"pathways": {"B": Pathway("output", Tied("W"))}}, "must run along the same edge"),
    ("from nowhere", {"pathways": {"B": Pathway("sideways")}}, "source is 'sideways'; choose one of above, below"),
    ("path along an edge", {"pathways": {"B": Pathway("above", Tied("W", "path transpose"))}},
     "'path transpose' leads from the output"),
    ("tied to a tie", {"pathways": {"B": Pathway("above", Tied("W")), "C": Pathway("below", Tied("B"))}},
     "tied to 'B', which has no weights of its own"),
    ("tied to nothing", {"pathways": {"B": Pathway("above", Tied("V"))}}, "tied to 'V', which has no weights"),
    ("no Pathway", {"pathways": {"B": np.eye(2)}}, "give a Pathway(source=..., weights=...)"),
    ("constant and pathway", {"constants": {"B": 1.0}}, "'B' is named in pathway B and in constants"),
    ("two owners of a bias", {"pathways": {"B": Pathway("above", bias="b")}},
     "'b' is named in pathway W and in pathway B"),
    ("constant that is no number", {"constants": {"k": "half"}}, "k in constants is 'half'; give a number"),
    ("time that stands still", {"times": {"tau_c": 0.0}}, "tau_c in times is 0.0; give a positive number"),
    ("phase of two words", {"phases": {"my phase": Phase()}}, "the phase 'my phase' must be an identifier"),
    ("second main phase", {"phases": {"learn": Phase()}}, "learn is the phase of the main text"),
    ("name of two words", {"name": "my rule"}, "must be an identifier, such as my_rule"),
]


@pytest.mark.parametrize(("changes", "sentence"), [case[1:] for case in BROKEN_DECLARATIONS],
                         ids=[case[0] for case in BROKEN_DECLARATIONS])
def test_a_broken_declaration_is_refused(changes, sentence):
    with pytest.raises(RuleError) as caught:
        Rule(**{**SOUND, **changes})
    assert sentence in caught.value.message
    assert "^" not in str(caught.value)


@pytest.mark.parametrize("construct", [
    lambda: Tied("W", "inverse of"), lambda: Tied("W", damping=0.1), lambda: Tied("W", "pseudo-inverse", damping=-1.0),
    lambda: Population(0), lambda: Rule(**SOUND).with_constants(step=1.0),
])
def test_wrong_values_are_input_errors(construct):
    with pytest.raises(InputError):
        construct()


def test_the_sound_rule_is_accepted():
    assert Rule(**SOUND).name == "broken"


# -- expressions -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", rules.ALL)
def test_spans_survive_into_the_program(name):
    """Every node of every equation still knows the place in the author's line where it stands."""
    program, seen = lower(rules.get(name), small(rules.get(name))), 0
    for cell in program.cells:
        calls = {c.name: c.call for c in cell.compartments}
        for signal in cell.signals:
            for phase, form in signal.forms.items():
                for node in form.walk():
                    assert node.span.line == signal.lines[phase]
                    if node.kind == "name":
                        text = calls.get(node.value, node.value.partition("_")[0])  # noise_<phase> was written noise
                        assert node.span.line[node.span.column :].startswith(text)
                        seen += 1
    for plastic in program.plastics:
        for node in plastic.expr.walk():
            if node.kind in ("post", "pre"):
                assert node.span.line == plastic.line
                written = node.value if node.value in rules.get(name).broadcast else f"{node.value}_{node.kind}"
                assert node.span.line[node.span.column :].startswith(written)
                seen += 1
    assert seen > 5


def random_expression(draw: random.Random, depth: int) -> Expr:
    if depth == 0 or draw.random() < 0.15:
        number = Expr("number", draw.choice([0.0, 2.0, 0.1, 1e-9, 0.123456789012345]))
        return draw.choice([number, Expr("name", draw.choice("xyz")), Expr("path", ("B", "error", "above"))])
    branch = [random_expression(draw, depth - 1) for _ in range(4)]
    kind = draw.choice(["+", "-", "*", "/", "**", "neg", "call", "where"])
    if kind == "where":
        test = Expr(draw.choice(["<", ">", "<=", ">="]), None, (branch[0], branch[1]))
        return Expr("call", "where", (test, branch[2], branch[3]))
    if kind == "call":
        return Expr("call", draw.choice(["f", "df", "exp", "tanh"]), (branch[0],))
    return Expr(kind, None, tuple(branch[: 1 if kind == "neg" else 2]))


def test_show_writes_what_reads_back_as_the_same_expression():
    reader, draw = Reader("any", {"B": "above"}), random.Random(0)
    for _ in range(500):
        expr = random_expression(draw, 4)
        text = show(expr)
        assert reader.expression(text, Span("text", text, 0, 0)) == expr, text


@pytest.mark.parametrize("name", rules.ALL)
def test_show_of_a_rule_reads_back(name):
    rule = rules.get(name)
    reader = Reader(rule.name, {n: p.source for n, p in rule.pathways.items()}, populations=tuple(rule.populations))
    for phase in rule.all_phases().values():
        own = (phase.input, phase.hidden, phase.output, phase.first, phase.last, phase.turn)
        for text in (*own, *phase.populations.values()):
            for statement in reader.block("text", text or ""):
                again = show(statement.expr)
                assert reader.expression(again, type(statement.span)("text", again, 0, 0)) == statement.expr


@pytest.mark.parametrize("text", ["where(rate_pre >= 0.5, error_post, 0) * rate_pre", " error_post*rate_pre  # Hebb",
                                  "dw = error_post * rate_pre\n", "\n  error_post * rate_pre\n"])
def test_plasticity_is_one_expression_or_a_block(text):
    program = lower(Rule(**{**SOUND, "plasticity": {"W": text}}), mlp([3, 4, 2]))
    assert program.plastics[0].reads("post") == {"error"}
    assert program.plastics[0].reads("pre") == {"rate"}


def test_constants_become_plain_numbers_in_the_printed_program():
    rule = Rule(**{**SOUND, "constants": {"k": np.float64(0.5)}, "plasticity": {"W": "k * error_post * rate_pre"}})
    program = lower(rule, mlp([3, 4, 2]))
    assert type(program.constants["k"]) is float
    assert "k = 0.5" in RateProgram(program, streams.initial_weights(program, rule.pathways)).source


# -- what is compiled --------------------------------------------------------------------------------------------------


def needed(program) -> dict[str, set[tuple[int, str]]]:
    """Signals per phase that plasticity reads, and all that those read: by hand, from the Program's own edges."""
    found = {phase: set() for phase in program.phases}
    todo = [(p.phase, p.target, name) for p in program.plastics for name in p.reads("post")]
    todo += [(p.phase, p.source, name) for p in program.plastics for name in p.reads("pre")]
    while todo:
        phase, k, name = todo.pop()
        cell = program.cells[k]
        if (k, name) in found[phase]:
            continue
        if cell.has(name) and phase in cell.signal(name).forms:
            found[phase].add((k, name))
            todo += [(phase, k, read) for read in cell.signal(name).forms[phase].names()]
        todo += [(phase, path.source, path.signal) for c in cell.compartments if c.name == name for path in c.paths]
        todo += [(latch.phase, k, latch.signal) for latch in cell.latches if latch.name == name]
    return found


JUNK = {
    "times": {"tau_slow": 2.0},
    "pathways": {**B, "Q": Pathway("above", bias="q"), "L": Pathway("here")},
    "input": "loud = 2*rate",
    "hidden": """
        error = slope * B(error_above)
        guess = f(Q(rate_above) + q) + L(guess_here)
        dslow/dt = (guess - slow) / tau_slow
    """,
    "output": "error = teacher - rate\nguess = rate*noise",
}


@pytest.mark.parametrize("rule", [*rules.ALL.values(), Rule(**{**SOUND, **JUNK})], ids=lambda rule: rule.name)
def test_nothing_is_compiled_that_plasticity_does_not_need(rule):
    program = lower(rule, small(rule))
    for phase, wanted in needed(program).items():
        compiled = {(k, s.name) for k, cell in enumerate(program.cells) for s in cell.signals if phase in s.forms}
        assert compiled == wanted
    read = {p.weight for cell in program.cells for c in cell.compartments for p in c.paths if p.weight}
    tied = {w.name for w in program.weights.values() if w.tie and w.tie[0] in read}
    tied |= {name for w in program.weights.values() if w.derived and w.name in read for name in w.derived.of}
    assert set(program.weights) == read | tied | {w for cell in program.cells for w in cell.biases.values()}


def test_lines_that_nothing_reads_change_nothing():
    plain, junk = (lower(Rule(**{**SOUND, **more}), mlp([3, 4, 5, 2])) for more in ({}, JUNK))
    assert repr(junk.cells) == repr(plain.cells)
    assert repr(junk.weights) == repr(plain.weights)


def test_the_lowest_controller_of_dynamic_inversion_is_absent():
    """No cell listens to the control of layer 1: below it there is only the input."""
    program = lower(rules.get("dynamic_inversion"), mlp([3, 4, 5, 2]))
    assert [cell.has("control") for cell in program.cells] == [False, False, True, True]
    assert "W(delta_below)" not in [c.call for c in program.cells[1].compartments]
    assert program.states("learn") == [Node(2, "control"), Node(3, "control")]


def test_a_pathway_into_the_input_layer_learns():
    program = lower(Rule(**{**SOUND, "input": "error = rate - B(rate_above)",
                            "plasticity": {**KEEP, "B": "error_post * rate_pre"}}), mlp([3, 4, 5, 2]))
    assert [p.weight for p in program.plastics if p.weight.startswith("B")] == ["B_0_1", "B_1_2", "B_2_3"]


MIXED = """
from neurolearn import rules
from neurolearn.network import mlp
from neurolearn.program import lower
from neurolearn.rule import Pathway, Phase, Rule
mixed = Rule(name="mixed", pathways={"B": Pathway("above", bias="q"), "C": Pathway("output", bias="p")},
    hidden="error = slope*(B(error_above) + q + C(error_output) + p) + free*noise", constants={"k": 1, "g": 2},
    phases={"early": Phase(hidden="latch free = rate")}, broadcast={"reward": "sum(teacher*rate)"},
    output="error = k*(teacher - rate) + g*noise*teacher",
    plasticity={"W": "reward*error_post*rate_pre", "B": "rate_post*error_pre", "C": "rate_post*error_pre"})
for rule in (*rules.ALL.values(), mixed):
    for loss in ("squared", "cross_entropy"):
        sizes = [3, 4, 5, 1 if rule.nets.scalar else 2]
        print(repr(lower(rule, mlp(sizes, rule.nets.activations[0], loss))))
"""


def test_the_program_does_not_depend_on_the_hash_seed():
    running = [subprocess.Popen([sys.executable, "-c", MIXED], cwd=ROOT, stdout=subprocess.PIPE, text=True,
                                env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": str(seed)})
               for seed in (0, 1, 2, 3)]
    texts = [process.communicate(timeout=120)[0] for process in running]
    assert all(process.returncode == 0 for process in running)
    assert "mixed" in texts[0]
    assert len(set(texts)) == 1


# -- weights and edges -------------------------------------------------------------------------------------------------


def test_initialisers_see_a_generator_and_a_shape_and_no_weight():
    calls = []

    def spy(*args, **more):
        calls.append((args, more))
        return np.zeros(args[1])

    rule = Rule(**{**SOUND, "pathways": {"W": Pathway("below", spy, bias="b"), "B": Pathway("above", spy)}})
    program = lower(rule, mlp([3, 4, 5, 2]))
    streams.initial_weights(program, rule.pathways, seed=1)
    assert [args[1] for args, _ in calls] == [(4, 3), (5, 4), (2, 5), (4, 5), (5, 2)]
    for args, more in calls:
        assert len(args) == 2
        assert isinstance(args[0], np.random.Generator)
        assert more == {}


def test_a_weight_is_drawn_alike_whatever_else_there_is():
    lateral = {"pathways": {"A": Pathway("here"), **B}, "hidden": "error = slope*(B(error_above) + A(rate_here))"}
    few, many = (lower(Rule(**{**SOUND, **more}), mlp([3, 4, 5, 2])) for more in ({}, lateral))
    pathways = {"A": Pathway("here"), **Rule(**SOUND).pathways}
    one, other = streams.initial_weights(few, pathways, 3), streams.initial_weights(many, pathways, 3)
    assert set(other) - set(one) == {"A_1_1", "A_2_2"}
    assert all(np.array_equal(one[name], other[name]) for name in one)
    assert not np.diag(other["A_1_1"]).any()  # lateral: no cell hears itself


def test_an_initialiser_of_another_shape_is_refused():
    rule = Rule(**{**SOUND, "pathways": {"B": Pathway("above", lambda rng, shape: np.zeros(3))}})
    with pytest.raises(ValueError, match=r"pathway B returned \(3,\); it must return \(4, 2\)"):
        streams.initial_weights(lower(rule, mlp([3, 4, 2])), rule.pathways)


MASK = np.array([[1, 0, 1, 1], [0, 1, 1, 0]], bool)  # (to, from) of the edge 1 -> 3
GRAPH = Network((3, 4, 4, 2), (
    Connection(0, 1), Connection(1, 2, "identity"), Connection(0, 2), Connection(2, 3),
    Connection(1, 3, "masked", MASK),
))


def test_a_graph_has_a_weight_per_learned_edge_and_a_path_per_edge():
    program = lower(rules.get("feedback_alignment"), GRAPH)
    shapes = {name: weight.shape for name, weight in program.weights.items() if weight.source is not None}
    assert shapes == {"W_1_0": (4, 3), "W_2_0": (4, 3), "W_3_1": (2, 4), "W_3_2": (2, 4),
                      "B_1_3": (4, 2), "B_2_3": (4, 2)}
    assert np.array_equal(program.weights["W_3_1"].mask, MASK)
    assert np.array_equal(program.weights["B_1_3"].mask, MASK.T)  # feedback runs along the same edge
    paths = {(k, c.call): c.paths for k, cell in enumerate(program.cells) for c in cell.compartments}
    assert paths == {
        (1, "W(rate_below)"): (Path("weight", 0, "rate", "W_1_0"),),
        (2, "W(rate_below)"): (Path("weight", 0, "rate", "W_2_0"), Path("identity", 1, "rate")),
        (3, "W(rate_below)"): (Path("weight", 1, "rate", "W_3_1"), Path("weight", 2, "rate", "W_3_2")),
        (1, "B(error_above)"): (Path("identity", 2, "error"), Path("weight", 3, "error", "B_1_3")),
        (2, "B(error_above)"): (Path("weight", 3, "error", "B_2_3"),),
    }
    assert set(program.plastic_weights()) == {"W_1_0", "W_2_0", "W_3_1", "W_3_2", "b_1", "b_2", "b_3"}


def test_direct_feedback_runs_past_the_graph():
    program = lower(rules.get("direct_feedback_alignment"), GRAPH)
    assert [p for c in program.cells[1].compartments if c.pathway == "B" for p in c.paths] == [
        Path("weight", 3, "error", "B_1_3")]
    assert program.weights["B_1_3"].mask is None  # no forward edge, no mask


def test_masked_weights_start_and_stay_masked():
    rule = rules.get("feedback_alignment")
    program = lower(rule, GRAPH)
    weights = streams.initial_weights(program, rule.pathways)
    assert not weights["W_3_1"][~MASK].any()
    rng = np.random.default_rng(0)
    change = RateProgram(program, weights).changes(streams.given(program, rng.random((5, 3)), rng.random((5, 2))))
    assert not change["W_3_1"].numpy()[~MASK].any()
    assert change["W_3_1"].numpy()[MASK].all()


@pytest.mark.parametrize(("name", "signal", "factor"), [
    ("backprop", "error", 1.0), ("dynamic_inversion", "control", -1.0),
])
def test_a_tied_pathway_reads_the_weight_that_is_real(name, signal, factor):
    rule = rules.get(name)
    program = lower(rule, mlp([3, 4, 5, 2]))
    for target, source in ((1, 2), (2, 3)):
        tied, real = program.weights[f"B_{target}_{source}"], program.weights[f"W_{source}_{target}"]
        assert tied.tie == (real.name, factor)
        assert tied.shape == real.shape[::-1]
        call = next(c for c in program.cells[target].compartments if c.pathway == "B")
        assert call.paths == (Path("weight", source, signal, real.name, True, factor),)
    assert set(streams.initial_weights(program, rule.pathways)) == {w.name for w in program.free()}
    assert {w.name for w in program.free()} == set(program.weights) - {"B_1_2", "B_2_3"}


def test_a_tie_on_a_graph_keeps_its_edge_and_its_mask():
    program = lower(rules.get("backprop"), GRAPH)
    assert program.weights["B_1_3"].tie == ("W_3_1", 1.0)
    assert np.array_equal(program.weights["W_3_1"].mask, MASK)
    assert next(c for c in program.cells[1].compartments if c.pathway == "B").paths == (
        Path("identity", 2, "error"), Path("weight", 3, "error", "W_3_1", True))


def test_a_tie_multiplies_by_the_transpose():
    """error_2 = slope_2 * W_3_2^T error_3, from the settled signals themselves."""
    rule = rules.get("backprop")
    program = lower(rule, mlp([3, 4, 5, 2]))
    weights = streams.initial_weights(program, rule.pathways, bias=0.3)
    rng = np.random.default_rng(0)
    compiled = RateProgram(program, weights)
    signals = {name: value.numpy() for name, value in compiled.signals(
        streams.given(program, rng.random((6, 3)), rng.random((6, 2))))["learn"].items()}
    expected = signals["slope_2"] * np.einsum("bo,oi->bi", signals["error_3"], weights["W_3_2"])
    np.testing.assert_allclose(signals["error_2"], expected, rtol=1e-13, atol=1e-15)  # a sum of two products: rounding


# -- softmax, phases, broadcasts ---------------------------------------------------------------------------------------


def test_softmax_has_a_closed_form_and_keeps_its_circuit():
    program = lower(rules.get("feedback_alignment"), mlp([3, 4, 3], loss="cross_entropy"))
    rate = Node(2, "rate")
    assert show(program.form(rate, "learn")) == "softmax(potential)"
    assert (program.states("learn"), program.states("learn", closed=False)) == ([], [rate])
    assert rate in program.order("learn")
    assert rate not in program.order("learn", closed=False)
    circuit = program.form(rate, "learn", closed=False)
    # At rate = softmax(potential) the circuit stands still: excitation/units = rate * mean excitation.
    potential = np.array([0.3, -1.0, 2.0])
    excitation, settled = np.exp(potential), np.exp(potential) / np.exp(potential).sum()
    values = {"excitation": excitation, "rate": settled, "I_pool_excitation_here": excitation.mean(),
              **program.constants, **program.times}

    def value(e: Expr):
        if e.kind in ("name", "number"):
            return values[e.value] if e.kind == "name" else e.value
        a, b = map(value, e.args)
        return {"-": a - b, "*": a * b, "/": a / b}[e.kind]

    np.testing.assert_allclose(value(circuit), 0.0, atol=1e-15)


def test_a_rule_with_its_own_output_dynamics_has_no_closed_form():
    rule = Rule(**{**SOUND, "times": {"tau": 2.0}, "output": "drate/dt = (potential - rate)/tau\nerror = teacher - rate"})
    program = lower(rule, mlp([3, 4, 3], loss="cross_entropy"))
    assert program.closed == {}
    assert program.states("learn") == [Node(2, "rate")]


def test_a_latch_reaches_back_over_phases():
    rule = Rule(
        name="three_phases", constants={"nudge": 0.1},
        phases={
            "free": Phase(hidden="latch before = rate", output="latch before = rate"),
            "pause": Phase(),
            "nudged": Phase(
                input="latch before = rate",
                hidden="potential = W(rate_below) + b + nudge*before\nlatch after = rate",
                output="rate = before + nudge*(teacher - before)\nlatch after = rate",
            ),
        },
        plasticity={"W": "(after_post - before_post) * before_pre"},
    )
    program = lower(rule, mlp([3, 4, 2]))
    assert program.phases == ("free", "pause", "nudged", "learn")
    assert [len(program.order(phase)) > 0 for phase in program.phases] == [True, False, True, False]
    kept = [{latch.name: (latch.phase, latch.signal) for latch in cell.latches} for cell in program.cells]
    both = {"before": ("free", "rate"), "after": ("nudged", "rate")}
    assert kept == [{"before": ("nudged", "rate")}, both, both]
    weights = streams.initial_weights(program, rule.pathways, bias=0.3)
    rng = np.random.default_rng(0)
    x, teacher = rng.random((5, 3)), rng.random((5, 2))
    # The free phase, the nudged one and the product of what was kept, by hand.
    before = np.tanh(x @ weights["W_1_0"].T + weights["b_1"])
    after = np.tanh(x @ weights["W_1_0"].T + weights["b_1"] + 0.1 * before)
    change = RateProgram(program, weights).changes(streams.given(program, x, teacher))
    np.testing.assert_allclose(change["W_1_0"].numpy(), (after - before).T @ x / 5, rtol=1e-13, atol=1e-16)


def test_a_latch_of_a_latch_is_kept_and_one_that_nothing_reads_is_not():
    rule = Rule(**{**SOUND, "phases": {"free": Phase(hidden="latch first = rate\nlatch idle = rate"),
                                       "late": Phase(hidden="latch again = first")},
                   "hidden": "error = slope * again"})
    program = lower(rule, mlp([3, 4, 2]))
    assert [(latch.name, latch.phase) for latch in program.cells[1].latches] == [("first", "free"), ("again", "late")]
    weights = streams.initial_weights(program, rule.pathways, bias=0.3)
    rng = np.random.default_rng(0)
    x, teacher = rng.random((5, 3)), rng.random((5, 2))
    rate = np.tanh(x @ weights["W_1_0"].T + weights["b_1"])
    change = RateProgram(program, weights).changes(streams.given(program, x, teacher))
    np.testing.assert_allclose(change["W_1_0"].numpy(), ((1 - rate**2) * rate).T @ x / 5, rtol=1e-13, atol=1e-16)


def test_a_broadcast_is_a_graded_sum_over_the_output():
    rule = Rule(**{**SOUND, "broadcast": {"reward": " sum(teacher*rate)"},
                   "hidden": "error = slope*reward*B(error_above)", "plasticity": {"W": "reward*error_post*rate_pre"}})
    program = lower(rule, mlp([3, 4, 2]))
    for cell in program.cells[1:]:
        heard = next(c for c in cell.compartments if c.name == "reward")
        assert heard.paths == (Path("broadcast", 2, "in_reward"),)
    assert show(program.cells[2].signal("in_reward").forms["learn"]) == "teacher*rate"
    assert "in_reward" not in program.cells[2].sent  # not an axon
    assert not [name for name in program.weights if "reward" in name]


def test_a_held_signal_is_given_from_outside_and_nothing_else_moves():
    program = lower(rules.get("dynamic_inversion"), mlp([3, 4, 5, 2]))
    held = program.hold({3: {"control"}})
    assert held.states("learn") == [Node(2, "control")]
    assert show(held.form(Node(3, "control"), "learn")) == "held_control"
    assert repr(held.cells[:3]) == repr(program.cells[:3])
