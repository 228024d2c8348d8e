"""The rows of a large database: jobs, candidates and measurements as a search on a device stores them."""

from __future__ import annotations

import itertools
import json
import math
import random
from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import Connection, column, insert, table

from hwprofiles import Profile
from search.space.candidate import Decision, Space
from search.states import TrialState
from search.store import Lease, Store, TrialRow, this_process
from search.store.engine import WRITES, open_engine
from search.store.figures import rows_of
from search.store.trial_counts import recount

Json = dict[str, Any]

LAYERS = 30
VALUES = ("fp32", "int8", "int8_dynamic")
ROUNDS, RUNS = 60, 5
"""Of a measurement: 300 inferences of each model, those of a model that takes 10 ms."""

OBJECTIVES = [{"metric": "cosine", "direction": "max"}, {"metric": "speedup", "direction": "max"}]
_ENDS = (TrialState.DONE,) * 7 + (TrialState.INFEASIBLE, TrialState.BUILD_FAILED, TrialState.TIMEOUT)
_AT_A_TIME = 2_000
_ODD = 0x5DEECE66D1
"""Makes ids of numbers: in no order, and each once."""
_AT = "2026-11-28 12:00:00.000000"

SPACE = Space(
    tuple(Decision(f"precision:block.{n}", VALUES, "precision", f"block.{n}", "layer") for n in range(LAYERS)),
    "context",
)


def add_job(store: Store, name: str, profile: Profile) -> Lease:
    """Adds a job that is prepared, and returns its lease."""
    spec = {"version": 1, "name": name, "task": {"name": "digits", "options": {}}, "devices": [profile.device],
            "objectives": OBJECTIVES, "constraints": ["cosine >= 0.5"], "strategy": {"name": "nsga2"},
            "budget": {"trials": 100_000}, "seed": 0}  # fmt: skip
    lease = store.jobs.lease(store.jobs.create(name=name, spec=spec, spec_folder="/", profile=profile), this_process())
    baseline = {"metrics": _metrics(1.0, 1.0), "facts": {}}
    store.jobs.set_preparation(lease, space=SPACE.to_dict(), baseline=baseline)
    return lease


def trials_of(job_id: str, count: int, seed: int) -> Iterator[TrialRow]:
    """Yields the candidates of a job, of which seven in ten are done."""
    draw = random.Random(seed)
    for number in range(count):
        candidate = SPACE.candidate({decision.name: draw.choice(VALUES) for decision in SPACE.decisions})
        state = draw.choice(_ENDS)
        loss, luck = draw.random(), draw.betavariate(4, 4)
        measured = state in (TrialState.DONE, TrialState.INFEASIBLE)
        yield TrialRow(
            candidate_id=f"{(seed * 1_000_000 + number) * _ODD % 2**48:012x}",
            job_id=job_id,
            number=number,
            block=number // 32,
            digest=candidate.digest,
            decisions=candidate.decisions,
            strategy="nsga2",
            simulated=False,
            state=state,
            reason={TrialState.DONE: None, TrialState.INFEASIBLE: "cosine >= 0.5"}.get(state, "the export raised"),
            metrics=_metrics(round(1 - loss**2, 3), (1 + 4 * math.sqrt(loss)) * luck) if measured else {},
            artifact_sha256=candidate.digest if measured else None,
            wall_s=12.5,
        )


def _metrics(cosine: float, speedup: float) -> Json:
    """The figures of a candidate; those of time have intervals of 1 %."""
    latency = 10 / speedup
    return {
        "size_bytes": int(4e6 / speedup),
        "accuracy": 0.9 * cosine,
        "nll": 0.151229466324,
        "cosine": cosine,
        "top1_agreement": cosine,
        "intervals": {name: [cosine - 0.001, cosine + 0.001] for name in ("cosine", "top1_agreement", "accuracy")},
        "latency_ms": {"p50": latency, "ci95": [latency * 0.995, latency * 1.005], "n": ROUNDS * RUNS,
                       "p90": latency * 1.1, "p95": latency * 1.2,
                       "raw": {"p50": latency, "ci95": [latency * 0.995, latency * 1.005], "n": ROUNDS * RUNS}},
        "speedup": {"ratio": speedup, "ci95": [speedup * 0.995, speedup * 1.005]},
        "peak_memory_bytes": 11165696,
        "cold_start_ms": {"p50": 9.2306, "ci95": [6.5228, 16.6714], "n": 5},
        "warm_start_ms": {"p50": 4.9086, "ci95": [2.5776, 11.3679], "n": 5},
    }  # fmt: skip


def records(profile: Profile, count: int = 50) -> list[str]:
    """Returns measurement records as JSON text; each has its raw samples."""
    draw = random.Random(0)

    def samples() -> list[list[float]]:
        return [[round(10 * draw.lognormvariate(0, 0.05), 6) for _ in range(RUNS)] for _ in range(ROUNDS)]

    return [
        json.dumps({
            "profile_digest": profile.digest, "runtime": "onnxruntime", "runtime_version": "1.31.1",
            "baseline_ms": samples(), "candidate_ms": samples(), "sessions": [n // 4 for n in range(ROUNDS)],
            "ratio": 1.0136739, "ratio_ci95": [1.0033542, 1.0240998], "verdict": "stable", "marks": [], "moments": 1,
            "health": {"verdict": "quiet", "reasons": [], "signals": {"wait_share": 0.01, "load_share": 0.02}},
            "quarantined": [], "energy_mj": None, "order": "bc" * ROUNDS, "measuring_s": 10.6,
        }, separators=(",", ":"))
        for _ in range(count)
    ]  # fmt: skip


def insert_results(url: str, trials: Iterable[TrialRow], measurements: Iterator[str], each: int = 1) -> int:
    """Inserts candidates, and ``each`` measurements of those that were measured; returns how many measurements."""
    engine, total, waiting = open_engine(url), 0, iter(trials)
    while chunk := list(itertools.islice(waiting, _AT_A_TIME)):
        measured = [trial for trial in chunk if trial.metrics for _ in range(each)]
        total += len(measured)
        with engine.execution_options(**WRITES).begin() as connection:
            _insert(connection, "trials", [_texts(trial) for trial in chunk])
            figures = [row for t in chunk for row in rows_of(t.job_id, t.number, t.state, t.metrics)]
            _insert(connection, "figures", [row | {"state": str(row["state"])} for row in figures])
            for job_id in {trial.job_id for trial in chunk}:
                recount(connection, job_id)
            _insert(connection, "measurements", [
                {"candidate_id": trial.candidate_id, "job_id": trial.job_id, "phase": "search", "created_at": _AT,
                 "record": next(measurements)} for trial in measured
            ])  # fmt: skip
    engine.dispose()
    return total


def _texts(trial: TrialRow) -> Json:
    """Returns the columns of a candidate as every database takes them without their types."""
    texts = {"decisions": json.dumps(trial.decisions), "metrics": json.dumps(trial.metrics), "state": str(trial.state)}
    return vars(trial) | texts


def _insert(connection: Connection, name: str, rows: list[Json]) -> None:
    if rows:
        connection.execute(insert(table(name, *map(column, rows[0]))), rows)
