"""Files that arrive in parts."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from databases import Databases

from hwprofiles.errors import InvalidInput, NotFound, StorageError
from hwprofiles.folders import data_folder
from search.artefacts.job_files import MAX_FILE_BYTES
from search.artefacts.owned import OwnedArtefacts
from search.artefacts.store import ArtefactStore
from search.artefacts.uploads import Progress, Uploads, WrongOffset
from search.store import Store
from search.store.errors import OverQuota

DATA = bytes(range(256)) * 40
NAME = hashlib.sha256(DATA).hexdigest()
SIZE = len(DATA)


@pytest.fixture
def store(databases: Databases) -> Iterator[Store]:
    with Store(databases.create("sqlite")) as opened:
        yield opened


@pytest.fixture
def artefacts() -> ArtefactStore:
    return ArtefactStore()


@pytest.fixture
def uploads(store: Store, artefacts: ArtefactStore) -> Uploads:
    return Uploads(store, artefacts)


def begin(uploads: Uploads, owner: str = "ann") -> str:
    upload_id = uploads.begin(owner, NAME, SIZE).upload_id
    assert upload_id is not None
    return upload_id


def send(uploads: Uploads, upload_id: str, start: int, end: int, owner: str = "ann") -> Progress:
    part = uploads.part(owner, upload_id, start)
    for at in range(start, end, 1000):
        part.write(DATA[at : min(end, at + 1000)])
    return uploads.end_part(owner, upload_id)


def arrived() -> list[Path]:
    return list((data_folder() / "uploads").iterdir())


def test_a_file_arrives_in_parts(uploads: Uploads, artefacts: ArtefactStore) -> None:
    upload_id = begin(uploads)
    assert send(uploads, upload_id, 0, 5000) == Progress(upload_id, NAME, SIZE, 5000)
    assert uploads.progress("ann", upload_id).received_bytes == 5000
    assert begin(uploads) == upload_id
    assert not artefacts.contains(NAME)
    assert send(uploads, upload_id, 5000, SIZE) == Progress(None, NAME, SIZE, SIZE)
    assert artefacts.fetch(NAME).read_bytes() == DATA
    assert artefacts.fetch(NAME).stat().st_mode & 0o777 == 0o400
    assert arrived() == []
    assert uploads.begin("ann", NAME, SIZE) == Progress(None, NAME, SIZE, SIZE)
    with pytest.raises(NotFound, match="there is no upload"):
        uploads.progress("ann", upload_id)


def test_a_part_may_be_sent_again(uploads: Uploads, artefacts: ArtefactStore) -> None:
    upload_id = begin(uploads)
    send(uploads, upload_id, 0, 5000)
    assert send(uploads, upload_id, 0, 5000).received_bytes == 5000
    assert send(uploads, upload_id, 3000, 6000).received_bytes == 6000
    send(uploads, upload_id, 6000, SIZE)
    assert artefacts.fetch(NAME).read_bytes() == DATA


def test_there_are_no_gaps(uploads: Uploads) -> None:
    upload_id = begin(uploads)
    send(uploads, upload_id, 0, 5000)
    with pytest.raises(WrongOffset, match="begins at byte 6000, but 5000 have arrived") as caught:
        uploads.part("ann", upload_id, 6000)
    assert caught.value.hint == "go on at 5000"


def test_requests_at_the_same_time_join(uploads: Uploads, artefacts: ArtefactStore) -> None:
    upload_id = begin(uploads)

    def send_all(_: int) -> None:
        try:
            send(uploads, upload_id, 0, SIZE)
        except NotFound:
            assert artefacts.contains(NAME)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(send_all, range(12)))
    assert artefacts.fetch(NAME).read_bytes() == DATA
    assert arrived() == []


def test_a_file_with_another_hash_is_given_up(uploads: Uploads, artefacts: ArtefactStore) -> None:
    upload_id = begin(uploads)
    part = uploads.part("ann", upload_id, 0)
    part.write(bytes(SIZE))
    with pytest.raises(InvalidInput, match="does not have the announced SHA-256"):
        uploads.end_part("ann", upload_id)
    assert (arrived(), artefacts.contains(NAME)) == ([], False)
    assert begin(uploads) != upload_id


def test_no_more_than_announced_is_written(uploads: Uploads) -> None:
    upload_id = begin(uploads)
    part = uploads.part("ann", upload_id, 0)
    part.write(DATA[:-1])
    with pytest.raises(InvalidInput, match=f"larger than the {SIZE} bytes announced"):
        part.write(b"xx")
    assert uploads.progress("ann", upload_id).received_bytes == SIZE - 1


def test_an_empty_file(uploads: Uploads, artefacts: ArtefactStore) -> None:
    name = hashlib.sha256(b"").hexdigest()
    assert uploads.begin("ann", name, 0).upload_id is None
    assert artefacts.fetch(name).read_bytes() == b""


def test_having_a_file_is_not_knowing_its_hash(uploads: Uploads) -> None:
    send(uploads, begin(uploads), 0, SIZE)
    upload_id = begin(uploads, "bob")
    with pytest.raises(NotFound):
        uploads.part("ann", upload_id, 0)
    assert send(uploads, upload_id, 0, SIZE, "bob").upload_id is None


@pytest.mark.parametrize("name", ["../../x", "A" * 64, "0" * 63])
def test_names_are_hashes(uploads: Uploads, name: str) -> None:
    with pytest.raises(InvalidInput, match="is not a SHA-256"):
        uploads.begin("ann", name, 1)


def test_limits(uploads: Uploads, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidInput, match="is not accepted"):
        uploads.begin("ann", NAME, MAX_FILE_BYTES + 1)
    monkeypatch.setenv("PARETUNE_QUOTA_BYTES", str(SIZE - 1))
    with pytest.raises(OverQuota, match="would exceed"):
        uploads.begin("ann", NAME, SIZE)
    monkeypatch.setenv("PARETUNE_QUOTA_BYTES", "many")
    with pytest.raises(InvalidInput, match="PARETUNE_QUOTA_BYTES: 'many' is not a number"):
        uploads.begin("ann", NAME, SIZE)
    monkeypatch.delenv("PARETUNE_QUOTA_BYTES")
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=SIZE))
    with pytest.raises(StorageError, match="there is no room"):
        uploads.begin("ann", NAME, SIZE)


def test_storage_that_is_away_when_the_last_part_comes(
    uploads: Uploads, artefacts: ArtefactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is sent again: announcing the file stores it."""
    upload_id = begin(uploads)
    with monkeypatch.context() as patch:
        patch.setattr(artefacts, "move_in", lambda *_: (_ for _ in ()).throw(StorageError("away")))
        with pytest.raises(StorageError, match="away"):
            send(uploads, upload_id, 0, SIZE)
    assert uploads.progress("ann", upload_id).received_bytes == SIZE
    assert uploads.begin("ann", NAME, SIZE).upload_id is None
    assert artefacts.fetch(NAME).read_bytes() == DATA


def test_giving_up(uploads: Uploads) -> None:
    upload_id = begin(uploads)
    with pytest.raises(NotFound):
        uploads.give_up("bob", upload_id)
    part = uploads.part("ann", upload_id, 0)
    uploads.give_up("ann", upload_id)
    assert arrived() == []
    with pytest.raises(NotFound, match="is over"):
        part.write(DATA)


def test_idle_uploads_go(uploads: Uploads) -> None:
    upload_id = begin(uploads)
    send(uploads, upload_id, 0, 5000)
    (data_folder() / "uploads" / "left").write_bytes(b"by another database")
    assert uploads.remove_idle(3600) == {}
    os.utime(data_folder() / "uploads" / "left", (1000, 1000))
    assert uploads.remove_idle(3600, dry_run=True) == {"left": 19}
    assert uploads.remove_idle(3600) == {"left": 19}
    assert uploads.remove_idle(-1) == {upload_id: 5000}
    assert arrived() == []
    assert begin(uploads) != upload_id


class TestOwned:
    def test_what_a_user_puts_is_theirs(self, store: Store, artefacts: ArtefactStore, tmp_path: Path) -> None:
        path = tmp_path / "model.onnx"
        path.write_bytes(DATA)
        ann, bob = (OwnedArtefacts(store, owner, artefacts) for owner in ("ann", "bob"))
        assert ann.put(path).sha256 == NAME
        assert (ann.missing([NAME]), bob.missing([NAME])) == ([], [NAME])
        artefacts.delete(NAME)
        assert ann.missing([NAME]) == [NAME]
        ann.put(path)
        assert ann.missing([NAME]) == []

    def test_files_of_a_job_may_be_shared(self, store: Store, artefacts: ArtefactStore, tmp_path: Path) -> None:
        (tmp_path / "model.onnx").write_bytes(DATA)
        OwnedArtefacts(store, "ann", artefacts).put(tmp_path / "model.onnx")
        bob = OwnedArtefacts(store, "bob", artefacts)
        bob.share([NAME, "0" * 64])
        assert bob.missing([NAME, "0" * 64]) == ["0" * 64]
        assert store.artefacts.bytes_of("bob") == SIZE

    def test_within_their_quota(
        self, store: Store, artefacts: ArtefactStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "model.onnx"
        path.write_bytes(DATA)
        monkeypatch.setenv("PARETUNE_QUOTA_BYTES", "100")
        with pytest.raises(OverQuota):
            OwnedArtefacts(store, "ann", artefacts).put(path)
        assert not artefacts.contains(NAME)
        store.artefacts.claim("bob", NAME, SIZE, SIZE)
        with pytest.raises(OverQuota):
            OwnedArtefacts(store, "ann", artefacts).share([NAME])
