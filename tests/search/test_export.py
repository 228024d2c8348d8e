"""Export: the file that is written, and the receipt that says whether it does what the front said."""

from __future__ import annotations

import hashlib
import io
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from inline_search import measuring_briefly, without_ray
from small_jobs import FinishedJob, spec, write_classifier

from dashboards.cli import run_app
from dashboards.documents import front_document
from hwprofiles import DEVICES
from search.controller import Controller, submit
from search.folders import default_database
from search.job import parse_job
from search.store import Store
from search.tasks import Digits
from search.tasks.digits import DigitsOptions

Json = dict[str, Any]
FILES = ["manifest.json", "model.onnx", "receipt.json"]


@dataclass(frozen=True)
class Exported:
    """A bundle, what was printed about it, and the candidate as the front said."""

    folder: Path
    code: int
    printed: Json
    member: Json
    job: FinishedJob

    @property
    def manifest(self) -> Json:
        return json.loads((self.folder / "manifest.json").read_text())  # type: ignore[no-any-return]

    @property
    def receipt(self) -> Json:
        return json.loads((self.folder / "receipt.json").read_text())  # type: ignore[no-any-return]


def rewrite(job: FinishedJob, candidate_id: str, change: Callable[[Json], None], column: str = "metrics") -> None:
    """Changes what the store says of a candidate, behind its back."""
    with sqlite3.connect(job.home / "paretune.db") as database:
        query = f"SELECT {column} FROM trials WHERE candidate_id = ?"
        value = json.loads(database.execute(query, [candidate_id]).fetchone()[0])
        change(value)
        database.execute(f"UPDATE trials SET {column} = ? WHERE candidate_id = ?", [json.dumps(value), candidate_id])
    database.close()


def widen(metrics: Json) -> None:
    """Claims so little that the verdict does not depend on how noisy this machine is."""
    ratio = metrics["speedup"]["ratio"]
    metrics["speedup"]["ci95"] = [ratio / 20, ratio * 20]


def export(job: FinishedJob, member: Json, folder: Path, *more: str) -> Exported:
    """What ``paretune export --format json`` does, with short measurements."""
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out):
        patch.setenv("PARETUNE_HOME", str(job.home))
        measuring_briefly(patch)
        code = run_app(["export", member["candidate_id"], "-o", str(folder), "--format", "json", *more])
    return Exported(folder, code, json.loads(out.getvalue()), member, job)


@pytest.fixture(scope="module")
def digits(digits_job: FinishedJob, tmp_path_factory: pytest.TempPathFactory) -> FinishedJob:
    return digits_job.copy(tmp_path_factory.mktemp("export") / "home")


@pytest.fixture(scope="module")
def confirmed(digits: FinishedJob, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """The smallest member of the digits job's front."""
    member = min(digits.front["front"], key=lambda one: one["metrics"]["size_bytes"])
    rewrite(digits, member["candidate_id"], widen)
    return export(digits, member, tmp_path_factory.mktemp("bundles") / "deep" / "bundle")


def baseline_of(job: FinishedJob) -> Path:
    """The fp32 model's file."""
    with Store(job.database) as store:
        prepared = store.job(job.job_id).baseline
    assert prepared is not None
    return Path(prepared["facts"]["model_path"])


class TestConfirmed:
    def test_the_receipt_confirms_the_front(self, confirmed: Exported) -> None:
        assert confirmed.code == 0
        assert (confirmed.receipt["verdict"], confirmed.receipt["findings"]) == ("confirmed", [])
        assert confirmed.printed == confirmed.receipt | {"folder": str(confirmed.folder)}

    def test_the_bundle_is_three_files_and_nothing_beside(self, confirmed: Exported) -> None:
        assert sorted(path.name for path in confirmed.folder.iterdir()) == FILES
        assert [path.name for path in confirmed.folder.parent.iterdir()] == ["bundle"]

    def test_hashes_name_the_file(self, confirmed: Exported) -> None:
        model = (confirmed.folder / "model.onnx").read_bytes()
        digest = hashlib.sha256(model).hexdigest()
        assert confirmed.manifest["model_sha256"] == confirmed.receipt["model_sha256"] == digest
        assert confirmed.member["artifact_sha256"] == digest
        assert confirmed.receipt["size_bytes"] == confirmed.member["metrics"]["size_bytes"] == len(model)

    def test_the_manifest_says_what_it_is(self, confirmed: Exported) -> None:
        manifest, front = confirmed.manifest, confirmed.job.front
        assert manifest["decisions"] == confirmed.member["decisions"]
        assert manifest["digest"] == confirmed.member["digest"]
        assert (manifest["job_id"], manifest["candidate_id"]) == (front["job_id"], confirmed.member["candidate_id"])
        assert (manifest["device"], manifest["profile_digest"]) == ("local-cpu", front["profile_digest"])
        assert manifest["task"] == {"name": "digits", "options": {"preset": "bench"}}
        assert manifest["baseline_sha256"] == hashlib.sha256(baseline_of(confirmed.job).read_bytes()).hexdigest()
        assert manifest["runtime"] == {"name": "onnxruntime", "version": onnxruntime.__version__}

    def test_quality_was_taken_again_on_both_splits(self, confirmed: Exported) -> None:
        quality = confirmed.receipt["quality"]
        names = {"accuracy", "nll", "cosine", "top1_agreement"}
        assert set(quality["validation"]) == set(quality["test"]) == names
        for name in names:
            assert quality["validation"][name]["value"] == confirmed.member["metrics"][name]
            assert quality["test"][name]["value"] != quality["validation"][name]["value"]
            for loss in (quality["validation"][name], quality["test"][name]):
                low, high = loss["difference_ci95"]
                assert low <= loss["value"] - loss["baseline"] <= high

    def test_latency_was_measured_again(self, confirmed: Exported) -> None:
        receipt = confirmed.receipt
        latency = receipt["latency"]
        assert latency["measurements"] == 1
        assert latency["latency_ms"]["p50"] > 0
        assert latency["baseline"]["p50"] > 0
        low, high = latency["speedup"]["ci95"]
        assert low <= latency["speedup"]["ratio"] <= high
        raw = receipt["measurement"]
        assert len(raw["baseline_ms"]) == len(raw["candidate_ms"]) == len(raw["sessions"])
        assert latency["latency_ms"]["n"] == sum(map(len, raw["candidate_ms"]))
        assert raw["profile_digest"] == confirmed.job.front["profile_digest"]
        assert receipt["peak_memory_bytes"] > 0

    def test_it_says_with_what(self, confirmed: Exported) -> None:
        receipt = confirmed.receipt
        assert receipt["profile"]["batch"] == 4
        assert receipt["shared_split"] is False
        assert len(receipt["calibration_sha256"]) == 64
        assert receipt["versions"]["onnxruntime"] == onnxruntime.__version__
        assert receipt["claimed"]["accuracy"] == confirmed.member["metrics"]["accuracy"]

    def test_the_store_remembers(self, confirmed: Exported) -> None:
        with Store(confirmed.job.database) as store:
            (remembered,) = store.exports(confirmed.member["candidate_id"])
        assert remembered["verdict"] == "confirmed"
        assert remembered["folder"] == str(confirmed.folder)
        assert remembered["receipt"] == confirmed.receipt

    def test_bare_onnxruntime_gives_what_the_front_said(self, confirmed: Exported) -> None:
        """Default options, the batches of the device, arithmetic of the test's own."""
        task = Digits(DigitsOptions(preset="bench"))
        images = task.inputs("validation")["image"]
        labels = np.repeat(task._split("validation")[1], 8)

        def outputs(model: Path) -> Any:
            session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
            batches = [images[start : start + 4] for start in range(0, len(images), 4)]
            return np.concatenate([session.run(None, {"image": batch})[0] for batch in batches]).astype(np.float64)

        found = outputs(confirmed.folder / "model.onnx")
        reference = outputs(baseline_of(confirmed.job))
        metrics = confirmed.member["metrics"]
        assert (found.argmax(1) == labels).mean() == metrics["accuracy"]
        assert (found.argmax(1) == reference.argmax(1)).mean() == metrics["top1_agreement"]
        norms = np.linalg.norm(found, axis=1) * np.linalg.norm(reference, axis=1)
        cosine = ((found * reference).sum(1) / norms).mean()
        assert cosine == pytest.approx(metrics["cosine"], abs=1e-12)
        assert cosine < 1


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> FinishedJob:
    """A job of four candidates of the small classifier on this machine."""
    folder = tmp_path_factory.mktemp("small")
    write_classifier(folder)
    job = spec(
        devices=["local-cpu"],
        objectives=[{"metric": "cosine", "direction": "max"}, {"metric": "size_bytes", "direction": "min"}],
        space={"precision": {"choices": ["fp32", "int8", "int4_weight"], "activations": "uint8"}},
        strategy={"name": "random"},
        budget={"trials": 4},
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PARETUNE_HOME", str(folder / "home"))
        without_ray(patch, prepare_here=True)
        measuring_briefly(patch)
        with Store(default_database()) as store:
            job_id = submit(store, parse_job(job, folder=folder), folder)
            Controller(store, job_id).run()
            return FinishedJob(folder, folder / "home", front_document(store, job_id))


@pytest.fixture
def spoilt(small: FinishedJob, tmp_path: Path) -> FinishedJob:
    """The small job, in a data folder that the test may change."""
    return small.copy(tmp_path / "home")


def unchanged(job: FinishedJob) -> Json:
    """The front's member that is the fp32 model itself."""
    return next(member for member in job.front["front"] if set(member["decisions"].values()) == {"fp32"})


class TestDisagrees:
    def test_claims_that_the_file_does_not_keep(self, spoilt: FinishedJob, tmp_path: Path) -> None:
        """Speed-up and accuracy are tampered with: measured three times, written all the same, and exit 4."""

        def boast(metrics: Json) -> None:
            metrics["accuracy"] += 0.05
            metrics["speedup"] = {"ratio": 900.0, "ci95": [890.0, 910.0]}

        member = unchanged(spoilt)
        rewrite(spoilt, member["candidate_id"], boast)
        exported = export(spoilt, member, tmp_path / "bundle")
        assert exported.code == 4
        receipt = exported.receipt
        assert receipt["verdict"] == exported.printed["verdict"] == "disagrees"
        accuracy, speed = receipt["findings"]
        assert "accuracy on the validation split" in accuracy
        assert "outside the front's interval" in speed
        assert receipt["latency"]["measurements"] == 3
        assert receipt["latency"]["latency_ms"]["n"] == 3 * 3 * 4 * 5
        assert sorted(path.name for path in exported.folder.iterdir()) == FILES
        with Store(spoilt.database) as store:
            assert [one["verdict"] for one in store.exports(member["candidate_id"])] == ["disagrees"]

    def test_another_file_than_was_measured(
        self, spoilt: FinishedJob, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        member = unchanged(spoilt)
        rewrite(spoilt, member["candidate_id"], widen)
        with sqlite3.connect(spoilt.home / "paretune.db") as database:
            database.execute("UPDATE trials SET artifact_sha256 = ?", ["0" * 64])
        database.close()
        exported = export(spoilt, member, tmp_path / "bundle")
        assert exported.code == 4
        assert exported.receipt["findings"] == ["the file built now differs from the one that was measured"]
        error, hint = capsys.readouterr().err.strip().splitlines()[-2:]
        assert error.startswith("error: the exported file does not do what the front said: the file built now differs")
        assert str(exported.folder) in hint


class TestModelled:
    def test_it_needs_a_real_device(
        self, modelled_job: FinishedJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:  # fmt: skip
        monkeypatch.setenv("PARETUNE_HOME", str(modelled_job.home))
        candidate = modelled_job.front["front"][0]["candidate_id"]
        assert run_app(["export", candidate, "-o", str(tmp_path / "bundle")]) == 2
        error, hint = capsys.readouterr().err.strip().splitlines()
        assert "which measures nothing" in error
        assert "--device local-cpu" in hint
        assert not (tmp_path / "bundle").exists()

    def test_on_one_the_receipt_confirms_no_claim(self, modelled_job: FinishedJob, tmp_path: Path) -> None:
        job = modelled_job.copy(tmp_path / "home")
        with Store(job.database) as store:
            first = store.trials(job.job_id)[0]
        member = {"candidate_id": first.candidate_id}
        exported = export(job, member, tmp_path / "bundle", "--device", "local-cpu")
        assert exported.code == 0
        receipt = exported.receipt
        assert (receipt["verdict"], receipt["claimed"]) == ("unclaimed", {})
        assert receipt["profile"]["device"] == exported.manifest["device"] == "local-cpu"
        assert receipt["quality"]["test"]["cosine"]["value"] == 1.0
        assert exported.manifest["decisions"] == first.decisions


class TestRefused:
    @pytest.fixture(autouse=True)
    def _small(self, small: FinishedJob, monkeypatch: pytest.MonkeyPatch) -> None:
        """Whatever is refused is refused before anything is built."""

        def build(*_: object) -> None:
            raise AssertionError("built")

        monkeypatch.setenv("PARETUNE_HOME", str(small.home))
        monkeypatch.setattr("search.trial.TrialRunner.build", build)

    def refused(self, capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str]:
        code = run_app(["export", *map(str, arguments)])
        captured = capsys.readouterr()
        assert captured.out == ""
        lines = captured.err.strip().splitlines()
        assert len(lines) == 2
        assert lines[1].startswith("  hint: ")
        return code, lines[0]

    def test_a_folder_that_holds_other_files(
        self, small: FinishedJob, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "thesis.txt").write_text("all of it")
        code, error = self.refused(capsys, small.front["front"][0]["candidate_id"], "-o", tmp_path / "mine")
        assert (code, "holds other files" in error) == (2, True)
        assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]

    def test_a_file(self, small: FinishedJob, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (tmp_path / "mine").write_text("all of it")
        code, error = self.refused(capsys, small.front["front"][0]["candidate_id"], "-o", tmp_path / "mine")
        assert (code, "is a file" in error) == (2, True)

    @pytest.mark.parametrize("below", ["bundle", "deep/bundle"])
    def test_a_folder_that_cannot_be(
        self, small: FinishedJob, tmp_path: Path, capsys: pytest.CaptureFixture[str], below: str
    ) -> None:
        (tmp_path / "mine").write_text("all of it")
        code, error = self.refused(capsys, small.front["front"][0]["candidate_id"], "-o", tmp_path / "mine" / below)
        assert (code, "cannot be written" in error) == (4, True)
        assert (tmp_path / "mine").read_text() == "all of it"

    def test_a_place_that_takes_no_files(self, small: FinishedJob, capsys: pytest.CaptureFixture[str]) -> None:
        code, error = self.refused(capsys, small.front["front"][0]["candidate_id"], "-o", "/proc/bundle")
        assert (code, "cannot be written" in error) == (4, True)

    def test_another_target(self, small: FinishedJob, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        candidate = small.front["front"][0]["candidate_id"]
        code, error = self.refused(capsys, candidate, "-o", tmp_path / "bundle", "--target", "tensorrt")
        assert (code, "'tensorrt'" in error) == (2, True)

    @pytest.mark.parametrize(("device", "said"), [("phone", "unknown device"), ("dry-run", "measures nothing")])
    def test_another_device(
        self, small: FinishedJob, tmp_path: Path, capsys: pytest.CaptureFixture[str], device: str, said: str
    ) -> None:
        candidate = small.front["front"][0]["candidate_id"]
        code, error = self.refused(capsys, candidate, "-o", tmp_path / "bundle", "--device", device)
        assert (code, said in error) == (2, True)

    @pytest.mark.parametrize("device", [[], ["--device", "local-cpu"]])
    def test_a_device_that_has_changed_since(
        self, small: FinishedJob, tmp_path: Path, capsys: pytest.CaptureFixture[str], device: list[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        here = DEVICES["local-cpu"]
        monkeypatch.setitem(DEVICES, "local-cpu", lambda *asked: replace(here(*asked), runtime_version="1.0"))
        candidate = small.front["front"][0]["candidate_id"]
        code, error = self.refused(capsys, candidate, "-o", tmp_path / "bundle", *device)
        assert (code, "measured on another device" in error) == (2, True)

    def test_an_unknown_candidate(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert self.refused(capsys, "ffffffff", "-o", tmp_path / "bundle")[0] == 3


@pytest.fixture
def model_moved(spoilt: FinishedJob) -> Iterator[None]:
    (spoilt.folder / "model.onnx").rename(spoilt.folder / "away.onnx")
    yield
    (spoilt.folder / "away.onnx").rename(spoilt.folder / "model.onnx")


@pytest.mark.usefixtures("model_moved")
def test_a_task_whose_files_are_gone(
    spoilt: FinishedJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PARETUNE_HOME", str(spoilt.home))
    code = run_app(["export", unchanged(spoilt)["candidate_id"], "-o", str(tmp_path / "bundle")])
    assert code == 2
    assert "there is no model file" in capsys.readouterr().err
    assert not (tmp_path / "bundle").exists()
