r"""Linear: a teacher of 30 inputs and 10 outputs, on which feedback alignment was first shown (Lillicrap et al. 2016).

    $y = T x$,   $x$ normal in 30 dimensions,   $T$ uniform in $\pm 1 / \sqrt{10}$, so that every $y_k$ has variance 1

A linear student of 20 hidden units can learn all of it, and a readout of 20 random ones about two thirds. Generated here; there
is no other source.
"""

from __future__ import annotations

import numpy as np

from neurolearn.data.dataset import Dataset
from neurolearn.streams import stream

INPUTS, OUTPUTS = 30, 10
SIZES = {"train": 3000, "valid": 1000, "test": 1000}


def load(seed: int = 0, limit: int | None = None) -> Dataset:
    """Draw the teacher and then every split from one stream; ``limit`` keeps the first training samples."""
    draw = stream(seed, "linear teacher")
    teacher = draw.uniform(-1, 1, (OUTPUTS, INPUTS)) / np.sqrt(INPUTS / 3)
    x = {split: draw.normal(size=(size, INPUTS)) for split, size in SIZES.items()}
    x["train"] = x["train"][:limit]
    return Dataset("linear", *(part for s in SIZES for part in (x[s], x[s] @ teacher.T)), classes=())
