"""Jobs with filters: what they refuse is neither trained nor measured, whoever proposes it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from inline_search import with_device, without_ray
from small_jobs import spec

from evaluators.testing.fake_device import FakeDevice
from hwprofiles.errors import InvalidInput
from search.controller.controller import Controller
from search.controller.scheduler import Scheduler
from search.controller.submission import submit
from search.fronts.metrics import FILTER
from search.job.spec import parse_job
from search.states import JobState, TrialState
from search.store import Store, TrialRow
from search.trials.candidate_filter import CandidateFilter, Judged
from search.trials.module_variants import ModuleVariants

FILTERS = {"parameters": {"least": 0.2}, "zico": {"after": 6, "worst": 0.3, "batches": 2}}
OBJECTIVES = [{"metric": "accuracy", "direction": "max"}, {"metric": "parameters", "direction": "min"}]


def dry(strategy: Mapping[str, Any], parallel: int = 1) -> dict[str, Any]:
    """A job for students on the modelled device."""
    return spec(
        task={"name": "digits", "options": {"preset": "bench", "depth": 8}}, space={"student": {}, "graph": {}},
        recovery=None, strategy=strategy, objectives=OBJECTIVES, filters=FILTERS,
        budget={"trials": 48, "batch": 6, "parallel": parallel},
    )  # fmt: skip


def rows_of(store: Store, job_id: str) -> list[tuple[Any, ...]]:
    return [(row.number, row.digest, row.state, row.reason, row.metrics) for row in store.trials.of_job(job_id)]


def refused(rows: list[TrialRow]) -> list[TrialRow]:
    return [row for row in rows if (row.reason or "").startswith("filter ")]


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    without_ray(monkeypatch, prepare_here=True)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("strategy", ["random", "nsga2", "n2n", "evolution"])
def test_refused_candidates_are_stopped_with_a_reason(store: Store, tmp_path: Path, strategy: str) -> None:
    job = dry({"name": strategy})
    job_id = submit(store, parse_job(job, folder=tmp_path), tmp_path)
    assert Controller(store, job_id).run() is JobState.DONE
    rows = store.trials.of_job(job_id)
    out = refused(rows)
    assert out
    assert any(row.reason is not None and row.reason.startswith("filter zico: ") for row in out)
    assert {row.state for row in out} == {TrialState.STOPPED}
    assert all(set(row.metrics) == {FILTER} for row in out)
    front = store.fronts.get(job_id)
    assert front is not None
    assert not {row.candidate_id for row in out} & set(front["members"])
    assert rows[0].state is TrialState.DONE  # the unchanged model is no student
    assert FILTER not in rows[0].metrics
    by_module: dict[str, set[Any]] = {}
    for row in rows:
        if FILTER in row.metrics:
            by_module.setdefault(row.metrics[FILTER]["module"], set()).add(row.metrics[FILTER]["refused"])
    assert {len(verdicts) for verdicts in by_module.values()} == {1}


class _Killed(BaseException):
    """Ends the controller where it is."""


@pytest.mark.usefixtures("here")
def test_neither_workers_nor_kills_change_what_is_refused(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    strategy = {"name": "n2n", "options": {"rollouts": 4}}
    alone, parallel, killed = (
        submit(store, parse_job(dry(strategy, workers), folder=tmp_path), tmp_path) for workers in (1, 4, 4)
    )
    assert Controller(store, alone).run() is JobState.DONE
    assert Controller(store, parallel).run() is JobState.DONE
    finish, left = Scheduler.finish, [29]

    def die(scheduler: Scheduler, *args: Any) -> TrialRow:
        left[0] -= 1
        if not left[0]:
            raise _Killed
        return finish(scheduler, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Scheduler, "finish", die)
        with pytest.raises(_Killed):
            Controller(store, killed).run()
    monkeypatch.setattr("search.store.jobs.is_dead", lambda owner: True)  # the lease is this process's
    assert Controller(store, killed).run() is JobState.DONE
    expected = rows_of(store, alone)
    assert refused(store.trials.of_job(alone))
    assert rows_of(store, parallel) == expected
    assert rows_of(store, killed) == expected
    learnt = [store.jobs.get(job_id).strategy_state for job_id in (alone, parallel, killed)]
    assert learnt[0] == learnt[1] == learnt[2]


def test_a_refused_module_is_not_trained(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "task.py").write_text("from search.testing.trainable import make_task\n")
    without_ray(monkeypatch, prepare_here=True)
    with_device(monkeypatch, FakeDevice(lambda path: 1e5 / path.stat().st_size))
    trained: list[str] = []
    train = ModuleVariants._train_module

    def note(variants: ModuleVariants, name: str, *rest: Any) -> Any:
        trained.append(name)
        return train(variants, name, *rest)

    monkeypatch.setattr(ModuleVariants, "_train_module", note)
    job = spec(
        task={"name": "./task.py:make_task"}, devices=["local-cpu"],
        space={"pruning": {"ratios": [0.25, 0.5], "round": 2, "criterion": "l1", "blocks": False}},
        recovery={"steps": 2, "batch": 32, "losses": {"task": {}}, "precision": "float32", "threads": 1},
        filters={"parameters": {"most": 0.75}, "zico": {"after": 4, "batches": 2}},
        objectives=[{"metric": "accuracy", "direction": "max"}, {"metric": "speedup", "direction": "max"}],
        strategy={"name": "random", "options": {"batch": 4}}, budget={"trials": 16},
    )  # fmt: skip
    job_id = submit(store, parse_job(job, folder=tmp_path), tmp_path)
    assert Controller(store, job_id).run() is JobState.DONE
    rows = store.trials.of_job(job_id)
    judged = {row.metrics[FILTER]["module"]: row for row in rows if FILTER in row.metrics}
    out = refused(rows)
    assert {reason.split(":")[0] for row in out if (reason := row.reason)} == {"filter parameters", "filter zico"}
    assert set(trained) == set(judged) - {row.metrics[FILTER]["module"] for row in out}
    assert all(row.artifact_sha256 is None and "training" not in row.metrics for row in out)
    for row in judged.values():
        assert 0 < row.metrics[FILTER]["size"] <= 1
        assert row.metrics[FILTER]["scores"]["parameters"] == row.metrics[FILTER]["size"]
        assert row.metrics[FILTER]["scores"]["zico"] > 0


def test_a_module_is_judged_as_in_its_first_block() -> None:
    judge = CandidateFilter({"parameters": {"most": 0.5}}).judge
    own = Judged("a", 0.9, {"parameters": 0.9})
    assert (
        judge(own, []).refused
        == "filter parameters: it has 90 % of the fp32 model's parameters; at most 50 % are trained"
    )
    assert judge(own, [own]).refused is None
    assert judge(Judged("b", 0.3, {"parameters": 0.3}), [Judged("b", 0.3, {}, "why")]).refused == "why"


def test_filters_need_something_to_filter(tmp_path: Path) -> None:
    job = dry({"name": "random"}) | {"space": {"precision": {}}}
    with pytest.raises(InvalidInput, match="filters: no technique of the job changes the module") as caught:
        parse_job(job, folder=tmp_path)
    assert "student" in caught.value.hint
    with pytest.raises(InvalidInput, match=r"filters\.zico\.wrost: unknown key"):
        parse_job(dry({"name": "random"}) | {"filters": {"zico": {"wrost": 0.5}}}, folder=tmp_path)
    assert parse_job(dry({"name": "random"}) | {"filters": {"zico": None}}, folder=tmp_path).filters == {"zico": {}}
