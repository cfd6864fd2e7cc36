"""The edges of a rule: each realisation held against its neighbour, and the rule against its stated limit."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from neurolearn.changes import default_timing, fit_rates
from neurolearn.compare import angle, norm_ratio, relative_error
from neurolearn.edge import (
    FULL_BATCH,
    LIMIT,
    RATE,
    RATE_LIMIT,
    SPIKES,
    Edge,
    Setting,
    algebra,
    case,
    rows,
    settings,
)
from neurolearn.limits import limit_edge
from neurolearn.program import Plastic, Program
from neurolearn.rule import Rule
from neurolearn.timing import Timing

EDGES = (RATE, SPIKES, RATE_LIMIT, LIMIT)
SLOPE_STEPS = (2000, 4000, 8000, 16000, 32000)  # fixed before any run
PHASES_DRAWN = 8  # random initial potentials over which medians are taken


def verify(
    rules: list[Rule], *, full: bool = False, sabotage: bool = False, progress: Callable[[str, str], None] | None = None
) -> list[Edge]:
    """All edges of all rules. full: two shapes, two activations, two seeds, and slopes. sabotage: flip one sign in what is
    under test; every edge must then fail. progress(rule, edge) is called before each measurement."""
    edges: list[Edge] = []
    for rule in rules:
        for name, measure in (*measurements(full), ("slopes", slopes)) if full else measurements(full):
            if progress:
                progress(rule.name, name)
            edges += measure(rule, sabotage)
    return edges


def measurements(full: bool) -> list[tuple[str, Callable]]:
    """(edge, function of (rule, sabotage)) in their order."""
    return [
        (RATE, lambda rule, bad: [e for s in settings(rule, full) for e in rate_edge(rule, s, bad)]),
        (SPIKES, lambda rule, bad: [e for s in settings(rule, full) for e in spike_edge(rule, s, bad)]),
        (RATE_LIMIT, lambda rule, bad: list(rate_limit_edge(rule, settings(rule)[0], bad))),
        (LIMIT, lambda rule, bad: list(limit_edge(rule, settings(rule)[0], bad))),
    ]


def rate_edge(rule: Rule, setting: Setting, sabotage: bool = False) -> Iterator[Edge]:
    """The change that Brian2 integrated into its weights against the settled algebra, at dt = tau/10.

    Tolerance: 1e-8, or 1e-5 with loops; the circuit is given the time to settle to a hundredth of it.
    """
    from neurolearn.circuit import make

    program, tested, weights, given = case(rule, setting, sabotage)
    tolerance = 1e-5 if loops(program) else 1e-8
    timing = default_timing(program, weights, given, "circuit.rate", eps=tolerance / 100)
    circuit = make(tested, weights, given, timing, "rate")
    circuit.run()
    ours, theirs, note = (
        circuit.changes(),
        algebra(program, weights, given),
        f"residual {circuit.facts()['residual']:.1e}",
    )
    yield from rows(
        rule,
        setting,
        RATE,
        program,
        "relative error",
        lambda n: relative_error(ours[n], theirs[n]),
        tolerance,
        theirs,
        note,
    )


def spike_edge(rule: Rule, setting: Setting, sabotage: bool = False, steps: int = 1500) -> Iterator[Edge]:
    """Brian2's spikes against the tensor recursion's, bin by bin; potentials; weight changes. Thresholds off the lattice.

    steps: of all phases together.
    """
    from neurolearn.circuit import make
    from neurolearn.tensor.spiking import SpikingProgram

    program, tested, weights, given = case(rule, setting, sabotage)
    half = steps // (2 * len(program.phases))
    timing = Timing(settle=half, window=half, tau=half * 4e-5, jitter=0.01, seed=setting.seed)
    timing = fit_rates(program, weights, given, timing)
    simulation = SpikingProgram(program, weights, timing)
    theirs = {n: c.numpy() for n, c in simulation.run(given, record=True).items()}
    circuit = make(tested, weights, given, timing, "spiking")
    circuit.record_spikes()
    potentials = circuit.run_to_last_step()
    circuit.run()
    ours, trains, activity = circuit.changes(), circuit.spikes(), simulation.activity
    unequal = sum(int((trains[n] != activity.trains[n]).sum()) for n in trains)
    note = f"{activity.spikes} spikes, {activity.active:.0%} of cells active"
    enough = 1e5 if setting.batch >= FULL_BATCH else 1e4
    if activity.spikes < enough or not 0.05 <= activity.active <= 0.95:
        note = f"void: {note}; the edge counts with {enough:.0e} spikes and 5-95 % of cells"
    place = (rule.name, f"{setting.network()} seed {setting.seed}", SPIKES, "all", "all")
    yield Edge(*place, "unequal bins", unequal, 0, float(activity.spikes), note)
    apart = max(float(np.abs(potentials[n] - v).max()) for n, v in simulation.final.potentials().items())
    # Every step rounds the drive, at most half a threshold, and what carries it keeps that for its time constant.
    slowest = max([1.0, *program.times.values()]) * timing.tau / timing.dt
    rounding = np.finfo(float).eps * steps * (1 + slowest / 2)
    yield Edge(*place, "potential", apart, rounding, float(activity.spikes), note)
    yield from rows(
        rule,
        setting,
        SPIKES,
        program,
        "relative error",
        lambda n: relative_error(ours[n], theirs[n]),
        1e-9,
        theirs,
        note,
    )


def loops(program: Program) -> bool:
    """Whether any signal has a state of its own, which settles in a loop."""
    return any(program.states(phase, closed=False) for phase in program.phases)


def spike_errors(rule: Rule, setting: Setting, steps: int, sabotage: bool = False, encoding: str = "regular"):
    """(program, rate changes, [changes of each draw of initial potentials]) of tensor.spiking at ``steps`` per phase."""
    from neurolearn.tensor.spiking import SpikingProgram
    from neurolearn.timescales import spiking_timing

    program, tested, weights, given = case(rule, setting, sabotage, PHASES_DRAWN)
    one = {name: value[: setting.batch] for name, value in given.items()}
    timing = spiking_timing(program, weights, one, steps, Timing(seed=setting.seed, encoding=encoding))
    timing = fit_rates(program, weights, one, timing)
    drawn = SpikingProgram(tested, weights, timing, kind="fused").repeats(given, PHASES_DRAWN)
    return program, algebra(program, weights, one), [{n: c.numpy() for n, c in d.items()} for d in drawn]


def rate_limit_edge(rule: Rule, setting: Setting, sabotage: bool = False, steps: int = 8000) -> Iterator[Edge]:
    """Spikes against the settled algebra at T = 8000 steps with regular input: <= 2 degrees, norm within 2 %."""
    program, rate, drawn = spike_errors(rule, setting, steps, sabotage)
    note = f"T = {steps} steps, median of {len(drawn)} initial potentials"
    yield from rows(
        rule,
        setting,
        RATE_LIMIT,
        program,
        "angle (deg)",
        lambda n: np.median([angle(d[n], rate[n]) for d in drawn]),
        2.0,
        rate,
        note,
    )
    yield from rows(
        rule,
        setting,
        RATE_LIMIT,
        program,
        "norm",
        lambda n: np.median([abs(norm_ratio(d[n], rate[n]) - 1) for d in drawn]),
        0.02,
        rate,
        note,
    )


def slopes(rule: Rule, sabotage: bool = False) -> Iterator[Edge]:
    """How the error of spikes falls with averaging time: slope -1 (regular input) and -1/2 (Poisson).

    The second is asked of matrices that Poisson input makes three times as wrong or more: from the others its noise
    cancels, as from a difference of two signals that both carry it.
    """
    setting = settings(rule)[0]
    curves = {e: error_curves(rule, setting, SLOPE_STEPS, sabotage, e) for e in ("regular", "poisson")}
    noisy = [n for n, errors in curves["poisson"].items() if errors[-1] > 3 * curves["regular"][n][-1]]
    for encoding, slope, tolerance, names in (
        ("regular", -1.0, 0.2, list(curves["regular"])),
        ("poisson", -0.5, 0.15, noisy),
    ):
        if not names:
            continue
        errors = np.exp(np.mean([np.log(curves[encoding][n]) for n in names], axis=0))
        fitted = float(np.polyfit(np.log(SLOPE_STEPS), np.log(errors), 1)[0])
        yield Edge(
            rule.name,
            f"{setting.network()} seed {setting.seed}",
            RATE_LIMIT,
            "all",
            "all" if len(names) == len(curves[encoding]) else ", ".join(names),
            f"slope, {encoding}",
            abs(fitted - slope),
            tolerance,
            1.0,
            f"slope {fitted:+.2f}; errors " + " ".join(f"{e:.1e}" for e in errors),
        )


def error_curves(
    rule: Rule, setting: Setting, steps, sabotage: bool = False, encoding: str = "regular"
) -> dict[str, list[float]]:
    """{matrix: relative error at each T}, medians over initial potentials, of the rule's matrices that hear graded values."""
    curves: dict[str, list[float]] = {}
    for T in steps:
        program, rate, drawn = spike_errors(rule, setting, T, sabotage, encoding)
        for name in dict.fromkeys(p.weight for p in program.plastics if p.source is not None and _graded(program, p)):
            curves.setdefault(name, []).append(float(np.median([relative_error(d[name], rate[name]) for d in drawn])))
    return curves


def error_curve(rule: Rule, setting: Setting, steps, sabotage: bool = False, encoding: str = "regular") -> list[float]:
    """Log mean over the rule's matrices of ``error_curves``."""
    curves = error_curves(rule, setting, steps, sabotage, encoding)
    return [float(e) for e in np.exp(np.mean(np.log(list(curves.values())), axis=0))]


def _graded(program: Program, plastic: Plastic) -> bool:
    """Whether graded values reach what a change reads: behind a decided threshold nothing is left to average."""
    ends = [(plastic.target, n) for n in plastic.reads("post")] + [(plastic.source, n) for n in plastic.reads("pre")]
    todo, seen = [(plastic.phase, k, name) for k, name in ends], set()
    while todo:
        phase, k, name = place = todo.pop()
        cell, latch = program.cells[k], program.latch(k, name)
        if place in seen:
            continue
        seen.add(place)
        if name == "data" or name.startswith("noise_"):
            return True
        if latch:
            todo.append((latch.phase, k, latch.signal))
        if not cell.has(name) or phase not in cell.signal(name).forms:
            todo += [(phase, p.source, p.signal) for c in cell.compartments if c.name == name for p in c.paths]
            continue
        form = cell.signal(name).forms[phase]
        if form.value != "where" or any(branch.kind != "number" for branch in form.args[1:]):
            todo += [(phase, k, read) for read in form.names()]
    return False
