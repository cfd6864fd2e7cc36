"""Data sets by name: two that need no network (yin_yang, digits) and three of images on disk or from their mirrors.

    data = neurolearn.data.load("yin_yang", seed=0)
    data.x_train, data.y_train          # float64, (3000, 4) and (3000, 3)

Yin-yang is the one on which hidden layers have to learn; digits shows that a rule runs on real data. Regressions
are modules of their own: ``waves`` for rules of one output, ``subspace`` and ``linear`` for circuits of few units.
"""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral

from neurolearn.data import cifar10, digits, mnist, yin_yang
from neurolearn.data.dataset import Dataset
from neurolearn.errors import InputError

__all__ = ["NAMES", "Dataset", "load"]

_LOADERS: dict[str, Callable[[int, int | None], Dataset]] = {
    "yin_yang": yin_yang.load,
    "digits": digits.load,
    "mnist": mnist.load_mnist,
    "fashion_mnist": mnist.load_fashion_mnist,
    "cifar10": cifar10.load,
}

NAMES = tuple(_LOADERS)


def load(name: str, *, seed: int = 0, limit: int | None = None) -> Dataset:
    """Load a data set; its splits, their order and whatever is drawn depend on ``seed`` alone.

    name: one of ``NAMES``. seed: integer >= 0. limit: keep at most the first ``limit`` training samples after the
    shuffle (for a quick run); the other splits stay whole. Raises InputError for an unknown name, and for a file that
    is missing, cannot be fetched, or is damaged.
    """
    if name not in _LOADERS:
        raise InputError(f"There is no data set {name!r}; choose one of {', '.join(NAMES)}.")
    if not _is_integer(seed, least=0):
        raise InputError(f"seed is {seed!r}; give an integer >= 0.")
    if limit is not None and not _is_integer(limit, least=1):
        raise InputError(f"limit is {limit!r}; give a number of training samples >= 1, or None for all of them.")
    return _LOADERS[name](seed, limit)


def _is_integer(value: object, *, least: int) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and value >= least
