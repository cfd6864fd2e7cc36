"""The language: what a rule may say, what is said, and where, when it may not, and what becomes of the rest."""

from __future__ import annotations

import random
from pathlib import Path as File

import numpy as np
import pytest
from conftest import small

from neurolearn import rules, streams
from neurolearn.equations import Expr, Reader, Span, show
from neurolearn.errors import InputError, RuleError
from neurolearn.network import mlp
from neurolearn.program import lower
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
