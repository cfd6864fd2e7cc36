"""The regulariser of GAIT-prop: probes that give its gradient, and what it constrains."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import RULES
from target_rules import (
    REALISATIONS,
    SPIKES,
    agree,
    draw,
    gaussian,
    matrices,
    off,
    order,
    penalty_gradient,
    phase_only,
    simulated,
    spoilt,
    square,
)

from neurolearn.changes import prepare
from neurolearn.network import mlp
from neurolearn.tensor.rate import RateProgram

ORTHOGONAL = RULES["gait_prop_orthogonal"]
STRAIGHTEN = phase_only(ORTHOGONAL)
STRENGTH = ORTHOGONAL.constants["strength"]
NOISE_MUTANTS = {
    "factor": (("4*strength", "2*strength"),),
    "sign": (("w*own_echo_pre - again_post*probe_pre", "w*own_echo_pre + again_post*probe_pre"),),
    "norms included": (("w*own_echo_pre - ", "-"),),
    "echo of the echo": (("again_post*probe_pre", "again_post*echo_pre"),),
}


def penalty(w: np.ndarray) -> float:
    gram = w.T @ w
    return float(np.sum((gram - np.diag(np.diag(gram))) ** 2))


def probed(rule, net, w):
    """(program, weights, given) with probes sqrt(n) e_k in turn, whose second moment is exactly 1 in every layer."""
    samples = max(net.sizes)
    program, weights, given = prepare(
        rule, net, np.zeros((samples, net.sizes[0])), np.zeros((samples, net.sizes[-1])), w
    )
    for name in given:
        if name.startswith("noise"):
            size = given[name].shape[1]
            assert samples % size == 0
            given[name] = np.sqrt(size) * np.eye(size)[np.arange(samples) % size]
    return program, weights, given


@pytest.mark.parametrize("sizes", [(6, 6, 6, 6), (8, 4, 4, 2)])
def test_probes_that_are_white_give_the_regularisers_gradient_exactly(sizes):
    """Oracle: autograd of R. Every W is regularised, the first too."""
    net = mlp(sizes, "asinh")
    w = draw(net, gaussian)
    found = simulated(*probed(STRAIGHTEN, net, w), "tensor.rate")
    assert set(found) == set(matrices(net, top=True))
    expected = {n: -STRENGTH * penalty_gradient(w[n]) for n in found}
    assert max(off(found, expected, expected)) < 1e-13
    for swaps in NOISE_MUTANTS.values():
        wrong = simulated(*probed(spoilt(STRAIGHTEN, *swaps), net, w), "tensor.rate")
        assert max(off(wrong, expected, expected)) > 0.3


@pytest.mark.parametrize("realisation", REALISATIONS[1:])
def test_white_probes_do_so_in_every_realisation(realisation):
    net = mlp((2, 2, 2), "asinh")
    w = draw(net, gaussian, seed=3)
    found = simulated(*probed(STRAIGHTEN, net, w), realisation, replace(SPIKES, settle=1500, window=1500))
    assert agree(found, {n: -STRENGTH * penalty_gradient(w[n]) for n in matrices(net, top=True)}, realisation)


def test_noise_gives_the_regularisers_gradient_on_average():
    """Within 4 standard errors of the gradient, and these fall as N^-1/2. The mutants are 10 away."""
    net = square(5, 2)
    w = draw(net, gaussian)
    expected = {n: -STRENGTH * penalty_gradient(w[n]) for n in matrices(net, top=True)}
    counts = (64, 256, 1024)

    def drawn(rule, count):
        changes = []
        program, weights, given = prepare(rule, net, np.zeros(5), np.zeros(5), w)
        for repeat in range(24):
            rng = np.random.default_rng([count, repeat])
            noise = {n: rng.standard_normal((count, 5)) for n in given if n.startswith("noise")}
            changes.append(simulated(program, weights, noise | {"data_0": np.zeros((count, 5))}, "tensor.rate"))
        return {n: np.stack([c[n] for c in changes]) for n in expected}

    def away(found):
        errors = {n: np.linalg.norm(c.std(0, ddof=1)) / np.sqrt(len(c)) for n, c in found.items()}
        return [np.linalg.norm(c.mean(0) - expected[n]) / errors[n] for n, c in found.items()]

    runs = {count: drawn(STRAIGHTEN, count) for count in counts}
    assert max(max(away(found)) for found in runs.values()) < 4
    for name in expected:
        spread = [np.linalg.norm(runs[count][name].std(0, ddof=1)) for count in counts]
        assert order(counts, spread) == pytest.approx(-0.5, abs=0.1)
    for mutant in ("factor", "sign", "norms included"):
        assert min(away(drawn(spoilt(STRAIGHTEN, *NOISE_MUTANTS[mutant]), 1024))) > 10


def test_it_constrains_directions_and_not_norms():
    """It vanishes at Q diag(s) and not at diag(s) Q, and descends there: R falls by 1e6, the norms stay unequal."""
    net, rng = square(6, 3), np.random.default_rng(4)
    norms = rng.uniform(0.5, 2, 6)
    w = draw(net)
    columns = {n: w[n] @ np.diag(norms) for n in matrices(net, top=True)}
    rows = {n: np.diag(norms) @ w[n] for n in matrices(net, top=True)}
    there, elsewhere = (simulated(*probed(STRAIGHTEN, net, w | m), "tensor.rate") for m in (columns, rows))
    assert max(np.linalg.norm(c) for c in there.values()) < 1e-13
    assert min(np.linalg.norm(c) for c in elsewhere.values()) > STRENGTH
    program, weights, given = probed(STRAIGHTEN, net, w | rows)
    learner = RateProgram(program, weights)
    for _ in range(400):
        learner.step(given, 1.0)
    for name, end in learner.numpy().items():
        if name in rows:
            assert penalty(end) < 1e-6 * penalty(rows[name])
            lengths = np.linalg.norm(end, axis=0)
            assert lengths.max() > 1.2 * lengths.min()
