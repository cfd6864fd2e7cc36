r"""Subspace: a regression in which four directions of twenty matter, and a narrow network has to find them.

    $y = \tanh(\frac32 A x)$,   $x$ normal in 20 dimensions, $A$ four orthonormal rows

What a readout of ten units with random weights can know of y is half of its variance or less. Small and quick: a rule that
assigns credit to hidden units shows it within a thousand samples. Generated here; there is no other source.
"""

from __future__ import annotations

import numpy as np

from neurolearn.data.dataset import Dataset
from neurolearn.streams import stream

INPUTS, OUTPUTS, GAIN = 20, 4, 1.5
SIZES = {"train": 3000, "valid": 1000, "test": 1000}


def load(seed: int = 0, limit: int | None = None) -> Dataset:
    """Draw the directions and every split from streams of their own; ``limit`` keeps the first training samples."""
    directions = np.linalg.qr(stream(seed, "subspace", "directions").normal(size=(INPUTS, OUTPUTS)))[0]
    x = {split: stream(seed, "subspace", split).normal(size=(size, INPUTS)) for split, size in SIZES.items()}
    y = {split: np.tanh(GAIN * part @ directions) for split, part in x.items()}
    x["train"], y["train"] = x["train"][:limit], y["train"][:limit]
    return Dataset("subspace", *(part for s in SIZES for part in (x[s], y[s])), classes=())
