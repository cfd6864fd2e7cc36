"""Devices and precisions: the CPU in float64 is the oracle of every other."""

import numpy as np
import pytest
import torch

from neurolearn import rules
from neurolearn.changes import fit_rates
from neurolearn.compare import relative_error
from neurolearn.edge import case as drawn
from neurolearn.edge import settings
from neurolearn.tensor.rate import RateProgram
from neurolearn.tensor.spiking import SpikingProgram
from neurolearn.timing import Timing

TIMING = Timing(settle=500, window=500, tau=0.02, jitter=0.01, seed=1, unit_rate=100.0)
cuda = pytest.param("cuda", marks=pytest.mark.gpu)


@pytest.fixture(autouse=True)
def needs_a_gpu_where_marked(request):
    """A machine without a GPU cannot run what is marked gpu; the default run leaves these out anyway."""
    if request.node.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("no CUDA device here")


def case(name: str):
    program, _, weights, given = drawn(rules.get(name), settings(rules.get(name))[0], sabotage=False)
    return program, weights, given


def rate(name: str, **options) -> dict[str, np.ndarray]:
    program, weights, given = case(name)
    return {n: c.cpu().numpy() for n, c in RateProgram(program, weights, **options).changes(given).items()}


def spikes(name: str, **options):
    program, weights, given = case(name)
    simulation = SpikingProgram(program, weights, fit_rates(program, weights, given, TIMING), **options)
    changes = {n: c.cpu().numpy() for n, c in simulation.run(given, record=True).items()}
    return changes, simulation.activity.trains


@pytest.mark.parametrize("name", rules.ALL)
@pytest.mark.parametrize("device", ["cpu", cuda])
def test_float32_rates_follow_float64(name, device):
    exact, rough = rate(name), rate(name, dtype=torch.float32, device=device)
    for weight in exact:
        assert rough[weight].dtype == np.float32
        assert 0 < relative_error(rough[weight], exact[weight]) < 1e-5


@pytest.mark.parametrize("name", rules.ALL)
@pytest.mark.parametrize("device", ["cpu", cuda])
def test_float32_spikes_give_the_update_within_two_percent(name, device, record_property):
    exact, trains = spikes(name)
    rough, coarse = spikes(name, dtype=torch.float32, device=device, kind="fused")
    equal = np.mean([np.mean(trains[n] == coarse[n]) for n in trains])
    record_property("fraction of equal bins", float(equal))
    assert equal > 0.9
    for weight in exact:
        assert relative_error(rough[weight], exact[weight]) < 0.02


@pytest.mark.gpu
@pytest.mark.parametrize("name", rules.ALL)
def test_a_gpu_agrees_in_float64(name):
    here, there = rate(name), rate(name, device="cuda")
    for weight in here:
        assert relative_error(there[weight], here[weight]) < 1e-12
    here, trains = spikes(name)
    there, elsewhere = spikes(name, device="cuda")
    for train in trains:
        np.testing.assert_array_equal(elsewhere[train], trains[train])
    for weight in here:
        assert relative_error(there[weight], here[weight]) < 1e-9
