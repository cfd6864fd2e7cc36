"""Stability with delays: closed forms, simulations with delay lines, and what the guards foretell."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
from brian2 import StateMonitor
from conftest import RULES, TEACHER, X
from test_biology import SMALL

from neurolearn import circuit
from neurolearn.changes import prepare
from neurolearn.circuit.guards import foreseen
from neurolearn.delayed import growing
from neurolearn.errors import SaturationError
from neurolearn.network import mlp
from neurolearn.timing import Timing


@pytest.mark.parametrize("gain", [1.2, 3.0, 20.0])
def test_one_current_that_inhibits_itself_late(gain):
    r"""Oracle: $\dot I = -I - k I(t - d)$ loses stability at $d = \arccos(-1/k) / \sqrt{k^2 - 1}$, two modes at a time."""
    critical = np.arccos(-1 / gain) / np.sqrt(gain**2 - 1)
    jacobian, tau = np.array([[-1.0 - gain]]), np.ones(1)
    assert growing(jacobian, tau, np.array([0.99 * critical])) == 0
    assert growing(jacobian, tau, np.array([1.01 * critical])) == 2
    second = critical + 2 * np.pi / np.sqrt(gain**2 - 1)  # where the next pair crosses
    assert growing(jacobian, tau, np.array([1.01 * second])) == 4
    assert growing(-jacobian, tau, np.zeros(1)) == 1  # and without a delay it is the sign


@pytest.mark.parametrize("seed", range(4))
def test_random_loops_grow_where_they_do_in_a_simulation(seed):
    """Oracle: Euler steps with delay lines, a hundred to a delay, and whether the state is larger in the end; some variables
    are not delayed. Gains are scanned from stable to unstable; steps so fine leave those within 5 % of the limit out.
    """
    rng = np.random.default_rng(seed)
    tau, delay = rng.uniform(0.5, 2, 4), np.array([0.4, 0.8, 0.0, 0.2])
    loop = rng.normal(size=(4, 4))

    def count(gain: float) -> int:
        return growing((gain * loop - np.eye(4)) / tau[:, None], tau, delay)

    def grows(gain: float) -> bool:
        dt = 0.004
        late, past = np.round(delay / dt).astype(int), np.tile(rng.normal(size=4), (300, 1))
        for _ in range(12_000):
            heard = np.array([gain * loop[k] @ past[-1 - late[k]] for k in range(4)])
            past = np.roll(past, -1, axis=0)
            past[-1] = past[-2] + dt * (heard - past[-2]) / tau
            if np.abs(past[-1]).max() > 1e6:
                return True
        return np.abs(past).max() > 1.0

    low, high = 0.01, 20.0
    assert count(low) == 0 and count(high) > 0
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (low, middle) if count(middle) else (middle, high)
    assert not grows(0.95 * low) and grows(1.05 * high)


def test_a_loop_that_delays_make_unstable_is_foretold():
    """Oracle: the linear loop of dynamic inversion without delays is stable; only its count changes with them."""
    program, weights, given = prepare(RULES["dynamic_inversion"], SMALL, X, TEACHER)
    timing = Timing(tau=10e-3)
    assert foreseen.unstable(program, weights, given, timing) == []
    assert foreseen.unstable(program, weights, given, timing, {"W": 1e-4}) == []
    key = {c.key.split(".")[0] for cell in program.cells for c in cell.compartments} - {"W"}
    late = dict.fromkeys([*key, "W"], 0.2)
    (found,) = foreseen.unstable(program, weights, given, timing, late)
    assert found.guard == "stability" and "stable without delays and unstable with them" in found.what and found.value >= 2


@pytest.mark.parametrize(("delay", "unstable"), [(7e-3, False), (35e-3, True)])
def test_the_spiking_circuit_does_what_was_foretold(delay, unstable):
    """Oracle: Brian2. The signal of the loop rings down to half of what it was, or swings up to more than twice as much."""
    net, x = mlp([3, 4, 3]), np.random.default_rng(0).random((1, 3))
    program, weights, given = prepare(RULES["dynamic_inversion"], net, x, np.eye(3)[:1])
    timing = Timing(tau=10e-3, settle=400, window=100, unit_rate=400)
    late = {c.key.split(".")[0]: delay for cell in program.cells for c in cell.compartments}
    assert bool(foreseen.unstable(program, weights, given, timing, late)) == unstable
    built = circuit.make(program, weights, given, timing, biology=circuit.Biology(delays=late))
    layer = built.objects["layer1"]
    monitor = StateMonitor(layer, "delta", record=True, clock=layer.clock)
    built.network.add(monitor)
    with suppress(SaturationError):
        built.run()
    first, *_, one, two, last = (part.std(1).max() for part in np.array_split(monitor.delta, 6, axis=1))
    assert max(one, two, last) > 2 * first if unstable else max(one, two, last) < first / 2


def test_a_rule_without_loops_is_stable_with_any_delay():
    program, weights, given = prepare(RULES["feedback_alignment"], SMALL, X, TEACHER)
    assert foreseen.unstable(program, weights, given, replace(Timing(), tau=5e-3), {"B": 1.0, "W": 0.5}) == []
