"""A circuit as data: groups, synapses and their arrays, before any Brian2 object exists.

The plan is printed as a script (``script.py``) and that very script is executed to build the Network (``built.py``).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from neurolearn.program import Program


@dataclass
class Regular:
    """Code that runs on a clock, "slow" or "fast"; lower orders first. On the slow one 0 reads, 1 keeps values, 2 clears
    means, 3 turns the phase; on the fast one 4 puts signals on their axons."""

    code: list[str]
    order: int
    clock: str = "slow"


@dataclass(frozen=True)
class Stream:
    """Samples that follow one another in a single circuit. samples: of a segment. resets: each sample starts from rest."""

    samples: int
    resets: bool = False


@dataclass
class MonitorPlan:
    """A StateMonitor, before anything is read or cleared. record: indices, or None for every cell. clock: period of a clock
    of its own (s), or 0 for the slow clock.
    """

    name: str
    source: str
    variables: list[str]
    record: np.ndarray | None = None
    clock: float = 0.0


@dataclass
class EventPlan:
    """An EventMonitor of the cells of a group."""

    name: str
    source: str
    event: str


@dataclass
class GroupPlan:
    """A NeuronGroup: copies x units cells, copy after copy. method: of integration. heard: events that are arrivals."""

    name: str
    title: str
    size: int
    equations: list[str] = field(default_factory=list)
    events: dict[str, str] = field(default_factory=dict)
    on_event: dict[str, str] = field(default_factory=dict)
    heard: dict[str, str] = field(default_factory=dict)
    regular: list[Regular] = field(default_factory=list)
    values: dict[str, np.ndarray] = field(default_factory=dict)
    method: str = "euler"


@dataclass
class SpikePlan:
    """A SpikeGeneratorGroup with spikes drawn beforehand: indices and steps."""

    name: str
    size: int
    indices: np.ndarray
    steps: np.ndarray


@dataclass
class SynapsesPlan:
    """A Synapses object. i, j: indices of its source and target cells; units: (copy, to, from) of each synapse.

    keys: pathway of the object -> the call that it carries, "pathway.signal"; delays: the same -> seconds. orders: the same ->
    its place among the pathways of a time step, where Brian2's own (on_pre -1, on_post 1) will not do.
    """

    name: str
    title: str
    source: str
    target: str
    i: np.ndarray
    j: np.ndarray
    units: np.ndarray
    model: list[str] = field(default_factory=list)
    on_pre: dict[str, str] = field(default_factory=dict)
    on_post: dict[str, str] = field(default_factory=dict)
    on_event: dict[str, str] = field(default_factory=dict)
    regular: list[Regular] = field(default_factory=list)
    w: np.ndarray | None = None
    keys: dict[str, str] = field(default_factory=dict)
    delays: dict[str, float] = field(default_factory=dict)
    sign: float = 1.0
    values: dict[str, np.ndarray] = field(default_factory=dict)
    orders: dict[str, int] = field(default_factory=dict)


@dataclass
class CircuitPlan:
    """Everything that ``script.py`` prints. namespace: name -> (value in SI, unit name or '').

    timed: name -> (samples, units), what a stream brings in from outside. tail: how long the run goes on after the last
    tick, in periods. partners: groups that are no cells of the program (``dale``).
    """

    title: str
    copies: int
    dt: float
    period: float  # of the slow clock
    ticks: int  # of the slow clock, until the last read
    namespace: dict[str, tuple[float, str]]
    groups: list[GroupPlan] = field(default_factory=list)
    spikes: list[SpikePlan] = field(default_factory=list)
    synapses: list[SynapsesPlan] = field(default_factory=list)
    timed: dict[str, np.ndarray] = field(default_factory=dict)
    monitors: list[MonitorPlan | EventPlan] = field(default_factory=list)
    tail: float = 1e-3
    partners: list[GroupPlan] = field(default_factory=list)


@dataclass
class Planned:
    """A Program (placed) and its plan, with no Brian2 object yet. A built ``Circuit`` has both too."""

    program: Program
    plan: CircuitPlan


def block_indices(copies: int, to: np.ndarray, source: np.ndarray, sizes: tuple[int, int]):
    """(i, j, units) of block copies: the edges (to, from) of one copy, repeated for every copy.

    sizes: (units of the target, units of the source) per copy.
    """
    copy = np.repeat(np.arange(copies), len(to))
    to, source = np.tile(to, copies), np.tile(source, copies)
    return copy * sizes[1] + source, copy * sizes[0] + to, np.stack([copy, to, source])
