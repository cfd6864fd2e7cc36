"""The window of a spiking phase: means of graded signals and counts of spikes, summed while it is open."""

from __future__ import annotations

import torch

from neurolearn.draws import codes
from neurolearn.program import Program
from neurolearn.timing import Timing


class Window:
    """Accumulates one phase; ``means()`` gives what plasticity reads, by "<phase> <side> <signal> <cell>".

    Synaptic state stands under "<phase> <state> <weight>".
    """

    def __init__(self, program: Program, phase: str, timing: Timing):
        self.program, self.phase, self.timing = program, phase, timing
        self.unit = {f"{c.signal}_{c.cell}": c.unit_rate for c in codes(program, timing)}
        self.plastics = [p for p in program.plastics if p.phase == phase]
        self.posts = {(name, p.target) for p in self.plastics for name in p.expr.names("post")}
        self.pres = {(name, p.source) for p in self.plastics for name in p.expr.names("pre")}
        for k, cell in enumerate(program.cells):
            for latch in cell.latches:
                if latch.phase == phase:
                    self.posts.add((latch.signal, k))
                    self.pres |= {(latch.signal, k)} if latch.signal in cell.sent else set()
        self.sum: dict[tuple[str, str, int], torch.Tensor] = {}

    def add(self, signals: dict[str, torch.Tensor], spikes: dict[str, torch.Tensor], cells) -> None:
        """One step of an open window."""
        share = 1.0 / self.timing.window
        for name, k in self.posts:
            value = signals.get(f"{name}_{k}", cells.state.get(f"{name}_{k}"))
            self.sum["post", name, k] = self.sum.get(("post", name, k), 0) + value * share
        for name, k in self.pres:
            key = f"{name}_{k}"
            value = spikes[key] / (self.unit[key] * self.timing.dt) if key in spikes else cells.state[f"sent_{key}"]
            self.sum["pre", name, k] = self.sum.get(("pre", name, k), 0) + value * share
        for p in self.plastics:
            for state in p.states:
                value = cells.state[f"{state.name}_{p.weight}"]
                self.sum[state.name, p.weight, -1] = self.sum.get((state.name, p.weight, -1), 0) + value * share

    def means(self) -> dict[str, torch.Tensor]:
        """What the read of this phase sees."""
        return {
            f"{self.phase} {side} {name}" + ("" if k < 0 else f" {k}"): value
            for (side, name, k), value in self.sum.items()
        }
