"""neurolearn: write a biologically plausible learning rule once, run it four ways, judge it against backprop."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("neurolearn")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"

_HOME = {
    "Rule": "rule",
    "Phase": "rule",
    "Pathway": "rule",
    "Tied": "rule",
    "Normal": "rule",
    "Uniform": "rule",
    "Mean": "rule",
    "Orthogonal": "rule",
    "Diagonal": "rule",
    "Population": "rule",
    "Nets": "rule",
    "Identity": "rule",
    "Limit": "rule",
    "Expectation": "rule",
    "Network": "network",
    "Connection": "network",
    "mlp": "network",
    "lif": "activations",
    "leaky_relu": "activations",
    "Timing": "timing",
    "Baseline": "timing",
    "update": "changes",
    "WeightChange": "changes",
    "verify": "edges",
    "NeurolearnError": "errors",
    "InputError": "errors",
    "RuleError": "errors",
    "SettlingError": "errors",
    "SaturationError": "errors",
    "RunError": "errors",
}
_MODULES = (
    "activations",
    "circuit",
    "compare",
    "data",
    "edges",
    "information",
    "ledger",
    "observer",
    "plots",
    "rules",
    "runs",
    "stdp",
    "streams",
    "tensor",
    "timescales",
    "training",
)

__all__ = ["__version__", *_HOME, *_MODULES]


def __getattr__(name: str):
    """Public names are imported when they are first used: no simulator is loaded until one is asked for."""
    if name in _HOME:
        return getattr(import_module(f"neurolearn.{_HOME[name]}"), name)
    if name in _MODULES:
        return import_module(f"neurolearn.{name}")
    raise AttributeError(f"module 'neurolearn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
