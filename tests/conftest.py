"""Shared by the tests: the rules of the catalogue and of docs/examples, one small net and a batch for it."""

from __future__ import annotations

import gc
import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from neurolearn import data, rules
from neurolearn.network import Network, mlp
from neurolearn.rule import Rule

torch.set_num_threads(1)  # nets this small only lose by sharing

ROOT = Path(__file__).resolve().parent.parent


def load(path: Path) -> Rule:
    """The rule that a file of docs/examples defines; it has the file's name."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, path.stem)


EXAMPLES = {path.stem: load(path) for path in sorted((ROOT / "docs/examples").glob("*.py"))}
RULES = {**rules.ALL, **EXAMPLES}

NET = mlp([6, 5, 4, 3])


def small(rule: Rule, loss: str = "squared") -> Network:
    """A small network that the rule is for: ``NET`` if it takes any."""
    nets = rule.nets
    sizes = [5] * len(nets.shapes[0]) if len(set(nets.shapes[0])) == 1 else [6, 5, 4, 3][: len(nets.shapes[0])]
    return mlp([*sizes[:-1], 1] if nets.scalar else sizes, nets.activations[0], loss, nets.signed)


X = np.random.default_rng(1).random((2, 6))
TEACHER = np.eye(3)[[0, 2]]


def near(u: np.ndarray, v: np.ndarray) -> float:
    """How far u is from v, relative to v."""
    return float(np.linalg.norm(np.subtract(u, v)) / np.linalg.norm(v))


@pytest.fixture(scope="module")
def few():
    """A small part of yin-yang."""
    return data.load("yin_yang", limit=200)


@pytest.fixture(scope="module")
def unsynchronised():
    """Nothing here loses its power: what is written need not reach the disk."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        yield


def pytest_collection_finish(session) -> None:
    """What is imported by now is no garbage; Brian2 collects twice in every run, and would walk through it each time."""
    gc.freeze()
