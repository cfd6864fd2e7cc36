"""The main job: train every rule briefly, then take its weights through all realisations and say how far each is from
the settled algebra, from what the rule truly follows, and from backprop."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from neurolearn import compare, data, physiology, training
from neurolearn.changes import REALISATIONS, default_timing, fit_rates, prepare
from neurolearn.errors import InputError, SettlingError
from neurolearn.network import Network, mlp
from neurolearn.observer import backprop_gradient
from neurolearn.rule import Rule
from neurolearn.timescales import timescales
from neurolearn.timing import Timing

BATCH, STEPS, REPEATS = 8, 2000, 4
SIZES = {"digits": (64, 64, 32, 10), "yin_yang": (4, 30, 30, 3)}
CONTROLS = ("linear", "readout_only")
Report = Callable[[str, str, float], None]


@dataclass
class Options:
    """What to compare. sizes: of the layers (default by data set); epochs: of training (default by data set).

    weights: a .safetensors file of an earlier run, with ``train=False``. out: folder for comparison.json and .png.
    """

    rules: list[Rule]
    realisations: tuple[str, ...] = REALISATIONS
    data: str = "digits"
    sizes: tuple[int, ...] | None = None
    activation: str = "tanh"
    epochs: int | None = None
    seed: int = 0
    seeds: int = 1
    weights: Path | None = None
    train: bool = True
    out: Path = Path("neurolearn-out")
    device: str = "cpu"

    def network(self, dataset) -> Network:
        """The net that is trained; checks its sizes against the data."""
        inputs, classes = dataset.x_train.shape[1], dataset.y_train.shape[1]
        sizes = self.sizes or SIZES.get(self.data) or (inputs, 64, 32, classes)
        if (sizes[0], sizes[-1]) != (inputs, classes):
            raise InputError(
                f"sizes is {'-'.join(map(str, sizes))}; {self.data} has {inputs} inputs and {classes} classes, "
                f"so it must begin with {inputs} and end with {classes}."
            )
        return mlp(sizes, self.activation)


@dataclass
class Measured:
    """Changes of one realisation: one or several repeats, and what the simulation reports."""

    repeats: list[dict[str, np.ndarray]]
    facts: Mapping[str, float] = field(default_factory=dict)

    def mean(self) -> dict[str, np.ndarray]:
        """The mean over the repeats."""
        return {name: np.mean([r[name] for r in self.repeats], axis=0) for name in self.repeats[0]}


def run(options: Options, report: Report | None = None) -> dict:
    """Everything, as JSON-ready data; writes comparison.json, comparison.png and the trained weights to ``options.out``."""
    report = report or (lambda stage, what, fraction: None)
    dataset = data.load(options.data, seed=options.seed)
    network = options.network(dataset)
    options.out.mkdir(parents=True, exist_ok=True)
    result = {"settings": _settings(options, network), "training": [], "rows": [], "notes": [], "files": {}}
    trained = _train(options, network, dataset, result, report)
    _realise(options, network, dataset, trained, result, report)
    return _write(options, result, trained)


def _settings(options: Options, network: Network) -> dict:
    return {
        "rules": [r.name for r in options.rules],
        "data": options.data,
        "network": str(network),
        "sizes": network.sizes,
        "activation": options.activation,
        "seed": options.seed,
        "seeds": options.seeds,
        "batch": BATCH,
        "steps": STEPS,
        "realisations": list(options.realisations),
    }


# -- training ----------------------------------------------------------------------------------------------------------


def _train(options: Options, network: Network, dataset, result: dict, report: Report) -> dict[tuple[str, int], dict]:
    """{(rule, seed): weights}."""
    seeds = [options.seed + k for k in range(options.seeds)]
    if not options.train:
        return _load(options, network, seeds)
    jobs = [(what, seed) for seed in seeds for what in (*CONTROLS, *options.rules)]
    trained = {}
    for done, (what, seed) in enumerate(jobs):
        name = what if isinstance(what, str) else what.name

        def on_epoch(row: dict, done=done, name=name) -> None:
            report(
                "training",
                name,
                (done + min(1.0, row["epoch"] / max(1, row.get("epochs", row["epoch"] or 1)))) / len(jobs),
            )

        report("training", name, done / len(jobs))
        run_ = training.train(
            what, network, dataset, epochs=options.epochs, seed=seed, device=options.device, on_epoch=on_epoch
        )
        result["training"] += run_.history
        if not isinstance(what, str):
            trained[name, seed] = run_.weights
    report("training", "done", 1.0)
    return trained


def _load(options: Options, network: Network, seeds: list[int]) -> dict[tuple[str, int], dict]:
    """Weights of an earlier run: keys "<rule>/<seed>/<weight>", or plain weight names for all rules."""
    from safetensors.numpy import load_file

    if options.weights is None:
        return {(rule.name, seed): {} for rule in options.rules for seed in seeds}
    if not options.weights.is_file():
        raise InputError(
            f"--weights: there is no file {options.weights}; give a .safetensors written by an earlier compare."
        )
    try:
        stored = load_file(options.weights)
    except Exception as error:
        raise InputError(f"--weights: {options.weights} is no readable .safetensors file ({error}).") from None
    plain = {name: value for name, value in stored.items() if "/" not in name}
    return {
        (rule.name, seed): plain
        | {key.split("/")[2]: value for key, value in stored.items() if key.startswith(f"{rule.name}/{seed}/")}
        for rule in options.rules
        for seed in seeds
    }


# -- realisations ------------------------------------------------------------------------------------------------------


def _realise(options: Options, network: Network, dataset, trained, result: dict, report: Report) -> None:
    x, teacher = dataset.x_test[:BATCH], dataset.y_test[:BATCH]
    cases = [(rule, seed) for rule in options.rules for seed in range(options.seed, options.seed + options.seeds)]
    points = [*options.realisations, *(("physiological",) if "tensor.spiking" in options.realisations else ())]
    for n, (rule, seed) in enumerate(cases):
        rule, note = stabilised(rule, network, x, teacher, trained[rule.name, seed], seed)
        result["notes"] += [note] if note else []
        for k, point in enumerate(points):
            report("realisations", f"{rule.name}, {point}", (n + k / len(points)) / len(cases))
            try:
                if point == "physiological":
                    result["rows"] += _physiological(rule, network, x, teacher, trained[rule.name, seed], seed, options)
                else:
                    result["rows"] += _ideal(rule, network, x, teacher, trained[rule.name, seed], seed, point, options)
            except SettlingError as error:
                result["notes"].append(f"{rule.name}, {point}: {error}")
    report("realisations", "done", 1.0)


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


def _ideal(
    rule: Rule, network: Network, x, teacher, weights, seed: int, realisation: str, options: Options
) -> Iterator[dict]:
    program, start, given = prepare(rule, network, x, teacher, weights, seed=seed)
    reference = _algebra(program, start, given)
    timing, steps = None, STEPS
    if realisation != "tensor.rate":
        timing = _timing(program, start, given, realisation)
        steps = timing.settle + timing.window
    measured = {
        "tensor.rate": lambda: Measured([_algebra(program, start, given, options.device)]),
        "circuit.rate": lambda: _circuit(program, start, given, timing, "rate"),
        "circuit.spiking": lambda: _circuit(program, start, given, timing, "spiking"),
        "tensor.spiking": lambda: _tensor_spikes(program, start, given, timing, options.device),
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


def _timing(program, weights, given, realisation: str) -> Timing:
    """Spikes get STEPS per phase; a loop that cannot settle in that gets the shortest doubling in which it does."""
    if realisation == "circuit.rate":
        return default_timing(program, weights, given, realisation, eps=1e-7)
    steps = STEPS
    while True:
        try:
            return default_timing(program, weights, given, realisation, steps=steps)
        except SettlingError:
            if steps >= 8 * STEPS:
                raise
            steps *= 2


def _physiological(rule: Rule, network: Network, x, teacher, weights, seed: int, options: Options) -> Iterator[dict]:
    living = physiology.network(network)
    program, start, given = prepare(rule, living, x, teacher, weights, seed=seed)
    reference = _algebra(program, start, given)
    references = _references(rule, living, program, start, x, teacher, reference, own=False)
    one = fit_rates(program, start, given, physiology.timing(seed), physiology.CEILING_HZ)
    many = replace(one, cells=physiology.POPULATION)
    runs = [
        ("tensor.spiking", 1, lambda: _tensor_spikes(program, start, given, one, options.device)),
        (
            "tensor.spiking",
            physiology.POPULATION,
            lambda: _tensor_spikes(program, start, given, many, options.device, 1),
        ),
    ]
    if "circuit.spiking" in options.realisations:
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


# -- files -------------------------------------------------------------------------------------------------------------


def _write(options: Options, result: dict, trained) -> dict:
    from safetensors.numpy import save_file

    from neurolearn import figures

    files = {"json": options.out / "comparison.json", "png": options.out / "comparison.png"}
    weights = {
        f"{rule}/{seed}/{name}": np.ascontiguousarray(value)
        for (rule, seed), found in trained.items()
        for name, value in found.items()
    }
    if weights and options.train:
        files["weights"] = options.out / "weights.safetensors"
        save_file(weights, files["weights"])
    result["files"] = {kind: str(path) for kind, path in files.items()}
    files["json"].write_text(json.dumps(result, indent=1, allow_nan=False, default=float))
    figures.comparison(result, files["png"])
    return result
