"""One presentation, one weight change: the ten-line convenience over the four realisations."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from neurolearn import quantity, streams
from neurolearn.errors import InputError, SettlingError
from neurolearn.network import Network
from neurolearn.program import Program, lower
from neurolearn.rule import Rule
from neurolearn.timing import ONE_CELL, Timing

REALISATIONS = ("tensor.rate", "circuit.rate", "tensor.spiking", "circuit.spiking")


@dataclass(frozen=True)
class WeightChange:
    """What one presentation of a batch adds to the weights.

    changes: {weight: (to, from)} in float64, averaged over the batch. timing: of circuits and spikes. facts: what the
    simulation reports (settle residual, spikes, seconds, Hz).
    """

    rule: str
    realisation: str
    changes: Mapping[str, np.ndarray]
    timing: Timing | None = None
    facts: Mapping[str, float] = field(default_factory=dict)

    def __getitem__(self, name: str) -> np.ndarray:
        return self.changes[name]


def prepare(rule: Rule, network: Network, x, teacher, weights=None, *, seed: int = 0, held=None, bias: float = 0.0):
    """(program, weights, given) of a rule on a network; checks shapes. held: {signal: {layer: (batch, units)}}.

    Raises InputError naming the array, its shape and the shape that is needed.
    """
    if not isinstance(rule, Rule):
        raise InputError(f"rule is {rule!r}; give a Rule, such as neurolearn.rules.get('feedback_alignment').")
    if not isinstance(network, Network):
        raise InputError(f"network is {network!r}; give a Network, such as neurolearn.mlp([4, 6, 3]).")
    program, seed = lower(rule, network), quantity.whole("seed", seed, 0)
    if held:
        layers: dict[int, set[str]] = {}
        for signal, values in held.items():
            for layer in values:
                layers.setdefault(layer, set()).add(signal)
        program = program.hold(layers)
    x, teacher = samples(network, x, teacher)
    start = streams.initial_weights(program, rule.pathways, seed, bias)
    if not isinstance(weights, Mapping | None):
        raise InputError(f"weights is {type(weights).__name__}; give names with their matrices, such as {{'W_1_0': (to, from)}}.")
    for name, value in (weights or {}).items():
        if name not in start and not _elsewhere(name, program, network):
            raise InputError(f"weights names {name!r}; {rule.name} has {', '.join(start)} here (what is tied follows another).")
        if name in start and np.shape(value) != start[name].shape:
            raise InputError(
                f"weight {name} has shape {np.shape(value)}; this network needs (to, from) = {start[name].shape}."
            )
    start |= {n: np.asarray(v, float) for n, v in (weights or {}).items() if n in start}
    return program, start, streams.given(program, x, teacher, seed=seed, held=held)


def _elsewhere(name: str, program: Program, network: Network) -> bool:
    """Whether a weight that a rule does not have may be another rule's on the same network, as where two are compared."""
    found = re.fullmatch(r"(\w+?)_(\d+)(?:_(\d+))?", name) if isinstance(name, str) else None
    layers = max(len(network.sizes), len(program.cells))  # and the population that another rule may add
    return bool(found) and all(int(layer) <= layers for layer in found.groups()[1:] if layer)


def samples(network: Network, x, teacher) -> tuple[np.ndarray, np.ndarray]:
    """(x, teacher) as float arrays (batch, units) of a network's two ends. Raises InputError for what they cannot be."""
    found = []
    for name, value, size in (("x", x, network.sizes[0]), ("teacher", teacher, network.sizes[-1])):
        try:
            value = np.atleast_2d(np.asarray(value, float))
        except (TypeError, ValueError) as error:
            raise InputError(f"{name} is no array of numbers ({error}); give (batch, {size}).") from None
        if value.ndim != 2 or value.shape[1] != size:
            raise InputError(f"{name} has shape {value.shape}; this network ({network}) needs (batch, {size}).")
        if not len(value):
            raise InputError(f"{name} has no samples; give at least one.")
        if not np.isfinite(value).all():
            raise InputError(f"{name} has values that are not finite; remove or impute them.")
        found.append(value)
    if len(found[0]) != len(found[1]):
        raise InputError(f"x has {len(found[0])} samples and teacher {len(found[1])}; they must agree.")
    return found[0], found[1]


def update(
    rule: Rule,
    network: Network,
    x,
    teacher,
    weights: Mapping[str, np.ndarray] | None = None,
    *,
    realisation: str = "tensor.rate",
    seed: int = 0,
    timing: Timing | None = None,
    held=None,
    placement: str = "unit",
    target: str = "numpy",
    biology=None,
    plasticity="window",
    device: str = "cpu",
    dtype: str = "float64",
) -> WeightChange:
    """Weight change of a rule for one batch, in one realisation; weights stay frozen over all phases.

    x: (batch, inputs), teacher: (batch, outputs), held for the whole presentation. weights: {name: (to, from)}; what is
    missing is drawn from ``seed``. timing: default is what ``timescales`` finds. held: {signal: {layer: (batch, units)}}
    replaces these signals. placement: "unit" or "cells" (circuit.spiking). target: Brian2's. biology: of circuits, a
    ``circuit.Biology``. plasticity: of circuit.spiking, how weights learn (``circuit.plasticity.learning``). device, dtype: torch's.
    Raises InputError, SettlingError.
    """
    if realisation not in REALISATIONS:
        raise InputError(f"realisation is {realisation!r}; choose one of {', '.join(REALISATIONS)}.")
    program, weights, given = prepare(rule, network, x, teacher, weights, seed=seed, held=held)
    if biology and not realisation.startswith("circuit"):
        raise InputError(f"biology is of circuits; {realisation} has none of it.")
    if plasticity != "window" and realisation != "circuit.spiking":
        raise InputError(f"plasticity is {plasticity!r}; {realisation} has 'window' only, circuit.spiking has more.")
    if plasticity != "window":
        from neurolearn.circuit.plasticity import learning

        program = learning.spoken(program, learning.ways(program, plasticity))
    if realisation == "tensor.rate":
        return _tensor_rate(rule, program, weights, given, device, dtype)
    timing = timing or default_timing(program, weights, given, realisation)
    if realisation == "tensor.spiking":
        return _tensor_spiking(rule, program, weights, given, timing, device, dtype)
    from neurolearn.circuit import make

    options = {"placement": placement, "target": target, "biology": biology, "plasticity": plasticity}
    circuit = make(program, weights, given, timing, realisation.split(".")[1], **options)
    circuit.run()
    return WeightChange(rule.name, realisation, circuit.changes(), timing, circuit.facts())


def _tensor_rate(rule, program: Program, weights, given, device: str, dtype: str) -> WeightChange:
    import torch

    from neurolearn.tensor.rate import RateProgram

    changes = RateProgram(program, weights, device=device, dtype=getattr(torch, dtype)).changes(given)
    return WeightChange(rule.name, "tensor.rate", {n: c.cpu().numpy().astype(float) for n, c in changes.items()})


def _tensor_spiking(rule, program: Program, weights, given, timing: Timing, device: str, dtype: str) -> WeightChange:
    import torch

    from neurolearn.tensor.spiking import SpikingProgram

    simulation = SpikingProgram(program, weights, timing, device=device, dtype=getattr(torch, dtype))
    changes = {n: c.cpu().numpy().astype(float) for n, c in simulation.run(given).items()}
    a = simulation.activity
    facts = {"spikes": a.spikes, "seconds": a.seconds, "mean_hz": a.mean_hz, "max_hz": a.max_hz, "active": a.active}
    return WeightChange(rule.name, "tensor.spiking", changes, timing, facts)


def default_timing(
    program: Program, weights, given, realisation: str, *, eps: float = 1e-9, steps: int = 2000
) -> Timing:
    """Timing that ``timescales`` finds: rate circuits settle to eps at dt = tau/10; spikes get ``steps`` per phase.

    A loop that cannot settle in these steps gets the first of 2, 4 and 8 times as many in which it does. Signals that
    would ask a coding cell for more than one spike in two steps get a smaller unit rate.
    A cell of the user's own has the step of its measured curve, and as many seconds. Raises SettlingError if the circuit
    is unstable.
    """
    from neurolearn.timescales import settling_time, spiking_timing

    own = program.network.activation.cell  # whose curve holds for one dt only: as many seconds, in its steps
    start = Timing(dt=own.dt) if own else Timing()
    steps = round(steps * Timing().dt / start.dt)
    if realisation == "circuit.rate":
        return Timing(settle=int(np.ceil(10 * settling_time(program, weights, given, eps))))
    for longer in (1, 2, 4):
        try:
            return fit_rates(program, weights, given, spiking_timing(program, weights, given, longer * steps, start))
        except SettlingError:
            continue  # it needs more time, or it is unstable; the last try says which
    return fit_rates(program, weights, given, spiking_timing(program, weights, given, 8 * steps, start))


def fit_rates(program: Program, weights, given, timing: Timing, ceiling: float | None = None) -> Timing:
    """Lower the unit rate of signals whose settled value would need more than ``ceiling`` Hz, half a spike per step.

    Where one cell sends a signal, its base rate counts too, and no value may ask it for a rate below 0.
    """
    from neurolearn.tensor.rate import RateProgram

    rates = dict(timing.unit_rates)
    signals = RateProgram(program, weights).signals(given)
    for cell, names in ((k, c.sent) for k, c in enumerate(program.cells)):
        for name in names:
            peak = max(
                float(s[f"{name}_{cell}"].abs().max())
                for p, s in signals.items()
                if f"{name}_{cell}" in s and p != "latched"
            )
            room, base = ceiling or 0.5 / timing.dt, timing.baseline.rate
            if timing.codings.get(name) in ONE_CELL:
                room, peak = (room, peak + 1) if base is None else (min(room - base, base), peak)
            limit = room / max(peak, 1e-12)
            if timing.rate_of(name) > limit:
                rates[name] = min(rates.get(name, np.inf), limit)
    return replace(timing, unit_rates=rates)


def source(rule: Rule, network: Network, realisation: str) -> str:
    """The text that is compiled and run; a circuit's is that of one presentation of one sample of zeros."""
    if realisation == "tensor.rate":
        from neurolearn.tensor import reference

        return reference.source(lower(rule, network))
    if realisation == "tensor.spiking":
        from neurolearn.tensor import spiking

        return spiking.source(lower(rule, network))
    if realisation not in REALISATIONS:
        raise InputError(f"realisation is {realisation!r}; choose one of {', '.join(REALISATIONS)}.")
    from neurolearn import circuit

    zeros = [np.zeros((1, network.sizes[k])) for k in (0, -1)]
    return circuit.build(rule, network, *zeros, kind=realisation.split(".")[1], timing=Timing()).source
