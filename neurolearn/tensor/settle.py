"""Fixed points of feedback loops: Newton on the flow of the settled circuit, sample by sample, in one batch."""

from __future__ import annotations

from collections.abc import Callable

import torch

from neurolearn.errors import SettlingError

Flow = Callable[[torch.Tensor, int], torch.Tensor]
ROWS = 1024  # of one stacked evaluation: its temporaries then stay in the cache, and memory does not grow with size


def settle(flow: Flow, batch: int, size: int, like: torch.Tensor) -> torch.Tensor:
    """State z (batch, size) with flow(z) = 0.

    flow(z, copies) gives dz/dt (copies * batch, size) for ``copies`` stacked copies of the batch. The first Newton step
    takes the Jacobian from unit displacements, which is exact for a flow that is affine in its state (one step, the
    closed form); otherwise more steps follow with forward-mode Jacobians, after a short relaxation.
    Raises SettlingError if the residual stays above 1e-12 (float64; 1e-5 in float32) of the flow's scale.
    """
    zero = torch.zeros(batch, size, dtype=like.dtype, device=like.device)
    start = flow(zero, 1)
    newton = _Newton(flow, _displaced(flow, start))
    state, residual = newton.step(zero, start)
    # One refinement removes the rounding of the first solve; a nonlinear flow is seen by its residual.
    state, residual = newton.step(state, residual)
    goal = (1e-12 if like.dtype == torch.float64 else 1e-5) * (1.0 + start.abs().amax())
    if not residual.abs().amax() <= goal:
        state, residual = _nonlinear(flow, zero, goal)
    if not residual.abs().amax() <= goal:
        raise SettlingError(
            f"the loop did not settle: its residual is {residual.abs().amax().item():.1e}, above {goal.item():.1e}. "
            "Weaken the feedback or raise its leak."
        )
    return state


class _Newton:
    """Newton steps with one Jacobian (batch, size, size), factorised once; a singular one shows in the residual."""

    def __init__(self, flow: Flow, jacobian: torch.Tensor):
        self.flow = flow
        self.lower_upper, self.pivots, _ = torch.linalg.lu_factor_ex(jacobian)

    def step(self, state: torch.Tensor, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The next state, and the flow there; value: the flow at ``state``."""
        state = state - torch.linalg.lu_solve(self.lower_upper, self.pivots, value.unsqueeze(-1)).squeeze(-1)
        return state, self.flow(state, 1)


def _displaced(flow: Flow, start: torch.Tensor) -> torch.Tensor:
    """Jacobian (batch, size, size) of an affine flow: its images of the unit vectors, less ``start``, that of 0."""
    batch, size = start.shape
    units = torch.eye(size, dtype=start.dtype, device=start.device)
    columns = []
    for some in units.split(max(1, ROWS // batch)):
        images = flow(some.repeat_interleave(batch, dim=0), len(some))
        columns.append(images.view(len(some), batch, size) - start)
    return torch.cat(columns).permute(1, 2, 0)


def _nonlinear(flow: Flow, state: torch.Tensor, goal: torch.Tensor, relax: int = 400, steps: int = 40):
    """State and residual after a relaxation and Newton steps, each with a Jacobian of its own; nan is given up."""
    for _ in range(relax):
        state = state + 0.1 * flow(state, 1)
    value = flow(state, 1)
    units = torch.eye(state.shape[1], dtype=state.dtype, device=state.device)
    for _ in range(steps):
        largest = value.abs().amax()
        if largest <= goal or not largest.isfinite():
            break
        columns = [torch.func.jvp(lambda z: flow(z, 1), (state,), (unit.expand_as(state),))[1] for unit in units]
        state, value = _Newton(flow, torch.stack(columns, dim=2)).step(state, value)
    return state, value


def settle_synapse(flow: Callable[[torch.Tensor], torch.Tensor], shape: torch.Tensor) -> torch.Tensor:
    """Fixed point of a synaptic state whose equation is affine in it: z = g(0) / (g(0) - g(1))."""
    zero, one = torch.zeros_like(shape), torch.ones_like(shape)
    at_zero = flow(zero)
    state = at_zero / (at_zero - flow(one))
    if not (flow(state).abs().amax() <= 1e-6 * (1 + at_zero.abs().amax())):
        raise SettlingError("a synaptic state has no fixed point that its equation reaches; write it as a leaky trace.")
    return state
