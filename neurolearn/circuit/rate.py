"""circuit.rate: rate units in Brian2. Each pathway call is a leaky compartment; graded signals cross the synapses."""

from __future__ import annotations

from neurolearn.circuit.plan import GroupPlan, Regular, SynapsesPlan
from neurolearn.circuit.skeleton import Skeleton
from neurolearn.circuit.text import signal_text
from neurolearn.program import Compartment, Path


class RateCircuit(Skeleton):
    """One period of the slow clock per phase; plasticity reads the settled signals at its end."""

    realisation = "rate circuit"

    @property
    def period_steps(self) -> int:
        """A phase settles, then it is read."""
        return self.timing.settle

    def compartment_equations(self, k: int, compartment: Compartment) -> list[str]:
        """A leaky current and one summed input for each edge."""
        inputs = [f"S_{compartment.name}_{n}" for n in range(len(compartment.paths))]
        tau = f"tau_{compartment.name}"
        return [
            f"d{compartment.name}/dt = ({' + '.join(inputs)} - {compartment.name})/{tau} : 1  # {compartment.call}",
            *(f"{name} : 1" for name in inputs),
            f"left_{compartment.name} : 1",
        ]

    def connect(self, synapses: SynapsesPlan, k: int, compartment: Compartment, index: int, path: Path) -> None:
        """A summed variable at the receiving end, in either direction of the synapse."""
        here, there = ("pre", "post") if path.reverse else ("post", "pre")
        weight = "" if path.kind != "weight" else "w*" if path.factor == 1 else f"{path.factor!r}*w*"
        signal = self._travels(path)
        synapses.model.append(f"S_{compartment.name}_{index}_{here} = {weight}{signal}_{there} : 1 (summed)")

    def _travels(self, path: Path) -> str:
        """Name of what a synapse reads. A formula is worked out once in its cell, not again in every synapse."""
        cell = self.program.cells[path.source]
        if not cell.has(path.signal):
            return path.signal
        signal = cell.signal(path.signal)
        if signal.kind == "differential" or signal_text(cell, signal).isidentifier():
            return path.signal
        group, name = self.plan.groups[path.source], f"axon_{path.signal}"
        if f"{name} : 1" not in group.equations:
            group.equations.append(f"{name} : 1")
            group.regular.append(Regular([f"{name} = {path.signal}"], 4, "fast"))
        return name

    def finish_group(self, k: int, group: GroupPlan) -> None:
        """Note, before anything is read, how far each current still is from its input: the settle residual."""
        code = []
        for c in self.program.cells[k].compartments:
            inputs = " + ".join(f"S_{c.name}_{n}" for n in range(len(c.paths)))
            code += [f"left_{c.name} *= int(tick > 0)"] if self.stream else []  # of this sample, all phases
            code.append(f"left_{c.name} += window_open*clip(abs({inputs} - {c.name}) - left_{c.name}, 0, inf)")
        if code:
            group.regular.append(Regular(code, -1))

    def read_name(self, side: str, signal: str, k: int) -> str:
        """The signal itself, settled."""
        return signal
