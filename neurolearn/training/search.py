"""How the learning rates in ``settings`` were chosen: the test split is never looked at.

    search("feedback_alignment", "digits", "squared", [0.025, 0.05, 0.1, 0.2])
"""

from __future__ import annotations

from collections.abc import Sequence

from neurolearn import data
from neurolearn.network import mlp
from neurolearn.rule import Rule
from neurolearn.training import settings
from neurolearn.training.settings import Rate
from neurolearn.training.train import train
from neurolearn.training.watch import Diverged

SEEDS = range(100, 105)  # of weights, order and noise; no reported figure uses them


def search(rule: Rule | str, dataset: str, loss: str, rates: Sequence[Rate]) -> list[float | None]:
    """Validation accuracy of each rate at the end of that task's budget, for the worst seed; None where a run diverged.

    A rate is as good as its worst seed: it has to be relied on. Raises InputError and SettlingError as ``train`` does.
    """
    task, samples = settings.task(dataset, loss), data.load(dataset)

    def score(rate: Rate) -> float | None:
        try:
            runs = [train(rule, mlp(task.sizes, loss=loss), samples, seed=seed, rate=rate, kind="fused", angles=False)
                    for seed in SEEDS]
        except Diverged:
            return None
        return min(run.history[-1]["valid_accuracy"] for run in runs)

    return [score(rate) for rate in rates]
