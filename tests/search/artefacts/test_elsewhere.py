"""A job is submitted here and run elsewhere: nothing is shared but the database and the artefact store."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from databases import Databases
from inline_search import without_ray
from small_jobs import write_classifier

from dashboards.service.local import LocalService
from hwprofiles.folders import cache_folder
from search.artefacts.garbage import collect_garbage
from search.controller.controller import Controller
from search.states import JobState
from search.store import Store


@pytest.mark.parametrize("url", ["folder", "s3"], indirect=True)
def test_a_job_finds_its_files(url: str, databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_ray(monkeypatch, prepare_here=True)
    monkeypatch.setenv("PARETUNE_ARTEFACTS", url)
    write_classifier(tmp_path / "mine")
    with Store(databases.create("sqlite")) as store:
        service = LocalService(store, trusted=False)
        names = ("model.onnx", "samples.npz")
        files = {name: service.upload(tmp_path / "mine" / name) for name in names}
        options = {"data": "samples.npz", "devices": ["dry-run"], "trials": 2}
        job_id = service.submit({"target": "model.onnx", "options": options, "files": files})["job_id"]
        for folder in ("mine", "home"):
            shutil.rmtree(tmp_path / folder)

        monkeypatch.setenv("PARETUNE_HOME", str(tmp_path / "node"))
        assert Controller(store, job_id).run() is JobState.DONE
        assert {path.name for path in (cache_folder() / "jobs").glob("*/*")} == set(names)
        assert collect_garbage(store) == []
