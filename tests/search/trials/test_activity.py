"""What workers say while they work reaches whoever watches."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from inline_search import InlineSandbox, with_device

from dashboards.documents.jobs import job_document
from evaluators.testing.fake_device import FakeDevice
from search.controller.controller import Controller
from search.controller.progress import Status, Watcher
from search.folders import job_folder, partial_path
from search.states import JobState
from search.store import Store
from search.trials.activity import Notice, forget_notices, notices

PATIENCE_S = 20


def test_the_last_words_stand_until_the_work_ends(tmp_path: Path) -> None:
    with Notice(tmp_path, "a") as first, Notice(tmp_path, "b") as second:
        first.say("training")
        second.say("building")
        first.say("measuring")
        partial_path(tmp_path / "a.notice").write_text("mea")
        assert notices(tmp_path) == {"a": "measuring", "b": "building"}
    assert notices(tmp_path) == {}
    forget_notices(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_they_go_when_the_work_fails(tmp_path: Path) -> None:
    def work() -> None:
        with Notice(tmp_path, "a") as notice:
            notice.say("training")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        work()
    assert notices(tmp_path) == {}


def test_a_full_disk_takes_them_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with Notice(tmp_path, "a") as notice:
        notice.say("training")
    assert list(tmp_path.iterdir()) == []


def test_those_of_lost_workers_are_forgotten(tmp_path: Path) -> None:
    Notice(tmp_path, "lost").say("training")
    forget_notices(tmp_path)
    assert notices(tmp_path) == {}


def test_a_search_passes_them_on(store: Store, new_job: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    """To its watcher and into the job's document, while the device still measures."""
    monkeypatch.setattr("search.controller.status.LISTEN_S", 0.01)
    seen: list[Status] = []
    heard = threading.Event()

    class Listener(Watcher):
        def update(self, status: Status) -> None:
            seen.append(status)
            if status.at_work == ("measuring",):
                heard.set()

    documents: list[Any] = []

    def speed(path: Path) -> float:
        if path.parent == job_folder(job_id) and not documents:
            assert heard.wait(PATIENCE_S)
            documents.append(job_document(store, job_id)["progress"]["at_work"])
        return 1.0

    with_device(monkeypatch, FakeDevice(speed))
    job_id = new_job(devices=["local-cpu"], budget={"trials": 2})
    Notice(job_folder(job_id), "of a former run").say("training")
    assert Controller(store, job_id, Listener()).run() is JobState.DONE
    first = store.trials.of_job(job_id)[0]
    assert documents == [[{"trial": 0, "candidate_id": first.candidate_id, "doing": "measuring"}]]
    assert {one for status in seen for one in status.at_work} <= {"building", "measuring"}
    assert seen[-1].at_work == ()
    assert job_document(store, job_id)["progress"]["at_work"] == []


def test_what_a_worker_s_process_reports_is_among_them(
    store: Store, new_job: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[dict[str, str]] = []

    class Reporting(InlineSandbox):
        def __init__(self, *, progress: Callable[[str], None], **_: object) -> None:
            self._progress = progress

        def call(self, *arguments: Any, **limits: Any) -> Any:
            heard.append(notices(job_folder(job_id)))
            self._progress("step 8 of 48")
            heard.append(notices(job_folder(job_id)))
            return super().call(*arguments, **limits)

    with_device(monkeypatch, FakeDevice(lambda path: 1.0))
    monkeypatch.setattr("search.trials.trial.Sandbox", Reporting)
    job_id = new_job(devices=["local-cpu"], budget={"trials": 1})
    # What is measured again in the end is no candidate under way.
    monkeypatch.setattr(Controller, "_finalise", lambda *_: None)
    assert Controller(store, job_id).run() is JobState.DONE
    (trial,) = store.trials.of_job(job_id)
    assert heard[:2] == [{trial.digest: "building"}, {trial.digest: "step 8 of 48"}]
    assert notices(job_folder(job_id)) == {}
