"""Jobs that search for students."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from inline_search import InlineSandbox, without_ray
from small_jobs import spec

from search.controller.controller import Controller
from search.controller.submission import submit
from search.job.facts import JobFacts
from search.job.spec import parse_job
from search.space.candidate import Candidate, Space
from search.states import JobState
from search.store import Store
from search.strategies import RandomSearch, StrategyContext

TASK = """
import torch
from search.testing.trainable import make_task as make
from teachers import Vgg

def make_task():
    torch.manual_seed(0)
    return make(Vgg((8, "M", 12, "M")))
"""


@pytest.fixture
def search(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs a job in this process; returns it, its trials, and what its strategy knew."""
    without_ray(monkeypatch, prepare_here=True)
    monkeypatch.setattr("search.trials.trial.Sandbox", InlineSandbox)
    (tmp_path / "task.py").write_text(TASK)
    contexts: list[StrategyContext] = []
    init = RandomSearch.__init__

    def remember(strategy: RandomSearch, context: StrategyContext, options: Any) -> None:
        contexts.append(context)
        init(strategy, context, options)

    monkeypatch.setattr(RandomSearch, "__init__", remember)

    def run(device: str, trials: int) -> Any:
        job = spec(
            task={"name": "./task.py:make_task"}, devices=[device], recovery=None, strategy={"name": "random"},
            space={"student": {"factors": [0.5], "round": 1, "criterion": "l1"}}, budget={"trials": trials},
            objectives=[{"metric": "accuracy", "direction": "max"}, {"metric": "parameters", "direction": "min"}],
        )  # fmt: skip
        job_id = submit(store, parse_job(job, folder=tmp_path), tmp_path)
        assert Controller(store, job_id).run() is JobState.DONE
        return store.jobs.get(job_id), store.trials.of_job(job_id), contexts[-1]

    return run


def test_strategies_know_the_units_also_of_a_stored_job(search: Callable[..., Any]) -> None:
    job, trials, context = search("dry-run", 12)
    space = Space.from_dict(job.space)
    assert set(context.encodings) == {decision.target for decision in space.decisions_of("student")}
    assert JobFacts.from_dict(job.baseline["facts"]).encodings == context.encodings
    counts = {trial.metrics["parameters"] for trial in trials}
    assert max(counts) == job.baseline["metrics"]["parameters"] > 5 * min(counts)


def test_a_degenerate_student_costs_a_trial(search: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def propose(strategy: RandomSearch) -> Candidate:
        """The baseline, the smallest that may be decided, and one without its first layer."""
        decisions = strategy.space.decisions
        proposals = [
            {d.name: d.choices[0] for d in decisions},
            {d.name: d.choices[-1] for d in decisions},
            {d.name: d.choices[-1 if d is decisions[0] else 0] for d in decisions},
        ]
        strategy.asked = getattr(strategy, "asked", 0) + 1  # type: ignore[attr-defined]
        return strategy.space.candidate(proposals[strategy.asked % 3])  # type: ignore[attr-defined]

    monkeypatch.setattr(RandomSearch, "ask", propose)
    job, trials, _ = search("raspberry-pi-5", 3)
    states = {trial.state.value: trial for trial in trials}
    assert len(trials) == 3
    assert "no layer left but its last" in states["infeasible"].reason
    counts = [trial.metrics["parameters"] for trial in trials if trial.state.value == "done"]
    assert min(counts) < max(counts) == job.baseline["metrics"]["parameters"]
