"""A bundle is there whole or not at all, and what was there before stays until it is."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hwprofiles.errors import InvalidInput, StorageError
from search.export.bundle import Bundle, check_target

FILES = {"model.onnx", "manifest.json", "receipt.json"}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "candidate.onnx"
    path.write_bytes(b"the model")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """In a folder of its own, so that anything left behind shows."""
    return tmp_path / "exports" / "bundle"


def write(folder: Path, model: Path, number: int = 1) -> Bundle:
    return Bundle.write(folder, model, {"format": number}, {"verdict": "confirmed", "speedup": 1 / 3})


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


class TestWriting:
    def test_what_is_in_it(self, folder: Path, model: Path) -> None:
        bundle = write(folder, model)
        assert {path.name for path in folder.iterdir()} == FILES
        assert bundle.model.read_bytes() == b"the model"
        assert json.loads((folder / "manifest.json").read_text()) == {"format": 1}
        assert json.loads((folder / "receipt.json").read_text()) == {"verdict": "confirmed", "speedup": 1 / 3}

    def test_it_leaves_nothing_beside_it(self, folder: Path, model: Path) -> None:
        write(folder, model)
        write(folder, model)
        assert [path.name for path in folder.parent.iterdir()] == ["bundle"]

    def test_others_may_read_it(self, folder: Path, model: Path) -> None:
        write(folder, model)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o755

    def test_folders_above_are_made(self, tmp_path: Path, model: Path) -> None:
        assert write(tmp_path / "a" / "b" / "c", model).model.is_file()

    def test_an_empty_folder_is_used(self, folder: Path, model: Path) -> None:
        folder.mkdir(parents=True)
        assert write(folder, model).model.is_file()

    def test_an_earlier_bundle_is_replaced(self, folder: Path, model: Path) -> None:
        write(folder, model, 1)
        write(folder, model, 2)
        assert json.loads((folder / "manifest.json").read_text()) == {"format": 2}

    def test_a_bundle_of_its_own_model(self, folder: Path, model: Path) -> None:
        bundle = write(folder, model)
        assert write(folder, bundle.model).model.read_bytes() == b"the model"

    def test_a_relative_path(self, tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        assert write(Path("out"), model).folder == Path("out")
        assert contents(tmp_path / "out").keys() == FILES

    def test_a_link_to_a_folder(self, tmp_path: Path, folder: Path, model: Path) -> None:
        folder.mkdir(parents=True)
        link = tmp_path / "latest"
        link.symlink_to(folder)
        for _ in range(2):
            write(link, model)
        assert link.is_symlink()
        assert contents(folder).keys() == FILES


class TestRefusals:
    @pytest.mark.parametrize("names", [["notes.txt"], ["model.onnx", "weights.bin"], [".git/HEAD"]])
    def test_a_folder_with_other_files(self, folder: Path, model: Path, names: list[str]) -> None:
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text("mine")
        before = contents(folder.parent)
        with pytest.raises(InvalidInput, match="holds other files"):
            write(folder, model)
        assert contents(folder.parent) == before

    def test_a_file(self, folder: Path, model: Path) -> None:
        folder.parent.mkdir()
        folder.write_text("mine")
        with pytest.raises(InvalidInput, match="is a file") as caught:
            write(folder, model)
        assert "-o" in caught.value.hint
        assert folder.read_text() == "mine"

    @pytest.mark.parametrize("names", [[], ["model.onnx"], sorted(FILES)])
    def test_a_bundle_or_a_part_of_one_is_no_reason(self, folder: Path, names: list[str]) -> None:
        folder.mkdir(parents=True)
        for name in names:
            (folder / name).touch()
        check_target(folder)

    def test_a_folder_that_is_not_there_is_no_reason(self, folder: Path) -> None:
        check_target(folder)
        assert not folder.exists()


def _no_space(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _fail_at(name: str) -> Callable[[pytest.MonkeyPatch], None]:
    def arrange(monkeypatch: pytest.MonkeyPatch) -> None:
        original = Path.write_text

        def write_text(path: Path, *args: Any, **options: Any) -> int:
            if path.name == name:
                _no_space()
            return original(path, *args, **options)

        monkeypatch.setattr(Path, "write_text", write_text)

    return arrange


def _fail_at_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "copyfile", _no_space)


def _fail_at_rename(monkeypatch: pytest.MonkeyPatch) -> None:
    """The new bundle cannot be put in its place, though the earlier one was already out of it."""
    original = Path.rename

    def rename(path: Path, target: Path) -> Path:
        if (path / "model.onnx").exists() and path.name.startswith(".") and not path.name.endswith("-earlier"):
            _no_space()
        return original(path, target)

    monkeypatch.setattr(Path, "rename", rename)


@pytest.mark.parametrize(
    "arrange",
    [_fail_at_copy, _fail_at("manifest.json"), _fail_at("receipt.json"), _fail_at_rename],
    ids=["model", "manifest", "receipt", "rename"],
)
class TestFullDisk:
    def test_nothing_is_left(
        self, folder: Path, model: Path, monkeypatch: pytest.MonkeyPatch, arrange: Callable[[pytest.MonkeyPatch], None]
    ) -> None:
        arrange(monkeypatch)
        with pytest.raises(StorageError, match=r"bundle cannot be written: No space left") as caught:
            write(folder, model)
        assert caught.value.hint
        assert list(folder.parent.iterdir()) == []

    def test_an_earlier_bundle_stays(
        self, folder: Path, model: Path, monkeypatch: pytest.MonkeyPatch, arrange: Callable[[pytest.MonkeyPatch], None]
    ) -> None:
        write(folder, model, 1)
        before = contents(folder.parent)
        arrange(monkeypatch)
        with pytest.raises(StorageError):
            write(folder, model, 2)
        assert contents(folder.parent) == before


class TestOtherFailures:
    def test_figures_that_json_cannot_hold(self, folder: Path, model: Path) -> None:
        write(folder, model, 1)
        before = contents(folder.parent)
        with pytest.raises(ValueError, match="JSON"):
            Bundle.write(folder, model, {}, {"speedup": float("nan")})
        assert contents(folder.parent) == before

    def test_a_model_that_is_not_there(self, folder: Path, tmp_path: Path) -> None:
        with pytest.raises(StorageError, match="No such file"):
            write(folder, tmp_path / "none.onnx")
        assert list(folder.parent.iterdir()) == []

    def test_a_folder_below_a_file(self, tmp_path: Path, model: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(StorageError):
            write(tmp_path / "file" / "bundle", model)
