"""``neurolearn train``: a circuit learns from a stream of samples, inside the simulation, and can be stopped at any time."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer

from neurolearn.cli import inputs
from neurolearn.cli.output import Output, one_thread, progress
from neurolearn.errors import InputError

REALISATIONS = ("circuit.spiking", "circuit.rate")
SHOWN = ("valid_accuracy", "valid_nmse", "train_accuracy", "train_nmse")
TARGETS = ("numpy", "cython", "standalone")


def train(
    rule: Annotated[str | None, typer.Argument(
        metavar="[RULE]", show_default=False, help="A rule of the catalogue or path/to/file.py:name; not with --resume.")] = None,
    realisation: Annotated[str | None, typer.Option(
        "--realisation", metavar="NAME", show_default=False,
        help=f"{' or '.join(REALISATIONS)}.  [default: {REALISATIONS[0]}]")] = None,
    data: Annotated[str | None, typer.Option(
        "--data", metavar="NAME", show_default=False, help="Data set, as in compare.  [default: yin_yang]")] = None,
    sizes: Annotated[str | None, typer.Option(
        "--sizes", metavar="N-N-...", show_default=False, help="Units of each layer, input first.  [default: fits the data]")] = None,
    samples: Annotated[str | None, typer.Option(
        "--samples", metavar="N", show_default=False, help="Presentations, one after the other.  [default: set for the data]")] = None,
    rate: Annotated[str | None, typer.Option(
        "--rate", metavar="X", show_default=False,
        help="Learning rate at the start, per sample; it falls to 0.  [default: set for the data]")] = None,
    plastic: Annotated[str | None, typer.Option(
        "--plastic", metavar="WHAT", show_default=False,
        help="all, readout (hidden layers stay as drawn) or none.  [default: all]")] = None,
    controls: Annotated[bool, typer.Option(
        "--controls/--no-controls", help="Also run the same circuit with --plastic readout, and a linear readout.")] = True,
    placement: Annotated[str | None, typer.Option(
        "--placement", metavar="NAME", show_default=False, help="unit, or cells: one cell, one axon.  [default: unit]")] = None,
    target: Annotated[str | None, typer.Option(
        "--target", metavar="NAME", show_default=False,
        help=f"{', '.join(TARGETS)}; the last two need a C++ compiler.  [default: the fastest here]")] = None,
    seed: Annotated[str | None, typer.Option(
        "--seed", metavar="N", show_default=False, help="Of weights, order and noise.  [default: 0]")] = None,
    config: Annotated[Path | None, typer.Option(
        "--config", metavar="FILE", show_default=False,
        help="Settings from a .json or .yaml file, such as the config.json of an earlier run; options given here win.")] = None,
    settings: Annotated[list[str] | None, typer.Option(
        "--set", metavar="NAME=VALUE", show_default=False,
        help="Any other setting, such as timing.tau=0.03, segment=200 or biology.delays.B=0.003; may be repeated.")] = None,
    record: Annotated[list[str] | None, typer.Option(
        "--record", metavar="WHAT", show_default=False,
        help="Write it to recording.h5: spikes:layer1, \"rate:layer1 every=0.01\", state:layer1.potential or weights:W_2_1; "
             "with only= (cells) and samples= (-100: are the last hundred); may be repeated.")] = None,
    guard: Annotated[list[str] | None, typer.Option(
        "--guard", metavar="NAME=POLICY", show_default=False,
        help="What to do when a guard finds something: raise, warn or ignore; such as saturation=warn or silence=raise.")] = None,
    every: Annotated[str, typer.Option(
        "--checkpoint-every", metavar="N", help="Segments between checkpoints.")] = "1",
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the run; made if need be.")] = Path("neurolearn-run"),
    resume: Annotated[Path | None, typer.Option(
        "--resume", metavar="DIR", show_default=False, help="Go on with the run in this folder, from its last checkpoint.")] = None,
    json_to: inputs.JsonPlace = None,
) -> None:
    """Train a circuit online: samples are held one after the other, a broadcast opens the plasticity window, and weights
    change inside the simulation.

    The folder keeps config.json, manifest.json, metrics.jsonl, checkpoints and what --record asks for; the same command goes
    on where a crash or Ctrl-C stopped it, to the last bit. Accuracy on the test split is that of the circuit itself: weights
    frozen, no teacher, the output with the most spikes. Beside it: the same circuit with only its readout plastic, and a
    linear one.

    \b
        neurolearn train feedback_alignment --out fa
        neurolearn train feedback_alignment --realisation circuit.rate --samples 3000 --out fa-rate
        neurolearn train --resume fa
        neurolearn train feedback_alignment --record "spikes:layer1 samples=-20:" --out seen
    """
    output, number = Output(json_to), inputs.number_of("--checkpoint-every", every, 1)
    from neurolearn.runs.config import RunConfig

    given = {"realisation": realisation, "data": data, "sizes": sizes, "samples": samples, "learning_rate": rate,
             "plastic": plastic, "placement": placement, "target": target, "seed": seed}  # fmt: skip
    if resume is not None:
        if changed := [name for name, text in given.items() if text is not None]:
            option = "--rate" if changed[0] == "learning_rate" else f"--{changed[0]}"
            raise InputError(f"--resume goes on with a run as it is; leave {option} out, or start another run with --out.")
        if rule is not None or config is not None or settings or record:
            raise InputError("--resume goes on with a run as it is; leave RULE, --config, --set and --record out, or use --out.")
        if not (resume / "config.json").is_file():
            raise InputError(f"--resume is {str(resume)!r}, which holds no run (no config.json); give the --out of a run.")
        run, out = RunConfig.read(resume / "config.json"), resume
    else:
        run = _config(rule, given | {"record": record or None}, config, settings or [])
    folder = inputs.folder_of("--out", out)
    one_thread()
    guards = _guards(guard or [])
    with progress() as report:
        result = _runs(run, folder, controls and run.plastic == "all", number, guards, report)
    _show(output, result, folder)
    output.json(result)


def _config(rule: str | None, given: dict[str, Any], config: Path | None, settings: list[str]):
    """The RunConfig of a command line: defaults for rule and data, then the file, then options, then --set."""
    import json

    from neurolearn.runs import reading
    from neurolearn.runs.config import RunConfig
    from neurolearn.training import circuit_settings

    inputs.file_of("--config", config)
    stated = reading.of_file(config, dict) if config else {}
    rule = rule or stated.get("rule")
    if rule is None:
        raise InputError("which rule? Give its name, such as feedback_alignment, or --resume DIR; see neurolearn rules.")
    inputs.rule_of(rule, "RULE")
    checked = {
        "realisation": lambda text: inputs.one_of("--realisation", text, REALISATIONS),
        "data": inputs.data_of,
        "sizes": inputs.sizes_of,
        "samples": lambda text: inputs.number_of("--samples", text, 1),
        "seed": lambda text: inputs.number_of("--seed", text, 0),
        "learning_rate": lambda text: inputs.positive("--rate", text),
        "plastic": lambda text: inputs.one_of("--plastic", text, ("all", "readout", "none")),
        "placement": lambda text: inputs.one_of("--placement", text, ("unit", "cells")),
        "target": lambda text: inputs.one_of("--target", text, TARGETS),
        "record": list,
    }
    chosen = {name: checked[name](text) for name, text in given.items() if text is not None}
    stated = {"realisation": REALISATIONS[0], "data": "yin_yang", "target": _fastest(), **stated, **chosen}
    found: dict[str, Any] = {**circuit_settings.settings(rule, stated["realisation"], stated["data"]), **stated}
    if "sizes" not in found:
        raise InputError(f"--sizes is needed for {found['data']}: features, hidden units and classes, such as 784-64-10.")
    for text in settings:
        key, equals, value = text.partition("=")
        if not (key and equals):
            raise InputError(f"--set is {text!r}; give NAME=VALUE, such as timing.tau=0.03.")
        place = found
        *path, last = key.split(".")
        for part in path:
            place[part] = dict(place.get(part) or {})
            place = place[part]
        try:
            place[last] = json.loads(value)
        except ValueError:
            place[last] = value
    if isinstance(found["samples"], int) and isinstance(segment := found.get("segment", 100), int):
        found["segment"] = min(segment, found["samples"])
    return RunConfig(**found)


def _guards(texts: list[str]):
    """Guards from NAME=POLICY."""
    from neurolearn.circuit.guards.findings import ERRORS, Guards

    policies = {}
    for text in texts:
        name, _, policy = text.partition("=")
        inputs.one_of("--guard", name, tuple(ERRORS))
        policies[name] = policy
    return Guards(**policies)


def _fastest() -> str:
    import shutil

    return "standalone" if any(map(shutil.which, ("g++", "clang++"))) else "numpy"


def _runs(run, out: Path, controls: bool, every: int, guards, report) -> dict:
    """The run and its controls, each in a folder of its own."""
    from neurolearn.runs.folder import RunFolder
    from neurolearn.training import online
    from neurolearn.training.online_figure import draw

    rule = inputs.rule_of(run.rule, "RULE")
    results, rows = {}, {}
    for name, one, place in [("run", run, out)] + (
        [("readout_only", run.but(plastic="readout"), out / "readout_only")] if controls else []
    ):
        def on_row(stage: str, row: dict, name=name) -> None:
            if stage == "test":
                report(name, "test split", row["share"])
                return
            shown = [f"{k.split('_')[0]} {row[k]:.3f}" for k in SHOWN if k in row]
            report(name, f"sample {row['samples']}/{run.samples}, {', '.join(shown[:1])}", row["samples"] / run.samples)

        with closing(online.OnlineTraining(one, rule, guards)) as training, RunFolder(place, one, rule) as folder:
            results[name] = online.run(training, folder, every=every, report=on_row)
            rows[name] = folder.metrics()
    if controls:
        results["linear"] = online.linear(run)
    figure = draw(rows, results, run, out / "learning.png")
    return {"results": results, "config": run.settings(), "figure": figure.name}


def _show(output: Output, result: dict, out: Path) -> None:
    """The table that the command ends with."""
    from neurolearn.training import online

    config, rows = result["config"], []
    for name, one in result["results"].items():
        measure = "test_accuracy" if "test_accuracy" in one else "test_nmse"
        low, high = one.get("test_interval", (None, None))
        hz = one.get("mean_hz")
        rows.append((
            config["rule"] if name == "run" else name,
            "" if measure not in one else f"{100 * one[measure]:.1f} %" if measure == "test_accuracy" else f"{one[measure]:.3f}",
            "" if low is None else f"{100 * low:.1f} to {100 * high:.1f} %",
            "" if hz is None or hz != hz else f"{hz:.1f} / {one['max_hz']:.0f}",
            "" if "seconds_simulated" not in one else f"{one['seconds_simulated']:.0f}",
        ))  # fmt: skip
    output.table(
        f"{config['rule']} in {config['realisation']} on {config['data']}, {config['samples']} samples",
        ("", "test", "95 % (Wilson)", "Hz mean / max", "seconds simulated"), rows,
        "readout_only: the same circuit, plasticity of its hidden layers off. linear: inputs straight to outputs, trained "
        "by tensors. Hz: over all cells in the last segment.",
    )  # fmt: skip
    output.print(f"\nFigure and run: {out / result['figure']}, {out}")
    if config["record"]:
        output.print(f"Recording: {out / online.RECORDING}, for neurolearn.circuit.Recording")
