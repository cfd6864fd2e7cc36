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
from neurolearn.cli.compare_tables import angle_of, is_vague
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


# -- verify ------------------------------------------------------------------------------------------------------------


def edge(measured=1e-12, rule="backprop", name=edges.RATE, weight="W_1_0", tolerance=1e-8, norm=0.5, note=""):
    network = "12-10-8-4 tanh seed 1"
    return edges.Edge(rule, network, name, "learn", weight, "relative error", measured, tolerance, norm, note)


@pytest.fixture
def measured(monkeypatch):
    """Replaces the measurement: ``measured(edges...)`` gives them to verify; calls are kept in ``measured.calls``."""
    calls = []

    def give(*found):
        def fake(chosen, *, full, sabotage, progress):
            calls.append(([rule.name for rule in chosen], full, sabotage))
            for rule in chosen:
                progress(rule.name, edges.RATE)
            print("a simulator that talks")
            return list(found)

        monkeypatch.setattr(edges, "verify", fake)

    give.calls = calls
    return give


def test_verify_passes(measured):
    measured(edge(), edge(1e-10, weight="W_2_1"), edge(1e-15, name=edges.SPIKES))
    done = good("verify", "--rules", "backprop")
    assert measured.calls == [(["backprop"], False, False)]
    line = r"circuit.rate = tensor.rate +learn +W_2_1 of 2 +relative error +1e-10 +1e-08 +0.01 +0.5 +pass"
    assert re.search(line, done.stdout)
    assert "All 3 edges passed (1 rule, 0 s); largest measured/tolerance 0.01." in done.stdout
    assert "FAIL" not in done.stdout and "talks" in done.stderr


def test_verify_fails_with_1_and_says_what(measured):
    vanished = edge(norm=0.0, name=edges.LIMIT)
    measured(edge(), edge(1e-3, weight="W_2_1", note="residual 3e-4"), vanished, edge(weight="b_1"))
    done = run("verify", "--rules", "backprop", "--full")
    assert done.exit_code == 1
    assert measured.calls == [(["backprop"], True, False)]
    assert re.search(r"W_2_1 of 3 .* FAIL", done.stdout)
    assert "1 of 3 fail; W_2_1 on 12-10-8-4 tanh seed 1: residual 3e-4" in done.stdout
    assert "2 of 4 edges failed" in done.stdout


def test_verify_all_has_a_line_for_each_weight(measured):
    measured(edge(), edge(weight="W_2_1"))
    assert len(re.findall("pass", good("verify", "--all").stdout)) == 3  # two lines and the summary
    assert len(re.findall("pass", good("verify").stdout)) == 2


def test_verify_json(measured, tmp_path):
    found = [edge(), edge(math.nan, weight="W_2_1"), edge(math.inf, weight="b_1")]
    measured(*found)
    done = run("verify", "--json", "-")
    assert done.exit_code == 1
    written = strict(done.stdout)
    assert list(written) == ["edges"] and len(written["edges"]) == 3
    assert written["edges"][0] == found[0].json()
    assert written["edges"][1]["measured"] is None and written["edges"][2]["ratio"] is None
    assert [row["passed"] for row in written["edges"]] == [True, False, False]
    assert "Edges" in done.stderr
    run("verify", "--json", tmp_path / "edges.json")
    assert strict((tmp_path / "edges.json").read_text()) == written


def test_verify_sabotage_fails_and_names_the_edge_that_did_not_notice(measured):
    measured(edge(2.0), edge(1e-12, weight="W_2_1"), edge(name=edges.LIMIT))
    done = run("verify", "--sabotage")
    assert done.exit_code == 1 and measured.calls[-1][-1] is True
    assert "1 of 2 edges noticed" in done.stdout and "backprop, limit" in done.stdout


def test_nothing_measured_is_not_a_pass(measured):
    measured()
    done = run("verify")
    assert done.exit_code == 1 and "Nothing was measured" in done.stdout


# -- compare -----------------------------------------------------------------------------------------------------------


def row(rule, realisation, reference, layer, angle, **other):
    blank = dict.fromkeys(("cosine", "cosine_corrected", "ci_low", "ci_high", "norm_ratio", "sign_agreement",
                           "seconds_simulated", "mean_rate_hz", "max_rate_hz", "spikes_per_update"))
    return {"rule": rule, "seed": 0, "realisation": realisation, "reference": reference, "layer": layer,
            "angle_deg": angle, "n_repeats": 1, "relative_error_to_tensor_rate": 0.0, "operating_point": "ideal",
            "cells": 1, **blank, **other}


def result(options) -> dict:
    """What ``comparison.run`` hands back, for one rule that any table can be worked out from by hand."""
    training = [
        {"rule": rule, "seed": seed, "epoch": epoch, "test_accuracy": epoch * accuracy[seed],
         "angle_to_backprop_deg": angle}
        for rule, accuracy, angle in (
            ("linear", (0.6, 0.6), None), ("readout_only", (0.7, 0.7), None),
            ("dynamic_inversion", (0.9, 0.8), {1: 31.2, 2: 4.56, 3: 0.001}))
        for seed in (0, 1) for epoch in (1, 0)
    ]
    rule = "dynamic_inversion"
    rows = [row(rule, "circuit.rate", "tensor.rate", layer, 0.0, relative_error_to_tensor_rate=error)
            for layer, error in ((1, 4e-13), (2, 2e-13), (3, np.float64(1e-14)))]
    rows += [row(rule, "tensor.spiking", "own", layer, 1.0, relative_error_to_tensor_rate=0.0123)
             for layer in (1, 2, 3)]
    rows += [row(rule, "tensor.spiking", "backprop", layer, 80.0, relative_error_to_tensor_rate=0.0456,
                 n_repeats=8, cosine_corrected=cosine, ci_low=low, ci_high=1.01)
             for layer, cosine, low in ((1, 0.5, -0.1), (2, None, None), (3, 1.0001, 0.99))]
    rows += [row(rule, "tensor.spiking", "tensor.rate", layer, 12.0, operating_point="physiological", cells=20,
                 seconds_simulated=0.2, mean_rate_hz=17.3, max_rate_hz=188.4, spikes_per_update=12345.0,
                 relative_error_to_tensor_rate=math.nan) for layer in (1, 2, 3)]
    files = {"json": options.out / "comparison.json", "png": options.out / "comparison.png"}
    notes = ["dynamic_inversion: tau_control = 8 to keep its loop stable."]
    settings = {"data": options.data, "sizes": (64, 32, 10)}
    return {"settings": settings, "training": training, "rows": rows, "notes": notes, "files": files}


@pytest.fixture
def compared(monkeypatch):
    """Options of each call of ``comparison.run``, which is replaced."""
    calls = []

    def fake(options, report):
        calls.append(options)
        report("training", "dynamic_inversion", 0.5)
        report("realisations", "dynamic_inversion, circuit.rate", 1.0)
        print("a simulator that talks")
        return result(options)

    monkeypatch.setattr(comparison, "run", fake)
    return calls


def test_compare_defaults(compared):
    good("compare")
    main = ["backprop", "feedback_alignment", "direct_feedback_alignment", "difference_target_propagation",
            "dynamic_inversion"]
    assert compared == [comparison.Options([rules.get(n) for n in main], REALISATIONS, out=Path("neurolearn-out"))]


def test_compare_passes_every_option_on(compared, tmp_path):
    (tmp_path / "w.safetensors").write_bytes(b"")
    good("compare", "--rules", f"backprop,{EXAMPLE}:two_phases", "--rules", "dynamic_inversion", "--seed", "7",
         "--realisations", "circuit.spiking,tensor.rate", "--data", "yin_yang", "--sizes", "4-30-3", "--seeds", "2",
         "--activation", "relu", "--out", tmp_path / "new" / "out", "--device", "cpu",
         "--weights", "w.safetensors", "--no-train")
    good("compare", "--epochs", "3")
    options = compared[0]
    assert [rule.name for rule in options.rules] == ["backprop", "two_phases", "dynamic_inversion"]
    assert options.realisations == ("tensor.rate", "circuit.spiking")
    assert (options.data, options.sizes, options.activation) == ("yin_yang", (4, 30, 3), "relu")
    assert (options.seed, options.seeds, options.epochs, options.device) == (7, 2, None, "cpu")
    assert (options.weights, options.train, options.out) == (Path("w.safetensors"), False, tmp_path / "new" / "out")
    assert (compared[1].epochs, compared[1].train) == (3, True)


def test_compare_tables(compared):
    done = good("compare", "--out", "there")
    text = done.stdout
    accuracy, rest = text.split("Distance of each realisation to tensor.rate")
    distance, rest = rest.split("Angle of the weight change")
    angles, rest = rest.split("Physiological operating point: reported, not judged")
    operating, rest = rest.split("Notes")
    # 90 and 80 against 70 and 70: 20 and 10 points, mean 15, standard error 5
    assert re.search(r"^dynamic_inversion +85.0 ± 5.0 +\+15.0 ± 5.0 +31 / 4.6 / 0 *$", accuracy, re.M)
    assert re.search(r"^linear +60.0 ± 0.0 +-10.0 ± 0.0 *$", accuracy, re.M)
    assert re.search(r"^readout_only +70.0 ± 0.0 *$", accuracy, re.M)
    assert accuracy.index("dynamic_inversion") < accuracy.index("linear")
    assert re.search(r"^dynamic_inversion +4e-13 +4.6 % *$", distance, re.M), "the worst layer"
    assert re.search(r"^dynamic_inversion +backprop +~60 / \? / 0 *$", angles, re.M)  # cosines: .5 (wide), none, 1
    assert re.search(r"^ +its own reference +1.0 / 1.0 / 1.0 *$", angles, re.M)
    assert re.search(r"tensor.spiking +20 +0.2 +17.3 +188 +12,345 +12 / 12 / 12 *$", operating, re.M)
    assert "- dynamic_inversion: tau_control = 8 to keep its loop stable." in rest
    assert "json: there/comparison.json" in rest and "png: there/comparison.png" in rest
    assert "data digits; sizes 64-32-10" in text
    assert "training" in done.stderr and "talks" in done.stderr and "talks" not in text


def test_compare_json(compared, tmp_path):
    done = good("compare", "--json", "-")
    written = strict(done.stdout)
    assert set(written) == {"settings", "training", "rows", "notes", "files"}
    assert written["rows"][-1]["relative_error_to_tensor_rate"] is None
    assert written["rows"][2]["relative_error_to_tensor_rate"] == 1e-14
    assert written["files"]["json"] == str(Path("neurolearn-out") / "comparison.json")
    assert "After training" in done.stderr
    good("compare", "--json", tmp_path / "all.json")
    assert strict((tmp_path / "all.json").read_text()) == written


def test_compare_without_training_or_spikes_has_no_such_tables(monkeypatch):
    def fake(options, report):
        rows = [row("backprop", "tensor.rate", "backprop", 1, 0.0)]
        return {"settings": {}, "training": [], "rows": rows, "notes": [], "files": {}}

    monkeypatch.setattr(comparison, "run", fake)
    text = good("compare", "--no-train").stdout
    assert "After training" not in text and "Physiological" not in text and "Distance" not in text
    assert re.search(r"^backprop +backprop +0 *$", text, re.M)


def test_an_angle_is_corrected_where_repeats_allow_it():
    one = row("backprop", "tensor.spiking", "backprop", 1, 40.0, cosine_corrected=math.cos(math.radians(10)))
    assert angle_of(one) == 40.0
    assert angle_of({**one, "n_repeats": 3}) == pytest.approx(10.0)
    assert angle_of({**one, "n_repeats": 3, "cosine_corrected": None}) is None
    assert angle_of({**one, "angle_deg": math.nan}) is None


def test_an_angle_is_vague_if_its_interval_is_wide_or_unknown():
    def vague(low, high, repeats=4):
        cosines = {"ci_low": low and math.cos(math.radians(low)), "ci_high": high and math.cos(math.radians(high))}
        return is_vague(row("backprop", "tensor.spiking", "backprop", 1, 40.0, cosine_corrected=0.8, n_repeats=repeats,
                            **cosines))

    assert not vague(49, 30) and vague(51, 30) and vague(None, None)
    assert not vague(None, None, repeats=1), "a single change has no interval"


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
