"""Short names of jobs and candidates: unique in a database, and accepted in place of ids."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from small_jobs import FinishedJob

from dashboards.cli import run_app
from hwprofiles import find_device
from hwprofiles.errors import NotFound
from search.short_names import candidate_name, short_name
from search.store import Store

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(modelled_job: FinishedJob, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("PARETUNE_HOME", str(modelled_job.home))

    def call(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run_app(list(arguments))
        return code, *capsys.readouterr()

    return call


@pytest.mark.parametrize("command", ["status", "front", "candidates"])
def test_a_job_is_found_by_its_short_name(run: Run, modelled_job: FinishedJob, command: str) -> None:
    name = short_name(modelled_job.job_id)
    code, out, err = run(command, name)
    assert (code, err) == (0, "")
    assert out == run(command, modelled_job.job_id)[1]
    assert name in out


def test_jobs_lists_it(run: Run, modelled_job: FinishedJob) -> None:
    assert short_name(modelled_job.job_id) in run("jobs")[1]
    (job,) = json.loads(run("jobs", "--format", "json")[1])["jobs"]
    assert job["short_name"] == short_name(modelled_job.job_id)


@pytest.mark.parametrize("by", ["short name", "id", "name"])
def test_a_candidate_is_found_by_its_number(run: Run, modelled_job: FinishedJob, by: str) -> None:
    member = modelled_job.front["front"][0]
    job = {"short name": short_name(modelled_job.job_id), "id": modelled_job.job_id, "name": "small"}[by]
    document = json.loads(run("show", f"{job}/{member['trial']}", "--format", "json")[1])
    assert document["candidate_id"] == member["candidate_id"]
    assert document["short_name"] == candidate_name(modelled_job.job_id, member["trial"])


@pytest.mark.parametrize("number", ["999", "x", ""])
def test_a_number_that_there_is_not(run: Run, number: str) -> None:
    code, out, err = run("show", f"small/{number}")
    assert (code, out) == (3, "")
    assert f"job 'small' has no candidate {number!r}" in err
    assert "paretune candidates small" in err


def test_run_says_it(modelled_job: FinishedJob) -> None:
    assert modelled_job.command is not None
    assert f"job {modelled_job.job_id} (small), or {short_name(modelled_job.job_id)};" in modelled_job.command.stderr


def new_job(store: Store) -> str:
    return store.jobs.create(name="job", spec={}, spec_folder=".", profile=find_device("dry-run"))


def test_new_jobs_have_different_ones(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.setattr("search.store.jobs.short_name", lambda job_id: job_id[:1])
    with Store(f"sqlite:///{tmp_path_factory.mktemp('store')}/jobs.db") as store:
        ids = [new_job(store) for _ in range(16)]
        assert len({job_id[0] for job_id in ids}) >= 15  # after many draws one may be used again
        assert len(new_job(store)) == 8


def test_one_that_jobs_of_an_earlier_version_share_is_ambiguous(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with Store(f"sqlite:///{tmp_path_factory.mktemp('store')}/jobs.db") as store:
        ids = [new_job(store) for _ in range(2)]
        monkeypatch.setattr("search.store.lookup.short_name", lambda _: "calm-otter")
        with pytest.raises(NotFound, match="ambiguous") as error:
            store.jobs.get("calm-otter")
        assert all(job_id in error.value.message for job_id in ids)
