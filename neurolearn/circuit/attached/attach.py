"""Learning for a network that is there already: a rule's feedback, error compartments and plasticity, added from outside.

Brian2 cannot add equations to a group or to synapses, so each layer gets a group of compartments, one for each cell, and
each forward Synapses gets a twin with the same pairs of cells:

* compartment i belongs to cell i: it reads that cell's own drive (a linked variable, within the cell) and hears that
  cell's own spikes (one to one, as a dendrite does); between cells there are only spikes;
* the twin is the plastic part of a synapse: it reads its postsynaptic compartment and the count of its presynaptic
  cell's spikes, and its ``w`` is written into the user's weight of the same synapse, whenever a window has closed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from brian2 import BrianObject, Clock, NeuronGroup, Quantity, Synapses, hertz, linked_var, second

from neurolearn import activations, quantity, ties
from neurolearn.changes import prepare
from neurolearn.circuit.attached import additions
from neurolearn.circuit.attached.host import Drive, Host
from neurolearn.circuit.own.cell import unit_text
from neurolearn.circuit.plan import CircuitPlan, GroupPlan, Regular, SynapsesPlan
from neurolearn.errors import InputError
from neurolearn.program import Program
from neurolearn.timing import Timing

UNITS = {"": 1.0, "second": second, "hertz": hertz}


@dataclass
class Attached:
    """What ``attach`` added. objects: Brian2's, by name: a group of compartments ``learn_layer<k>`` for each layer, the
    twin ``learn_W_<to>_<from>`` of each learning Synapses, and the synapses between compartments.

    presentation: how long a sample is held: settling and window, of every phase. The last window is read in the step
    after it: run one step more, ``dt``, before the weights are looked at for the last time.
    """

    program: Program
    plan: CircuitPlan
    objects: dict[str, BrianObject]
    presentation: Quantity
    dt: Quantity
    gains: Mapping[str, float] = field(repr=False)
    started: Mapping[str, np.ndarray] = field(repr=False)

    @property
    def added(self) -> list[BrianObject]:
        """For the user's network: ``network.add(attached.added)``."""
        return list(self.objects.values())

    def teach(self, teacher) -> None:
        """Set the teacher (units of the last layer,) of the presentations that follow."""
        name = self.program.cells[-1].title
        group = self.objects[f"learn_{name}"]
        if np.shape(teacher) != (len(group),):
            raise InputError(f"teacher has shape {np.shape(teacher)}; {name} needs ({len(group)},).")
        if not np.isfinite(np.asarray(teacher, float)).all():
            raise InputError(f"teacher is {teacher!r}; give finite numbers.")
        group.teacher = np.asarray(teacher, float)

    def changes(self) -> dict[str, np.ndarray]:
        """{weight: (to, from)}: change since ``attach``, per learning rate, in the numbers of the rate network."""
        found = {}
        for name in self.program.plastic_weights():
            _, to, source = next(s.units for s in self.plan.synapses if s.name == name)
            found[name] = np.zeros(self.program.weights[name].shape)
            found[name][to, source] = np.asarray(self.objects[f"learn_{name}"].w[:]) - self.started[name][to, source]
            found[name] /= self.plan.namespace["learning_rate"][0]
        return found


def attach(
    rule,
    groups: Sequence[NeuronGroup],
    synapses: Sequence[Synapses],
    *,
    activation: activations.Activation | str,
    area,
    input_unit,
    drive: Drive | None = None,
    output: Drive | None = None,
    weight: str = "w",
    timing: Timing | None = None,
    weights: Mapping[str, np.ndarray] | None = None,
    learning_rate: float = 1e-2,
    seed: int = 0,
) -> Attached:
    """Add a rule to a network of the user's; returns the added objects, which go into the user's Network.

    groups: one for each layer, input first; all but the last spike. synapses: the forward Synapses between them, connected,
    with a ``weight`` that nothing else writes. activation: of the hidden groups, ``measured`` from their cell, or
    ``lif``. drive: of the hidden groups; default is that of the measured cell. output: of the last group; default is
    ``drive``. The output that is compared with the teacher is the potential of the last group. area: time integral of the
    drive after one spike through a weight of 1; ``tau`` where ``dI/dt = -I/tau`` and ``I_post += w``. input_unit: rate of
    the input that counts as a signal of 1. weights: of the added pathways, by name; the others are drawn from ``seed``.
    Raises InputError, which says what a group or Synapses lacks.
    """
    learning_rate = quantity.si("attach: learning_rate", learning_rate)
    host = Host(list(groups), list(synapses), weight, activations.get(activation), drive, output, area, input_unit)
    timing = timing or Timing(dt=host.dt, settle=round(1 / host.dt), window=round(1 / host.dt))
    if abs(timing.dt - host.dt) > 1e-9 * host.dt:
        raise InputError(
            f"timing has steps of {timing.dt:g} s and the groups have steps of {host.dt:g} s; they run together."
        )
    start = host.weights()
    sizes = [np.zeros((1, len(g))) for g in (groups[0], groups[-1])]
    program, drawn, given = prepare(rule, host.network(), *sizes, {**(weights or {}), **start}, seed=seed)
    additions.check(program)
    program, drawn = additions.without_biases(program), ties.complete(program, drawn)
    drawn |= {name: np.zeros_like(drawn[name]) for cell in program.cells for name in cell.biases.values()}
    options = (learning_rate, host.units(), host.drives())
    plan = additions.HostedCircuit(program, drawn, given, timing, *options).build()
    slow = Clock(dt=plan.period * second, name="learn_slow*")
    objects = _Objects(host, program, plan, slow).made()
    facts = (plan.period * plan.ticks * second, timing.dt * second)
    return Attached(program, plan, objects, *facts, host.gains(), {n: drawn[n] for n in program.plastic_weights()})


class _Objects:
    """Brian2 objects of a plan beside the user's."""

    def __init__(self, host: Host, program: Program, plan: CircuitPlan, slow: Clock):
        self.host, self.program, self.plan, self.slow = host, program, plan, slow
        self.fast = host.groups[0].clock
        self.space = {name: value * UNITS[unit] for name, (value, unit) in plan.namespace.items()}
        self.objects: dict[str, BrianObject] = {}

    def made(self) -> dict[str, BrianObject]:
        for k, (cell, group) in enumerate(zip(self.program.cells, self.plan.groups, strict=True)):
            self._group(k, group)
            if "rate_on" in group.events and "heard_rate : 1" in group.equations:
                self._hear(k, cell.title)
        for synapses in self.plan.synapses:
            self._synapses(synapses)
            if synapses.name in self.host.names and synapses.regular:
                self._write(synapses)
        return self.objects

    def _group(self, k: int, plan: GroupPlan) -> None:
        name, constants = f"learn_{plan.name}", self.host.constants(k)
        both = sorted(set(constants) & (set(self.space) | {line.split()[0] for line in plan.equations}))
        if both:
            raise InputError(
                f"attach: the drive of {self.host.groups[k].name} is computed with {both[0]!r}, a name that {self.program.name} "
                "has too; give it another name in your group."
            )
        group = NeuronGroup(
            plan.size,
            "\n".join(plan.equations),
            method=plan.method,
            clock=self.fast,
            namespace=self.space | constants,
            events=plan.events,
            name=name,
        )
        for event, code in plan.on_event.items():
            group.run_on_event(event, code)
        if additions.DRIVE in group.equations:
            setattr(group, additions.DRIVE, linked_var(self.host.groups[k], self.host.drive_of(k).variable))
        for variable, value in plan.values.items():
            setattr(group, variable, value)
        self._regular(group, plan.regular)
        self.objects[name] = group

    def _hear(self, k: int, title: str) -> None:
        """Each cell's spikes reach its own compartment."""
        name = f"learn_spikes_of_{title}"
        found = Synapses(
            self.host.groups[k],
            self.objects[f"learn_{title}"],
            on_pre="heard_rate_post += 1",
            clock=self.fast,
            name=name,
        )
        found.connect(j="i")
        self.objects[name] = found

    def _synapses(self, plan: SynapsesPlan) -> None:
        name = f"learn_{plan.name}"
        ways = {key: value for key in ("on_pre", "on_post", "on_event") if (value := getattr(plan, key))}
        found = Synapses(
            self.objects[f"learn_{plan.source}"],
            self.objects[f"learn_{plan.target}"],
            "\n".join(plan.model),
            method="euler",
            clock=self.fast,
            namespace=self.space,
            name=name,
            **ways,
        )
        found.connect(i=plan.i, j=plan.j)
        if any("clock-driven" in line for line in plan.model):
            found.state_updater.order = -2
        if plan.w is not None:
            found.w = plan.w
        self._regular(found, plan.regular)
        self.objects[name] = found

    def _regular(self, owner: BrianObject, regular: list[Regular]) -> None:
        for part in sorted(regular, key=lambda r: r.order):
            code = "\n".join(part.code)
            owner.run_regularly(
                code, clock=self.slow, when="start", order=part.order, name=f"{owner.name}_slow_{part.order}*"
            )

    def _write(self, plan: SynapsesPlan) -> None:
        """The twin's weight is the user's, synapse by synapse."""
        theirs, name = self.host.synapses[self.host.names.index(plan.name)], f"learn_write_{plan.name}"
        _, to, source = plan.units
        place = {pair: n for n, pair in enumerate(zip(np.asarray(theirs.j), np.asarray(theirs.i), strict=True))}
        dimensions = theirs.variables[self.host.weight].dim
        found = Synapses(
            self.objects[f"learn_{plan.name}"],
            theirs,
            f"{self.host.weight}_post = w_pre*per_unit : {unit_text(dimensions)} (summed)",
            clock=self.slow,
            namespace={"per_unit": Quantity(1 / self.host.gains()[plan.name], dim=dimensions)},
            name=name,
        )
        found.connect(i=np.arange(len(to)), j=np.array([place[pair] for pair in zip(to, source, strict=True)]))
        self.objects[name] = found
