"""Does a receipt confirm what it should, and nothing else? 60 exports of 30 candidates, then 30 with a planted flaw.

    python benchmarks/receipts.py [EXPORTS] [--quick]

Searches the digits network at width 32 and exports its candidates, front and dominated ones alike, each twice: once on
the machine as it is, once beside a process that keeps in turn the measured core or another one busy. Then half as many
exports have a flaw, half of them loaded: another candidate's file, an edited weight, or (every second one) a claim that
is 10 % too fast. Writes one row an export. To hold: no honest file disagrees, and no flaw is confirmed.

The job and finished exports are kept in the cache, so that a run that is interrupted goes on. About 25 minutes on two
quiet cores; ``--quick`` makes a short search, 4 exports and 2 flaws, for a look at whether it works.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import onnx
from benchmarks_path import ROOT
from health import loaded
from rows import write_rows

from hwprofiles import Profile, digest_of_file
from hwprofiles.probe import usable_cores
from search.controller.controller import Controller
from search.controller.submission import submit
from search.export.export import export_candidate
from search.folders import cache_folder
from search.job.spec import parse_job
from search.store import Store, TrialRow
from search.store.trials import Trials
from search.trials.trial import TrialRunner
from search.trials.workspace import Built

LOADS = ("none", "measured core", "other core")
FLAWS = ("claim", "file", "claim", "weight")
TOO_FAST = 1.1

Row = dict[str, Any]


def job_of(trials: int) -> Any:
    """The digits network, small enough for a search of minutes."""
    return parse_job(
        {
            "version": 1, "name": "receipts", "task": {"name": "digits", "options": {"width": 32}},
            "devices": ["local-cpu"], "space": {"precision": {}}, "constraints": ["accuracy >= baseline - 0.05"],
            "objectives": [{"metric": "cosine", "direction": "max"}, {"metric": "speedup", "direction": "max"}],
            "strategy": {"name": "nsga2", "options": {"population": 10}}, "budget": {"trials": trials}, "seed": 0,
        },
        folder=ROOT,
    )  # fmt: skip


def candidates(store: Store, trials: int) -> list[TrialRow]:
    """All measured candidates of the job, which is run on first use; those of the front first."""
    job = job_of(trials)
    rows = [row for row in store.jobs.all() if row.name == job.name]
    job_id = rows[0].job_id if rows else submit(store, job, ROOT)
    if store.jobs.get(job_id).state != "done":
        Controller(store, job_id).run()
    members = (store.fronts.get(job_id) or {}).get("members", [])
    measured = [row for row in store.trials.of_job(job_id) if row.state.measured]
    return sorted(measured, key=lambda row: (row.candidate_id not in members, row.number))


@contextlib.contextmanager
def busy(profile: Profile, load: str) -> Iterator[None]:
    """One process that never rests, on the measured core or beside it."""
    others = tuple(core for core in usable_cores() if core not in profile.cores) or profile.cores
    on = profile if load == "measured core" else replace(profile, cores=others)
    with loaded(on, 0 if load == "none" else 100):
        yield


@contextlib.contextmanager
def planted(flaw: str, other: TrialRow) -> Iterator[None]:
    """From now on exports have a flaw: the claims, the decisions or the file itself are not as measured."""
    stored, build = Trials.get, TrialRunner.build

    def claiming(trials: Trials, name: str) -> TrialRow:
        row = stored(trials, name)
        return (
            replace(row, metrics=too_fast(row.metrics)) if flaw == "claim" else replace(row, decisions=other.decisions)
        )

    def edited(runner: TrialRunner, *asked: Any) -> Built:
        built = build(runner, *asked)
        model = onnx.load(built.path)
        weight = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
        weight.raw_data = weight.raw_data[:-1] + bytes([weight.raw_data[-1] ^ 1])
        onnx.save(model, built.path)
        return replace(built, sha256=digest_of_file(built.path))

    patches: dict[str, Callable[[], Any]] = {
        "none": contextlib.nullcontext,
        "claim": lambda: patch.object(Trials, "get", claiming),
        "file": lambda: patch.object(Trials, "get", claiming),
        "weight": lambda: patch.object(TrialRunner, "build", edited),
    }
    with patches[flaw]():
        yield


def too_fast(metrics: dict[str, Any]) -> dict[str, Any]:
    """The claims of a candidate that is said to be 10 % faster than it was measured."""
    speedup, latency = metrics["speedup"], metrics["latency_ms"]
    faster = {"ratio": TOO_FAST * speedup["ratio"], "ci95": [TOO_FAST * end for end in speedup["ci95"]]}
    sooner = {**latency, "p50": latency["p50"] / TOO_FAST, "ci95": [end / TOO_FAST for end in latency["ci95"]]}
    return {**metrics, "speedup": faster, "latency_ms": sooner}


def exported(store: Store, row: TrialRow, other: TrialRow, load: str, flaw: str) -> Row:
    """One export as a row."""
    profile = store.devices.profile(store.jobs.get(row.job_id).profile_digest)
    start = time.monotonic()
    with busy(profile, load), planted(flaw, other), tempfile.TemporaryDirectory() as folder:
        receipt = export_candidate(store, row.candidate_id, Path(folder) / "bundle")
    speed = next((check for check in receipt["checks"] if check["about"] == "speedup"), {})
    latency, health = receipt["latency"] or {}, receipt["health"] or {}
    return {
        "verdict": receipt["verdict"], "health": health.get("verdict", ""),
        "claimed": round(speed.get("claimed") or 0, 4), "measured": round(speed.get("measured") or 0, 4),
        "half_width": round(speed.get("half_width") or 0, 4), "measurements": latency.get("measurements", 0),
        "why": "; ".join(receipt["findings"] + receipt["reasons"]), "seconds": round(time.monotonic() - start, 1),
    }  # fmt: skip


def cells(rows: list[TrialRow], exports: int) -> list[Row]:
    """What is exported, how loaded, and with which flaw: honest files first."""
    chosen = rows[: max(1, exports // 2)]
    honest = [
        {"candidate": row.number, "load": "none" if turn == 0 else LOADS[1 + place % 2], "flaw": "none"}
        for turn in range(2)
        for place, row in enumerate(chosen)
    ]
    flawed = [
        {"candidate": row.number, "load": "none" if place % 8 < 4 else LOADS[1 + place % 2], "flaw": FLAWS[place % 4]}
        for place, row in enumerate(chosen)
    ]
    return [*honest[:exports], *flawed]


def main(exports: int, *, quick: bool) -> None:
    """Exports and reports."""
    home = cache_folder() / "benchmarks" / ("receipts-quick" if quick else "receipts")
    home.mkdir(parents=True, exist_ok=True)
    os.environ["PARETUNE_HOME"] = str(home)
    path = home / "exports.jsonl"
    known = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    with Store(f"sqlite:///{home / 'paretune.db'}") as store, path.open("a") as file:
        rows = candidates(store, 8 if quick else 40)
        by_number = {row.number: row for row in rows}
        asked = cells(rows, exports)
        for number, cell in enumerate(asked, 1):
            if any(all(row[key] == value for key, value in cell.items()) for row in known):
                continue
            row = by_number[cell["candidate"]]
            other = next(one for one in rows if one.artifact_sha256 != row.artifact_sha256)
            known.append({**cell, **exported(store, row, other, cell["load"], cell["flaw"])})
            file.write(json.dumps(known[-1]) + "\n")
            file.flush()
            print(f"{number} of {len(asked)}: {known[-1]}", file=sys.stderr, flush=True)
        profile = store.devices.profile(store.jobs.get(rows[0].job_id).profile_digest)
    print(summary(known))
    if not quick:
        print(f"rows: {write_rows('receipts', profile, known).relative_to(ROOT)}")


def summary(rows: list[Row]) -> str:
    """What the rows come to, in the words of what must hold."""
    lines = []
    for flaw in ("none", "claim", "file", "weight"):
        for load in LOADS:
            verdicts = Counter(row["verdict"] for row in rows if (row["flaw"], row["load"]) == (flaw, load))
            if verdicts:
                told = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.most_common())
                lines.append(f"flaw: {flaw}; busy: {load}: {told}")
    wrong = sum(row["flaw"] == "none" and row["verdict"] == "disagrees" for row in rows)
    missed = sum(row["flaw"] != "none" and row["verdict"] == "confirmed" for row in rows)
    return "\n".join([*lines, f"{wrong} honest files disagree; {missed} flaws are confirmed"])


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:] if word.isdigit()]
    quick_run = "--quick" in sys.argv
    main(numbers[0] if numbers else 4 if quick_run else 60, quick=quick_run)
