"""Commands of operators: garbage, backups."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from dashboards.cli import run_app
from search.artefacts.garbage import Garbage
from search.artefacts.owned import OwnedArtefacts
from search.artefacts.store import ArtefactStore
from search.folders import default_database
from search.store import Store

Run = Callable[..., str]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command, and returns what it printed."""

    def run_command(*arguments: str, code: int = 0) -> str:
        capsys.readouterr()
        assert run_app(list(arguments)) == code
        printed = capsys.readouterr()
        return printed.out + printed.err

    return run_command


@pytest.fixture
def database(home: Path, tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(b"weights")
    with Store(default_database()) as store:
        OwnedArtefacts(store, "ann", ArtefactStore()).put(tmp_path / "model")


@pytest.mark.usefixtures("database")
class TestGarbage:
    def test_none(self, run: Run) -> None:
        assert run("gc") == "no garbage\n"
        document = json.loads(run("gc", "--format", "json"))
        assert document == {"dry_run": False, "size_bytes": 0, "audit_entries": 0, "removed": []}

    def test_some(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        garbage = [Garbage("upload", "b", 2000), Garbage("artefact", "a", 1000), Garbage("artefact", "c", 500)]
        monkeypatch.setattr("dashboards.cli.maintenance.collect_garbage", lambda store, dry_run: garbage)
        lines = run("gc", "--dry-run").splitlines()
        assert lines[0].split() == ["to", "remove", "number", "size"]
        assert [line.split()[-3:] for line in lines[2:]] == [["2", "1.50", "kB"], ["1", "2.00", "kB"]]
        document = json.loads(run("gc", "--dry-run", "--format", "json"))
        assert document["size_bytes"] == 3500
        assert document["removed"][0] == {"kind": "artefact", "name": "a", "size_bytes": 1000}

    def test_old_entries_of_the_audit_log(self, run: Run) -> None:
        with Store(default_database()) as store:
            store.audit.add("ann", "POST /api/v1/jobs")
            store.audit.add("ben", "POST /api/v1/jobs")
            assert run("gc", "--audit-days", "1") == "no garbage\n"
            assert "entries of the audit log" in run("gc", "--audit-days", "0", "--dry-run")
            assert json.loads(run("gc", "--audit-days", "0", "--format", "json"))["audit_entries"] == 2
            (entry,) = store.audit.newest(10)
        assert (entry.user, entry.action) == ("local", "gc --audit-days")
        assert entry.object.startswith("2 entries before 20")


@pytest.mark.usefixtures("database")
def test_a_backup_and_back(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("backup", "-o", "b.tar") == "wrote b.tar: the database, 0 artefacts, 0 devices\n"
    document = json.loads(run("backup", "-o", "b", "--no-artefacts", "--format", "json"))
    assert (document["database"], document["artefacts"]) == ("sqlite", None)
    assert "exists, and is not replaced" in run("restore", "b.tar", code=2)
    assert run("restore", "b.tar", "--db", "sqlite:///new.db").startswith("restored the database of 20")
    with Store("sqlite:///new.db") as store:
        assert store.artefacts.bytes_of("ann") == 7


def test_without_a_database(run: Run, tmp_path: Path, home: Path) -> None:
    assert "there is no database" in run("backup", "-o", str(tmp_path / "b"), code=3)
    assert "there is no database" in run("gc", code=3)
    assert not (tmp_path / "b").exists()
