"""The words of a drawing: what stands at an edge, and what the legend explains."""

from __future__ import annotations

import re
from textwrap import wrap

from neurolearn.circuit.look.sketch import Edge, Sketch

LETTERS = (48, 36, 26, 18)  # of a line of a label: what is tried
SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def edge_text(edge: Edge, phases: tuple[str, ...], unit: bool, letters: int = LETTERS[0]) -> tuple[str, ...]:
    """The label of an edge: the weight's name, what it carries if that is not plain, and what its plasticity reads.

    letters: in a line, at most.
    """
    if edge.form == "broadcast":
        return (edge.pathway,)
    if edge.form != "all_to_all":
        return ()
    first = weight_label(edge.name)
    if edge.copy:
        first += " copy"
    if unit and edge.carries:
        back = [c.signal for c in edge.carries if c.back]
        first += ": " + ", ".join(dict.fromkeys(c.signal for c in edge.carries if not c.back))
        first += f"; back: {', '.join(dict.fromkeys(back))}" if back else ""
    lines = [first]
    for learning in edge.learns:
        phase = f" ({learning.phase})" if len(phases) > 1 else ""
        for text in (f"Δ = {learning.text}{phase}", *learning.states):
            product = re.sub(r"(?<!\*)\*(?!\*)", " · ", text)
            lines += wrap(product, letters, subsequent_indent="   ", break_on_hyphens=False, break_long_words=False)
    return tuple(lines)


KEYS = {  # what a legend explains, in its order
    "source": "spikes drawn beforehand",
    "rate": "principal cells",
    "other": "further axon of a unit",
    "error": "error or target cells",
    "forward": "forward",
    "feedback": "feedback",
    "lateral": "within a layer",
    "plastic": "plastic (Δ: what it learns from)",
    "fixed": "fixed",
    "copy": "copy of plastic weights",
    "apical": "one to one, onto an apical compartment",
    "one_to_one": "one to one",
    "broadcast": "broadcast",
    "transpose": "the same synapses read backwards",
    "retrograde": "retrograde signal, back along the synapse",
    "bias plastic": "bias, plastic",
    "bias copy": "copy of a plastic bias",
    "bias fixed": "bias, fixed",
}


def keys(sketch: Sketch) -> list[tuple[str, str]]:
    """(what, words) of everything in a sketch that a legend explains."""
    matrices = [e for e in sketch.edges if e.form == "all_to_all"]
    found = {kind for node in sketch.nodes for _, kind in node.sends} | {e.way for e in matrices}
    found |= {"plastic" if e.plastic else "copy" if e.copy else "fixed" for e in matrices}
    found |= {"apical" if e.apical else e.form for e in sketch.edges if e.form in ("one_to_one", "broadcast")}
    back = [e for e in sketch.edges if any(c.back for c in e.carries)]
    found |= {"retrograde" if e.tie == "retrograde" else "transpose" for e in back}
    found |= {f"bias {node.bias}" for node in sketch.nodes if node.bias}
    reads = dict.fromkeys(text.replace("*", " · ") for node in sketch.nodes for text in node.reads)
    more = {"bias plastic": f" (Δ = {' or '.join(reads)})"}
    return [(what, words + more.get(what, "")) for what, words in KEYS.items() if what in found]


def weight_label(name: str) -> str:
    """A weight's name as it is written in papers: W_2_1_to_error_from_rate is W₂₁."""
    match = re.match(r"(\w+?)_(\d+)_(\d+)(?:_by_(\w+?))?(?:_to_\w+)?$", name)
    if not match:
        return name
    comma = "," if len(match[2]) + len(match[3]) > 2 else ""
    by = f" by {match[4]}" if match[4] else ""
    return f"{match[1]}{match[2].translate(SUBSCRIPTS)}{comma}{match[3].translate(SUBSCRIPTS)}{by}"
