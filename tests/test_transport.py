"""No weight is transported: with the output error held, the output weights cannot be seen from a hidden layer."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import NET, RULES, TEACHER, X

from neurolearn import streams
from neurolearn.changes import update
from neurolearn.timing import Timing

ERROR = {"error": {NET.output: np.array([[0.4, -0.7, 0.2], [-0.3, 0.1, 0.6]])}}
TIMING = Timing(settle=100, window=100)
WHERE = [("tensor.rate", "unit"), ("circuit.rate", "unit"), ("tensor.spiking", "unit"), ("circuit.spiking", "unit"),
         ("circuit.spiking", "cells")]


def hidden(name: str, realisation: str, placement: str, weights: dict) -> dict[str, np.ndarray]:
    """Changes of all weights into hidden layers, of one presentation with the same timing, noise and potentials."""
    found = update(RULES[name], NET, X, TEACHER, weights, realisation=realisation, placement=placement, timing=TIMING,
                   held=ERROR)
    return {weight: change for weight, change in found.changes.items() if weight in ("W_1_0", "W_2_1", "b_1", "b_2")}


def other() -> dict[str, np.ndarray]:
    return {"W_3_2": 3 * streams.stream(7, "other").normal(size=(3, 4))}


# Oracle: the same presentation with the weights of the output layer as they were.


@pytest.mark.parametrize(("realisation", "placement"), WHERE)
@pytest.mark.parametrize("name", ["feedback_alignment", "direct_feedback_alignment"])
def test_other_output_weights_leave_every_hidden_change_as_it_is(name, realisation, placement):
    before, after = (hidden(name, realisation, placement, weights) for weights in ({}, other()))
    assert set(before) == {"W_1_0", "W_2_1", "b_1", "b_2"}
    assert all(np.abs(change).max() > 1e-3 for change in before.values())
    assert all(np.array_equal(before[weight], after[weight]) for weight in before)


@pytest.mark.parametrize(("realisation", "placement"), WHERE[:4])
def test_backprop_sees_the_output_weights_from_everywhere(realisation, placement):
    before, after = (hidden("backprop", realisation, placement, weights) for weights in ({}, other()))
    for weight in before:
        assert np.linalg.norm(after[weight] - before[weight]) > 0.1 * np.linalg.norm(before[weight])


@pytest.mark.parametrize(("realisation", "placement"), [WHERE[0], WHERE[2], WHERE[4]])
def test_the_held_error_is_what_the_hidden_layers_hear(realisation, placement):
    """Twice the error is twice the change, but for spikes that are counted whole."""
    once = hidden("feedback_alignment", realisation, placement, {})
    doubled = update(RULES["feedback_alignment"], NET, X, TEACHER, realisation=realisation, placement=placement,
                     timing=TIMING, held={"error": {NET.output: 2 * ERROR["error"][NET.output]}})
    tolerance = 0.2 if "spiking" in realisation else 1e-12
    for weight in once:
        assert np.linalg.norm(doubled[weight] - 2 * once[weight]) <= tolerance * np.linalg.norm(2 * once[weight])
