"""What a service accepts of a job that somebody submits."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from databases import Databases
from small_jobs import classifier, samples

from evaluators.graphs import wire
from hwprofiles.errors import InvalidInput
from search.artefacts.owned import OwnedArtefacts
from search.artefacts.samples import check_samples
from search.artefacts.store import ArtefactStore
from search.artefacts.submitted import check_submission, check_task_name
from search.store import Store
from search.store.errors import OverQuota

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


class User:
    """A user who sends files and submits jobs."""

    def __init__(self, store: Store, scratch: Path) -> None:
        self.store, self.artefacts, self._scratch = store, ArtefactStore(), scratch
        self.owned = OwnedArtefacts(store, "ann", self.artefacts)

    def put(self, data: bytes) -> str:
        self._scratch.write_bytes(data)
        return self.owned.put(self._scratch).sha256

    def check(self, task: Mapping[str, Any], files: Mapping[str, str]) -> None:
        check_submission(self.owned, task, files)


class TestJobs:
    @pytest.fixture
    def user(self, databases: Databases, tmp_path: Path) -> Iterator[User]:
        with Store(databases.create("sqlite")) as store:
            yield User(store, tmp_path / "file")

    @pytest.fixture
    def files(self, user: User, tmp_path: Path) -> dict[str, str]:
        np.savez(tmp_path / "samples.npz", **samples())
        model, data = classifier(1).SerializeToString(), (tmp_path / "samples.npz").read_bytes()
        return {"model.onnx": user.put(model), "samples.npz": user.put(data)}

    def test_a_model_with_its_samples(self, user: User, files: dict[str, str]) -> None:
        user.check(TASK, files)
        user.check({"name": "digits", "options": {}}, {})

    def test_every_file_is_named_and_sent(self, user: User, files: dict[str, str]) -> None:
        with pytest.raises(InvalidInput, match=r"the job needs 'samples.npz', which was not sent"):
            user.check(TASK, {"model.onnx": files["model.onnx"]})
        with pytest.raises(InvalidInput, match="does not name 'more'"):
            user.check(TASK, files | {"more": files["model.onnx"]})
        with pytest.raises(InvalidInput, match="does not name 'os/path'"):
            user.check({"name": "digits"}, {"os/path": files["model.onnx"]})

    def test_a_file_that_is_not_there(self, user: User, files: dict[str, str], tmp_path: Path) -> None:
        path = tmp_path / "net.onnx"
        onnx.save(classifier(1), path, save_as_external_data=True, location="net.data", size_threshold=0)
        task = {"name": "onnx", "options": {"model": "models/net.onnx"}}
        model = user.put(path.read_bytes())
        with pytest.raises(InvalidInput, match=r"needs 'models/net.data', which was not sent"):
            user.check(task, {"models/net.onnx": model})
        with pytest.raises(InvalidInput, match=r"'models/net.data' is not stored"):
            user.check(task, {"models/net.onnx": model, "models/net.data": "0" * 64})
        weights = user.put((tmp_path / "net.data").read_bytes())
        user.check(task, {"models/net.onnx": model, "models/net.data": weights})

    @pytest.mark.parametrize("location", ["../x", "/etc/passwd", ""])
    def test_weights_elsewhere(self, user: User, location: str) -> None:
        model = classifier(1)
        tensor = model.graph.initializer[0]
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=location)
        file = user.put(model.SerializeToString())
        with pytest.raises(InvalidInput, match="is not the name of a job's file"):
            user.check({"name": "onnx", "options": {"model": "m.onnx"}}, {"m.onnx": file})

    @pytest.mark.parametrize("options", [{"model": "../m.onnx"}, {"model": "/m.onnx"}, {"model": "m.py"}, {"model": 3}])
    def test_names_elsewhere(self, user: User, options: dict[str, Any]) -> None:
        with pytest.raises(InvalidInput):
            user.check({"name": "onnx", "options": options}, {})

    def test_files_of_the_wrong_kind(self, user: User, files: dict[str, str]) -> None:
        with pytest.raises(InvalidInput, match="is not an ONNX model"):
            user.check(TASK, files | {"model.onnx": files["samples.npz"]})
        with pytest.raises(InvalidInput, match=r"are not an .npz archive"):
            user.check(TASK, files | {"samples.npz": files["model.onnx"]})

    def test_a_file_of_somebody_else(self, user: User, files: dict[str, str]) -> None:
        bob = OwnedArtefacts(user.store, "bob", user.artefacts)
        with pytest.raises(InvalidInput, match=r"'model.onnx' is not stored"):
            check_submission(bob, TASK, files)
        bob.share(files.values())
        check_submission(bob, TASK, files)

    def test_a_user_whose_time_is_up(self, user: User, files: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PARETUNE_QUOTA_HOURS", "0")
        with pytest.raises(OverQuota, match="jobs of ann have run for"):
            user.check(TASK, files)

    def test_a_model_of_endless_fields(self, user: User, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(wire, "_MAX_FIELDS", 1000)
        file = user.put(b"\x08\x07" * 2000)
        with pytest.raises(InvalidInput, match="more than 1000 fields"):
            user.check({"name": "onnx", "options": {"model": "m.onnx"}}, {"m.onnx": file})


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
