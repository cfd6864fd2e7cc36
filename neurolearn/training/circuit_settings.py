"""How a circuit is trained unless one says otherwise: one table, chosen on validation splits with seeds not reported.

Everything here can be given to ``neurolearn train`` or in a RunConfig; each setting then stands in the run's config.json.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

RATE_TIMING = {"dt": 1e-3, "tau": 10e-3, "settle": 400}  # 40 time constants: settled to 1e-12 at three layers
SPIKE_TIMING = {  # 400 ms a phase; no cell above 200 Hz, 20 Hz on average: a signal of 1 is 70 spikes a second
    "dt": 1e-3,
    "tau": 20e-3,
    "settle": 200,
    "window": 200,
    "unit_rate": 70.0,
    "unit_rates": {"error": 250.0},  # errors are small, and what is left of them late in learning still has to be sent
}
TASKS: dict[str, dict[str, Any]] = {
    "yin_yang": {"sizes": (4, 30, 30, 3), "samples": 48000, "segment": 500, "weight_scale": 2.0, "bias": 0.5},
    "digits": {"sizes": (64, 64, 32, 10), "samples": 28740, "segment": 479},
}
UNIT_RATES = {"direct_feedback_alignment": 45.0}  # fewer of its cells send errors, which are quiet: the mean is over fewer
RATES: dict[str, dict[str, Any]] = {
    "yin_yang": {"*": 0.05},
    "digits": {"*": 0.02},
}


def settings(rule: str, realisation: str, data: str) -> Mapping[str, Any]:
    """Settings of a RunConfig for that rule on these data; ``sizes`` only where there is a network for the data."""
    timing = dict(RATE_TIMING if realisation == "circuit.rate" else SPIKE_TIMING)
    if rule in UNIT_RATES and realisation == "circuit.spiking":
        timing["unit_rate"] = UNIT_RATES[rule]
    task = TASKS.get(data, {"samples": 5000, "segment": 500})
    return {"rule": rule, "realisation": realisation, "data": data, "learning_rate": RATES.get(data, {"*": 0.02}),
            "timing": timing, **task}  # fmt: skip
