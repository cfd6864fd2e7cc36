"""Cells of one's own: one table of numbers, a measured curve, and circuits whose hidden cells are those very cells."""

from __future__ import annotations

import inspect

import brian2 as b2
import pytest

from neurolearn import activations, constants, physiology
from neurolearn.circuit import defaults
from neurolearn.errors import InputError
from neurolearn.timing import Timing

# -- one table ---------------------------------------------------------------------------------------------------------


def test_the_table_has_units_and_sources():
    """Oracle: Brian2's own units; each value printed in the table is the quantity."""
    for name, c in constants.TABLE.items():
        quantity = getattr(defaults, name)
        assert c.source in (constants.HERE, constants.ADEX, constants.BENCHMARK) or c.source.startswith(constants.DYNAMICS)
        if c.unit:
            number, unit = c.text().split()
            shown = float(number) * getattr(b2, {"s": "second", "Hz": "hertz"}.get(unit, unit))
            assert b2.have_same_dimensions(quantity, shown)
            assert float(quantity) == pytest.approx(float(shown), rel=1e-12)
        else:
            assert quantity == float(c.text())
        assert f"{name} " in defaults.table()


def test_the_package_starts_from_the_table():
    """Oracle: the defaults as they stand in the signatures."""
    lif = {name: p.default for name, p in inspect.signature(activations.lif).parameters.items()}
    names = {"tau_m": "membrane_time", "t_ref": "refractory", "unit": "lif_rate", "background": "background"}
    assert lif == {name: constants.si(constant) for name, constant in names.items()}
    timing = Timing()
    assert (timing.dt, timing.tau, timing.unit_rate) == tuple(map(constants.si, ("step", "tau", "unit_rate")))
    assert timing.membrane[0] == constants.si("coding_membrane")
    assert (physiology.SETTLE, physiology.WINDOW, physiology.POPULATION) == (1000, 1000, 20)
    assert constants.si("delay") == constants.si("step")


def test_a_constant_that_is_not_there_is_named():
    with pytest.raises(InputError, match="'membrane'"):
        constants.si("membrane")
    with pytest.raises(AttributeError, match="membrane_time"):
        _ = defaults.membrane
