r"""What every oracle stands on: the forward pass of one sample, derivatives by complex steps, and means over samples.

An oracle is a function

    oracle(sizes, activation, weights, x, teacher, constants, draws, loss="squared", polarity=None) -> {weight: change}

sizes: units per layer, input first, of a chain. activation: the name of the hidden layers' function. weights: arrays
(to, from) named W_to_from, b_layer and by the rule's own pathways; those that follow others (transposes, inverses) are
never read, an oracle makes its own. x: (batch, inputs). teacher: (batch, outputs). constants: {name: number} of the rule.
draws: {"noise_<phase>_<cell>" or "uniform_<phase>_<cell>": (batch, units)}, the random numbers that the rule was given;
populations are numbered on from the output layer, and a phase that runs once per hidden layer has that layer's number
behind its name. loss: "squared" (linear output) or "cross_entropy" (softmax output). polarity: {layer: signs} of hidden
units of fixed sign, or None. What comes back is *added*, a mean over the samples, for every weight that learns.

Nothing here or in the other files of this package comes from neurolearn, and samples are taken one by one. Slopes and
gradients are complex steps, $f'(u) = \mathrm{Im} f(u + i h) / h$ with $h = 10^{-20}$: exact to rounding, no formula twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

TINY = 1e-20


def lif(u: np.ndarray) -> np.ndarray:
    """Hz per 100 Hz of a leaky integrator, 20 ms, that sits at its threshold and rests 2 ms after each spike."""
    fires = u.real > 1e-6
    interval = 0.002 + 0.02 * np.log(1 + 1 / np.where(fires, u, 1.0))
    return np.where(fires, 0.01 / interval, 0.0)


FUNCTIONS: dict[str, Callable] = {
    "linear": lambda u: u,
    "relu": lambda u: np.where(u.real > 0, u, 0.0),
    "leaky_relu": lambda u: np.where(u.real > 0, u, 0.1 * u),
    "tanh": np.tanh,
    "asinh": np.arcsinh,
    "softplus": lambda u: np.where(u.real > 0, u, 0.0) + np.log1p(np.exp(-np.where(u.real > 0, u, -u))),
    "lif": lif,
}
INVERSES: dict[str, Callable] = {
    "linear": lambda v: v,
    "leaky_relu": lambda v: np.where(v > 0, v, 10 * v),
    "tanh": np.arctanh,
    "asinh": np.sinh,
    "softplus": lambda v: v + np.log(-np.expm1(-v)),
}


def slope(f: Callable, u: np.ndarray) -> np.ndarray:
    """f' at u."""
    return np.imag(f(u + 1j * TINY)) / TINY


def softmax(u: np.ndarray) -> np.ndarray:
    """exp over the sum of exps."""
    weight = np.exp(u - u.max())
    return weight / weight.sum()


@dataclass
class Pass:
    """One sample on its way up: h[l] rates, a[l] potentials, d[l] slopes (1 at the output), layers 0 to L."""

    sizes: Sequence[int]
    f: Callable
    inverse: Callable | None
    loss: str
    signs: list[np.ndarray]
    weights: Mapping[str, np.ndarray]
    h: list[np.ndarray]
    a: list[np.ndarray]
    d: list[np.ndarray]
    error: np.ndarray  # teacher - prediction

    @property
    def top(self) -> int:
        """The number of the output layer."""
        return len(self.sizes) - 1

    def matrix(self, layer: int) -> np.ndarray:
        """W from the layer below."""
        return self.weights[f"W_{layer}_{layer - 1}"]

    def drive(self, layer: int, below: np.ndarray) -> np.ndarray:
        """The potential of a layer, if these were the rates below."""
        return self.matrix(layer) @ below + self.weights[f"b_{layer}"]

    def rate(self, layer: int, potential: np.ndarray) -> np.ndarray:
        """The rates of a layer at these potentials."""
        if layer < self.top:
            return self.signs[layer] * self.f(potential)
        return potential if self.loss == "squared" else softmax(potential)

    def descends(self) -> range:
        """Hidden layers, from the highest to the lowest."""
        return range(self.top - 1, 0, -1)


def passes(sizes, activation, weights, x, teacher, loss="squared", polarity=None) -> Iterator[tuple[int, Pass]]:
    """(number, forward pass) of each sample."""
    f, inverse, top = FUNCTIONS[activation], INVERSES.get(activation), len(sizes) - 1
    signs = [np.ones(n) if polarity is None else np.asarray(polarity[k], float) for k, n in enumerate(sizes)]
    for n in range(len(x)):
        net = Pass(sizes, f, inverse, loss, signs, weights, [x[n]], [x[n]], [np.ones(sizes[0])], np.zeros(0))
        for layer in range(1, top + 1):
            net.a.append(net.drive(layer, net.h[-1]))
            net.h.append(net.rate(layer, net.a[-1]))
            net.d.append(signs[layer] * slope(f, net.a[-1]) if layer < top else np.ones(sizes[top]))
        net.error = teacher[n] - net.h[top]
        yield n, net


class Mean:
    """Changes, added up sample by sample and divided by their number at the end."""

    def __init__(self):
        self.total: dict[str, np.ndarray] = {}

    def add(self, name: str, change: np.ndarray) -> None:
        """One sample's change of one weight."""
        self.total[name] = self.total.get(name, 0.0) + change

    def forward(self, net: Pass, layer: int, post: np.ndarray) -> None:
        """post times the rates below, and post for the bias: W and b of a layer."""
        self.add(f"W_{layer}_{layer - 1}", np.outer(post, net.h[layer - 1]))
        self.add(f"b_{layer}", post)

    def over(self, samples: int) -> dict[str, np.ndarray]:
        """{weight: mean change}."""
        return {name: change / samples for name, change in self.total.items()}


def descent(residual: Callable[[np.ndarray], np.ndarray], matrix: np.ndarray) -> np.ndarray:
    r"""$-\frac12 \partial |r|^2 / \partial M$ where the i-th residual depends on the i-th row of M (or entry, of a vector)."""
    if matrix.ndim == 1:
        moved = residual(matrix + 1j * TINY)
        return -moved.real * moved.imag / TINY
    change = np.zeros(matrix.shape)
    for column in range(matrix.shape[1]):
        nudged = matrix.astype(complex)
        nudged[:, column] += 1j * TINY
        moved = residual(nudged)
        change[:, column] = -moved.real * moved.imag / TINY
    return change
