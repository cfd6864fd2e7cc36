r"""What an observer of a network sees and no rule may use: its gradient, by autograd over a forward pass of its own.

Written from the Network alone, with nothing of the language or of what it becomes, so that rules can be held against
it. Potentials are $u_k = b_k + \sum_j W_{kj} r_j$ over the connections into layer k; rates are $r_k = s_k f(u_k)$ in hidden
layers, where $s_k$ is the polarity (1, or -1 for the second half of a layer of a signed network), and, at the output,
$u_L$ (squared loss) or softmax$(u_L)$ (cross-entropy).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch.nn import functional

from neurolearn import activations
from neurolearn.activations import Activation, Membrane
from neurolearn.errors import InputError
from neurolearn.network import Network
from neurolearn.tensor import compile

Weights = Mapping[str, np.ndarray]


def forward(network: Network, weights: Weights, x: np.ndarray) -> np.ndarray:
    """Output rates (batch, outputs), float64, of inputs x (batch, inputs); softmax under cross-entropy.

    weights: {"W_k_j": (units of k, units of j), "b_k": (units of k,)}; any others are not looked at.
    Raises InputError naming a weight that is missing or has another shape, or x.
    """
    with torch.no_grad():
        output = _potential(network, _tensors(network, weights), _batch(network, "x", x, 0))
        return (output if network.loss == "squared" else torch.softmax(output, dim=1)).numpy()


def loss(network: Network, weights: Weights, x: np.ndarray, teacher: np.ndarray) -> float:
    r"""Mean over the batch of $\frac12 |t - r_L|^2$ (squared) or $-\sum_i t_i \log r_{L,i}$ (cross-entropy)."""
    with torch.no_grad():
        return float(_loss(network, _tensors(network, weights), x, teacher))


def accuracy(network: Network, weights: Weights, x: np.ndarray, teacher: np.ndarray) -> float:
    """Share of samples, 0 to 1, whose largest output is where the teacher's is; an output that is nan is wrong."""
    output = forward(network, weights, x)
    return float(np.mean((output.argmax(1) == np.argmax(teacher, 1)) & np.isfinite(output).all(1)))


def backprop_gradient(network: Network, weights: Weights, x: np.ndarray, teacher: np.ndarray) -> dict[str, np.ndarray]:
    """{"W_k_j", "b_k": negative gradient of the mean loss}, float64: what gradient descent adds. Masked entries are 0.

    x: (batch, inputs), teacher: (batch, outputs). Raises InputError as ``forward`` does.
    """
    leaves = {name: value.requires_grad_() for name, value in _tensors(network, weights).items()}
    gradients = torch.autograd.grad(_loss(network, leaves, x, teacher), list(leaves.values()))
    return {name: -gradient.numpy() for name, gradient in zip(leaves, gradients, strict=True)}


def _loss(network: Network, weights: dict[str, torch.Tensor], x: np.ndarray, teacher: np.ndarray) -> torch.Tensor:
    data, label = _batch(network, "x", x, 0), _batch(network, "teacher", teacher, network.output)
    if len(data) != len(label):
        raise InputError(f"x has {len(data)} samples and teacher {len(label)}; they must agree.")
    output = _potential(network, weights, data)
    if network.loss == "squared":
        return 0.5 * (label - output).square().sum(1).mean()
    return -(label * functional.log_softmax(output, dim=1)).sum(1).mean()


def _potential(network: Network, weights: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """Potential of the output layer, (batch, outputs)."""
    activation, rates = _function(network.activation), [x]
    for layer in range(1, len(network.sizes)):
        potential = weights[f"b_{layer}"].expand(len(x), -1)
        for edge in network.below(layer):
            source = rates[edge.source]
            if edge.kind != "identity":
                matrix = weights[f"W_{layer}_{edge.source}"]
                if edge.mask is not None:
                    matrix = matrix * torch.as_tensor(np.asarray(edge.mask), dtype=matrix.dtype)
                source = functional.linear(source, matrix)
            potential = potential + source
        rates.append(torch.as_tensor(network.polarity(layer)) * activation(potential))
    return potential


def _tensors(network: Network, weights: Weights) -> dict[str, torch.Tensor]:
    """The forward weights and biases as float64 tensors, checked; each a copy of its own."""
    sizes, shapes = network.sizes, {}
    for edge in network.connections:
        if edge.kind != "identity":
            shapes[f"W_{edge.target}_{edge.source}"] = (sizes[edge.target], sizes[edge.source])
    shapes |= {f"b_{layer}": (sizes[layer],) for layer in range(1, len(sizes))}
    for name, shape in shapes.items():
        if name not in weights:
            raise InputError(f"there is no weight {name}; this network ({network}) needs {', '.join(shapes)}.")
        if (found := np.shape(weights[name])) != shape:
            raise InputError(f"weight {name} has shape {found}; this network ({network}) needs {shape}, (to, from).")
    return {name: torch.tensor(np.asarray(weights[name]), dtype=torch.float64) for name in shapes}


def _batch(network: Network, name: str, value: np.ndarray, layer: int) -> torch.Tensor:
    if np.ndim(value) != 2 or np.shape(value)[1] != (size := network.sizes[layer]):
        raise InputError(f"{name} has shape {np.shape(value)}; this network ({network}) needs (batch, {size}).")
    return torch.as_tensor(np.asarray(value), dtype=torch.float64)


# -- activations, written out once more ------------------------------------------------------------------------------

WRITTEN: dict[Activation, Callable[[torch.Tensor], torch.Tensor]] = {
    activations.linear: lambda u: u,
    activations.relu: functional.relu,
    activations.tanh: torch.tanh,
    activations.asinh: torch.asinh,
    activations.softplus: lambda u: functional.softplus(u, threshold=40.0),
}


def _function(activation: Activation) -> Callable[[torch.Tensor], torch.Tensor]:
    """f for autograd, which then finds the slope without reading that of the activation.

    One with parameters, or a user's own, has no other definition than its text for f.
    """
    if activation in WRITTEN:
        return WRITTEN[activation]
    if activation.membrane:
        return lambda u: _lif(u, activation.membrane)
    text = f"def f(u):\n    return {activation.torch.format(u='u')}\n"
    return compile.function(text, "f", f"{activation.name}, observed")


def _lif(u: torch.Tensor, membrane: Membrane) -> torch.Tensor:
    """Rate, in unit rates, of a cell that climbs from 0 to 1 towards d = u + background; silent unless d > 1."""
    over = u + membrane.background - 1.0
    fires = over > 1e-6
    climb = membrane.tau_m * torch.log1p(1.0 / torch.where(fires, over, 1.0))
    return torch.where(fires, 1.0 / (membrane.unit * (membrane.t_ref + climb)), 0.0)
