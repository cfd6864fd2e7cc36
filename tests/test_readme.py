"""The documents: every Python block runs as it stands, prints what stands below it, and quotes the examples unchanged."""

from __future__ import annotations

import io
import re
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from conftest import EXAMPLES, ROOT

from neurolearn import rules

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "analysis/README.md", ROOT / "models/README.md"]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!\w+:)([^)#]*)(#[^)]*)?\)")


def blocks(page: Path) -> list[tuple[int, str, str]]:
    """(number of the first line, language, text) of every fenced block."""
    text = page.read_text(encoding="utf-8")
    return [(text[: m.start()].count("\n") + 2, m[1], m[2]) for m in BLOCK.finditer(text)]


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_what_stands_in_a_document_runs_and_prints_what_stands_below_it(page, monkeypatch, tmp_path):
    """Blocks of one page share a namespace; a ``text`` block after a ``python`` block is what that one prints."""
    monkeypatch.chdir(tmp_path)
    namespace, printed = {"__name__": "document"}, None
    for line, language, text in blocks(page):
        if language == "text" and printed is not None:
            assert printed.rstrip() == text.rstrip(), f"{name(page)}, line {line}"
        printed = None
        if language == "python":
            out = io.StringIO()
            with redirect_stdout(out):  # the line numbers of an error are those of the page
                exec(compile("\n" * (line - 1) + text, str(page), "exec"), namespace)
            printed = out.getvalue()
    for quoted in set(namespace) & set(EXAMPLES):
        assert namespace[quoted] == EXAMPLES[quoted], f"{name(page)} quotes {quoted}, which docs/examples has differently"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page):
    missing = [target for target, _ in LINK.findall(page.read_text(encoding="utf-8"))
               if target and not (page.parent / target).exists()]
    assert not missing


def test_the_readme_has_a_row_for_every_rule():
    rows = re.findall(r"^\| `(\w+)` \|", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert rows == list(rules.ALL)
