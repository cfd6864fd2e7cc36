r"""Activation functions: what a cell's rate is, given its potential.

Each activation is data: one expression for $f(u)$ and one for $f'(u)$, in a form that both torch and Brian2 read after
their own substitution. ``lif`` is the current-to-frequency curve of a leaky integrate-and-fire cell.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from neurolearn.errors import InputError


class Membrane(NamedTuple):
    """A leaky integrate-and-fire cell: seconds, seconds, Hz per unit of signal, drive (threshold is 1)."""

    tau_m: float
    t_ref: float
    unit: float
    background: float


@dataclass(frozen=True)
class Activation:
    r"""A pointwise function $r = f(u)$ and its slope $f'(u)$.

    torch, torch_slope: Python expressions in ``{u}`` over torch. brian, brian_slope: expressions in ``{u}`` over the
    functions that Brian2 knows. kinked: the slope jumps somewhere (its sign needs a margin in spikes).
    membrane: of cells whose own f-I curve this is. torch_inverse, brian_inverse: $f^{-1}$ where there is one. cell: a
    cell of the user's own with this curve, ``neurolearn.circuit.own.curve.Measured``.
    """

    name: str
    torch: str = field(repr=False)
    torch_slope: str = field(repr=False)
    brian: str = field(repr=False)
    brian_slope: str = field(repr=False)
    kinked: bool = False
    membrane: Membrane | None = None
    torch_inverse: str | None = field(default=None, repr=False)
    brian_inverse: str | None = field(default=None, repr=False)
    cell: object | None = field(default=None, repr=False)


linear = Activation(
    "linear",
    "{u}",
    "torch.ones_like({u})",
    "({u})",
    "1.0 + 0.0*({u})",
    torch_inverse="{u}",
    brian_inverse="({u})",
)
relu = Activation(
    "relu", "torch.relu({u})", "({u} > 0).to({u}.dtype)", "({u})*int(({u}) > 0)", "1.0*int(({u}) > 0)", kinked=True
)
tanh = Activation(
    "tanh",
    "torch.tanh({u})",
    "1.0 - torch.tanh({u})**2",
    "tanh({u})",
    "(1.0 - tanh({u})**2)",
    torch_inverse="torch.atanh({u})",
    brian_inverse="(0.5*log((1.0 + ({u}))/(1.0 - ({u}))))",
)
asinh = Activation(
    "asinh",
    "torch.asinh({u})",
    "torch.rsqrt(1.0 + ({u})**2)",
    "sign({u})*log(abs({u}) + sqrt(1.0 + ({u})**2))",
    "1.0/sqrt(1.0 + ({u})**2)",
    torch_inverse="torch.sinh({u})",
    brian_inverse="sinh({u})",
)
softplus = Activation(
    "softplus",
    "torch.logaddexp({u}, torch.zeros_like({u}))",
    "torch.sigmoid({u})",
    "(({u})*int(({u}) > 0) + log(1.0 + exp(-abs({u}))))",
    "1.0/(1.0 + exp(-({u})))",
    torch_inverse="torch.log(torch.expm1({u}))",
    brian_inverse="log(exp({u}) - 1.0)",
)


def leaky_relu(negative: float = 0.1) -> Activation:
    """$f(u) = u$ for positive potentials and ``negative * u`` below zero."""
    if not 0 <= negative < 1:
        raise InputError(f"leaky_relu: negative is {negative}; give a slope in [0, 1), for example 0.1.")
    gate = f"({negative} + {1 - negative}*int(({{u}}) > 0))"
    return Activation(
        "leaky_relu",
        f"torch.where({{u}} > 0, {{u}}, {negative}*({{u}}))",
        f"torch.where({{u}} > 0, torch.ones_like({{u}}), {negative})",  # two numbers would be float32
        _leaky("{u}", negative),
        gate,
        kinked=True,
        torch_inverse=f"torch.where({{u}} > 0, {{u}}, {1 / negative}*({{u}}))" if negative else None,
        brian_inverse=_leaky("{u}", 1 / negative) if negative else None,
    )


def _leaky(u: str, negative: float) -> str:
    """Brian2 text without a comparison: Brian2 refuses one inside another, which an inverse of f would be."""
    return f"(clip({u}, 0, inf) - {negative}*clip(-({u}), 0, inf))"


def lif(tau_m: float = 20e-3, t_ref: float = 2e-3, unit: float = 100.0, background: float = 1.0) -> Activation:
    r"""Rate of a leaky integrate-and-fire cell with threshold 1, reset 0 and constant drive $u$ on a background.

    $f(u) = 1 / (U [t_{ref} + \tau_m \log\frac{d}{d - 1}])$ with $d = u + u_0$ for $d > 1$, else 0. tau_m, t_ref:
    seconds. unit: $U$, the rate in Hz that counts as a signal of 1. background: $u_0$; at 1 the cell sits at threshold.
    Source: Gerstner et al. 2014, Neuronal Dynamics, section 1.3.
    """
    if tau_m <= 0 or t_ref < 0 or unit <= 0:
        raise InputError(
            f"lif: tau_m = {tau_m} s, t_ref = {t_ref} s, unit = {unit} Hz; tau_m and unit must be positive and t_ref "
            "not negative."
        )
    tiny = 1e-6  # keeps the branch that is not taken finite
    over_t = f"torch.clamp({{u}} + {background - 1.0}, min={tiny})"  # d - 1
    over_b = f"clip({{u}} + {background - 1.0}, {tiny}, inf)"
    above_t, above_b = f"({{u}} > {1.0 - background + tiny})", f"int(({{u}}) > {1.0 - background + tiny})"
    interval_t = f"({t_ref} + {tau_m}*torch.log1p(1.0/{over_t}))"
    interval_b = f"({t_ref} + {tau_m}*log(1.0 + 1.0/{over_b}))"
    return Activation(
        "lif",
        f"torch.where({above_t}, 1.0/({unit}*{interval_t}), 0.0)",
        f"torch.where({above_t}, {tau_m}/({unit}*{interval_t}**2*{over_t}*(1.0 + {over_t})), 0.0)",
        f"({above_b}/({unit}*{interval_b}))",
        f"({above_b}*{tau_m}/({unit}*{interval_b}**2*{over_b}*(1.0 + {over_b})))",
        kinked=True,
        membrane=Membrane(tau_m, t_ref, unit, background),
    )


NAMED = {
    "linear": lambda: linear,
    "relu": lambda: relu,
    "leaky_relu": leaky_relu,
    "tanh": lambda: tanh,
    "asinh": lambda: asinh,
    "softplus": lambda: softplus,
    "lif": lif,
}


def get(activation: str | Activation) -> Activation:
    """Activation of that name; an Activation is returned as it is. Raises InputError for an unknown name."""
    if isinstance(activation, Activation):
        return activation
    if activation not in NAMED:
        raise InputError(f"activation is {activation!r}; choose one of {', '.join(NAMED)}.")
    return NAMED[activation]()
