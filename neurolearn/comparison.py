"""The main job: train every rule briefly, then take its weights through all realisations and say how far each is from
the settled algebra, from what the rule truly follows, and from backprop."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neurolearn import data, measured, training
from neurolearn.changes import REALISATIONS
from neurolearn.errors import InputError, NeurolearnError
from neurolearn.network import Network, mlp
from neurolearn.program import lower
from neurolearn.rule import Rule

BATCH = 8  # test samples that are taken through the realisations
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


def run(options: Options, report: Report | None = None) -> dict:
    """Everything, as JSON-ready data; writes comparison.json, comparison.png and the trained weights to ``options.out``."""
    report = report or (lambda stage, what, fraction: None)
    dataset = data.load(options.data, seed=options.seed)
    network = options.network(dataset)
    for rule in options.rules:
        _check(rule, network)
    options.out.mkdir(parents=True, exist_ok=True)
    result = {"settings": _settings(options, network), "training": [], "rows": [], "notes": [], "files": {}}
    trained = _train(options, network, dataset, result, report)
    _realise(options, network, dataset, trained, result, report)
    return _write(options, result, trained)


def _check(rule: Rule, network: Network) -> None:
    """Raises InputError, before anything is trained, for a rule that is not for this network or has no teacher."""
    if not any("teacher" in cell.externals for cell in lower(rule, network).cells):
        raise InputError(
            f"{rule.name} hears no teacher, so neither accuracy nor backprop says anything about it; "
            "analysis/information.py judges it by information."
        )


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
        "steps": measured.STEPS,
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
    found = {
        (rule.name, seed): plain
        | {key.split("/")[2]: value for key, value in stored.items() if key.startswith(f"{rule.name}/{seed}/")}
        for rule in options.rules
        for seed in seeds
    }
    for (name, seed), weights in found.items():
        if not weights:
            known = ", ".join(sorted({"/".join(key.split("/")[:2]) for key in stored if "/" in key})) or "none"
            raise InputError(
                f"--weights: {options.weights} holds nothing for {name}/{seed} (rule/seed); it has {known}."
            )
    return found


# -- realisations ------------------------------------------------------------------------------------------------------


def _realise(options: Options, network: Network, dataset, trained, result: dict, report: Report) -> None:
    x, teacher = dataset.x_test[:BATCH], dataset.y_test[:BATCH]
    cases = [(rule, seed) for rule in options.rules for seed in range(options.seed, options.seed + options.seeds)]
    spikes = any("spiking" in name for name in options.realisations)
    points = [*options.realisations, *(["physiological"] if spikes else [])]
    for n, (rule, seed) in enumerate(cases):
        weights = trained[rule.name, seed]
        rule, note = measured.stabilised(rule, network, x, teacher, weights, seed)
        result["notes"] += [note] if note else []
        for k, point in enumerate(points):
            report("realisations", f"{rule.name}, {point}", (n + k / len(points)) / len(cases))
            case = (rule, network, x, teacher, weights, seed)
            try:
                if point == "physiological":
                    rows = measured.physiological(*case, options.realisations, options.device)
                else:
                    rows = measured.ideal(*case, point, options.device)
                result["rows"] += list(rows)
            except NeurolearnError as error:  # one cell of the table is lost, and says why; the others are not
                result["notes"].append(f"{rule.name}, {point}: {error}")
    report("realisations", "done", 1.0)


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
