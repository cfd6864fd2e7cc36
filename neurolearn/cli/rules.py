"""``neurolearn rules``: what each rule is, and what it asks of a brain."""

from __future__ import annotations

import logging
from textwrap import dedent
from typing import Annotated

import typer

from neurolearn.changes import REALISATIONS
from neurolearn.cli.inputs import JsonPlace, RuleActivation, RuleSizes, activation_of, one_of, rules_of, sizes_of
from neurolearn.cli.output import Output
from neurolearn.errors import InputError
from neurolearn.ledger import Ledger
from neurolearn.ledger import ledger as ledger_of
from neurolearn.network import mlp
from neurolearn.program import lower
from neurolearn.rule import Expectation, Identity, Rule, Tied


def rules(
    names: Annotated[list[str] | None, typer.Argument(
        metavar="NAME", show_default=False,
        help="Rules to show in full: names of the catalogue, path/to/file.py:name, or all.")] = None,
    json_to: JsonPlace = None,
    source: Annotated[str | None, typer.Option(
        "--source", metavar="REALISATION", show_default=False,
        help=f"Print the source that is executed for the named rules: {', '.join(REALISATIONS)}.")] = None,
    sizes: RuleSizes = None,
    activation: RuleActivation = None,
) -> None:
    """List the rules with their plausibility ledgers, computed from their equations.

    The ledger says what a rule asks of a brain: whose weights travel, how often one weight is needed, how many phases
    there are, what an axon must carry. Name rules to see their equations and whole ledgers, or the very source that a
    realisation runs.

    \b
        neurolearn rules
        neurolearn rules difference_target_propagation
        neurolearn rules my_rules.py:my_rule --source tensor.rate --sizes 8-6-3
    """
    units = None if sizes is None else sizes_of(sizes)
    function = None if activation is None else activation_of(activation)
    if source is not None:
        one_of("--source", source, REALISATIONS)
        if not names:
            example = f"neurolearn rules backprop --source {source}"
            raise InputError(f"--source is {source!r} without a rule; give NAME, for example {example}.")
    chosen, output = rules_of(names, "NAME"), Output(json_to)
    networks = [
        mlp(units or rule.nets.shapes[0], function or rule.nets.activations[0], signed=rule.nets.signed)
        for rule in chosen
    ]
    ledgers = [ledger_of(lower(rule, net), rule) for rule, net in zip(chosen, networks, strict=True)]
    if source:  # a circuit is built to be printed, not run, and Brian2 would warn of that
        logging.getLogger("brian2.core.base").setLevel(logging.ERROR)
    texts = [rule.source(source, net) if source else None for rule, net in zip(chosen, networks, strict=True)]
    if source:
        for text in texts:
            output.console.print(text.rstrip("\n"), soft_wrap=True)
    elif names:
        for rule, made in zip(chosen, ledgers, strict=True):
            _show(output, rule, made)
    else:
        _list(output, chosen, ledgers)
    output.json({"rules": [
        {"network": made.network, **_json(rule, made), **({"source": {source: text}} if source else {})}
        for rule, made, text in zip(chosen, ledgers, texts, strict=True)
    ]})


def _list(output: Output, chosen: list[Rule], ledgers: list[Ledger]) -> None:
    sources = [(rule.reference or "none given", ", ".join(feedback(rule)) or "none") for rule in chosen]
    output.table(
        "The rules", ("rule", "source", "feedback", "stated limit"),
        [(rule.name, *source, limit(rule)) for rule, source in zip(chosen, sources, strict=True)],
        f"Realisations of every rule: {', '.join(REALISATIONS)}.")
    output.table(
        "What they ask of a brain",
        ("rule", "weight transport", "copies", "phases", "signed axons", "extra axons", "f' of", "broadcasts", "noise"),
        [(made.rule, *summary(made).values()) for made in ledgers],
        "copies: synapse sets of one weight beyond the first. signed axons: signals sent that can be negative. extra "
        "axons: of a unit, beside that of its rate. noise: phases. Whole ledgers: neurolearn rules NAME.")


def _show(output: Output, rule: Rule, made: Ledger) -> None:
    output.print(f"\n{rule.name}", style="bold")
    output.print(rule.reference or "no reference given")
    output.print(f"Limit: {limit(rule)}.")
    if rule.limit and callable(rule.limit.equals) and rule.limit.equals.__doc__:
        output.print(f"  {rule.limit.equals.__name__}: {rule.limit.equals.__doc__.strip().splitlines()[0]}")
    output.table(
        "Equations", ("phase", "where", "text"),
        [(phase, where, "\n".join(lines)) for phase, where, lines in equations(rule)],
        "On top of: potential = W(rate_below) + b; rate = f(potential); slope = df(potential); input: rate = data.")
    output.table(f"Ledger on {made.network}", ("what", "how"), made.rows())


def summary(made: Ledger) -> dict[str, str]:
    """The ledger in a few words for each column of the list."""
    copies: dict[str, int] = {}
    for weight, count in made.copies.items():
        pathway = weight.rsplit("_", 2)[0]
        copies[pathway] = max(count, copies.get(pathway, 0))
    short = {
        "transport": [f"{name}: {how.removesuffix(', held for ever')}" for name, how in made.transport.items()],
        "copies": [f"{name} +{count}" for name, count in copies.items()],
        "phases": [str(len(made.phases))],
        "signed_axons": dict.fromkeys(name for names in made.signed.values() for name in names),
        "extra_axons": [f"{kind} {len(names)}" for kind, names in made.error_cells.items()],
        "slope": [{"own": "own cell", "other": "others"}.get(who, who) for who in made.slope],
        "broadcasts": list(made.broadcasts),
        "noise": dict.fromkeys(phase for phases in made.noise.values() for phase in phases),
    }
    return {label: ", ".join(words) or "none" for label, words in short.items()}


def feedback(rule: Rule) -> list[str]:
    """Pathways that do not come from below, each with where it comes from."""
    return [f"{name} from {path.source}" for name, path in rule.pathways.items() if path.source != "below"]


def limit(rule: Rule) -> str:
    """The rule's stated limit as a clause."""
    stated = rule.limit
    if stated is None:
        return "none stated"
    words = {
        "transpose": "is the transpose of W",
        "path transpose": "is the transpose of all W multiplied on the way up",
        "orthogonal": "is orthogonal",
    }
    given = [f"{name} {words.get(how, how)}" for name, how in stated.set.items()]
    given += ["units are linear"] if isinstance(stated, Identity) and stated.linear else []
    where = f" where {' and '.join(given)}" if given else ""
    towards = getattr(stated.equals, "__name__", stated.equals).replace("_", " ")
    if isinstance(stated, Identity):
        return f"equals {towards} to {stated.tolerance:.0e}{where}"
    if isinstance(stated, Expectation):
        return f"is on average {towards}{where}, within {stated.tolerance:g} standard errors of {stated.draws} draws"
    return f"tends to {towards} as {stated.parameter} goes to 0, with order {stated.order:g}{where}"


def equations(rule: Rule) -> list[tuple[str, str, list[str]]]:
    """(phase, where, lines) of all that the rule says; pathways, constants and broadcasts belong to "all" phases."""
    rows = [("all", f"pathway {name}", [_pathway(path)]) for name, path in rule.pathways.items()]
    rows += [("all", f"population {name}", [f"{one.size} cells"]) for name, one in rule.populations.items()]
    rows += [("all", what, [f"{name} = {value:g}" for name, value in getattr(rule, what).items()])
             for what in ("constants", "times") if getattr(rule, what)]
    rows += [("all", f"broadcast {name}", [text]) for name, text in rule.broadcast.items()]
    for name, phase in rule.all_phases().items():
        texts = {kind: getattr(phase, kind) or "" for kind in ("input", "hidden", "first", "last", "turn", "output")}
        titles = {"first": "first hidden", "last": "last hidden", "turn": "hidden, in its turn"}
        rows += [(name, titles.get(kind, kind), _lines(text)) for kind, text in texts.items() if text.strip()]
        rows += [(name, f"population {kind}", _lines(text)) for kind, text in phase.populations.items()]
        rows += [(name, f"change of {weight}", _lines(text)) for weight, text in phase.plasticity.items()]
    return rows


def _pathway(path) -> str:
    weights = path.weights
    if isinstance(weights, Tied):
        damped = f" (damping {weights.damping:g})" if weights.damping else ""
        how = f"{weights.how}{damped} of {weights.of} {'at the start' if weights.at_start else 'for ever'}"
    else:
        named = callable(weights) and hasattr(weights, "__name__")
        how = f"drawn by {weights.__name__ if named else weights}"
    more = (f", with bias {path.bias}" if path.bias else "") + (", coherent" if path.coherent else "")
    return f"from {path.source}, {how}{more}"


def _lines(text: str) -> list[str]:
    return [line.strip() for line in dedent(text).strip().splitlines() if line.strip()]


def _json(rule: Rule, made: Ledger) -> dict:
    return {
        "name": rule.name, "reference": rule.reference, "feedback": feedback(rule), "limit": limit(rule),
        "realisations": REALISATIONS, "summary": summary(made), "ledger": made.json(),
        "equations": [{"phase": phase, "where": where, "lines": lines} for phase, where, lines in equations(rule)],
    }
