"""neurolearn verify on the command line."""

from __future__ import annotations

import math
import re

import pytest
from test_cli import good, run, strict, terminal  # noqa: F401  (a fixture of every test)

from neurolearn import edges

# -- verify ------------------------------------------------------------------------------------------------------------


def edge(measured=1e-12, rule="backprop", name=edges.RATE, weight="W_1_0", tolerance=1e-8, norm=0.5, note=""):
    network = "12-10-8-4 tanh seed 1"
    return edges.Edge(rule, network, name, "learn", weight, "relative error", measured, tolerance, norm, note)


@pytest.fixture
def measured(monkeypatch):
    """Replaces the measurement: ``measured(edges...)`` gives them to verify; calls are kept in ``measured.calls``."""
    calls = []

    def give(*found):
        def fake(chosen, *, full, sabotage, progress):
            calls.append(([rule.name for rule in chosen], full, sabotage))
            for rule in chosen:
                progress(rule.name, edges.RATE)
            print("a simulator that talks")
            return list(found)

        monkeypatch.setattr(edges, "verify", fake)

    give.calls = calls
    return give


def test_verify_passes(measured):
    measured(edge(), edge(1e-10, weight="W_2_1"), edge(1e-15, name=edges.SPIKES))
    done = good("verify", "--rules", "backprop")
    assert measured.calls == [(["backprop"], False, False)]
    line = r"circuit.rate = tensor.rate +learn +W_2_1 of 2 +relative error +1e-10 +1e-08 +0.01 +0.5 +pass"
    assert re.search(line, done.stdout)
    assert "All 3 edges passed (1 rule, 0 s); largest measured/tolerance 0.01." in done.stdout
    assert "FAIL" not in done.stdout and "talks" in done.stderr


def test_verify_fails_with_1_and_says_what(measured):
    vanished = edge(norm=0.0, name=edges.LIMIT)
    measured(edge(), edge(1e-3, weight="W_2_1", note="residual 3e-4"), vanished, edge(weight="b_1"))
    done = run("verify", "--rules", "backprop", "--full")
    assert done.exit_code == 1
    assert measured.calls == [(["backprop"], True, False)]
    assert re.search(r"W_2_1 of 3 .* FAIL", done.stdout)
    assert "1 of 3 fail; W_2_1 on 12-10-8-4 tanh seed 1: residual 3e-4" in done.stdout
    assert "2 of 4 edges failed" in done.stdout


def test_verify_all_has_a_line_for_each_weight(measured):
    measured(edge(), edge(weight="W_2_1"))
    assert len(re.findall("pass", good("verify", "--all").stdout)) == 3  # two lines and the summary
    assert len(re.findall("pass", good("verify").stdout)) == 2


def test_verify_json(measured, tmp_path):
    found = [edge(), edge(math.nan, weight="W_2_1"), edge(math.inf, weight="b_1")]
    measured(*found)
    done = run("verify", "--json", "-")
    assert done.exit_code == 1
    written = strict(done.stdout)
    assert list(written) == ["edges"] and len(written["edges"]) == 3
    assert written["edges"][0] == found[0].json()
    assert written["edges"][1]["measured"] is None and written["edges"][2]["ratio"] is None
    assert [row["passed"] for row in written["edges"]] == [True, False, False]
    assert "Edges" in done.stderr
    run("verify", "--json", tmp_path / "edges.json")
    assert strict((tmp_path / "edges.json").read_text()) == written


def test_verify_sabotage_fails_and_names_the_edge_that_did_not_notice(measured):
    measured(edge(2.0), edge(1e-12, weight="W_2_1"), edge(name=edges.LIMIT))
    done = run("verify", "--sabotage")
    assert done.exit_code == 1 and measured.calls[-1][-1] is True
    assert "1 of 2 edges noticed" in done.stdout and "backprop, limit" in done.stdout


def test_nothing_measured_is_not_a_pass(measured):
    measured()
    done = run("verify")
    assert done.exit_code == 1 and "Nothing was measured" in done.stdout
