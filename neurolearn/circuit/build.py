"""From a plan to Brian2 objects, by executing the printed script."""

from __future__ import annotations

import linecache
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from neurolearn.circuit import script
from neurolearn.circuit.plan import CircuitPlan
from neurolearn.errors import InputError
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

    def run(self, **options) -> None:
        """Simulate one presentation, all phases. options: of Brian2's ``Network.run``, such as ``report="text"``."""
        self.network.run(self.duration, namespace={}, **options)
        self._finite()

    def _finite(self) -> None:
        for group in self.plan.groups:
            for signal in self.program.cells[[c.title for c in self.program.cells].index(group.name)].signals:
                if not np.isfinite(np.asarray(getattr(self.objects[group.name], signal.name)[:])).all():
                    raise InputError(f"{signal.name} of {group.name} is not finite: the circuit is unstable or dt "
                                     f"({self.plan.dt} s) is too coarse.")

    def changes(self) -> dict[str, np.ndarray]:
        """{weight: change}: Brian2's own ``w`` (or bias) after the run minus before, averaged over the copies."""
        found = {}
        rate = self.plan.namespace["learning_rate"][0]
        for name in self.program.plastic_weights():
            weight = self.program.weights[name]
            if weight.source is None:
                group = next(g for g, c in zip(self.plan.groups, self.program.cells) if name in c.biases.values())
                bias = next(b for c in self.program.cells for b, w in c.biases.items() if w == name)
                after = np.asarray(getattr(self.objects[group.name], bias)[:])
                found[name] = (after - group.values[bias]).reshape(self.plan.copies, -1).mean(0) / rate
                continue
            synapses = next(s for s in self.plan.synapses if s.name == name)
            total = np.zeros(weight.shape)
            _, to, source = synapses.units
            np.add.at(total, (to, source), np.asarray(self.objects[name].w[:]) - synapses.w)
            found[name] = total / (self.plan.copies * rate)
        return found

    def save(self, path: str | Path) -> Path:
        """Write the script and, beside it, the .npz it reads; returns the script's path."""
        path = Path(path).with_suffix(".py")
        path.write_text(self.source)
        np.savez(path.with_suffix(".npz"), **script.arrays(self.plan))
        return path


def build(program: Program, plan: CircuitPlan, target: str = "numpy") -> Circuit:
    """Brian2 objects of a plan. target: numpy (no compiler needed) or cython."""
    if target not in ("numpy", "cython"):
        raise InputError(f"target is {target!r}; choose numpy or cython.")
    source = script.text(plan)
    filename = f"<neurolearn {plan.title}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    space = {"__name__": "neurolearn_circuit"}
    exec(compile(source, filename, "exec"), space)
    objects, network, duration = space["build"](script.arrays(plan), target)
    return Circuit(program, plan, objects, network, duration, source)
