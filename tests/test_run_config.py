"""The configuration of a run: what it refuses, how it is read, what its id depends on."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from test_runs import FEW, SMALL

from neurolearn.activations import NAMED
from neurolearn.errors import InputError, RunError
from neurolearn.runs import RunConfig
from neurolearn.timing import Timing

# -- configurations ------------------------------------------------------------------------------------------------------


POSITIVE = st.floats(1e-6, 1e6)
CONFIGS = st.fixed_dictionaries(
    {
        "rule": st.sampled_from(["backprop", "dynamic_inversion", "own/rules.py:mine"]),
        "data": st.sampled_from(["digits", "yin_yang"]),
        "sizes": st.lists(st.integers(1, 300), min_size=2, max_size=5),
        "samples": st.integers(1, 10**7),
        "learning_rate": POSITIVE | st.dictionaries(st.sampled_from(["W", "B", "*"]), POSITIVE),
    },
    optional={
        "activation": st.sampled_from(sorted(NAMED)), "seed": st.integers(0, 2**40), "segment": st.integers(1, 1000),
        "constants": st.dictionaries(st.sampled_from(["beta", "leak"]), st.floats(-1e3, 1e3)), "signed": st.booleans(),
        "plastic": st.sampled_from(["all", "readout", "none"]), "target": st.sampled_from(["numpy", "cython", "standalone"]),
        "biology": st.fixed_dictionaries({}, optional={
            "delays": st.dictionaries(st.sampled_from(["W", "B.error"]), st.floats(1e-3, 0.1)), "dale": st.booleans(),
            "heterogeneity": st.floats(0, 1) | st.dictionaries(st.sampled_from(["threshold", "synapse"]), st.floats(0, 1)),
            "background": st.none() | st.fixed_dictionaries({"amplitude": POSITIVE, "tau": POSITIVE},
                                                            optional={"into": st.just("W")})}),
        "timing": st.fixed_dictionaries({}, optional={
            "dt": st.floats(1e-5, 1e-3), "unit_rate": POSITIVE, "settle": st.just(3000),
            "taus": st.dictionaries(st.sampled_from(["W", "B.error"]), st.floats(0.002, 1))}),
        "evaluation": st.fixed_dictionaries({}, optional={"every": st.integers(1, 9), "samples": st.none() | st.integers(1, 99)}),
    },
)


@FEW
@given(CONFIGS, CONFIGS)
def test_configurations_survive_files_and_are_the_same_if_their_settings_are(tmp_path_factory, one, other):
    folder, config = tmp_path_factory.mktemp("config"), RunConfig(**one)
    (folder / "a.json").write_text(config.text())
    (folder / "b.json").write_text(json.dumps(one))
    (folder / "c.yaml").write_text(yaml.safe_dump(one))
    for name in ("a.json", "b.json", "c.yaml"):
        again = RunConfig.read(folder / name)
        assert again == config and again.id() == config.id() and hash(again) == hash(config)
    assert (RunConfig(**other).id() == config.id()) == (RunConfig(**other).settings() == config.settings())
    assert config.timing.timing(5) == replace(Timing(**one.get("timing", {})), seed=5)


@FEW
@given(st.integers(1, 10**4), st.integers(1, 10**4))
def test_the_segments_of_a_run_are_all_its_samples_once(samples, segment):
    config = RunConfig(**{**SMALL, "samples": samples, "segment": segment})
    assert [n for span in config.spans() for n in span] == list(range(samples))
    assert len(config.spans()) == config.segments and all(len(span) == segment for span in config.spans()[:-1])


def test_the_timing_of_a_run_has_all_settings_of_timing():
    assert {f.name for f in fields(Timing)} == set(type(RunConfig(**SMALL).timing).model_fields)
    assert RunConfig(**SMALL).timing.timing() == Timing()


@pytest.mark.parametrize(("change", "sentence"), [
    ({"rule": "feedback_aligment"}, "rule is 'feedback_aligment'; did you mean 'feedback_alignment'?"),
    ({"rule": "own.py"}, "rule is 'own.py', a file without the name of a rule; give path/to/file.py:name."),
    ({"data": "q"}, "data is 'q'; choose one of yin_yang, digits, mnist, fashion_mnist, cifar10."),
    ({"activation": "tan"}, "activation is 'tan'; did you mean 'tanh'?"),
    ({"sizes": [3]}, "sizes is [3]; give at least 2 values."),
    ({"sizes": [3, 0, 2]}, "sizes.1 is 0; give a number >= 1."),
    ({"learnig_rate": 2}, "there is no setting 'learnig_rate'; did you mean 'learning_rate'?"),
    ({"timing": {"tua": 3}}, "there is no setting 'timing.tua'; did you mean 'tau'?"),
    ({"timing": {"baseline": {"rat": 50}}}, "there is no setting 'timing.baseline.rat'; did you mean 'rate'?"),
    ({"timing": {"baseline": {"rate": -1}}}, "Baseline: rate is -1.0; it must be positive (SI units)."),
    ({"learning_rate": {"W": -1}}, "learning_rate.W is -1; give a number >= 0."),
    ({"learning_rate": float("nan")}, "learning_rate is nan; give a finite number."),
    ({"learning_rate": "fast"}, "learning_rate is 'fast'; give a number."),
    ({"samples": True}, "samples is True; give a whole number."),
    ({"samples": 2.5}, "samples is 2.5; give a whole number."),
    ({"samples": 0, "segment": -1}, "samples is 0; give a number >= 1. segment is -1; give a number >= 1."),
    ({"plastic": "some"}, "plastic is 'some'; choose 'all', 'readout' or 'none'."),
    ({"signed": "maybe"}, "signed is 'maybe'; give true or false."),
    ({"timing": {"dt": 0.02}}, "Timing: dt = 0.02 s is too coarse for the filter of 0.01 s; take dt at most half of it, and a tenth "
                               "where figures count."),
    ({"timing": {"window": 0}}, "Timing: window (in steps of dt) is 0; give a whole number of at least 1."),
    ({"timing": {"baseline": 3}}, "timing.baseline is 3; give names with their values."),
    ({"timing": {"settle": 150}}, "timing.settle is 150 and timing.window 1000; settle must be a multiple of window."),
    ({"placement": "cells", "realisation": "circuit.rate"},
     "placement is 'cells', which only circuit.spiking has, not circuit.rate; take 'unit'."),
    ({"target": "cython", "realisation": "tensor.rate"},
     "target is 'cython', which belongs to circuits, not to tensor.rate; leave it out."),
    ({"biology": {"delays": {"W": 1e-3}}, "realisation": "circuit.rate"},
     "biology.delays is {'W': 0.001}, but circuit.rate sends no spikes; leave it out."),
    ({"biology": {"dale": True}, "realisation": "tensor.spiking"},
     "biology.dale is of circuits, not of tensor.spiking; leave it out."),
    ({"biology": {"delays": {"B": 0}}}, "biology.delays.B is 0; give a number > 0."),
    ({"biology": {"heterogeneity": {"thresholds": 0.1}}},
     "biology.heterogeneity.thresholds is 'thresholds'; choose 'threshold', 'membrane' or 'synapse'."),
    ({"biology": {"heterogeneity": 1.5}}, "biology.heterogeneity is 1.5; give a number <= 1."),
    ({"biology": {"irregularity": "some"}}, "biology.irregularity is 'some'; give a number."),
    ({"biology": {"background": {"amplitude": 0.1}}}, "biology.background.tau is missing; give it a value."),
    ({"biology": {"background": {"amplitude": 0.1, "tau": 0.01, "into": []}}},
     "biology.background.into is []; give at least 1 values."),
    ({"biology": {"noise": 0.1}},
     "there is no setting 'biology.noise'; choose from delays, heterogeneity, irregularity, background, dale."),
])
def test_a_wrong_setting_is_a_sentence(change, sentence):
    with pytest.raises(InputError) as error:
        RunConfig(**{**SMALL, **change})
    assert str(error.value) == sentence


@pytest.mark.parametrize(("name", "text", "sentence"), [
    ("a.toml", "", "a.toml is no .json, .yaml or .yml file; give a configuration in one of these."),
    ("a.yaml", "seed: 1\nseed: 2", "a.yaml: 'seed' stands twice; keep one of them."),
    ("a.json", '{"seed": 1, "seed": 2}', "a.json: 'seed' stands twice; keep one of them."),
    ("a.yaml", "- 3", "a.yaml: give settings by name, such as rule: feedback_alignment."),
    ("a.yaml", "rule: !!python/object/apply:os.getcwd []", "a.yaml cannot be read: could not determine a constructor for the tag"),
    ("a.json", "{", "a.json cannot be read: Expecting property name"),
    ("a.yaml", "rule: backprop", "a.yaml: data is missing; give it a value. sizes is missing"),
])
def test_a_file_that_is_no_configuration_is_refused_by_name(tmp_path, name, text, sentence):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError) as error:
        RunConfig.read(tmp_path / name)
    assert str(error.value).startswith(sentence)


def test_a_file_that_is_not_there_is_refused_and_yaml_numbers_are_numbers(tmp_path):
    with pytest.raises(RunError, match=r"no\.yaml in .* could not be used: no such file"):
        RunConfig.read(tmp_path / "no.yaml")
    (tmp_path / "a.yaml").write_text(yaml.safe_dump({**SMALL, "learning_rate": None}).replace("null", "1e-3"))
    assert RunConfig.read(tmp_path / "a.yaml").learning_rate == 1e-3  # a text, for YAML


def test_a_configuration_does_not_change(tmp_path):
    config = RunConfig(**SMALL, constants={"beta": 1.0})
    with pytest.raises(TypeError, match=r"make another with config\.but"):
        config.constants["beta"] = 2.0
    with pytest.raises(ValueError, match="frozen"):
        config.seed = 2
    assert config.but(seed=2).seed == 2 and config.but(seed=2).id() != config.id()
    with pytest.raises(InputError, match="seed is -2"):
        config.but(seed=-2)
