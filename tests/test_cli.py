"""The command line: what it teaches, what it prints, what it refuses and how, and what it does not load."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from neurolearn import comparison, data, edges, rules
from neurolearn.activations import NAMED
from neurolearn.changes import REALISATIONS
from neurolearn.cli import app, inputs, output
from neurolearn.errors import InputError, SettlingError
from neurolearn.network import mlp

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "docs" / "examples" / "two_phases.py"
SIMULATORS = ("torch", "brian2", "norse", "sklearn", "matplotlib", "scipy")


@pytest.fixture(autouse=True)
def terminal(monkeypatch, tmp_path):
    """A wide plain terminal, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "240")
    for name in ("FORCE_COLOR", "CLICOLOR_FORCE", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)


def run(*args: object):
    return CliRunner().invoke(app, [str(arg) for arg in args], prog_name="neurolearn")


def good(*args: object):
    done = run(*args)
    assert done.exit_code == 0, done.output
    return done


def refused(*args: object) -> str:
    """The sentence with which a command line is refused: alone on stderr, with nothing on stdout."""
    done = run(*args)
    assert done.exit_code == 2, done.output
    assert done.stdout == ""
    assert done.stderr.startswith("neurolearn: ")
    assert "Traceback" not in done.output
    return done.stderr


def strict(text: str):
    """JSON as the standard has it, without NaN and infinities."""
    def never(name: str):
        raise AssertionError(f"{name} is not JSON")

    return json.loads(text, parse_constant=never)


def shell(*args: str, **kwargs):
    command = [sys.executable, "-c", "from neurolearn.cli import main; main()", *args]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, **kwargs)


# -- help --------------------------------------------------------------------------------------------------------------

HELP = {
    (): ["rules", "compare", "train", "verify", "--version", "--debug", "--help", "path/to/file.py:name", "Exit codes"],
    ("rules",): ["NAME", "--json", "--source", "--sizes", "--activation", *REALISATIONS, "8-6-3"],
    ("compare",): ["--rules", "--realisations", "--data", "--sizes", "--activation", "--epochs", "--seed ", "--seeds",
                   "--weights", "--no-train", "--out", "--device", "--json", "neurolearn-out", *REALISATIONS,
                   *data.NAMES],
    ("train",): ["--realisation", "--data", "--sizes", "--samples", "--rate", "--plastic", "--no-controls", "--placement",
                 "--target", "--seed", "--config", "--set", "--guard", "--checkpoint-every", "--out", "--resume", "--json"],
    ("verify",): ["--rules", "--full", "--sabotage", "--all", "--json"],
}


@pytest.mark.parametrize("command", HELP, ids=" ".join)
def test_help_names_every_option_and_gives_an_example(command):
    text = good(*command, "--help").stdout
    assert not [word for word in HELP[command] if word not in text]
    assert re.search(rf"^ +neurolearn {' '.join(command)}", text, re.M), "no example"
    assert good(*command, "-h").stdout == text


def test_without_a_command_the_help_is_shown():
    assert good().stdout.strip() == good("--help").stdout.strip()


def test_version():
    text = good("--version").stdout
    assert text.startswith("neurolearn ") and "torch" in text and "brian2" in text


# -- rules -------------------------------------------------------------------------------------------------------------


def test_rules_lists_every_rule(monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    text = good("rules").stdout
    for name, rule in rules.ALL.items():
        assert re.search(rf"^{name} ", text, re.M)
        assert rule.reference in text
    assert "equals backprop to 1e-10 where B is the transpose of W" in text
    assert re.search(r"^dynamic_inversion .*W \+2", text, re.M), "forward, delta and backward synapses: two copies"
    assert all(name in text for name in REALISATIONS)


def test_rules_fold_but_do_not_vanish_in_a_narrow_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    text = good("rules").stdout
    assert max(map(len, text.splitlines())) <= 80
    assert not [name for name in rules.ALL if name not in text]
    assert "dynamic_inversion\n    weight transport: B: exact, negated (transpose of W); copies: W +2; phases:" in text


def test_rules_json():
    written = strict(good("rules", "--json", "-").stdout)
    assert [rule["name"] for rule in written["rules"]] == list(rules.ALL)
    backprop = written["rules"][0]
    assert backprop["ledger"]["transport"] == {"B": "exact (transpose of W), held for ever"}
    assert backprop["feedback"] == ["B from above"]
    assert backprop["realisations"] == list(REALISATIONS)
    assert {"phase": "learn", "where": "hidden", "lines": ["error = slope * B(error_above)"]} in backprop["equations"]


def test_rules_json_into_a_file_leaves_the_table_on_stdout(tmp_path):
    done = good("rules", "--json", tmp_path / "rules.json")
    assert "backprop" in done.stdout and done.stderr == ""
    assert strict((tmp_path / "rules.json").read_text())["rules"][0]["network"] == "12-10-8-4 tanh"


def test_json_on_stdout_sends_the_table_to_stderr():
    done = good("rules", "--json", "-")
    assert done.stdout.startswith("{") and "What they ask of a brain" in done.stderr


def test_a_named_rule_is_shown_in_full():
    text = good("rules", "difference_target_propagation", "--sizes", "3-5-4-2").stdout
    assert "target = rate + f(Q(target_above)) - f(Q(rate_above))" in text
    assert "decoders: Changes to first order in the step" in text
    assert "Ledger on 3-5-4-2 tanh" in text and "change of Q_1_2 depends on" in text
    assert "feedback_alignment" not in text


@pytest.mark.parametrize("realisation", REALISATIONS)
def test_source_is_the_one_that_is_executed(realisation):
    executed = rules.get("feedback_alignment").source(realisation, mlp([3, 4, 2]))
    done = good("rules", "feedback_alignment", "--source", realisation, "--sizes", "3-4-2")
    assert done.stdout.rstrip() == executed.rstrip()
    assert done.stderr == ""


def test_a_rule_from_a_file():
    text = good("rules", f"{EXAMPLE}:two_phases").stdout
    assert "rate = f(potential_free + B(shift_above))" in text and "free, nudged" in text
    assert [rule.name for rule in inputs.rules_of([f"{EXAMPLE}:two_phases,backprop"])] == ["two_phases", "backprop"]


def test_a_rule_from_a_file_may_import_what_lies_beside_it_and_print(tmp_path):
    (tmp_path / "beside.py").write_text("REFERENCE = 'me, today'\n")
    (tmp_path / "mine.py").write_text(
        "import beside\nfrom neurolearn import Rule\nprint('loading')\n"
        "mine = Rule('mine', hidden='error = slope', output='error = teacher - rate', reference=beside.REFERENCE,\n"
        "            plasticity={'W': 'error_post * rate_pre'})\n")
    done = good("rules", "mine.py:mine", "--json", "-")
    assert strict(done.stdout)["rules"][0]["reference"] == "me, today"
    assert "loading" in done.stderr and str(tmp_path) not in sys.path


def test_a_rule_named_twice_is_one_rule_and_all_is_all():
    assert len(inputs.rules_of(["backprop,backprop", f"{EXAMPLE}:two_phases", f"{EXAMPLE}:two_phases"])) == 2
    assert inputs.rules_of(["all"]) == inputs.rules_of(None) == list(rules.ALL.values())


# -- refusals ----------------------------------------------------------------------------------------------------------

BAD = [
    (["rules", "nonsense"], ["nonsense", "feedback_alignment", "path/to/file.py:name"]),
    (["rules", "missing.py:mine"], ["missing.py", "no file"]),
    (["rules", EXAMPLE], ["two_phases.py", "without the name"]),
    (["rules", f"{EXAMPLE}:"], ["without a name", "two_phases"]),
    (["rules", f"{EXAMPLE}:other"], ["has no 'other'", "are: two_phases"]),
    (["rules", f"{EXAMPLE}:Uniform"], ["'Uniform'", "not a Rule", "are: two_phases"]),
    (["rules", "--source", "tensor.rate"], ["--source", "NAME"]),
    (["rules", "backprop", "--source", "tensor"], ["--source", "'tensor'", "circuit.spiking"]),
    (["rules", "--sizes", "4-x-2"], ["--sizes", "'4-x-2'", "64-64-32-10"]),
    (["rules", "--sizes", "4"], ["--sizes", "'4'"]),
    (["rules", "--sizes", "4-0-2"], ["--sizes", "'4-0-2'"]),
    (["rules", "--sizes", ""], ["--sizes", "''"]),
    (["rules", "--activation", "sigmoidal"], ["--activation", "'sigmoidal'", *NAMED]),
    (["rules", "--json", "nowhere/rules.json"], ["--json", "nowhere", "-"]),
    (["rules", "--json", "."], ["--json", "folder"]),
    (["rules", "--json", ""], ["--json", "empty"]),
    (["compare", "--rules", "nonsense"], ["--rules", "nonsense"]),
    (["compare", "--rules", " , "], ["--rules", "empty"]),
    (["compare", "--realisations", "tensor.rate,tensor"], ["--realisations", "'tensor'", *REALISATIONS]),
    (["compare", "--data", "imagenet"], ["--data", "'imagenet'", "yin_yang"]),
    (["compare", "--sizes", "64,10"], ["--sizes", "'64,10'"]),
    (["compare", "--activation", "step"], ["--activation", "'step'", "relu"]),
    (["compare", "--epochs", "0"], ["--epochs", "'0'", "at least 1"]),
    (["compare", "--epochs", "two"], ["--epochs", "'two'", "whole number"]),
    (["compare", "--seed", "-1"], ["--seed", "'-1'", "at least 0"]),
    (["compare", "--seeds", "0"], ["--seeds", "'0'", "at least 1"]),
    (["compare", "--seeds", "1.5"], ["--seeds", "'1.5'", "whole number"]),
    (["compare", "--device", "gpu"], ["--device", "'gpu'", "cuda"]),
    (["compare", "--device", "cuda:99"], ["--device", "'cuda:99'", "cpu"]),
    (["compare", "--weights", "gone.safetensors", "--no-train"], ["--weights", "gone.safetensors"]),
    (["compare", "--weights", EXAMPLE], ["--weights", "--no-train"]),
    (["compare", "--no-train", "--epochs", "3"], ["--epochs", "--no-train"]),
    (["compare", "--out", EXAMPLE / "here"], ["--out", "two_phases.py", "folder"]),
    (["verify", "--rules", "feedback_alignement"], ["--rules", "feedback_alignement"]),
    (["verify", "--quick"], ["--quick", "neurolearn verify --help"]),
    (["verify", "--rules"], ["--rules", "--help"]),
    (["verify", "extra"], ["extra", "neurolearn verify --help"]),
    (["explain"], ["explain", "neurolearn --help"]),
]


@pytest.mark.parametrize(("args", "words"), BAD, ids=lambda value: None)
def test_bad_input_is_one_sentence_and_exit_code_2(args, words):
    sentence = refused(*args)
    assert not [word for word in words if word not in sentence], sentence
    assert sentence.count("\n") == 1 and sentence.rstrip()[-1] in ".?", "one line, a whole sentence"


FILES = {
    "rule": ("from neurolearn import Rule\n\nmine = Rule('mine', hidden='error = slope')\n",
             ["mine.py cannot be loaded", "at line 3", "rule 'mine'", "give plasticity"]),
    "syntax": ("from neurolearn import Rule\nmine = Rule(\n  'mine', = 3)\n", ["at line 3", "invalid syntax"]),
    "name": ("mine = Rule('mine')\n", ["at line 1", "NameError", "Rule"]),
    "import": ("import no_such_module_at_all\n", ["at line 1", "ModuleNotFoundError", "no_such_module_at_all"]),
    "exit": ("raise SystemExit(3)\n", ["at line 1", "SystemExit"]),
    "binary": ("\0", ["cannot be loaded"]),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_faulty_file_says_where(tmp_path, kind):
    text, words = FILES[kind]
    (tmp_path / "mine.py").write_text(text)
    sentence = refused("verify", "--rules", "mine.py:mine")
    assert not [word for word in words if word not in sentence], sentence


def test_an_error_in_the_equations_of_a_file_keeps_its_caret(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from neurolearn import Rule\nmine = Rule('mine', output='error = teacher - rat', hidden='error = slope',\n"
        "            plasticity={'W': 'error_post * rate_pre'})\n")
    *_, line, caret = refused("rules", "mine.py:mine").rstrip("\n").split("\n")
    assert line[caret.index("^"):].startswith("rat")


def test_two_rules_of_one_name_are_refused(tmp_path):
    (tmp_path / "mine.py").write_text("from dataclasses import replace\nfrom neurolearn.rules import backprop\n"
                                      "other = replace(backprop, reference='mine')\n"
                                      "linear = replace(backprop, name='linear')\n")
    assert "'backprop'" in refused("verify", "--rules", "backprop,mine.py:other")
    assert "control" in refused("compare", "--rules", "mine.py:linear")


def test_debug_adds_the_traceback_wherever_it_stands():
    for args in (["--debug", "rules", "nonsense"], ["rules", "nonsense", "--debug"]):
        done = run(*args)
        assert done.exit_code == 2
        assert done.stderr.startswith("Traceback") and "InputError" in done.stderr
        assert done.stderr.rstrip().split("\n")[-1].startswith("neurolearn: NAME: there is no rule 'nonsense'")


def test_an_unexpected_error_is_named_in_one_line(monkeypatch):
    def broken(*args, **kwargs):
        raise ZeroDivisionError("by zero\nand more")

    monkeypatch.setattr(edges, "verify", broken)
    done = run("verify")
    assert done.exit_code == 2 and "Traceback" not in done.output
    last = done.stderr.rstrip().split("\n")[-1]
    assert "ZeroDivisionError: by zero" in last and "--debug" in last
    assert "in broken" in run("--debug", "verify").stderr


@pytest.mark.parametrize(("error", "words"), [
    (SettlingError("the loop is unstable; raise tau."), "neurolearn: the loop is unstable; raise tau."),
    (PermissionError(13, "Permission denied", "/out"), "'/out' cannot be used (Permission denied)"),
    (AssertionError(), "unexpected AssertionError. To see"),
])
def test_errors_while_computing_are_sentences_too(monkeypatch, error, words):
    def fails(*args, **kwargs):
        raise error

    monkeypatch.setattr(comparison, "run", fails)
    done = run("compare")
    assert done.exit_code == 2 and words in done.stderr and "Traceback" not in done.output


def test_an_interrupt_is_130(monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(edges, "verify", interrupted)
    done = run("verify")
    assert done.exit_code == 130 and "interrupted" in done.stderr


# -- output ------------------------------------------------------------------------------------------------------------


def test_json_is_plain():
    given = {1: (math.nan, -math.inf, 2.5), "a": np.array([1.0, math.nan]), "b": {"z", "y"}, "c": Path("x"),
             "d": np.float32(0.5), "e": True, "f": None}
    assert output.plain(given) == {"1": [None, None, 2.5], "a": [1.0, None], "b": ["y", "z"], "c": "x", "d": 0.5,
                                   "e": True, "f": None}


def test_json_that_cannot_be_written_is_a_sentence(tmp_path, monkeypatch):
    place = output.Output(str(tmp_path / "a.json"))
    (tmp_path / "a.json").mkdir()
    with pytest.raises(InputError, match=r"--json: .*a\.json"):
        place.json({})


# -- as a program ------------------------------------------------------------------------------------------------------


def test_no_simulator_is_loaded_to_print():
    lines = [["--help"], ["--version"], ["rules"], ["rules", "backprop", "--json", "-"], ["verify", "--help"],
             ["compare", "--help"], ["compare", "--epochs", "0"]]
    code = ("import sys\nfrom neurolearn.cli import app\ncodes = []\n"
            f"for args in {lines!r}:\n    try:\n        app(args, prog_name='neurolearn')\n"
            "    except SystemExit as done:\n        codes.append(done.code)\n"
            f"print('LOADED', codes, [name for name in {SIMULATORS} if name in sys.modules])\n")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.stdout.rstrip().endswith("LOADED [0, 0, 0, 0, 0, 0, 2] []"), done.stdout + done.stderr


def test_the_program_writes_only_json_to_stdout_and_leaves_with_its_code():
    done = shell("rules", f"{EXAMPLE}:two_phases", "--json", "-")
    assert done.returncode == 0 and strict(done.stdout)["rules"][0]["name"] == "two_phases"
    done = shell("compare", "--epochs", "-3")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "neurolearn: --epochs is '-3'; give a whole number of at least 1.\n"
