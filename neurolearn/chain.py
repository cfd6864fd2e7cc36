"""A chain of layers in NumPy, one sample at a time: what the closed forms of the rules are written with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from neurolearn.errors import InputError
from neurolearn.network import Network

FUNCTIONS: dict[str, tuple[Callable, Callable]] = {
    "linear": (lambda u: u, np.ones_like),
    "relu": (lambda u: np.maximum(u, 0), lambda u: (u > 0) * 1.0),
    "leaky_relu": (lambda u: np.where(u > 0, u, 0.1 * u), lambda u: np.where(u > 0, 1.0, 0.1)),
    "tanh": (np.tanh, lambda u: 1 - np.tanh(u) ** 2),
    "asinh": (np.arcsinh, lambda u: 1 / np.sqrt(1 + u**2)),
    "softplus": (lambda u: np.logaddexp(u, 0), lambda u: 1 / (1 + np.exp(-u))),
}

INVERSES: dict[str, Callable] = {
    "linear": lambda r: r,
    "leaky_relu": lambda r: np.where(r > 0, r, 10 * r),
    "tanh": np.arctanh,
    "asinh": np.sinh,
    "softplus": lambda r: np.log(np.expm1(r)),
}


@dataclass(frozen=True)
class Pass:
    """One forward pass: rates, potentials and slopes by layer (of the input there are rates only)."""

    rates: list[np.ndarray]
    potentials: list[np.ndarray | None]
    slopes: list[np.ndarray | None]
    f: Callable
    df: Callable


def forward(network: Network, weights: Mapping[str, np.ndarray], sample: np.ndarray) -> Pass:
    """The pass of one sample, (inputs,). Raises InputError for a network that is no chain, or an unknown activation."""
    if not network.is_chain() or network.activation.name not in FUNCTIONS:
        raise InputError(
            f"there is no closed form here for {network}; it is known for chains of {', '.join(FUNCTIONS)}."
        )
    (f, df), top = FUNCTIONS[network.activation.name], network.output
    rates, potentials, slopes = [np.asarray(sample, float)], [None], [None]
    for k in range(1, top + 1):
        potential, polarity = weights[f"W_{k}_{k - 1}"] @ rates[-1] + weights[f"b_{k}"], network.polarity(k)
        if k == top and network.loss == "cross_entropy":
            excitation = np.exp(potential - potential.max())
            rates.append(excitation / excitation.sum())
        else:
            rates.append(potential if k == top else polarity * f(potential))
        potentials.append(potential)
        slopes.append(np.ones_like(potential) if k == top else polarity * df(potential))
    return Pass(rates, potentials, slopes, f, df)


class Changes:
    """Mean over samples of what each sample adds to the forward weights and biases."""

    def __init__(self, network: Network, samples: int):
        self.network, self.samples, self.total = network, samples, {}

    def add(self, layer: int, post: np.ndarray, net: Pass) -> None:
        """One sample's post (units of the layer,) times the rates below."""
        for name, change in ((f"W_{layer}_{layer - 1}", np.outer(post, net.rates[layer - 1])), (f"b_{layer}", post)):
            self.total[name] = self.total.get(name, 0) + change / self.samples

    def mean(self) -> dict[str, np.ndarray]:
        """{weight: change}."""
        return self.total
