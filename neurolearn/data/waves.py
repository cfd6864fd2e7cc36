r"""Waves: a smooth regression of eight inputs on one number. Small, and out of reach of any linear readout.

    $y \propto \sum_{k=1}^{4} \sin(3\, v_k \cdot x)$,   $x$ uniform in $[-1, 1]^8$,   $v_k$ random unit vectors

The $v_k$ belong to the seed; y has mean 0 and variance 1 over the training samples. It is for rules of one output.
Generated here; there is no other source.
"""

from __future__ import annotations

import numpy as np

from neurolearn.data.dataset import Dataset
from neurolearn.streams import stream

INPUTS, WAVES, FREQUENCY = 8, 4, 3.0
SIZES = {"train": 3000, "valid": 1000, "test": 1000}


def load(seed: int = 0, limit: int | None = None) -> Dataset:
    """Draw the directions and every split from streams of their own; ``limit`` keeps the first training samples."""
    directions = stream(seed, "waves", "directions").normal(size=(INPUTS, WAVES))
    directions /= np.linalg.norm(directions, axis=0)
    x = {split: stream(seed, "waves", split).uniform(-1.0, 1.0, (size, INPUTS)) for split, size in SIZES.items()}
    y = {split: np.sin(FREQUENCY * part @ directions).sum(axis=1, keepdims=True) for split, part in x.items()}
    mean, spread = y["train"].mean(), y["train"].std()
    x["train"], y["train"] = x["train"][:limit], y["train"][:limit]
    return Dataset("waves", *(part for s in SIZES for part in (x[s], (y[s] - mean) / spread)), classes=())
