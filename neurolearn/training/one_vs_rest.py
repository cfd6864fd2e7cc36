"""Classes for rules of one output: a network for each class, and the largest output decides.

one_vs_rest("kickback", mlp([4, 30, 30, 1], "relu", signed=True), data.load("yin_yang"), seed=0, rate=0.1, epochs=25)
"""

from __future__ import annotations

from typing import Any

import numpy as np

from neurolearn import observer
from neurolearn.data.dataset import SPLITS, Dataset
from neurolearn.network import Network
from neurolearn.rule import Rule
from neurolearn.training.train import Run, train


def one_vs_rest(
    rule: Rule | str, network: Network, dataset: Dataset, *, seed: int, **settings: Any
) -> tuple[dict[str, float], list[Run]]:
    """Accuracies by split, {"train_accuracy": ...}, of networks that each learn one class against the rest; their runs.

    network: with one output and squared loss. seed: all networks start from the same weights, and see the samples in the
    same order. settings: of ``train``, but for the data set. Raises InputError as ``train`` does.
    """
    runs = [
        train(rule, network, dataset.one_against_the_rest(k), seed=seed, **settings)
        for k in range(len(dataset.classes))
    ]
    found = {}
    for split in SPLITS:
        x = getattr(dataset, f"x_{split}")
        outputs = np.hstack([observer.forward(run.network, run.weights, x) for run in runs])
        found[f"{split}_accuracy"] = float(np.mean(outputs.argmax(1) == dataset.labels(split)))
    return found, runs
