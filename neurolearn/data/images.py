"""From published images (unsigned bytes, with a test split of their own) to a Dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from neurolearn.data.dataset import Dataset
from neurolearn.errors import InputError
from neurolearn.streams import stream

Images = tuple[np.ndarray, np.ndarray]
"""Pixels, uint8, (n, ...), and labels, uint8, (n,)."""


def split(
    name: str,
    classes: Sequence[str],
    train: Images,
    test: Images,
    *,
    titles: Mapping[tuple[int, int], str],
    seed: int,
    limit: int | None,
) -> Dataset:
    """Shuffle the training images, set the last of them aside for validation, and scale pixels to [0, 1].

    Validation takes as many images as there are test images; the published test images stay in their order.
    titles: what to call the set at known numbers of training and test images; at any others it is a "subset".
    Raises InputError if validation would leave nothing to train on.
    """
    sizes = len(train[0]), len(test[0])
    title = titles.get(sizes, f"{name} subset, {sizes[0]}/{sizes[1]}")
    kept = sizes[0] - sizes[1]
    if kept < 1:
        raise InputError(
            f"{name} has {sizes[0]} training and {sizes[1]} test images, and validation takes as many as the test; "
            "give more training images than that."
        )
    order = stream(seed, name, "split").permutation(sizes[0])
    return Dataset.from_labels(
        title,
        classes,
        train=_scaled(train, order[:kept][:limit]),
        valid=_scaled(train, order[kept:]),
        test=_scaled(test, slice(None)),
    )


def _scaled(images: Images, which: np.ndarray | slice) -> tuple[np.ndarray, np.ndarray]:
    pixels, labels = images
    chosen = pixels[which]
    return chosen.reshape(len(chosen), -1) / 255.0, labels[which]
