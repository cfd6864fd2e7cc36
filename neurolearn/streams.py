"""Named random streams: every draw has a name, so that adding a layer or a monitor changes no other draw."""

from __future__ import annotations

import zlib

import numpy as np

from neurolearn import ties
from neurolearn.errors import InputError
from neurolearn.program import Program


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """An independent generator for that seed and these names (text or numbers)."""
    words = [zlib.crc32(n.encode()) if isinstance(n, str) else int(n) for n in names]
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([int(seed), *words])))


def initial_weights(program: Program, pathways, seed: int = 0, bias: float = 0.0) -> dict[str, np.ndarray]:
    """Start values of all weights that are not tied, float64, each from its own stream.

    pathways: the rule's pathways (their initialisers see a generator and a shape, never a weight). bias: standard
    deviation of the bias currents. Weights that follow others come last. Raises InputError if an initialiser returns
    another shape.
    """
    weights = {}
    for w in program.free():
        if w.start or w.derived:
            continue
        rng = stream(seed, "weights", w.name)
        if w.source is None:
            weights[w.name] = rng.normal(0.0, 1.0, w.shape) * bias
            continue
        draw = pathways[w.pathway].weights if w.pathway in pathways else _mean
        value = np.asarray(draw(rng, w.shape), dtype=float)
        if value.shape != w.shape:
            raise InputError(
                f"the initialiser of pathway {w.pathway} returned {value.shape}; it must return {w.shape}."
            )
        value = value if w.sign is None else w.sign * np.abs(value)
        weights[w.name] = value if w.mask is None else value * w.mask
    for w in program.free():
        if w.start:
            value = ties.derive(w.start, weights)
            weights[w.name] = value if w.mask is None else value * w.mask
    return ties.complete(program, weights)


def _mean(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    return np.full(shape, 1.0 / shape[1])


def noise(program: Program, indices: np.ndarray, seed: int, step: int = 0) -> dict[str, np.ndarray]:
    """Draws for every ``noise`` (unit normal) and ``uniform`` (0 to 1) that a program reads: name_cell -> (batch, units).

    Keyed by (seed, phase, layer, step, global index of the sample), never by the place in the batch.
    """
    draws = {}
    for k, cell in enumerate(program.cells):
        for name in cell.externals:
            if name.startswith(("noise_", "uniform_")):
                draw = "standard_normal" if name.startswith("noise_") else "random"
                draws[f"{name}_{k}"] = np.stack(
                    [getattr(stream(seed, name, cell.layer, step, int(n)), draw)(cell.size) for n in indices]
                )
    return draws


def given(program: Program, x, teacher, seed: int = 0, step: int = 0, held=None, indices=None) -> dict[str, np.ndarray]:
    """Everything that a program is given from outside: data, teacher, noise and held signals; name_cell -> (batch, n).

    x: (batch, inputs). teacher: (batch, outputs). held: {signal: {layer: (batch, units)}}.
    """
    x, teacher = np.asarray(x, float), np.asarray(teacher, float)
    values = noise(program, np.arange(len(x)) if indices is None else indices, seed, step)
    for k, cell in enumerate(program.cells):
        for name in cell.externals:
            if name == "data":
                values[f"data_{k}"] = x
            elif name == "teacher":
                values[f"teacher_{k}"] = teacher
            elif name == "polarity":
                values[f"polarity_{k}"] = np.tile(program.network.polarity(cell.layer), (len(x), 1))
            elif name.startswith("held_"):
                values[f"{name}_{k}"] = np.asarray(held[name[5:]][cell.layer], float)
    values.setdefault("data_0", x)  # how many samples there are, even for a rule that reads no data
    return values
