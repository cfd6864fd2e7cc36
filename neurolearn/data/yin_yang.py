r"""Yin-yang: points in a disc, to be told apart as yin, yang or dot. Small, and impossible without hidden learning.

The symbol fills the disc of radius :math:`R` about :math:`(R, R)`. Two half-size discs sit on its horizontal diameter,
about :math:`(R/2, R)` and :math:`(3R/2, R)`; in the middle of each is a dot of radius :math:`r`. Yin is the upper half
of the symbol, less the right half-size disc, plus the left one; yang is the rest; both give way to the dots.
A network sees :math:`(x, y, 1-x, 1-y)`, so that neurons without a bias can solve it. Multinomial logistic regression
stays near two thirds; a trained hidden layer passes 95 %.

Source: Kriener, Göltz & Petrovici 2021, The Yin-Yang dataset, arXiv:2102.08211 (which draws 5000 training samples).
"""

from __future__ import annotations

import numpy as np

from neurolearn.data.dataset import Dataset
from neurolearn.streams import stream

RADIUS, DOT = 0.5, 0.1  # R and r; the symbol just fits into the unit square
CLASSES = ("yin", "yang", "dot")
SIZES = {"train": 3000, "valid": 1000, "test": 1000}


def load(seed: int, limit: int | None) -> Dataset:
    """Draw every split from its own stream, so that the size of one never changes another."""
    splits = {split: sample(size, stream(seed, "yin_yang", split)) for split, size in SIZES.items()}
    x, labels = splits["train"]
    splits["train"] = x[:limit], labels[:limit]
    return Dataset.from_labels("yin_yang", CLASSES, **splits)


def sample(size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw a goal class for each sample, then points of the square until one lands in it: classes are balanced.

    Returns inputs in [0, 1], (size, 4), and labels, (size,).
    """
    goals = rng.integers(len(CLASSES), size=size)
    points = np.empty((size, 2))
    pending = np.arange(size)
    while pending.size:
        drawn = rng.uniform(0.0, 2.0 * RADIUS, (pending.size, 2))
        hit = region(*drawn.T) == goals[pending]
        points[pending[hit]] = drawn[hit]
        pending = pending[~hit]
    return np.hstack([points, 1.0 - points]), goals


def region(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Class of each point: 0 yin, 1 yang, 2 dot, and -1 outside the symbol. x, y and result: (n,)."""
    outside = np.hypot(x - RADIUS, y - RADIUS) > RADIUS
    left = np.hypot(x - 0.5 * RADIUS, y - RADIUS)
    right = np.hypot(x - 1.5 * RADIUS, y - RADIUS)
    dot = np.minimum(left, right) < DOT
    yin = (left < RADIUS / 2) | ((y > RADIUS) & (right > RADIUS / 2))
    return np.select([outside, dot, yin], [-1, 2, 0], default=1)
