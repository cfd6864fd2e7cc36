"""``neurolearn draw``: a drawing of a rule's circuit, and the table of its parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from neurolearn.cli.inputs import RuleActivation, RuleSizes, activation_of, one_of, rule_of, sizes_of
from neurolearn.cli.output import Output, one_thread
from neurolearn.errors import InputError
from neurolearn.network import mlp

DRAWINGS, TABLES = (".svg", ".pdf", ".png"), (".md", ".tex", ".json", ".txt")
WIDTHS = ("single", "middle", "double")


def draw(
    rule: Annotated[str, typer.Argument(
        metavar="RULE", help="A rule of the catalogue, or path/to/file.py:name.")],
    kind: Annotated[str, typer.Option("--kind", metavar="NAME", help="Circuit: rate or spiking.")] = "spiking",
    placement: Annotated[str | None, typer.Option(
        "--placement", metavar="NAME", show_default=False,
        help="unit: a group of cells for each layer. cells: a population for every axon.  [default: cells; unit for a "
             "rate circuit]")] = None,
    sizes: RuleSizes = None,
    activation: RuleActivation = None,
    width: Annotated[str | None, typer.Option(
        "--width", metavar="NAME|MM", show_default=False,
        help="single, middle or double column (85, 120, 178 mm), or millimetres.  [default: what fits]")] = None,
    out: Annotated[Path | None, typer.Option(
        "--out", metavar="FILE", show_default=False,
        help=f"The drawing, as {', '.join(DRAWINGS)}.  [default: RULE.svg]")] = None,
    parameters: Annotated[Path | None, typer.Option(
        "--parameters", metavar="FILE", show_default=False,
        help=f"The circuit's parameters as tables, as {', '.join(TABLES)}.  [default: none]")] = None,
) -> None:
    """Draw the circuit of a rule: its populations, what connects them, and what the plastic synapses read.

    Layers stand from the lowest up. Forward pathways are blue, feedback is orange; a disc is a synapse that learns, an
    arrowhead one that does not; a disc with a b on a cell is its bias. The table of parameters has the sections that
    Nordlie et al. 2009 ask of a paper; its times are those that the circuit needs to settle on this network, for one
    presentation of random input.

    \b
        neurolearn draw feedback_alignment
        neurolearn draw dynamic_inversion --sizes 784-100-50-10 --width double --out figure.pdf
        neurolearn draw my_rules.py:my_rule --kind rate --parameters table.tex
    """
    chosen = rule_of(rule, "RULE")
    one_of("--kind", kind, ("rate", "spiking"))
    placement = one_of("--placement", placement or ("unit" if kind == "rate" else "cells"), ("unit", "cells"))
    if placement == "cells" and kind == "rate":
        raise InputError("--placement is 'cells', which is of spiking circuits; with --kind rate leave it out.")
    units = chosen.nets.shapes[0] if sizes is None else sizes_of(sizes)
    function = chosen.nets.activations[0] if activation is None else activation_of(activation)
    wide = None if width is None else _width(width)
    out = _file("--out", out or Path(f"{chosen.name}.svg"), DRAWINGS)
    table = None if parameters is None else _file("--parameters", parameters, TABLES)
    network, output = mlp(units, function, signed=chosen.nets.signed), Output()
    from neurolearn import circuit

    one_thread()
    made = circuit.planned(chosen, network, **_presentation(network, table), kind=kind, placement=placement)
    circuit.draw(made, path=out, width=wide)
    output.console.print(f"drawing: {out}", soft_wrap=True)
    if table is not None:
        circuit.parameters(made).save(table)
        output.console.print(f"parameters: {table}", soft_wrap=True)


def _presentation(network, table: Path | None) -> dict:
    """What times are found for: random input and the first class. A drawing shows no times and needs none."""
    if table is None:
        from neurolearn.timing import Timing

        return {"timing": Timing()}
    import numpy as np

    from neurolearn.streams import stream

    return {"x": stream(0, "draw").random((1, network.sizes[0])), "teacher": np.eye(network.sizes[-1])[[0]]}


def _width(text: str) -> str | float:
    if text in WIDTHS:
        return text
    try:
        if 40 <= (found := float(text)) <= 1000:
            return found
    except ValueError:
        pass
    raise InputError(f"--width is {text!r}; give {', '.join(WIDTHS)}, or 40 to 1000 mm.")


def _file(option: str, path: Path, suffixes: tuple[str, ...]) -> Path:
    """A file that can be written, with one of the endings."""
    if path.suffix not in suffixes:
        raise InputError(f"{option} is {str(path)!r}; give a file that ends in {', '.join(suffixes)}.")
    if path.is_dir() or not path.parent.is_dir():
        what = "is a folder" if path.is_dir() else f"lies in {str(path.parent)!r}, which is no folder"
        raise InputError(f"{option} is {str(path)!r}, which {what}; give a file in a folder that exists.")
    return path
