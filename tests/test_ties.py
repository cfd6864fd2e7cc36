"""Weights that follow others: what each tie is, when it is made anew, and that both realisations of it agree."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import NET, TEACHER, X, near

from neurolearn import circuit, rules, streams
from neurolearn.changes import prepare, update
from neurolearn.errors import InputError, RuleError
from neurolearn.ledger import ledger
from neurolearn.program import lower
from neurolearn.rule import Pathway, Tied
from neurolearn.tensor.rate import RateProgram, derived

FA = rules.get("feedback_alignment")
DFA = rules.get("direct_feedback_alignment")


def tied(how: str, rule=FA, source: str = "above", **more):
    return replace(rule, name="tied", pathways={"B": Pathway(source, Tied("W", how, **more))}, limit=None)


def followed(how: str, damping: float, w: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """B_1_2 or B_1_3 by its definition; the inverses by the normal equations or by singular values."""
    one, two = w["W_2_1"], w["W_3_2"]
    if how == "pseudo-inverse":
        left, size, right = np.linalg.svd(one, full_matrices=False)
        return {"B_1_2": right.T @ np.diag(size / (size**2 + damping)) @ left.T}
    if how == "sign":
        return {"B_1_2": np.sign(one.T) * np.mean(np.abs(one))}
    sign = -1 if how.startswith("negated") else 1
    return {"B_1_3": sign * (two @ one).T, "B_2_3": sign * two.T}


CASES = [("pseudo-inverse", 0.0, FA, "above"), ("pseudo-inverse", 0.3, FA, "above"), ("sign", 0.0, FA, "above"),
         ("path transpose", 0.0, DFA, "output"), ("negated path transpose", 0.0, DFA, "output")]


@pytest.mark.parametrize(("how", "damping", "rule", "source"), CASES)
def test_a_tie_is_what_it_says_and_is_made_anew_after_every_step(how, damping, rule, source):
    """Oracles: singular values, products, signs; after a step of reference and of fused, in NumPy and in torch."""
    one = tied(how, rule, source, damping=damping)
    program, w, given = prepare(one, NET, X, TEACHER, seed=3)
    for name, expected in followed(how, damping, w).items():
        assert near(w[name], expected) < 1e-12
    for kind in ("reference", "fused"):
        engine = RateProgram(program, w, kind=kind, batch=len(X))
        engine.step(given, 0.3)
        after = engine.numpy()
        assert near(after["W_2_1"], w["W_2_1"]) > 1e-3
        for name, expected in followed(how, damping, after).items():
            assert near(after[name], expected) < 1e-12


@pytest.mark.parametrize(("how", "damping", "rule", "source"), CASES)
def test_whatever_weights_are_given_a_tie_follows_its_base(how, damping, rule, source):
    one = tied(how, rule, source, damping=damping)
    mine = {"W_2_1": np.arange(20.0).reshape(4, 5) % 7 - 3, "B_1_2": np.ones((5, 4)), "B_1_3": np.ones((5, 3))}
    found, plain = (update(one, NET, X, TEACHER, w) for w in (mine, {"W_2_1": mine["W_2_1"]}))
    assert all(np.array_equal(found[n], plain[n]) for n in plain.changes)
    built = circuit.build(one, NET, X, TEACHER, mine, kind="rate")
    for name, expected in followed(how, damping, {**prepare(one, NET, X, TEACHER)[1], **mine}).items():
        weights = np.zeros(expected.shape)
        synapses = next(s for s in built.plan.synapses if s.name == name)
        weights[synapses.units[1], synapses.units[2]] = synapses.w
        assert near(weights, expected) < 1e-12


def test_a_singular_square_matrix_has_a_pseudo_inverse_on_the_device_too():
    program = lower(tied("pseudo-inverse"), NET)
    flat = torch.ones(4, 4, dtype=torch.float64)
    weight = next(w for w in program.derived() if w.name == "B_1_2")
    found = derived(replace(weight.derived, of=("flat",)), {"flat": flat}).numpy()
    assert near(found, np.full((4, 4), 1 / 16)) < 1e-12


def test_a_tie_at_the_start_goes_its_own_way_afterwards():
    one = replace(tied("transpose", at_start=True), plasticity={**FA.plasticity, "B": "rate_post * error_pre"})
    program, w, given = prepare(one, NET, X, TEACHER)
    assert np.array_equal(w["B_1_2"], w["W_2_1"].T)
    assert {"B_1_2", "B_2_3"} <= set(program.plastic_weights())
    engine = RateProgram(program, w)
    engine.step(given, {"W": 0.3, "b": 0.3, "B": 0.1})
    assert near(engine.numpy()["B_1_2"], engine.numpy()["W_2_1"].T) > 1e-3
    assert ledger(program, one).transport == {"B": "exact (transpose of W), at the start only"}


def test_coherent_weights_are_drawn_and_kept_on_their_side():
    rule = rules.get("kickback")
    net = rule.example()
    program = lower(rule, net)
    w = streams.initial_weights(program, rule.pathways, seed=4)
    for layer in (2, 3):
        assert (net.polarity(layer)[:, None] * w[f"W_{layer}_{layer - 1}"] >= 0).all()
    assert (w["W_1_0"] < 0).any() and (w["W_1_0"] > 0).any()  # from the input they are free


@pytest.mark.parametrize(("make", "sentence"), [
    (lambda: Tied("W", "pseudo-inverse", damping=float("nan")), "give a number that is not negative"),
    (lambda: Tied("W", "sign", damping=0.1), "damping belongs to 'pseudo-inverse'"),
])
def test_a_tie_that_cannot_be_is_refused(make, sentence):
    with pytest.raises(InputError, match=sentence):
        make()


def test_a_path_has_to_come_from_the_output():
    with pytest.raises(RuleError, match="leads from the output"):
        tied("path transpose")
