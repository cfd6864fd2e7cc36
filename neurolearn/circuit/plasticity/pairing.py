r"""The pairing protocol: what a form of plasticity makes of the time between two spikes, by Brian2, from the form's own text.

A pre cell and a post cell spike ``repetitions`` times, ``frequency`` times a second, the post cell ``delay`` later (or
earlier, where it is negative): the experiment of Bi and Poo 1998 and, over frequencies, of Sjostrom et al. 2001.
"""

from __future__ import annotations

import numpy as np

from neurolearn import quantity
from neurolearn.circuit.plan import CircuitPlan, Regular, SpikePlan, SynapsesPlan
from neurolearn.circuit.plasticity.events import inscribe
from neurolearn.errors import InputError
from neurolearn.stdp import Form


def pairing(
    form: Form,
    delays,
    repetitions: int = 60,
    frequency: float = 1.0,
    *,
    dt: float = 1e-3,
    w: float = 0.0,
    target="numpy",
) -> np.ndarray:
    """Change of a weight that starts at ``w``, for each delay of the post spikes (s): the shape of ``delays``.

    dt: the step (s), of which every delay is a multiple and to which the period is rounded; traces decay exactly, so that it
    does not matter otherwise. target: Brian2's. Raises InputError for a delay between steps or beyond half a period.
    """
    from neurolearn.circuit.built import objects

    if str(getattr(delays, "dim", "s")) != "s":
        raise InputError(f"pairing: delays is {delays!r}; give times, such as [-10, 10]*ms.")
    values = np.asarray(delays, float)
    if not isinstance(form, Form):
        raise InputError(f"pairing: form is {form!r}; give a stdp.Form, such as stdp.pair().")
    repetitions = quantity.whole("pairing: repetitions", repetitions, 1)
    frequency, dt = quantity.si("pairing: frequency", frequency, "s^-1"), quantity.si("pairing: dt", dt, "s")
    if not np.isfinite(values).all():
        raise InputError("pairing: delays are not all numbers; give times, such as [-10e-3, 10e-3].")
    if values.size == 0 or np.abs(values).max() > 0.5 / frequency:
        raise InputError(
            f"pairing: delays reach {np.abs(values).max(initial=0):g} s; half a period is {0.5 / frequency:g} s."
        )
    if np.abs(values / dt - np.round(values / dt)).max() > 1e-6:
        raise InputError(f"pairing: delays are not multiples of dt = {dt:g} s; give such delays, or a smaller dt.")
    plan = protocol(form, values.ravel(), repetitions, frequency, dt, w)
    built, network, duration, _ = objects(plan, target)
    network.run(duration, namespace={})
    return np.asarray(built["w"].w[:]).reshape(values.shape) - w


def protocol(form: Form, delays: np.ndarray, repetitions: int, frequency: float, dt: float, w: float) -> CircuitPlan:
    """The plan of the experiment: a pre cell, a post cell and a synapse for each delay."""
    shift = np.round(delays / dt).astype(int)
    period = round(1 / (frequency * dt))
    margin = period // 2 + 1
    every, times = np.arange(len(shift)), margin + period * np.arange(repetitions)
    steps = {"pre": np.add.outer(times, 0 * shift), "post": np.add.outer(times, shift)}
    trains = [SpikePlan(side, len(shift), np.tile(every, repetitions), s.ravel()) for side, s in steps.items()]
    synapses = SynapsesPlan("w", "pre -> post", "pre", "post", every, every, np.zeros((3, len(shift)), int))
    synapses.model.append("w : 1")
    synapses.w = np.full(len(shift), float(w))
    synapses.regular.append(Regular(["w += change", "change *= 0"], 0))
    length = (times[-1] + margin + 1) * dt
    plan = CircuitPlan(
        f"{form.name}: {repetitions} pairs at {frequency:g} Hz",
        1,
        dt,
        length,
        1,
        {},
        spikes=trains,
        synapses=[synapses],
    )
    inscribe(synapses, form, plan.namespace, {"pre": "spike", "post": "spike"})
    return plan


def window(form: Form, axis, delays=None, repetitions: int = 60, frequency: float = 1.0, **look) -> np.ndarray:
    """Draw the change of a weight over the delay of the post spikes (s; default -100 to 100 ms); returns the changes."""
    delays = np.arange(-100, 101, 2) * 1e-3 if delays is None else np.asarray(delays, float)
    delays = delays[np.abs(delays) <= 0.5 / frequency]
    found = pairing(form, delays, repetitions, frequency)
    for part in (delays < 0, delays >= 0):  # the window jumps at 0
        (line,) = axis.plot(delays[part] * 1e3, found[part], **look)
        look |= {"color": line.get_color(), "label": None}
    axis.axhline(0, color="#b5b5b5", lw=0.8, zorder=0)
    axis.set(xlabel="post spike after pre spike (ms)", ylabel=f"change of w, {repetitions} pairs at {frequency:g} Hz")
    return found
