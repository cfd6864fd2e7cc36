"""tensor.spiking: the spiking recursion, batched, on Norse's functional cells; memory does not grow with time.

One step: all signals from the state at k, all coding cells, then all compartments with the spikes of k. That is the
one-step delay per hop of a Brian2 circuit with its default schedule and Euler integration.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from norse.torch.functional.leaky_integrator_box import LIBoxParameters, LIBoxState, li_box_feed_forward_step
from norse.torch.functional.lif_box import LIFBoxFeedForwardState, LIFBoxParameters, lif_box_feed_forward_step
from norse.torch.functional.reset import reset_subtract, reset_value

from neurolearn.draws import Code, codes, poisson, start_potentials, thresholds
from neurolearn.program import Program
from neurolearn.tensor import compile, plasticity
from neurolearn.tensor.emit import torch_text
from neurolearn.tensor.window import Window
from neurolearn.timing import Timing


@dataclass
class Activity:
    """What the cells did: spikes (all), seconds simulated, Hz per cell (mean, max) in windows, share of active cells.

    trains: {signal_cell: signed spikes (steps, batch, units)} if recorded.
    """

    spikes: int = 0
    seconds: float = 0.0
    mean_hz: float = 0.0
    max_hz: float = 0.0
    active: float = 0.0
    trains: dict[str, np.ndarray] = field(default_factory=dict)


def source(program: Program) -> str:
    """Text of ``signals_<phase>(state, given, weight)`` for every phase and of ``changes(mean, weight, n)``.

    state: {compartment or differential signal _cell: tensor}. The result of signals_* is {signal_cell: tensor} and, under
    d_<signal>_<cell>, the right sides of differential signals.
    """
    out = [f'"""{program.name} on {program.network}: signals inside the cells at one instant, and the read of a window."""']
    constants = [f"{name} = {value!r}" for name, value in {**program.constants, **program.times}.items()]
    out += constants + ["", ""]
    for phase in program.phases:
        out += _signals(program, phase)
    out += [*plasticity.traces(program), "", ""]
    out.append("def changes(mean, weight, n):")
    out.append("    change = {}")
    out += [f"    {w.name} = weight['{w.name}']" for w in program.free()]
    for plastic in program.plastics:
        states = {s.name for s in plastic.states}
        for text, comment in plasticity.lines(program, plastic, _mean_name(plastic.phase), solve=False):
            for state in states:
                text = text.replace(f"{state}_{plastic.weight}", f"mean['{plastic.phase} {state} {plastic.weight}']")
            out.append(f"    {text}  # {comment}")
    out.append("    return change")
    return "\n".join(out) + "\n"


def _mean_name(phase: str):
    return lambda side, signal, cell: f"mean['{phase} {side} {signal} {cell}']"


def _signals(program: Program, phase: str) -> list[str]:
    out = [f"def signals_{phase}(state, given, weight):"]
    for k, cell in enumerate(program.cells):
        out += [f"    {name}_{k} = given['{name}_{k}']" for name in cell.externals]
        out += [f"    {name}_{k} = weight['{w}']" for name, w in cell.biases.items()]
        out += [f"    {c.name}_{k} = state['{c.name}_{k}']" for c in cell.compartments]
        out += [f"    {latch.name}_{k} = state['{latch.name}_{k}']" for latch in cell.latches]
        out += [f"    {s.name}_{k} = state['{s.name}_{k}']" for s in cell.signals if s.kind == "differential"]

        def leaf(expr, k=k) -> str:
            return str(expr.value) if expr.value in program.constants or expr.value in program.times else f"{expr.value}_{k}"

        for s in sorted(cell.signals, key=lambda s: s.kind):  # algebraic ones first, flows after them
            same = len(set(s.forms.values())) == 1
            form = next(iter(s.forms.values())) if same else s.forms.get(phase)
            text = torch_text(form, leaf, cell.activation) if form else f"torch.zeros_like(state['zero_{k}'])"
            line = s.lines.get(phase) or next(iter(s.lines.values()))
            out.append(f"    {'d_' if s.kind == 'differential' else ''}{s.name}_{k} = {text}  # {line}")
    names = [(f"{s.name}_{k}", s.kind) for k, cell in enumerate(program.cells) for s in cell.signals]
    pairs = [f"'{n}': {n}" for n, _ in names] + [f"'d_{n}': d_{n}" for n, kind in names if kind == "differential"]
    return [*out, f"    return {{{', '.join(pairs)}}}", "", ""]


class SpikingProgram:
    """A compiled Program in spikes. ``run(given)`` simulates one presentation of a batch through all phases.

    dtype, device: of torch. After a run, ``activity`` says what the cells did.
    """

    def __init__(self, program: Program, weights: Mapping[str, np.ndarray], timing: Timing, *,
                 dtype: torch.dtype = torch.float64, device: str = "cpu"):
        self.program, self.timing, self.dtype, self.device = program, timing, dtype, device
        self.source = source(program)
        title = f"{program.name}:tensor.spiking {program.network}"
        self._signals = {p: compile.function(self.source, f"signals_{p}", title) for p in program.phases}
        self._traces = compile.function(self.source, "traces", title)
        self._changes = compile.function(self.source, "changes", title)
        self.weight = {w.name: self._tensor(weights[w.name]) for w in program.free()}
        self.weight |= {f"mask_{w.name}": self._tensor(w.mask) for w in program.free() if w.mask is not None}
        self.codes = codes(program, timing)
        self.activity = Activity()

    def _tensor(self, value) -> torch.Tensor:
        return torch.tensor(np.asarray(value, dtype=float), dtype=self.dtype, device=self.device)

    @torch.no_grad()
    def run(self, given: Mapping[str, np.ndarray], *, record: bool = False,
            progress: Callable[[float], None] | None = None) -> dict[str, torch.Tensor]:
        """{weight: change}, averaged over the batch. record: keep the trains. progress: called with the share done."""
        return self.repeats(given, 1, record=record, progress=progress)[0]

    @torch.no_grad()
    def repeats(self, given: Mapping[str, np.ndarray], groups: int, *, record: bool = False,
                progress: Callable[[float], None] | None = None) -> list[dict[str, torch.Tensor]]:
        """The changes of ``groups`` equal parts of the batch, each averaged over its own rows only."""
        timing, program = self.timing, self.program
        steps = timing.settle + timing.window
        cells = Cells(self, len(given["data_0"]), given, steps * len(program.phases))
        inputs = {name: self._tensor(value) for name, value in given.items()}
        mean, trains, k = {}, [], 0
        for phase in program.phases:
            window = Window(program, phase, timing)
            for step in range(steps):
                signals = self._signals[phase](cells.state, inputs, self.weight)
                spikes = cells.send(signals, k)
                if step >= timing.settle:
                    window.add(signals, spikes, cells)
                    cells.count()
                cells.move(signals, spikes)
                if record:
                    trains.append({name: z.to(torch.int8).cpu() for name, z in spikes.items()})
                k += 1
                if progress and k % 200 == 0:
                    progress(k / (steps * len(program.phases)))
            mean |= window.means()
            cells.latch(phase, window)
        self.activity, self.final = cells.activity(timing.window * len(program.phases)), cells
        if record:
            self.activity.trains = {name: torch.stack([t[name] for t in trains]).numpy() for name in trains[0]}
        rows = len(given["data_0"]) // groups
        return [self._changes({n: m[g * rows : (g + 1) * rows] for n, m in mean.items()}, self.weight, rows)
                for g in range(groups)]


class Cells:
    """State of one simulation: compartments, coding cells and synaptic traces; it shrinks to nothing with the run."""

    def __init__(self, program: SpikingProgram, batch: int, given, steps: int):
        self.owner, self.program, self.timing, self.batch = program, program.program, program.timing, batch
        timing, tensor = self.timing, program._tensor
        zeros = lambda n: torch.zeros(batch, n, dtype=program.dtype, device=program.device)  # noqa: E731
        self.state: dict[str, torch.Tensor] = {}
        for k, cell in enumerate(self.program.cells):
            self.state[f"zero_{k}"] = zeros(cell.size)
            self.state |= {f"{c.name}_{k}": zeros(1 if c.paths[0].kind == "broadcast" else cell.size) for c in cell.compartments}
            self.state |= {f"{s.name}_{k}": zeros(cell.size) for s in cell.signals if s.kind == "differential"}
            self.state |= {f"{latch.name}_{k}": zeros(cell.size) for latch in cell.latches}
        self._synapses(zeros)
        self.filters = {c.key: LIBoxParameters(1.0 / timing.tau_of(c.key), 0.0)
                        for cell in self.program.cells for c in cell.compartments}
        self.unit = {_key(c): c.unit_rate for c in program.codes}
        self.opponents = [c for c in program.codes if c.kind == "opponent"]
        self.membranes = [c for c in program.codes if c.kind == "membrane"]
        start, levels = start_potentials(self.program, timing, batch), thresholds(self.program, timing, batch)
        self.drawn = {n: tensor(z) for n, z in poisson(self.program, timing, given, steps).items()}
        self.sizes = [self.program.cells[c.cell].size for c in self.opponents]
        if self.opponents:
            v = tensor(np.concatenate([start[_key(c)] for c in self.opponents], axis=-1))
            self.v = torch.stack([v, -v])
            self.level = tensor(np.concatenate([levels[c.cell] for c in self.opponents], axis=-1))
            self.gain = tensor(np.concatenate([np.full(self.program.cells[c.cell].size, c.unit_rate * timing.membrane[0])
                                               for c in self.opponents]))
            self.pair = LIFBoxParameters(
                tau_mem_inv=tensor(1.0 / timing.membrane[0]), v_leak=tensor(timing.membrane[1]), v_th=self.level,
                v_reset=tensor(0.0), method="heaviside", reset_method=reset_subtract)
        self.potential = {_key(c): tensor(start[_key(c)]) for c in self.membranes}
        self.rest = {_key(c): torch.zeros_like(self.potential[_key(c)]) for c in self.membranes}
        self.single = {_key(c): LIFBoxParameters(
            tau_mem_inv=tensor(1.0 / c.membrane.tau_m), v_leak=tensor(c.membrane.background), v_th=tensor(levels[c.cell]),
            v_reset=tensor(0.0), method="heaviside", reset_method=reset_value) for c in self.membranes}
        self.total, self.counted, self.last = {}, {}, {}

    def _synapses(self, zeros) -> None:
        """Synaptic state and, for the signals it reads, exponential traces of the presynaptic cell's own spikes."""
        self.filtered = {}
        for p in self.program.plastics:
            where = plasticity.state_sides(p)
            for s in p.states:
                sizes = {"post": self.program.cells[p.target].size, "pre": self.program.cells[p.source].size}
                shape = [sizes[side] for side in ("post", "pre") if side in where[s.name]] or [1]
                self.state[f"{s.name}_{p.weight}"] = zeros(int(np.prod(shape))).view(self.batch, *shape)
                self.filtered |= {f"{name}_{p.source}": zeros(sizes["pre"]) for name in s.expr.names("pre")}

    # -- spikes ----------------------------------------------------------------------------------------------------

    def send(self, signals: dict[str, torch.Tensor], k: int) -> dict[str, torch.Tensor]:
        """Signed spikes of this instant, {signal_cell: (batch, units)}; a mean over the cells of a unit."""
        spikes: dict[str, torch.Tensor] = {}
        self.last = {}
        if self.opponents:
            drive = torch.cat([signals[_key(c)] for c in self.opponents], dim=1) * self.gain
            z, state = lif_box_feed_forward_step(
                torch.stack([drive, -drive])[:, None], LIFBoxFeedForwardState(self.v), self.pair, self.timing.dt)
            self.v = state.v + z.flip(0) * self.level
            net = (z[0] - z[1]).mean(0)
            for code, part, both in zip(self.opponents, net.split(self.sizes, 1), z.split(self.sizes, -1), strict=True):
                spikes[_key(code)], self.last[_key(code)] = part, both
        for code in self.membranes:
            name = _key(code)
            free = (self.rest[name] < 0.5).to(self.owner.dtype)
            z, state = lif_box_feed_forward_step(
                signals[f"{code.drive}_{code.cell}"], LIFBoxFeedForwardState(self.potential[name]), self.single[name],
                self.timing.dt)
            z = z * free
            self.potential[name] = free * state.v + (1 - free) * self.potential[name]
            self.rest[name] = torch.clamp(self.rest[name] - 1, min=0) + z * round(code.membrane.t_ref / self.timing.dt)
            spikes[name], self.last[name] = z.mean(0), z[None]
        for name, train in self.drawn.items():
            spikes[name], self.last[name] = train[k], train[k].abs()[None, None]
        for name, z in self.last.items():
            self.total[name] = self.total.get(name, 0) + z
        return spikes

    def potentials(self) -> dict[str, np.ndarray]:
        """{signal_cell: potential of the ON cells (batch, units)} as they stand."""
        found = {}
        if self.opponents:
            parts = self.v[0].split(self.sizes, -1)
            found = {_key(c): part[0].cpu().numpy() for c, part in zip(self.opponents, parts, strict=True)}
        return found | {name: v[0].cpu().numpy() for name, v in self.potential.items()}

    def count(self) -> None:
        """Count this step's spikes of every cell for the rates of the windows."""
        for name, z in self.last.items():
            self.counted[name] = self.counted.get(name, 0) + z

    def activity(self, steps: int) -> Activity:
        """Totals of the run; Hz per cell from the windows."""
        total = sum(float(z.sum()) for z in self.total.values())
        hz = torch.cat([z.flatten() for z in self.counted.values()]) / (steps * self.timing.dt)
        alive = torch.cat([z.flatten() for z in self.total.values()]) > 0
        seconds = (self.timing.settle + self.timing.window) * len(self.program.phases) * self.timing.dt
        return Activity(int(total), seconds, float(hz.mean()), float(hz.max()), float(alive.double().mean()))

    # -- compartments ----------------------------------------------------------------------------------------------

    def move(self, signals: dict[str, torch.Tensor], spikes: dict[str, torch.Tensor]) -> None:
        """One Euler step of all compartments, differential signals and synaptic state."""
        dt, tau = self.timing.dt, self.timing.tau
        for name, rate in self.owner._traces(self.state, self._all(signals), self.filtered).items():
            self.state[name] = self.state[name] + dt * rate / tau
        for name, value in self.filtered.items():
            decay = dt / self.timing.tau_of("trace")
            self.filtered[name] = value - decay * value + spikes[name] * (decay / (self.unit[name] * dt))
        for k, cell in enumerate(self.program.cells):
            for compartment in cell.compartments:
                name = f"{compartment.name}_{k}"
                current = self._current(compartment.paths, signals, spikes)
                _, state = li_box_feed_forward_step(current, LIBoxState(self.state[name]), self.filters[compartment.key], dt)
                self.state[name] = state.v
            for s in cell.signals:
                if s.kind == "differential":
                    rate = signals[f"d_{s.name}_{k}"] / tau
                    self.state[f"{s.name}_{k}"] = self.state[f"{s.name}_{k}"] + dt * rate

    def _all(self, signals: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Signals and, beside them, compartments and latched values, all readable at the post end."""
        return {**self.state, **signals}

    def _current(self, paths, signals, spikes) -> torch.Tensor:
        total = 0
        for path in paths:
            name = f"{path.signal}_{path.source}"
            if path.kind == "broadcast":
                return signals[name].sum(1, keepdim=True)
            arriving = spikes[name] * (path.factor / (self.unit[name] * self.timing.dt))
            if path.kind == "weight":
                weight = self.owner.weight[path.weight]
                arriving = arriving @ (weight if path.reverse else weight.T)
            total = total + arriving
        return total

    def latch(self, phase: str, window: Window) -> None:
        """Keep what is latched at the end of a phase."""
        for k, cell in enumerate(self.program.cells):
            for latch in cell.latches:
                if latch.phase == phase:
                    self.state[f"{latch.name}_{k}"] = window.sum["post", latch.signal, k]
                    if ("pre", latch.signal, k) in window.sum:
                        self.state[f"sent_{latch.name}_{k}"] = window.sum["pre", latch.signal, k]


def _key(code: Code) -> str:
    return f"{code.signal}_{code.cell}"
