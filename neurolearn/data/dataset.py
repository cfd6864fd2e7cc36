"""The Dataset: three splits of inputs and one-hot labels, or numbers to predict, which agree or are refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from neurolearn.errors import InputError

SPLITS = ("train", "valid", "test")


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Samples to learn from, to choose settings on, and to report on once.

    name: what to print beside a number measured on it. x_*: float64, (n, features). y_*: float64 one-hot,
    (n, len(classes)). classes: their names, in the order of the columns of y; a regression has none, and its y_* are
    any finite numbers, (n, targets). Raises InputError where these disagree.
    """

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_valid: np.ndarray
    y_valid: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    classes: tuple[str, ...]

    @classmethod
    def from_labels(
        cls,
        name: str,
        classes: Sequence[str],
        *,
        train: tuple[np.ndarray, np.ndarray],
        valid: tuple[np.ndarray, np.ndarray],
        test: tuple[np.ndarray, np.ndarray],
    ) -> Dataset:
        """Build from one pair (x, labels) for each split; labels: integers in [0, len(classes)), (n,)."""
        splits = [part for x, labels in (train, valid, test) for part in (x, one_hot(labels, len(classes)))]
        return cls(name, *splits, classes=tuple(classes))

    def labels(self, split: str) -> np.ndarray:
        """Integer labels of ``split`` ("train", "valid" or "test"), (n,). Raises InputError for another, or no classes."""
        if not self.classes:
            raise InputError(f"{self.name} is a regression and has no labels; its targets are y_{split}.")
        return self._pair(split)[1].argmax(axis=1)

    def one_against_the_rest(self, column: int) -> Dataset:
        """A regression on one column of y: 1 for the samples of that class and 0 for all others."""
        splits = [part for s in SPLITS for part in (self._pair(s)[0], self._pair(s)[1][:, [column]])]
        return Dataset(f"{self.name}, one against the rest", *splits, classes=())

    def _pair(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        if split not in SPLITS:
            raise InputError(f"split is {split!r}; choose one of {', '.join(SPLITS)}.")
        return getattr(self, f"x_{split}"), getattr(self, f"y_{split}")

    def __post_init__(self) -> None:
        for split in SPLITS:
            x, y = self._pair(split)
            shaped = x.dtype == np.float64 and x.ndim == 2 and x.shape[1] == self.x_train.shape[1]
            if not shaped or not x.size or not np.isfinite(x).all():
                raise InputError(
                    f"x_{split} of {self.name} is {x.dtype} {x.shape}; give finite float64 samples (n >= 1, features), "
                    "with as many features in every split."
                )
            if not self.classes:
                self._check_targets(split, x, y)
                continue
            shaped = y.dtype == np.float64 and y.shape == (len(x), len(self.classes))
            if not shaped or not np.isin(y, (0.0, 1.0)).all() or not (y.sum(axis=1) == 1.0).all():
                raise InputError(
                    f"y_{split} of {self.name} is {y.dtype} {y.shape}; give one one-hot float64 row for each of its "
                    f"{len(x)} samples, ({len(x)}, {len(self.classes)}). Dataset.from_labels makes them from integers."
                )

    def _check_targets(self, split: str, x: np.ndarray, y: np.ndarray) -> None:
        shaped = y.dtype == np.float64 and y.ndim == 2 and y.shape == (len(x), self.y_train.shape[1])
        if not shaped or not y.size or not np.isfinite(y).all():
            raise InputError(
                f"y_{split} of {self.name} is {y.dtype} {y.shape}; give finite float64 numbers, one row for each of its "
                f"{len(x)} samples, with as many targets in every split."
            )

    def __repr__(self) -> str:
        sizes = ", ".join(f"{len(self._pair(split)[0])} {split}" for split in SPLITS)
        what = f"{len(self.classes)} classes" if self.classes else f"{self.y_train.shape[1]} target(s)"
        return f"Dataset({self.name!r}: {sizes}; {self.x_train.shape[1]} features, {what})"


def one_hot(labels: np.ndarray, classes: int) -> np.ndarray:
    """Rows of the identity: labels (n,), integers in [0, classes) -> float64 (n, classes). Raises InputError."""
    labels = np.asarray(labels)
    if labels.dtype.kind not in "iu" or labels.ndim != 1 or not np.isin(labels, np.arange(classes)).all():
        raise InputError(
            f"labels are {labels.dtype} {labels.shape}, the largest {np.unique(labels)[-1:]}, the smallest "
            f"{np.unique(labels)[:1]}; give integers from 0 to {classes - 1}, (n,)."
        )
    return np.eye(classes)[labels]
