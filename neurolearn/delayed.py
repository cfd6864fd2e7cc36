r"""Whether a loop that is stable without delays is still stable with them.

A current hears what is sent d seconds ago, $\tau \dot I(t) = -I(t) + (M z)(t - d)$, where z is every state variable of the
linearised flow (``timescales``). So a mode $e^{\lambda t}$ exists where
$F(\lambda) = \lambda - J_\lambda$ is singular; $J_\lambda$ is the Jacobian, whose rows of a delayed current are
$(e^{-\lambda d} M - 1)/\tau$ with $M = \tau J + 1$. Modes that grow are counted by the argument principle (Nyquist 1932):

.. math:: N = -\frac{1}{\pi} \Delta_{0}^{\infty} \arg \frac{\det F(i\omega)}{(1 + i\omega)^n}.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
from scipy.sparse.csgraph import connected_components

from neurolearn.program import Program
from neurolearn.tensor import flow
from neurolearn.timescales import Timescales

TURN = 0.5  # radians from one frequency to the next, at most
FINEST = 1e-9  # of the frequency, where a mode neither grows nor decays


def growing(jacobian: np.ndarray, tau: np.ndarray, delay: np.ndarray) -> int:
    """How many modes grow. tau, delay: (n,), of every variable; delay 0 where it is heard at once. Any one unit of time."""
    count, label = connected_components(jacobian != 0, directed=True, connection="strong")
    total = 0
    for one in range(count):
        here = np.flatnonzero(label == one)
        inner = jacobian[np.ix_(here, here)]
        if len(here) > 1 or inner[0, 0] >= 0 or (delay[here] * (tau[here] * inner[0, 0] + 1)).any():
            total += _growing(inner, tau[here], delay[here])
    return total


def _growing(jacobian: np.ndarray, tau: np.ndarray, delay: np.ndarray) -> int:
    size, one = len(jacobian), np.eye(len(jacobian))
    heard = jacobian + one / tau[:, None]  # M/tau
    most = np.abs(heard).sum(1).max() + (1 / tau).max()  # no mode that grows is faster

    def phase(w: float) -> float:
        late = np.where(delay > 0, np.exp(-1j * w * delay), 1.0)
        sign, _ = np.linalg.slogdet(1j * w * one - (late[:, None] * heard - one / tau[:, None]))
        return float(np.angle(sign) - size * np.arctan(w))

    def turned(low: float, high: float, a: float, b: float) -> float:
        step = (b - a + np.pi) % (2 * np.pi) - np.pi
        if abs(step) < TURN or high - low < FINEST * most:
            return step
        middle = (low + high) / 2
        at = phase(middle)
        return turned(low, middle, a, at) + turned(middle, high, at, b)

    waves = 4 + int(2 * most * delay.max(initial=0.0))  # a delay turns with the frequency
    grid = np.concatenate([np.linspace(0, most, 16 * waves), most * np.geomspace(1, 1e3, 16 * waves)[1:]])
    points = [(w, phase(w)) for w in grid]
    return round(-sum(turned(low, high, a, b) for (low, a), (high, b) in pairwise(points)) / np.pi)


def phases(program: Program, modes: list[Timescales], taus: Mapping[str, float], delays: Mapping[str, float]) -> dict[str, int]:
    """{phase: modes that grow with delays}, of those phases in which none grows without.

    taus, delays: "pathway.signal" -> time constant and delay of what it brings, both over the synaptic time constant.
    """
    found = {}
    for mode in modes:
        variables = flow.blocks(program, mode.phase)
        keys = [{c.name: c.key for c in program.cells[b.cell].compartments}.get(b.name, "") for b in variables]
        tau, delay = (np.repeat([table.get(key, usual) for key in keys], mode.blocks)
                      for table, usual in ((taus, 1.0), (delays, 0.0)))  # fmt: skip
        if mode.abscissa < 0 and (count := max(growing(j, tau, delay) for j in mode.jacobians)):
            found[mode.phase] = count
    return found
