"""Which rules teach hidden layers, and where do their changes point?

Every rule of the catalogue that learns from a teacher is trained with the same budget on yin-yang and on digits, five
times, with the settings that a validation split chose (``neurolearn.training.settings``). Beside each accuracy stands
the gap to ``readout_only``: the same network, initial weights and order of samples, but no hidden weight learns. It
stands there twice, for readout_only at backprop's rate and at the best rate of its own, because random features alone
reach a good deal. Angles are those of the weight change after the last epoch, by layer, to the negative gradient and
to what the rule itself claims to follow. Rules that invert the activation have leaky rectifiers or asinh, and orthogonal
weights, with backprop and readout_only in that very network beside them. Kickback has one output: it learns a
regression (waves, nmse) and yin-yang with a network per class. The change of gait_prop_orthogonal contains that of its noisy phase of
straightening, and so do its angles. Exits with 1 if a rule that is not in DOES_NOT fails to beat readout_only on
yin-yang by two standard errors. 15 minutes of one core.

    python analysis/catalogue.py
    python analysis/catalogue.py --rules backprop,kickback --json out/some.json

Every finished run is a line of catalogue.jsonl beside the figure; a run that is there with the same settings is not
repeated. Delete that file after changing a rule.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

import numpy as np

import neurolearn as nl
from neurolearn import claims, compare, figures, training
from neurolearn.changes import prepare
from neurolearn.cli.inputs import rule_of
from neurolearn.cli.output import Output, plain, progress
from neurolearn.data import waves
from neurolearn.rule import Orthogonal
from neurolearn.tensor.rate import RateProgram

SEEDS = range(5)  # none of them was used to choose settings
REST = "yin_yang, one against the rest"
LOSS = {"yin_yang": "cross_entropy", "digits": "squared", "waves": "squared", REST: "squared"}
ONE_OUTPUT = ("waves", REST)
TITLES = dict(zip(LOSS, ("yin-yang", "digits", "waves", "yin-yang, a network per class"), strict=True))
TUNED = "readout_only at its own rate"
CONTROLS = ("linear", "readout_only", TUNED)
WATCHED = 256  # the first training samples: on these the last angles are measured
NO_TEACHER = ("infomax", "infomax_gaussian", "infomax_square")  # judged by information, not by accuracy
# No better than readout_only on yin-yang, or by one percent point or so, at any of the settings that were tried.
DOES_NOT = ("target_propagation", "target_propagation_learned", "incremental_target_propagation_learned",
            "single_loop_dynamic_inversion")
SMOKE = ("backprop", "feedback_alignment", "gait_prop", "kickback")


@dataclass(frozen=True)
class Job:
    """One training. net: what the hidden layers are made of; rows of one task and net can be compared. epochs: None for
    those of the settings. made: the rule itself, of which ``rule`` is the name; None for controls and for backprop, whose
    initial weights are those of the net."""

    rule: str
    task: str
    net: str
    seed: int
    epochs: int | None = None
    made: nl.Rule | None = field(default=None, compare=False, repr=False)

    def settings(self) -> dict:
        """Whatever else decides the result."""
        task = training.task(self.task, LOSS[self.task])
        name = "readout_only" if self.rule == TUNED else self.rule
        activation = self.net.split()[-1]
        rate = task.readout[activation] if self.rule == TUNED else task.rate(name, activation)
        schedule = task.schedule(name)
        return {"rate": rate, "epochs": task.epochs if self.epochs is None else self.epochs, "batch": task.batch,
                "sizes": list(task.sizes), "schedule": [schedule.mode, schedule.pretraining, schedule.extra]}

    def key(self) -> str:
        """Two jobs with one key have one result."""
        return json.dumps([self.rule, self.task, self.net, self.seed, self.settings()])


def main() -> int:
    options = arguments()
    output = Output(options.json)
    rows = results(jobs(options), options.out.with_suffix(".jsonl"))
    summary = [summed(*key, rows) for key in dict.fromkeys((r["task"], r["net"], r["rule"]) for r in rows)]
    for task in dict.fromkeys(s["task"] for s in summary):
        table(output, task, [s for s in summary if s["task"] == task])
    few = ("rule", "task", "net", "seed", "test_accuracy", "test_nmse", "failed", "seconds")
    runs = [{name: row[name] for name in few if name in row} for row in rows]
    output.json({"seeds": [*options.seeds], "summary": summary, "runs": runs})
    output.print(f"figure: {draw(summary, options.out)}")
    failed = [] if options.smoke else claimed_and_failed(summary)
    return claims.verdict(f"{s['rule']}, yin-yang, gap {said(s['gap'])}" for s in failed)


def arguments() -> argparse.Namespace:
    parser = claims.parser(__file__, __doc__, "four rules, two seeds, two epochs: does it run?")
    parser.add_argument("--rules", help="names, or path/to/file.py:name (default: all that learn from a teacher)")
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="how many (default: %(default)s)")
    parser.add_argument("--json", metavar="FILE|-", help="write everything as JSON")
    options = claims.begin(parser)
    names = options.rules.split(",") if options.rules else SMOKE if options.smoke else nl.rules.ALL
    try:
        options.rules = [rule_of(name, "--rules") for name in names if options.rules or name not in NO_TEACHER]
    except nl.InputError as error:
        parser.error(str(error))
    if taught := [rule.name for rule in options.rules if rule.name in NO_TEACHER]:
        parser.error(f"{taught[0]} has no teacher, so it has no accuracy")
    if options.seeds < 2:
        parser.error(f"--seeds is {options.seeds}; a standard error needs two or more")
    options.seeds = range(2 if options.smoke else options.seeds)
    return options


# -- training ----------------------------------------------------------------------------------------------------------


def jobs(options: argparse.Namespace) -> list[Job]:
    """What is to be trained, the controls of every network first."""
    found: dict[Job, None] = {}
    for task in LOSS:
        for rule in (r for r in options.rules if r.nets.scalar == (task in ONE_OUTPUT)):
            net = made_of(rule, task)
            controls = [c for c in CONTROLS if c != "linear" or net in ("tanh", "coherent relu")]
            for name in dict.fromkeys((*controls, "backprop", rule.name)):
                for seed in options.seeds:
                    made = rule if name not in (*controls, "backprop") else None
                    found[Job(name, task, net, seed, 2 if options.smoke else None, made)] = None
    return [*found]


def made_of(rule: nl.Rule, task: str) -> str:
    """A network in words, the last of which is its activation."""
    activation = training.task(task, LOSS[task]).activation(rule.name)
    if rule.nets.signed:
        return f"coherent {activation}"
    return f"orthogonal {activation}" if isinstance(rule.pathways["W"].weights, Orthogonal) else activation


LIKE = {"coherent": "kickback", "orthogonal": "gait_prop"}  # a rule whose forward pathway the controls of a net share


def results(todo: list[Job], path: Path) -> list[dict]:
    """A row per job; those that the file has are taken from it, and the others appended."""
    known = {}
    if path.exists():
        known = {row["key"]: row for row in map(json.loads, path.read_text(encoding="utf-8").splitlines())}
    with progress() as report, path.open("a", encoding="utf-8") as file:
        for k, job in enumerate(todo):
            report("catalogue", f"{job.rule}, {job.task}, seed {job.seed}", k / len(todo))
            if job.key() not in known:
                what = {"rule": job.rule, "task": job.task, "net": job.net, "seed": job.seed, **job.settings()}
                known[job.key()] = plain({"key": job.key(), **what, **trained(job)})
                file.write(json.dumps(known[job.key()]) + "\n")
                file.flush()
        report("catalogue", "done", 1.0)
    return [{name: value for name, value in known[job.key()].items() if name != "key"} for job in todo]


def trained(job: Job) -> dict:
    """Scores, angles and seconds of one training; or why it failed."""
    settings, dataset, start = job.settings(), dataset_of(job), perf_counter()
    kind, activation = job.net.split()[0], job.net.split()[-1]
    network = nl.mlp(settings["sizes"], activation, LOSS[job.task], signed=kind == "coherent")
    who = job.made or {TUNED: "readout_only", "backprop": training.backprop_from(LIKE.get(kind, "backprop"))}.get(
        job.rule, job.rule)
    like = LIKE.get(kind) if who == "readout_only" else None
    arguments = {"seed": job.seed, "epochs": settings["epochs"], "batch": settings["batch"], "rate": settings["rate"],
                 "kind": "fused", "angles": False, "like": like}
    try:
        if job.task == REST:
            scores, runs = training.one_vs_rest(who, network, dataset, **arguments)
        else:
            runs = [training.train(who, network, dataset, **arguments)]
            scores = {k: v for k, v in runs[0].history[-1].items() if k.endswith(("_accuracy", "_nmse"))}
    except (nl.InputError, nl.SettlingError) as error:
        return {"failed": str(error)}
    found = last_angles(who, runs, dataset) if isinstance(who, nl.Rule) else {}
    return {**scores, **found, "seconds": perf_counter() - start}


def dataset_of(job: Job):
    """Yin-yang and waves are drawn anew for every seed; digits keep the one split that settings were chosen on."""
    if job.task == "digits":
        return nl.data.load("digits")
    return waves.load(job.seed) if job.task == "waves" else nl.data.load("yin_yang", seed=job.seed)


def last_angles(rule: nl.Rule, runs: list, dataset) -> dict[str, dict[int, float]]:
    """Degrees by layer from the rule's next change to the negative gradient, and to what it claims to follow."""
    found: dict[str, list[dict]] = {"angle_to_backprop_deg": [], "angle_to_own_deg": []}
    for k, run in enumerate(runs):
        one = dataset.one_against_the_rest(k) if len(runs) > 1 else dataset
        x, teacher, network = one.x_train[:WATCHED], one.y_train[:WATCHED], run.network
        program, weights, given = prepare(rule, network, x, teacher, run.weights, seed=0)
        change = {name: c.numpy() for name, c in RateProgram(program, weights).changes(given).items()}
        gradient = nl.observer.backprop_gradient(network, weights, x, teacher)
        found["angle_to_backprop_deg"].append(by_layer(change, gradient))
        if rule.own:
            own = rule.own(network, weights, x, teacher, program.constants)
            found["angle_to_own_deg"].append(by_layer(change, own))
    return {name: {k: float(np.mean([a[k] for a in angles])) for k in angles[0]}
            for name, angles in found.items() if angles}


def by_layer(change: dict, reference: dict) -> dict[int, float]:
    """Degrees between two changes of the forward weights in each layer."""
    change, reference = compare.by_layer(change), compare.by_layer(reference)
    found = {k: compare.angle(change[k], reference[k]) for k in change if k in reference}
    return {k: np.nan if degrees is None else degrees for k, degrees in found.items()}


# -- summing up --------------------------------------------------------------------------------------------------------


def summed(task: str, net: str, rule: str, rows: list[dict]) -> dict:
    """Mean and standard error over seeds of the score, of its gaps to readout_only (paired), and of the angles."""
    score = "test_nmse" if task == "waves" else "test_accuracy"

    def of(name: str) -> dict[int, float]:
        mine = [r for r in rows if (r["task"], r["net"], r["rule"]) == (task, net, name)]
        return {r["seed"]: r[score] for r in mine if r.get(score) is not None}

    mine, all_mine = of(rule), [r for r in rows if (r["task"], r["net"], r["rule"]) == (task, net, rule)]
    found = {"task": task, "net": net, "rule": rule, "rate": all_mine[0]["rate"], "schedule": all_mine[0]["schedule"],
             "measure": score, "score": mean(mine.values()), "failed": sum("failed" in r for r in all_mine),
             "seconds": mean(r["seconds"] for r in all_mine if "seconds" in r)["mean"]}
    for name, control in (("gap", "readout_only"), ("gap_to_tuned", TUNED)):
        other = of(control)
        found[name] = mean(mine[s] - other[s] for s in mine if s in other) if rule not in CONTROLS else None
    for name in ("angle_to_backprop_deg", "angle_to_own_deg"):
        angles = [r[name] for r in all_mine if r.get(name)]
        found[name] = {k: mean(a[k] for a in angles if a[k] is not None) for k in (angles[0] if angles else ())}
    return found


def mean(values) -> dict[str, float | None]:
    """{"mean", "error"}: the mean and its standard error, None where there are too few values."""
    values = np.array([*values], float)
    error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else None
    return {"mean": float(values.mean()) if len(values) else None, "error": None if error is None else float(error)}


def claimed_and_failed(summary: list[dict]) -> list[dict]:
    """Rules that should beat readout_only on yin-yang by two standard errors and do not."""
    tested = [s for s in summary if s["task"].startswith("yin_yang") and s["rule"] not in (*CONTROLS, *DOES_NOT)]
    return [s for s in tested if s["gap"]["mean"] is None or s["gap"]["mean"] <= 2 * s["gap"]["error"]]


def said(value: dict | None, sign: str = "+", scale: float = 100.0, digits: int = 1) -> str:
    """A mean and its standard error, by default of a share, in percent."""
    if not value or value["mean"] is None:
        return ""
    error = "" if value["error"] is None else f" ± {scale * value['error']:.{digits}f}"
    return f"{scale * value['mean']:{sign}.{digits}f}{error}"


def degrees(angles: dict) -> str:
    return " ".join("-" if a["mean"] is None else f"{a['mean']:.0f}" for _, a in sorted(angles.items()))


def table(output: Output, task: str, summary: list[dict]) -> None:
    scale, digits = (1.0, 3) if task == "waves" else (100.0, 1)
    what = "nmse" if task == "waves" else "accuracy %"
    head = ("rule", f"test {what}", "gap to readout_only", "gap to it at its own rate", "angle to backprop",
            "angle to its own")
    rows = []
    for net in dict.fromkeys(s["net"] for s in summary):
        rows.append((f"[{net.replace('_', ' ')}]", *[""] * (len(head) - 1)))
        for s in (s for s in summary if s["net"] == net):
            score = said(s["score"], "", scale, digits) + (f" ({s['failed']} failed)" if s["failed"] else "")
            gaps = (said(s[g], "+", scale, digits) for g in ("gap", "gap_to_tuned"))
            rows.append((s["rule"], score, *gaps, *(degrees(s[a]) for a in ("angle_to_backprop_deg", "angle_to_own_deg"))))
    note = "Mean and standard error over seeds; angles in degrees, from the first layer up."
    output.table(TITLES[task], head, rows, f"{note} Of an nmse, less is better." if task == "waves" else note)


# -- drawing -----------------------------------------------------------------------------------------------------------

LINES = {"linear": (":", "linear"), "readout_only": ("--", "readout only"), TUNED: ("-.", "the same at its own rate"),
         "backprop": ("-", "backprop")}
NET_TITLES = {"tanh": "tanh", "orthogonal asinh": "asinh, orthogonal weights",
              "orthogonal leaky_relu": "leaky rectifiers, orthogonal weights",
              "coherent relu": "coherent rectifiers, one net per class"}
SAME_ROWS = {REST: "yin_yang"}  # tasks drawn in another's panel


def draw(summary: list[dict], path: Path) -> Path:
    """A row per rule: accuracy on yin-yang and on digits, and the angle to backprop in the hidden layers of yin-yang."""
    nets = dict.fromkeys(s["net"] for s in summary if s["task"] in ("yin_yang", REST))
    nets = sorted(nets, key=lambda net: [*NET_TITLES].index(net) if net in NET_TITLES else 1)
    places, titles, y = {}, {}, 0.0
    for net in nets:
        titles[net] = y
        for s in summary:
            if s["net"] == net and s["task"] in ("yin_yang", REST) and s["rule"] not in CONTROLS:
                y += 1.0
                places[net, s["rule"]] = y
        y += 1.6
    with figures.style():
        figure, axes = figures.new(1, 3, 7.4, 0.9 + 0.225 * y)
        for axis, task in zip(axes, ("yin_yang", "digits"), strict=False):
            scores(axis, task, [s for s in summary if SAME_ROWS.get(s["task"], s["task"]) == task], places)
        angles(axes[2], [s for s in summary if s["task"] in ("yin_yang", REST)], places)
        for axis in axes:
            axis.set(ylim=(y - 0.9, -0.9), yticks=[])
            axis.grid(axis="y", color="#f0f0f0")
        axes[0].set_yticks([*places.values()], [name.replace("_", " ") for _, name in places], fontsize=8)
        for axis in axes[1:]:
            axis.set_yticks([*places.values()], [])
        for net, at in titles.items():
            axes[0].annotate(NET_TITLES.get(net, net), (0, at), (-5, 0), xycoords=("axes fraction", "data"), ha="right",
                             va="center", textcoords="offset points", fontsize=8, fontweight="bold")
        handles = [axes[0].plot([], [], line, color=CONTROL, lw=1.2, label=word)[0] for line, word in LINES.values()]
        handles += [axes[0].plot([], [], mark, color=c, ms=4.5, mfc=fill, label=f"hidden layer {k}")[0]
                    for k, (mark, c, fill) in LAYERS.items()]
        figure.legend(handles=handles, loc="outside lower center", ncols=6, fontsize=7.5, columnspacing=1.2)
        return figures.save(figure, path)


CONTROL = "#6a6a6a"
LAYERS = {1: ("o", "#0072b2", "#0072b2"), 2: ("s", "#d55e00", "white")}


def scores(axis, task: str, summary: list[dict], places: dict) -> None:
    """Mean and standard error by rule; the controls of a network are lines through its rows."""
    for net in dict.fromkeys(s["net"] for s in summary):
        rows = [at for (n, _), at in places.items() if n == net]
        for s in (s for s in summary if s["net"] == net and s["score"]["mean"] is not None):
            at, value = places.get((net, s["rule"])), 100 * s["score"]["mean"]
            if s["rule"] in LINES and rows:
                style, _ = LINES[s["rule"]]
                axis.plot([value] * 2, [min(rows) - 0.5, max(rows) + 0.5], style, color=CONTROL, lw=1.1, zorder=1)
            if at is not None:
                axis.errorbar(value, at, xerr=100 * (s["score"]["error"] or 0), fmt="o", color="#0072b2", ms=4, lw=1.2,
                              zorder=3)
    axis.set_title(TITLES[task])
    axis.set_xlabel("test accuracy (%)")


def angles(axis, summary: list[dict], places: dict) -> None:
    """By hidden layer; backprop has none to itself, and is left out."""
    for s in summary:
        at = places.get((s["net"], s["rule"]))
        for k, (mark, colour, fill) in LAYERS.items() if at is not None and s["rule"] != "backprop" else ():
            if (found := s["angle_to_backprop_deg"].get(str(k))) and found["mean"] is not None:
                axis.errorbar(found["mean"], at, xerr=found["error"] or 0, fmt=mark, color=colour, mfc=fill, ms=4, lw=1)
    axis.axvline(90, color=CONTROL, lw=0.8)
    axis.set(xlim=(-4, 124), xticks=(0, 45, 90))
    axis.set_xlabel("degrees, yin-yang")
    axis.set_title("angle to backprop")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except nl.NeurolearnError as error:
        sys.exit(f"catalogue: {error}")
