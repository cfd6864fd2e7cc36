"""The physiology of a run: what its config says is what its circuit has, and a run that has it goes on anywhere."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from test_cli import good

from neurolearn.circuit import Background, Biology
from neurolearn.circuit.online import Online
from neurolearn.errors import InputError
from neurolearn.runs.config import RunConfig
from neurolearn.training import online

RUN = {"rule": "feedback_alignment", "realisation": "circuit.spiking", "data": "yin_yang", "sizes": (4, 5, 3), "seed": 3,
       "samples": 4, "segment": 2, "learning_rate": 0.05, "timing": {"settle": 20, "window": 20, "tau": 0.01}, "bias": 0.5,
       "evaluation": {"samples": 2, "final": 2}}  # fmt: skip
NOISY = {"delays": {"B": 0.003, "W.rate": 0.001}, "heterogeneity": {"threshold": 0.1, "synapse": 0.2}, "irregularity": 0.4,
         "background": {"amplitude": 0.2, "tau": 0.01, "into": ["cells", "W"]}}  # fmt: skip


def trained(**changes) -> tuple[online.OnlineTraining, dict]:
    """(training, arrays after two segments, each from a circuit of its own)."""
    config = RunConfig(**{**RUN, **changes})
    first, second = online.OnlineTraining(config), online.OnlineTraining(config)
    return first, second.step(1, first.step(0, first.begin())[0])[0]


def test_a_run_has_the_physiology_of_its_config_and_goes_on_with_it():
    """Oracle: ``Online`` given the same ``Biology`` in Python, without a break; every weight and all state, to the last bit."""
    training, found = trained(biology=NOISY)
    body = Biology(NOISY["delays"], NOISY["heterogeneity"], 0.4, Background(0.2, 0.01, ("cells", "W")))
    timing = training.config.timing.timing(3)
    plain = Online(training.program, training.start, timing, samples=2, biology=body)
    for n, span in enumerate(training.config.spans()):
        plain.run(training.stream.given(training.program, span)[0], training.rates(1 - n / 2))
    assert all(np.array_equal(found[f"weight:{n}"], w) for n, w in plain.weights.items())
    assert all(np.array_equal(found[f"state:{n}"], v) for n, v in plain.state.items())
    assert not np.array_equal(trained()[1]["weight:W_1_0"], found["weight:W_1_0"])


def test_a_run_with_cells_of_one_sign_several_per_unit_goes_on_from_arrays():
    """Oracle: the same circuit without a break, to the last bit."""
    first, found = trained(biology={**NOISY, "dale": True}, timing={**RUN["timing"], "cells": 2})
    whole = first.step(1, first.step(0, first.begin())[0])[0]
    assert set(whole) == set(found) and all(np.array_equal(found[n], v) for n, v in whole.items())
    assert len(first.circuit.plan.partners) == 6 and first.circuit.built.crowd == 2


@pytest.mark.slow  # two compilers
@pytest.mark.timeout(1800)
# A compiled target cannot be asked for without a compiler, and neurolearn works without one.
@pytest.mark.skipif(not shutil.which("g++"), reason="compiled targets need a C++ compiler (g++), and there is none")
@pytest.mark.parametrize("target", ["cython", "standalone"])
def test_every_target_learns_the_same_with_all_of_it(target, tmp_path, monkeypatch):
    """Oracle: numpy; 1e-12, sums over synapses in another order."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    found = []
    for one in (target, "numpy"):
        run = online.OnlineTraining(RunConfig(**{**RUN, "biology": {**NOISY, "dale": True}, "target": one,
                                                 "timing": {**RUN["timing"], "cells": 2}}))  # fmt: skip
        found.append(run.step(1, run.step(0, run.begin())[0])[0])
        run.close()
    for name, value in found[1].items():
        assert np.allclose(found[0][name], value, rtol=1e-12, atol=1e-12), name


@pytest.mark.parametrize("biology", [{"heterogeneity": 0.1}, {"irregularity": 0.1}, {"delays": {"B": 0.001}}])
def test_physiology_is_part_of_what_defines_a_run(biology):
    config = RunConfig(**RUN)
    assert config.but(biology=biology).id() != config.id()
    assert config.but(biology={}).id() == config.id()


def test_what_a_circuit_cannot_have_is_refused_before_it_runs():
    with pytest.raises(InputError, match=r"delays names 'V'; the pathways that carry spikes here are B, B\.error, W, W\.rate"):
        online.OnlineTraining(RunConfig(**{**RUN, "biology": {"delays": {"V": 0.001}}}))


def test_the_command_sets_it(tmp_path):
    words = ["--sizes", "4-5-3", "--samples", "2", "--target", "numpy", "--no-controls", "--set", "timing.settle=20",
             "--set", "timing.window=20", "--set", "evaluation.samples=2", "--set", "evaluation.final=2"]  # fmt: skip
    asked = ["--set", "biology.delays.B=0.003", "--set", "biology.heterogeneity.synapse=0.2", "--set", "biology.irregularity=0.5"]
    good("train", "feedback_alignment", *words, *asked, "--out", tmp_path / "run")
    kept = json.loads((tmp_path / "run" / "config.json").read_text())["biology"]
    assert kept == {"delays": {"B": 0.003}, "heterogeneity": {"synapse": 0.2}, "irregularity": 0.5, "background": None, "dale": False}
