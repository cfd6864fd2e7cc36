"""Which rules hold in which realisation? The table of cells, from a run of ``neurolearn verify --full --json``.

    neurolearn verify --rules all --full --json edges.json
    python analysis/cells.py --edges edges.json    # writes docs/cells.md and its figure

One row per rule, one column per edge: the largest ratio of measured to tolerance over nets, seeds and weights, and how many
statements stand behind it. Exits with 1 if any of them failed.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from pathlib import Path

import numpy as np

import neurolearn as nl
from neurolearn import figures

ROOT = Path(__file__).resolve().parent.parent
RESULTS, PAGE = ROOT / "analysis/results/edges.json.gz", ROOT / "docs/cells.md"
COLUMNS = {  # edge -> heading
    "circuit.rate=tensor.rate": "circuit.rate = tensor.rate",
    "circuit.spiking=tensor.spiking": "circuit.spiking = tensor.spiking",
    "spiking->rate": "spiking → rate",
    "limit": "limit",
}
HEAD = """# The table of cells

Every rule in every realisation, held against its neighbour: one run of `neurolearn verify --rules all --full`, of which
[analysis/cells.py](../analysis/cells.py) made this page. A number is the largest measured/tolerance over all nets, seeds
and weights of that edge (below 1 passes), and in brackets how many statements it is the largest of. Bins of spikes must be
equal, so they have no ratio: any unequal bin fails. [edges.md](edges.md) says what is measured and where the tolerances
come from. Order: the catalogue's.

![A map of the same numbers: rules by edges, all below 1](images/cells.png)
"""


def load(path: Path) -> list[dict]:
    """The rows of a verify run, plain or gzipped JSON."""
    opened = gzip.open(path, "rt") if path.suffix == ".gz" else path.open()
    with opened as file:
        return json.load(file)["edges"]


def cells(rows: list[dict]) -> dict[str, dict[str, tuple[float, int, int]]]:
    """{rule: {edge: (largest ratio, statements, failures)}} in the order of the run."""
    found: dict[str, dict[str, tuple[float, int, int]]] = {}
    for row in rows:
        worst, count, failed = found.setdefault(row["rule"], {}).get(row["edge"], (0.0, 0, 0))
        ratio = row["ratio"] if row["ratio"] is not None else float("inf")
        found[row["rule"]][row["edge"]] = (max(worst, ratio), count + 1, failed + (not row["passed"]))
    return found


def page(table: dict[str, dict[str, tuple[float, int, int]]]) -> str:
    """docs/cells.md."""
    lines = [HEAD, f"| rule | {' | '.join(COLUMNS.values())} |", f"| ---- {'| ---- ' * len(COLUMNS)}|"]
    for rule, edges in table.items():
        texts = [_cell(edges.get(edge)) for edge in COLUMNS]
        lines.append(f"| `{rule}` | {' | '.join(texts)} |")
    total = [cell for edges in table.values() for cell in edges.values()]
    failed = sum(cell[2] for cell in total)
    lines.append(
        f"\n{sum(cell[1] for cell in total)} statements about {len(table)} rules; "
        + (f"{failed} failed." if failed else "all hold.")
    )
    return "\n".join(lines) + "\n"


def _cell(cell: tuple[float, int, int] | None) -> str:
    if cell is None:
        return "none stated"
    worst, count, failed = cell
    return f"{worst:.2g} ({count})" + (f", **{failed} failed**" if failed else "")


def draw(table: dict[str, dict[str, tuple[float, int, int]]], ax) -> None:
    """The map: the exponent of the ratio as a shade, the ratio as a number."""
    ratios = np.array([[edges.get(edge, (np.nan,))[0] for edge in COLUMNS] for edges in table.values()])
    image = ax.imshow(np.log10(np.maximum(ratios, 1e-9)), cmap="cividis", vmin=-6, vmax=0, aspect="auto")
    for (k, n), ratio in np.ndenumerate(ratios):
        text = "none\nstated" if np.isnan(ratio) else f"{ratio:.1g}"
        ax.text(n, k, text, ha="center", va="center", fontsize=6, color="white" if ratio < 0.03 else "black")
    ax.set_xticks(range(len(COLUMNS)), [name.replace(" = ", "\n= ").replace(" → ", "\n→ ") for name in COLUMNS.values()])
    ax.set_yticks(range(len(table)), list(table))
    ax.tick_params(labelsize=7, length=0)
    ax.xaxis.tick_top()
    bar = ax.figure.colorbar(image, ax=ax, fraction=0.05, pad=0.02)
    bar.set_label("largest measured / tolerance", fontsize=7)
    bar.set_ticks([-6, -4, -2, 0], labels=["1e-6", "1e-4", "1e-2", "1"], fontsize=7)


def main() -> int:
    options = arguments()
    if not options.edges.is_file():
        raise nl.InputError(
            f"there is no file {options.edges}; run neurolearn verify --rules all --full --json {options.edges} first."
        )
    table = cells(load(options.edges))
    text = page(table)
    if not options.smoke:
        PAGE.write_text(text, encoding="utf-8")
    with figures.style():
        figure, ax = figures.new(1, 1, 6.5, 0.24 * len(table) + 1.2)
        draw(table, ax)
        print(text.split("\n\n", 3)[-1])
        print(f"figure: {figures.save(figure, options.out)}")
    return int(any(cell[2] for edges in table.values() for cell in edges.values()))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--edges", type=Path, default=RESULTS, help="JSON of neurolearn verify, .json or .json.gz")
    parser.add_argument("--out", type=Path, default=ROOT / "docs/images/cells.png", help="the figure")
    parser.add_argument("--smoke", action="store_true", help="leave docs/cells.md as it is")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except nl.NeurolearnError as error:
        print(f"cells: {error}", file=sys.stderr)
        sys.exit(2)
