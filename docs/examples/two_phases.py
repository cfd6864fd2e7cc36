"""A rule of one's own with two phases and a latch.

In the free phase every cell keeps what it did. In the nudged phase the output is moved towards the teacher, the shift is
sent down through random feedback, and each synapse learns from how far its cell moved.
"""

from neurolearn import Pathway, Phase, Rule, Uniform

two_phases = Rule(
    name="two_phases",
    pathways={"B": Pathway("above", Uniform())},
    constants={"nudge": 0.5},
    phases={
        "free": Phase(
            hidden="latch rate_free = rate \n latch potential_free = potential",
            output="latch rate_free = rate",
            input="latch rate_free = rate",
        ),
        "nudged": Phase(
            hidden="""
                rate = f(potential_free + B(shift_above))
                shift = rate - rate_free
            """,
            output="shift = nudge*(teacher - rate_free)",
            plasticity={"W": "shift_post * rate_free_pre"},
        ),
    },
)
