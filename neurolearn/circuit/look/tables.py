"""Tables of a circuit as text, Markdown, LaTeX and JSON. A number that has a unit keeps it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from neurolearn.errors import InputError

SUFFIXES = (".md", ".tex", ".json", ".txt")
PREFIXES = ((1e-9, "n"), (1e-6, "µ"), (1e-3, "m"), (1.0, ""), (1e3, "k"), (1e6, "M"))
LATEX = {
    "\\": r"\textbackslash{}", "_": r"\_", "&": r"\&", "%": r"\%", "#": r"\#", "$": r"\$", "{": r"\{", "}": r"\}",
    "^": r"\^{}", "~": r"\~{}", "µ": r"\textmu{}", "±": r"$\pm$", "→": r"$\to$", "·": r"$\cdot$", "<": r"$<$",
    ">": r"$>$", "*": r"$\cdot$", "Δ": r"$\Delta$", **{chr(0x2080 + n): f"$_{{{n}}}$" for n in range(10)},
}  # fmt: skip


@dataclass(frozen=True)
class Quantity:
    """A number with its SI unit ("s", "Hz")."""

    value: float
    unit: str

    def __str__(self) -> str:
        size = abs(self.value)
        if size == 0 or size >= 1e9 or (self.unit == "s" and size >= 1000):
            return f"{self.value:g} {self.unit}"
        scale, prefix = max((p for p in PREFIXES if p[0] <= size * (1 + 1e-9)), default=PREFIXES[0])
        return f"{self.value / scale:.6g} {prefix}{self.unit}"


Cell = str | int | float | Quantity


@dataclass(frozen=True)
class Section:
    """A titled table: names of the columns, and rows of as many cells."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def column(self, name: str) -> list[Cell]:
        """The cells under a name."""
        return [row[self.head.index(name)] for row in self.rows]

    def words(self) -> list[list[str]]:
        """Head and rows as text."""
        return [list(self.head), *([said(cell) for cell in row] for row in self.rows)]


@dataclass(frozen=True)
class Parameters:
    """The parameters of a circuit, section by section, in the manner of Nordlie, Gewaltig and Plesser 2009."""

    title: str
    sections: tuple[Section, ...]

    def __getitem__(self, title: str) -> Section:
        found = {section.title: section for section in self.sections}
        if title not in found:
            raise InputError(f"there is no section {title!r} here; choose one of {', '.join(found)}.")
        return found[title]

    def text(self) -> str:
        """Columns of plain text."""
        parts = [self.title]
        for section in self.sections:
            words = section.words()
            widths = [max(len(row[k]) for row in words) for k in range(len(section.head))]
            lines = ["  ".join(w.ljust(n) for w, n in zip(row, widths, strict=True)).rstrip() for row in words]
            parts.append("\n".join([section.title, "-" * max(map(len, lines)), *lines]))
        return "\n\n".join(parts) + "\n"

    def markdown(self) -> str:
        """Pipe tables, each under a heading."""
        parts = [f"# {self.title}"]
        for section in self.sections:
            rows = [[w.replace("|", "\\|").replace("*", "\\*") for w in row] for row in section.words()]
            rows.insert(1, ["---"] * len(section.head))
            parts.append("\n".join([f"## {section.title}", "", *(f"| {' | '.join(row)} |" for row in rows)]))
        return "\n\n".join(parts) + "\n"

    def latex(self) -> str:
        """Tables of the packages booktabs and tabularx, as wide as the text; the widest column wraps."""
        parts = [f"% {self.title}", "% needs \\usepackage{booktabs,tabularx}"]
        for section in self.sections:
            words = section.words()
            longest = [max(len(row[k]) for row in words) for k in range(len(section.head))]
            wide = sorted(range(len(longest)), key=lambda k: -longest[k])[: 2 if len(longest) > 3 else 1]
            columns = "".join(r">{\raggedright\arraybackslash}X" if k in wide else "l" for k in range(len(longest)))
            rows = [" & ".join(map(escaped, row)) + r" \\" for row in words]
            begin = rf"\begin{{tabularx}}{{\textwidth}}{{@{{}}{columns}@{{}}}}"
            title = rf"\multicolumn{{{len(longest)}}}{{@{{}}l@{{}}}}{{\textbf{{{escaped(section.title)}}}}} \\"
            body = [begin, r"\toprule", title, r"\midrule", rows[0], r"\midrule", *rows[1:], r"\bottomrule"]
            size = r"\small" if len(longest) < 8 else r"\scriptsize"
            parts.append("\n".join([r"\noindent" + size, *body, r"\end{tabularx}\par\medskip"]))
        return "\n\n".join(parts) + "\n"

    def json(self) -> dict:
        """What ``json.dumps`` takes: a number with a unit is {"value": SI, "unit": ...}."""
        return {
            "title": self.title,
            "sections": [
                {"title": s.title, "rows": [dict(zip(s.head, map(_plain, row), strict=True)) for row in s.rows]}
                for s in self.sections
            ],
        }

    def save(self, path: str | Path) -> Path:
        """Write Markdown, LaTeX, JSON or text, as the ending says. Raises InputError for another ending."""
        path = Path(path)
        forms = {
            ".md": self.markdown,
            ".tex": self.latex,
            ".txt": self.text,
            ".json": lambda: json.dumps(self.json(), indent=1, ensure_ascii=False) + "\n",
        }
        if path.suffix not in forms:
            raise InputError(f"path is {str(path)!r}; parameters are written as {', '.join(SUFFIXES)}.")
        if not path.parent.is_dir():
            raise InputError(f"path is {str(path)!r}, and there is no folder {str(path.parent)!r}; make it, or give another.")
        path.write_text(forms[path.suffix](), encoding="utf-8")
        return path


def said(cell: Cell) -> str:
    """A cell as text; numbers to four digits."""
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell)


def escaped(text: str) -> str:
    """Text for LaTeX."""
    return "".join(LATEX.get(letter, letter) for letter in text)


def _plain(cell: Cell) -> Mapping | Cell:
    return {"value": cell.value, "unit": cell.unit} if isinstance(cell, Quantity) else cell
