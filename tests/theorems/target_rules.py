"""What the theorem tests of the target rules share: nets, a forward pass and inverses of its own, mutants, tolerances."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import torch

from neurolearn.changes import default_timing, fit_rates, prepare
from neurolearn.compare import angle, norm_ratio
from neurolearn.network import Network, mlp
from neurolearn.rule import Phase, Rule
from neurolearn.tensor.rate import RateProgram
from neurolearn.tensor.spiking import SpikingProgram
from neurolearn.timing import Timing

REALISATIONS = ("tensor.rate", "circuit.rate", "tensor.spiking", "circuit.spiking")
SPIKES = Timing(settle=750, window=750, tau=30e-3)  # T = 1500 steps, filters T/50
EPS = np.finfo(float).eps

F = {  # f, f', f^-1
    "linear": (lambda u: u, lambda u: 0 * u + 1, lambda r: r),
    "leaky_relu": (
        lambda u: np.maximum(u, 0.1 * u),
        lambda u: np.where(u > 0, 1, 0.1),
        lambda r: np.minimum(r, 10 * r),
    ),
    "asinh": (np.arcsinh, lambda u: (1 + u**2) ** -0.5, np.sinh),
    "tanh": (np.tanh, lambda u: np.cosh(u) ** -2.0, np.arctanh),
}


def haar(rng: np.random.Generator, rows: int, columns: int | None = None) -> np.ndarray:
    """Random matrix with orthonormal rows or columns, whichever are fewer."""
    left, _, right = np.linalg.svd(rng.standard_normal((rows, columns or rows)), full_matrices=False)
    return left @ right


def gaussian(rng: np.random.Generator, rows: int, columns: int | None = None) -> np.ndarray:
    """Independent weights of variance 1/fan_in."""
    return rng.standard_normal((rows, columns or rows)) / np.sqrt(columns or rows)


def draw(net: Network, make=haar, seed: int = 1, bias: float = 0.1) -> dict[str, np.ndarray]:
    """{W, b} of a chain: every matrix from make(rng, to, from)."""
    rng = np.random.default_rng(seed)
    layers = range(1, len(net.sizes))
    weights = {f"W_{k}_{k - 1}": make(rng, net.sizes[k], net.sizes[k - 1]) for k in layers}
    return weights | {f"b_{k}": bias * rng.standard_normal(net.sizes[k]) for k in layers}


def run(net: Network, w: dict, x: np.ndarray) -> tuple[list, list, list]:
    """Rates, potentials and slopes by layer, (batch, units); linear or softmax output."""
    f, df, _ = F[net.activation.name]
    rates, potentials, slopes = [x], [None], [None]
    for k in range(1, len(net.sizes)):
        potentials.append(rates[-1] @ w[f"W_{k}_{k - 1}"].T + w[f"b_{k}"])
        top = k == net.output
        rates.append(potentials[k] if top else f(potentials[k]))
        slopes.append(np.ones_like(potentials[k]) if top else df(potentials[k]))
    if net.loss == "cross_entropy":
        odds = np.exp(rates[-1])
        rates[-1] = odds / odds.sum(1, keepdims=True)
    return rates, potentials, slopes


def batch(net: Network, w: dict, samples: int = 8, classes: int = 4, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Inputs in (0, 1); teachers one-hot on the first units, and what the network says on the others, which are free
    (zero under softmax)."""
    rng = np.random.default_rng(seed)
    x = rng.random((samples, net.sizes[0]))
    classes = min(classes, net.sizes[-1])
    teacher = run(net, w, x)[0][-1] * (net.loss == "squared")
    teacher[:, :classes] = np.eye(classes)[rng.integers(0, classes, samples)]
    return x, teacher


def outer(net: Network, rates: list, deltas: dict[int, np.ndarray]) -> dict[str, np.ndarray]:
    """Mean changes of {layer: delta (batch, units)}."""
    changes = {f"W_{k}_{k - 1}": d.T @ rates[k - 1] / len(d) for k, d in deltas.items()}
    return changes | {f"b_{k}": d.mean(0) for k, d in deltas.items()}


def matrices(net: Network, top: bool = False) -> list[str]:
    """Names of the matrices into hidden layers, the lowest first; with ``top`` the output's as well."""
    return [f"W_{k}_{k - 1}" for k in range(1, len(net.sizes) - (not top))]


def spoilt(rule: Rule, *swaps: tuple[str, str]) -> Rule:
    """The rule with text replaced wherever it stands, phases included. Fails if a piece of text is not there."""
    seen = set()

    def swap(value):
        if isinstance(value, str):
            for old, new in swaps:
                if old in value:
                    seen.add(old)
                    value = value.replace(old, new)
            return value
        if isinstance(value, Phase):
            return replace(value, **{f.name: swap(getattr(value, f.name)) for f in fields(value)})
        return {k: swap(v) for k, v in value.items()} if isinstance(value, dict) else value

    texts = ("hidden", "output", "input", "first", "last", "plasticity", "phases")
    changed = {name: swap(getattr(rule, name)) for name in texts}
    assert seen == {old for old, _ in swaps}, f"{rule.name} has no { ({old for old, _ in swaps} - seen) }"
    return replace(rule, name=f"{rule.name}_spoilt", limit=None, own=None, **changed)


def phase_only(rule: Rule, **changes) -> Rule:
    """The rule without its main text: what its other phases learn."""
    nothing = {"hidden": "", "output": "", "plasticity": {}, "first": None, "last": None, "limit": None, "own": None}
    return replace(rule, name=f"{rule.name}_phase", **(nothing | changes))


def signals(rule: Rule, net: Network, x, teacher, w, phase: str = "learn") -> dict[str, np.ndarray]:
    """{signal_layer: (batch, units)} of a phase."""
    program, weights, given = prepare(rule, net, x, teacher, w)
    return {n: v.numpy() for n, v in RateProgram(program, weights).signals(given)[phase].items()}


def single(rule: Rule, net: Network, x, teacher, w) -> dict[str, np.ndarray]:
    """Changes of tensor.rate in float32."""
    program, weights, given = prepare(rule, net, x, teacher, w)
    program = RateProgram(program, weights, dtype=torch.float32)
    return {n: c.numpy().astype(float) for n, c in program.changes(given).items()}


def off(found, expected: dict, names) -> list[float]:
    """Relative error of each of the named changes."""
    return [float(np.linalg.norm(found[n] - expected[n]) / np.linalg.norm(expected[n])) for n in names]


def order(parameters, errors) -> float:
    """Slope of log error over log parameter."""
    return float(np.polyfit(np.log(parameters), np.log(errors), 1)[0])


def simulated(program, weights, given, realisation: str, spikes: Timing = SPIKES) -> dict[str, np.ndarray]:
    """Changes in a realisation, with whatever noise ``given`` holds; spikes for T = 1500 steps, if not told otherwise."""
    if realisation == "tensor.rate":
        return {n: c.numpy() for n, c in RateProgram(program, weights).changes(given).items()}
    if realisation == "circuit.rate":
        timing = default_timing(program, weights, given, realisation)
    else:
        timing = fit_rates(program, weights, given, spikes)
    if realisation == "tensor.spiking":
        return {n: c.numpy() for n, c in SpikingProgram(program, weights, timing).run(given).items()}
    from neurolearn.circuit import make

    circuit = make(program, weights, given, timing, realisation.split(".")[1])
    circuit.run()
    return circuit.changes()


def agree(found, expected: dict, realisation: str, names=None, exact: float = 1e-12) -> bool:
    """Whether changes are ``expected`` to the tolerance of the realisation's edge: ``exact`` in tensor.rate, 1e-8 in the
    rate circuit, and in spikes 2 degrees and 2 % of the norm."""
    names = names or [n for n in expected if n.startswith("W")]
    if "spiking" in realisation:
        return all(
            angle(found[n], expected[n]) <= 2 and abs(norm_ratio(found[n], expected[n]) - 1) <= 0.02 for n in names
        )
    return max(off(found, expected, names)) <= {"tensor.rate": exact, "circuit.rate": 1e-8}[realisation]


def agrees(rule, net, x, teacher, w, expected: dict, realisation: str, names=None, exact: float = 1e-12) -> bool:
    """``agree`` of a rule's changes."""
    found = simulated(*prepare(rule, net, x, teacher, w), realisation)
    return agree(found, expected, realisation, names, exact)


def square(width: int, depth: int, activation: str = "asinh", loss: str = "squared") -> Network:
    """A chain of ``depth`` square matrices."""
    return mlp([width] * (depth + 1), activation, loss)


def pulled_back(net, w, x, teacher, gamma: float = 1.0) -> dict[str, np.ndarray]:
    """The published recursion with numpy.linalg.inv: full targets (gamma = 1), or incremental ones."""
    rates, potentials, slopes = run(net, w, x)
    depth, inverse = net.output, F[net.activation.name][2]
    goal, deltas = potentials[depth] + gamma * (teacher - rates[depth]), {depth: teacher - rates[depth]}
    for k in range(depth, 1, -1):
        target = (goal - w[f"b_{k}"]) @ np.linalg.inv(w[f"W_{k}_{k - 1}"]).T
        deltas[k - 1] = slopes[k - 1] * (target - rates[k - 1]) / gamma ** (depth - k + 1)
        goal = inverse(rates[k - 1] + gamma * (target - rates[k - 1]))
    return outer(net, rates, deltas)


def by_autograd(net, w, x, teacher) -> dict[str, np.ndarray]:
    """J^-1 (t - h), with the Jacobian of everything above a layer by autograd."""
    torch_f = {"asinh": torch.asinh, "linear": lambda u: u}[net.activation.name]
    rates, _, slopes = run(net, w, x)
    matrix = {n: torch.tensor(v) for n, v in w.items()}
    deltas = {net.output: teacher - rates[net.output]}
    for layer in range(1, net.output):

        def above(rate, layer=layer):
            for k in range(layer + 1, net.output + 1):
                rate = matrix[f"W_{k}_{k - 1}"] @ rate + matrix[f"b_{k}"]
                rate = rate if k == net.output else torch_f(rate)
            return rate

        jacobians = [torch.func.jacrev(above)(torch.tensor(r)).numpy() for r in rates[layer]]
        errors = [np.linalg.solve(j, e) for j, e in zip(jacobians, deltas[net.output], strict=True)]
        deltas[layer] = slopes[layer] * np.array(errors)
    return outer(net, rates, deltas)


def conditioned(rng, rows, columns=None):
    """Neither orthogonal nor hard to invert."""
    return haar(rng, rows) @ np.diag(rng.uniform(0.7, 1.4, rows)) @ haar(rng, rows)


def with_decoders(net, make=gaussian, seed: int = 1, bias: float = 0.1) -> dict[str, np.ndarray]:
    """Forward weights, and decoders Q of every layer from the layer above, the output included."""
    w, rng = draw(net, make, seed, bias), np.random.default_rng([seed, 99])
    return w | {f"Q_{k}_{k + 1}": gaussian(rng, net.sizes[k], net.sizes[k + 1]) for k in range(1, net.output)}


def weights_of(rule, net, w) -> dict[str, np.ndarray]:
    return {n: w[n] for n in prepare(rule, net, np.zeros(net.sizes[0]), np.zeros(net.sizes[-1]))[1] if n in w}


def penalty_gradient(w: np.ndarray) -> np.ndarray:
    """Gradient of the sum of squares of the off-diagonal of W^T W, by autograd."""
    leaf = torch.tensor(w, requires_grad=True)
    gram = leaf.T @ leaf
    return torch.autograd.grad((gram - torch.diag(torch.diag(gram))).square().sum(), leaf)[0].numpy()
