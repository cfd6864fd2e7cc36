r"""Cells that differ: thresholds and time constants drawn for each cell, log-normal with mean 1 times what they were.

$x_i = \exp(s z_i - s^2/2)$ with $s^2 = \log(1 + h^2)$: mean 1, standard deviation h. All copies of the network have the
same cells. A spike brings the same charge into every current: $w / (U \tau_i)$ for a cell with $\tau_i$. So time constants
change how fast a signal arrives and not what arrives; a threshold $\theta_i$ does: an integrator's gain is $1/\theta_i$.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from neurolearn.circuit.plan import CircuitPlan, GroupPlan, SynapsesPlan
from neurolearn.draws import Code, codes
from neurolearn.errors import InputError
from neurolearn.program import Program
from neurolearn.streams import stream
from neurolearn.timing import Timing

WHAT = ("threshold", "membrane", "synapse")


def give(plan: CircuitPlan, program: Program, timing: Timing, kind: str, spread: Mapping[str, float]) -> None:
    """Let cells differ by ``spread``: {"threshold", "membrane" or "synapse": relative standard deviation}.

    A rate circuit has synaptic time constants only. Raises InputError for a time constant below two steps.
    """
    found = codes(program, timing) if kind == "spiking" else []
    own: dict[tuple[str, str], str] = {}
    for k, (group, cell) in enumerate(zip(plan.groups, program.cells, strict=True)):

        def drawn(what: str, name: str, group=group) -> np.ndarray:
            return factors(spread.get(what, 0.0), group.size // plan.copies, timing.seed, group.name, name)

        mine = [c for c in found if c.cell == k]
        if mine and spread.get("threshold"):
            group.values["v_th"] = group.values["v_th"] * np.tile(drawn("threshold", "v_th"), plan.copies)
        if mine and spread.get("membrane"):
            _membranes(plan, group, mine, timing, drawn)
        for c in cell.compartments:
            if spread.get("synapse") and c.paths[0].kind != "broadcast":
                tau = timing.tau_of(c.key) * drawn("synapse", c.name)
                own[group.name, c.name] = _own(plan, group, f"tau_{c.name}", tau, timing.dt)
    for synapses in plan.synapses:
        _same_charge(synapses, own)


def factors(spread: float, size: int, seed: int, *names: str) -> np.ndarray:
    """(size,) log-normal numbers of mean 1 and standard deviation ``spread``, from a named stream."""
    width = np.sqrt(np.log1p(spread**2))
    return np.exp(width * stream(seed, "heterogeneity", *names).standard_normal(size) - width**2 / 2)


def _own(plan: CircuitPlan, group: GroupPlan, name: str, tau: np.ndarray, dt: float, text: str | None = None) -> str:
    """Replace a time constant (or ``text``) in a group's equations by a number of seconds of each cell; returns its name."""
    if tau.min() < 2 * dt:
        raise InputError(
            f"heterogeneity: {name} of a cell of {group.name} is drawn as {tau.min():.2g} s, less than two steps of {dt:g} s; "
            "take a smaller dt or less spread."
        )
    pattern = re.escape(text) if text else rf"\b{name}\b"
    group.equations = [re.sub(pattern, f"(own_{name}*second)", line) for line in group.equations]
    group.equations.append(f"own_{name} : 1 (constant)")
    group.values[f"own_{name}"] = np.tile(tau, plan.copies)
    return f"own_{name}"


def _membranes(plan: CircuitPlan, group: GroupPlan, mine: list[Code], timing: Timing, drawn) -> None:
    for code in mine:
        if code.kind == "membrane":
            tau, text = code.membrane.tau_m, f"({code.membrane.tau_m!r}*second)"
            _own(plan, group, f"tau_m_{code.signal}", tau * drawn("membrane", f"tau_m_{code.signal}"), timing.dt, text)
    if any(re.search(r"\btau_mem\b", line) for line in group.equations):
        _own(plan, group, "tau_mem", timing.membrane[0] * drawn("membrane", "tau_mem"), timing.dt)


def _same_charge(synapses: SynapsesPlan, own: Mapping[tuple[str, str], str]) -> None:
    """Scale the kick into a current by its usual time constant over the cell's own."""
    for ways, end, cells in ((synapses.on_pre, "post", synapses.target), (synapses.on_post, "pre", synapses.source)):
        for name, code in ways.items():
            for (group, current), tau in own.items():
                if group == cells:
                    kick = rf"\b({current}_{end} [+-]= [^;]+)"
                    code = re.sub(kick, rf"\1*(tau_{current}/({tau}_{end}*second))", code)
            ways[name] = code
