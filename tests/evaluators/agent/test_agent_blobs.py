"""The agent's folder of files: each fetched once, each what its name says, and no more than fit."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from evaluators.agent.blobs import BlobCache
from evaluators.agent.client import ServerGone
from evaluators.devices.request import FileRef
from hwprofiles.errors import DeviceUnavailable, InvalidInput


class Source:
    """Gives files as a server does, and counts."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.fetched: list[str] = []

    def add(self, content: bytes, pretend: bytes | None = None) -> FileRef:
        file = FileRef(hashlib.sha256(content).hexdigest(), len(content))
        self.files[file.sha256] = content if pretend is None else pretend
        return file

    def fetch(self, file: FileRef, start: int) -> Iterator[bytes]:
        self.fetched.append(file.sha256)
        content = self.files[file.sha256][start:]
        for at in range(0, len(content), 3):
            yield content[at : at + 3]


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


LIMIT = 10**6


def test_a_file_is_fetched_once(source: Source, folder: Path) -> None:
    file = source.add(b"weights")
    for cache in (BlobCache(folder), BlobCache(folder)):
        for _ in range(2):
            assert cache.get(file, source.fetch, LIMIT).read_bytes() == b"weights"
    assert source.fetched == [file.sha256]


@pytest.mark.parametrize("arrives", [b"weightz", b"", b"wei", b"weights and more"])
def test_what_arrives_differently_is_refused_and_not_kept(source: Source, folder: Path, arrives: bytes) -> None:
    file = source.add(b"weights", arrives)
    cache = BlobCache(folder)
    with pytest.raises(DeviceUnavailable, match="arrived with another"):
        cache.get(file, source.fetch, LIMIT)
    assert list(folder.iterdir()) == []


def test_a_server_that_never_stops_sending_is_cut_off(source: Source, folder: Path) -> None:
    sent = 0

    def endless(file: FileRef, start: int) -> Iterator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            yield b"x" * 1000

    with pytest.raises(DeviceUnavailable, match="another size"):
        BlobCache(folder).get(source.add(b"weights"), endless, LIMIT)
    assert sent == 1


@pytest.mark.parametrize("most", [10**6, 25])
def test_what_came_before_the_link_was_cut_is_not_fetched_again(source: Source, folder: Path, most: int) -> None:
    cache, file = BlobCache(folder, max_bytes=most), source.add(b"weights of a model")
    cache.get(source.add(b"old"), source.fetch, LIMIT)
    starts: list[int] = []

    def cut(file: FileRef, start: int) -> Iterator[bytes]:
        starts.append(start)
        yield source.files[file.sha256][start : start + 4]
        raise ConnectionAbortedError

    def whole(file: FileRef, start: int) -> Iterator[bytes]:
        starts.append(start)
        return source.fetch(file, start)

    for _ in range(2):
        with pytest.raises(ServerGone):
            cache.get(file, lambda *asked: gone(cut(*asked)), LIMIT)
    assert cache.get(file, whole, LIMIT).read_bytes() == b"weights of a model"
    assert starts == [0, 4, 8]


def gone(pieces: Iterator[bytes]) -> Iterator[bytes]:
    try:
        yield from pieces
    except ConnectionAbortedError:
        raise ServerGone("the link was cut") from None


def test_half_a_file_of_something_else_does_not_stay(source: Source, folder: Path) -> None:
    file = source.add(b"weights")
    cache = BlobCache(folder)
    (folder / f"{file.sha256}.partial").write_bytes(b"wax")
    with pytest.raises(DeviceUnavailable, match="another content"):
        cache.get(file, source.fetch, LIMIT)
    assert cache.get(file, source.fetch, LIMIT).read_bytes() == b"weights"


def test_using_a_file_does_not_make_it_look_changed(source: Source, folder: Path) -> None:
    """Else whoever remembers files by the time of their last change would check them for each errand again."""
    file = source.add(b"weights")
    cache = BlobCache(folder)
    os.utime(cache.get(file, source.fetch, LIMIT), (1000, 1000))
    found = cache.get(file, source.fetch, LIMIT).stat()
    assert found.st_mtime == 1000
    assert found.st_atime > 1000


def test_one_that_is_too_large_is_not_fetched(source: Source, folder: Path) -> None:
    file = source.add(b"weights")
    with pytest.raises(InvalidInput, match="more than the 6 that are allowed"):
        BlobCache(folder).get(file, source.fetch, 6)
    assert source.fetched == []


def test_a_file_that_was_changed_on_the_disk_is_fetched_anew(source: Source, folder: Path) -> None:
    file = source.add(b"weights")
    cache = BlobCache(folder)
    cache.get(file, source.fetch, LIMIT).write_bytes(b"weightz")
    assert cache.get(file, source.fetch, LIMIT).read_bytes() == b"weights"
    assert len(source.fetched) == 2


def test_the_longest_unused_go_first(source: Source, folder: Path) -> None:
    cache = BlobCache(folder, max_bytes=25)
    old, used, new = (source.add(letter * 10) for letter in (b"a", b"b", b"c"))
    for age, file in enumerate((used, old)):
        os.utime(cache.get(file, source.fetch, LIMIT), (1000 - age, 1000 - age))
    cache.get(used, source.fetch, LIMIT)
    cache.get(new, source.fetch, LIMIT)
    assert {path.name for path in folder.iterdir()} == {used.sha256, new.sha256}


def test_what_the_same_errand_needs_stays(source: Source, folder: Path) -> None:
    cache = BlobCache(folder, max_bytes=15)
    files = [source.add(letter * 10) for letter in (b"a", b"b")]
    names = [file.sha256 for file in files]
    for file in files:
        cache.get(file, source.fetch, LIMIT, names)
    assert {path.name for path in folder.iterdir()} == set(names)


def test_half_a_file_of_an_agent_that_was_killed_goes(source: Source, folder: Path) -> None:
    folder.mkdir()
    (folder / ("0" * 64 + ".partial")).write_bytes(b"half")
    BlobCache(folder)
    assert list(folder.iterdir()) == []


def test_a_full_disk_is_the_device_s_failure(source: Source, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=3))
    with pytest.raises(DeviceUnavailable, match="has no room for 7 bytes"):
        BlobCache(folder).get(source.add(b"weights"), source.fetch, LIMIT)
    assert source.fetched == []
