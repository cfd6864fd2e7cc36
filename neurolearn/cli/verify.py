"""``neurolearn verify``: every realisation of a rule held against its neighbour, and the rule against its limit."""

from __future__ import annotations

import time
from math import inf, isnan
from typing import Annotated

import typer
from rich.text import Text

from neurolearn.cli.inputs import JsonPlace, RuleNames, rules_of
from neurolearn.cli.output import Output, one_thread, progress


def verify(
    rules: RuleNames = None,
    full: Annotated[bool, typer.Option(
        "--full", help="More shapes, activations, seeds and spikes, and slopes of the error against time; a rule then "
                       "takes minutes, not seconds.")] = False,
    sabotage: Annotated[bool, typer.Option(
        "--sabotage", help="Flip one sign in what is under test: every edge must fail, and the exit code be 1.",
    )] = False,
    every: Annotated[bool, typer.Option(
        "--all", help="A line for each weight, instead of the worst of each group.")] = False,
    json_to: JsonPlace = None,
) -> None:
    """Check that the four realisations of a rule agree, and that the rule keeps its stated limit.

    The weight change of the rate circuit must equal the tensor's, spikes must agree bin by bin, spikes must tend to
    rates, and the rule to what it says it equals. Every line shows what was measured, the tolerance, their ratio and
    the norm of what was compared (nothing compared is a failure). Exits with 1 if anything failed.

    \b
        neurolearn verify --rules feedback_alignment
        neurolearn verify --rules my_rules.py:my_rule --full --json edges.json
        neurolearn verify --sabotage
    """
    chosen, output, start = rules_of(rules), Output(json_to), time.monotonic()
    from neurolearn import edges

    one_thread()
    total, done = len(chosen) * (len(edges.EDGES) + full), [0]
    with progress() as report:
        def begun(rule: str, edge: str) -> None:
            report("verify", f"{rule}, {edge}", min(done[0] / total, 1.0))
            done[0] += 1

        found = edges.verify(chosen, full=full, sabotage=sabotage, progress=begun)
    rows = [edge.json() for edge in found]
    _table(output, rows, every, sabotage)
    _summary(output, rows, sabotage, time.monotonic() - start)
    output.json({"edges": rows})
    if not rows or not all(row["passed"] for row in rows):
        raise typer.Exit(1)


def _table(output: Output, rows: list[dict], every: bool, sabotage: bool) -> None:
    groups: dict[tuple, list[dict]] = {}
    for row in rows:
        weight = (row["weight"], row["network"]) if every else ()
        groups.setdefault((row["rule"], row["edge"], row["phase"], row["quantity"], *weight), []).append(row)
    lines, failures, last = [], [], None
    for group in groups.values():
        worst = max(group, key=_badness)
        failed = sum(not row["passed"] for row in group)
        if worst["rule"] != last:
            last = worst["rule"]
            lines.append((Text(last, style="bold"), *[""] * 8))
        of = f" of {len(group)}" if len(group) > 1 else ""
        lines.append((
            f"  {_spaced(worst['edge'])}", worst["phase"], worst["weight"] + of, worst["quantity"],
            *(_number(worst[key]) for key in ("measured", "tolerance", "ratio", "norm")),
            Text("FAIL", style="bold red") if failed else Text("pass", style="green"),
        ))
        if failed:
            count = f"{failed} of {len(group)} fail; " if len(group) > 1 else ""
            failures.append(f"{last}, {_spaced(worst['edge'])}, {worst['quantity']}: {count}{worst['weight']} on "
                            f"{worst['network']}" + (f": {worst['note']}" if worst["note"] else ""))
    weight = "weight" if every else "worst weight"
    head = "rule, edge", "phase", weight, "quantity", "measured", "tolerance", "ratio", "norm", ""
    output.table("Edges", head, lines, "ratio: measured over tolerance. norm: of what was compared.")
    for failure in [] if sabotage else failures:
        output.print(f"FAIL {failure}", style="red")


def _summary(output: Output, rows: list[dict], sabotage: bool, seconds: float) -> None:
    if not rows:
        output.print("Nothing was measured, so nothing has been shown.", style="bold red")
        return
    failed = sum(not row["passed"] for row in rows)
    names = len({row["rule"] for row in rows})
    took = f"{names} rule{'s' * (names != 1)}, {seconds:.0f} s"
    if not sabotage:
        worst = max(rows, key=_badness)
        verdict = f"{failed} of {len(rows)} edges failed" if failed else f"All {len(rows)} edges passed"
        output.print(f"{verdict} ({took}); largest measured/tolerance {_number(worst['ratio'])}.",
                     style="bold red" if failed else "bold green")
        return
    caught: dict[tuple[str, str], bool] = {}
    for row in rows:
        place = row["rule"], row["edge"]
        caught[place] = caught.get(place, False) or not row["passed"]
    blind = [f"{rule}, {_spaced(edge)}" for (rule, edge), noticed in caught.items() if not noticed]
    noticed = f"{len(caught) - len(blind)} of {len(caught)} edges noticed"
    output.print(f"Sabotage: one sign was flipped, and {noticed} ({took}).",
                 style="bold red" if blind else "bold green")
    if blind:
        output.print(f"These did not notice, so they prove nothing: {'; '.join(blind)}.", style="red")


def _badness(row: dict) -> tuple[bool, float]:
    ratio = row["ratio"]
    return not row["passed"], inf if ratio is None or isnan(ratio) else ratio


def _spaced(edge: str) -> str:
    return edge.replace("=", " = ").replace("->", " -> ")


def _number(value: float | None) -> str:
    if value is None or isnan(value):
        return "none"
    return "0" if value == 0 else f"{value:.2g}"
