"""The layers of a network and, numbered on from its output, the populations that a rule adds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from neurolearn.errors import InputError
from neurolearn.network import Network

if TYPE_CHECKING:
    from neurolearn.rule import Population, Rule


class Layers:
    """Sizes and kinds by number. The kind of a population is its name."""

    def __init__(self, network: Network, populations: Mapping[str, Population]):
        self.network, self.populations = network, tuple(populations)
        self.sizes = (*network.sizes, *(p.size for p in populations.values()))

    def __len__(self) -> int:
        return len(self.sizes)

    def kind(self, layer: int) -> str:
        """ "input", "hidden", "output" or the name of a population."""
        extra = layer - len(self.network.sizes)
        return self.network.kind(layer) if extra < 0 else self.populations[extra]

    def title(self, layer: int) -> str:
        """What circuits call it."""
        return f"layer{layer}" if layer < len(self.network.sizes) else f"population_{self.kind(layer)}"

    def number(self, population: str) -> int:
        """The layer number of a population."""
        return len(self.network.sizes) + self.populations.index(population)

    def hidden(self) -> tuple[int, ...]:
        """Hidden layers, from the lowest to the highest."""
        return tuple(range(1, self.network.output))

    def is_first(self, layer: int) -> bool:
        """Whether a hidden layer hears the input and nothing else."""
        return self.kind(layer) == "hidden" and all(c.source == 0 for c in self.network.below(layer))

    def is_last(self, layer: int) -> bool:
        """Whether a hidden layer sends to the output and to nothing else."""
        return self.kind(layer) == "hidden" and all(c.target == self.network.output for c in self.network.above(layer))


def check_fit(rule: Rule, network: Network) -> None:
    """Raises InputError for a network that the rule says it is not for."""
    if rule.nets.chain and not network.is_chain():
        raise InputError(
            f"{rule.name} inverts one layer at a time, so it needs a chain of layers; this network is {network}. "
            "feedback_alignment, direct_feedback_alignment and difference_target_propagation take skip connections."
        )
    if rule.nets.scalar and network.sizes[-1] != 1:
        raise InputError(
            f"{rule.name} broadcasts one signed error, so it needs one output unit; this network is {network}. "
            "For classes, train one network per class."
        )
