"""A rule of one's own with a third factor and a synaptic trace.

Every synapse keeps a leaky trace of its input; the trace is turned into a change by the teaching current of the cell and by one
number per sample that all synapses hear: the squared error of the output.
"""

from neurolearn import Pathway, Rule, Uniform

third_factor = Rule(
    name="third_factor",
    pathways={"B": Pathway("output", Uniform())},
    times={"tau_eligibility": 3.0},
    broadcast={"surprise": "sum(error*error)"},
    hidden="teaching = slope * B(error_output)",
    output="error = teacher - rate \n teaching = error",
    plasticity={
        "W": """
            deligibility/dt = (rate_pre - eligibility) / tau_eligibility
            dw = surprise * teaching_post * eligibility
        """,
        "b": "surprise * teaching_post",
    },
)
