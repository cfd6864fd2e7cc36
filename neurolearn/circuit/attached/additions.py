"""The plan of what a rule adds to a network that is there already: one compartment group for each of its layers.

It is the plan of a spiking circuit, placement "unit", without its forward pass. The forward current of a unit is the drive
of the user's cell, the rate is sent by the user's cell and heard by its own compartment, and a learned forward weight
keeps its place but carries no spike of that rate: the user's synapses do.
"""

from __future__ import annotations

from dataclasses import replace

from neurolearn.circuit.plan import CircuitPlan, GroupPlan, SynapsesPlan
from neurolearn.circuit.spiking import SpikingCircuit
from neurolearn.draws import Code
from neurolearn.errors import InputError
from neurolearn.program import Cell, Compartment, Path, Program
from neurolearn.timing import Timing

DRIVE = "hosted_drive"
OUTSIDE = {"data", "teacher", "polarity"}


class HostedCircuit(SpikingCircuit):
    """units: {cell: Hz of a signal of 1} of the user's cells. drives: {cell: (unit, text of the potential)}."""

    realisation = "added to a network"

    def __init__(self, program: Program, weights, given, timing: Timing, learning_rate: float, units, drives):
        self.drives = drives
        super().__init__(program, weights, given, timing, learning_rate)
        self.codes = [
            Code(c.cell, "rate", "heard", units[c.cell]) if c.signal == "rate" and c.cell in units else c
            for c in self.codes
        ]
        self._units()

    def build(self) -> CircuitPlan:
        """The plan, without forward synapses that neither learn nor carry anything of the rule."""
        plan = super().build()
        plan.synapses = [s for s in plan.synapses if s.on_pre or s.on_post or s.regular or "(summed)" in str(s.model)]
        return plan

    def _present(self, k: int, group: GroupPlan) -> tuple[list[str], list[str]]:
        """Presentation after presentation, without an end."""
        counting, latching = super()._present(k, group)
        return [*counting, f"tick *= int(tick < {self.ticks_per_sample})"], latching

    def compartment_equations(self, k: int, compartment: Compartment) -> list[str]:
        """The forward current is the drive of the user's cell."""
        if not forward(compartment):
            return super().compartment_equations(k, compartment)
        unit, text = self.drives[k]
        return [
            f"{compartment.name} = {text} : 1 (constant over dt)  # {compartment.call}",
            f"{DRIVE} : {unit} (linked)",
        ]

    def connect(self, synapses: SynapsesPlan, k: int, compartment: Compartment, index: int, path: Path) -> None:
        """Nothing for the forward pass, which the user's synapses carry."""
        if not forward(compartment):
            super().connect(synapses, k, compartment, index, path)


def forward(compartment: Compartment) -> bool:
    """Whether a compartment is the forward current: rates of the layers below through W."""
    return compartment.pathway == "W" and all(
        path.kind == "weight" and path.signal == "rate" and not path.reverse for path in compartment.paths
    )


def without_biases(program: Program) -> Program:
    """The program without what it would do to biases: the excitability of the user's cells is theirs."""
    return replace(program, plastics=tuple(p for p in program.plastics if p.source is not None))


def check(program: Program) -> None:
    """Refuses a rule that asks of the user's cells what nothing outside can do to them. Raises InputError."""
    derived = [w.name for w in program.derived()]
    if derived:
        raise InputError(
            f"{program.name} computes {derived[0]} from other weights whenever they have changed; nothing in a running "
            "network does that."
        )
    for k, cell in enumerate(program.cells):
        if cell.layer != k:
            raise InputError(f"{program.name} adds a population to {cell.title}; attach knows the layers only.")
        _check_rate(program, cell)
        outside = sorted(set(cell.externals) - OUTSIDE)
        if outside:
            raise InputError(
                f"{program.name}: {cell.title} needs {outside[0]} from outside; attach gives data and teacher."
            )
    for plastic in program.plastics:
        if plastic.target == 0:
            raise InputError(
                f"{program.name}: {plastic.weight} learns at the input, whose rate is known by its spikes only."
            )


def _check_rate(program: Program, cell: Cell) -> None:
    for name in ("rate", "potential"):
        if not cell.has(name):
            continue
        forms = set(cell.signal(name).forms.values())
        own = len(forms) == 1
        if own and cell.kind == "hidden" and name == "rate":
            form = next(iter(forms))
            own = form.kind == "call" and form.value == "f" and form.args[0].value == "potential"
        if not own:
            raise InputError(
                f"{program.name} sets {name} of {cell.title} itself; the rate of a cell that is there already is what its "
                "synapses make it."
            )
