"""Circuits that are drawn and put into tables in the tests: every rule, and what circuits have beyond their rule."""

from __future__ import annotations

from functools import cache

from conftest import RULES

from neurolearn.circuit import Background, Biology
from neurolearn.circuit.look.outline import planned
from neurolearn.circuit.plan import Planned
from neurolearn.network import Connection, Network, mlp
from neurolearn.stdp import pair
from neurolearn.timing import Timing

FA = RULES["feedback_alignment"]
SKIPS = Network(
    (6, 5, 4, 4, 3),
    (Connection(0, 1), Connection(1, 2), Connection(0, 2), Connection(2, 3, "identity"), Connection(3, 4), Connection(1, 4)),
)


def every() -> dict[str, tuple]:
    """Name -> what ``planned`` takes: all rules in both placements, a rate circuit, Poisson input, skips, many layers."""
    found = {
        f"{name} {placement}": (rule, rule.example(), {"placement": placement})
        for name, rule in RULES.items()
        for placement in ("unit", "cells")
    }
    deep, cells = mlp([784, 64, 32, 32, 10]), {"placement": "cells"}
    return found | {
        "rate": (RULES["dtp_learned_top"], RULES["dtp_learned_top"].example(), {"kind": "rate"}),
        "poisson": (FA, FA.example(), {**cells, "timing": Timing(encoding="poisson")}),
        "skips unit": (FA, SKIPS, {}),
        "skips cells": (FA, SKIPS, cells),
        "deep unit": (FA, deep, {}),
        "deep cells": (FA, deep, cells),
        **{name: (FA, mlp([6, 5, 4, 3]), {**cells, **options}) for name, options in BEYOND.items()},
    }


BEYOND = {  # what circuits have beyond their rule: codings, ways to learn, physiology, several cells per unit
    "baseline": {"timing": Timing(codings={"error": "baseline"}, unit_rate=50.0)},
    "two phases": {"timing": Timing(settle=2000, codings={"error": "two_phase", "rate": "rectified_pair"})},
    "graded": {"timing": Timing(codings={"error": "graded"})},
    "clocked": {"plasticity": "clocked"},
    "events": {"plasticity": "events"},
    "stdp": {"plasticity": pair()},
    "physiology": {"biology": Biology(delays={"B": 3e-3}, heterogeneity=0.1, irregularity=0.5, background=Background(0.1, 5e-3))},
    "three cells": {"timing": Timing(cells=3)},
}


EVERY = every()


@cache
def example(name: str) -> Planned:
    """One of them, planned."""
    rule, network, options = EVERY[name]
    return planned(rule, network, **{"timing": Timing(), **options})
