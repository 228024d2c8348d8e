"""What Paretune keeps is for its user alone, what was kept by an earlier version included."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import onnx
import pytest
from small_jobs import classifier

from evaluators.graphs.model import save_model
from hwprofiles.folders import cache_folder, data_folder
from search.devices.blobs import Blobs
from search.folders import default_database, job_folder
from search.json_cache import JsonCache
from search.store import Store
from search.trials.activity import Notice


@pytest.fixture(autouse=True)
def usual(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Everybody may read what does not say otherwise."""
    monkeypatch.setenv("PARETUNE_HOME", str(tmp_path / "home"))
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def open_to_all(folder: Path) -> None:
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)


def fill() -> None:
    with Store(default_database()) as store:
        store.agents.new_token("pi")
        assert {mode(path) for path in data_folder().glob("paretune.db*")} == {0o600}
    save_model(classifier(1), job_folder("12ab") / "candidate.onnx")
    Blobs().put(job_folder("12ab") / "candidate.onnx")
    Blobs().put_bytes(b"a sample")
    JsonCache(cache_folder() / "layers")["name"] = {"ratio": 2.0}


def test_folders_and_files_are_their_users_own() -> None:
    fill()
    files = [path for path in data_folder().rglob("*") if path.is_file()]
    assert len(files) >= 5
    assert {mode(path) for path in files} == {0o400, 0o600}
    assert {mode(data_folder() / name) for name in ("", "jobs", "artefacts", "cache")} == {0o700}
    with Notice(job_folder("12ab"), "digest") as notice:
        notice.say("building")
        assert {mode(path) for path in job_folder("12ab").glob("*.notice")} == {0o600}


def test_what_an_earlier_version_left_open_is_closed_when_it_is_used() -> None:
    fill()
    open_to_all(data_folder())
    with Store(default_database()) as store:
        store.agents.new_token("pi")
        assert {mode(path) for path in data_folder().glob("paretune.db*")} == {0o600}
    assert {mode(path) for path in (job_folder("12ab").parent, cache_folder())} == {0o700}
    Blobs().put_bytes(b"another sample")
    assert mode(data_folder() / "artefacts" / "agents") == 0o700


def test_a_home_that_the_user_named_keeps_its_own_mode() -> None:
    data_folder().mkdir(mode=0o755)
    cache_folder()
    assert mode(data_folder()) == 0o755


def test_the_users_data_folder_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PARETUNE_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    data_folder().mkdir(parents=True)
    for folder in (data_folder(), cache_folder()):
        open_to_all(folder)
    assert {mode(data_folder()), mode(cache_folder())} == {0o700}


def test_the_data_folder_is_not_made_by_asking_for_it() -> None:
    assert not data_folder().exists()
    assert default_database().startswith("sqlite:///")
    assert not data_folder().exists()


def test_a_database_is_not_made_by_looking_for_one(tmp_path: Path) -> None:
    from search.store.engine import open_engine

    open_engine(f"sqlite:///{tmp_path}/none.db").dispose()
    assert not (tmp_path / "none.db").exists()


def test_a_model_that_is_written_again_is_closed(tmp_path: Path) -> None:
    onnx.save(classifier(1), tmp_path / "model.onnx")
    (tmp_path / "model.onnx").chmod(0o644)
    save_model(classifier(1), tmp_path / "model.onnx")
    assert mode(tmp_path / "model.onnx") == 0o600
