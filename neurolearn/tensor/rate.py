"""tensor.rate: the settled algebra of a rule, batched, without autograd."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from neurolearn import ties
from neurolearn.errors import InputError
from neurolearn.program import Derivation, Program
from neurolearn.tensor import compile, fused, reference

KINDS = {"reference": reference, "fused": fused}


class RateProgram:
    """A compiled Program that owns its weights on a device.

    kind: "reference" (one operation a line, the printed one) or "fused" (static buffers, in-place updates; the batch
    size is then fixed). dtype, device: of torch. ``weight``: {name: tensor}, plus ``mask_<name>`` of masked ones.
    """

    def __init__(
        self,
        program: Program,
        weights: Mapping[str, np.ndarray],
        *,
        kind: str = "reference",
        batch: int | None = None,
        dtype: torch.dtype = torch.float64,
        device: str = "cpu",
    ):
        if kind not in KINDS:
            raise InputError(f"kind is {kind!r}; choose one of {', '.join(KINDS)}.")
        self.program, self.kind, self.dtype, self.device = program, kind, dtype, device
        self.source = KINDS[kind].source(program) if kind == "reference" else fused.source(program, batch)
        weights = ties.complete(program, weights)
        self.weight = {w.name: self._tensor(weights[w.name]) for w in program.free()}
        self.signs = {w.name: self._tensor(w.sign) for w in program.free() if w.sign is not None}
        self.weight |= {f"mask_{w.name}": self._tensor(w.mask) for w in program.free() if w.mask is not None}
        title = f"{program.name}:tensor.rate {kind} {program.network}"
        if kind == "reference":
            self._changes = compile.function(self.source, "changes", title)
        else:
            self._step = compile.function(self.source, "build", title)(self.weight, self.dtype, self.device)

    def _tensor(self, value) -> torch.Tensor:
        return torch.tensor(np.asarray(value), dtype=self.dtype, device=self.device)

    def load(self, given: Mapping[str, np.ndarray]) -> dict[str, torch.Tensor]:
        """Given values as tensors of this program."""
        return {name: value if torch.is_tensor(value) else self._tensor(value) for name, value in given.items()}

    @torch.no_grad()
    def changes(self, given: Mapping[str, np.ndarray]) -> dict[str, torch.Tensor]:
        """{weight: change}, to be added, averaged over the batch; weights stay as they are (reference only)."""
        if self.kind != "reference":
            raise InputError("changes() belongs to the reference program; the fused one steps in place.")
        return self._changes(self.load(given), self.weight)

    @torch.no_grad()
    def signals(self, given: Mapping[str, np.ndarray]) -> dict[str, dict[str, torch.Tensor]]:
        """{phase: {signal_cell: (batch, units)}} of all settled signals; what is latched stands under "latched"."""
        text = reference.source(self.program, signals=True)
        title = f"{self.program.name}:tensor.rate signals {self.program.network}"
        return compile.function(text, "changes", title)(self.load(given), self.weight)

    @torch.no_grad()
    def step(self, given: Mapping[str, np.ndarray], rate: float | Mapping[str, float]) -> None:
        """Add rate * change to every plastic weight, in place. rate: one number, or one per pathway or bias name.

        Then weights with a sign that they must keep are cut off at 0, and those that follow others do so.
        """
        rates = {name: self._rate(name, rate) for name in self.program.plastic_weights()}
        if self.kind == "fused":
            self._step(self.load(given), rates)
        else:
            for name, change in self._changes(self.load(given), self.weight).items():
                self.weight[name].add_(change, alpha=rates[name])
        for name, sign in self.signs.items():
            weight = self.weight[name]
            weight.copy_(torch.where(sign * weight < 0, 0, weight))
        for w in self.program.derived():
            self.weight[w.name].copy_(derived(w.derived, self.weight))

    def _rate(self, name: str, rate) -> float:
        if not isinstance(rate, Mapping):
            return float(rate)
        weight = self.program.weights[name]
        own = name.rsplit("_", 1)[0] if weight.source is None else weight.pathway  # a bias goes with its pathway
        return float(rate.get(own, rate.get(weight.pathway, rate.get("*", 0.0))))

    def numpy(self) -> dict[str, np.ndarray]:
        """The weights as float64 arrays."""
        return {w.name: self.weight[w.name].cpu().numpy().astype(float) for w in self.program.free()}


def derived(derivation: Derivation, weight: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """``ties.derive`` on the device."""
    matrices = [weight[name] for name in derivation.of]
    first, sign = matrices[0], -1.0 if derivation.how.startswith("negated") else 1.0
    match derivation.how:
        case "pseudo-inverse" if derivation.damping:
            damped = first @ first.T + derivation.damping * torch.eye(len(first), dtype=first.dtype, device=first.device)
            return torch.linalg.solve(damped, first).T
        case "pseudo-inverse" if first.shape[0] == first.shape[1]:
            inverse, singular = torch.linalg.inv_ex(first)
            return torch.linalg.pinv(first) if singular else inverse
        case "pseudo-inverse":
            return torch.linalg.pinv(first)
        case "sign":
            return first.sign().T * first.abs().mean()
    for matrix in matrices[1:]:
        first = matrix @ first
    return sign * first.T
