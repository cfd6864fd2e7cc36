"""The fused program does what the reference program does, and reads every weight before it writes one."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest
import torch

from neurolearn import streams
from neurolearn.errors import InputError
from neurolearn.network import Connection, Network, mlp
from neurolearn.program import lower
from neurolearn.rule import Nets, Normal, Pathway, Phase, Rule, Tied
from neurolearn.rules import ALL
from neurolearn.tensor import compile
from neurolearn.tensor.rate import RateProgram

ACTIVATIONS = ("tanh", "relu", "leaky_relu", "asinh", "softplus", "linear")
LOSSES = ("squared", "cross_entropy")
RATES = {"W": 0.05, "b": 0.03, "*": 0.02}

FEEDBACK = {"pathways": {"B": Pathway("above")}, "hidden": "error = slope * B(error_above)",
            "output": "error = teacher - rate", "constants": {"decay": 0.3}}
DIRECT = FEEDBACK | {"pathways": {"B": Pathway("output")}, "hidden": "error = slope * B(error_output)"}
TIED = FEEDBACK | {"pathways": {"B": Pathway("above", Tied("W"))}}

EXTRA = (
    Rule("decay", plasticity={"W": "error_post*rate_pre - decay*w", "b": "error_post - decay*w"}, **FEEDBACK),
    Rule("tied_decay", plasticity={"W": "error_post*rate_pre - decay*w"}, **TIED),
    Rule("kolen_pollack", plasticity={"W": "error_post*rate_pre - decay*w", "B": "rate_post*error_pre - decay*w"},
         **FEEDBACK),
    Rule("direct_kolen_pollack", plasticity={"W": "error_post*rate_pre", "B": "rate_post*error_pre - decay*w"},
         **DIRECT),
    Rule("oja", plasticity={"W": "rate_post*(rate_pre - rate_post*w)"}, **FEEDBACK),
    Rule("bounded", plasticity={"W": "-error_post*rate_pre*(1 - abs(w))/2 + error_post*rate_pre", "b": "-decay*w"},
         **FEEDBACK),
    Rule("one_sided", plasticity={"W": "error_post + 2*rate_pre - 0.1", "b": "0.3"}, **FEEDBACK),
    Rule("two_products", plasticity={"W": "error_post*rate_pre - decay*w - 0.1*slope_post*rate_pre", "b": "error_post"},
         **TIED),
    Rule("bias_read", pathways={"B": Pathway("above")}, hidden="offset = b\nerror = slope * B(error_above)",
         output="offset = b\nerror = teacher - rate", plasticity={"W": "offset_post*rate_pre", "b": "error_post"}),
    Rule("growth", plasticity={"W": "w"}, phases={"first": Phase(plasticity={"W": "rate_post*rate_pre"})}),
    Rule("not_separable", plasticity={"W": "where(error_post*rate_pre > 0, error_post*rate_pre, 0.1*w)"}, **TIED),
    Rule("lateral", pathways={"B": Pathway("above"), "L": Pathway("here", Normal(0.3))}, constants={"decay": 0.3},
         hidden="quiet = rate - L(rate_here)\nerror = slope * B(error_above) * quiet", output="error = teacher - rate",
         plasticity={"W": "error_post*rate_pre", "L": "rate_post*rate_pre - decay*w"}),
    Rule("third_factor", pathways={"B": Pathway("output")}, hidden="error = slope * B(error_output)",
         output="error = teacher - rate", broadcast={"surprise": "sum(tanh(error*error))"}, times={"tau": 5.0},
         plasticity={"W": "dtrace/dt = (error_post*rate_pre - trace)/tau\ndw = surprise*trace - 0.1*w",
                     "b": "surprise*error_post"}),
    Rule("broadcast_alone", output="error = teacher - rate", broadcast={"surprise": "sum(error*error)"},
         plasticity={"W": "surprise*rate_pre"}),
    Rule("latched", phases={"free": Phase(hidden="latch free = rate", output="latch free = rate")},
         pathways={"B": Pathway("above", Tied("W"))},
         hidden="error = slope * B(error_above)\nnudged = free + 0.1*error",
         output="error = teacher - free\nnudged = free + 0.1*error",
         input="nudged = rate\nfree = rate",
         plasticity={"W": "nudged_post*nudged_pre - free_post*free_pre"}),
    Rule("latched_loop", phases={"free": Phase(hidden="latch kept = rate", output="latch kept = rate")},
         pathways={"B": Pathway("above", Tied("W")), "L": Pathway("here", Normal(0.3))}, times={"tau": 4.0},
         hidden="dheld/dt = (B(kept_above) + L(held_here) - held + 0.2*kept)/tau",
         output="error = teacher - kept", plasticity={"W": "rate_post*rate_pre", "L": "held_post*held_pre - w"}),
    Rule("twice", pathways={"B": Pathway("above", Tied("W", "negated transpose"))},
         phases={"up": Phase(plasticity={"W": "-rate_post*rate_pre - 0.1*w"})},
         hidden="error = slope * B(error_above)", output="error = teacher - rate",
         plasticity={"W": "error_post*rate_pre - 0.2*w"}),
    Rule("algebra", pathways={"B": Pathway("above"), "C": Pathway("output")},
         constants={"small": 0.3},
         hidden="offset = b\n"
                "one = 1\n"
                "gain = where(potential <= offset, small, 0.7)\n"
                "mixed = where(potential > offset, B(error_above), 0.3)/(1 + rate**2) - 2*exp(-abs(C(error_output)))\n"
                "error = 3 - slope*(0.5*C(error_output) - gain*B(error_above)) - mixed*slope*slope - (1 - one)/2 + b",
         output="one = 1\nerror = (teacher - rate)/4", plasticity={"W": "one_post*error_post*rate_pre"}),
)
RULES = {**ALL, **{rule.name: rule for rule in EXTRA}}


def chain(activation: str, loss: str, rule: Rule | None = None) -> Network:
    nets = rule.nets if rule else Nets()
    return mlp([5, 4, 6, 1 if nets.scalar else 3], activation, loss, nets.signed)


def graph(activation: str, loss: str, rule: Rule | None = None) -> Network:
    """A skip, a masked and an identity connection."""
    nets = rule.nets if rule else Nets()
    mask = np.arange(20).reshape(5, 4) % 3 > 0
    edges = (Connection(0, 1), Connection(1, 2, "identity"), Connection(1, 3, "masked", mask), Connection(2, 3),
             Connection(2, 4), Connection(3, 4))
    return Network((6, 4, 4, 5, 1 if nets.scalar else 3), edges, activation, loss, nets.signed)


def networks(rule: Rule) -> tuple:
    """chain and graph, as far as the rule is for them."""
    return (chain,) if rule.nets.chain else (chain, graph)


def activations(rule: Rule) -> tuple[str, ...]:
    """All of them; rules that invert f, only those that reach every value."""
    inverts = "inv(" in rule.hidden
    return ("asinh", "leaky_relu", "linear") if inverts else ACTIVATIONS


def samples(program, batch: int, step: int) -> dict[str, np.ndarray]:
    rng = streams.stream(0, "samples", step)
    sizes = program.network.sizes
    x, teacher = rng.normal(size=(batch, sizes[0])), np.eye(sizes[-1])[rng.integers(sizes[-1], size=batch)]
    return streams.given(program, x, teacher, step=step)


def pair(rule: Rule, network: Network, batch: int, dtype=torch.float64):
    program = lower(rule, network)
    weights = streams.initial_weights(program, rule.pathways, bias=0.3)
    fused = RateProgram(program, weights, kind="fused", batch=batch, dtype=dtype)
    return fused, RateProgram(program, weights, dtype=dtype), weights


def differences(rule: Rule, network: Network, batch: int, dtype=torch.float64, tolerance: float = 1e-12):
    """Of each weight, |fused - reference| after three steps, over the tolerance times the norm of the update."""
    fused, reference, weights = pair(rule, network, batch, dtype)
    for step in range(3):
        given = samples(fused.program, batch, step)
        fused.step(given, RATES)
        reference.step(given, RATES)
    found, rounding = {}, 4 * torch.finfo(dtype).eps
    for name in fused.program.plastic_weights():
        error = (fused.weight[name] - reference.weight[name]).norm()
        update = (reference.weight[name] - torch.tensor(weights[name])).norm()
        found[name] = float(error / (tolerance * update + rounding * reference.weight[name].norm()))
    assert found
    return found


@pytest.fixture(autouse=True)
def one_thread_and_no_warnings():
    """Torch warns when out= has another shape than the result."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("network", [chain, graph])
@pytest.mark.parametrize("batch", [1, 7])
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_fused_equals_reference(rule, batch, network):
    if network not in networks(rule):
        network = chain
    for activation in activations(rule):
        for loss in ("squared",) if rule.nets.scalar else LOSSES:
            found = differences(rule, network(activation, loss, rule), batch)
            assert max(found.values()) <= 1, (activation, loss, found)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_single_precision_is_close(rule):
    for network in networks(rule):
        for batch in (1, 7):
            net = network(activations(rule)[0], "squared" if rule.nets.scalar else "cross_entropy", rule)
            found = differences(rule, net, batch, torch.float32, 1e-4)
            assert max(found.values()) <= 1, (network, batch, found)


# -- what the text promises ------------------------------------------------------------------------------------------


def steps(fused: RateProgram) -> list[str]:
    """The lines of ``step``, without their comments and without the check of the batch size."""
    lines = fused.source.split("def step(given, rates):")[1].split("return step")[0].splitlines()
    return [line.split("  # ")[0].strip() for line in lines if line.strip()][3:]


def reads_and_writes(fused: RateProgram) -> tuple[list[int], list[int]]:
    """Numbers of the lines that read a weight, and of those that change one (which need not read another)."""
    names = "|".join(w.name for w in fused.program.free())
    stacks = set(re.findall(r"_stack\d+", fused.source))
    weight = re.compile(rf"\b({'|'.join([names, *stacks])})(_T)?\b")
    change = re.compile(rf"({names})\.add\w*_\(")
    reads, writes = [], []
    for number, line in enumerate(steps(fused)):
        target = change.match(line)
        if target:
            writes.append(number)
            line = line[target.end():]
        if weight.search(re.sub(r"'\w+'", "", line)):
            reads.append(number)
    return reads, writes


@pytest.mark.parametrize("batch", [1, 7])
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_every_weight_is_read_before_one_is_written(rule, batch):
    for network in networks(rule):
        fused = pair(rule, network("leaky_relu" if "inv(" in rule.hidden else "relu", "squared", rule), batch)[0]
        reads, writes = reads_and_writes(fused)
        assert len(writes) >= len(fused.program.plastic_weights())
        assert max(reads) < min(writes)


def test_a_wrong_order_would_be_noticed():
    fused, reference, _ = pair(ALL["backprop"], chain("tanh", "squared"), 7)
    lines = fused.source.splitlines()
    write = next(i for i, line in enumerate(lines) if line.strip().startswith("W_3_2.addmm_("))
    read = next(i for i, line in enumerate(lines) if line.strip().startswith("torch.mm(error_3, W_3_2"))
    lines.insert(read, lines.pop(write))
    fused.source = "\n".join(lines)
    reads, writes = reads_and_writes(fused)
    assert max(reads) > min(writes)
    fused._step = compile.function(fused.source, "build", "wrong order")(fused.weight, fused.dtype, fused.device)
    fused.step(samples(fused.program, 7, 0), 0.05)
    reference.step(samples(fused.program, 7, 0), 0.05)
    assert (fused.weight["W_1_0"] - reference.weight["W_1_0"]).norm() > 1e-6


def allocating(fused: RateProgram) -> list[str]:
    """Lines that do more than name a given tensor, write into a buffer or change a weight."""
    frugal = re.compile(r"\w+ = given\['\w+'\](\[0\])?$|torch\..*(out|grad_input)=\w+\)$|\w+\.(add\w*|sub|mul|copy)_\(")
    return [line for line in steps(fused) if not frugal.match(line)]


@pytest.mark.parametrize("activation", [*ACTIVATIONS, "lif"])
@pytest.mark.parametrize("rule", ["backprop", "feedback_alignment", "direct_feedback_alignment", "kolen_pollack", "oja",
                                  "difference_target_propagation", "latched", "twice", "algebra", "lateral", "bounded"])
def test_algebraic_rules_write_into_static_buffers(rule, activation):
    for network in (chain, graph):
        for batch in (1, 7):
            assert not allocating(pair(RULES[rule], network(activation, "cross_entropy"), batch)[0])


def test_the_slope_of_relu_is_not_formed():
    source = pair(ALL["backprop"], chain("relu", "squared"), 7)[0].source
    assert "slope_1 =" not in source and "torch.gt" not in source
    assert source.count("threshold_backward.grad_input") == 2
    assert "slope_2 =" in pair(ALL["dynamic_inversion"], chain("relu", "squared"), 7)[0].source


def test_one_product_carries_the_error_of_direct_feedback():
    for name in ("direct_feedback_alignment", "direct_kolen_pollack"):
        fused = pair(RULES[name], graph("relu", "cross_entropy"), 7)[0]
        assert sum("torch.mm(error_4" in line for line in steps(fused)) == 1
    fused, reference, _ = pair(ALL["direct_feedback_alignment"], chain("relu", "squared"), 7)
    for program in (fused, reference):
        program.weight["B_1_3"].mul_(-2)  # a weight that someone changes in place is seen
        program.step(samples(program.program, 7, 0), 0.05)
    assert (fused.weight["W_1_0"] - reference.weight["W_1_0"]).norm() < 1e-14


def test_held_signals_replace_the_computed_ones():
    rule, network = ALL["feedback_alignment"], chain("tanh", "squared")
    program = lower(rule, network).hold({1: {"error"}})
    weights = streams.initial_weights(program, rule.pathways)
    given = samples(lower(rule, network), 7, 0) | {"held_error_1": np.ones((7, 4))}
    fused, reference = RateProgram(program, weights, kind="fused", batch=7), RateProgram(program, weights)
    for one in (fused, reference):
        one.step(given, 0.05)
    for name in program.plastic_weights():
        assert (fused.weight[name] - reference.weight[name]).norm() < 1e-14


@pytest.mark.parametrize("built", [1, 7])
def test_another_batch_size_is_refused(built):
    fused = pair(ALL["backprop"], chain("tanh", "squared"), built)[0]
    before = fused.numpy()
    with pytest.raises(InputError, match=f"data_0 has 3 samples; this program was built for batches of {built}"):
        fused.step(samples(fused.program, 3, 0), 0.05)
    given = samples(fused.program, built, 0)
    with pytest.raises(InputError, match="teacher_3 has 2 samples"):
        fused.step(given | {"teacher_3": np.ones((2, 3))}, 0.05)
    assert all(np.array_equal(before[name], value) for name, value in fused.numpy().items())


@pytest.mark.parametrize("batch", [None, 0, 2.0])
def test_a_batch_size_is_needed(batch):
    with pytest.raises(InputError, match=r"batch is .*; a fused program is built for one batch size"):
        pair(ALL["backprop"], chain("tanh", "squared"), batch)
