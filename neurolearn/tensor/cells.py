"""The cells of a spiking tensor simulation: Norse's functional steps, and an in-place step that equals them bitwise."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from norse.torch.functional.leaky_integrator_box import LIBoxParameters, LIBoxState, li_box_feed_forward_step
from norse.torch.functional.lif_box import LIFBoxFeedForwardState, LIFBoxParameters, lif_box_feed_forward_step
from norse.torch.functional.reset import reset_subtract, reset_value

from neurolearn.draws import SATURATED, Code, codes, poisson, start_potentials, thresholds
from neurolearn.errors import InputError, SaturationError
from neurolearn.tensor import plasticity

if TYPE_CHECKING:
    from neurolearn.tensor.spiking import SpikingProgram
    from neurolearn.tensor.window import Window


@dataclass
class Activity:
    """What the cells did: spikes (all), seconds simulated, Hz per cell (mean, max), share of active cells.

    trains: {signal_cell: signed spikes (steps, batch, units)} if recorded.
    """

    spikes: int = 0
    seconds: float = 0.0
    mean_hz: float = 0.0
    max_hz: float = 0.0
    active: float = 0.0
    trains: dict[str, np.ndarray] = field(default_factory=dict)


class Opponents:
    """ON/OFF pairs of all signals that are coded so, side by side: (cells, batch, units of all of them).

    Each pair integrates +s and -s; a spike takes the threshold from its own cell and gives it to the other.
    """

    def __init__(self, owner: SpikingProgram, chosen: list[Code], batch: int):
        timing, tensor, cells = owner.timing, owner._tensor, owner.program.cells
        start, levels = start_potentials(owner.program, timing, batch), thresholds(owner.program, timing, batch)
        self.codes, self.sizes, self.dt = chosen, [cells[c.cell].size for c in chosen], timing.dt
        v = tensor(np.concatenate([start[key(c)] for c in chosen], axis=-1))
        self.v = torch.stack([v, -v])
        self.level = tensor(np.concatenate([levels[c.cell] for c in chosen], axis=-1))
        self.gain = tensor(
            np.concatenate(
                [np.full(n, c.unit_rate * timing.membrane[0]) for n, c in zip(self.sizes, chosen, strict=True)]
            )
        )
        self.pair = LIFBoxParameters(
            tau_mem_inv=tensor(1.0 / timing.membrane[0]),
            v_leak=tensor(timing.membrane[1]),
            v_th=self.level,
            v_reset=tensor(0.0),
            method="heaviside",
            reset_method=reset_subtract,
        )
        self.total = torch.zeros_like(self.v)

    def send(self, signals: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Signed spikes {signal_cell: (batch, units)}, a mean over the cells of a unit."""
        drive = torch.cat([signals[key(c)] for c in self.codes], dim=1) * self.gain
        net = self.step(drive).mean(0)
        return {key(c): part for c, part in zip(self.codes, net.split(self.sizes, 1), strict=True)}

    def step(self, drive: torch.Tensor) -> torch.Tensor:
        """ON minus OFF spikes (cells, batch, units) after one step of Norse's cell."""
        z, state = lif_box_feed_forward_step(
            torch.stack([drive, -drive])[:, None], LIFBoxFeedForwardState(self.v), self.pair, self.dt
        )
        self.v = state.v + z.flip(0) * self.level
        self.total += z
        return z[0] - z[1]

    def potentials(self) -> dict[str, np.ndarray]:
        """{signal_cell: potential of the first ON cell (batch, units)}."""
        return {
            key(c): part[0].cpu().numpy() for c, part in zip(self.codes, self.v[0].split(self.sizes, -1), strict=True)
        }

    def check(self) -> None:
        """Raises SaturationError if a signal asked for more spikes than there are steps."""
        for code, part in zip(self.codes, self.v[0].split(self.sizes, -1), strict=True):
            if not part.abs().max() < SATURATED:
                raise SaturationError(
                    f"signal {code.signal!r} of layer {code.cell} is larger than its cells can send (one spike a step, "
                    f"{code.unit_rate:g} Hz per unit): lower its entry in unit_rates, or take a smaller dt."
                )


class FusedOpponents(Opponents):
    """The same in place. The OFF potential is minus the ON potential in every bit, so one variable holds the pair."""

    def __init__(self, owner: SpikingProgram, chosen: list[Code], batch: int):
        super().__init__(owner, chosen, batch)
        self.one, self.change = self.v[0].clone(), torch.empty_like(self.v[0])
        self.share = self.dt * self.pair.tau_mem_inv
        self.v = torch.stack([self.one, self.one])[:1]  # a view is enough: self.v[0] is read, never the OFF cell

    def step(self, drive: torch.Tensor) -> torch.Tensor:
        """One step in place."""
        torch.sub(drive, self.one, out=self.change)
        self.one.add_(self.change.mul_(self.share))
        on, off = self.one > self.level, self.one < -self.level
        self.total[0].add_(on)
        self.total[1].add_(off)
        net = on.to(self.one.dtype).sub_(off.to(self.one.dtype))
        self.one.sub_(torch.mul(net, self.level, out=self.change))
        self.v = self.one[None]
        return net


class Cells:
    """State of one simulation: compartments, coding cells and synaptic traces; it shrinks to nothing with the run."""

    def __init__(self, program: SpikingProgram, batch: int, given, steps: int):
        self.owner, self.program, self.timing, self.batch = program, program.program, program.timing, batch
        timing, tensor = self.timing, program._tensor
        zeros = lambda n: torch.zeros(batch, n, dtype=program.dtype, device=program.device)  # noqa: E731
        self.state: dict[str, torch.Tensor] = {}
        for k, cell in enumerate(self.program.cells):
            self.state[f"zero_{k}"] = zeros(cell.size)
            self.state |= {
                f"{c.name}_{k}": zeros(1 if c.paths[0].kind == "broadcast" else cell.size) for c in cell.compartments
            }
            self.state |= {f"{s.name}_{k}": zeros(cell.size) for s in cell.signals if s.kind == "differential"}
            self.state |= {f"{latch.name}_{k}": zeros(cell.size) for latch in cell.latches}
        self._synapses(zeros)
        self.filters = {
            c.key: LIBoxParameters(1.0 / timing.tau_of(c.key), 0.0)
            for cell in self.program.cells
            for c in cell.compartments
        }
        found = codes(self.program, timing)
        for code in (c for c in found if c.kind == "own"):
            raise InputError(
                f"tensor.spiking has no cell {self.program.cells[code.cell].activation.name!r}: Norse does not know its "
                "equations; take circuit.spiking, or an activation of this package."
            )
        self.unit = {key(c): c.unit_rate for c in found}
        pairs = [c for c in found if c.kind == "opponent"]
        fused = program.kind == "fused" and timing.membrane[1] == 0.0
        self.opponents = (FusedOpponents if fused else Opponents)(program, pairs, batch) if pairs else None
        self.membranes = [c for c in found if c.kind == "membrane"]
        start, levels = start_potentials(self.program, timing, batch), thresholds(self.program, timing, batch)
        self.drawn = {n: tensor(z) for n, z in poisson(self.program, timing, given, steps).items()}
        self.potential = {key(c): tensor(start[key(c)]) for c in self.membranes}
        self.rest = {key(c): torch.zeros_like(self.potential[key(c)]) for c in self.membranes}
        self.single = {
            key(c): LIFBoxParameters(
                tau_mem_inv=tensor(1.0 / c.membrane.tau_m),
                v_leak=tensor(c.membrane.background),
                v_th=tensor(levels[c.cell]),
                v_reset=tensor(0.0),
                method="heaviside",
                reset_method=reset_value,
            )
            for c in self.membranes
        }
        self.total: dict[str, torch.Tensor] = {}

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
        spikes = self.opponents.send(signals) if self.opponents else {}
        for code in self.membranes:
            spikes[key(code)] = self._membrane(code, signals[f"{code.drive}_{code.cell}"])
        for name, train in self.drawn.items():
            spikes[name] = train[k]
            self.total[name] = self.total.get(name, 0) + train[k].abs()
        return spikes

    def _membrane(self, code: Code, drive: torch.Tensor) -> torch.Tensor:
        """Spikes of leaky integrate-and-fire cells; a cell at rest keeps its potential."""
        name = key(code)
        free = (self.rest[name] < 0.5).to(self.owner.dtype)
        z, state = lif_box_feed_forward_step(
            drive, LIFBoxFeedForwardState(self.potential[name]), self.single[name], self.timing.dt
        )
        z = z * free
        self.potential[name] = free * state.v + (1 - free) * self.potential[name]
        self.rest[name] = torch.clamp(self.rest[name] - 1, min=0) + z * round(code.membrane.t_ref / self.timing.dt)
        self.total[name] = self.total.get(name, 0) + z
        return z.mean(0)

    def potentials(self) -> dict[str, np.ndarray]:
        """{signal_cell: potential of the first ON cell (batch, units)} as they stand."""
        found = self.opponents.potentials() if self.opponents else {}
        return found | {name: v[0].cpu().numpy() for name, v in self.potential.items()}

    def activity(self) -> Activity:
        """Totals of the run. Raises SaturationError if a signal was larger than its cells can send."""
        if self.opponents:
            self.opponents.check()
        totals = [*([self.opponents.total] if self.opponents else []), *self.total.values()]
        spikes = torch.cat([z.flatten() for z in totals])
        seconds = (self.timing.settle + self.timing.window) * len(self.program.phases) * self.timing.dt
        hz = spikes / seconds
        return Activity(
            int(spikes.sum()), seconds, float(hz.mean()), float(hz.max()), float((spikes > 0).double().mean())
        )

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
                _, state = li_box_feed_forward_step(
                    current, LIBoxState(self.state[name]), self.filters[compartment.key], dt
                )
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


def key(code: Code) -> str:
    """ "signal_cell", the name of a train."""
    return f"{code.signal}_{code.cell}"
