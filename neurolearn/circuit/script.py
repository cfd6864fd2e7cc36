"""A plan as a Brian2 script: readable, and runnable with nothing but brian2 and numpy."""

from __future__ import annotations

import re

import numpy as np

from neurolearn.circuit.plan import CircuitPlan, EventPlan, GroupPlan, MonitorPlan, Regular, SpikePlan, SynapsesPlan

HEAD = '''"""{title}.

Built from the equations of the rule. build() returns the Brian2 objects; run as a script, it loads its arrays from the
.npz beside it, simulates, and writes the weights before and after to <name>.result.npz.
"""

import numpy as np
from brian2 import Clock, EventMonitor, Network, NeuronGroup, SpikeGeneratorGroup, StateMonitor, Synapses, TimedArray
from brian2 import hertz, prefs, second

COPIES, TICKS = {copies}, {ticks}


def build(data, target="numpy"):
    """Brian2 objects by name; data: the arrays."""
    prefs.codegen.target = target
    prefs.codegen.cpp.extra_compile_args = ["-O3", "-ffp-contract=off"]
    fast, slow, period = Clock(dt={dt!r}*second, name="fast"), Clock(dt={period!r}*second, name="slow"), {period!r}*second
    space = {{}}
'''
TAIL = '''    # a little longer than the last tick: Brian2 takes times closer than 1e-4 of a step as the same
    return objects, Network(objects.values()), (TICKS + {tail!r})*period


def main():
    """Simulate and write the weights before and after."""
    from pathlib import Path

    here = Path(__file__)
    data = np.load(here.with_suffix(".npz"))
    objects, network, duration = build(data)
    network.run(duration, namespace={{}})
    result = {{name: np.asarray(objects[name].w) for name in objects if hasattr(objects[name], "w")}}
    np.savez(here.with_suffix(".result.npz"), **result)


if __name__ == "__main__":
    main()
'''


def text(plan: CircuitPlan) -> str:
    """The script."""
    out = [HEAD.format(title=plan.title, copies=plan.copies, ticks=plan.ticks, dt=plan.dt, period=plan.period)]
    units = {name for _, unit in plan.namespace.values() for name in re.findall(r"[a-z]+", unit)} - {"hertz", "second"}
    if units:
        out.append(f"    from brian2 import {', '.join(sorted(units))}\n")
    for name, (value, unit) in plan.namespace.items():
        out.append(f"    space[{name!r}] = {value!r}" + (f"*{unit}" if unit else ""))
    # a TimedArray is read in the middle of its slots only, so that rounding of times has no say
    out += [f"    space[{name!r}] = TimedArray(data[{name!r}], dt=1*second, name={name!r})" for name in plan.timed]
    out.append("    objects = {}")
    out += [_generator(spikes, plan.dt) for spikes in plan.spikes]
    for group in [*plan.groups, *plan.partners]:
        out += _group(group)
    for synapses in plan.synapses:
        out += _synapses(synapses)
    out += [_monitor(monitor) for monitor in plan.monitors]
    out.append(TAIL.format(tail=max(plan.tail, plan.dt / plan.period)))
    return "\n".join(out)


def _generator(spikes: SpikePlan, dt: float) -> str:
    return (
        f"    objects[{spikes.name!r}] = SpikeGeneratorGroup({spikes.size}, data['{spikes.name}.indices'],\n"
        f"        data['{spikes.name}.steps']*{dt!r}*second, clock=fast, name={spikes.name!r})"
    )


def _group(group: GroupPlan) -> list[str]:
    lines = [f"    # {group.title}", f"    g = objects[{group.name!r}] = NeuronGroup({group.size}, '''"]
    lines += [f"        {line}" for line in group.equations]
    every = group.events | group.heard
    events = f", events={every!r}" if every else ""
    lines.append(f"        ''', method={group.method!r}, clock=fast, namespace=space{events}, name={group.name!r})")
    for event, code in group.on_event.items():
        lines.append(f"    g.run_on_event({event!r}, {code!r})")
    lines += _regular("g", group.name, group.regular)
    lines += [f"    g.{name} = data['{group.name}.{name}']" for name in group.values]
    return lines


def _synapses(s: SynapsesPlan) -> list[str]:
    lines = [
        f"    # {s.title}",
        f"    s = objects[{s.name!r}] = Synapses(objects[{s.source!r}], objects[{s.target!r}], '''",
    ]
    lines += [f"        {line}" for line in s.model]
    spikes = "".join(
        f",\n        {key}={value!r}"
        for key, value in (("on_pre", s.on_pre), ("on_post", s.on_post), ("on_event", s.on_event))
        if value
    )
    if s.on_pre or s.on_post:  # one delay for a pathway; without it Brian2 keeps one for every synapse
        late = ", ".join(f"{name!r}: {s.delays.get(name, 0.0)!r}*second" for name in (*s.on_pre, *s.on_post))
        spikes += f",\n        delay={{{late}}}"
    lines.append(f"        ''', method='euler', clock=fast, namespace=space, name={s.name!r}{spikes})")
    lines.append(f"    s.connect(i=data['{s.name}.i'], j=data['{s.name}.j'])")
    if any("clock-driven" in line for line in s.model):
        lines.append("    s.state_updater.order = -2  # before the cells move on: it reads them at the same instant")
    lines += [f"    s.{name}.order = {order}" for name, order in s.orders.items()]
    if s.w is not None:
        lines.append(f"    s.w = data['{s.name}.w']")
    lines += [f"    s.{name} = data['{s.name}.{name}']" for name in s.values]
    return lines + _regular("s", s.name, s.regular)


def _monitor(m: MonitorPlan | EventPlan) -> str:
    if isinstance(m, EventPlan):
        return f"    objects[{m.name!r}] = EventMonitor(objects[{m.source!r}], {m.event!r}, name={m.name!r})"
    record = "True" if m.record is None else f"data['{m.name}.record']"
    clock, order = (f"Clock(dt={m.clock!r}*second, name='clock_{m.name}')", -3) if m.clock else ("slow", -2)
    return (
        f"    objects[{m.name!r}] = StateMonitor(objects[{m.source!r}], {m.variables!r}, record={record},\n"
        f"        clock={clock}, when='start', order={order}, name={m.name!r})"
    )


def _regular(variable: str, name: str, regular: list[Regular]) -> list[str]:
    lines = []
    for k, part in enumerate(sorted(regular, key=lambda r: r.order)):
        code = "\n".join(f"        {line}" for line in part.code)
        lines.append(
            f"    {variable}.run_regularly('''\n{code}\n        ''', clock={part.clock}, when='start', order={part.order}, "
            f"name='{name}_{part.clock}_{k}')"
        )
    return lines


def arrays(plan: CircuitPlan) -> dict[str, np.ndarray]:
    """What the script reads from its .npz."""
    found = {f"{g.name}.{name}": value for g in plan.groups for name, value in g.values.items()}
    for s in plan.synapses:
        found |= {f"{s.name}.i": s.i, f"{s.name}.j": s.j} | ({} if s.w is None else {f"{s.name}.w": s.w})
        found |= {f"{s.name}.{name}": value for name, value in s.values.items()}
    found |= plan.timed | {f"{m.name}.record": m.record for m in plan.monitors if getattr(m, "record", None) is not None}
    for s in plan.spikes:
        found |= {f"{s.name}.indices": s.indices, f"{s.name}.steps": s.steps}
    return found
