r"""How irregularly a coding cell fires: its threshold is drawn anew after every spike.

$\theta = v_{th} (1 - c - c \log u)$ with u uniform between 0 and 1: mean $v_{th}$, standard deviation $c\, v_{th}$. An
integrator with a steady drive so fires a renewal process whose intervals have the coefficient of variation c: clockwork
at 0, Poisson at 1, and in between a Poisson process with a silent time after each spike. The spike takes the threshold
that it crossed from its cell, so the mean rate is what it was, and the spikes of a long window scatter by
$c \sqrt{\mathrm{count}}$.
"""

from __future__ import annotations

import re

import numpy as np

from neurolearn.circuit.biology import lehmer
from neurolearn.circuit.plan import CircuitPlan
from neurolearn.draws import codes
from neurolearn.errors import InputError
from neurolearn.program import Program
from neurolearn.timing import Timing

DRIVEN = ("membrane", "own")  # kinds of code whose rate is no linear function of the threshold


def give(plan: CircuitPlan, program: Program, timing: Timing, kind: str, irregularity: float) -> None:
    """Make the coding cells of a spiking circuit irregular. Poisson input, which is drawn beforehand, stays as it is.

    Raises InputError for a rate circuit, and for cells whose rate is their own f-I curve.
    """
    if kind != "spiking":
        raise InputError("irregularity is of spikes; a rate circuit has none. Build kind='spiking'.")
    plan.namespace["irregularity"] = (irregularity, "")
    for code in codes(program, timing):
        group = plan.groups[code.cell]
        if code.kind in DRIVEN:
            raise InputError(
                f"irregularity: {code.signal} of {group.name} is the f-I curve of its cells, and a threshold that varies would "
                "change it; give them background noise instead."
            )
        for event in (f"{code.signal}_{side}" for side in ("on", "off")):
            if code.kind == "drawn" or event not in group.events:
                continue
            level, draw = f"level_{event}", f"draw_{event}"
            lehmer.seeded(group, draw, timing.seed)
            again = [*lehmer.turn(draw), f"{level} = 1 - irregularity - irregularity*log({lehmer.uniform(draw)})"]
            group.equations.append(f"{level} : 1")
            group.values[level] = 1 - irregularity - irregularity * np.log(lehmer.first(group, draw))
            for texts in (group.events, group.on_event):
                texts[event] = re.sub(r"\bv_th\b", f"(v_th*{level})", texts[event])
            group.on_event[event] += "; " + "; ".join(again)
