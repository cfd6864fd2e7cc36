"""Networks with skip connections and locally connected layers: the feedback runs along every edge, and along no other.

Five architectures of six hidden layers each: none, identity and learned skips by two layers, all pairs of hidden layers,
and these together with an edge from every hidden layer to the output. Source: Im, Patil and Branson 2020,
arXiv:2001.01647, for feedback alignment and difference target propagation over skips.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import RULES, near

from neurolearn import streams
from neurolearn.changes import prepare, update
from neurolearn.compare import angle, cosine, norm_ratio
from neurolearn.network import Connection, Network
from neurolearn.observer import backprop_gradient
from neurolearn.program import lower
from neurolearn.rule import Rule
from neurolearn.tensor.rate import RateProgram

FA, DFA, BP, DTP, LEARNED_TOP = (
    RULES[name]
    for name in (
        "feedback_alignment",
        "direct_feedback_alignment",
        "backprop",
        "difference_target_propagation",
        "dtp_learned_top",
    )
)
EXACT = 1e-12  # relative: some 1e3 roundings of 1e-16 each
HIDDEN, TOP, SIZES = range(1, 7), 7, (5, *[6] * 6, 3)


def network(sizes, activation, **edges) -> Network:
    """Layers with dense, learned skips (``dense``) and parameter-free ones (``identity``) on top of a chain."""
    pairs = [(k, k + 1) for k in range(len(sizes) - 1)] + list(edges.get("dense", ()))
    identities = [Connection(*pair, "identity") for pair in edges.get("identity", ())]
    return Network(tuple(sizes), (*(Connection(*pair) for pair in pairs), *identities), activation)


BY_TWO = [(k, k + 2) for k in HIDDEN[:-2]]
ALL_PAIRS = [(s, t) for s in HIDDEN for t in HIDDEN if t > s + 1]
ARCHITECTURES = {
    "none": {},
    "identity": {"identity": BY_TWO},
    "learned by two": {"dense": BY_TWO},
    "dense": {"dense": ALL_PAIRS},
    "dense, to the output": {"dense": ALL_PAIRS + [(k, TOP) for k in HIDDEN[:-1]]},
}
X = streams.stream(1, "x").uniform(-1, 1, (3, 5))
TEACHER = np.eye(3)[[0, 2, 1]]


def net(architecture: str, activation: str = "tanh") -> Network:
    return network(SIZES, activation, **ARCHITECTURES[architecture])


def drawn(rule: Rule, network: Network, x=X, teacher=TEACHER, seed: int = 3) -> dict[str, np.ndarray]:
    return prepare(rule, network, x, teacher, seed=seed, bias=0.3)[1]


def changes(rule: Rule, network: Network, weights: dict, x=X, teacher=TEACHER, **options) -> dict[str, np.ndarray]:
    return dict(update(rule, network, x, teacher, weights, **options).changes)


def transposed(weights: dict, edges=None) -> dict[str, np.ndarray]:
    """The same with B_s_t the transpose of W_t_s on these edges (s, t), or on all."""
    ends = {n: tuple(map(int, n.split("_")[1:])) for n in weights if n.startswith("B_")}
    chosen = {n: (s, t) for n, (s, t) in ends.items() if edges is None or (s, t) in edges}
    return {**weights, **{n: weights[f"W_{t}_{s}"].T for n, (s, t) in chosen.items()}}


def worst(found: dict, expected: dict) -> float:
    """Largest relative error over all weights that ``expected`` names."""
    return max(near(found[name], change) for name, change in expected.items())


# -- feedback along every edge -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["tanh", "softplus"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_with_transposed_feedback_on_every_edge_it_is_the_gradient(architecture, activation):
    """Oracle: autograd. Without the gate, with random feedback on the skips, or with no skips, it is not."""
    network = net(architecture, activation)
    random = drawn(FA, network)
    weights = transposed(random)
    expected = backprop_gradient(network, weights, X, TEACHER)
    assert worst(changes(FA, network, weights), expected) <= EXACT
    assert worst(changes(BP, network, weights), expected) <= EXACT
    ungated = replace(FA, name="mutant", hidden="error = B(error_above)", limit=None)
    assert worst(changes(ungated, network, weights), expected) > 0.1
    chain = transposed(random, edges=[(k, k + 1) for k in range(TOP)])
    if "dense" in ARCHITECTURES[architecture]:
        assert worst(changes(FA, network, chain), expected) > 0.1
    if architecture != "none":
        assert near(changes(FA, net("none", activation), weights)["W_1_0"], expected["W_1_0"]) > 0.1


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_each_learned_skip_has_feedback_of_its_own_and_an_identity_has_none(architecture):
    """Oracle: the graph. Feedback on an edge s -> t moves the error of s and of what lies below s, and no other."""
    network = net(architecture)
    program = lower(FA, network)
    learned = {(c.source, c.target) for c in network.connections if c.kind != "identity"}
    feedback = {w.name: w for w in program.weights.values() if w.pathway == "B"}
    assert set(feedback) == {f"B_{s}_{t}" for s, t in learned if s > 0}
    assert not [w for w in feedback.values() if w.tie or w.derived]
    assert all(w.tie for w in lower(BP, network).weights.values() if w.pathway == "B")
    weights = drawn(FA, network)
    before = changes(FA, network, weights)
    below = {k: {0} for k in HIDDEN}
    for k in HIDDEN:
        below[k] = {k}.union(*(below[c.source] for c in network.below(k) if c.source))
    for name, w in feedback.items():
        other = streams.stream(5, name).normal(size=w.shape)
        assert abs(cosine(weights[name], weights[f"W_{w.source}_{w.target}"].T)) < 0.7  # drawn apart from W
        after = changes(FA, network, {**weights, name: other})
        moved = {k for k in HIDDEN if not np.array_equal(after[f"b_{k}"], before[f"b_{k}"])}
        assert moved == below[w.target] - {0}
        assert np.array_equal(after[f"b_{TOP}"], before[f"b_{TOP}"])


# -- what an identity relays -------------------------------------------------------------------------------------------


def residual(blocks: int, width: int, inputs: int = 20, outputs: int = 10) -> Network:
    """The paper's identity skips, h' = f(W h + b) + h: a layer f(W h + b) and, over two identities, the sum.

    A rectifier leaves a sum of rectified rates as it is. Layer 2k is the block k, layer 2k + 1 its sum.
    """
    edges = [Connection(0, 1)]
    for s in range(1, 2 * blocks, 2):
        edges += [Connection(s, s + 1), Connection(s + 1, s + 2, "identity"), Connection(s, s + 2, "identity")]
    top = 2 * blocks + 2
    return Network((inputs, *[width] * (top - 1), outputs), (*edges, Connection(top - 1, top)), "relu")


def test_an_identity_relays_rates_upwards_and_errors_downwards():
    """Oracle: the first layer's rate and the last one's error, bit for bit, if the blocks in between are silent.

    Without the identities nothing arrives, either way.
    """
    x, teacher = streams.stream(2, "x").normal(size=(3, 20)), np.eye(10)[:3]

    def signals(network: Network) -> dict[str, np.ndarray]:
        program, weights, given = prepare(FA, network, x, teacher, seed=1)
        weights = {n: w if n in ("W_1_0", "W_10_9", "B_9_10") else 0 * w for n, w in weights.items()}
        return {n: s.numpy() for n, s in RateProgram(program, weights).signals(given)["learn"].items()}

    found = signals(residual(4, 6))
    assert np.abs(found["rate_1"]).max() > 0.5 < np.abs(found["error_9"]).max()
    for k in (3, 5, 7, 9):
        assert np.array_equal(found[f"rate_{k}"], found["rate_1"])
        assert np.array_equal(found[f"error_{k - 2}"], found["error_9"])
    plain = signals(Network((20, *[6] * 9, 10), (), "relu"))
    assert not plain["rate_3"].any()
    assert not plain["error_7"].any()


def alignment(network: Network, seeds, top: bool = True) -> np.ndarray:
    """Cosine of every matrix's change to autograd's, from the lowest to the highest, mean over nets and batches.

    Feedback is random, but for that from the output, which is the transpose if ``top``.
    """
    found = []
    for seed in seeds:
        rng = streams.stream(seed, "alignment")
        x, teacher = rng.normal(size=(32, network.sizes[0])), rng.normal(size=(32, network.sizes[-1]))
        weights = prepare(FA, network, x, teacher, seed=seed)[1]
        weights = transposed(weights, edges=[(network.output - 1, network.output)]) if top else weights
        gradient, change = backprop_gradient(network, weights, x, teacher), changes(FA, network, weights, x, teacher)
        found.append([cosine(change[n], gradient[n]) for n in change if n.startswith("W")])
    return np.mean(found, axis=0)


def test_identities_hand_the_alignment_of_the_top_down():
    """Oracles: autograd, and the decay that was measured with tanh: .752 .573 .406 .272 .167 .104 .052 from block to block.

    Feedback from the output is right, all other is random. Rectifiers decay alike, to within .15 (means over four nets of
    width 100). Without skips the layer below is at 90 degrees at once; and with the top random too, all layers are.
    """
    measured = [0.052, 0.104, 0.167, 0.272, 0.406, 0.573, 0.752, 1.0, 1.0]
    found = alignment(residual(7, 100), range(4))
    np.testing.assert_allclose(found[-2:], 1.0, rtol=0, atol=EXACT)
    np.testing.assert_allclose(found, measured, rtol=0, atol=0.15)
    assert np.polyfit(range(7), np.log(found[1:8]), 1)[0] > 0.15  # a decay by a factor, from the top down
    plain = alignment(Network((20, *[100] * 8, 10), (), "relu"), range(4))
    np.testing.assert_allclose(plain[-2:], 1.0, rtol=0, atol=EXACT)
    assert np.abs(plain[:-2]).max() < 0.2
    assert np.abs(alignment(residual(7, 100), range(4), top=False)[:-1]).max() < 0.2


def test_identities_by_two_layers_hand_it_down_to_every_second_one():
    """Oracle: autograd. Layers that an identity reaches from the top are aligned; those between them are not."""
    n = 8
    skips = {"identity": [(k, k + 2) for k in range(1, n - 1)]}
    found = alignment(network((20, *[100] * n, 10), "tanh", **skips), range(4))
    reached, between = found[[1, 3, 5, 7]], found[[0, 2, 4, 6]]
    assert (np.diff(reached) > 0.1).all()
    assert reached[0] > 0.3
    assert np.abs(between).max() < 0.15
    learned = alignment(network((20, *[100] * n, 10), "tanh", dense=skips["identity"]), range(4))
    assert np.abs(learned[:7]).max() < 0.15


# -- targets and direct feedback over skips ----------------------------------------------------------------------------

TARGETS = (DTP, LEARNED_TOP)
RUNS = [(a, r) for a in ARCHITECTURES for r in (FA, DFA, DTP, LEARNED_TOP) if (a, r) != ("dense, to the output", DTP)]


@pytest.mark.parametrize(("architecture", "rule"), RUNS, ids=lambda v: v if isinstance(v, str) else v.name)
def test_without_an_error_no_forward_weight_changes(architecture, rule):
    """Oracle: zero; to 1e-15 where a difference of targets rounds.

    Targets without the correction do change them, and so does feedback of rates instead of errors.
    """
    network = net(architecture)
    program, weights, given = prepare(rule, network, X, TEACHER, seed=3, bias=0.3)
    program = RateProgram(program, weights)
    forward = [n for n in program.program.plastic_weights() if n[0] in "Wb"]
    assert len(forward) == sum(c.kind != "identity" for c in network.connections) + TOP
    moving = program.changes(given)
    assert min(float(moving[n].abs().max()) for n in forward) > 1e-6
    given[f"teacher_{TOP}"] = program.signals(given)["learn"][f"rate_{TOP}"]
    still = program.changes(given)
    assert max(float(still[n].abs().max()) for n in forward) <= (1e-15 if rule in TARGETS else 0)
    if rule in TARGETS:
        assert min(float(still[n].abs().max()) for n in still if n.startswith("Q")) > 1e-6  # decoders go on learning
        hidden = rule.hidden.replace(" - f(Q(rate_above))", " - rate")
    else:
        hidden = rule.hidden.replace("(error_", "(rate_")
    mutant = replace(rule, name="mutant", hidden=hidden, output=rule.output, limit=None)
    assert float(RateProgram(lower(mutant, network), weights).changes(given)["W_1_0"].abs().max()) > 1e-3


def decoded(network: Network, weights: dict, step: float) -> dict[str, np.ndarray]:
    """Changes of dtp_learned_top to first order in the step, by NumPy over the graph: one decoder hears all layers above."""
    total = {}
    for x, teacher in zip(X, TEACHER, strict=True):
        rates = [x]
        for k in range(1, TOP + 1):
            drive = sum(
                rates[c.source] if c.kind == "identity" else weights[f"W_{k}_{c.source}"] @ rates[c.source]
                for c in network.below(k)
            )
            rates.append(drive + weights[f"b_{k}"] if k == TOP else np.tanh(drive + weights[f"b_{k}"]))
        moved = {TOP: step * (teacher - rates[TOP])}
        for k in reversed(HIDDEN):
            matrices = {
                c.target: np.eye(6) if c.kind == "identity" else weights[f"Q_{k}_{c.target}"] for c in network.above(k)
            }
            guess = np.tanh(sum(q @ rates[t] for t, q in matrices.items()))
            moved[k] = (1 - guess**2) * sum(q @ moved[t] for t, q in matrices.items())
        for c in network.connections:
            if c.kind != "identity":
                post = moved[TOP] / step if c.target == TOP else (1 - rates[c.target] ** 2) * moved[c.target]
                name = f"W_{c.target}_{c.source}"
                total[name] = total.get(name, 0) + np.outer(post, rates[c.source]) / len(X)
    return total


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_small_steps_of_target_propagation_follow_the_decoders_on_every_edge(architecture):
    """Oracle: the decoders' Jacobians over the graph; what is left falls with the step. Without the gate it does not."""
    network, errors = net(architecture), []
    weights = drawn(LEARNED_TOP, network)
    for step in (1e-2, 1e-3, 1e-4):
        found = changes(LEARNED_TOP.with_constants(step=step), network, weights)
        errors.append(worst(found, decoded(network, weights, step)))
    assert np.polyfit([-2, -3, -4], np.log10(errors), 1)[0] == pytest.approx(1, abs=0.1)
    ungated = replace(LEARNED_TOP, name="mutant", hidden=LEARNED_TOP.hidden.replace("slope *", ""), limit=None)
    assert worst(changes(ungated.with_constants(step=1e-4), network, weights), decoded(network, weights, 1e-4)) > 0.1


# -- locally connected layers ------------------------------------------------------------------------------------------


def local(sizes, reach: float = 0.2) -> Network:
    """Every unit hears units at about its own place in the layer below; the output hears all."""
    edges = [Connection(len(sizes) - 2, len(sizes) - 1)]
    for k in range(1, len(sizes) - 1):
        places = [np.linspace(0, 1, n) for n in (sizes[k], sizes[k - 1])]
        edges.append(Connection(k - 1, k, "masked", np.abs(np.subtract.outer(*places)) <= reach))
    return Network(tuple(sizes), tuple(edges))


LOCAL = local((8, 7, 6, 3), 0.35)
WIDE = local((8, 7, 6, 3), 2.0)


@pytest.mark.parametrize("kind", ["reference", "fused"])
@pytest.mark.parametrize("rule", [BP, FA, DFA, DTP], ids=lambda r: r.name)
def test_masked_weights_stay_zero_and_their_feedback_is_masked_by_the_transpose(rule, kind):
    """Oracle: the mask. The same net with masks of ones does change what was masked."""
    x, teacher = streams.stream(4, "x").normal(size=(3, 8)), np.eye(3)
    masks = {(c.source, c.target): c.mask for c in LOCAL.connections if c.kind == "masked"}
    assert all(0.2 < mask.mean() < 0.8 for mask in masks.values())
    ends: dict[str, dict[str, np.ndarray]] = {}
    for network in (LOCAL, WIDE):
        program, weights, given = prepare(rule, network, x, teacher, seed=1)
        engine = RateProgram(program, weights, kind=kind, batch=3)
        for _ in range(5):
            engine.step(given, 0.2)
        ends[network] = engine.numpy()
        assert near(ends[network]["W_1_0"], weights["W_1_0"]) > 1e-4
    checked = 0
    for name in ends[LOCAL]:
        pathway, *pair = name.split("_")
        if len(pair) == 2 and (edge := tuple(sorted(map(int, pair)))) in masks and pathway != "T":
            mask = masks[edge] if pathway == "W" else masks[edge].T
            if rule is DFA and pathway == "B":
                continue  # from the output, along no edge
            assert not ends[LOCAL][name][~mask].any()
            assert np.all(ends[LOCAL][name][mask] != 0)
            assert np.all(ends[WIDE][name] != 0)
            checked += 1
    assert checked == {"backprop": 2, "feedback_alignment": 3, "direct_feedback_alignment": 2}.get(rule.name, 3)


# -- in the other realisations -----------------------------------------------------------------------------------------

SMALL = {
    "skips": network((4, 4, 4, 4, 3), "tanh", dense=[(0, 2)], identity=[(1, 3)]),
    "masked": local((6, 5, 4, 3), 0.5),
}


@pytest.mark.parametrize("realisation", ["circuit.rate", "tensor.spiking", "circuit.spiking"])
@pytest.mark.parametrize("name", SMALL)
def test_with_transposed_feedback_every_realisation_follows_the_gradient(name, realisation):
    """Oracle: autograd, to the tolerance of the edge: 1e-8, or 2 degrees and 2 % in spikes; masked entries stay 0."""
    network = SMALL[name]
    x, teacher = streams.stream(6, "x").uniform(-1, 1, (1, network.sizes[0])), np.eye(3)[:1]
    random = drawn(FA, network, x, teacher)
    weights = transposed(random)
    expected = backprop_gradient(network, weights, x, teacher)
    found = changes(FA, network, weights, x, teacher, realisation=realisation)
    if realisation == "circuit.rate":
        assert worst(found, expected) <= 1e-8
    else:
        assert max(angle(found[n], e) for n, e in expected.items()) <= 2
        assert max(abs(norm_ratio(found[n], e) - 1) for n, e in expected.items()) <= 0.02
    for c in network.connections:
        if c.kind == "masked":
            assert not found[f"W_{c.target}_{c.source}"][~c.mask].any()
    assert worst(changes(FA, network, random, x, teacher), {"W_1_0": expected["W_1_0"]}) > 0.1
