"""Is it worth deciding about widths and precisions together? The same trials and recovery for each space, three seeds.

    python benchmarks/joint.py [WIDTH [TRIALS [SEEDS]]]

Runs ``examples/joint.yaml`` with pruning and precision, with pruning alone and with precision alone, each without a
limit of time. Jobs are kept in the database: run it again to go on after an interruption. Writes a row a candidate and
a row a front. To hold: the joint front's hypervolume over (accuracy, log2 of the speed-up), above the point (baseline -
5 points, 0), is at least 1.15 times the better of the others', and at every speed of their members its accuracy is not
more than 0.5 points below theirs; where it has no member as fast, the point's accuracy counts. Hours.
"""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks_path import ROOT
from lines import Lines
from mean_interval import mean_interval
from rows import write_rows

from search.controller.controller import Controller
from search.controller.submission import submit
from search.folders import default_database
from search.fronts.objectives import metric_value
from search.fronts.pareto import hypervolume
from search.job.spec import load_job, parse_job
from search.states import JobState
from search.store import Store, TrialRow

SPACES = {"joint": ("pruning", "precision"), "pruning": ("pruning",), "precision": ("precision",)}
POINTS, WANTED, BELOW = 0.05, 1.15, 0.005
Point = tuple[float, float]


def finished(store: Store, width: int, trials: int, seed: int, space: str) -> str:
    """The job of a cell, run or gone on with."""
    name = f"joint-{width}-{trials}-{space}-{seed}"
    known = [job for job in store.jobs.all() if job.name == name]
    if known:
        job_id = known[0].job_id
    else:
        folder = ROOT / "examples"
        given = load_job(folder / "joint.yaml").model_dump(mode="json")
        given |= {"name": name, "seed": seed, "budget": {"trials": trials}}
        given["space"] = {one: given["space"][one] for one in SPACES[space]}
        given["task"]["options"] = {"width": width}
        job_id = submit(store, parse_job(given, folder=folder), folder)
    if store.jobs.get(job_id).state != JobState.DONE:
        Controller(store, job_id, Lines(name)).run()
    return job_id


def point(row: TrialRow) -> Point | None:
    """Accuracy, and log2 of the speed-up."""
    accuracy, speedup = metric_value(row.metrics, "accuracy"), metric_value(row.metrics, "speedup")
    return None if accuracy is None or not speedup else (accuracy, math.log2(speedup))


def main(width: int, trials: int, seeds: int) -> None:
    """Searches, compares, reports."""
    logging.disable(logging.WARNING)
    rows: list[dict[str, Any]] = []
    fronts: dict[tuple[str, int], list[Point]] = {}
    with Store(default_database()) as store:
        for seed in range(seeds):
            for space in SPACES:
                job_id = finished(store, width, trials, seed, space)
                job = store.jobs.get(job_id)
                baseline = (job.baseline or {})["metrics"]["accuracy"]
                members = set((store.fronts.get(job_id) or {"members": []})["members"])
                cell = {"width": width, "trials": trials, "seed": seed, "space": space}
                points = []
                for trial in store.trials.of_job(job_id):
                    found = point(trial)
                    row = cell | {"number": trial.number, "state": trial.state.value}
                    row |= {"accuracy": found and round(found[0], 5), "log2_speedup": found and round(found[1], 4)}
                    rows.append(row | {"front": int(trial.candidate_id in members), "wall_s": trial.wall_s})
                    if found and trial.candidate_id in members:
                        points.append(found)
                fronts[space, seed] = points
                area = hypervolume(points, (baseline - POINTS, 0.0))
                rows.append(cell | {"number": "front", "hypervolume": area, "baseline": baseline})
                profile = store.devices.profile(job.profile_digest)
    names = ["width", "trials", "seed", "space", "number", "state", "accuracy", "log2_speedup", "front", "wall_s",
             "hypervolume", "baseline"]  # fmt: skip
    path = write_rows(f"joint-{width}", profile, [{name: row.get(name, "") for name in names} for row in rows])
    print(*summary(rows, fronts, seeds), sep="\n")
    print(f"rows: {path.relative_to(ROOT)}")


def summary(rows: Sequence[Mapping[str, Any]], fronts: Mapping[tuple[str, int], list[Point]], seeds: int) -> list[str]:
    """What the fronts come to, in the words of what must hold."""
    areas = {(row["space"], row["seed"]): row["hypervolume"] for row in rows if row["number"] == "front"}
    floors = {row["seed"]: row["baseline"] - POINTS for row in rows if row["number"] == "front"}
    lines = [
        f"seed {seed}: hypervolume " + ", ".join(f"{space} {areas[space, seed]:.4f}" for space in SPACES)
        for seed in range(seeds)
    ]
    ratios = [areas["joint", s] / max(areas["pruning", s], areas["precision", s]) for s in range(seeds)]
    worst = max(
        below(fronts["joint", s], fronts[other, s], floors[s])
        for s in range(seeds)
        for other in ("pruning", "precision")
    )
    mean, low, high = mean_interval(ratios)
    return [
        *lines,
        f"joint is {mean:.2f} [{low:.2f}, {high:.2f}] times the better of the others; "
        + ("holds" if mean >= WANTED else "does NOT hold"),
        f"at worst {100 * worst:.2f} points below another front; " + ("holds" if worst <= BELOW else "does NOT hold"),
    ]


def below(ours: Sequence[Point], theirs: Sequence[Point], floor: float) -> float:
    """How far our accuracy is below theirs at most, at the speed of one of their members or more; ``floor`` where we
    have none as fast."""
    gaps = [a - max((b for b, fast in ours if fast >= speed), default=floor) for a, speed in theirs]
    return max([0.0, *gaps])


if __name__ == "__main__":
    given = [int(one) for one in sys.argv[1:]]
    main(*given, *(64, 24, 3)[len(given) :])
