r"""The training loop: $w \leftarrow w + \eta_e\, \Delta w$, batch after batch, with the rule's own weight changes.

No optimiser, no autograd. The rate falls from epoch to epoch, $\eta_e = \eta\,(1 - (e - 1)/E)$ in epoch e of E, so that
weights come to rest and the last row of a run is not a matter of luck. Samples are shuffled in every epoch by a named
stream, the same one for every rule; what is left over at the end of an epoch, less than a batch, is dropped. Noise is
keyed by the pass and by a sample's place in the data set, so that it does not hang on the batch the sample falls into.
A ``Schedule`` may let feedback and forward weights learn in passes of their own.
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
from neurolearn.training.schedule import Pass, Schedule, only
from neurolearn.training.settings import Rate
from neurolearn.training.watch import Diverged, Watch

Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Run:
    """One training. rule: name of rule or control. network: what was trained. weights: {name: float64}, at its end.

    history: a row for each pass through the training data, the first from before training. rule, seed; epoch: passes so
    far, and epochs: how many there will be (with the parallel schedule these are the epochs that were asked for);
    learned: "nothing" (in the first row), "all", "feedback" or "forward"; train_accuracy, valid_accuracy, test_accuracy:
    shares of whole splits, 0 to 1, or train_nmse and so on for a regression: squared error over the variance of the
    target; angle_to_backprop_deg: {layer: degrees between the rule's next change of its forward weights and the negative
    gradient, both on the first 256 training samples}, None for controls; seconds: spent on learning so far.
    """

    rule: str
    network: Network
    weights: Mapping[str, np.ndarray]
    history: tuple[Row, ...]


def train(rule: Rule | str, network: Network, dataset: Dataset, *, epochs: int | None = None, seed: int,
          batch: int | None = None, rate: Rate | None = None, device: str = "cpu", dtype: torch.dtype = torch.float64,
          kind: str = "reference", on_epoch: Callable[[Row], None] | None = None, angles: bool = True,
          schedule: Schedule | None = None, like: Rule | str | None = None) -> Run:
    """Train a rule, or a control ("linear", "readout_only"), from weights drawn from ``seed``.

    rule: a Rule, the name of one in the catalogue, or a control's. rate: multiplies weight changes, which are means
    over the batch, in the first epoch; one number, or one per pathway with "*" for the others. epochs: in which forward
    weights learn. schedule: when feedback does. epochs, batch, rate, schedule: by default what ``settings`` has. like:
    for readout_only, the rule from whose initial forward weights it starts (else backprop's). device, dtype, kind: of
    ``RateProgram``; measurements are in float64 whatever these are. on_epoch: is given every row of the history as it
    comes. angles: False saves the time they take.
    Raises InputError for arguments that do not fit together and for weights that diverge, SettlingError for a loop that
    stops settling; the last two name rule, rate and epoch, and end the training.
    """
    who, task = learner(rule, network, like), settings.task(dataset.name, network.loss)
    epochs, batch = task.epochs if epochs is None else epochs, task.batch if batch is None else batch
    rate = task.rate(who.name, network.activation.name) if rate is None else rate
    schedule = task.schedule(who.name) if schedule is None else schedule
    _check(who, dataset, epochs, batch, seed, rate)
    schedule.check(who.program)
    start = streams.initial_weights(who.program, who.rule.pathways, seed)
    engine = RateProgram(who.program, start, kind=kind, batch=batch, dtype=dtype, device=device)
    watch, history, seconds = Watch(who, dataset, seed, angles), [], 0.0
    passes = [Pass(0, "nothing"), *schedule.passes(epochs)]
    for number, (epoch, learned) in enumerate(passes):
        where = f"{who.name} at rate {_show(rate)}, epoch {number}"
        try:
            begin = perf_counter()
            if number:
                falling = _times(1 - (epoch - 1) / max(1, epochs), rate)
                _pass(engine, dataset, batch, only(learned, falling, who.program), seed, number)
            seconds += perf_counter() - begin
            row = watch.row(engine.numpy(), where)
        except SettlingError as error:
            watch.check(engine.numpy(), where)  # weights that diverged are the cause, if they did
            raise SettlingError(f"{where}: {error} Or take a smaller rate.") from error
        except torch.linalg.LinAlgError as error:  # a pseudo-inverse of weights that are not finite
            watch.check(engine.numpy(), where)
            raise Diverged(f"{where}: a weight has no inverse ({error}); take a smaller rate.") from error
        head = {"rule": who.name, "seed": seed, "epoch": number, "epochs": len(passes) - 1, "learned": learned}
        history.append({**head, **row, "seconds": seconds})
        if on_epoch:
            on_epoch(history[-1])
    return Run(who.name, who.network, engine.numpy(), tuple(history))


def _pass(engine: RateProgram, dataset: Dataset, batch: int, rate: Rate, seed: int, number: int) -> None:
    """Every training sample once, in a new order."""
    order = streams.stream(seed, "order", number).permutation(len(dataset.x_train))
    for first in range(0, len(order) - batch + 1, batch):
        some = order[first : first + batch]
        x, teacher = dataset.x_train[some], dataset.y_train[some]
        engine.step(streams.given(engine.program, x, teacher, seed, number, indices=some), rate)


def _check(who: Learner, dataset: Dataset, epochs: int, batch: int, seed: int, rate: Rate) -> None:
    """Raises InputError with the argument, its value and what to give instead."""
    fit, samples = (dataset.x_train.shape[1], dataset.y_train.shape[1]), len(dataset.x_train)
    classes = "classes" if dataset.classes else "targets"
    if (who.network.sizes[0], who.network.sizes[-1]) != fit:
        raise InputError(f"the network ({who.network}) does not fit {dataset.name}, which has {fit[0]} features and "
                         f"{fit[1]} {classes}; its sizes must begin with {fit[0]} and end with {fit[1]}.")
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
