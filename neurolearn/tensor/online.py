"""The settled algebra of a stream of samples: where a circuit that learns online would come if its spikes were rates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from neurolearn import streams
from neurolearn.program import Program
from neurolearn.tensor import compile, reference
from neurolearn.tensor.rate import RateProgram


def follow(program: Program, weights: Mapping[str, np.ndarray], x, teacher, rate, *, seed: int = 0, step: int = 0,
           first: int = 0, readout_only: bool = False) -> tuple[dict[str, np.ndarray], np.ndarray]:  # fmt: skip
    """(weights afterwards, what the output said to each sample before it learned), in tensor.rate, one sample at a time.

    x: (samples, inputs), teacher: (samples, outputs). rate: of ``RateProgram.step``. seed, step, first: of the noise, which
    is that of ``circuit.Learner``; first: how many samples came before. readout_only: weights into the output learn.
    """
    top = program.network.output
    if readout_only:
        program = replace(program, plastics=tuple(p for p in program.plastics if p.target == top))
    algebra, said = RateProgram(program, weights), []
    signals = compile.function(reference.source(program, signals=True), "changes", f"{program.name}:online")
    cell = next(k for k, c in enumerate(program.cells) if c.layer == top and c.kind == "output")
    for n, (one, label) in enumerate(zip(np.asarray(x, float), np.asarray(teacher, float), strict=True)):
        given = streams.given(program, one[None], label[None], seed, step, indices=[first + n])
        phases = signals(algebra.load(given), algebra.weight)
        said.append(next(s[f"rate_{cell}"] for s in phases.values() if f"rate_{cell}" in s)[0].numpy().copy())
        algebra.step(given, rate)
    return algebra.numpy(), np.array(said)
