"""Backups of both kinds of database, restored elsewhere: everything is as it was."""

from __future__ import annotations

import os
import sqlite3
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from databases import Databases

from hwprofiles import find_device
from hwprofiles.errors import InvalidInput, StorageError
from hwprofiles.folders import devices_folder
from search.artefacts.backend import object_name
from search.artefacts.backup import back_up, restore
from search.artefacts.owned import OwnedArtefacts
from search.artefacts.store import ArtefactStore
from search.store import Store, Submission

KINDS = ("sqlite", "postgresql")
Elsewhere = Callable[[], str]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, databases: Databases, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "postgresql":
        monkeypatch.setenv("PATH", str(databases.server._programs), prepend=os.pathsep)
    return str(request.param)


@pytest.fixture
def url(kind: str, databases: Databases, home: Path, tmp_path: Path) -> Iterator[str]:
    """A database with a job, its file, and a described device."""
    url = databases.create(kind)
    (tmp_path / "model").write_bytes(b"weights")
    with Store(url) as store:
        file = OwnedArtefacts(store, "ann", ArtefactStore()).put(tmp_path / "model")
        store.users.add("ann")
        store.jobs.create(
            name="n", spec={"a": [1, "ü"]}, spec_folder="/jobs", profile=find_device("dry-run"),
            submission=Submission(files={"model.onnx": file.sha256}),
        )  # fmt: skip
    devices_folder().mkdir(parents=True)
    (devices_folder() / "board.toml").write_text("name = 'board'\n")
    yield url
    databases.drop(url)


@pytest.fixture
def elsewhere(kind: str, databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Elsewhere]:
    """Moves to a new home, and returns the URL of a database that does not exist there."""
    urls: list[str] = []

    def move() -> str:
        monkeypatch.setenv("PARETUNE_HOME", str(tmp_path / "new"))
        urls.append(databases.create(kind, empty=True))
        return urls[-1]

    yield move
    for made in urls:
        databases.drop(made)


def contents(url: str) -> dict[str, list[Any]]:
    engine = sqlalchemy.create_engine(url)
    with engine.connect() as connection:
        tables = sqlalchemy.inspect(connection).get_table_names()
        rows = {t: sorted(map(str, connection.execute(sqlalchemy.text(f"SELECT * FROM {t}")))) for t in tables}
    engine.dispose()
    return rows


@pytest.mark.parametrize("name", ["backup", "backup.tar"])
def test_everything_is_as_it_was(url: str, elsewhere: Elsewhere, tmp_path: Path, name: str) -> None:
    before = contents(url)
    manifest = back_up(url, tmp_path / name)
    assert len(manifest.artefacts or ()) == 1
    assert [path.name for path in tmp_path.glob(".backup*")] == []
    new = elsewhere()
    restored, kept = restore(tmp_path / name, new)
    assert (restored, kept) == (manifest, [])
    assert contents(new) == before
    with Store(new) as store:
        (job,) = store.jobs.all()
        assert job.spec == {"a": [1, "ü"]}
        assert {ArtefactStore().fetch(sha256).read_bytes() for sha256 in store.artefacts.needed()} == {b"weights"}
    assert (devices_folder() / "board.toml").read_text() == "name = 'board'\n"


def test_nothing_is_replaced(url: str, tmp_path: Path) -> None:
    back_up(url, tmp_path / "backup", artefacts=False)
    with pytest.raises(InvalidInput, match="backup exists, and is not replaced"):
        back_up(url, tmp_path / "backup")
    with pytest.raises(InvalidInput, match=r"database .* exists, and is not replaced"):
        restore(tmp_path / "backup", url)


def test_a_backup_of_another_kind(url: str, kind: str, databases: Databases, tmp_path: Path) -> None:
    back_up(url, tmp_path / "backup")
    other = databases.create(next(name for name in KINDS if name != kind), empty=True)
    with pytest.raises(InvalidInput, match=f"the backup is of a database of {kind}"):
        restore(tmp_path / "backup", other)
    databases.drop(other)


class TestSqlite:
    """What does not depend on the kind of database."""

    @pytest.fixture(params=["sqlite"])
    def kind(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    def test_it_is_for_its_user_alone(self, url: str, tmp_path: Path) -> None:
        back_up(url, tmp_path / "backup")
        paths = [tmp_path / "backup", *(tmp_path / "backup").rglob("*")]
        assert {path.stat().st_mode & 0o777 for path in paths} == {0o600, 0o700}
        back_up(url, tmp_path / "backup.tar")
        assert (tmp_path / "backup.tar").stat().st_mode & 0o777 == 0o600

    def test_while_another_process_writes(self, url: str, elsewhere: Elsewhere, tmp_path: Path) -> None:
        with sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None) as writer:
            writer.execute("BEGIN IMMEDIATE")
            writer.execute("DELETE FROM jobs")
            back_up(url, tmp_path / "backup")
            writer.execute("ROLLBACK")
        restore(tmp_path / "backup", new := elsewhere())
        assert contents(new) == contents(url)

    def test_an_artefact_that_is_missing_is_said(self, url: str, elsewhere: Elsewhere, tmp_path: Path) -> None:
        (stored,) = ArtefactStore().all()
        ArtefactStore().delete(stored.sha256)
        manifest = back_up(url, tmp_path / "backup")
        assert (manifest.artefacts, manifest.missing) == ((), (stored.sha256,))
        assert restore(tmp_path / "backup", elsewhere())[0].missing == (stored.sha256,)

    def test_without_artefacts(self, url: str, elsewhere: Elsewhere, tmp_path: Path) -> None:
        manifest = back_up(url, tmp_path / "backup", artefacts=False)
        assert (manifest.artefacts, manifest.missing) == (None, ())
        restore(tmp_path / "backup", elsewhere())
        assert list(ArtefactStore().all()) == []

    def test_devices_that_are_described_stay(self, url: str, elsewhere: Elsewhere, tmp_path: Path) -> None:
        back_up(url, tmp_path / "backup")
        new = elsewhere()
        devices_folder().mkdir(parents=True)
        (devices_folder() / "board.toml").write_text("name = 'another'\n")
        assert restore(tmp_path / "backup", new)[1] == ["board.toml"]
        assert (devices_folder() / "board.toml").read_text() == "name = 'another'\n"

    def test_a_damaged_artefact_leaves_no_database(self, url: str, elsewhere: Elsewhere, tmp_path: Path) -> None:
        (sha256,) = back_up(url, tmp_path / "backup").artefacts or ()
        (tmp_path / "backup" / "artefacts" / object_name(sha256)).write_bytes(b"broken")
        new = elsewhere()
        with pytest.raises(StorageError, match=f"artefact {sha256[:12]} of .* is damaged"):
            restore(tmp_path / "backup", new)
        assert not Path(new.removeprefix("sqlite:///")).exists()

    def test_a_backup_that_fails_leaves_nothing(
        self, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("shutil.copyfile", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(StorageError, match="backup cannot be written: No space left"):
            back_up(url, tmp_path / "backup")
        assert list(tmp_path.glob("*backup*")) == []

    @pytest.mark.parametrize("kind_of_file", ["nothing", "text", "an empty tar", "an empty folder", "a bad manifest"])
    def test_what_is_no_backup(self, elsewhere: Elsewhere, tmp_path: Path, kind_of_file: str) -> None:
        path = tmp_path / "backup"
        if kind_of_file == "text":
            path.write_text("text")
        elif kind_of_file == "an empty tar":
            tarfile.open(path, "w").close()
        elif kind_of_file != "nothing":
            path.mkdir()
            if kind_of_file == "a bad manifest":
                (path / "manifest.json").write_text('{"format": 7}')
        with pytest.raises(InvalidInput, match=r"is no backup|is not a backup|is no folder and no tar file"):
            restore(path, elsewhere())

    def test_an_older_database_is_brought_up_to_date(
        self, databases: Databases, elsewhere: Elsewhere, tmp_path: Path
    ) -> None:
        old = databases.restore(Path(__file__).parents[1] / "store" / "schemas" / "0002.sqlite.sql")
        back_up(old, tmp_path / "backup", artefacts=False)
        restore(tmp_path / "backup", new := elsewhere())
        with Store(new) as store:
            store.jobs.all()


def test_missing_programs_are_named(databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = databases.create("postgresql")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InvalidInput, match="pg_dump is not installed") as caught:
        back_up(url, tmp_path / "backup")
    assert "client programs" in caught.value.hint
    databases.drop(url)
