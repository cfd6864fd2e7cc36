"""What is measured between passes, from outside the rule: how well it does, angles to backprop, and if it diverges."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from neurolearn import observer, streams
from neurolearn.compare import angle, by_layer
from neurolearn.data.dataset import SPLITS, Dataset
from neurolearn.errors import InputError
from neurolearn.network import Network
from neurolearn.tensor.rate import RateProgram
from neurolearn.training.controls import CONTROLS, Learner

WATCHED = 256  # the first training samples: the loss and the angles are always measured on these
RUNAWAY = 100.0  # times the loss before training


class Diverged(InputError):
    """The learning rate was too large: weights or loss grow without end."""


class Watch:
    """Measures a learner's weights, in float64, on the same samples in every epoch. angles: also those to backprop."""

    def __init__(self, who: Learner, dataset: Dataset, seed: int, angles: bool):
        self.who, self.dataset = who, dataset
        self.x, self.teacher = dataset.x_train[:WATCHED], dataset.y_train[:WATCHED]
        self.first_loss: float | None = None
        self.reference: RateProgram | None = None
        if angles and who.name not in CONTROLS:
            self.reference = RateProgram(who.program, streams.initial_weights(who.program, who.rule.pathways, seed))
            self.given = self.reference.load(streams.given(who.program, self.x, self.teacher, seed))

    def row(self, weights: Mapping[str, np.ndarray], where: str) -> dict[str, Any]:
        """``scores``, and angle_to_backprop_deg. Raises Diverged, and SettlingError from a rule's loop."""
        self.check(weights, where)
        angles = self._angles(weights) if self.reference else None
        return {**scores(self.who.network, weights, self.dataset), "angle_to_backprop_deg": angles}

    def check(self, weights: Mapping[str, np.ndarray], where: str) -> None:
        """Raises Diverged, beginning with ``where``, if a weight is not finite or the loss has run away."""
        for name, value in weights.items():
            if not np.isfinite(value).all():
                raise Diverged(f"{where}: {name} is no longer finite, so the weights diverged; take a smaller rate.")
        loss = observer.loss(self.who.network, weights, self.x, self.teacher)
        self.first_loss = loss if self.first_loss is None else self.first_loss
        if not loss <= RUNAWAY * self.first_loss:
            raise Diverged(f"{where}: the loss went from {self.first_loss:.3g} to {loss:.3g}, so the weights diverge; "
                           "take a smaller rate.")

    def _angles(self, weights: Mapping[str, np.ndarray]) -> dict[int, float | None]:
        """{layer: angle in degrees}; None where a rule leaves a layer alone, or changes nothing in it."""
        self.reference.weight |= self.reference.load(weights)
        changes = by_layer({name: c.numpy() for name, c in self.reference.changes(self.given).items()})
        gradient = by_layer(observer.backprop_gradient(self.who.network, weights, self.x, self.teacher))
        return {k: angle(changes[k], g) if k in changes else None for k, g in gradient.items()}


def scores(network: Network, weights: Mapping[str, np.ndarray], dataset: Dataset) -> dict[str, float]:
    """{"train_accuracy", "valid_accuracy", "test_accuracy"}, 0 to 1, or the nmse of each split in a regression."""
    measure, name = (observer.accuracy, "accuracy") if dataset.classes else (nmse, "nmse")
    return {f"{s}_{name}": measure(network, weights, *(getattr(dataset, f"{k}_{s}") for k in "xy")) for s in SPLITS}


def nmse(network: Network, weights: Mapping[str, np.ndarray], x: np.ndarray, teacher: np.ndarray) -> float:
    """Mean squared error over the variance of the teacher: 0 is perfect, 1 no better than to answer its mean."""
    error = teacher - observer.forward(network, weights, x)
    return float(np.mean(error**2) / np.mean((teacher - teacher.mean(0)) ** 2))
