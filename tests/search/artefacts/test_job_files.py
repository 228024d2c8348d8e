"""The files of a job: which it names, and the folder that every node makes of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from databases import Databases
from small_jobs import classifier, samples

from hwprofiles import digest_of_file
from hwprofiles.errors import InvalidInput, NotFound
from hwprofiles.folders import cache_folder
from search.artefacts.job_files import collect, files_of
from search.artefacts.job_folders import materialise, remove_unused
from search.artefacts.owned import OwnedArtefacts
from search.artefacts.store import ArtefactStore
from search.store import Store
from search.tasks import open_task


@pytest.fixture
def artefacts() -> ArtefactStore:
    return ArtefactStore()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A job's folder: a model with external weights below it, and samples."""
    folder = tmp_path / "job"
    (folder / "models").mkdir(parents=True)
    onnx.save(
        classifier(1), folder / "models" / "net.onnx", save_as_external_data=True, location="net.onnx.data",
        size_threshold=0,
    )  # fmt: skip
    np.savez(folder / "samples.npz", **samples())
    return folder


@pytest.fixture
def owned(databases: Databases) -> Iterator[Callable[[ArtefactStore], OwnedArtefacts]]:
    """A user's files in an artefact store."""
    with Store(databases.create("sqlite")) as store:
        yield partial(OwnedArtefacts, store, "ann")


def task(**options: Any) -> dict[str, Any]:
    return {"name": "onnx", "options": options}


NAMED = task(model="models/net.onnx", data="samples.npz", seed=3)


class TestNames:
    def test_a_model_has_its_weights_with_it(self, folder: Path) -> None:
        files = files_of(NAMED, folder)
        assert {name: path.resolve() for name, path in files.paths.items()} == {
            name: folder / name for name in ("models/net.onnx", "models/net.onnx.data", "samples.npz")
        }
        assert files.options == NAMED["options"]

    def test_a_task_without_files(self, folder: Path) -> None:
        for name in ("digits", "package.module:make_task", "./my_task.py:make_task"):
            assert files_of({"name": name, "options": {"model": "no file"}}, folder).paths == {}

    def test_files_elsewhere_are_the_users_word(self, folder: Path, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        for path in (str(folder / "models" / "net.onnx"), "../job/models/net.onnx"):
            with pytest.raises(InvalidInput, match=r"task.options.model: .* is outside of the job file's folder"):
                files_of(task(model=path), tmp_path / "empty")
            files = files_of(task(model=path), tmp_path / "empty", outside=True)
            assert set(files.paths) == {"net.onnx", "net.onnx.data"}
            assert files.options == {"model": "net.onnx"}

    def test_paths_within_the_folder_become_relative(self, folder: Path) -> None:
        files = files_of(task(model=str(folder / "models" / ".." / "models" / "net.onnx")), folder)
        assert files.options == {"model": "models/net.onnx"}

    def test_a_link_does_not_lead_out(self, folder: Path, tmp_path: Path) -> None:
        (tmp_path / "secret.npz").write_bytes(b"secret")
        (folder / "link.npz").symlink_to(tmp_path / "secret.npz")
        with pytest.raises(InvalidInput, match="outside of the job file's folder"):
            files_of(task(model="models/net.onnx", data="link.npz"), folder)

    def test_weights_do_not_lead_out(self, folder: Path, tmp_path: Path) -> None:
        weights = folder / "models" / "net.onnx.data"
        weights.rename(tmp_path / "elsewhere")
        with pytest.raises(InvalidInput, match=r"needs the weights file 'net.onnx.data', which is missing"):
            files_of(NAMED, folder)
        weights.symlink_to(tmp_path / "elsewhere")
        with pytest.raises(InvalidInput, match="weights outside of its folder"):
            files_of(NAMED, folder, outside=True)

    @pytest.mark.parametrize("location", ["../elsewhere", "/etc/passwd", "", "weights.py"])
    def test_weights_have_plain_names(self, folder: Path, location: str) -> None:
        path = folder / "models" / "net.onnx"
        model = onnx.load(path, load_external_data=False)
        for tensor in model.graph.initializer:
            next(entry for entry in tensor.external_data if entry.key == "location").value = location
        path.write_bytes(model.SerializeToString())
        with pytest.raises(InvalidInput, match=r"is not the name of a job's file|is code, which is never uploaded"):
            files_of(NAMED, folder)

    def test_two_files_of_one_name(self, folder: Path, tmp_path: Path) -> None:
        other = tmp_path / "other" / "net.onnx"
        other.parent.mkdir()
        other.write_bytes(b"samples")
        with pytest.raises(InvalidInput, match=r"two files of the job are called 'net.onnx'"):
            files_of(task(model=str(folder / "models" / "net.onnx"), data=str(other)), tmp_path / "x", outside=True)

    def test_a_file_that_is_not_there(self, folder: Path) -> None:
        with pytest.raises(InvalidInput, match=r"task.options.data: file .*sample.npz does not exist") as caught:
            files_of(task(model="models/net.onnx", data="sample.npz"), folder)
        assert "samples.npz" in caught.value.hint


class TestFolders:
    def test_every_node_gets_the_folder(self, artefacts: ArtefactStore, owned: Any, folder: Path) -> None:
        files = collect(owned(artefacts), folder, {"task": NAMED})
        assert files == {name: digest_of_file(folder / name) for name in files}
        made = materialise(artefacts, files)
        assert made.parent == cache_folder() / "jobs"
        assert materialise(ArtefactStore(), dict(reversed(files.items()))) == made
        assert {str(path.relative_to(made)) for path in made.rglob("*") if path.is_file()} == set(files)
        assert {path.stat().st_mode & 0o777 for path in (made, *made.rglob("*"))} == {0o400, 0o500}
        here, there = (open_task("onnx", NAMED["options"], place) for place in (folder, made))
        assert here.digest == there.digest

    def test_from_elsewhere_too(self, owned: Any, folder: Path) -> None:
        artefacts = ArtefactStore("memory://folders/store")
        files = collect(owned(artefacts), folder, {"task": NAMED})
        made = materialise(artefacts, files)
        assert (made / "samples.npz").read_bytes() == (folder / "samples.npz").read_bytes()

    def test_without_files_it_is_empty(self, artefacts: ArtefactStore) -> None:
        assert list(materialise(artefacts, {}).iterdir()) == []

    def test_concurrent_callers_share_it(self, artefacts: ArtefactStore, owned: Any, folder: Path) -> None:
        files = collect(owned(artefacts), folder, {"task": NAMED})
        with ThreadPoolExecutor(8) as pool:
            (made,) = set(pool.map(lambda _: materialise(ArtefactStore(), files), range(24)))
        assert [path.name for path in made.parent.iterdir()] == [made.name]
        assert digest_of_file(made / "samples.npz") == files["samples.npz"]

    def test_a_damaged_folder_is_made_anew(self, owned: Any, folder: Path) -> None:
        artefacts = ArtefactStore("memory://damaged/store")
        files = collect(owned(artefacts), folder, {"task": NAMED})
        path = materialise(artefacts, files) / "samples.npz"
        path.chmod(0o600)
        path.write_bytes(b"broken")
        assert digest_of_file(materialise(artefacts, files) / "samples.npz") == files["samples.npz"]
        path.parent.chmod(0o700)
        path.unlink()
        assert digest_of_file(materialise(artefacts, files) / "samples.npz") == files["samples.npz"]

    def test_a_file_that_is_missing_leaves_nothing(self, artefacts: ArtefactStore, owned: Any, folder: Path) -> None:
        files = collect(owned(artefacts), folder, {"task": NAMED})
        artefacts.delete(files["samples.npz"])
        with pytest.raises(NotFound, match=f"artefact {files['samples.npz'][:12]} is not in folder"):
            materialise(artefacts, files)
        assert list((cache_folder() / "jobs").iterdir()) == []

    @pytest.mark.parametrize("name", ["../model.onnx", "/tmp/model.onnx", "a/../../b", "task.py"])
    def test_names_do_not_lead_out(self, artefacts: ArtefactStore, name: str) -> None:
        file = artefacts.put_bytes(b"weights")
        with pytest.raises(InvalidInput):
            materialise(artefacts, {name: file.sha256})
        assert not (cache_folder() / "jobs").exists() or list((cache_folder() / "jobs").iterdir()) == []

    def test_a_file_is_no_folder(self, artefacts: ArtefactStore) -> None:
        file = artefacts.put_bytes(b"weights")
        with pytest.raises(InvalidInput, match="'a' is a file and a folder of the job"):
            materialise(artefacts, {"a": file.sha256, "a/b": file.sha256})

    def test_those_that_nobody_asked_for_go_in_time(self, artefacts: ArtefactStore) -> None:
        old, new = (materialise(artefacts, {"x": artefacts.put_bytes(data).sha256}) for data in (b"1", b"2"))
        os.utime(old, (1000, 1000))
        assert remove_unused(3600) == [old]
        assert (old.exists(), new.exists()) == (False, True)
