"""``paretune candidates``: every candidate of a job with its state and the reason for it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable

import pytest
from small_jobs import FinishedJob

from dashboards.cli import run_app

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(modelled_job: FinishedJob, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: str) -> tuple[int, str, str]:
        code = run_app(["candidates", modelled_job.job_id, "--db", modelled_job.database, *arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return call


def test_a_table_of_all(run: Run, modelled_job: FinishedJob) -> None:
    code, out, _ = run()
    assert code == 0
    assert sum(modelled_job.front["trials"].values()) == 24
    assert out.count("infeasible") == modelled_job.front["trials"]["infeasible"] > 0
    assert "accuracy >= baseline - 0.0024" in out
    assert "on the front" in out


def test_csv_and_json_have_a_row_a_candidate(run: Run) -> None:
    rows = list(csv.DictReader(io.StringIO(run("--format", "csv")[1])))
    document = json.loads(run("--format", "json")[1])
    assert [row["trial"] for row in rows] == [str(one["trial"]) for one in document["trials"]]
    assert [row["reason"] or None for row in rows] == [one["reason"] for one in document["trials"]]
    assert {"state", "candidate_id", "speedup", "summary"} < set(rows[0])


def test_those_in_one_state(run: Run, modelled_job: FinishedJob) -> None:
    document = json.loads(run("--state", "infeasible", "--format", "json")[1])
    assert len(document["trials"]) == modelled_job.front["trials"]["infeasible"]
    assert {one["state"] for one in document["trials"]} == {"infeasible"}
    code, out, _ = run("--state", "failed")
    assert (code, "no candidates" in out) == (0, True)


def test_a_state_that_there_is_not(run: Run) -> None:
    code, out, err = run("--state", "broken")
    assert (code, out) == (2, "")
    assert "unknown state 'broken'" in err
