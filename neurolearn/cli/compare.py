"""``neurolearn compare``: train rules, then hold their four realisations against tensor.rate and against backprop."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from neurolearn.changes import REALISATIONS
from neurolearn.cli import compare_tables, inputs
from neurolearn.cli.output import Output, one_thread, progress
from neurolearn.errors import InputError

MAIN = (
    "backprop",
    "feedback_alignment",
    "direct_feedback_alignment",
    "difference_target_propagation",
    "dynamic_inversion",
)


def compare(
    rules: Annotated[list[str] | None, typer.Option(
        "--rules", metavar="NAMES", show_default=False,
        help="Comma separated names of rules, path/to/file.py:name, or all; may be repeated.  [default: "
             f"{', '.join(MAIN)}]")] = None,
    realisations: Annotated[list[str] | None, typer.Option(
        "--realisations", metavar="NAMES", show_default=False,
        help=f"Comma separated: which of {', '.join(REALISATIONS)}; may be repeated.  [default: all]")] = None,
    data: Annotated[str, typer.Option(
        "--data", metavar="NAME", help="Data set: yin_yang, digits, mnist, fashion_mnist or cifar10. The last three "
                                       "are read from $NEUROLEARN_DATA or fetched.")] = "digits",
    sizes: Annotated[str | None, typer.Option(
        "--sizes", metavar="N-N-...", show_default=False,
        help="Units of each layer, input first, such as 64-64-32-10.  [default: fits the data]")] = None,
    activation: Annotated[str, typer.Option(
        "--activation", metavar="NAME", help="Activation of the hidden layers.")] = "tanh",
    epochs: Annotated[str | None, typer.Option(
        "--epochs", metavar="N", show_default=False,
        help="Passes over the training data for each rule and seed, at least 1.  [default: set for the data]")] = None,
    seed: Annotated[str, typer.Option(
        "--seed", metavar="N", help="First seed, of weights, data order and noise; 0 or more.")] = "0",
    seeds: Annotated[str, typer.Option(
        "--seeds", metavar="N", help="How many seeds, counted up from the first; standard errors need 5 or so.")] = "1",
    weights: Annotated[Path | None, typer.Option(
        "--weights", metavar="FILE", show_default=False,
        help="With --no-train: compare at the weights of this .safetensors file, such as the one that an earlier run "
             "left in its --out folder.  [default: untrained]")] = None,
    train: Annotated[bool, typer.Option(
        "--train/--no-train", help="Train first, or compare at the weights that there are.")] = True,
    out: Annotated[Path, typer.Option(
        "--out", metavar="DIR", help="Folder for the figure and the results; made if need be.",
    )] = Path("neurolearn-out"),
    device: Annotated[str, typer.Option(
        "--device", metavar="NAME", help="Where tensors live: cpu, cuda or cuda:N. Circuits run on the CPU.")] = "cpu",
    json_to: inputs.JsonPlace = None,
) -> None:
    """Train rules on a data set, then compare their weight changes in all four realisations.

    Accuracy stands beside two controls, a linear readout of the inputs and a network whose hidden layers never learn.
    Weight changes are held against tensor.rate, against what the rule itself follows, and against backprop; last comes
    an operating point with rates and times that a brain could have. Tables are printed; figure and data go to --out.

    \b
        neurolearn compare
        neurolearn compare --rules backprop,my_rules.py:my_rule --data yin_yang --seeds 5
        neurolearn compare --no-train --weights neurolearn-out/weights.safetensors --realisations circuit.spiking
    """
    settings = {
        "rules": inputs.rules_of(rules, default=",".join(MAIN)),
        "realisations": inputs.realisations_of(realisations),
        "data": inputs.data_of(data),
        "sizes": None if sizes is None else inputs.sizes_of(sizes),
        "activation": inputs.activation_of(activation),
        "epochs": None if epochs is None else inputs.number_of("--epochs", epochs, 1),
        "seed": inputs.number_of("--seed", seed, 0),
        "seeds": inputs.number_of("--seeds", seeds, 1),
        "weights": inputs.file_of("--weights", weights),
        "train": train,
        "out": inputs.folder_of("--out", out),
    }
    if taken := [rule.name for rule in settings["rules"] if rule.name in inputs.CONTROLS]:
        raise InputError(f"--rules gives a rule that is named {taken[0]!r}, the name of a control; rename the rule.")
    if epochs is not None and not train:
        raise InputError(f"--epochs is {epochs}, but --no-train trains nothing; leave one of them out.")
    if weights is not None and train:
        raise InputError(f"--weights is {str(weights)!r}, but training starts from the seed; add --no-train.")
    output, settings["device"] = Output(json_to), inputs.device_of(device)
    from neurolearn import comparison

    one_thread()
    with progress() as report:
        result = comparison.run(comparison.Options(**settings), report)
    compare_tables.show(output, result)
    output.json(result)
