r"""Random numbers that a circuit makes itself, the same on every code-generation target and after every resume.

L'Ecuyer's combined generator: $a \leftarrow 40014 a \bmod m_1$, $b \leftarrow 40692 b \bmod m_2$ and
$u = ((a - b) \bmod (m_1 - 1) + \frac12) / (m_1 - 1)$ with $m_1 = 2147483563$, $m_2 = 2147483399$. All of it but the last
division is exact in float64, for every product stays below $2^{53}$. The period is about $2.3 \times 10^{18}$. The state is two
variables of each cell; first values come from a named stream.
Source: L'Ecuyer 1988, Communications of the ACM 31:742, doi:10.1145/62959.62969.
"""

from __future__ import annotations

import numpy as np

from neurolearn.circuit.plan import GroupPlan
from neurolearn.streams import stream

FIRST, SECOND = 2147483563, 2147483399
STEPS = (40014, 40692)


def seeded(group: GroupPlan, name: str, seed: int) -> None:
    """Give every cell of a group a generator of that name, from the stream (seed, "lehmer", group, name)."""
    rng = stream(seed, "lehmer", group.name, name)
    for part, modulus in (("a", FIRST), ("b", SECOND)):
        group.equations.append(f"{name}_{part} : 1")
        group.values[f"{name}_{part}"] = rng.integers(1, modulus, group.size).astype(float)


def turn(name: str) -> list[str]:
    """Statements that move the generator on."""
    return [
        f"{name}_a = ({STEPS[0]}.0*{name}_a) % {FIRST}.0",
        f"{name}_b = ({STEPS[1]}.0*{name}_b) % {SECOND}.0",
    ]


def uniform(name: str) -> str:
    """The number between 0 and 1, both excluded, that the generator stands at, as an expression."""
    return f"((({name}_a - {name}_b + {FIRST - 1}.0) % {FIRST - 1}.0 + 0.5)/{FIRST - 1}.0)"


def first(group: GroupPlan, name: str) -> np.ndarray:
    """Turn a seeded generator once, before anything runs; returns its number for each cell."""
    a, b = group.values[f"{name}_a"], group.values[f"{name}_b"]
    group.values |= {f"{name}_a": STEPS[0] * a % FIRST, f"{name}_b": STEPS[1] * b % SECOND}
    return sequence(a, b, 1)[0]


def sequence(a: np.ndarray, b: np.ndarray, count: int) -> np.ndarray:
    """The next ``count`` numbers (count, cells) of generators that stand at (a, b)."""
    found = np.empty((count, len(a)))
    for n in range(count):
        a, b = STEPS[0] * a % FIRST, STEPS[1] * b % SECOND
        found[n] = ((a - b + FIRST - 1) % (FIRST - 1) + 0.5) / (FIRST - 1)
    return found
