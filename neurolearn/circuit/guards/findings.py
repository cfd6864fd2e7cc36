"""What a guard of a circuit finds, and what is done about it: nothing, a warning, or an error."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from neurolearn import quantity
from neurolearn.errors import InputError, NeurolearnError, SaturationError, SettlingError, SimulationError

POLICIES = ("raise", "warn", "ignore")
ERRORS: dict[str, type[NeurolearnError]] = {
    "nan": SimulationError,
    "saturation": SaturationError,
    "silence": SimulationError,
    "unsettled": SettlingError,
    "drift": SettlingError,
    "stability": SettlingError,
    "step": SettlingError,
    "rates": SaturationError,
}
SHOWN = 4  # findings, or samples of one, that an error spells out


class CircuitWarning(UserWarning):
    """A guard with the policy "warn" found something."""


@dataclass(frozen=True)
class Finding:
    """A fault of a circuit.

    guard: which one found it. population, signal: where (population is empty if it is the whole circuit's). value, limit: what
    was measured and what it may be, in the unit that ``what`` names. what, remedy: the sentence's two halves. samples: of
    the batch, where it was seen; empty if it is not one sample's.
    """

    guard: str
    population: str
    signal: str
    value: float
    limit: float
    what: str
    remedy: str
    samples: tuple[int, ...] = ()

    def __str__(self) -> str:
        more = len(self.samples) - SHOWN
        numbers = ", ".join(map(str, self.samples[:SHOWN])) + (f" and {more} more" if more > 0 else "")
        where = f" (sample{'s' if len(self.samples) > 1 else ''} {numbers})" if self.samples else ""
        return f"{self.what}{where}: {self.remedy}."


@dataclass(frozen=True)
class Guards:
    """What is asked of a circuit, each with a policy: "raise", "warn" or "ignore".

    Before a run. stability: no mode of the settled circuit grows. step: dt is at most half of every time constant, and not too
    coarse for the fastest mode. rates: no signal asks its cells for more than a spike per step.
    After a run. nan: everything is finite. saturation: no coding cell owes more spikes than it can send. silence: no
    population is silent while its signal is worth ``spikes`` spikes in a window, and no hidden layer's rate is silent
    throughout. unsettled (rate circuits): no current is further than ``residual`` from its input at a read, relative to the
    largest current. drift (spiking circuits): the means over the two halves of a window differ by less than ``halves`` of the
    largest in their population; spikes themselves make some of that, about one in each half.

    Of a single presentation silence and drift stop the simulation at the end (and the middle) of every window, which changes
    nothing in it but costs about half a second a phase. Of a stream nan, saturation, silence (of hidden layers, throughout),
    unsettled and drift are asked after every segment (``circuit.guards.stream``). Raises InputError for another policy.
    """

    nan: str = "raise"
    saturation: str = "raise"
    silence: str = "warn"
    unsettled: str = "warn"
    drift: str = "ignore"
    stability: str = "raise"
    step: str = "raise"
    rates: str = "raise"
    spikes: float = 3.0
    residual: float = 1e-3
    halves: float = 0.1

    def __post_init__(self) -> None:
        for guard in ERRORS:
            if getattr(self, guard) not in POLICIES:
                raise InputError(f"Guards: {guard} is {getattr(self, guard)!r}; choose one of {', '.join(POLICIES)}.")
        for limit in ("spikes", "residual", "halves"):
            quantity.si(f"Guards: {limit}", getattr(self, limit))

    def wants(self, *guards: str) -> bool:
        """Whether any of these is not ignored."""
        return any(getattr(self, guard) != "ignore" for guard in guards)

    def judge(self, findings: Iterable[Finding], told: set | None = None) -> list[Finding]:
        """The findings that are not ignored, once they have been warned of; raises the error of the first that is to be.

        The error's ``findings`` are all that raise. told: what was warned of before, by guard, population and signal; it is
        not warned of again, and what is is added.
        """
        kept = [finding for finding in findings if getattr(self, finding.guard) != "ignore"]
        for finding in kept:
            key = (finding.guard, finding.population, finding.signal)
            if getattr(self, finding.guard) == "warn" and (told is None or key not in told):
                warnings.warn(str(finding), CircuitWarning, stacklevel=4)
                if told is not None:
                    told.add(key)
        if faults := [finding for finding in kept if getattr(self, finding.guard) == "raise"]:
            more = f"\n(and {len(faults) - SHOWN} more)" if len(faults) > SHOWN else ""
            error = ERRORS[faults[0].guard]("\n".join(map(str, faults[:SHOWN])) + more)
            error.findings = faults
            raise error
        return kept


NUMBERS = Guards(silence="ignore", unsettled="ignore", stability="ignore", step="ignore", rates="ignore")
"""What every circuit is asked: that its numbers are numbers, and that its cells could send them."""


def samples_of(wrong: np.ndarray) -> tuple[int, ...]:
    """Samples in which any unit is wrong; wrong: (samples, units)."""
    return tuple(int(n) for n in np.flatnonzero(wrong.any(1)))
