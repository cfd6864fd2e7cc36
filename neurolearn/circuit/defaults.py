"""The table of physiological defaults as Brian2 quantities: ``defaults.membrane_time`` is 20 ms.

The numbers and their sources stand in ``neurolearn.constants``; ``print(defaults.table())`` shows them all.
"""

from __future__ import annotations

import brian2

from neurolearn.constants import TABLE, si, table

__all__ = ["quantity", "table", *TABLE]


def quantity(name: str):
    """A constant of the table as a Brian2 quantity (a float if it has no unit). Raises InputError for another name."""
    value = si(name)
    unit = TABLE[name].unit
    return value * getattr(brian2, unit) if unit else value


def __getattr__(name: str):
    if name in TABLE:
        return quantity(name)
    raise AttributeError(f"defaults has no {name}; it has {', '.join(TABLE)}")


def __dir__() -> list[str]:
    return sorted(__all__)
