r"""The training loop: $w \leftarrow w + \eta_e\, \Delta w$, batch after batch, with the rule's own weight changes.

No optimiser, no autograd. The rate falls from epoch to epoch, $\eta_e = \eta\,(1 - (e - 1)/E)$ in epoch e of E, so that
weights come to rest and the last row of a run is not a matter of luck. Samples are shuffled in every epoch by a named
stream, the same one for every rule; what is left over at the end of an epoch, less than a batch, is dropped. Noise is
keyed by the epoch and by a sample's place in the data set, so that it does not hang on the batch the sample falls into.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from time import perf_counter
from typing import Any

import numpy as np
import torch

from neurolearn import streams
from neurolearn.data.dataset import Dataset
from neurolearn.errors import InputError, SettlingError
from neurolearn.network import Network
from neurolearn.rule import Rule
from neurolearn.tensor.rate import RateProgram
from neurolearn.training import settings
from neurolearn.training.controls import Learner, learner
from neurolearn.training.settings import Rate
from neurolearn.training.watch import Watch

Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Run:
    """One training. rule: name of rule or control. network: what was trained. weights: {name: float64}, at its end.

    history: a row for each epoch, the first from before training. rule, seed, epoch, epochs (how many there will be);
    train_accuracy, valid_accuracy, test_accuracy: shares of whole splits, 0 to 1; angle_to_backprop_deg: {layer: degrees
    between the rule's next change of its forward weights and the negative gradient, both on the first 256 training
    samples}, None for controls; seconds: spent on learning so far.
    """

    rule: str
    network: Network
    weights: Mapping[str, np.ndarray]
    history: tuple[Row, ...]


def train(rule: Rule | str, network: Network, dataset: Dataset, *, epochs: int | None = None, seed: int,
          batch: int | None = None, rate: Rate | None = None, device: str = "cpu", dtype: torch.dtype = torch.float64,
          kind: str = "reference", on_epoch: Callable[[Row], None] | None = None, angles: bool = True) -> Run:
    """Train a rule, or a control ("linear", "readout_only"), from weights drawn from ``seed``.

    rule: a Rule, the name of one in the catalogue, or a control's. rate: multiplies weight changes, which are means
    over the batch, in the first epoch; one number, or one per pathway with "*" for the others. epochs, batch, rate: by
    default what ``settings`` has. device, dtype, kind: of ``RateProgram``; measurements are in float64 whatever these are.
    on_epoch: is given every row of the history as it comes. angles: False saves the time they take.
    Raises InputError for arguments that do not fit together and for weights that diverge, SettlingError for a loop that
    stops settling; the last two name rule, rate and epoch, and end the training.
    """
    who, task = learner(rule, network), settings.task(dataset.name, network.loss)
    epochs, batch = task.epochs if epochs is None else epochs, task.batch if batch is None else batch
    rate = task.rate(who.name) if rate is None else rate
    _check(who, dataset, epochs, batch, seed, rate)
    start = streams.initial_weights(who.program, who.rule.pathways, seed)
    engine = RateProgram(who.program, start, kind=kind, batch=batch, dtype=dtype, device=device)
    watch, history, seconds = Watch(who, dataset, seed, angles), [], 0.0
    for epoch in range(epochs + 1):
        where = f"{who.name} at rate {_show(rate)}, epoch {epoch}"
        try:
            begin = perf_counter()
            if epoch:
                _epoch(engine, dataset, batch, _times(1 - (epoch - 1) / epochs, rate), seed, epoch)
            seconds += perf_counter() - begin
            row = watch.row(engine.numpy(), where)
        except SettlingError as error:
            watch.check(engine.numpy(), where)  # weights that diverged are the cause, if they did
            raise SettlingError(f"{where}: {error} Or take a smaller rate.") from error
        history.append({"rule": who.name, "seed": seed, "epoch": epoch, "epochs": epochs, **row, "seconds": seconds})
        if on_epoch:
            on_epoch(history[-1])
    return Run(who.name, who.network, engine.numpy(), tuple(history))


def _epoch(engine: RateProgram, dataset: Dataset, batch: int, rate: Rate, seed: int, epoch: int) -> None:
    """Every training sample once, in a new order."""
    order = streams.stream(seed, "order", epoch).permutation(len(dataset.x_train))
    for first in range(0, len(order) - batch + 1, batch):
        some = order[first : first + batch]
        x, teacher = dataset.x_train[some], dataset.y_train[some]
        engine.step(streams.given(engine.program, x, teacher, seed, epoch, indices=some), rate)


def _check(who: Learner, dataset: Dataset, epochs: int, batch: int, seed: int, rate: Rate) -> None:
    """Raises InputError with the argument, its value and what to give instead."""
    fit, samples = (dataset.x_train.shape[1], dataset.y_train.shape[1]), len(dataset.x_train)
    if (who.network.sizes[0], who.network.sizes[-1]) != fit:
        raise InputError(f"the network ({who.network}) does not fit {dataset.name}, which has {fit[0]} features and "
                         f"{fit[1]} classes; its sizes must begin with {fit[0]} and end with {fit[1]}.")
    integers = {"epochs": (epochs, 0, np.inf), "batch": (batch, 1, samples), "seed": (seed, 0, np.inf)}
    for name, (value, least, most) in integers.items():
        if not isinstance(value, Integral) or isinstance(value, bool) or not least <= value <= most:
            limit = f" and <= {most}, the number of training samples" if name == "batch" else ""
            raise InputError(f"{name} is {value!r}; give an integer >= {least}{limit}.")
    rates = rate if isinstance(rate, Mapping) else {"*": rate}
    learning = {who.program.weights[name].pathway for name in who.program.plastic_weights()}
    for name, value in rates.items():
        if not isinstance(value, Real) or not 0 < value < np.inf:
            raise InputError(f"rate is {value!r}{'' if name == '*' else f' for {name}'}; give a positive number.")
        if name not in (*learning, "*"):
            raise InputError(f"rate names {name!r}; in {who.name} there learn {', '.join(sorted(learning))}.")
    if "*" not in rates and (missing := learning - set(rates)):
        raise InputError(f"rate has nothing for {', '.join(sorted(missing))}; name it, or give '*' for all others.")


def _times(factor: float, rate: Rate) -> Rate:
    return {k: factor * v for k, v in rate.items()} if isinstance(rate, Mapping) else factor * rate


def _show(rate: Rate) -> str:
    return ", ".join(f"{v:g} ({k})" for k, v in rate.items()) if isinstance(rate, Mapping) else f"{rate:g}"
