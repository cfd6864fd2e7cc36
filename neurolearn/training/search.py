"""How the learning rates in ``settings`` were chosen: on the validation split, by a stated criterion."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from neurolearn import data
from neurolearn.errors import NeurolearnError
from neurolearn.rule import Rule
from neurolearn.training.settings import TASKS, Rate
from neurolearn.training.train import train

LAST = 5  # epochs that are averaged


def search(rule: Rule | str, task: str, rates: Sequence[Rate], *, seeds: Sequence[int] = (100, 101, 102)) -> list[float | None]:
    """Score."""
    setting, scores = TASKS[task], []
    for rate in rates:
        try:
            runs = [train(rule, setting.network, data.load(task), epochs=setting.epochs, batch=setting.batch, seed=seed,
                          rate=rate, kind="fused", angles=False) for seed in seeds]
        except NeurolearnError:
            scores.append(None)
            continue
        scores.append(float(np.mean([row["valid_accuracy"] for run in runs for row in run.history[-LAST:]])))
    return scores
