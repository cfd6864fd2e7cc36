"""When the loops of dynamic inversion are stable: characteristic polynomials, by Routh and by roots."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from test_dynamic_inversion import (
    LEARNED,
    NET,
    RDI,
    SDI,
    SLDI,
    TEACHER,
    X,
    drawn,
    swapped,
    without_b,
)

from neurolearn import circuit
from neurolearn.changes import prepare, update
from neurolearn.errors import SettlingError
from neurolearn.network import Network, mlp
from neurolearn.rule import Rule
from neurolearn.timescales import timescales

# -- stability ---------------------------------------------------------------------------------------------------------


def abscissa(rule: Rule, network: Network, w: dict, phase: str = "learn") -> float:
    size = network.sizes
    program, w, given = prepare(rule, network, np.zeros((1, size[0])), np.ones((1, size[-1])), w)
    return next(m.abscissa for m in timescales(program, w, given) if m.phase.startswith(phase))


def at_gain(network: Network, square: float, path: bool = False, seed: int = 3) -> dict:
    """Weights with this largest squared singular value of the highest matrix, or of the path; the loop below is weak."""
    w = without_b(drawn(network, seed))
    w["W_2_1"] = 0.3 * w["W_2_1"]
    matrix = w["W_3_2"] @ w["W_2_1"] if path else w["W_3_2"]
    w["W_3_2"] = w["W_3_2"] * np.sqrt(square) / np.linalg.norm(matrix, 2)
    return w


@pytest.mark.parametrize("rule, phase", [(RDI, "learn"), (SDI, "invert")], ids=["repeated", "sequential"])
@pytest.mark.parametrize("tau, leak", [(4.0, 0.1), (2.0, 1.0), (6.0, 0.0)])
def test_the_loop_of_a_layer_pair_is_stable_below_the_predicted_gain(rule, phase, tau, leak):
    r"""Oracle: $(s + 1)^2 (\tau s + \alpha) = -\sigma^2$, by Routh stable if $\tau \sigma^2 < 2 (\tau + \alpha)^2$; within 2 %.

    A loop whose controller has no lag of its own, or with one lag only, would have another bound or none."""
    rule = replace(rule, times={"tau_control": tau}).with_constants(leak=leak)
    bound = 2 * (tau + leak) ** 2 / tau
    for factor, sign in ((0.98, -1), (1.02, 1)):
        assert np.sign(abscissa(rule, NET, at_gain(NET, factor * bound), phase)) == sign
    flipped = swapped(rule, "W(delta_below)", "-W(delta_below)")
    if leak < 1:
        assert abscissa(flipped, NET, at_gain(NET, 0.98 * bound), phase) > 0


def test_rotating_feedback_is_stable_inside_the_predicted_curve():
    r"""Oracle: for any B a mode is a root of $(s + 1)^2 (\tau s + \alpha) = \mu$ with $\mu$ an eigenvalue of W B; the boundary is
    the curve $\mu = (1 + i \omega)^2 (\alpha + i \tau \omega)$. Within 2 % of it, and all roots to 1e-8."""
    network, tau, leak = mlp([3, 2, 2], "linear"), 4.0, 0.1
    rule = replace(LEARNED, times={"tau_control": tau}).with_constants(leak=leak)
    w = {**drawn(network), "W_2_1": np.eye(2)}
    for omega in (0.1, 0.4, 0.7, 0.95):
        mu = (1 + 1j * omega) ** 2 * (leak + 1j * tau * omega)
        turning = np.array([[mu.real, -mu.imag], [mu.imag, mu.real]])
        signs = []
        for factor in (0.98, 1.02):
            program, full, given = prepare(rule, network, np.ones((1, 3)), np.ones((1, 2)),
                                           {**w, "B_1_2": factor * turning})  # fmt: skip
            mode = timescales(program, full, given)[-1]
            signs.append(np.sign(mode.abscissa))
            for value in (factor * mu, factor * mu.conjugate()):
                roots = np.roots(np.polysub(np.polymul([1, 2, 1], [tau, leak]), [value]))
                assert all(np.abs(mode.eigenvalues - root).min() < 1e-8 for root in roots)
        assert signs == [-1, 1]


@pytest.mark.parametrize("leak", [0.0, 0.5])
def test_the_single_loop_is_stable_below_the_predicted_gain(leak):
    r"""Oracle: $(s + 1)^3 (\tau s + \alpha) = -\sigma^2$ of the path; without leak $\sigma^2 < 8 \tau / 9$, else the crossing of the
    imaginary axis, by bisection on the phase; within 2 %. A slower controller stabilises it."""
    low, high = 1e-6, 2.0
    for _ in range(60):
        omega = (low + high) / 2
        turned = 3 * np.arctan(omega) + np.arctan2(10.0 * omega, leak)
        low, high = (omega, high) if turned < np.pi else (low, omega)
    bound = (1 + omega**2) ** 1.5 * np.hypot(leak, 10.0 * omega)
    assert leak or bound == pytest.approx(8 * 10 / 9)
    rule = SLDI.with_constants(leak=leak)
    for factor, sign in ((0.98, -1), (1.02, 1)):
        assert np.sign(abscissa(rule, NET, at_gain(NET, factor * bound, path=True))) == sign
    slower = replace(rule, times={"tau_control": 11.0})
    assert abscissa(slower, NET, at_gain(NET, 1.02 * bound, path=True)) < 0


@pytest.mark.parametrize("realisation", ["circuit.rate", "tensor.spiking", "circuit.spiking"])
def test_an_unstable_loop_is_refused_before_anything_runs(realisation, monkeypatch):
    """Its fixed point exists, and spikes would stay bounded: nothing later would notice. No circuit is built."""
    w = at_gain(NET, 1.5 * 2 * 4.1**2 / 4)
    monkeypatch.setattr(circuit, "make", lambda *a, **k: pytest.fail("a circuit was built"))
    with pytest.raises(SettlingError, match="unstable in phase 'learn'"):
        update(RDI, NET, X, TEACHER, w, realisation=realisation)
