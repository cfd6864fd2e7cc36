"""From a plan to Brian2 objects, by executing the printed script."""

from __future__ import annotations

import linecache
import logging
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from neurolearn.circuit import script
from neurolearn.circuit.biology.crowd import units
from neurolearn.circuit.guards.findings import NUMBERS, Finding, Guards
from neurolearn.circuit.guards.seen import run
from neurolearn.circuit.plan import CircuitPlan
from neurolearn.errors import InputError, RuleError
from neurolearn.program import Program


@dataclass
class Circuit:
    """A built circuit. objects: Brian2 groups and synapses by name; network: Brian2's Network, to which monitors are added.

    Each layer is a NeuronGroup ``layer<k>`` (or one per population), each weight a Synapses of its name.
    """

    program: Program
    plan: CircuitPlan
    objects: dict
    network: object
    duration: object
    source: str = field(repr=False)
    guards: Guards = NUMBERS
    findings: list[Finding] = field(default_factory=list, repr=False)
    target: str = "numpy"

    def run(self, **options) -> None:
        """Simulate one presentation, all phases. options: of Brian2's ``Network.run``, such as ``report="text"``.

        Raises SimulationError if a signal is not finite, SaturationError if one is larger than its cells can send, and what
        else ``guards`` say; ``findings`` are those that were not raised.
        """
        self._aim()
        self.findings = run(self, self.guards, **options)

    def run_to_last_step(self) -> dict[str, np.ndarray]:
        """Simulate until just before the last read; {signal_cell: potential of the ON cells} there. ``run`` ends it."""
        from brian2 import second

        self._aim()
        whole = self.plan.period * self.plan.ticks
        self.network.run(whole * second, namespace={})
        self.duration = self.duration - whole * second
        return {
            f"{name[2:-3]}_{k}": np.array(getattr(self.objects[g.name], name)[:]).reshape(self.plan.copies, -1)
            for k, g in enumerate(self.plan.groups)
            for name in g.values
            if name.startswith("v_") and name.endswith("_on")
        }

    def _aim(self) -> None:
        """Brian2 makes its code when a run begins, for the target that is set then, whichever circuit was built last."""
        from brian2 import prefs

        prefs.codegen.target = self.target

    def record_spikes(self) -> None:
        """Add a monitor to every train of spikes; call it before ``run``."""
        from brian2 import EventMonitor

        for group in self.plan.groups:
            for event in group.events:
                name = f"monitor_{group.name}_{event}"
                self.objects[name] = EventMonitor(self.objects[group.name], event, name=name)
                self.network.add(self.objects[name])

    def spikes(self) -> dict[str, np.ndarray]:
        """{signal_cell: signed spikes (steps, batch, units), int8} of all monitored trains."""
        dt, found = self.plan.dt, {}
        steps = round(self.plan.period * self.plan.ticks / dt)
        for k, group in enumerate(self.plan.groups):
            for event in group.events:
                monitor, (signal, side) = self.objects[f"monitor_{group.name}_{event}"], event.rsplit("_", 1)
                train = found.setdefault(f"{signal}_{k}", np.zeros((steps, group.size), np.int8))
                at, cells = np.round(np.asarray(monitor.t_) / dt).astype(int), np.asarray(monitor.i)
                inside = at < steps
                np.add.at(train, (at[inside], cells[inside]), 1 if side == "on" else -1)
        return {name: train.reshape(steps, self.plan.copies, -1) for name, train in found.items()}

    def changes(self) -> dict[str, np.ndarray]:
        """{weight: change}: Brian2's own ``w`` (or bias) after the run minus before, averaged over the copies.

        What a weight learned in several Synapses (placement cells, from several presynaptic cells) is added up. Where a
        unit is several cells, a change is the mean over them.
        """
        found = {}
        rate = self.plan.namespace["learning_rate"][0]
        for name in self.program.plastic_weights():
            weight = self.program.weights[name]
            if weight.source is None:
                group = next(
                    g for g, c in zip(self.plan.groups, self.program.cells, strict=True) if name in c.biases.values()
                )
                bias = next(b for c in self.program.cells for b, w in c.biases.items() if w == name)
                after = np.asarray(getattr(self.objects[group.name], bias)[:])
                found[name] = (after - group.values[bias]).reshape(self.plan.copies, -1).mean(0) / rate
                continue
            synapses = next(s for s in self.plan.synapses if s.name == name)
            total = np.zeros(weight.shape)
            _, to, source = synapses.units
            np.add.at(total, (to, source), synapses.sign * (np.asarray(self.objects[name].w[:]) - synapses.w))
            whole = f"{weight.pathway}_{weight.target}_{weight.source}"
            found[whole] = found.get(whole, 0) + total / (self.plan.copies * rate)
        return {name: units(change, self.program.crowd) for name, change in found.items()}

    def facts(self) -> dict[str, float]:
        """What the run reports: seconds of simulated time and the settle residual (rate circuits)."""
        found = {"seconds": float(self.plan.period * self.plan.ticks)}
        if any(equation.startswith("left_") for group in self.plan.groups for equation in group.equations):
            found["residual"] = self._residual()
        else:
            found |= self._activity()
        return found

    def _residual(self) -> float:
        """Largest |input - I| over the compartments when a phase was read, relative to the largest current."""
        worst, scale = 0.0, 0.0
        for group, cell in zip(self.plan.groups, self.program.cells, strict=True):
            for compartment in cell.compartments:
                current = np.asarray(getattr(self.objects[group.name], compartment.name)[:])
                left = np.asarray(getattr(self.objects[group.name], f"left_{compartment.name}")[:])
                worst, scale = max(worst, left.max()), max(scale, np.abs(current).max())
        return float(worst / max(scale, 1e-300))

    def _activity(self) -> dict[str, float]:
        """Spikes of all cells, and Hz in the window; counted by the cells themselves."""
        counts = [
            np.asarray(getattr(self.objects[g.name], f"spikes_{event}")[:])
            for g in [*self.plan.groups, *self.plan.partners]
            for event in g.events
        ]
        every = np.concatenate(counts or [np.zeros(1)])  # a circuit in which every signal is graded sends none
        hz = every / (self.plan.period * self.plan.ticks)
        return {
            "spikes": int(every.sum()),
            "mean_hz": float(hz.mean()),
            "max_hz": float(hz.max()),
            "active": float((every > 0).mean()),
        }

    def save(self, path: str | Path) -> Path:
        """Write the script and, beside it, the .npz it reads; returns the script's path."""
        path = Path(path).with_suffix(".py")
        if not path.parent.is_dir():
            raise InputError(f"path is {str(path)!r}, and there is no folder {str(path.parent)!r}; make it, or give another.")
        path.write_text(self.source)
        np.savez(path.with_suffix(".npz"), **script.arrays(self.plan))
        return path


def execute(program: Program, plan: CircuitPlan, target: str = "numpy") -> Circuit:
    """Brian2 objects of a plan. target: numpy (no compiler needed) or cython."""
    try:
        return Circuit(program, plan, *objects(plan, target), target=target)
    except InputError:
        raise
    except Exception as error:
        raise _refused(program, error) from error


def objects(plan: CircuitPlan, target: str = "numpy"):
    """(Brian2 objects by name, Network, duration, source) of a plan, by running the source that is printed."""
    if target not in ("numpy", "cython"):
        raise InputError(f"target is {target!r}; choose numpy or cython.")
    source = script.text(plan)
    return (*executed(source, plan.title)["build"](script.arrays(plan), target), source)


class _Ours(logging.Filter):
    """Brian2 warns of every object that goes without having run: of a circuit that was built to be looked at, that is no news."""

    def filter(self, record: logging.LogRecord) -> bool:
        return "File '<neurolearn " not in record.getMessage()


logging.getLogger("brian2.core.base.unused_brian_object").addFilter(_Ours())


def executed(source: str, title: str) -> dict:
    """What a printed circuit defines; tracebacks and the debugger show its lines."""
    filename = f"<neurolearn {title}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    space = {"__name__": "neurolearn_circuit"}
    exec(compile(source, filename, "exec"), space)
    return space


def _refused(program: Program, error: Exception) -> RuleError:
    """What Brian2 objects to, with the line of the rule that its message names, if it names one."""
    lines = [
        line
        for cell in program.cells
        for s in cell.signals
        for line in s.lines.values()
        if re.search(rf"\b_?{s.name}\b", str(error))
    ]
    sentence = " ".join(str(error).split())[:300]
    return RuleError(
        f"Brian2 refuses the circuit: {sentence}", rule=program.name, line=lines[0] if lines else "", column=0
    )
