"""When things happen in a simulation: the step, the filters, how long a phase settles and how long it is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from neurolearn import quantity
from neurolearn.errors import InputError

CODINGS = ("opponent", "rectified_pair", "baseline", "two_phase", "graded")
ONE_CELL = ("baseline", "two_phase")  # those of one cell per unit, with a base rate
STEPS = 2.0  # of dt in the shortest time constant, at least; Euler steps of a longer dt overshoot


@dataclass(frozen=True)
class Baseline:
    """What the codings of one cell per unit need (``circuit.coding.single``).

    rate: spikes/s of a cell that sends 0; None is the signal's unit rate, with which -1 is the least that can be sent. tau:
    time constant (s) of the running mean of coding ``baseline``. Long against a presentation, so that a signal does not
    become its own baseline (a share of T/tau is lost in T seconds); short against whatever drifts. 20 s loses 7 % of a
    signal in 1.5 s, the middle of the window of a presentation of 2 s.
    """

    rate: float | None = None
    tau: float = 20.0

    def __post_init__(self) -> None:
        if self.rate is not None:
            object.__setattr__(self, "rate", quantity.si("Baseline: rate", self.rate, "s^-1"))
        object.__setattr__(self, "tau", quantity.si("Baseline: tau", self.tau, "s"))


@dataclass(frozen=True)
class Timing:
    """Time in circuits and spiking tensors: SI numbers, or Brian2 quantities (``dt=1*ms``), which become SI numbers.

    dt: step (s). tau: synaptic time constant (s), per pathway or per call ("W" or
    "W.rate") in ``taus``. settle: steps of a phase before its window
    opens. window: steps during which signals are averaged (spiking only; settle is a multiple of it). unit_rate:
    spikes/s per unit of signal, per signal in ``unit_rates``. membrane: (time constant in s, leak potential) of the
    coding cells. encoding: of the input, "regular" (integrators) or "poisson". jitter: relative spread of the
    thresholds. seed: of initial potentials, thresholds and Poisson input. cells: cells per unit,
    in spikes.
    codings: of signals, by name, for circuit.spiking (one of CODINGS; opponent where nothing is said). A rate that is the
    cell's own f-I curve and Poisson input keep theirs. baseline: what codings of one cell per unit need.
    """

    dt: float = 1e-3
    tau: float = 10e-3
    taus: Mapping[str, float] = field(default_factory=dict)
    settle: int = 1000
    window: int = 1000
    unit_rate: float = 200.0
    unit_rates: Mapping[str, float] = field(default_factory=dict)
    membrane: tuple[float, float] = (1e6, 0.0)
    encoding: str = "regular"
    jitter: float = 0.0
    seed: int = 0
    cells: int = 1
    codings: Mapping[str, str] = field(default_factory=dict)
    baseline: Baseline = Baseline()

    def __post_init__(self) -> None:
        def put(name: str, value) -> None:
            object.__setattr__(self, name, value)

        for name, kind in (("dt", "s"), ("tau", "s"), ("unit_rate", "s^-1")):
            put(name, quantity.si(f"Timing: {name}", getattr(self, name), kind))
        put("taus", quantity.table("Timing: taus", self.taus, "s"))
        put("unit_rates", quantity.table("Timing: unit_rates", self.unit_rates, "s^-1"))
        for name, least in (("settle", 1), ("window", 1), ("cells", 1), ("seed", 0)):
            steps = " (in steps of dt)" if name in ("settle", "window") else ""
            put(name, quantity.whole(f"Timing: {name}{steps}", getattr(self, name), least))
        if not isinstance(self.membrane, tuple | list) or len(self.membrane) != 2:
            raise InputError(f"Timing: membrane is {self.membrane!r}; give (time constant, leak potential), such as (20e-3, 0.0).")
        tau, leak = self.membrane
        put("membrane", (quantity.si("Timing: the time constant of membrane", tau, "s"),
                         quantity.si("Timing: the leak potential of membrane", leak, "1", -float("inf"))))  # fmt: skip
        put("jitter", quantity.si("Timing: jitter", self.jitter, "1", 0.0))
        if self.dt > self.membrane[0]:
            raise InputError(
                f"Timing: dt = {self.dt} s is too coarse for a membrane of {self.membrane[0]} s; take dt at most half of it."
            )
        if self.dt > min([self.tau, *self.taus.values()]) / STEPS:
            raise InputError(
                f"Timing: dt = {self.dt} s is too coarse for the filter of {min([self.tau, *self.taus.values()])} s; "
                "take dt at most half of it, and a tenth where figures count."
            )
        if self.encoding not in ("regular", "poisson"):
            raise InputError(f"Timing: encoding is {self.encoding!r}; choose regular or poisson.")
        if not isinstance(self.codings, Mapping):
            raise InputError(f"Timing: codings is {self.codings!r}; give signals with their codings, such as {{'error': 'baseline'}}.")
        if not isinstance(self.baseline, Baseline):
            raise InputError(f"Timing: baseline is {self.baseline!r}; give Baseline(rate=..., tau=...).")
        for signal, coding in self.codings.items():
            if coding not in CODINGS:
                raise InputError(f"Timing: codings[{signal!r}] is {coding!r}; choose one of {', '.join(CODINGS)}.")

    def tau_of(self, key: str) -> float:
        """Synaptic time constant, in seconds, of a pathway ("W") or of one call of it ("W.rate")."""
        return self.taus.get(key, self.taus.get(key.split(".")[0], self.tau))

    def rate_of(self, signal: str) -> float:
        """Spikes per second for a signal of 1."""
        return self.unit_rates.get(signal, self.unit_rate)

    def base_rate_of(self, signal: str) -> float:
        """Spikes per second for a signal of 0, where it is sent by one cell."""
        return self.rate_of(signal) if self.baseline.rate is None else self.baseline.rate

    def scaled(self, steps: int, filters: float = 50.0) -> Timing:
        """The same with ``steps`` per phase, half of them window, and every filter ``steps / filters`` long."""
        return replace(self, settle=steps // 2, window=steps // 2, tau=steps * self.dt / filters)
