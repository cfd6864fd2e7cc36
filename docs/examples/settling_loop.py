"""A rule of one's own with a loop that must settle: errors that also travel between the cells of a layer.

The error of a layer is the fixed point of e = f' * (B e_above + A e), with fixed random lateral weights A.
"""

from neurolearn import Normal, Pathway, Rule, Uniform

settling_loop = Rule(
    name="settling_loop",
    pathways={"B": Pathway("above", Uniform()), "A": Pathway("here", Normal(0.4))},
    times={"tau_error": 2.0},
    hidden="derror/dt = (slope*(B(error_above) + A(error_here)) - error) / tau_error",
    output="error = teacher - rate",
    plasticity={"W": "error_post * rate_pre"},
)
