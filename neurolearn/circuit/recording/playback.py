"""Reading a recording back, a stretch of time and a table at once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from neurolearn import quantity
from neurolearn.circuit.recording.recorder import COLUMNS, parts, reading
from neurolearn.errors import InputError


class Recording:
    """A recording that ``Recorder`` wrote, or is writing: nothing is read before it is asked for.

    dt: step (s); seconds, samples: how much is recorded; tables: "kind/name/what" of all that there is; segments: first
    sample, samples, start and stop of each segment, of the run that was recorded.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._parts = parts(self.path)
        if not self._parts:
            raise InputError(f"there is no recording {str(path)!r}; a Recorder writes one with its first segment.")
        tables = []
        for path in self._parts:
            with reading(path) as file:
                tables.append(file["segments"][:])
                layout, self.title = json.loads(file.attrs["layout"]), str(file.attrs["title"])
        self._spans = [(float(table["start"][0]), float(table["stop"][-1])) for table in tables]
        self.segments = np.concatenate(tables)
        self.tables, self.dt = tuple(layout["tables"]), float(layout["dt"])
        self.seconds = float(self.segments["stop"][-1])
        self.samples = int(self.segments["first"][-1] + self.segments["samples"][-1])

    def time(self, sample: int) -> float:
        """Seconds at which a sample of the run begins; negative ones count from the end, so -1 is the last one recorded."""
        return (sample if sample >= 0 else self.samples + sample) * self.seconds / self.samples

    def spikes(self, name: str, signal: str = "rate", start: float = 0.0, stop: float | None = None):
        """(t, i, sign): seconds, cell, +1 of an ON and -1 of an OFF cell, from ``start`` until before ``stop`` (times)."""
        return self._read("spikes", name, signal, start, stop)

    def rates(self, name: str, signal: str = "rate", start: float = 0.0, stop: float | None = None):
        """(t, hz): end of each bin, and spikes per second and cell in it."""
        return self._read("rates", name, signal, start, stop)

    def states(self, name: str, variable: str, start: float = 0.0, stop: float | None = None):
        """(t, values): values are (times, cells or synapses) in the order of ``about(...)["index"]``."""
        return self._read("states", name, variable, start, stop)

    def about(self, table: str) -> dict[str, object]:
        """Of a table such as "states/W_2_1/w": group, unit, every (s), index, and (of synapses) to and from."""
        self._known(table)
        with reading(self._parts[0]) as file:
            group = file[table]
            facts = {
                "group": str(group.attrs["group"]),
                "unit": str(group.attrs["unit"]),
                "every": float(group.attrs["every"]),
            }
            return facts | {name: values[:] for name, values in group["of"].items()}

    def draw(self, ax, table: str, start: float = 0.0, stop: float | None = None):
        """A table in the manner of ``neurolearn.plots``, into given axes: a raster of spikes, traces of states and rates.

        States of Synapses are drawn as ``weight_evolution`` over the samples. Returns ax.
        """
        from neurolearn import plots

        about = self.about(table)
        kind, name, what = table.split("/")
        columns = self._read(kind, name, what, start, stop)
        begin = _time("start", start)
        if kind == "spikes":
            t, i, sign = columns
            steps = np.round((t - begin) / self.dt).astype(int)
            last = self.seconds if stop is None else min(_time("stop", stop), self.seconds)
            whole = max(round((last - begin) / self.dt), int(np.max(steps, initial=0)) + 1)
            train = np.zeros((whole, int(about["index"].max()) + 1), np.int8)
            train[steps, i] = sign
            return plots.raster(ax, train, self.dt, start=begin)
        if "to" in about:
            seconds = self.seconds / self.samples
            return plots.weight_evolution(
                ax, columns[0] / seconds, columns[1], label=f"{what} of {name}", xlabel="samples"
            )
        unit = "" if about["unit"] == "1" else about["unit"]
        return plots.traces(ax, *columns, unit=unit, quantity=f"{what} of {name}")

    def to_neo(self):
        """A ``neo.Block``: a SpikeTrain for each cell, an AnalogSignal (or, with gaps, an IrregularlySampledSignal) for each
        table of states or rates. Raises InputError where neo is not installed.
        """
        from neurolearn.circuit.recording.exchange import block

        return block(self)

    def _read(self, kind: str, name: str, what: str, start: float, stop: float | None) -> tuple[np.ndarray, ...]:
        table, found = f"{kind}/{name}/{what}", []
        self._known(table)
        begin, end = _time("start", start) - self.dt / 2, np.inf if stop is None else _time("stop", stop) - self.dt / 2
        for path, (first, last) in zip(self._parts, self._spans, strict=True):
            if found and (last < begin or first > end):
                continue
            with reading(path) as file:
                t = file[table]["t"][:]
                rows = slice(*np.searchsorted(t, (begin, end)))
                found.append((t[rows], *(file[table][column][rows] for column in COLUMNS[kind][1:])))
        return tuple(np.concatenate(column) for column in zip(*found, strict=True))

    def _known(self, table: str) -> None:
        if table not in self.tables:
            raise InputError(f"{self.path.name} has no {table}; it has {', '.join(self.tables)}.")


def _time(what: str, value) -> float:
    """Seconds; value: seconds or a Brian2 quantity. Raises InputError for anything else."""
    return quantity.si(what, value, "s", -np.inf)


def trains(spikes: Sequence[np.ndarray], cells: Sequence[int]) -> dict[tuple[int, int], np.ndarray]:
    """{(cell, sign): times} of (t, i, sign), for every cell and both signs that occur."""
    t, i, sign = spikes
    return {
        (int(cell), side): t[(i == cell) & (sign == side)] for cell in cells for side in (1, -1) if np.any(sign == side)
    }
