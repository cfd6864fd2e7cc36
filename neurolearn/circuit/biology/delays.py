"""Transmission delays: a spike that leaves at step k kicks what it reaches d steps after it would have without them.

In Brian2 a spike of step k reaches its synapses in the same step, and what it kicked is read at k + 1. A delay of d steps
is added to that. It is one number for each pathway of a Synapses object, on the way from the cell to the synapse.
"""

from __future__ import annotations

from collections.abc import Mapping

from neurolearn.circuit.plan import CircuitPlan
from neurolearn.errors import InputError
from neurolearn.program import Node, Program
from neurolearn.timing import Timing


def give(plan: CircuitPlan, program: Program, timing: Timing, kind: str, delays: Mapping[str, float]) -> None:
    """Put delays (seconds, rounded to steps) on the pathways of a plan, by "pathway" or "pathway.signal".

    Raises InputError for a rate circuit, an unknown pathway, a delay below half a step, and delays that leave a phase no time
    to settle.
    """
    if kind != "spiking":
        raise InputError(
            "delays are of spikes: Brian2 has no delayed continuous coupling, so a rate circuit cannot have them; "
            "build kind='spiking'."
        )
    carried = {key for s in plan.synapses for key in s.keys.values()}
    known = sorted(carried | {key.split(".")[0] for key in carried})
    for name, delay in delays.items():
        if name not in known:
            raise InputError(f"delays names {name!r}; the pathways that carry spikes here are {', '.join(known)}.")
        if delay < timing.dt / 2:
            raise InputError(
                f"the delay of {name} is {delay:g} s, less than half a step of {timing.dt:g} s; leave it out, or take a "
                "smaller dt."
            )
    steps = {key: round(delay_of(delays, key) / timing.dt) for key in carried}
    longest = _longest(program, steps)
    if longest >= timing.settle:
        raise InputError(
            f"delays add up to {longest * timing.dt:g} s along the longest way, and a phase settles for "
            f"{timing.settle * timing.dt:g} s; raise Timing.settle or shorten them."
        )
    for synapses in plan.synapses:
        synapses.delays |= {n: steps[key] * timing.dt for n, key in synapses.keys.items() if steps[key]}


def delay_of(delays: Mapping[str, float], key: str) -> float:
    """The delay of a call, or else of its pathway."""
    return delays.get(key, delays.get(key.split(".")[0], 0.0))


def _longest(program: Program, steps: Mapping[str, int]) -> int:
    """Steps of delay along the longest way between two signals; a loop is cut where a signal has a state of its own."""
    most = max(steps.values(), default=0)
    for phase in program.phases:
        late: dict[Node, int] = {}
        for node in program.order(phase, closed=False):
            cell = program.cells[node.cell]
            names = program.form(node, phase, closed=False).names()
            heard = [late.get(Node(node.cell, name), 0) for name in names]
            for c in cell.compartments:
                if c.name in names:
                    heard += [late.get(Node(p.source, p.signal), 0) + steps.get(c.key, 0) for p in c.paths]
            late[node] = max(heard, default=0)
        most = max(most, *late.values(), 0)
    return most
