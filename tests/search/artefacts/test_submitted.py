"""What a service accepts of a job that somebody submits."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from small_jobs import classifier, samples

from evaluators.graphs import wire
from hwprofiles.errors import InvalidInput
from search.artefacts.samples import check_samples
from search.artefacts.store import ArtefactStore
from search.artefacts.submitted import check_submission, check_task_name

LIMIT = 10**8
TASK = {"name": "onnx", "options": {"model": "model.onnx", "data": "samples.npz"}}


class TestTasks:
    @pytest.mark.parametrize("name", ["digits", "onnx", "a-task-of-a-plugin"])
    def test_those_of_installed_packages(self, name: str) -> None:
        check_task_name(name)

    @pytest.mark.parametrize("name", ["./my_task.py:make_task", "my_task.py:make", "/tmp/x.py:make", "../a/b:make"])
    def test_files_are_refused(self, name: str) -> None:
        with pytest.raises(InvalidInput, match="is a file of yours, and a service runs no code that is sent") as caught:
            check_task_name(name)
        assert "paretune run" in caught.value.hint
        assert "package" in caught.value.hint

    def test_modules_need_the_operators_word(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(InvalidInput, match=r"does not allow tasks of module 'team.tasks'") as caught:
            check_task_name("team.tasks:make_task")
        assert "add team.tasks to PARETUNE_TASKS" in caught.value.hint
        monkeypatch.setenv("PARETUNE_TASKS", "other, team.tasks")
        check_task_name("team.tasks:make_task")
        for name in ("team.tasks.more:make", "team:make", "os:system", ":make"):
            with pytest.raises(InvalidInput):
                check_task_name(name)


class TestJobs:
    @pytest.fixture
    def artefacts(self) -> ArtefactStore:
        return ArtefactStore()

    @pytest.fixture
    def files(self, artefacts: ArtefactStore, tmp_path: Path) -> dict[str, str]:
        np.savez(tmp_path / "samples.npz", **samples())
        model = classifier(1).SerializeToString()
        return {
            "model.onnx": artefacts.put_bytes(model).sha256,
            "samples.npz": artefacts.put(tmp_path / "samples.npz").sha256,
        }

    def test_a_model_with_its_samples(self, artefacts: ArtefactStore, files: dict[str, str]) -> None:
        check_submission(artefacts, TASK, files)
        check_submission(artefacts, {"name": "digits", "options": {}}, {})

    def test_every_file_is_named_and_sent(self, artefacts: ArtefactStore, files: dict[str, str]) -> None:
        with pytest.raises(InvalidInput, match=r"the job needs 'samples.npz', which was not sent"):
            check_submission(artefacts, TASK, {"model.onnx": files["model.onnx"]})
        with pytest.raises(InvalidInput, match="does not name 'more'"):
            check_submission(artefacts, TASK, files | {"more": files["model.onnx"]})
        with pytest.raises(InvalidInput, match="does not name 'os/path'"):
            check_submission(artefacts, {"name": "digits"}, {"os/path": files["model.onnx"]})

    def test_a_file_that_is_not_there(self, artefacts: ArtefactStore, files: dict[str, str], tmp_path: Path) -> None:
        path = tmp_path / "net.onnx"
        onnx.save(classifier(1), path, save_as_external_data=True, location="net.data", size_threshold=0)
        task = {"name": "onnx", "options": {"model": "models/net.onnx"}}
        model = artefacts.put(path).sha256
        with pytest.raises(InvalidInput, match=r"needs 'models/net.data', which was not sent"):
            check_submission(artefacts, task, {"models/net.onnx": model})
        with pytest.raises(InvalidInput, match=r"'models/net.data' is not in the artefact store"):
            check_submission(artefacts, task, {"models/net.onnx": model, "models/net.data": "0" * 64})
        weights = artefacts.put(tmp_path / "net.data").sha256
        check_submission(artefacts, task, {"models/net.onnx": model, "models/net.data": weights})

    @pytest.mark.parametrize("location", ["../x", "/etc/passwd", ""])
    def test_weights_elsewhere(self, artefacts: ArtefactStore, location: str) -> None:
        model = classifier(1)
        tensor = model.graph.initializer[0]
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=location)
        file = artefacts.put_bytes(model.SerializeToString())
        with pytest.raises(InvalidInput, match="is not the name of a job's file"):
            check_submission(artefacts, {"name": "onnx", "options": {"model": "m.onnx"}}, {"m.onnx": file.sha256})

    @pytest.mark.parametrize("options", [{"model": "../m.onnx"}, {"model": "/m.onnx"}, {"model": "m.py"}, {"model": 3}])
    def test_names_elsewhere(self, artefacts: ArtefactStore, options: dict[str, Any]) -> None:
        with pytest.raises(InvalidInput):
            check_submission(artefacts, {"name": "onnx", "options": options}, {})

    def test_files_of_the_wrong_kind(self, artefacts: ArtefactStore, files: dict[str, str]) -> None:
        with pytest.raises(InvalidInput, match="is not an ONNX model"):
            check_submission(artefacts, TASK, files | {"model.onnx": files["samples.npz"]})
        with pytest.raises(InvalidInput, match=r"are not an .npz archive"):
            check_submission(artefacts, TASK, files | {"samples.npz": files["model.onnx"]})

    def test_a_model_of_endless_fields(self, artefacts: ArtefactStore, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(wire, "_MAX_FIELDS", 1000)
        file = artefacts.put_bytes(b"\x08\x07" * 2000)
        with pytest.raises(InvalidInput, match="more than 1000 fields"):
            check_submission(artefacts, {"name": "onnx", "options": {"model": "m.onnx"}}, {"m.onnx": file.sha256})


def archive(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as written:
        for name, data in members.items():
            written.writestr(name, data)
    return file.getvalue()


def array(values: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, values, allow_pickle=True)
    return file.getvalue()


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, ("raise SystemExit",))


BAD_SAMPLES = {
    "empty": b"",
    "no archive": b"x" * 100,
    "a pickle": pickle.dumps(Evil()),
    "a single array": array(np.ones(3)),
    "no arrays": archive(),
    "objects": archive(**{"x.npy": array(np.array([Evil()], dtype=object))}),
    "objects in fields": archive(**{"x.npy": array(np.zeros(2, dtype=[("a", "O")]))}),
    "other files": archive(**{"x.txt": b"text"}),
    "half an array": archive(**{"x.npy": array(np.ones(100))[:-8]}),
    "a bomb": archive(**{"x.npy": array(np.zeros(2 * 10**7))}),
    "a header that lies": archive(**{"x.npy": array(np.ones(100)).replace(b"(100,)", b"(10, )")}),
    "a header that is code": archive(**{"x.npy": array(np.ones(100)).replace(b"(100,)", b"exit()")}),
    "an endless header": archive(**{"x.npy": b"\x93NUMPY\x02\x00\xff\xff\xff\x7f" + b" " * 10**6}),
    "a large directory": archive(**{"x" * 60_000 + f"{number}.npy": b"" for number in range(20)}),
    "many arrays": archive(**{f"{number}.npy": array(np.ones(1)) for number in range(1001)}),
}


@pytest.mark.parametrize("kind", BAD_SAMPLES)
def test_samples_that_are_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "samples.npz"
    path.write_bytes(BAD_SAMPLES[kind])
    with pytest.raises(InvalidInput, match=r"the samples are not an .npz archive: "):
        check_samples(path, LIMIT)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_samples_of_any_plain_type(save: Any, tmp_path: Path) -> None:
    path = tmp_path / "samples.npz"
    values = {"x": np.ones((3, 4), np.float32), "text": np.array(["a", "bc"]), "n": np.int64(3), "e": np.ones((0, 2))}
    save(path, **values, half=np.ones(3, np.float16), order=np.asfortranarray(np.ones((2, 3))))
    check_samples(path, LIMIT)
