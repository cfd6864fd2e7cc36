"""A small rule that the tests of the ledger change in one place each."""

from __future__ import annotations

from neurolearn.rule import Pathway, Rule

FA = {"pathways": {"B": Pathway("above")}, "hidden": "error = slope * B(error_above)",
      "output": "error = teacher - rate", "plasticity": {"W": "error_post * rate_pre"}}


def own(**changes) -> Rule:
    return Rule(name="own", **{**FA, **changes})
