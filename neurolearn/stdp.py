r"""Plasticity that only spikes drive: forms that a weight of a spiking circuit can take in place of its product.

A form is text: traces of the two cells' spikes, and what a spike at either end adds to the weight, given the traces.

    pair      $\Delta w = A_+ e^{-\Delta t/\tau_+}$ for $\Delta t \ge 0$ (post after pre), $-A_- e^{\Delta t/\tau_-}$ else,
              summed over all pairs of spikes.
    triplet   on a post spike $r_1 (A_2^+ + A_3^+ o_2)$, on a pre spike $-o_1 (A_2^- + A_3^- r_2)$; $r$ are traces of
              the pre cell ($\tau_+$, $\tau_x$), $o$ of the post cell ($\tau_-$, $\tau_y$), read before the spike's own kick.

Two spikes in the same time step count as pre before post. Times in seconds. Sources: Song, Miller and Abbott 2000,
doi:10.1038/78829 (its window has the shape that Bi and Poo 1998 measured); Pfister and Gerstner 2006,
doi:10.1523/JNEUROSCI.1425-06.2006.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import isfinite

from neurolearn import quantity
from neurolearn.equations import Expr, Reader, Span
from neurolearn.errors import InputError


@dataclass(frozen=True)
class Trace:
    """A variable of a synapse that decays with ``tau`` (s) and that a spike at ``side`` ("pre", "post") raises by 1.

    nearest: a spike sets it to 1 instead, so that only the nearest spike counts.
    """

    side: str
    tau: float
    nearest: bool = False

    def __post_init__(self) -> None:
        if self.side not in ("pre", "post"):
            raise InputError(f"Trace: side is {self.side!r}; choose pre or post.")
        object.__setattr__(self, "tau", quantity.si("Trace: tau", self.tau, "s"))


@dataclass(frozen=True)
class Form:
    """What spikes add to a weight. on_pre, on_post: expressions in the traces, the constants and the weight ``w``.

    A spike's expression is read before the spike raises the traces of its own side. reference: the source.
    Raises RuleError, with a caret, for what is not in the language or not at the synapse.
    """

    name: str
    traces: Mapping[str, Trace]
    on_pre: str = "0"
    on_post: str = "0"
    constants: Mapping[str, float] = field(default_factory=dict)
    reference: str = ""

    def __post_init__(self) -> None:
        reader = Reader(self.name, {}, dict.fromkeys(self.constants, "a constant"))
        for name in self.traces:
            reader.check_name(name, Span("traces", name, 0, 0))
        for name, value in self.constants.items():
            if not isfinite(value):
                raise InputError(f"{self.name}: the constant {name} is {value}; give a finite number.")
        self.expressions  # noqa: B018  read now, so that a fault shows where the form is made

    @cached_property
    def expressions(self) -> dict[str, Expr]:
        """{"pre": what a presynaptic spike adds, "post": what a postsynaptic one adds}."""
        reader = Reader(self.name, {})
        found = {}
        for side in ("pre", "post"):
            title, text = f"on_{side}", getattr(self, f"on_{side}")
            expr = reader.expression(text, Span(title, text, 0, 0))
            for node in expr.walk():
                if node.kind == "name" and node.value not in (*self.traces, *self.constants, "w"):
                    known = ", ".join((*self.traces, *self.constants, "w"))
                    raise node.span.error(f"{node.value!r} is not at this synapse; it has {known}.", self.name)
                if node.kind == "call" and node.value in ("f", "df", "inv", "sum"):
                    raise node.span.error(f"{node.value} belongs to a cell, not to a synapse.", self.name)
            found[side] = expr
        return found


def pair(
    A_plus: float = 0.005,
    A_minus: float = 0.00525,
    tau_plus: float = 20e-3,
    tau_minus: float = 20e-3,
    nearest: bool = False,
) -> Form:
    """Pair STDP, all-to-all. Defaults: Song, Miller and Abbott 2000 (weights in units of the largest one)."""
    return Form(
        "pair",
        {"r": Trace("pre", tau_plus, nearest), "o": Trace("post", tau_minus, nearest)},
        on_pre="-A_minus*o",
        on_post="A_plus*r",
        constants={"A_plus": A_plus, "A_minus": A_minus},
        reference="Song et al. 2000, doi:10.1038/78829",
    )


def triplet(
    A2_plus: float = 0.0,
    A3_plus: float = 6.5e-3,
    A2_minus: float = 7.1e-3,
    A3_minus: float = 0.0,
    tau_plus: float = 16.8e-3,
    tau_minus: float = 33.7e-3,
    tau_x: float = 101e-3,
    tau_y: float = 114e-3,
) -> Form:
    """The triplet rule, all-to-all. Defaults: the minimal model of visual cortex, Pfister and Gerstner 2006, Table 3.

    There A3_minus is 0 and tau_x has no effect; its value here is that of the full model, whose other figures are
    A2_plus 5e-10, A3_plus 6.2e-3, A2_minus 7e-3, A3_minus 2.3e-4, tau_y 125 ms.
    """
    return Form(
        "triplet",
        {
            "r1": Trace("pre", tau_plus),
            "r2": Trace("pre", tau_x),
            "o1": Trace("post", tau_minus),
            "o2": Trace("post", tau_y),
        },
        on_pre="-o1*(A2_minus + A3_minus*r2)",
        on_post="r1*(A2_plus + A3_plus*o2)",
        constants={"A2_plus": A2_plus, "A3_plus": A3_plus, "A2_minus": A2_minus, "A3_minus": A3_minus},
        reference="Pfister and Gerstner 2006, doi:10.1523/JNEUROSCI.1425-06.2006",
    )
