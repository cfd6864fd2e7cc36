"""The catalogue: one system of the literature per file. Adding a rule is one file and one line here."""

from neurolearn.errors import InputError
from neurolearn.rule import Rule
from neurolearn.rules.backprop import backprop
from neurolearn.rules.difference_target_propagation import difference_target_propagation
from neurolearn.rules.direct_feedback_alignment import direct_feedback_alignment
from neurolearn.rules.dynamic_inversion import dynamic_inversion
from neurolearn.rules.feedback_alignment import feedback_alignment

ALL: dict[str, Rule] = {
    rule.name: rule
    for rule in (
        backprop,
        feedback_alignment,
        direct_feedback_alignment,
        difference_target_propagation,
        dynamic_inversion,
    )
}


def get(name: str) -> Rule:
    """The rule of that name. Raises InputError that lists the names there are."""
    if name not in ALL:
        raise InputError(f"there is no rule {name!r}; choose one of {', '.join(ALL)}, or give path/to/file.py:name.")
    return ALL[name]
