"""Difference target propagation: what its decoders descend, and what they come to."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import RULES
from target_rules import (
    agree,
    batch,
    off,
    phase_only,
    simulated,
    spoilt,
    weights_of,
    with_decoders,
)

from neurolearn.changes import prepare
from neurolearn.network import mlp

DTP, TOP = RULES["difference_target_propagation"], RULES["dtp_learned_top"]
BOTH = {"difference_target_propagation": DTP, "dtp_learned_top": TOP}
NET = mlp([10, 9, 8, 7, 5])


INVERSE_MUTANTS = {
    "clean aim": (("(probe_post - guess_post)", "(rate_post - guess_post)"),),
    "no noise": (("probe = rate + sigma*noise", "probe = rate"),),
    "sign": (("(probe_post - guess_post)", "(probe_post + guess_post)"),),
    "clean image": (("W(probe_below)", "W(rate_below)"),),
}


@pytest.mark.parametrize("rule", BOTH.values(), ids=BOTH)
def test_decoders_descend_the_reconstruction_error_of_the_probes(rule):
    """Oracle: autograd of 1/2 |probe - tanh(Q h)|^2 for the very noise that was drawn, all layers at once."""
    w = with_decoders(NET)
    x, teacher = batch(NET, w)
    program, weights, given = prepare(phase_only(rule), NET, x, teacher, w)
    found = simulated(program, weights, given, "tensor.rate")
    assert sorted(found) == [f"Q_{k}_{k + 1}" for k in (1, 2, 3)][: 3 if rule is TOP else 2]
    probe, sigma = torch.tensor(x), rule.constants["sigma"]
    for k in (1, 2, 3):
        if f"Q_{k}_{k + 1}" not in found:
            continue
        rate = torch.tanh(probe @ torch.tensor(w[f"W_{k}_{k - 1}"]).T + torch.tensor(w[f"b_{k}"]))
        probe = rate + sigma * torch.tensor(given[f"noise_inverse_{k}"])
        image = probe @ torch.tensor(w[f"W_{k + 1}_{k}"]).T + torch.tensor(w[f"b_{k + 1}"])
        image = image if k + 1 == NET.output else torch.tanh(image)
        leaf = torch.tensor(w[f"Q_{k}_{k + 1}"], requires_grad=True)
        loss = 0.5 * (probe - torch.tanh(image @ leaf.T)).square().sum(1).mean()
        expected = -torch.autograd.grad(loss, leaf)[0].numpy()
        assert off(found, {f"Q_{k}_{k + 1}": expected}, [f"Q_{k}_{k + 1}"])[0] < 1e-13


def white_probes(rule, net, w, x):
    """(program, weights, given): every sample with every pair of +- sqrt(n) e_i as the noise of layers 1 and 2, so that
    the noise has exactly unit covariance and meets neither the rates nor the other layer's."""
    one, two = (np.sqrt(net.sizes[k]) * np.vstack([np.eye(net.sizes[k]), -np.eye(net.sizes[k])]) for k in (1, 2))
    if rule is DTP:
        two = np.zeros((1, net.sizes[2]))  # no decoder listens to it
    pairs = [(s, a, b) for s in x for a in one for b in two]
    data, a, b = (np.array(part) for part in zip(*pairs, strict=True))
    program, weights, given = prepare(phase_only(rule), net, data[:1], np.zeros((1, net.sizes[-1])), w)
    chosen = {"data_0": data, "noise_inverse_1": a, "noise_inverse_2": b}
    return program, weights, {name: chosen[name] for name in given if name in chosen}


def optimum(moments: np.ndarray, forward: np.ndarray) -> np.ndarray:
    """C W^T (W C W^T)^-1: the best linear reconstruction of what has second moments C from its image."""
    return moments @ forward.T @ np.linalg.inv(forward @ moments @ forward.T)


def moments_of(net, w, x, sigma) -> dict[str, np.ndarray]:
    """Second moments of the probes of a linear net without biases, of which Q_k_(k+1) is to be the inverse."""
    rates = x @ w["W_1_0"].T
    one = rates.T @ rates / len(x) + sigma**2 * np.eye(net.sizes[1])
    two = w["W_2_1"] @ one @ w["W_2_1"].T + sigma**2 * np.eye(net.sizes[2])
    return {"Q_1_2": one, "Q_2_3": two}


@pytest.mark.parametrize("sizes", [(3, 4, 3, 2), (3, 3, 3, 3)], ids=["contracting", "square"])
@pytest.mark.parametrize("rule", BOTH.values(), ids=BOTH)
def test_the_learned_inverse_is_the_one_that_keeps_the_noise(rule, sizes):
    """For a linear net: the mean change is (C - V W C) W^T, so that it ends at V = C W^T (W C W^T)^-1.

    That is the inverse of a square W; of a contracting one it is not the pseudo-inverse, as the probes are not white.
    """
    net = mlp(sizes, "linear")
    w = with_decoders(net, bias=0.0)
    x = np.random.default_rng(5).uniform(-1, 2, (4, 3))
    learned = [q for q in ("Q_1_2", "Q_2_3") if q in weights_of(rule, net, w)]
    moments = moments_of(net, w, x, rule.constants["sigma"])
    up = {q: w[f"W_{q[-1]}_{q[2]}"] for q in learned}

    def change(decoders, rule=rule):
        return simulated(*white_probes(rule, net, w | decoders, x), "tensor.rate")

    law = {q: (moments[q] - w[q] @ up[q] @ moments[q]) @ up[q].T for q in learned}
    start = change({})
    assert max(off(start, law, learned)) < 1e-13
    best, other = (
        {q: f(q) for q in learned} for f in (lambda q: optimum(moments[q], up[q]), lambda q: np.linalg.pinv(up[q]))
    )
    assert all(np.linalg.norm(change(best)[q]) < 1e-13 * np.linalg.norm(start[q]) for q in learned)
    if len(set(sizes)) == 1:
        assert max(off(best, other, learned)) < 1e-12
    else:
        assert all(np.linalg.norm(change(other)[q]) > 0.02 * np.linalg.norm(start[q]) for q in learned)
    for mutant, swaps in INVERSE_MUTANTS.items():
        if mutant in ("no noise", "clean image") and len(set(sizes)) == 1:
            continue  # the inverse of a square W undoes these as well
        _, weights, given = white_probes(rule, net, w | best, x)
        wrong = prepare(phase_only(spoilt(rule, *swaps)), net, x, np.zeros((4, sizes[-1])))[0]
        found = simulated(wrong, weights, given, "tensor.rate")
        assert any(np.linalg.norm(found[q]) > 0.01 * np.linalg.norm(start[q]) for q in learned), mutant


@pytest.mark.parametrize("realisation", ["circuit.rate", "tensor.spiking"])
def test_the_mean_change_of_decoders_in_other_realisations(realisation):
    """The same law on a smaller net, probes and all; tolerances of the edges."""
    net = mlp([2, 2, 2, 2], "linear")
    w = with_decoders(net, bias=0.0)
    x = np.random.default_rng(5).uniform(-1, 1, (2, 2))
    moments = moments_of(net, w, x, DTP.constants["sigma"])["Q_1_2"]
    law = (moments - w["Q_1_2"] @ w["W_2_1"] @ moments) @ w["W_2_1"].T
    found = simulated(*white_probes(DTP, net, w, x), realisation)
    assert agree(found, {"Q_1_2": law}, realisation, ["Q_1_2"])
