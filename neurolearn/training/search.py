"""How the learning rates in ``settings`` were chosen: the test split is never looked at.

    rates = [0.025, 0.05, 0.1, 0.2]
    choose(rates, search("feedback_alignment", "digits", "squared", rates))
"""

from __future__ import annotations

from collections.abc import Sequence

from neurolearn import data
from neurolearn.errors import InputError, SettlingError
from neurolearn.network import Network, mlp
from neurolearn.rule import Rule
from neurolearn.training import settings
from neurolearn.training.schedule import Schedule
from neurolearn.training.settings import Rate
from neurolearn.training.train import train
from neurolearn.training.watch import Diverged

SEEDS = range(100, 105)  # of weights, order and noise; no reported figure uses them


def search(rule: Rule | str, dataset: str, loss: str, rates: Sequence[Rate], *, seeds: Sequence[int] = SEEDS,
           network: Network | None = None, schedule: Schedule | None = None,
           like: Rule | str | None = None) -> list[float | None]:
    """Validation accuracy of each rate at the end of that task's budget, for the worst seed; None where a run failed.

    A rate is as good as its worst seed: it has to be relied on. A run fails if its weights diverge or a loop of its does
    not settle. network: by default the task's, of tanh units. schedule, like: as in ``train``. Raises InputError as
    ``train`` does.
    """
    task, samples = settings.task(dataset, loss), data.load(dataset)
    network = mlp(task.sizes, loss=loss) if network is None else network

    def score(rate: Rate) -> float | None:
        worst = 1.0
        for seed in seeds:
            try:
                run = train(rule, network, samples, seed=seed, rate=rate, kind="fused", angles=False, schedule=schedule,
                            like=like)
            except (Diverged, SettlingError):
                return None
            worst = min(worst, run.history[-1]["valid_accuracy"])
        return worst

    return [score(rate) for rate in rates]


def choose(rates: Sequence[float], scores: Sequence[float | None], *, chance: float = 0.0,
           slack: float = 0.005) -> float:
    """The smallest rate within ``slack`` of the best, of those at most half of the smallest that failed or fell to chance.

    rates: ascending, with their scores from ``search``. chance: the score of who has learnt nothing. Raises InputError
    if no rate is left.
    """
    failed = [rate for rate, score in zip(rates, scores, strict=True) if score is None or score <= chance]
    # A rate that is too small may be at chance as well: what counts is failure above the best of the rates.
    best = max(((s, r) for r, s in zip(rates, scores, strict=True) if s is not None and s > chance), default=None)
    limit = min((rate for rate in failed if best and rate > best[1]), default=float("inf")) / 2
    left = [(r, s) for r, s in zip(rates, scores, strict=True) if s is not None and s > chance and r <= limit]
    if not left:
        raise InputError(f"no rate is left of {', '.join(f'{r:g}' for r in rates)}; search smaller ones.")
    top = max(score for _, score in left)
    return next(rate for rate, score in left if score >= top - slack)
