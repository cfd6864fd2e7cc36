"""The edges of a rule: each realisation held against its neighbour, and the rule against its stated limit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace

import numpy as np

from neurolearn import activations, streams
from neurolearn.compare import angle, norm_ratio, relative_error
from neurolearn.equations import Expr
from neurolearn.errors import InputError
from neurolearn.network import Network, mlp
from neurolearn.program import Program, lower
from neurolearn.rule import Identity, Limit, Rule
from neurolearn.timing import Timing
from neurolearn.changes import default_timing, fit_rates

RATE, SPIKES, RATE_LIMIT, LIMIT = "circuit.rate=tensor.rate", "circuit.spiking=tensor.spiking", "spiking->rate", "limit"
EDGES = (RATE, SPIKES, RATE_LIMIT, LIMIT)
SLOPE_STEPS = (2000, 4000, 8000, 16000, 32000)  # fixed before any run
PHASES_DRAWN = 8  # random initial potentials over which medians are taken


@dataclass(frozen=True)
class Edge:
    """One measured statement. norm: of what was compared, relative to backprop's where that is known."""

    rule: str
    network: str
    edge: str
    phase: str
    weight: str
    quantity: str
    measured: float
    tolerance: float
    norm: float
    note: str = ""

    @property
    def passed(self) -> bool:
        """Within tolerance, and not because there was nothing to compare."""
        return bool(self.measured <= self.tolerance and self.norm > 1e-9 and not self.note.startswith("void"))

    def json(self) -> dict:
        """Plain data, with the ratio of measured to tolerance."""
        ratio = self.measured / self.tolerance if self.tolerance else float(self.measured > 0)
        return {**asdict(self), "ratio": ratio, "passed": self.passed}


@dataclass(frozen=True)
class Setting:
    """A net, its weights and a batch on which edges are measured."""

    sizes: tuple[int, ...] = (12, 10, 8, 4)
    activation: str = "tanh"
    seed: int = 1
    batch: int = 4

    def network(self) -> Network:
        """The net: a chain with squared error."""
        return mlp(self.sizes, self.activation)

    def batch_of(self, copies: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """(x, teacher) drawn from the seed; the whole batch ``copies`` times."""
        rng = streams.stream(self.seed, "verify")
        x = rng.random((self.batch, self.sizes[0]))
        teacher = np.eye(self.sizes[-1])[rng.integers(0, self.sizes[-1], self.batch)]
        return np.tile(x, (copies, 1)), np.tile(teacher, (copies, 1))


DEFAULT = (Setting(),)
FULL = tuple(Setting(sizes, activation, seed) for sizes in ((12, 10, 8, 4), (9, 12, 10, 7, 5)) for activation in ("tanh", "relu")
             for seed in (1, 2))


def verify(rules: list[Rule], *, full: bool = False, sabotage: bool = False,
           progress: Callable[[str, str], None] | None = None) -> list[Edge]:
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
    settings = FULL if full else DEFAULT
    return [
        (RATE, lambda rule, bad: [e for s in settings for e in rate_edge(rule, s, bad)]),
        (SPIKES, lambda rule, bad: [e for s in settings for e in spike_edge(rule, s, bad, steps=6000 if full else 1500)]),
        (RATE_LIMIT, lambda rule, bad: list(rate_limit_edge(rule, DEFAULT[0], bad))),
        (LIMIT, lambda rule, bad: list(limit_edge(rule, DEFAULT[0], bad))),
    ]


def flip(program: Program) -> Program:
    """The program with the sign of every first plasticity of a weight turned round."""
    return replace(program, plastics=tuple(replace(p, expr=Expr("neg", None, (p.expr,))) for p in program.plastics))


def _case(rule: Rule, setting: Setting, sabotage: bool, copies: int = 1):
    """(program, program under test, weights, given)."""
    program = lower(rule, setting.network())
    weights = streams.initial_weights(program, rule.pathways, setting.seed, bias=0.2)
    x, teacher = setting.batch_of(copies)
    given = streams.given(program, x, teacher, setting.seed, indices=np.tile(np.arange(setting.batch), copies))
    return program, flip(program) if sabotage else program, weights, given


def _reference(program: Program, weights, given) -> dict[str, np.ndarray]:
    from neurolearn.tensor.rate import RateProgram

    return {n: c.numpy() for n, c in RateProgram(program, weights).changes(given).items()}


def _rows(rule, setting: Setting, edge: str, program: Program, quantity: str, measure, tolerance: float, norms, note="") -> Iterator[Edge]:
    for plastic in program.plastics:
        name = plastic.weight
        yield Edge(rule.name, f"{setting.network()} seed {setting.seed}", edge, plastic.phase, name, quantity,
                   float(measure(name)), tolerance, float(np.linalg.norm(norms[name])), note)


def rate_edge(rule: Rule, setting: Setting, sabotage: bool = False) -> Iterator[Edge]:
    """The change that Brian2 integrated into its weights against the settled algebra, at dt = tau/10.

    Tolerance: 1e-8, or 1e-5 with loops; the circuit is given the time to settle to a hundredth of it.
    """
    from neurolearn.circuit import make

    program, tested, weights, given = _case(rule, setting, sabotage)
    loops = any(program.states(p, closed=False) for p in program.phases)
    tolerance = 1e-5 if loops else 1e-8
    timing = default_timing(program, weights, given, "circuit.rate", eps=tolerance / 100)
    circuit = make(tested, weights, given, timing, "rate")
    circuit.run()
    ours, theirs, note = circuit.changes(), _reference(program, weights, given), f"residual {circuit.facts()['residual']:.1e}"
    yield from _rows(rule, setting, RATE, program, "relative error", lambda n: relative_error(ours[n], theirs[n]), tolerance, theirs, note)


def spike_edge(rule: Rule, setting: Setting, sabotage: bool = False, steps: int = 1500) -> Iterator[Edge]:
    """Brian2's spikes against the tensor recursion's, bin by bin; potentials; weight changes. Thresholds off the lattice."""
    from neurolearn.circuit import make
    from neurolearn.tensor.spiking import SpikingProgram

    program, tested, weights, given = _case(rule, setting, sabotage)
    timing = Timing(settle=steps // 2, window=steps // 2, tau=steps * 2e-5, jitter=0.01, seed=setting.seed)
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
    if activity.spikes < 1e4 or not 0.05 <= activity.active <= 0.95:
        note = f"void: {note}; the edge counts with 1e4 spikes and 5-95 % of cells"
    place = (rule.name, f"{setting.network()} seed {setting.seed}", SPIKES, "all", "all")
    yield Edge(*place, "unequal bins", unequal, 0, float(activity.spikes), note)
    apart = max(float(np.abs(potentials[n] - v).max()) for n, v in simulation.final.potentials().items())
    yield Edge(*place, "potential", apart, 1e-12 * max(1.0, steps / 1500), float(activity.spikes), note)
    yield from _rows(rule, setting, SPIKES, program, "relative error", lambda n: relative_error(ours[n], theirs[n]), 1e-9, theirs, note)


def spike_errors(rule: Rule, setting: Setting, steps: int, sabotage: bool = False, encoding: str = "regular"):
    """(program, rate changes, [changes of each draw of initial potentials]) of tensor.spiking at ``steps`` per phase."""
    from neurolearn.tensor.spiking import SpikingProgram
    from neurolearn.timescales import spiking_timing

    program, tested, weights, given = _case(rule, setting, sabotage, PHASES_DRAWN)
    one = {name: value[: setting.batch] for name, value in given.items()}
    timing = spiking_timing(program, weights, one, steps, Timing(seed=setting.seed, encoding=encoding))
    timing = fit_rates(program, weights, one, timing)
    drawn = SpikingProgram(tested, weights, timing, kind="fused").repeats(given, PHASES_DRAWN)
    return program, _reference(program, weights, one), [{n: c.numpy() for n, c in d.items()} for d in drawn]


def rate_limit_edge(rule: Rule, setting: Setting, sabotage: bool = False, steps: int = 8000) -> Iterator[Edge]:
    """Spikes against the settled algebra at T = 8000 steps with regular input: <= 2 degrees, norm within 2 %."""
    program, rate, drawn = spike_errors(rule, setting, steps, sabotage)
    note = f"T = {steps} steps, median of {len(drawn)} initial potentials"
    yield from _rows(rule, setting, RATE_LIMIT, program, "angle (deg)",
                     lambda n: np.median([angle(d[n], rate[n]) for d in drawn]), 2.0, rate, note)
    yield from _rows(rule, setting, RATE_LIMIT, program, "norm",
                     lambda n: np.median([abs(norm_ratio(d[n], rate[n]) - 1) for d in drawn]), 0.02, rate, note)


def slopes(rule: Rule, sabotage: bool = False, setting: Setting = DEFAULT[0]) -> Iterator[Edge]:
    """How the error of spikes falls with averaging time: slope -1 (regular input) and -1/2 (Poisson)."""
    for encoding, slope, tolerance in (("regular", -1.0, 0.2), ("poisson", -0.5, 0.15)):
        errors = error_curve(rule, setting, SLOPE_STEPS, sabotage, encoding)
        fitted = float(np.polyfit(np.log(SLOPE_STEPS), np.log(errors), 1)[0])
        yield Edge(rule.name, f"{setting.network()} seed {setting.seed}", RATE_LIMIT, "all", "all", f"slope, {encoding}",
                   abs(fitted - slope), tolerance, 1.0, f"slope {fitted:+.2f}; errors " + " ".join(f"{e:.1e}" for e in errors))


def error_curve(rule: Rule, setting: Setting, steps, sabotage: bool = False, encoding: str = "regular") -> list[float]:
    """Relative error at each T: log mean over the rule's matrices of the median over initial potentials."""
    curve = []
    for T in steps:
        program, rate, drawn = spike_errors(rule, setting, T, sabotage, encoding)
        names = [n for n in program.plastic_weights() if rate[n].ndim == 2]
        median = [np.median([relative_error(d[n], rate[n]) for d in drawn]) for n in names]
        curve.append(float(np.exp(np.mean(np.log(median)))))
    return curve


def limit_edge(rule: Rule, setting: Setting, sabotage: bool = False) -> Iterator[Edge]:
    """The rule against what it says it equals or tends to, in tensor.rate (float64)."""
    if isinstance(rule.limit, Identity):
        yield from _identity(rule, rule.limit, setting, sabotage)
    elif isinstance(rule.limit, Limit):
        yield from _limit(rule, rule.limit, setting, sabotage)


def _identity(rule: Rule, identity: Identity, setting: Setting, sabotage: bool) -> Iterator[Edge]:
    from neurolearn.observer import backprop_gradient

    if identity.equals != "backprop":
        raise InputError(f"rule {rule.name!r}: Identity(equals={identity.equals!r}); only 'backprop' is known.")
    if identity.linear:
        setting = replace(setting, activation=activations.linear.name)
    program, tested, weights, given = _case(rule, setting, sabotage)
    network = setting.network()
    for weight in program.free():
        how = identity.set.get(weight.pathway)
        if how and weight.source is not None:
            weights[weight.name] = _tied(weights, weight, how, network)
    ours = _reference(tested, weights, given)
    x, teacher = setting.batch_of()
    theirs = backprop_gradient(network, weights, x, teacher)
    yield from _rows(rule, setting, LIMIT, program, "relative error to backprop",
                     lambda n: relative_error(ours[n], theirs[n]), identity.tolerance, theirs)


def _tied(weights, weight, how: str, network: Network) -> np.ndarray:
    if how == "transpose":
        return weights[f"W_{weight.source}_{weight.target}"].T
    if how == "path transpose":
        product = np.eye(network.sizes[weight.target])
        for layer in range(weight.target + 1, weight.source + 1):
            product = weights[f"W_{layer}_{layer - 1}"] @ product
        return product.T
    raise InputError(f"Identity: cannot set weights to {how!r}; choose 'transpose' or 'path transpose'.")


def _limit(rule: Rule, limit: Limit, setting: Setting, sabotage: bool) -> Iterator[Edge]:
    """Errors to the limit over its decades; the order is the slope of their logarithm, fitted above the rounding floor."""
    x, teacher = setting.batch_of()
    hidden, errors = [], {}
    for value in limit.values:
        changed = rule.with_constants(**{limit.parameter: value})
        program, tested, weights, given = _case(changed, setting, sabotage)
        ours = _reference(tested, weights, given)
        theirs = limit.equals(setting.network(), weights, x, teacher, program.constants)
        hidden = [n for n in theirs if not n.endswith(f"_{setting.network().output}") and n.startswith("W")
                  and program.weights[n].target != setting.network().output]
        for name in hidden:
            errors.setdefault(name, []).append(relative_error(ours[name], theirs[name]))
    for name in hidden:
        order = float(np.polyfit(np.log(limit.values), np.log(errors[name]), 1)[0])
        yield Edge(rule.name, f"{setting.network()} seed {setting.seed}", LIMIT, program.phases[-1], name,
                   f"order in {limit.parameter}", abs(order - limit.order), limit.tolerance, float(np.linalg.norm(theirs[name])),
                   f"order {order:.3f}; errors " + " ".join(f"{e:.1e}" for e in errors[name]))
