"""tensor.spiking: the spiking recursion, batched, on Norse's functional cells; memory does not grow with time.

One step: all signals from the state at k, all coding cells, then all compartments with the spikes of k. That is the
one-step delay per hop of a Brian2 circuit with its default schedule and Euler integration.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch

from neurolearn import ties
from neurolearn.errors import InputError
from neurolearn.program import Program
from neurolearn.tensor import compile, plasticity
from neurolearn.tensor.cells import Activity, Cells
from neurolearn.tensor.emit import torch_text
from neurolearn.tensor.window import Window
from neurolearn.timing import Timing


def source(program: Program) -> str:
    """Text of ``signals_<phase>(state, given, weight)`` for every phase and of ``changes(mean, weight, n)``.

    state: {compartment or differential signal _cell: tensor}. The result of signals_* is {signal_cell: tensor} and, under
    d_<signal>_<cell>, the right sides of differential signals.
    """
    out = [
        f'"""{program.name} on {program.network}: signals inside the cells at one instant, and the read of a window."""'
    ]
    constants = [f"{name} = {value!r}" for name, value in {**program.constants, **program.times}.items()]
    out += [*constants, "", ""]
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
            return (
                str(expr.value)
                if expr.value in program.constants or expr.value in program.times
                else f"{expr.value}_{k}"
            )

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

    kind: "reference" (Norse's own step) or "fused" (in place, bitwise the same; needs a leak potential of 0). dtype,
    device: of torch. After a run, ``activity`` says what the cells did.
    """

    def __init__(
        self,
        program: Program,
        weights: Mapping[str, np.ndarray],
        timing: Timing,
        *,
        kind: str = "reference",
        dtype: torch.dtype = torch.float64,
        device: str = "cpu",
    ):
        if kind not in ("reference", "fused"):
            raise InputError(f"kind is {kind!r}; choose reference or fused.")
        for signal, coding in timing.codings.items():
            if coding != "opponent":
                raise InputError(
                    f"codings[{signal!r}] is {coding!r}; tensor.spiking sends signed signals by opponent pairs only, other "
                    "codings are of circuit.spiking."
                )
        self.program, self.timing, self.kind, self.dtype, self.device = program, timing, kind, dtype, device
        self.source = source(program)
        title = f"{program.name}:tensor.spiking {program.network}"
        self._signals = {p: compile.function(self.source, f"signals_{p}", title) for p in program.phases}
        self._traces = compile.function(self.source, "traces", title)
        self._changes = compile.function(self.source, "changes", title)
        weights = ties.complete(program, weights)
        self.weight = {w.name: self._tensor(weights[w.name]) for w in program.free()}
        self.weight |= {f"mask_{w.name}": self._tensor(w.mask) for w in program.free() if w.mask is not None}
        self.activity = Activity()

    def _tensor(self, value) -> torch.Tensor:
        return torch.tensor(np.asarray(value, dtype=float), dtype=self.dtype, device=self.device)

    @torch.no_grad()
    def run(
        self, given: Mapping[str, np.ndarray], *, record: bool = False, progress: Callable[[float], None] | None = None
    ) -> dict[str, torch.Tensor]:
        """{weight: change}, averaged over the batch. record: keep the trains. progress: called with the share done."""
        return self.repeats(given, 1, record=record, progress=progress)[0]

    @torch.no_grad()
    def repeats(
        self,
        given: Mapping[str, np.ndarray],
        groups: int,
        *,
        record: bool = False,
        progress: Callable[[float], None] | None = None,
    ) -> list[dict[str, torch.Tensor]]:
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
                cells.move(signals, spikes)
                if record:
                    trains.append(
                        {name: (z.to(torch.int8) if timing.cells == 1 else z).cpu() for name, z in spikes.items()}
                    )
                k += 1
                if progress and k % 200 == 0:
                    progress(k / (steps * len(program.phases)))
            mean |= window.means()
            cells.latch(phase, window)
        self.activity, self.final = cells.activity(), cells
        if record:
            self.activity.trains = {name: torch.stack([t[name] for t in trains]).numpy() for name in trains[0]}
        rows = len(given["data_0"]) // groups
        return [
            self._changes({n: m[g * rows : (g + 1) * rows] for n, m in mean.items()}, self.weight, rows)
            for g in range(groups)
        ]
