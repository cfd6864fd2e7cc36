"""A circuit that runs segment by segment: its state goes in and comes out as arrays. Needs Brian2 and NumPy only.

``Runtime`` does it in this process (numpy, cython). Executed as a script this file is the other end of
``engines.Standalone``: it builds the circuit as one C++ program, then runs that program once for every line that it reads.
"""

import gc
import json
import sys
from pathlib import Path

import numpy as np

OURS = ("NeuronGroup", "Synapses")
SKIP = ("t", "dt", "delay")


def state_names(objects):
    """"object.variable" of everything that a run changes, with its view; indices, clocks and constants are left out."""
    found = {}
    for name, thing in objects.items():
        if type(thing).__name__ not in OURS:
            continue
        for variable, there in thing.variables.items():
            mine = getattr(there, "owner", None) is not None and there.owner.name == thing.name
            changes = there.array and not (there.read_only or there.constant)
            if mine and changes and not variable.startswith("_") and variable not in SKIP:
                found[f"{name}.{variable}"] = (thing, variable)
    return found


def timed_arrays(objects):
    """What comes in from outside, by name."""
    from brian2 import TimedArray

    spaces = [thing.namespace or {} for thing in objects.values() if type(thing).__name__ in OURS]
    return {name: value for space in spaces for name, value in space.items() if isinstance(value, TimedArray)}


def read(objects):
    """State of all objects as float64 arrays, copied."""
    return {key: np.array(thing.variables[name].get_value(), float) for key, (thing, name) in state_names(objects).items()}


def recorded(objects):
    """{monitor.variable: array} of all monitors, copied."""
    found = {}
    for name, thing in objects.items():
        kind = type(thing).__name__
        if kind == "StateMonitor":
            found[f"{name}.t"] = np.array(thing.t_)
            for variable in thing.record_variables:
                found[f"{name}.{variable}"] = np.array(getattr(thing, variable + "_") if hasattr(thing, variable + "_")
                                                       else getattr(thing, variable)).T
        elif kind in ("EventMonitor", "SpikeMonitor"):
            found[f"{name}.t"], found[f"{name}.i"] = np.array(thing.t_), np.array(thing.i, dtype=np.int32)
    return found


class Runtime:
    """Segments in this process. space: what the printed script defines; target: numpy or cython."""

    def __init__(self, space, arrays, target):
        self.objects, self.network, self.duration = space["build"](arrays, target)
        self.target = target
        self.views, self.timed = state_names(self.objects), timed_arrays(self.objects)
        self.settled, self.first = False, read(self.objects)

    def start(self):
        """State as built."""
        return dict(self.first)

    def run(self, state, timed):
        """One segment from t = 0 with this state and these inputs; (state, recordings) afterwards."""
        from brian2 import prefs

        prefs.codegen.target = self.target  # Brian2 makes its code when a run begins
        self.network.t_ = 0.0
        for key, value in state.items():
            thing, name = self.views[key]
            thing.variables[name].set_value(value if np.ndim(value) else float(value))
        for name, values in timed.items():
            self.timed[name].values[:] = values
        for thing in self.objects.values():
            if type(thing).__name__ == "StateMonitor":
                thing.resize(0)
            elif type(thing).__name__ in ("EventMonitor", "SpikeMonitor"):
                thing.resize(0)
                thing.variables["N"].set_value(0)
        self.network.run(self.duration, namespace={})
        if not self.settled:  # what was just made lives as long as the circuit: the collector need not look at it again
            gc.collect()
            gc.freeze()
            self.settled = True
        self._empty()
        return read(self.objects), recorded(self.objects)

    def _empty(self):
        """Raises RuntimeError if a spike is still on its way: the end of a segment was not quiet."""
        for name, thing in self.objects.items():
            for pathway in getattr(thing, "_pathways", ()):
                late = pathway.queue is not None and np.any(np.asarray(pathway.delay_) > 0)
                if late and _waiting(pathway.queue):
                    raise RuntimeError(f"{name}: spikes are still on their way at the end of a segment")

    def close(self):
        """Nothing to give back."""


def _waiting(queue):
    state = queue._full_state()  # numpy: (dt, spikes, shape); cython: (offset, spikes of each step)
    return len(state[1]) > 0 if len(state) == 3 else any(len(spikes) for spikes in state[1])


def _standalone(folder):
    """Build in ``folder``, say what the state is, then serve segments until the input ends."""
    import brian2
    from brian2 import device

    folder = Path(folder)
    brian2.prefs.devices.cpp_standalone.extra_make_args_unix = ["-j2"]  # without a number make starts every file at once
    brian2.set_device("cpp_standalone", build_on_run=False, directory=str(folder / "build"))
    space = {"__name__": "neurolearn_circuit"}
    exec(compile((folder / "circuit.py").read_text(), "circuit.py", "exec"), space)
    objects, network, duration = space["build"](dict(np.load(folder / "arrays.npz")), "numpy")
    network.run(duration, namespace={})
    device.build(compile=True, run=False, directory=str(folder / "build"), with_output=False)
    views, timed = state_names(objects), timed_arrays(objects)
    _say({"built": sorted(views)})
    for line in sys.stdin:
        order = json.loads(line)
        given = np.load(folder / order["given"])
        arguments = {}
        for key in given.files:
            if key in timed:
                arguments[timed[key]] = given[key]
            else:
                thing, name = views[key]
                arguments[getattr(thing, name)] = brian2.Quantity(given[key], dim=thing.variables[name].dim)
        device.run(results_directory=order["results"], with_output=False, run_args=arguments)
        np.savez(folder / order["found"], **{f"state:{k}": v for k, v in read(objects).items()},
                 **{f"monitor:{k}": v for k, v in recorded(objects).items()})
        for name in device.run_args_arrays:  # else every segment would leave its inputs behind
            for path in (folder / "build" / "static_arrays").glob(f"{name}*"):
                path.unlink()
        _say({"done": order["found"]})


def _say(what):
    print(json.dumps(what), file=_OUT, flush=True)


if __name__ == "__main__":
    import os

    _OUT = os.fdopen(os.dup(1), "w")  # only we write there; whatever Brian2 or the compiler print goes to stderr
    os.dup2(2, 1)
    _standalone(sys.argv[1])
