"""One rule with given weights, measured in its realisations: at the ideal operating point, and at the physiological one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from neurolearn import compare, physiology
from neurolearn.changes import default_timing, fit_rates, prepare
from neurolearn.network import Network
from neurolearn.observer import backprop_gradient
from neurolearn.rule import Rule
from neurolearn.timescales import timescales
from neurolearn.timing import Timing

STEPS, REPEATS = 2000, 4


@dataclass
class Measured:
    """Changes of one realisation: one or several repeats, and what the simulation reports."""

    repeats: list[dict[str, np.ndarray]]
    facts: Mapping[str, float] = field(default_factory=dict)

    def mean(self) -> dict[str, np.ndarray]:
        """The mean over the repeats."""
        return {name: np.mean([r[name] for r in self.repeats], axis=0) for name in self.repeats[0]}


def stabilised(rule: Rule, network: Network, x, teacher, weights, seed: int) -> tuple[Rule, str]:
    """The rule with its own time constants doubled until its loops are stable with these weights, and a sentence if so."""
    factor = 1
    for _ in range(6):
        tried = (
            replace(rule, times={name: value * factor for name, value in rule.times.items()}) if factor > 1 else rule
        )
        program, start, given = prepare(tried, network, x, teacher, weights, seed=seed)
        if all(m.abscissa < 0 and m.decay(0.1) > 0 for m in timescales(program, start, given)):
            times = ", ".join(f"{name} = {value:g}" for name, value in tried.times.items())
            return (
                tried,
                f"{rule.name}: {times} synaptic time constants, to keep its loop stable." if factor > 1 else "",
            )
        if not rule.times:
            break
        factor *= 2
    return rule, f"{rule.name}: its circuit is unstable with these weights."


def ideal(
    rule: Rule, network: Network, x, teacher, weights, seed: int, realisation: str, device: str = "cpu"
) -> Iterator[dict]:
    """Rows of one realisation with exact coding cells and time to settle: a row per layer and reference."""
    program, start, given = prepare(rule, network, x, teacher, weights, seed=seed)
    reference = _algebra(program, start, given)
    timing, steps = None, STEPS
    if realisation != "tensor.rate":
        timing = default_timing(program, start, given, realisation, eps=1e-7, steps=STEPS)
        steps = timing.settle + timing.window
    measured = {
        "tensor.rate": lambda: Measured([_algebra(program, start, given, device)]),
        "circuit.rate": lambda: _circuit(program, start, given, timing, "rate"),
        "circuit.spiking": lambda: _circuit(program, start, given, timing, "spiking"),
        "tensor.spiking": lambda: _tensor_spikes(program, start, given, timing, device),
    }[realisation]()
    base = {
        "rule": rule.name,
        "seed": seed,
        "realisation": realisation,
        "operating_point": "ideal",
        "cells": 1,
        "steps": steps if "spiking" in realisation else None,
    }
    yield from _compared(base, measured, _references(rule, network, program, start, x, teacher, reference), reference)


def physiological(
    rule: Rule, network: Network, x, teacher, weights, seed: int, realisations: tuple[str, ...], device: str = "cpu"
) -> Iterator[dict]:
    """Rows of the operating point of 200 ms: the same weights in a net of leaky cells, one and many cells per unit."""
    living = physiology.network(network)
    program, start, given = prepare(rule, living, x, teacher, weights, seed=seed)
    reference = _algebra(program, start, given)
    references = _references(rule, living, program, start, x, teacher, reference, own=False)
    one = fit_rates(program, start, given, physiology.timing(seed), physiology.CEILING_HZ)
    many = replace(one, cells=physiology.POPULATION)
    runs = []
    if "tensor.spiking" in realisations:
        runs.append(("tensor.spiking", 1, lambda: _tensor_spikes(program, start, given, one, device)))
        runs.append(("tensor.spiking", many.cells, lambda: _tensor_spikes(program, start, given, many, device, 1)))
    if "circuit.spiking" in realisations:
        runs.append(("circuit.spiking", 1, lambda: _circuit(program, start, given, one, "spiking")))
    for realisation, cells, measure in runs:
        base = {
            "rule": rule.name,
            "seed": seed,
            "realisation": realisation,
            "operating_point": "physiological",
            "cells": cells,
            "steps": physiology.SETTLE + physiology.WINDOW,
        }
        yield from _compared(base, measure(), references, reference)


def _algebra(program, weights, given, device: str = "cpu") -> dict[str, np.ndarray]:
    from neurolearn.tensor.rate import RateProgram

    return {n: c.cpu().numpy() for n, c in RateProgram(program, weights, device=device).changes(given).items()}


def _circuit(program, weights, given, timing: Timing, kind: str) -> Measured:
    from neurolearn.circuit import make

    circuit = make(program, weights, given, timing, kind)
    circuit.run()
    return Measured([circuit.changes()], circuit.facts())


def _tensor_spikes(program, weights, given, timing: Timing, device: str, count: int = REPEATS) -> Measured:
    from neurolearn.tensor.spiking import SpikingProgram

    many = {name: np.tile(value, (count, 1)) for name, value in given.items()}
    simulation = SpikingProgram(program, weights, timing, kind="fused", device=device)
    repeats = [{n: c.cpu().numpy() for n, c in r.items()} for r in simulation.repeats(many, count)]
    a = simulation.activity
    return Measured(
        repeats, {"spikes": a.spikes / count, "seconds": a.seconds, "mean_hz": a.mean_hz, "max_hz": a.max_hz}
    )


def _references(
    rule: Rule, network: Network, program, weights, x, teacher, algebra, own: bool = True
) -> dict[str, dict]:
    found = {"tensor.rate": algebra}
    if own and rule.own:
        found["own"] = rule.own(network, weights, x, teacher, program.constants)
    found["backprop"] = backprop_gradient(network, weights, x, teacher)
    return found


def _compared(base: dict, measured: Measured, references: Mapping[str, dict], algebra) -> Iterator[dict]:
    """One row per layer and reference."""
    facts, mean = measured.facts, compare.by_layer(measured.mean())
    repeats = [compare.by_layer(r) for r in measured.repeats]
    exact = compare.by_layer(algebra)
    for name, reference in references.items():
        for layer, target in compare.by_layer(reference).items():
            estimate = compare.corrected_cosine([r[layer] for r in repeats], target) if len(repeats) > 1 else None
            yield {
                **base,
                "layer": layer,
                "reference": name,
                "angle_deg": compare.angle(mean[layer], target),
                "cosine": compare.cosine(mean[layer], target),
                "cosine_corrected": estimate.value if estimate else None,
                "ci_low": estimate.low if estimate else None,
                "ci_high": estimate.high if estimate else None,
                "n_repeats": len(repeats),
                "norm_ratio": compare.norm_ratio(mean[layer], target),
                "sign_agreement": compare.sign_agreement(mean[layer], target),
                "relative_error_to_tensor_rate": compare.relative_error(mean[layer], exact[layer]),
                "seconds_simulated": facts.get("seconds"),
                "mean_rate_hz": facts.get("mean_hz"),
                "max_rate_hz": facts.get("max_hz"),
                "spikes_per_update": facts.get("spikes"),
            }
