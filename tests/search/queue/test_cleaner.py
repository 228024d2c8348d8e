"""Garbage that a worker removes by itself: once in some hours, while it has nothing to do; it can be turned off."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import wait_until
from databases import Databases

from hwprofiles.errors import InvalidInput, StorageError
from search.artefacts.garbage import Garbage
from search.artefacts.limits import GRACE_S
from search.folders import cache_folder
from search.queue.cleaner import MARK, Cleaner
from search.queue.worker import Worker
from search.store import Store


@pytest.fixture
def store(databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setenv("PARETUNE_HOME", str(tmp_path / "home"))
    with Store(databases.create("sqlite")) as opened:
        yield opened


@pytest.fixture
def collections(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """For each collection that was made, how long files for agents had to be unused."""
    made: list[float] = []

    def collect(store: Store, *, agent_idle_s: float) -> list[Garbage]:
        made.append(agent_idle_s)
        return [Garbage("upload", "b", 2000), Garbage("artefact", "a", 1000), Garbage("artefact", "c", 500)]

    monkeypatch.setattr("search.queue.cleaner.collect_garbage", collect)
    return made


def pass_hours(hours: float) -> None:
    then = time.time() - 3600 * hours
    os.utime(cache_folder() / MARK, (then, then))


def step(cleaner: Cleaner) -> None:
    cleaner.step()
    cleaner.stop(60)


def test_once_in_some_hours(store: Store, collections: list[float], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "paretune.worker")
    cleaner = Cleaner(store)
    step(cleaner)
    assert collections == []
    pass_hours(5.9)
    step(cleaner)
    assert collections == []
    pass_hours(6.1)
    step(cleaner)
    step(cleaner)
    step(Cleaner(store))
    assert collections == [GRACE_S]
    assert caplog.messages == ["garbage: removed 2 of kind artefact, 1 of kind upload (3500 bytes)"]


def test_turned_off(store: Store, collections: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARETUNE_GC_HOURS", "0")
    step(Cleaner(store))
    assert collections == []
    assert not (cache_folder() / MARK).exists()
    monkeypatch.setenv("PARETUNE_GC_HOURS", "often")
    with pytest.raises(InvalidInput, match="PARETUNE_GC_HOURS"):
        Cleaner(store)


def test_what_cannot_be_removed_is_told(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(store: Store, *, agent_idle_s: float) -> list[Garbage]:
        raise StorageError("jobs cannot be removed: Read-only file system", "check its mode")

    monkeypatch.setattr("search.queue.cleaner.collect_garbage", fail)
    cleaner = Cleaner(store)
    step(cleaner)
    pass_hours(7)
    step(cleaner)
    assert caplog.messages == ["garbage: jobs cannot be removed: Read-only file system; check its mode"]


def test_a_worker_with_nothing_to_do_collects(store: Store, collections: list[float]) -> None:
    cache_folder().mkdir(parents=True, exist_ok=True)
    (cache_folder() / MARK).touch()
    pass_hours(7)
    stop = threading.Event()
    thread = threading.Thread(target=Worker(store).run, args=(stop,))
    thread.start()
    try:
        wait_until(lambda: bool(collections), "a collection")
    finally:
        stop.set()
        thread.join()
    assert len(collections) == 1
