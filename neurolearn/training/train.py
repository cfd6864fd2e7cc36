r"""The training loop: $w \leftarrow w + \eta\, \Delta w$, batch after batch, with the rule's own weight changes.

No optimiser and no autograd. Samples are shuffled anew in every epoch by a named stream, the same for every rule; what
is left over at the end of an epoch, less than a batch, is dropped. Noise is keyed by epoch and by a sample's place in the
data set, so that it does not hang on the batch that the sample falls into.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
import torch

from neurolearn import observer, streams
from neurolearn.compare import angle, by_layer
from neurolearn.data.dataset import SPLITS, Dataset
from neurolearn.errors import InputError, SettlingError
from neurolearn.network import Network
from neurolearn.rule import Rule
from neurolearn.tensor.rate import RateProgram
from neurolearn.training import settings
from neurolearn.training.controls import CONTROLS, Learner, learner
from neurolearn.training.settings import Rate

WATCHED = 256  # the first training samples: on them angles and the loss are measured, before and after every epoch
RUNAWAY = 100.0  # a loss that is so many times that before training counts as divergence

Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Run:
    """One training. rule: name of the rule or control. network: what was trained. weights: {name: float64 array}, at the end.

    history: a row for each epoch, the first from before training. rule, seed, epoch; train_accuracy, valid_accuracy,
    test_accuracy: shares of whole splits, 0 to 1; angle_to_backprop_deg: {layer: degrees between the rule's next change of
    its forward weights and the negative gradient, both on the first 256 training samples}, None for controls; seconds:
    spent on learning so far.
    """

    rule: str
    network: Network
    weights: Mapping[str, np.ndarray]
    history: tuple[Row, ...]


def train(rule: Rule | str, network: Network, dataset: Dataset, *, epochs: int, seed: int, batch: int = 32,
          rate: Rate | None = None, device: str = "cpu", dtype: torch.dtype = torch.float64, kind: str = "reference",
          on_epoch: Callable[[Row], None] | None = None, angles: bool = True) -> Run:
    """Train a rule, or a control ("linear", "readout_only"), from weights drawn from ``seed``.

    rule: a Rule, the name of one in the catalogue, or a control's. rate: per weight change, which is a mean over the batch; one
    number, or one per pathway with "*" for the others; default is what ``settings`` has. device, dtype, kind: of
    ``RateProgram``; the measurements are in float64 whatever these are. on_epoch: called with every row of the history.
    Raises InputError where arguments do not fit together and where the weights diverge, SettlingError where a loop of the
    rule stops settling; both name the rule, the epoch and the rate. Nothing is trained further after that.
    """
    who = learner(rule, network)
    rate = settings.rate(who.name, dataset.name, network.loss) if rate is None else rate
    _check(who, dataset, epochs, batch, rate)
    weights = streams.initial_weights(who.program, who.rule.pathways, seed)
    engine = RateProgram(who.program, weights, kind=kind, batch=batch, dtype=dtype, device=device)
    watch = _Watch(who, dataset, seed, angles)
    history, seconds = [], 0.0
    for epoch in range(epochs + 1):
        try:
            if epoch:
                begin = perf_counter()
                _epoch(engine, dataset, batch, rate, seed, epoch)
                seconds += perf_counter() - begin
                weights = engine.numpy()
            history.append({"rule": who.name, "seed": seed, "epoch": epoch, **watch(weights), "seconds": seconds})
        except (_Diverged, SettlingError) as error:
            ...
        if on_epoch:
            on_epoch(history[-1])
    return Run(who.name, who.network, weights, tuple(history))
