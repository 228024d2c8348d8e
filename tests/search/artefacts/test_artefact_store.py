"""What an artefact store promises, on each kind of storage."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from evaluators.devices.request import FileRef
from hwprofiles.errors import InvalidInput, NotFound, StorageError
from hwprofiles.folders import cache_folder, data_folder
from search.artefacts import remote
from search.artefacts.backend import object_name
from search.artefacts.copying import copy_unchanged
from search.artefacts.names import check_file_name, is_sha256
from search.artefacts.node_cache import NodeCache
from search.artefacts.store import ArtefactStore, artefacts_url


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def break_object(url: str, name: str) -> None:
    """Changes an object past the store."""
    if "://" not in url:
        path = Path(url) / object_name(name)
        path.chmod(0o600)
        path.write_bytes(b"broken!")
        return
    from fsspec.core import url_to_fs

    files, root = url_to_fs(url)
    files.pipe_file(f"{root}/{object_name(name)}", b"broken!")


class TestStore:
    """The conformance suite of storage."""

    def test_a_file_that_is_put_can_be_fetched(self, artefacts: ArtefactStore, tmp_path: Path) -> None:
        path = tmp_path / "model.onnx"
        path.write_bytes(b"weights")
        file = artefacts.put(path)
        assert file == FileRef(sha256(b"weights"), 7)
        assert artefacts.contains(file.sha256)
        assert artefacts.fetch(file.sha256).read_bytes() == b"weights"
        assert artefacts.fetch(file.sha256).stat().st_mode & 0o777 == 0o400

    def test_what_was_put_stays_when_its_source_changes(self, artefacts: ArtefactStore, tmp_path: Path) -> None:
        path = tmp_path / "model.onnx"
        path.write_bytes(b"weights")
        file = artefacts.put(path)
        path.write_bytes(b"trained")
        assert artefacts.fetch(file.sha256).read_bytes() == b"weights"

    @pytest.mark.parametrize("data", [b"", b"a sample", bytes(3 * 2**20)])
    def test_bytes_too(self, artefacts: ArtefactStore, data: bytes) -> None:
        file = artefacts.put_bytes(data)
        assert file == FileRef(sha256(data), len(data))
        assert artefacts.fetch(file.sha256).read_bytes() == data
        assert artefacts.put_bytes(data) == file
        assert [stored.sha256 for stored in artefacts.all()] == [file.sha256]

    def test_a_file_that_is_moved_in_is_gone(self, artefacts: ArtefactStore, tmp_path: Path) -> None:
        path = tmp_path / "upload"
        path.write_bytes(b"weights")
        artefacts.move_in(path, sha256(b"weights"))
        assert artefacts.fetch(sha256(b"weights")).read_bytes() == b"weights"
        assert not path.exists()
        path.write_bytes(b"weights")
        artefacts.move_in(path, sha256(b"weights"))
        assert not path.exists()

    def test_missing_files_are_not_found(self, artefacts: ArtefactStore) -> None:
        missing = sha256(b"missing")
        assert not artefacts.contains(missing)
        assert list(artefacts.all()) == []
        artefacts.delete(missing)
        with pytest.raises(NotFound, match=f"artefact {missing[:12]} is not in "):
            artefacts.fetch(missing)

    def test_a_deleted_file_is_not_there_any_more(self, artefacts: ArtefactStore) -> None:
        kept, gone = artefacts.put_bytes(b"kept"), artefacts.put_bytes(b"gone")
        artefacts.delete(gone.sha256)
        assert not artefacts.contains(gone.sha256)
        assert [stored.sha256 for stored in artefacts.all()] == [kept.sha256]

    def test_the_list_has_sizes_and_times(self, artefacts: ArtefactStore) -> None:
        file = artefacts.put_bytes(b"weights")
        (stored,) = artefacts.all()
        assert (stored.sha256, stored.size_bytes) == (file.sha256, 7)
        assert abs(stored.changed_at - time.time()) < 60

    def test_what_is_put_again_is_as_young_as_new(
        self, artefacts: ArtefactStore, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(remote, "RENEW_S", -1.0)
        file = artefacts.put_bytes(b"weights")
        (before,) = artefacts.all()
        time.sleep(1.1)  # S3 counts seconds
        artefacts.put_bytes(b"weights")
        (after,) = artefacts.all()
        assert after.changed_at > before.changed_at
        assert artefacts.renew(file) is ("://" not in url)
        assert not artefacts.renew(FileRef(file.sha256, 8))

    def test_a_damaged_object_is_an_error_and_can_be_replaced(self, artefacts: ArtefactStore, url: str) -> None:
        file = artefacts.put_bytes(b"weights")
        break_object(url, file.sha256)
        with pytest.raises(StorageError, match="is damaged: its content has another hash") as caught:
            artefacts.fetch(file.sha256)
        assert f"remove {object_name(file.sha256)} there" in caught.value.hint
        artefacts.delete(file.sha256)
        artefacts.put_bytes(b"weights")
        assert artefacts.fetch(file.sha256).read_bytes() == b"weights"

    @pytest.mark.parametrize("name", ["../../etc/passwd", "A" * 64, "ab", "", "0" * 63 + "\n"])
    def test_only_hashes_are_names(self, artefacts: ArtefactStore, name: str) -> None:
        for ask in (artefacts.fetch, artefacts.contains, artefacts.delete):
            with pytest.raises(InvalidInput, match="is not a SHA-256"):
                ask(name)

    def test_threads_may_put_fetch_and_delete_at_once(self, artefacts: ArtefactStore) -> None:
        contents = [bytes([number]) * 200_000 for number in range(4)] * 6

        def work(data: bytes) -> bytes:
            return artefacts.fetch(artefacts.put_bytes(data).sha256).read_bytes()

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(work, contents)) == contents
        assert len(list(artefacts.all())) == 4

    def test_a_writer_that_dies_leaves_nothing_to_fetch(
        self, artefacts: ArtefactStore, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def die(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("search.artefacts.local.LocalBackend._publish", die)
        if "://" in url:
            monkeypatch.setattr(artefacts._backend._files, "put_file" if url.startswith("s3") else "mv", die)
        with pytest.raises(KeyboardInterrupt):
            artefacts.put_bytes(b"weights")
        assert not artefacts.contains(sha256(b"weights"))
        assert list(artefacts.all()) == []


@pytest.mark.parametrize("url", ["folder", "s3"], indirect=True)
def test_processes_share_a_store(artefacts: ArtefactStore, url: str) -> None:
    """Several processes put and fetch the same files at the same time; each copy is whole."""
    program = """
import sys
from search.artefacts.store import ArtefactStore
artefacts = ArtefactStore(sys.argv[1])
for number in range(8):
    data = bytes([number]) * 300_000
    assert artefacts.fetch(artefacts.put_bytes(data).sha256).read_bytes() == data
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    processes = [subprocess.Popen([sys.executable, "-c", program, url], env=environment) for _ in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert len(list(artefacts.all())) == 8


class TestNodeCache:
    """Copies of what lies elsewhere."""

    URL = "memory://cached/store"

    @pytest.fixture
    def reads(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        read, names = remote.RemoteBackend.read, list[str]()

        def count(backend: remote.RemoteBackend, name: str, target: Path) -> None:
            names.append(name)
            read(backend, name, target)

        monkeypatch.setattr(remote.RemoteBackend, "read", count)
        return names

    def test_a_file_is_read_once(self, reads: list[str]) -> None:
        file = ArtefactStore(self.URL).put_bytes(b"weights")
        paths = [ArtefactStore(self.URL).fetch(file.sha256) for _ in range(3)]
        assert reads == [file.sha256]
        assert paths == [cache_folder() / "artefacts" / object_name(file.sha256)] * 3

    def test_a_damaged_copy_is_read_anew(self, reads: list[str]) -> None:
        artefacts = ArtefactStore(self.URL)
        file = artefacts.put_bytes(b"weights")
        path = artefacts.fetch(file.sha256)
        path.chmod(0o600)
        path.write_bytes(b"wei")
        assert artefacts.fetch(file.sha256).read_bytes() == b"weights"
        assert len(reads) == 2

    def test_half_a_copy_stays_nowhere(self, monkeypatch: pytest.MonkeyPatch) -> None:
        artefacts = ArtefactStore(self.URL)
        file = artefacts.put_bytes(b"weights")

        def cut(_: object, name: str, target: Path) -> None:
            target.write_bytes(b"wei")
            raise StorageError("the link was cut")

        monkeypatch.setattr(remote.RemoteBackend, "read", cut)
        with pytest.raises(StorageError, match="cut"):
            artefacts.fetch(file.sha256)
        assert [path for path in (cache_folder() / "artefacts").rglob("*") if path.is_file()] == []

    def test_the_longest_unused_go_first(self, tmp_path: Path) -> None:
        artefacts = ArtefactStore(self.URL)
        cache = NodeCache(tmp_path / "small", max_bytes=25)
        old, used, new = (artefacts.put_bytes(letter * 10).sha256 for letter in (b"a", b"b", b"c"))
        for age, name in enumerate((used, old)):
            path = cache.fetch(name, artefacts._backend)
            os.utime(path, (1000 - age, 1000 - age))
        cache.fetch(new, artefacts._backend)
        assert {path.name for path in (tmp_path / "small").rglob("*") if path.is_file()} == {used, new}

    def test_recent_copies_stay(self, tmp_path: Path) -> None:
        artefacts = ArtefactStore(self.URL)
        cache = NodeCache(tmp_path / "small", max_bytes=5)
        for letter in (b"a", b"b"):
            cache.fetch(artefacts.put_bytes(letter * 10).sha256, artefacts._backend)
        assert len([path for path in (tmp_path / "small").rglob("*") if path.is_file()]) == 2


class TestFolder:
    def test_files_are_their_users_own(self, home: Path) -> None:
        artefacts = ArtefactStore()
        artefacts.put_bytes(b"weights")
        paths = list((data_folder() / "artefacts").rglob("*"))
        assert {path.stat().st_mode & 0o777 for path in paths if path.is_file()} == {0o400}
        assert {path.stat().st_mode & 0o777 for path in paths if path.is_dir()} == {0o700}

    def test_a_file_that_changes_while_it_is_read_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "model.onnx"
        path.write_bytes(b"trained")
        with pytest.raises(StorageError, match="was changed while it was read"):
            copy_unchanged(path, tmp_path / "copy", sha256(b"weights"))

    def test_copies_do_without_help_of_the_kernel(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object) -> int:
            raise OSError(22, "Invalid argument")

        monkeypatch.setattr("os.copy_file_range", refuse)
        monkeypatch.setattr("os.link", lambda *_: (_ for _ in ()).throw(OSError(18, "Invalid cross-device link")))
        path = tmp_path / "upload"
        path.write_bytes(bytes(3_000_000))
        artefacts = ArtefactStore(str(tmp_path / "store"))
        assert artefacts.fetch(artefacts.put(path).sha256).read_bytes() == bytes(3_000_000)
        artefacts.move_in(path, sha256(bytes(3_000_000)))

    def test_a_full_disk_is_said(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(*_: object) -> int:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.copy_file_range", full)
        with pytest.raises(StorageError, match=f"folder {tmp_path}/store: No space left") as caught:
            ArtefactStore(str(tmp_path / "store")).put_bytes(b"weights")
        assert "PARETUNE_ARTEFACTS" in caught.value.hint

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(StorageError, match=r"model.onnx cannot be read: No such file"):
            ArtefactStore(str(tmp_path / "store")).put(tmp_path / "model.onnx")


class TestUrls:
    def test_the_default_is_the_data_folder(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        assert artefacts_url() == str(home / "artefacts" / "jobs")
        monkeypatch.setenv("PARETUNE_ARTEFACTS", "s3://bucket/prefix/")
        assert artefacts_url("agents") == "s3://bucket/prefix/agents"

    def test_a_file_url_is_a_folder(self, tmp_path: Path) -> None:
        ArtefactStore(f"file://{tmp_path}/store").put_bytes(b"weights")
        assert (tmp_path / "store" / object_name(sha256(b"weights"))).is_file()

    def test_unknown_protocols_are_refused(self) -> None:
        with pytest.raises(InvalidInput, match="PARETUNE_ARTEFACTS: Protocol not known: abacus"):
            ArtefactStore("abacus://bucket")

    def test_a_package_that_is_missing_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "s3fs", None)
        monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, "s3", raising=False)
        with pytest.raises(InvalidInput, match="PARETUNE_ARTEFACTS: Install s3fs") as caught:
            ArtefactStore("s3://bucket")
        assert "paretune[s3]" in caught.value.hint

    def test_passwords_are_not_shown(self) -> None:
        assert ArtefactStore("memory://me:hunter2@host/store").place == "memory://host/store"

    @pytest.mark.parametrize("url", ["s3"], indirect=True)
    def test_wrong_keys_are_said(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        import s3fs

        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
        s3fs.S3FileSystem.clear_instance_cache()
        with pytest.raises(StorageError, match=r"artefact store s3://.*: Forbidden") as caught:
            ArtefactStore(url).put_bytes(b"weights")
        assert "access keys" in caught.value.hint
        s3fs.S3FileSystem.clear_instance_cache()


@pytest.mark.parametrize("name", ["model.onnx", "weights/model.onnx.data", "samples.npz", "ü.onnx", ".hidden"])
def test_names_of_files(name: str) -> None:
    assert check_file_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "/etc/passwd", "../model.onnx", "a/../b", "a//b", "a/", "./a", "a\\b", "a\nb", "a\0b", "x" * 256, 3,
     "task.py", "lib/x.cpython-311-x86_64-linux-gnu.so", "a.PTH", "plugin.zip"],
)  # fmt: skip
def test_names_that_are_refused(name: object) -> None:
    with pytest.raises(InvalidInput, match=r"is not the name of a job's file|is code, which is never uploaded"):
        check_file_name(name)


def test_what_a_hash_is() -> None:
    assert is_sha256("0" * 64)
    assert not any(map(is_sha256, ["0" * 65, "G" * 64, 7, None]))
