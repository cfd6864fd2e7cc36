"""A second opinion on every rule of the catalogue, in plain NumPy, that shares no line with neurolearn (see ``net``)."""

from oracles.alignment import backprop, direct_feedback_alignment, feedback_alignment
from oracles.difference import (
    auxiliary_output_sdtp,
    difference_target_propagation,
    dtp_learned_top,
    simplified_dtp,
)
from oracles.gait import difference_tower, gait_prop, gait_prop_orthogonal, gait_prop_published, published_tower
from oracles.infomax import infomax, infomax_gaussian, infomax_square
from oracles.inversion import (
    dynamic_inversion,
    dynamic_inversion_learned,
    gauss_newton_target,
    non_dynamic_inversion,
    single_loop_dynamic_inversion,
)
from oracles.kickback import kickback
from oracles.reconstruction import ddtp_control, ddtp_linear, ddtp_rhl, dtp_difference_reconstruction
from oracles.targets import (
    incremental_target_propagation,
    incremental_target_propagation_learned,
    target_propagation,
    target_propagation_learned,
)

ORACLES = {
    "backprop": backprop,
    "feedback_alignment": feedback_alignment,
    "direct_feedback_alignment": direct_feedback_alignment,
    "target_propagation": target_propagation,
    "target_propagation_learned": target_propagation_learned,
    "incremental_target_propagation": incremental_target_propagation,
    "incremental_target_propagation_learned": incremental_target_propagation_learned,
    "gait_prop": gait_prop,
    "gait_prop_published": gait_prop_published,
    "gait_prop_orthogonal": gait_prop_orthogonal,
    "difference_target_propagation": difference_target_propagation,
    "dtp_learned_top": dtp_learned_top,
    "simplified_dtp": simplified_dtp,
    "auxiliary_output_sdtp": auxiliary_output_sdtp,
    "dtp_difference_reconstruction": dtp_difference_reconstruction,
    "ddtp_linear": ddtp_linear,
    "ddtp_rhl": ddtp_rhl,
    "ddtp_control": ddtp_control,
    "gauss_newton_target": gauss_newton_target,
    "dynamic_inversion": dynamic_inversion,
    "sequential_dynamic_inversion": dynamic_inversion,  # one loop after the other ends where all at once do
    "single_loop_dynamic_inversion": single_loop_dynamic_inversion,
    "non_dynamic_inversion": non_dynamic_inversion,
    "dynamic_inversion_learned": dynamic_inversion_learned,
    "kickback": kickback,
    "infomax": infomax,
    "infomax_gaussian": infomax_gaussian,
    "infomax_square": infomax_square,
}
TOWERS = {"gait_prop": difference_tower, "gait_prop_published": published_tower}  # on masked square connections
