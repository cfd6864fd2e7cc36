r"""Information that a layer's output has about its input, in nats, with its gradient: what infomax is held against.

Three channels: stochastic binary units, by enumeration of all they can say; a linear layer with Gaussian noise; a square
layer of logistic units. Every gradient is autograd's, of the objective alone. This is an observer, which reads a whole
layer and every input at once; no rule may. Weights are (to, from), inputs (patterns, from).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from neurolearn.errors import InputError

if TYPE_CHECKING:
    import torch

LARGEST = 2**24  # entries of the table of all outputs for all inputs: 128 MiB


# -- stochastic binary units -------------------------------------------------------------------------------------------


def outcomes(units: int) -> np.ndarray:
    """All that so many binary units can say: (2^units, units) of zeros and ones."""
    return (np.arange(2**units)[:, None] >> np.arange(units)[::-1] & 1).astype(float)


def binary_information(w, b, x, chance=None) -> float:
    r"""$I(x; y) = \langle \sum_y p(y|x) \log (p(y|x) / p(y)) \rangle_x$ with $p(y_i = 1|x) = \sigma(w_i x + b_i)$.

    x: the inputs that there are; chance: their probabilities, equal if not given. Raises InputError for shapes that do
    not fit and for layers too large to enumerate.
    """
    return float(_binary_information(*_binary(w, b, x, chance)))


def binary_gradient(w, b, x, chance=None) -> dict[str, np.ndarray]:
    """{"W", "b"}: the gradient of ``binary_information``."""
    return _gradient(_binary_information, ("W", "b"), *_binary(w, b, x, chance))


def binary_prediction(w, b, x, chance=None) -> np.ndarray:
    r"""$\ell_i(y) = \mathrm{logit}\, p(y_i = 1 | y_{-i})$ for every row y of ``outcomes``: (2^units, units)."""
    joint, prior = _log_joint(*_binary(w, b, x, chance))
    log_p = (joint + prior).logsumexp(1).numpy()  # of each outcome, over the inputs
    units = np.shape(w)[0]
    place, bit = np.arange(2**units)[:, None], 1 << np.arange(units)[::-1]
    return log_p[place | bit] - log_p[place & ~bit]


def entropy(chance) -> float:
    r"""$H = -\sum p \log p$ of a distribution; n equal inputs have $\log n$."""
    p = np.asarray(chance, float)
    return float(-np.sum(p[p > 0] * np.log(p[p > 0])))


def _binary(w, b, x, chance) -> tuple[torch.Tensor, ...]:
    w, b, x = (np.asarray(v, float) for v in (w, b, x))
    chance = np.full(len(x), 1 / len(x)) if chance is None else np.asarray(chance, float)
    _check(w, b, x)
    if chance.shape != x.shape[:1] or (chance < 0).any() or abs(chance.sum() - 1) > 1e-9:
        raise InputError(
            f"chance has shape {chance.shape}; give one probability for each of {len(x)} inputs, of sum 1."
        )
    if len(x) * 2.0 ** len(w) > LARGEST:
        raise InputError(f"{len(w)} units have 2^{len(w)} outcomes for each of {len(x)} inputs, too many to enumerate.")
    return tuple(map(_tensor, (w, b, x, chance)))


def _log_joint(w, b, x, chance) -> tuple[torch.Tensor, torch.Tensor]:
    """log p(y|x), (outcomes, patterns), and log p(x)."""
    from torch.nn.functional import softplus

    u = x @ w.T + b
    return _tensor(outcomes(len(w))) @ u.T - softplus(u, threshold=40.0).sum(1), chance.log()


def _binary_information(w, b, x, chance) -> torch.Tensor:
    likelihood, prior = _log_joint(w, b, x, chance)
    surprise = likelihood - (likelihood + prior).logsumexp(1, keepdim=True)
    return (likelihood.exp() * surprise).sum(0) @ chance


# -- a linear layer with Gaussian noise --------------------------------------------------------------------------------


def gaussian_information(w, covariance, spread: float) -> float:
    r"""$I(x; y) = \frac12 \log \det (1 + W \Sigma W^\top / s^2)$ of $y = W x + s \xi$, where $\Sigma$ is the input's covariance."""
    return float(_gaussian_information(*_gaussian(w, covariance, spread)))


def gaussian_gradient(w, covariance, spread: float) -> dict[str, np.ndarray]:
    """{"W"}: the gradient of ``gaussian_information``."""
    return _gradient(_gaussian_information, ("W",), *_gaussian(w, covariance, spread))


def water_filling(covariance, spread: float, power: float, units: int | None = None) -> tuple[float, np.ndarray]:
    r"""(largest ``gaussian_information`` with $|W|_F^2$ = power, the power of each input direction).

    $p_k = \max(0, \mu - s^2 / \lambda_k)$ over the ``units`` largest eigenvalues $\lambda_k$ of the covariance, in falling
    order, with $\mu$ such that they sum to the power. Source: Cover and Thomas 2006, Elements of Information Theory, 9.4.
    """
    if not (power > 0 and spread > 0):
        raise InputError(f"power is {power!r} and spread {spread!r}; both must be positive.")
    values = np.linalg.eigvalsh(np.asarray(covariance, float))[::-1][:units]
    noise = spread**2 / values[values > 1e-12 * values[0]]
    levels = (power + np.cumsum(noise)) / np.arange(1, len(noise) + 1)  # if so many directions are used
    level = levels[np.nonzero(levels > noise)[0][-1]]
    powers = np.zeros(len(values))
    powers[: len(noise)] = np.maximum(0, level - noise)
    return float(0.5 * np.log1p(powers[: len(noise)] / noise).sum()), powers


def _gaussian(w, covariance, spread: float) -> tuple[torch.Tensor, ...]:
    w, covariance = np.asarray(w, float), np.asarray(covariance, float)
    if w.ndim != 2 or covariance.shape != (w.shape[1], w.shape[1]):
        raise InputError(
            f"w has shape {w.shape} and the covariance {covariance.shape}; give (to, from) and (from, from)."
        )
    if not spread > 0:
        raise InputError(f"spread is {spread!r}; without noise the information has no bound.")
    return _tensor(w), _tensor(covariance), _tensor(spread)


def _gaussian_information(w, covariance, spread) -> torch.Tensor:
    import torch

    signal = w @ covariance @ w.T / spread**2
    return 0.5 * torch.logdet(torch.eye(len(w), dtype=w.dtype) + signal)


# -- a square layer of logistic units ----------------------------------------------------------------------------------


def square_information(w, b, x) -> float:
    r"""$\langle \log |\det \partial y / \partial x| \rangle$ of $y = \sigma(W x + b)$: the entropy of y, less that of x.

    Raises InputError if W is not square.
    """
    return float(_square_information(*_square(w, b, x)))


def square_gradient(w, b, x) -> dict[str, np.ndarray]:
    """{"W", "b"}: the gradient of ``square_information``."""
    return _gradient(_square_information, ("W", "b"), *_square(w, b, x))


def _square(w, b, x) -> tuple[torch.Tensor, ...]:
    w, b, x = (np.asarray(v, float) for v in (w, b, x))
    _check(w, b, x)
    if w.shape[0] != w.shape[1]:
        raise InputError(f"w has shape {w.shape}; only a square layer has a determinant.")
    return _tensor(w), _tensor(b), _tensor(x)


def _square_information(w, b, x) -> torch.Tensor:
    from torch.nn.functional import logsigmoid

    u = x @ w.T + b
    slopes = logsigmoid(u) + logsigmoid(-u)  # of the logistic function, as logarithms
    return w.det().abs().log() + slopes.sum(1).mean()


# -- shared ------------------------------------------------------------------------------------------------------------


def _check(w: np.ndarray, b: np.ndarray, x: np.ndarray) -> None:
    if w.ndim != 2 or b.shape != w.shape[:1] or x.ndim != 2 or x.shape[1] != w.shape[1]:
        raise InputError(
            f"w has shape {w.shape}, b {b.shape} and x {x.shape}; give (to, from), (to,) and (patterns, from)."
        )


def _tensor(value) -> torch.Tensor:
    import torch

    return torch.tensor(np.asarray(value, dtype=float))


def _gradient(objective, names: tuple[str, ...], *arguments) -> dict[str, np.ndarray]:
    """By autograd, for the first arguments, which are named."""
    for argument in arguments[: len(names)]:
        argument.requires_grad_()
    objective(*arguments).backward()
    return {name: a.grad.numpy() for name, a in zip(names, arguments, strict=False)}
