"""What a user is told when a database cannot be used: one line, and one line of how to mend it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest
from sqlalchemy import event
from sqlalchemy.exc import InterfaceError, OperationalError

from hwprofiles import find_device
from hwprofiles.errors import InvalidInput, ParetuneError, StorageError
from search.outcome import TrialOutcome
from search.space.candidate import Candidate
from search.states import TrialState
from search.store import Lease, Store, TrialRow, engine, upgrade
from search.store.errors import storage_errors


def _check_lines(error: ParetuneError) -> None:
    for line in (error.message, error.hint):
        assert line
        assert "\n" not in line
        assert "SQL:" not in line
        assert "sqlalche.me" not in line


class TestUrls:
    @pytest.mark.parametrize(
        "url",
        [
            "",
            "jobs.db",
            "nosuch://host/jobs",
            "mysql://me@host/jobs",
            "sqlite+nosuch:///jobs.db",
            "postgresql://host:abc/jobs",
            "sqlite://",
            "sqlite:///:memory:",
            "sqlite:///file:jobs?mode=memory&uri=true",
        ],
    )
    @pytest.mark.parametrize("use", [Store, upgrade])
    def test_one_that_cannot_be_used(self, use: Callable[[str], object], url: str) -> None:
        with pytest.raises(InvalidInput, match=r"^database URL: ") as caught:
            use(url)
        _check_lines(caught.value)
        assert "sqlite:///" in caught.value.hint

    def test_a_driver_that_is_not_installed(self) -> None:
        with pytest.raises(InvalidInput, match="driver 'pg8000' is not installed") as caught:
            Store("postgresql+pg8000://me:secret@host/jobs")
        assert "pip install" in caught.value.hint
        assert "secret" not in str(caught.value)


class TestFiles:
    def test_a_folder_that_cannot_be_made(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(StorageError, match=r"File exists|Not a directory") as caught:
            Store(f"sqlite:///{tmp_path}/file/jobs.db")
        _check_lines(caught.value)

    def test_a_folder_instead_of_a_file(self, tmp_path: Path) -> None:
        with pytest.raises(StorageError, match="unable to open database file") as caught:
            Store(f"sqlite:///{tmp_path}")
        assert "check that you may write" in caught.value.hint

    @pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
    def test_a_folder_that_may_not_be_written(self, tmp_path: Path) -> None:
        folder = tmp_path / "folder"
        folder.mkdir(mode=0o500)
        with pytest.raises(StorageError, match="unable to open database file"):
            Store(f"sqlite:///{folder}/jobs.db")

    def test_a_file_that_may_not_be_written(self, tmp_path: Path) -> None:
        file = tmp_path / "jobs.db"
        Store(f"sqlite:///{file}").close()
        with Store(f"sqlite:///file:{file}?mode=ro&uri=true") as store:
            assert store.jobs.all() == []
            with pytest.raises(StorageError, match="readonly database") as caught:
                store.jobs.create(name="digits", spec={}, spec_folder="", profile=find_device("dry-run"))
        assert "check that you may write" in caught.value.hint
        _check_lines(caught.value)

    @pytest.mark.parametrize("use", [Store, upgrade])
    def test_a_file_that_is_no_database(self, use: Callable[[str], object], tmp_path: Path) -> None:
        file = tmp_path / "notes.txt"
        file.write_text("Remember the milk. " * 100)
        with pytest.raises(StorageError, match=r"notes\.txt: file is not a database") as caught:
            use(f"sqlite:///{file}")
        assert "--db" in caught.value.hint
        _check_lines(caught.value)
        assert file.read_text().startswith("Remember the milk.")

    @pytest.mark.parametrize("journal", ["delete", "wal"])
    @pytest.mark.parametrize("use", [Store, upgrade])
    def test_a_database_of_another_program_stays_as_it_is(
        self, use: Callable[[str], object], journal: str, tmp_path: Path
    ) -> None:
        file = tmp_path / "bookmarks.db"
        with closing(sqlite3.connect(file)) as connection:
            connection.execute(f"PRAGMA journal_mode = {journal}")
            connection.execute("CREATE TABLE bookmarks (url TEXT)")
        file.chmod(0o664)
        before = file.read_bytes()
        with pytest.raises(StorageError, match="another program's tables"):
            use(f"sqlite:///{file}")
        assert (file.read_bytes(), file.stat().st_mode & 0o777) == (before, 0o664)

    @pytest.mark.parametrize("content", ["", "Remember the milk. " * 100])
    def test_only_an_empty_file_is_made_private(self, content: str, tmp_path: Path) -> None:
        file = tmp_path / "notes.txt"
        file.write_text(content)
        file.chmod(0o644)
        with suppress(StorageError):
            Store(f"sqlite:///{file}").close()
        assert file.stat().st_mode & 0o777 == (0o644 if content else 0o600)

    def test_a_file_that_was_damaged(self, tmp_path: Path) -> None:
        file = tmp_path / "jobs.db"
        Store(f"sqlite:///{file}").close()
        pages = bytearray(file.read_bytes())
        pages[100:] = b"\x5a" * (len(pages) - 100)
        file.write_bytes(pages)
        with pytest.raises(StorageError, match="malformed") as caught:
            Store(f"sqlite:///{file}")
        assert "backup" in caught.value.hint

    def test_a_database_that_another_program_keeps_locked(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(engine, "_BUSY_TIMEOUT_MS", 50)
        with Store(f"sqlite:///{tmp_path}/jobs.db") as store:
            other = sqlite3.connect(tmp_path / "jobs.db", isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StorageError, match="database is locked") as caught:
                store.exports.add("0" * 12, "", "", {})
            assert store.jobs.all() == []
            other.close()
        assert "try again" in caught.value.hint

    def test_a_full_disk_loses_nothing_that_was_stored(
        self, store: Store, lease: Lease, trials: list[TrialRow], candidates: list[Candidate]
    ) -> None:
        if store._engine.dialect.name != "sqlite":
            pytest.skip("a server has its own disk")
        record = {"samples_ms": [0.5] * 50_000}
        first, second = trials[:2]
        store.trials.finish(lease, first.candidate_id, TrialOutcome(TrialState.DONE, measurement=record))
        _limit_size(store)
        for _ in range(2):
            with pytest.raises(StorageError, match="database or disk is full") as caught:
                store.trials.finish(lease, second.candidate_id, TrialOutcome(TrialState.DONE, measurement=record))
            assert "paretune resume" in caught.value.hint
            _check_lines(caught.value)
        assert store.trials.get(second.candidate_id) == second
        assert store.trials.measurements(first.candidate_id)[0]["record"] == record
        _limit_size(store, pages=2**30)
        store.trials.finish(lease, second.candidate_id, TrialOutcome(TrialState.DONE, measurement=record))
        assert store.trials.get(second.candidate_id).state is TrialState.DONE


def _limit_size(store: Store, pages: int = 1) -> None:
    """Lets the database file grow to so many pages, or by nothing if it has them already."""
    store._engine.dispose()
    event.listen(store._engine, "connect", lambda raw, _: raw.execute(f"PRAGMA max_page_count = {pages}"))


class TestWords:
    def test_only_the_first_line_is_kept(self) -> None:
        said = sqlite3.OperationalError("connection failed: refused\n\tIs the server running?\n")
        with pytest.raises(StorageError) as caught, storage_errors("postgresql://me:***@host/jobs"):
            raise OperationalError("SELECT 1", {}, said)
        assert caught.value.message == "database postgresql://me:***@host/jobs: connection failed: refused"
        assert "server runs" in caught.value.hint

    def test_an_error_without_words_has_its_name(self) -> None:
        with pytest.raises(StorageError, match=r"here: Error$"), storage_errors("here"):
            raise InterfaceError("SELECT 1", {}, sqlite3.Error())

    def test_a_full_disk_outside_the_database(self) -> None:
        with pytest.raises(StorageError, match="No space left on device") as caught, storage_errors("here"):
            raise OSError(28, "No space left on device")
        assert "free some space" in caught.value.hint

    def test_our_own_errors_pass(self) -> None:
        with pytest.raises(InvalidInput), storage_errors("here"):
            raise InvalidInput("wrong")
