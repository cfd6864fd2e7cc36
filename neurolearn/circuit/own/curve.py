r"""The f-I curve of a cell, measured in Brian2, as an activation of this package.

Uncoupled copies of the cell get constant drives; a copy's rate is the number of its intervals over the time that they
take. What is fitted is the interval between spikes, in the distance $x = u - p$ of the potential $u$ from a pole $p$:

$$1/f(u) = c_0 + c_1 \sqrt{s/x} + c_2\, s/x + \sum_j a_j \log(1 + s_j/x), \quad c, a \ge 0$$

The first term is the refractory period, the second the curve of a saddle-node onset, the third a straight line, and the
logarithm the leaky integrate-and-fire cell (Gerstner et al. 2014, Neuronal Dynamics, section 1.3). All of them fall with
x and no coefficient is negative, so f rises everywhere and its slope is never negative. A cell whose curve is not of
this kind is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from brian2 import Network, SpikeMonitor, ms, prefs, second
from scipy.optimize import nnls

from neurolearn import quantity
from neurolearn.activations import Activation
from neurolearn.circuit.own.cell import Cell, reason
from neurolearn.errors import InputError

FEWEST = 3  # spikes whose intervals make a rate; of a slower cell they are counted
SCALES = np.geomspace(1e-2, 1e2, 9)  # of the logarithms, in units of the measured range


@dataclass(frozen=True, eq=False)
class Measured:
    """What was measured of a cell, and how far the fit is from it.

    drives: potentials, without a unit. rates, fitted: Hz. residual_hz: largest distance of the fit; rms_hz: its root mean
    square. grid_hz: half of what a rate changes if the interval is a step longer, at the highest rate: a hard reset
    rounds every interval up to whole steps. dt: of the measurement, in seconds.
    """

    cell: Cell
    dt: float
    drives: np.ndarray = field(repr=False)
    rates: np.ndarray = field(repr=False)
    fitted: np.ndarray = field(repr=False)
    residual_hz: float
    rms_hz: float
    grid_hz: float

    @property
    def unit_hz(self) -> float:
        """Hz of a signal of 1."""
        return self.cell.unit_hz


def measured(
    cell: Cell,
    drives: tuple[float, float] = (-2.0, 4.0),
    *,
    points: int = 240,
    seconds=2.0 * second,
    settle=0.5 * second,
    dt=0.1 * ms,
    tolerance: float | None = None,
) -> Activation:
    """The cell's own f-I curve as an activation, which carries the cell.

    drives: (lowest, highest) potential, measured at ``points`` values, and once more between the last silent and the first
    that fires; the curve goes on above the highest. seconds: counted, after settle. dt: the step, with which its
    circuits then have to run. tolerance: largest residual in Hz, beyond the rounding to whole steps; default 2 % of the
    highest rate. ``measured(...).cell`` is the ``Measured`` with residuals and both curves. Raises InputError if the cell
    is silent, fires at every drive, or has a curve that falls or does not fit.
    """
    low, high = _asked(cell, drives, points, seconds, settle, dt)
    u = np.linspace(low, high, points)
    rates = _rates(cell, u, seconds, settle, dt)
    if not rates.any():
        raise InputError(f"{cell.name}: silent from {low:g} to {high:g}; raise drives, drive_scale or background.")
    if rates[0]:
        raise InputError(
            f"{cell.name}: fires at the lowest drive already ({rates[0]:.3g} Hz at {low:g}); measure from a lower one."
        )
    first = int(np.argmax(rates > 0))
    near = np.linspace(u[first - 1], u[first], max(points // 8, 4))[1:-1]
    u, rates = np.insert(u, first, near), np.insert(rates, first, _rates(cell, near, seconds, settle, dt))
    peak = rates.max()
    tolerance = 0.02 * peak if tolerance is None else float(tolerance)
    grid = rates**2 * float(dt) / 2
    _check_rises(cell, u, rates, tolerance + 2 * grid + FEWEST / float(seconds))
    curve = _Curve.fit(u, rates)
    fitted = curve(u)
    residual = np.abs(fitted - rates)
    worst = int(np.argmax(residual - grid))
    if not residual[worst] - grid[worst] <= tolerance:
        raise InputError(
            f"{cell.name}: the fitted curve is {residual[worst]:.3g} Hz from the {rates[worst]:.3g} Hz measured at "
            f"{u[worst]:.3g}, and {tolerance:.3g} Hz are allowed; narrow drives, or raise tolerance."
        )
    facts = Measured(
        cell,
        float(dt),
        u,
        rates,
        fitted,
        float(residual.max()),
        float(np.sqrt(np.mean(residual**2))),
        float(grid.max()),
    )
    return curve.activation(facts)


def _asked(cell, drives, points, seconds, settle, dt) -> tuple[float, float]:
    """(lowest, highest) of ``drives``, once everything that ``measured`` was asked is what it may be. Raises InputError."""
    if not isinstance(cell, Cell):
        raise InputError(f"cell is {cell!r}; give a circuit.Cell.")
    for name, value, least in (("seconds", seconds, None), ("settle", settle, 0.0), ("dt", dt, None)):
        if not hasattr(value, "dim"):
            raise InputError(f"{cell.name}: {name} is {value!r}; give a time with its unit, such as 0.5*second or 0.1*ms.")
        quantity.si(f"{cell.name}: {name}", value, "s", least)
    quantity.whole(f"{cell.name}: points", points, 10)
    if np.shape(drives) != (2,) or not np.isfinite(np.asarray(drives, float)).all() or drives[0] == drives[1]:
        raise InputError(f"{cell.name}: drives is {drives!r}; give (lowest, highest) potential, such as (-1, 4).")
    return float(min(drives)), float(max(drives))


def _rates(cell: Cell, drives: np.ndarray, seconds, settle, dt) -> np.ndarray:
    """Hz of each copy."""
    target = prefs.codegen.target
    prefs.codegen.target = "numpy"
    try:
        group = cell.group(drives, dt)
        monitor = SpikeMonitor(group)
        Network(group, monitor).run(settle + seconds, namespace={})
    except Exception as error:
        raise InputError(f"{cell.name}: Brian2 refuses the cell: {reason(error)}") from error
    finally:
        prefs.codegen.target = target
    for name, variable in group.variables.items():
        if name in group.equations.diff_eq_names and not np.isfinite(variable.get_value()).all():
            raise InputError(f"{cell.name}: {name} is not finite at dt = {float(dt):g} s; take a smaller one.")
    late = np.asarray(monitor.t_) >= float(settle)
    times, cells = np.asarray(monitor.t_)[late], np.asarray(monitor.i)[late]
    count = np.bincount(cells, minlength=len(drives))
    first, last = np.full(len(drives), np.inf), np.full(len(drives), -np.inf)
    np.minimum.at(first, cells, times)
    np.maximum.at(last, cells, times)
    with np.errstate(all="ignore"):
        return np.where(count < FEWEST, count / float(seconds), (count - 1) / (last - first))


def _check_rises(cell: Cell, u: np.ndarray, rates: np.ndarray, allowed: np.ndarray) -> None:
    falls = np.maximum.accumulate(rates) - rates - allowed
    worst = int(np.argmax(falls))
    if falls[worst] > 0:
        top = int(np.argmax(rates[: worst + 1]))
        raise InputError(
            f"{cell.name}: its rate falls from {rates[top]:.3g} Hz at {u[top]:.3g} to {rates[worst]:.3g} Hz at "
            f"{u[worst]:.3g}; an activation rises: measure below that."
        )


@dataclass(frozen=True)
class _Curve:
    """onset: silent up to there. terms: (kind, coefficient in s, scale)."""

    onset: float
    pole: float
    terms: tuple[tuple[str, float, float], ...]

    @classmethod
    def fit(cls, u: np.ndarray, rates: np.ndarray) -> _Curve:
        """The pole, searched from far below the onset up to it, with the smallest squared residual in Hz."""
        first = int(np.argmax(rates > 0))
        silent, span = u[first - 1], u[-1] - u[first]
        step = u[first] - silent

        def best(poles) -> _Curve:
            tried = [cls._at(u, rates, p, silent, u[first], span) for p in poles if p < u[first]]
            return min(tried, key=lambda curve: float(np.sum((curve(u) - rates) ** 2)))

        found = best([*(silent + step * np.linspace(0, 0.99, 12)), *(silent - span * np.geomspace(1e-4, 0.5, 24))])
        for width in (0.3, 0.1, 0.03):
            around = width * max(step, abs(silent - found.pole))
            found = best(found.pole + around * np.linspace(-1, 1, 11))
        return found

    @classmethod
    def _at(cls, u, rates, pole: float, silent: float, first: float, span: float) -> _Curve:
        """Least squares in Hz for one pole: the interval's residual weighs as the product of both rates."""
        onset = pole if pole > silent else (silent + first) / 2
        kinds = [("flat", 1.0), ("root", span), ("line", span), *(("log", span * s) for s in SCALES)]
        on = rates > 0
        columns = np.stack([_value(kind, s, u[on] - pole) for kind, s in kinds], 1)
        guess = rates[on]  # Hz
        for _ in range(4):
            weights = guess * rates[on]
            weighted = columns * weights[:, None]
            sizes = np.linalg.norm(weighted, axis=0)
            c = nnls(weighted / sizes, guess, maxiter=100 * len(kinds))[0] / sizes
            guess = 1.0 / np.maximum(columns @ c, 1e-9)
        terms = tuple(
            (kind, float(f"{a:.6g}"), float(f"{s:.6g}")) for (kind, s), a in zip(kinds, c, strict=True) if a > 0
        )
        return cls(float(f"{onset:.8g}"), float(f"{pole:.8g}"), terms)

    def __call__(self, u: np.ndarray) -> np.ndarray:
        """Hz."""
        x = np.maximum(u - self.pole, 1e-12)
        return np.where(u > self.onset, 1.0 / sum(a * _value(kind, s, x) for kind, a, s in self.terms), 0.0)

    def activation(self, facts: Measured) -> Activation:
        """As text for torch and Brian2, with the slope -T'/(U T^2) of 1/(U T)."""
        unit, tiny = facts.unit_hz, 1e-9
        x_t = f"torch.clamp(({{u}}) + {-self.pole!r}, min={tiny})"
        x_b = f"clip(({{u}}) + {-self.pole!r}, {tiny}, inf)"
        gate_t, gate_b = f"(({{u}}) > {self.onset!r})", f"int(({{u}}) > {self.onset!r})"
        texts = {
            (which, log): " + ".join(
                (TERMS if which == "value" else SLOPES)[kind].format(a=repr(a), s=repr(s), x=x, log=log)
                for kind, a, s in self.terms
            )
            for x, log in ((x_t, "torch.log1p"), (x_b, "log"))
            for which in ("value", "slope")
        }
        if all(kind == "flat" for kind, _, _ in self.terms):
            raise InputError(f"{facts.cell.name}: it has one rate at all drives; measure where it changes.")
        t, b = "torch.log1p", "log"
        one_b = texts["value", b].replace("log(", "log(1.0 + ")
        return Activation(
            facts.cell.name,
            f"torch.where({gate_t}, 1.0/({unit!r}*({texts['value', t]})), 0.0)",
            f"torch.where({gate_t}, ({texts['slope', t]})/({unit!r}*({texts['value', t]})**2), 0.0)",
            f"({gate_b}/({unit!r}*({one_b})))",
            f"({gate_b}*({texts['slope', b]})/({unit!r}*({one_b})**2))",
            kinked=True,
            cell=facts,
        )


TERMS = {
    "flat": "{a}",
    "root": "{a}*({s}/{x})**0.5",
    "line": "{a}*{s}/{x}",
    "log": "{a}*{log}({s}/{x})",
}
SLOPES = {  # minus the derivative
    "flat": "0.0",
    "root": "{a}*0.5*({s}/{x})**0.5/{x}",
    "line": "{a}*{s}/{x}**2",
    "log": "{a}*{s}/({x}*({x} + {s}))",
}


def _value(kind: str, scale: float, x: np.ndarray) -> np.ndarray:
    match kind:
        case "flat":
            return np.ones_like(x)
        case "root":
            return np.sqrt(scale / x)
        case "line":
            return scale / x
    return np.log1p(scale / x)
