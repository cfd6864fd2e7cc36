r"""Background: a noise current into every cell, with a stated amplitude and time constant.

$x_{n+1} = a x_n + \sigma \sqrt{12 (1 - a^2)}\, (u_n - \frac12)$ with $a = e^{-dt/\tau}$ and u uniform: mean 0, standard
deviation $\sigma$ and autocorrelation $e^{-|t|/\tau}$ at every step, as of an Ornstein-Uhlenbeck process. Its excess
kurtosis is $-\frac65 (1 - a^2)/(1 + a^2)$, close to a Gaussian's 0 if $\tau \gg dt$. The numbers come from generators in
the cells (``lehmer``), a turn per step.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import exp, isfinite, sqrt
from numbers import Real

from neurolearn.circuit.biology import lehmer
from neurolearn.circuit.plan import CircuitPlan, GroupPlan, Regular
from neurolearn.draws import codes
from neurolearn.errors import InputError
from neurolearn.program import Program
from neurolearn.streams import stream
from neurolearn.timing import Timing


@dataclass(frozen=True)
class Background:
    """Noise of standard deviation ``amplitude``, in units of what it joins, and of a time constant ``tau``.

    into: "cells" (what drives the coding cells of a spiking circuit; the two cells of a pair share it), or the currents of
    pathways: their names ("W", "B.error"), or "currents" for all. Raises InputError.
    """

    amplitude: float
    tau: object
    into: str | tuple[str, ...] = "cells"

    def __post_init__(self) -> None:
        from neurolearn.circuit.biology.body import seconds

        number = isinstance(self.amplitude, Real) and not isinstance(self.amplitude, bool)
        if not (number and isfinite(self.amplitude) and self.amplitude >= 0):
            raise InputError(f"Background: amplitude is {self.amplitude!r}; give a number that is not negative.")
        object.__setattr__(self, "tau", seconds("tau of the background", self.tau))
        into = (self.into,) if isinstance(self.into, str) else self.into
        if not isinstance(into, tuple) or not into or not all(isinstance(name, str) for name in into):
            raise InputError(f"Background: into is {self.into!r}; give 'cells', 'currents' or names of pathways.")
        object.__setattr__(self, "into", into)


def give(plan: CircuitPlan, program: Program, timing: Timing, kind: str, background: Background) -> None:
    """Add the noise to a plan. Raises InputError for places that the circuit does not have."""
    into, keys = set(background.into), {c.key for cell in program.cells for c in cell.compartments}
    known = {"cells", "currents", *keys, *(key.split(".")[0] for key in keys)}
    if into - known:
        raise InputError(f"background goes into {min(into - known)!r}; here are {', '.join(sorted(known))}.")
    if "cells" in into and kind != "spiking":
        raise InputError("background into 'cells' is of spiking circuits; in a rate circuit it goes into 'currents' or pathways.")
    for group, cell in zip(plan.groups, program.cells, strict=True):
        for c in cell.compartments:
            if c.paths[0].kind != "broadcast" and into & {"currents", c.key, c.key.split(".")[0]}:
                noise = _noise(group, c.name, timing, background)
                _edit(group, c.name, lambda text, c=c, noise=noise: f"{text} + {noise}/tau_{c.name}")
    for code in codes(program, timing) if "cells" in into else ():
        if code.kind == "drawn":
            continue
        group, driven = plan.groups[code.cell], code.drive or code.signal
        noise = _noise(group, code.signal, timing, background)
        join = rf"\b{driven}\b"
        edited = [
            _edit(group, f"v_{code.signal}_{side}", lambda text, n=noise, j=join, d=driven: re.sub(j, f"({d} + {n})", text))
            for side in ("on", "off")
        ]
        if not any(edited):
            raise InputError(f"background: the cells that send {code.signal} have no drive to join; name pathways instead.")


def _noise(group: GroupPlan, name: str, timing: Timing, background: Background) -> str:
    """A noise of its own for every cell of a group; returns its variable."""
    noise, draw = f"background_{name}", f"chance_{name}"
    lehmer.seeded(group, draw, timing.seed)
    group.equations.append(f"{noise} : 1")
    group.values[noise] = background.amplitude * stream(timing.seed, "background", group.name, name).standard_normal(group.size)
    kept = exp(-timing.dt / background.tau)
    kick = background.amplitude * sqrt(12 * (1 - kept**2))
    code = [*lehmer.turn(draw), f"{noise} = {kept!r}*{noise} + {kick!r}*({lehmer.uniform(draw)} - 0.5)"]
    group.regular.append(Regular(code, 0, clock="fast"))
    return noise


def _edit(group: GroupPlan, name: str, change) -> bool:
    """Change the right side of a variable's differential equation; False if it has none."""
    for n, line in enumerate(group.equations):
        head, _, rest = line.partition(" = ")
        if head == f"d{name}/dt":
            code, hash_, comment = rest.partition("  #")
            right, colon, end = code.rpartition(" : 1")
            group.equations[n] = f"{head} = {change(right)}{colon}{end}{hash_}{comment}"
            return True
    return False
