"""Runs that survive: a folder that holds what defines a run, how it went, and from where it goes on after a kill.

    config = runs.RunConfig.read("digits.yaml")
    with runs.RunFolder("out/digits", config, rule) as run:
        run.carry(begin, step, config.segments)

Nothing here knows a simulator: a run is a chain of segments, and its state between two of them a dict of arrays.
"""

from __future__ import annotations

from neurolearn.runs.biology import BiologySettings
from neurolearn.runs.checkpoint import Checkpoint
from neurolearn.runs.checkpoint import load as load_checkpoint
from neurolearn.runs.checkpoint import save as save_checkpoint
from neurolearn.runs.config import Evaluation, RunConfig, TimingSettings
from neurolearn.runs.folder import RunFolder

__all__ = ["BiologySettings", "Checkpoint", "Evaluation", "RunConfig", "RunFolder", "TimingSettings", "load_checkpoint",
           "save_checkpoint"]  # fmt: skip
