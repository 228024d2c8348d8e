"""What is removed because nobody needs it, and what stays."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import onnx
import pytest
import sqlalchemy
from databases import Databases
from small_jobs import classifier

from evaluators.devices.request import FileRef
from hwprofiles import find_device
from hwprofiles.errors import InvalidInput
from hwprofiles.folders import cache_folder, data_folder
from search.artefacts.garbage import Garbage, collect_garbage
from search.artefacts.job_folders import materialise
from search.artefacts.limits import check_time, keep_days
from search.artefacts.owned import OwnedArtefacts
from search.artefacts.store import ArtefactStore, artefacts_url
from search.artefacts.uploads import Uploads
from search.folders import job_folder
from search.outcome import TrialOutcome
from search.space.candidate import Decision, Space
from search.states import JobState, TrialState
from search.store import Store, Submission, this_process
from search.store.errors import OverQuota

PROFILE = find_device("dry-run")
OLD = 3 * 86400.0


@pytest.fixture
def url(databases: Databases) -> str:
    return databases.create("sqlite")


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with Store(url) as opened:
        yield opened


@pytest.fixture
def age(url: str) -> Callable[[], None]:
    """Makes everything that is stored three days older."""

    def make_older() -> None:
        engine = sqlalchemy.create_engine(url)
        with engine.begin() as connection:
            for table, column in (("artefacts", "used_at"), ("uploads", "changed_at"), ("jobs", "finished_at")):
                connection.execute(sqlalchemy.text(f"UPDATE {table} SET {column} = datetime({column}, '-3 days')"))
        engine.dispose()
        for path in [*data_folder().rglob("*"), *(cache_folder() / "jobs").glob("*")]:
            if not path.name.startswith("paretune.db"):
                os.utime(path, (time.time() - OLD, time.time() - OLD))

    return make_older


@pytest.fixture
def put(store: Store, tmp_path: Path) -> Callable[[bytes], FileRef]:
    """Puts bytes for a user."""

    def put_bytes(data: bytes, owner: str = "ann") -> FileRef:
        path = tmp_path / "file"
        path.write_bytes(data)
        return OwnedArtefacts(store, owner, ArtefactStore()).put(path)

    return put_bytes


def queue(store: Store, **files: str) -> str:
    submission = Submission(submitted_by="ann", files=files)
    return store.jobs.create(name="n", spec={}, spec_folder="/", profile=PROFILE, submission=submission)


class TestArtefacts:
    def test_what_a_job_names_stays(self, store: Store, put: Any, age: Any) -> None:
        named, idle = put(b"named"), put(b"idle")
        queue(store, x=named.sha256)
        assert collect_garbage(store) == []
        age()
        assert collect_garbage(store, dry_run=True) == [Garbage("artefact", idle.sha256, 4)]
        assert ArtefactStore().contains(idle.sha256)
        assert collect_garbage(store) == [Garbage("artefact", idle.sha256, 4)]
        assert [stored.sha256 for stored in ArtefactStore().all()] == [named.sha256]
        assert collect_garbage(store) == []

    def test_what_was_used_lately_stays(self, store: Store, put: Any, age: Any) -> None:
        file = put(b"used")
        age()
        assert OwnedArtefacts(store, "ann", ArtefactStore()).missing([file.sha256]) == []
        assert collect_garbage(store) == []

    def test_files_of_other_databases_stay(self, store: Store, databases: Databases, put: Any, age: Any) -> None:
        put(b"of this one")
        age()
        with Store(databases.create("sqlite")) as another:
            assert collect_garbage(another) == []

    def test_agents_files_stay_while_a_request_needs_them(self, store: Store, age: Any) -> None:
        agents = ArtefactStore(artefacts_url("agents"))
        needed, idle = agents.put_bytes(b"needed"), agents.put_bytes(b"idle")
        store.requests.enqueue("1" * 32, PROFILE, {"candidate": {"sha256": needed.sha256}})
        age()
        assert collect_garbage(store) == [Garbage("agent_file", idle.sha256, 4)]

    def test_uploads_that_stopped_go(self, store: Store, age: Any) -> None:
        uploads = Uploads(store, ArtefactStore())
        upload_id = uploads.begin("ann", "0" * 64, 10).upload_id
        assert upload_id is not None
        uploads.part("ann", upload_id, 0).write(b"half")
        assert collect_garbage(store) == []
        age()
        assert collect_garbage(store) == [Garbage("upload", upload_id, 4)]

    def test_folders_of_this_node_go_after_two_weeks(self, store: Store, put: Any) -> None:
        folder = materialise(ArtefactStore(), {"x": put(b"named").sha256})
        assert collect_garbage(store) == []
        os.utime(folder, (1000, 1000))
        assert collect_garbage(store) == [Garbage("job_folder", folder.name, 0)]


class TestCandidates:
    """Files in the folders of jobs."""

    @pytest.fixture
    def job_id(self, store: Store) -> str:
        """A job that has ended, with a member and a contender."""
        job_id = queue(store)
        lease = store.jobs.lease(job_id, this_process())
        space = Space((Decision("a", ("fp32", "int8"), "precision", target="a", scope="layer"),), "context")
        rows = store.trials.add(lease, 0, "random", True, list(enumerate(space.uniform())))
        for row in rows:
            store.trials.finish(lease, row.candidate_id, TrialOutcome(TrialState.DONE))
            onnx.save(classifier(1), job_folder(job_id) / f"{row.digest}.onnx")
        store.fronts.add(lease, {"members": [], "joint": {"members": [rows[0].candidate_id]}})
        store.jobs.set_state(lease, JobState.DONE)
        store.jobs.release(lease)
        return job_id

    def test_members_files_stay(self, store: Store, job_id: str, age: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PARETUNE_KEEP_DAYS", "2")
        (job_folder(job_id) / "prepare.log").write_text("prepared")
        member, contender = (f"{row.digest}.onnx" for row in store.trials.of_job(job_id))
        assert collect_garbage(store) == []
        age()
        (garbage,) = collect_garbage(store)
        assert (garbage.kind, garbage.name) == ("candidate", f"{job_id}/{contender}")
        assert garbage.size_bytes > 1000
        assert {path.name for path in job_folder(job_id).iterdir()} == {"prepare.log", member}

    def test_those_of_young_jobs_stay(self, store: Store, job_id: str, age: Any) -> None:
        age()
        assert keep_days() == 30
        assert collect_garbage(store) == []

    def test_those_of_other_databases_stay(
        self, job_id: str, age: Any, databases: Databases, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PARETUNE_KEEP_DAYS", "0")
        age()
        with Store(databases.create("sqlite")) as another:
            assert collect_garbage(another) == []


class TestTime:
    def test_a_quota_of_hours(self, store: Store, age: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        check_time(store, "ann")
        lease = store.jobs.lease(queue(store), this_process())
        store.jobs.add_wall_time(lease, 2 * 3600)
        check_time(store, "ann")
        monkeypatch.setenv("PARETUNE_QUOTA_HOURS", "2.5")
        check_time(store, "ann")
        store.jobs.add_wall_time(lease, 3600)
        with pytest.raises(OverQuota, match=r"jobs of ann have run for 3.0 h within 7 days, of 2.5 h that") as caught:
            check_time(store, "ann")
        assert "PARETUNE_QUOTA_HOURS" in caught.value.hint
        check_time(store, "bob")
        store.jobs.set_state(lease, JobState.DONE)
        for _ in range(3):
            age()
        check_time(store, "ann")

    def test_settings_are_numbers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PARETUNE_KEEP_DAYS", "-1")
        with pytest.raises(InvalidInput, match="PARETUNE_KEEP_DAYS: '-1' is not a number of at least 0"):
            keep_days()
