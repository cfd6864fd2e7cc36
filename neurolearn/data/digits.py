"""Digits: 1797 handwritten digits of 8 x 8 pixels that come with scikit-learn. Real, small, and nearly linear.

Logistic regression reaches about 96 %, as good as backprop, so this set shows that a rule runs on real data and not
that it assigns credit. Source: Alpaydin & Kaynak 1998, doi:10.24432/C50P49, as shipped by scikit-learn.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from neurolearn.data.dataset import Dataset
from neurolearn.streams import stream

SHARES = (0.6, 0.2, 0.2)  # of each class, to train, valid and test


def load(seed: int, limit: int | None) -> Dataset:
    """Pixels from 0 to 16, divided by 16; every split has each class in the same share."""
    from sklearn.datasets import load_digits  # seconds to import, so only when asked

    pixels, labels = load_digits(return_X_y=True)
    train, valid, test = stratified(labels, SHARES, stream(seed, "digits", "split"))
    x = pixels / 16.0
    return Dataset.from_labels(
        "digits",
        [str(digit) for digit in range(10)],
        train=(x[train[:limit]], labels[train[:limit]]),
        valid=(x[valid], labels[valid]),
        test=(x[test], labels[test]),
    )


def stratified(labels: np.ndarray, shares: Sequence[float], rng: np.random.Generator) -> list[np.ndarray]:
    """Shuffle the samples and deal out each class in the given shares, to the nearest sample.

    labels: (n,). shares: fractions, one for each part, that add up to 1. Returns disjoint, shuffled indices.
    """
    place = np.empty(len(labels))  # of a sample within its class, from 0 to 1
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        place[members] = (np.arange(members.size) + 0.5) / members.size
    part = np.digitize(place, np.cumsum(shares)[:-1])
    return [rng.permutation(np.flatnonzero(part == k)) for k in range(len(shares))]
