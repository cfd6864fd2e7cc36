"""The tables of ``neurolearn compare``, made for one look: accuracy, distance, angle, and the price in spikes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import repeat
from math import acos, degrees, isfinite, sqrt

from rich.text import Text

from neurolearn.changes import REALISATIONS
from neurolearn.cli.inputs import CONTROLS
from neurolearn.cli.output import Output

UNKNOWN = "?"
PHYSIOLOGICAL = "physiological"
REPEATS = 3  # from here on there is an estimate of the angle of the expected change, and its interval
VAGUE = 20.0  # degrees from one end of that interval to the other
WORDS = (f"0 is below 0.05; ? is undetermined. Where a change was measured {REPEATS} times or more, its angle is "
         f"corrected for noise, and ~ says that its 95 % interval is wider than {VAGUE:g} degrees (see the JSON).")


def show(output: Output, result: Mapping) -> None:
    """Print the tables of a comparison, its notes, and where its files are."""
    ideal = [row for row in result["rows"] if row["operating_point"] != PHYSIOLOGICAL]
    living = [row for row in result["rows"] if row["operating_point"] == PHYSIOLOGICAL]
    if settings := _settings(result["settings"]):
        output.print(settings, style="dim")
    parts = (_accuracy, result["training"]), (_distance, ideal), (_angles, ideal), (_operating_point, living)
    for part, rows in parts:
        if rows:
            part(output, rows)
    if result["notes"]:
        output.print("\nNotes", style="bold")
        for note in result["notes"]:
            output.print(f"- {note}")
    if result["files"]:
        output.print("\nWritten", style="bold")
        for what, path in result["files"].items():
            output.console.print(f"  {what}: {path}", soft_wrap=True)


def _accuracy(output: Output, rows: list[Mapping]) -> None:
    last: dict[tuple, Mapping] = {}
    for row in rows:
        key = row["rule"], row["seed"]
        if key not in last or row["epoch"] >= last[key]["epoch"]:
            last[key] = row
    layers = _order(layer for row in last.values() for layer in row["angle_to_backprop_deg"] or ())
    lines = []
    for rule in sorted(_order(rule for rule, _ in last), key=lambda name: name in CONTROLS):
        own = {seed: row for (name, seed), row in last.items() if name == rule}
        gaps = [_minus(row["test_accuracy"], last["readout_only", seed]["test_accuracy"])
                for seed, row in own.items() if ("readout_only", seed) in last]
        angles = [row["angle_to_backprop_deg"] or {} for row in own.values()]
        cells = (
            rule, _spread([row["test_accuracy"] for row in own.values()], ".1f"),
            _spread(gaps, "+.1f") if gaps and rule != "readout_only" else "",
            _layers([[angle.get(layer) for angle in angles] for layer in layers]) if any(angles) else "")
        lines.append([Text(cell, style="dim" if rule in CONTROLS else "") for cell in cells])
    seeds = len({seed for _, seed in last})
    counted = f"Mean and standard error over {seeds} seeds" if seeds > 1 else "One seed, so no standard error"
    angle = f"angle to backprop, degrees\n({_list(layers)})"
    output.table(
        "After training", ("rule", "test accuracy, %", "gap to readout_only, points", angle), lines,
        f"{counted}. readout_only: hidden layers keep their first weights. linear: no hidden layers.")


def _distance(output: Output, rows: list[Mapping]) -> None:
    shown = [name for name in _realisations(rows) if name != "tensor.rate"]
    if not shown:
        return
    lines = []
    for rule in _order(row["rule"] for row in rows):
        cells = []
        for name in shown:
            errors = [row["relative_error_to_tensor_rate"] for row in _of(rows, rule=rule, realisation=name)]
            cells.append(_share(max(errors) if all(map(_known, errors)) else None) if errors else "")
        lines.append((rule, *cells))
    output.table("Distance of each realisation to tensor.rate", ("rule", *shown), lines,
                 "Relative error of the weight change; the worst layer of the worst seed.")


def _angles(output: Output, rows: list[Mapping]) -> None:
    layers, shown = _order(row["layer"] for row in rows), _realisations(rows)
    lines = []
    for rule in _order(row["rule"] for row in rows):
        for place, (reference, title) in enumerate({"backprop": "backprop", "own": "its own reference"}.items()):
            if mine := _of(rows, rule=rule, reference=reference):
                cells = (_by_layer(_of(mine, realisation=name), layers) for name in shown)
                lines.append(("" if place and _of(rows, rule=rule, reference="backprop") else rule, title, *cells))
    output.table(f"Angle of the weight change, degrees ({_list(layers)})", ("rule", "to", *shown), lines, WORDS)


def _operating_point(output: Output, rows: list[Mapping]) -> None:
    layers = _order(row["layer"] for row in rows)
    lines = []
    for rule, name, cells in _order((row["rule"], row["realisation"], row["cells"]) for row in rows):
        mine = _of(rows, rule=rule, realisation=name, cells=cells)
        facts = [
            _number([row["seconds_simulated"] for row in mine], _mean, ".3g"),
            _number([row["mean_rate_hz"] for row in mine], _mean, ".3g"),
            _number([row["max_rate_hz"] for row in mine], max, ".0f"),
            _number([row["spikes_per_update"] for row in mine], _mean, ",.0f"),
        ]
        angles = (_by_layer(_of(mine, reference=to), layers) for to in ("tensor.rate", "backprop"))
        lines.append((rule, name, UNKNOWN if cells is None else str(cells), *facts, *angles))
    head = ("rule", "realisation", "cells", "seconds", "mean Hz", "max Hz", "spikes",
            f"degrees to tensor.rate\n({_list(layers)})", f"degrees to backprop\n({_list(layers)})")
    output.table("Physiological operating point: reported, not judged", head, lines,
                 f"cells: of a unit. seconds, spikes: simulated for one weight change. {WORDS}")


def angle_of(row: Mapping) -> float | None:
    """The angle to show: of the expected change where repeats allow it, else of the change itself; None if unknown."""
    if not _repeated(row):
        return row["angle_deg"] if _known(row["angle_deg"]) else None
    return _arccos(row["cosine_corrected"]) if _known(row["cosine_corrected"]) else None


def is_vague(row: Mapping) -> bool:
    """Whether the angle to show is known too loosely to be read as a number."""
    if not _repeated(row) or angle_of(row) is None:
        return False
    low, high = row["ci_low"], row["ci_high"]
    return not (_known(low) and _known(high)) or _arccos(low) - _arccos(high) > VAGUE


def _repeated(row: Mapping) -> bool:
    return (row["n_repeats"] or 1) >= REPEATS


def _arccos(cosine: float) -> float:
    return degrees(acos(min(1.0, max(-1.0, cosine))))


def _by_layer(rows: list[Mapping], layers: list) -> str:
    groups = [_of(rows, layer=layer) for layer in layers] if rows else []
    vague = [any(map(is_vague, group)) for group in groups]
    return _layers([[angle_of(row) for row in group] for group in groups], vague)


def _layers(angles: list[list[float | None]], vague: Iterable[bool] = repeat(False)) -> str:
    """Mean angle of each layer over the seeds; ? if one of them is unknown."""
    means = [_mean(seeds) if seeds and all(map(_known, seeds)) else None for seeds in angles]
    signs = ("~" if loose and mean is not None else "" for mean, loose in zip(means, vague, strict=False))
    return " / ".join(sign + _degrees(mean) for sign, mean in zip(signs, means, strict=True))


def _degrees(value: float | None) -> str:
    if value is None:
        return UNKNOWN
    return "0" if value < 0.05 else f"{value:.1f}" if value < 9.95 else f"{value:.0f}"


def _share(value: float | None) -> str:
    """A relative error: a power of ten where it is tiny, else a percentage."""
    if value is None:
        return UNKNOWN
    if value < 1e-4:
        return f"{value:.0e}" if value else "0"
    percent = 100 * value
    return f"{percent:.2f} %" if percent < 1 else f"{percent:.1f} %" if percent < 10 else f"{percent:.0f} %"


def _spread(values: list[float | None], form: str) -> str:
    """Mean in percent and its standard error."""
    if not all(map(_known, values)):
        return UNKNOWN
    mean, n = 100 * _mean(values), len(values)
    if n < 2:
        return f"{mean:{form}}"
    error = sqrt(sum((100 * value - mean) ** 2 for value in values) / (n - 1) / n)
    return f"{mean:{form}} ± {error:.1f}"


def _number(values: list[float | None], over: Callable, form: str) -> str:
    values = [value for value in values if _known(value)]
    return f"{over(values):{form}}" if values else UNKNOWN


def _settings(settings: Mapping) -> str:
    parts = []
    for key, value in settings.items():
        if key in ("rules", "realisations"):  # the tables name them
            continue
        if isinstance(value, list | tuple) and all(isinstance(part, str | int | float) for part in value):
            value = ("-" if key == "sizes" else ", ").join(map(str, value))
        if isinstance(value, str | int | float):
            parts.append(f"{key} {value}")
    return "; ".join(parts)


def _of(rows: Iterable[Mapping], **wanted) -> list[Mapping]:
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def _realisations(rows: list[Mapping]) -> list[str]:
    found = _order(row["realisation"] for row in rows)
    return [name for name in REALISATIONS if name in found] + [name for name in found if name not in REALISATIONS]


def _order(values: Iterable) -> list:
    return list(dict.fromkeys(values))


def _list(layers: list) -> str:
    return f"layer {' / '.join(map(str, layers))}" if layers else "by layer"


def _known(value: float | None) -> bool:
    return value is not None and isfinite(value)


def _minus(a: float | None, b: float | None) -> float | None:
    return a - b if _known(a) and _known(b) else None


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
