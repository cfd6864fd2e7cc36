"""Printed source is executed source: the one place where generated torch text becomes a function."""

from __future__ import annotations

import linecache

import torch

from neurolearn.tensor.settle import settle, settle_synapse


def function(source: str, name: str, title: str):
    """The function ``name`` defined by ``source``, registered so that tracebacks show its lines."""
    filename = f"<neurolearn {title}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    space = {"torch": torch, "settle": settle, "settle_synapse": settle_synapse}
    exec(compile(source, filename, "exec"), space)
    return space[name]
