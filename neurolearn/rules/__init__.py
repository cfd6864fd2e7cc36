"""The catalogue: one system of the literature per file. Adding a rule is one file and one line here."""

from difflib import get_close_matches

from neurolearn.errors import InputError
from neurolearn.rule import Rule
from neurolearn.rules.backprop import backprop
from neurolearn.rules.difference_reconstruction import (
    ddtp_control,
    ddtp_linear,
    ddtp_rhl,
    dtp_difference_reconstruction,
)
from neurolearn.rules.difference_target_propagation import difference_target_propagation, dtp_learned_top
from neurolearn.rules.direct_feedback_alignment import direct_feedback_alignment
from neurolearn.rules.dynamic_inversion import (
    dynamic_inversion,
    dynamic_inversion_learned,
    non_dynamic_inversion,
    sequential_dynamic_inversion,
    single_loop_dynamic_inversion,
)
from neurolearn.rules.feedback_alignment import feedback_alignment
from neurolearn.rules.gait_prop import gait_prop, gait_prop_orthogonal, gait_prop_published
from neurolearn.rules.gauss_newton_target import gauss_newton_target
from neurolearn.rules.incremental_target_propagation import (
    incremental_target_propagation,
    incremental_target_propagation_learned,
)
from neurolearn.rules.infomax import infomax, infomax_gaussian, infomax_square
from neurolearn.rules.kickback import kickback
from neurolearn.rules.simplified_dtp import auxiliary_output_sdtp, simplified_dtp
from neurolearn.rules.target_propagation import target_propagation, target_propagation_learned

ALL: dict[str, Rule] = {
    rule.name: rule
    for rule in (
        backprop,
        feedback_alignment,
        direct_feedback_alignment,
        target_propagation,
        target_propagation_learned,
        incremental_target_propagation,
        incremental_target_propagation_learned,
        gait_prop,
        gait_prop_published,
        gait_prop_orthogonal,
        difference_target_propagation,
        dtp_learned_top,
        simplified_dtp,
        auxiliary_output_sdtp,
        dtp_difference_reconstruction,
        ddtp_linear,
        ddtp_rhl,
        ddtp_control,
        gauss_newton_target,
        dynamic_inversion,
        sequential_dynamic_inversion,
        single_loop_dynamic_inversion,
        non_dynamic_inversion,
        dynamic_inversion_learned,
        kickback,
        infomax,
        infomax_gaussian,
        infomax_square,
    )
}


def get(name: str) -> Rule:
    """The rule of that name. Raises InputError that lists the names there are."""
    if name not in ALL:
        near = get_close_matches(str(name), ALL, 1)
        asked = f"did you mean {near[0]!r}? There are" if near else "choose one of"
        raise InputError(f"there is no rule {name!r}; {asked} {', '.join(ALL)}, or give path/to/file.py:name.")
    return ALL[name]
