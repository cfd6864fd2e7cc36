"""A recording for other tools: Neo's Block, from which Elephant, NWB and others take it."""

from __future__ import annotations

import numpy as np

from neurolearn.circuit.recording.playback import Recording, trains
from neurolearn.errors import InputError


def block(recording: Recording):
    """``Recording.to_neo``: one Segment, the whole run, in seconds; annotations say group, signal, cell and sign."""
    try:
        import neo
        import quantities as pq
    except ImportError as error:
        raise InputError(
            "to_neo needs Neo, which is not installed; install it with pip install 'neurolearn[neo]'."
        ) from error
    whole, segment = neo.Block(name=recording.title), neo.Segment(name=recording.path.stem)
    whole.segments.append(segment)
    end = recording.seconds * pq.s
    for table in recording.tables:
        kind, name, what = table.split("/")
        about = recording.about(table)
        if kind == "spikes":
            for (cell, sign), times in trains(recording.spikes(name, what), about["index"]).items():
                side = "ON" if sign > 0 else "OFF"
                segment.spiketrains.append(
                    neo.SpikeTrain(
                        times * pq.s,
                        t_stop=end,
                        name=f"{name}.{what} {cell} {side}",
                        group=about["group"],
                        signal=what,
                        cell=cell,
                        sign=sign,
                    )
                )
            continue
        t, values = recording.rates(name, what) if kind == "rates" else recording.states(name, what)
        unit = "Hz" if kind == "rates" else "" if about["unit"] in ("1", "boolean") else about["unit"]
        values = values.reshape(len(t), -1)
        every, label = about["every"], {"name": f"{name}.{what}", "group": about["group"]}
        if len(t) > 1 and np.ptp(np.diff(t)) > recording.dt / 2:
            segment.irregularlysampledsignals.append(
                neo.IrregularlySampledSignal(t * pq.s, values, units=unit, **label)
            )
        elif len(t):
            signal = neo.AnalogSignal(values, units=unit, sampling_period=every * pq.s, t_start=t[0] * pq.s, **label)
            columns = {"index": about["index"]} if kind == "states" else {}
            columns |= {side: about[side] for side in ("to", "from") if side in about}
            signal.array_annotate(**columns)
            segment.analogsignals.append(signal)
    return whole
