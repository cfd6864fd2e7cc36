"""Fixed points of feedback loops: Newton on the flow of the settled circuit, sample by sample, in one batch."""

from __future__ import annotations

from collections.abc import Callable

import torch

from neurolearn.errors import SettlingError


def settle(flow: Callable[[torch.Tensor, int], torch.Tensor], batch: int, size: int, like: torch.Tensor) -> torch.Tensor:
    """State z (batch, size) with flow(z) = 0.

    flow(z, copies) gives dz/dt (copies * batch, size) for ``copies`` stacked copies of the batch. The first Newton step
    takes the Jacobian from unit displacements, which is exact for a flow that is affine in its state (one step, the
    closed form); otherwise more steps follow with forward-mode Jacobians, after a short relaxation.
    Raises SettlingError if the residual stays above 1e-12 (float64; 1e-5 in float32) of the flow's scale.
    """
    zero = torch.zeros(batch, size, dtype=like.dtype, device=like.device)
    start = flow(zero, 1)
    displaced = zero.repeat(size, 1).view(size, batch, size)
    displaced = displaced + torch.eye(size, dtype=zero.dtype, device=zero.device)[:, None, :]
    images = flow(displaced.reshape(size * batch, size), size).view(size, batch, size)
    jacobian = (images - start).permute(1, 2, 0)
    state, residual = _newton(flow, zero, start, jacobian)
    # One refinement removes the rounding of the first solve; a nonlinear flow is seen by its residual.
    state, residual = _newton(flow, state, residual, jacobian)
    scale = 1.0 + start.abs().amax()
    goal = (1e-12 if like.dtype == torch.float64 else 1e-5) * scale
    if not residual.abs().amax() <= goal:
        state, residual = _nonlinear(flow, zero, goal)
    if not residual.abs().amax() <= goal:
        raise SettlingError(
            f"the loop did not settle: its residual is {residual.abs().amax().item():.1e}, above {goal.item():.1e}. "
            "Weaken the feedback or raise its leak."
        )
    return state


def _newton(flow, state, value, jacobian):
    step = torch.linalg.solve(jacobian, value.unsqueeze(-1)).squeeze(-1)
    state = state - step
    return state, flow(state, 1)


def _nonlinear(flow, state, goal, relax: int = 400, steps: int = 40):
    for _ in range(relax):
        state = state + 0.1 * flow(state, 1)
    value = flow(state, 1)
    size = state.shape[1]
    for _ in range(steps):
        if value.abs().amax() <= goal:
            break
        columns = [torch.func.jvp(lambda z: flow(z, 1), (state,), (unit.expand_as(state),))[1]
                   for unit in torch.eye(size, dtype=state.dtype, device=state.device)]
        state, value = _newton(flow, state, value, torch.stack(columns, dim=2))
    return state, value


def settle_synapse(flow: Callable[[torch.Tensor], torch.Tensor], shape: torch.Tensor) -> torch.Tensor:
    """Fixed point of a synaptic state whose equation is affine in it: z = g(0) / (g(0) - g(1))."""
    zero, one = torch.zeros_like(shape), torch.ones_like(shape)
    at_zero = flow(zero)
    state = at_zero / (at_zero - flow(one))
    if not (flow(state).abs().amax() <= 1e-6 * (1 + at_zero.abs().amax())):
        raise SettlingError("a synaptic state has no fixed point that its equation reaches; write it as a leaky trace.")
    return state
