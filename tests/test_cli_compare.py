"""neurolearn compare on the command line."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
from test_cli import EXAMPLE, good, strict, terminal  # noqa: F401  (a fixture of every test)

from neurolearn import comparison, rules
from neurolearn.changes import REALISATIONS
from neurolearn.cli.compare_tables import angle_of, is_vague

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
