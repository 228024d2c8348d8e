"""``paretune show JOB``: the job's status, and what its strategy learnt."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dashboards.cli import run_app
from dashboards.documents.candidates import candidate_document
from dashboards.web.rendering import render
from search.outcome import TrialOutcome
from search.states import TrialState


def test_a_job_is_shown_with_its_learning_curve(search: Any, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["show", "digits-here", "--db", search.store.url]
    assert run_app(command) == 0
    without = capsys.readouterr().out
    assert "running" in without
    assert "reward" not in without
    search.learn()
    assert run_app(command) == 0
    lines = capsys.readouterr().out.splitlines()
    (heading,) = (number for number, line in enumerate(lines) if "mean reward" in line)
    rows = [line.split() for line in lines[heading + 2 :] if line.strip()]
    assert rows[0] == ["removal", "1", "2", "0.083", "0.167"]
    assert [row[:2] for row in rows] == [[name, f"{n}"] for name in ("removal", "shrinkage") for n in range(1, 5)]


def test_as_json_it_is_the_status_with_the_curve(search: Any, capsys: pytest.CaptureFixture[str]) -> None:
    search.learn(2)
    assert run_app(["show", search.job_id, "--db", search.store.url, "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["job_id"], document["state"]) == (search.job_id, "running")
    assert len(document["learning"]["rewards"]) == 4


def test_a_refused_candidate_says_why(search: Any, capsys: pytest.CaptureFixture[str]) -> None:
    metrics = {"filter": {"module": "a", "size": 0.42, "scores": {"parameters": 0.42, "zico": 81.5}, "refused": "x"}}
    outcome = TrialOutcome(TrialState.STOPPED, "filter zico: x", metrics)
    values = search.space.baseline().decisions | {"width": "half"}
    (row,) = search.store.trials.add(search.lease, 1, "n2n", True, [(99, search.space.candidate(values))])
    search.store.trials.finish(search.lease, row.candidate_id, outcome)
    assert run_app(["show", row.candidate_id, "--db", search.store.url]) == 0
    out = capsys.readouterr().out
    assert "filter zico: x" in out
    assert "filtered: 42 % of the parameters, zico 81.5" in out
    page = render("candidate.html", candidate=candidate_document(search.store, row.candidate_id))
    assert "42 % of the parameters, zico 81.5" in page


def test_what_is_neither(search: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app(["show", "nothing", "--db", search.store.url]) == 3
    assert "there is no candidate 'nothing'" in capsys.readouterr().err
