"""What rate and spiking circuits share: clocks, phases, groups with their equations, and the read of a window."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np

from neurolearn.circuit.plan import CircuitPlan, GroupPlan, Regular, Stream, SynapsesPlan, block_indices
from neurolearn.circuit.text import bare, brian_text, signal_text
from neurolearn.equations import Expr
from neurolearn.program import Compartment, Path, Plastic, Program
from neurolearn.timing import Timing

RUNNING = ("baseline_", "usual_")  # means over many samples, of the coding ``baseline``


class Skeleton(ABC):
    """Builds a CircuitPlan from a Program; ``rate`` and ``spiking`` say what crosses a pathway and what is read."""

    realisation = ""

    def __init__(
        self,
        program: Program,
        weights: Mapping[str, np.ndarray],
        given: Mapping[str, np.ndarray],
        timing: Timing,
        learning_rate: float = 1.0,
        stream: Stream | None = None,
    ):
        self.program, self.weights, self.given, self.timing, self.stream = program, weights, given, timing, stream
        self.copies = 1 if stream else len(given["data_0"])
        ticks = self.ticks_per_sample * (stream.samples if stream else 1)
        how = f"{stream.samples} samples in turn" if stream else f"{self.copies} sample(s) side by side"
        self.plan = CircuitPlan(
            title=f"{program.name} on {program.network}: {self.realisation}, {how}",
            copies=self.copies,
            dt=timing.dt,
            period=self.period_steps * timing.dt * (1 - _early(ticks, self.period_steps) if stream else 1),
            ticks=ticks,
            namespace=self._namespace(learning_rate),
        )

    # -- what differs between rate and spiking ---------------------------------------------------------------------

    @property
    @abstractmethod
    def period_steps(self) -> int:
        """Steps of the fast clock per tick of the slow one."""

    @property
    def ticks_per_phase(self) -> int:
        """Ticks of the slow clock per phase; the last one closes the window."""
        return 1

    @abstractmethod
    def compartment_equations(self, k: int, compartment: Compartment) -> list[str]:
        """Equations of one compartment of cell k."""

    @abstractmethod
    def connect(self, synapses: SynapsesPlan, k: int, compartment: Compartment, index: int, path: Path) -> None:
        """Make ``synapses`` carry one path of a compartment of cell k."""

    @abstractmethod
    def read_name(self, side: str, signal: str, k: int) -> str:
        """Variable of a group that plasticity reads for a signal at its post or pre end."""

    @abstractmethod
    def finish_group(self, k: int, group: GroupPlan) -> None:
        """Last additions to the group of cell k."""

    # -- clocks and phases -----------------------------------------------------------------------------------------

    @property
    def ticks_per_sample(self) -> int:
        """Ticks of the slow clock per sample: all phases."""
        return self.ticks_per_phase * len(self.program.phases)

    def _schedule(self) -> dict[str, str]:
        """Held variable -> its value at a tick of the slow clock."""
        phases, each = self.program.phases, self.ticks_per_phase
        ends = [n * each + each - 1 for n in range(len(phases))]
        there = "present*" if self.stream else ""
        opened = " + ".join(f"int(tick == {end})" for end in ends)
        return {
            **({"present": "int(sample < count)"} if self.stream else {}),
            **{
                f"during_{name}": f"{there}int(tick >= {n * each})*int(tick < {(n + 1) * each})"
                for n, name in enumerate(phases)
            },
            "window_open": f"{there}({opened})" if there else opened,
            "last_window": f"{there}int(tick == {self.ticks_per_sample - 1})",
        }

    def _namespace(self, learning_rate: float) -> dict[str, tuple[float, str]]:
        timing, space = self.timing, {}
        for name, value in self.program.constants.items():
            space[name] = (value, "")
        for name, multiple in self.program.times.items():
            space[name] = (multiple * timing.tau, "second")
        for compartment in (c for cell in self.program.cells for c in cell.compartments):
            space[f"tau_{compartment.name}"] = (timing.tau_of(compartment.key), "second")
        if not self.stream:
            space["learning_rate"] = (learning_rate, "")
        return dict(sorted(space.items()))

    # -- groups ----------------------------------------------------------------------------------------------------

    def build(self) -> CircuitPlan:
        """The finished plan."""
        self.plan.groups = [self._group(k) for k in range(len(self.program.cells))]
        for k, cell in enumerate(self.program.cells):
            for compartment in cell.compartments:
                for index, path in enumerate(compartment.paths):
                    self.connect(self._synapses(k, compartment, path), k, compartment, index, path)
        for plastic in self.program.plastics:
            if plastic.source is not None:
                self._plastic(plastic)
        for synapses in self.plan.synapses:
            self._consolidate(synapses)
        for k, group in enumerate(self.plan.groups):
            self.finish_group(k, group)
            if self.stream and self.stream.resets:
                self._resets(group)
        return self.plan

    def _group(self, k: int) -> GroupPlan:
        cell, copies = self.program.cells[k], self.copies
        group = GroupPlan(cell.title, f"{cell.kind} layer", copies * cell.size)
        for compartment in cell.compartments:
            group.equations += self.compartment_equations(k, compartment)
        for signal in cell.signals:
            text, line = signal_text(cell, signal), next(iter(signal.lines.values()))
            left = f"d{signal.name}/dt" if signal.kind == "differential" else signal.name
            group.equations.append(f"{left} = {text} : 1  # {line}")
        turn = self._stream(k, group) if self.stream else self._present(k, group)
        for name, weight in cell.biases.items():
            group.equations.append(f"{name} : 1")
            group.values[name] = np.tile(self.weights[weight], copies)
        schedule = self._schedule()
        group.equations += [f"{name} : 1 (shared)" for name in ("tick", *schedule)]
        group.values["tick"] = np.array(-1.0)
        counting, latching = turn
        code = [*counting, *(f"{name} = {value}" for name, value in schedule.items()), *latching]
        group.regular.append(Regular(code, 3))
        self._biases(k, group)
        self._latches(k, group)
        return group

    def _present(self, k: int, group: GroupPlan) -> tuple[list[str], list[str]]:
        """One presentation: what comes from outside stays as it is. Returns how the clock turns and what it latches."""
        for name in self.program.cells[k].externals:
            group.equations.append(f"{name} : 1")
            group.values[name] = np.asarray(self.given[f"{name}_{k}"], float).ravel()
        return ["tick += 1"], []

    def _stream(self, k: int, group: GroupPlan) -> tuple[list[str], list[str]]:
        """One sample after another: what comes from outside is latched, and is 0 once the samples are over.

        While nobody teaches (``taught`` is 0) the teacher is what the output does by itself.
        """
        cell, latching = self.program.cells[k], []
        for name in cell.externals:
            variable = "label" if name == "teacher" else name
            group.equations.append(f"{variable} : 1")
            self.plan.timed[f"stream_{name}_{k}"] = np.asarray(self.given[f"{name}_{k}"], float)
            latching.append(f"{variable} = present*stream_{name}_{k}((sample + 0.5)*second, i)")
        if "teacher" in cell.externals:
            alone = " + (1 - taught)*rate" if cell.has("rate") and not _leads(cell, "rate", "teacher") else ""
            group.equations += [f"teacher = taught*label{alone} : 1", "taught : 1 (shared)"]
            group.values["taught"] = np.array(1.0)
        group.equations += ["sample : 1 (shared)", "count : 1 (shared)"]
        group.values["count"] = np.array(float(self.stream.samples))
        if self.stream.resets:
            group.equations.append("first : 1 (shared)")
        counting = ["tick += 1", f"sample += int(tick >= {self.ticks_per_sample})"]
        return [*counting, f"tick *= int(tick < {self.ticks_per_sample})"], latching

    def _resets(self, group: GroupPlan) -> None:
        """At the start of a sample every current, potential and slow signal of the group is put to rest; running means stay."""
        state = [line[1:].split("/dt")[0] for line in group.equations if line.startswith("d") and "/dt =" in line]
        state = [name for name in state if not name.startswith(RUNNING)]
        turn = next(r for r in group.regular if r.order == 3)
        latched = next((n for n, line in enumerate(turn.code) if "stream_" in line), len(turn.code))
        turn.code.insert(latched, "first = present*int(tick == 0)")  # Brian2 wants what is shared first
        turn.code += [f"{name} *= 1 - first" for name in state]

    def _biases(self, k: int, group: GroupPlan) -> None:
        """Intrinsic plasticity: a bias is a variable of the cell and learns there."""
        cell, code = self.program.cells[k], []
        for plastic in self.program.plastics:
            if plastic.source is None and plastic.target == k:
                name = next(n for n, w in cell.biases.items() if w == plastic.weight)
                code.append(self.bias_read(group, k, name, plastic))
        for name, weight in cell.biases.items():
            if weight in self.program.plastic_weights():
                group.equations.append(f"change_{name} : 1")
                rate = "learning_rate"
                if self.stream:
                    rate = f"learning_rate_{name}"
                    group.equations.append(f"{rate} : 1 (shared)")
                    group.values[rate] = np.array(0.0)
                code += [f"{name} += {rate}*last_window*change_{name}", f"change_{name} *= 1 - last_window"]
        if code:
            group.regular.append(Regular(code, 0))

    def bias_read(self, group: GroupPlan, k: int, name: str, plastic: Plastic) -> str:
        """What a bias learns when a window is read."""
        text = brian_text(plastic.expr, lambda e: self._cell_leaf(e, k, name))
        return f"change_{name} += window_open*during_{plastic.phase}*{text}  # {plastic.line}"

    def _cell_leaf(self, expr: Expr, k: int, bias: str) -> str:
        if expr.kind == "post":
            return self.read_name("post", expr.value, k)
        return bias if expr.kind == "weight" else str(expr.value)

    def _latches(self, k: int, group: GroupPlan) -> None:
        code = []
        for latch in self.program.cells[k].latches:
            now = f"window_open*during_{latch.phase}"
            for side, name in self.latch_variables(k, latch.name):
                group.equations.append(f"{name} : 1")
                code.append(f"{name} += {now}*({self.read_name(side, latch.signal, k)} - {name})")
        if code:
            group.regular.append(Regular(code, 1))

    def latch_variables(self, k: int, name: str) -> list[tuple[str, str]]:
        """(side, variable) that keep a latched signal."""
        return [("post", name)]

    # -- synapses --------------------------------------------------------------------------------------------------

    def _synapses(self, k: int, compartment: Compartment | None, path: Path) -> SynapsesPlan:
        name = path.weight or f"{path.kind}_{compartment.name}_{k}_{path.source}"
        for synapses in self.plan.synapses:
            if synapses.name == name:
                return synapses
        target, source = (path.source, k) if path.reverse else (k, path.source)
        cells = self.program.cells
        sizes = (cells[target].size, cells[source].size)
        if path.kind == "identity":
            to = source_units = np.arange(sizes[0])
        else:
            mask = self.program.weights[path.weight].mask if path.weight else None
            mask = np.ones(sizes, bool) if mask is None else np.asarray(mask, bool)
            source_units, to = np.nonzero(mask.T)  # an axon's synapses side by side: no sum waits for the one before
        i, j, units = block_indices(self.copies, to, source_units, sizes)
        synapses = SynapsesPlan(
            name,
            f"{cells[source].title} -> {cells[target].title}",
            cells[source].title,
            cells[target].title,
            i,
            j,
            units,
        )
        if path.weight:
            synapses.model.append("w : 1")
            synapses.w = self.weights[path.weight][units[1], units[2]]
        self.plan.synapses.append(synapses)
        return synapses

    def _plastic(self, plastic: Plastic) -> None:
        learns = Path("weight", plastic.source, "", plastic.weight)  # a weight may learn and carry no signal yet
        synapses = self._synapses(plastic.target, None, learns)
        if "change : 1" not in synapses.model:
            synapses.model.append("change : 1")
            synapses.regular.append(Regular([], 0))
        for state in plastic.states:
            self.synaptic_state(synapses, plastic, state)
        text = brian_text(plastic.expr, lambda e: self.synapse_leaf(e, plastic))
        gate = f"window_open_post*during_{plastic.phase}_post"
        synapses.regular[0].code.append(f"change += {gate}*{text}  # {plastic.line}")

    def synapse_leaf(self, expr: Expr, plastic: Plastic) -> str:
        """Name of a variable as a synapse sees it at the read."""
        if expr.kind == "weight":
            return "w"
        if expr.kind == "post":
            return f"{self.read_name('post', expr.value, plastic.target)}_post"
        if expr.kind == "pre":
            return f"{self.read_name('pre', expr.value, plastic.source)}_pre"
        return str(expr.value)

    def synaptic_state(self, synapses: SynapsesPlan, plastic: Plastic, state) -> None:
        """A variable of every synapse with its own equation."""
        text = brian_text(state.expr, lambda e: f"{e.value}_{e.kind}" if e.kind in ("post", "pre") else str(e.value))
        synapses.model.append(f"d{state.name}/dt = {bare(text)} : 1 (clock-driven)  # {state.line}")

    def _consolidate(self, synapses: SynapsesPlan) -> None:
        """w is constant while windows are open and takes its change once, after the last one."""
        if not synapses.regular:
            return
        if self.stream:
            synapses.model.append("learning_rate : 1 (shared)")
            synapses.values["learning_rate"] = np.array(0.0)
        code = ["w += learning_rate*last_window_post*change", "change *= 1 - last_window_post"]
        sign = self.program.weights[synapses.name].sign
        if self.stream and sign is not None:  # a coherent weight never changes its sign
            synapses.model.append("kept_sign : 1 (constant)")
            synapses.values["kept_sign"] = np.broadcast_to(sign, self.weights[synapses.name].shape)[tuple(synapses.units[1:])]
            code.append("w = kept_sign*clip(kept_sign*w, 0, inf)")
        synapses.regular[0].code += code


def _early(ticks: int, steps: int) -> float:
    """By how much a period is shortened, relatively: tick n then comes n/(4 ticks) of a step before the step it belongs to.

    Clocks that meet exactly are the same instant to one target and two instants, in either order, to another.
    """
    return 0.25 / (ticks * steps)


def _leads(cell, name: str, to: str) -> bool:
    """Whether a signal of the cell depends on ``to`` within an instant."""
    if name == to:
        return True
    if not cell.has(name) or cell.signal(name).kind == "differential":
        return False
    return any(_leads(cell, used, to) for form in cell.signal(name).forms.values() for used in form.names())
