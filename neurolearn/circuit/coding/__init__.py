"""How a signal crosses a pathway of a spiking circuit: what its cells fire, and what a compartment makes of it.

Every coding is a class with the equations of the sending cells, what a spike does where it arrives, and what plasticity
reads at its presynaptic end. ``Timing.codings`` chooses one of ``neurolearn.timing.CODINGS`` for a signal; ``membrane``,
``own`` and ``drawn`` come from the cell and from the input.
"""

from __future__ import annotations

from neurolearn.circuit.coding.base import Coding, Sender
from neurolearn.circuit.coding.others import Graded, Heard, Membrane, Own, Relay
from neurolearn.circuit.coding.pairs import Opponent, RectifiedPair
from neurolearn.circuit.coding.single import Baseline, TwoPhase
from neurolearn.draws import Code

__all__ = ["Coding", "Sender", "of"]

KINDS: dict[str, Coding] = {
    "opponent": Opponent(),
    "rectified_pair": RectifiedPair(),
    "baseline": Baseline(),
    "two_phase": TwoPhase(),
    "graded": Graded(),
    "membrane": Membrane(),
    "own": Own(),
    "heard": Heard(),
    "drawn": Relay(),
}


def of(code: Code) -> Coding:
    """The coding of a code's kind."""
    return KINDS[code.kind]
