"""A circuit before any Brian2 object exists: what a drawing and a table of parameters look at."""

from __future__ import annotations

import numpy as np

from neurolearn.circuit.plan import Planned


def planned(rule, network, x=None, teacher=None, weights=None, **options) -> Planned:
    """What ``circuit.build`` would build, as data: its Program and its plan.

    x, teacher: one sample of zeros unless given. weights, options: of ``build``, without target. Raises InputError,
    SettlingError.
    """
    from neurolearn.circuit import build

    x = np.zeros((1, network.sizes[0])) if x is None else x
    teacher = np.zeros((len(np.atleast_2d(x)), network.sizes[-1])) if teacher is None else teacher
    return build(rule, network, x, teacher, weights, **options, target=None)
