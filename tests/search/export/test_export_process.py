"""An export that a worker was asked for, as its process makes it."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from inline_search import measuring_briefly
from small_jobs import FinishedJob

from dashboards.service.bundles import save_bundle
from dashboards.service.local import LocalService
from hwprofiles import digest_of_file
from hwprofiles.errors import InvalidInput, ParetuneError
from search.artefacts.store import ArtefactStore
from search.export.process import can_export, run_export
from search.store import Store, this_process

pytestmark = pytest.mark.alone


@pytest.fixture
def job(digits_job: FinishedJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FinishedJob:
    measuring_briefly(monkeypatch)
    return digits_job.copy(tmp_path / "home")


def test_it_leaves_a_bundle_that_is_checked_when_it_is_saved(job: FinishedJob, tmp_path: Path) -> None:
    member = job.front["front"][0]["candidate_id"]
    with Store(job.database) as store:
        service = LocalService(store)
        asked = service.export(member)
        row, lease = store.export_requests.take(this_process()) or pytest.fail("nothing to do")
        assert can_export(store, row)
        run_export(store, lease)
        document = service.export_state(asked["export_id"])
        assert document["state"] == "done", document["error"]
        receipt = save_bundle(service, document, tmp_path / "bundle")
        assert service.candidate(member)["exports"][-1]["verdict"] == receipt["verdict"]
        with pytest.raises(InvalidInput, match="is not empty"):
            save_bundle(service, document, tmp_path / "bundle")
    assert receipt["model_sha256"] == digest_of_file(tmp_path / "bundle" / "model.onnx")
    assert json.loads((tmp_path / "bundle" / "receipt.json").read_text())["verdict"] == receipt["verdict"]
    with zipfile.ZipFile(ArtefactStore().fetch(document["bundle_sha256"])) as archive:
        assert archive.namelist() == ["manifest.json", "model.onnx", "receipt.json"]


def test_what_cannot_be_exported_says_why(job: FinishedJob, tmp_path: Path) -> None:
    member = job.front["front"][0]["candidate_id"]
    with Store(job.database) as store:
        service = LocalService(store)
        with pytest.raises(InvalidInput, match="cannot be exported for 'dry-run', which is simulated"):
            service.export(member, {"device": "dry-run"})
        export_id = store.export_requests.add(member, {"device": "nowhere"}, "local", None)
        _, lease = store.export_requests.take(this_process()) or pytest.fail("nothing to do")
        run_export(store, lease)
        document = service.export_state(export_id)
        assert document["state"] == "failed"
        assert "nowhere" in document["error"]
        with pytest.raises(ParetuneError, match="nowhere"):
            save_bundle(service, document, tmp_path / "bundle")
