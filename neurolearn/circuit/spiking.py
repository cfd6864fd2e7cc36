"""circuit.spiking: between cells, spikes; within a cell, graded potentials.

A window is read once, at its end: plasticity sees the window mean of the postsynaptic cell's own graded signals and the
count of the presynaptic cell's own spikes.
"""

from __future__ import annotations

import numpy as np

from neurolearn.circuit import coding
from neurolearn.circuit.own.sender import state
from neurolearn.circuit.plan import GroupPlan, Regular, SpikePlan, SynapsesPlan
from neurolearn.circuit.skeleton import Skeleton
from neurolearn.circuit.text import bare, brian_text
from neurolearn.draws import Code, codes, poisson, start_potentials, thresholds
from neurolearn.errors import InputError
from neurolearn.program import Compartment, Path, Plastic


class SpikingCircuit(Skeleton):
    """``settle`` steps, then a window of ``window`` steps, in each phase."""

    realisation = "spiking circuit"

    def __init__(self, program, weights, given, timing, learning_rate: float = 1.0, stream=None):
        if timing.settle % timing.window:
            raise InputError(f"settle ({timing.settle} steps) must be a multiple of window ({timing.window}).")
        if timing.cells != program.crowd:
            raise InputError(
                f"cells is {timing.cells}, and the program has {program.crowd} for each unit; build it with circuit.make or Online."
            )
        self.codes = codes(program, timing)
        self.two_phase = any(code.kind == "two_phase" for code in self.codes)
        if self.two_phase and timing.settle < 2 * timing.window:
            raise InputError(
                f"settle ({timing.settle} steps) must be two windows ({timing.window}) or more for the coding two_phase: one "
                "in which the cells are free, the rest to settle."
            )
        super().__init__(program, weights, given, timing, learning_rate, stream)
        self._units()

    @property
    def period_steps(self) -> int:
        """The window; settling is a multiple of it."""
        return self.timing.window

    @property
    def ticks_per_phase(self) -> int:
        """Settling, then one window."""
        return self.timing.settle // self.timing.window + 1

    def _schedule(self) -> dict[str, str]:
        held = super()._schedule()
        if self.two_phase:
            free = [n * self.ticks_per_phase for n in range(len(self.program.phases))]
            there = "present*" if self.stream else ""  # nothing is counted that no window will read
            held["nudged"] = f"1 - {there}({' + '.join(f'int(tick == {tick})' for tick in free)})"
        return held

    def _units(self) -> None:
        timing, space = self.timing, self.plan.namespace
        space["tau_trace"] = (timing.tau_of("trace"), "second")
        space["v_leak"] = (timing.membrane[1], "")
        space["tau_mem"] = (timing.membrane[0], "second")
        space["window"] = (timing.window * timing.dt, "second")
        for code in self.codes:
            space[f"unit_rate_{code.signal}_{code.cell}"] = (code.unit_rate, "hertz")
            space |= coding.of(code).needs(code, timing)

    # -- compartments and synapses ---------------------------------------------------------------------------------

    def compartment_equations(self, k: int, compartment: Compartment) -> list[str]:
        """A leaky current that spikes kick; a broadcast is graded."""
        name, tau = compartment.name, f"tau_{compartment.name}"
        if compartment.paths[0].kind == "broadcast":
            return [f"d{name}/dt = (S_{name} - {name})/{tau} : 1  # {compartment.call}", f"S_{name} : 1"]
        coded = [self._coding(path).current(name, index) for index, path in enumerate(compartment.paths)]
        terms = dict.fromkeys(term for term, _ in coded if term)
        equations = dict.fromkeys(equation for _, more in coded for equation in more)
        inputs = f"({' + '.join(terms)} - {name})" if terms else f"-{name}"
        return [f"d{name}/dt = {inputs}/{tau} : 1  # {compartment.call}", *equations]

    def connect(self, synapses: SynapsesPlan, k: int, compartment: Compartment, index: int, path: Path) -> None:
        """Spikes kick the receiving current as their coding says, in either direction of the synapse."""
        if path.kind == "broadcast":  # one graded number per sample
            share = "" if path.factor == 1 else f"{path.factor!r}*"
            synapses.model.append(f"S_{compartment.name}_post = {share}{path.signal}_pre : 1 (summed)")
            return
        here, there = ("pre", "post") if path.reverse else ("post", "pre")
        code, how, tau = self._code(path), self._coding(path), self.timing.tau_of(compartment.key)
        weight = "w*" if path.kind == "weight" else ""
        if code.kind == "graded":
            weight += "" if path.factor == 1 else f"{path.factor!r}*"
            synapses.model.append(f"S_{compartment.name}_{index}_{here} = {weight}{path.signal}_{there} : 1 (summed)")
            return
        key = f"{compartment.pathway}_{path.signal}_{path.source}"
        jumps = how.constants(key, path.factor / code.unit_rate, tau, self.timing)
        self.plan.namespace |= {name: (value, "") for name, value in jumps.items()}
        pathway = synapses.on_post if path.reverse else synapses.on_pre
        for side, statement in how.arrive(compartment.name, here, key, weight).items():
            name = f"{path.signal}_{side}_{compartment.name}" + ("_back" if path.reverse else "")
            pathway[name] = statement
            synapses.on_event[name] = f"{path.signal}_{side}"
            synapses.keys[name] = compartment.key
        cells = synapses.i if path.reverse else synapses.j
        reach = np.full(len(cells), path.factor) if synapses.w is None else path.factor * synapses.w
        group = self.plan.groups[k]
        for name, value in how.before(compartment.name, self._sender(code)).items():
            group.values.setdefault(name, np.zeros(group.size))
            np.add.at(group.values[name], cells, value * reach)

    def _code(self, path: Path) -> Code:
        return next(c for c in self.codes if (c.cell, c.signal) == (path.source, path.signal))

    def _coding(self, path: Path) -> coding.Coding:
        return coding.of(self._code(path))

    def _sender(self, code: Code) -> coding.Sender:
        start = start_potentials(self.program, self.timing, self.copies)[f"{code.signal}_{code.cell}"][0].ravel()
        return coding.Sender(code, self.timing, start)

    # -- what is read ----------------------------------------------------------------------------------------------

    def read_name(self, side: str, signal: str, k: int) -> str:
        """The window mean of a cell's own signal, or the count of its own spikes."""
        latch = self.program.latch(k, signal)
        if latch:
            return signal if side == "post" else f"sent_{signal}"
        return f"mean_{signal}" if side == "post" else f"sent_{signal}"

    def latch_variables(self, k: int, name: str) -> list[tuple[str, str]]:
        """A latched signal keeps its mean and, if it is sent, its count."""
        latch = self.program.latch(k, name)
        sent = latch.signal in self.program.cells[k].sent
        return [("post", name), *([("pre", f"sent_{name}")] if sent else [])]

    def _means(self, k: int) -> list[str]:
        """Signals of a cell whose window mean something reads."""
        cell, wanted = self.program.cells[k], set()
        for plastic in self.program.plastics:
            if plastic.target == k:
                wanted |= plastic.expr.names("post")
        wanted |= {latch.signal for latch in cell.latches}
        return sorted(n for n in wanted if self.program.latch(k, n) is None)

    def finish_group(self, k: int, group: GroupPlan) -> None:
        """Add the coding cells, the counts and means that the read needs, and their clearing."""
        mine = [(coding.of(c), self._sender(c)) for c in self.codes if c.cell == k]
        if mine:
            group.equations.append("v_th : 1 (constant)")
            group.values["v_th"] = thresholds(self.program, self.timing, self.copies)[k].ravel()
        for how, sender in mine:
            how.send(group, sender)
            if sender.code.kind == "drawn":
                self._drawn(group, sender.code)
        for event in group.events:
            group.equations.append(f"spikes_{event} : 1")
            group.on_event[event] += f"; spikes_{event} += 1"
        means = self._means(k)
        group.equations += [f"dmean_{name}/dt = window_open*{name}/window : 1" for name in means]
        filtered = self._filtered(k)
        for how, sender in mine:
            if sender.signal in filtered:
                how.trace(group, sender)
        reset = [f"mean_{name} *= 1 - window_open" for name in means]
        reset += [f"sent_{sender.signal} *= 1 - window_open" for _, sender in mine]
        reset += [f"{name} *= 1 - window_open" for name in self._kept(k)]
        if reset:
            group.regular.append(Regular(reset, 2))

    def _kept(self, k: int) -> list[str]:
        """What the compartments of a cell keep until a window closes."""
        compartments = self.program.cells[k].compartments
        every = [(c.name, p) for c in compartments for p in c.paths if p.kind != "broadcast"]
        return sorted({name for current, path in every for name in self._coding(path).kept(current)})

    def _drawn(self, group: GroupPlan, code) -> None:
        """Poisson spikes, drawn beforehand, reach their relay one step early."""
        if self.stream:
            raise InputError("encoding is 'poisson', which is drawn before a run; a stream of samples takes 'regular'.")
        steps = self.period_steps * self.ticks_per_phase * len(self.program.phases)
        train = poisson(self.program, self.timing, self.given, steps)[f"{code.signal}_{code.cell}"]
        train = train.reshape(steps, -1)
        for side, sign in (("on", 1.0), ("off", -1.0)):
            times, cells = np.nonzero(train == sign)
            group.values[f"v_{code.signal}_{side}"] = (train[0] == sign).astype(float)
            name = f"drawn_{code.signal}_{side}"
            self.plan.spikes.append(SpikePlan(name, train.shape[1], cells[times > 0], times[times > 0] - 1))
            every = np.arange(train.shape[1])
            self.plan.synapses.append(
                SynapsesPlan(
                    f"{name}_relay",
                    f"{name} -> {group.name}",
                    name,
                    group.name,
                    every,
                    every,
                    np.zeros((3, 0)),
                    on_pre={"pre": f"v_{code.signal}_{side}_post += 1"},
                )
            )

    def _resets(self, group: GroupPlan) -> None:
        """A user's cell goes on as it is."""
        super()._resets(group)
        theirs = set().union(*(state(c.own.cell, c.signal) for c in self.codes if c.kind == "own"))
        turn = next(r for r in group.regular if r.order == 3)
        turn.code = [line for line in turn.code if line.split()[0] not in theirs]

    # -- synaptic state --------------------------------------------------------------------------------------------

    def _filtered(self, k: int) -> list[str]:
        """Signals of a cell that some synaptic state reads as an exponential trace of its spikes."""
        return sorted(
            {name for p in self.program.plastics if p.source == k for s in p.states for name in s.expr.names("pre")}
        )

    def synaptic_state(self, synapses: SynapsesPlan, plastic: Plastic, state) -> None:
        """Synaptic state hears exponential traces of the presynaptic cell's own spikes, and keeps its window mean."""

        def leaf(expr):
            if expr.kind == "pre":
                return f"filtered_{expr.value}_pre"
            return f"{expr.value}_post" if expr.kind == "post" else str(expr.value)

        synapses.model += [
            f"d{state.name}/dt = {bare(brian_text(state.expr, leaf))} : 1 (clock-driven)  # {state.line}",
            f"dmean_{state.name}/dt = window_open_post*{state.name}/window : 1 (clock-driven)",
        ]

    def synapse_leaf(self, expr, plastic: Plastic) -> str:
        """Synaptic state is read as its window mean."""
        if expr.kind == "state":
            return f"mean_{expr.value}"
        return super().synapse_leaf(expr, plastic)

    def _consolidate(self, synapses: SynapsesPlan) -> None:
        super()._consolidate(synapses)
        states = [line.split("/dt")[0][1:] for line in synapses.model if line.startswith("dmean_")]
        if states:
            synapses.regular[0].code += [f"{name} *= 1 - window_open_post" for name in states]
