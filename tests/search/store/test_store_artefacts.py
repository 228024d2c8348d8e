"""Users' files and uploads in the store."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy

from hwprofiles import find_device
from hwprofiles.errors import NotFound
from search.store import Store, Submission, TrialRow, this_process
from search.store.errors import OverQuota

A, B, C = "a" * 64, "b" * 64, "c" * 64
DAY_S = 86400.0


@pytest.fixture
def age(database_url: str) -> Callable[[], None]:
    """Makes everything two days older."""
    engine = sqlalchemy.create_engine(database_url)
    two_days = "datetime({}, '-2 days')" if engine.dialect.name == "sqlite" else "{} - interval '2 days'"

    def make_older() -> None:
        with engine.begin() as connection:
            for table, column in (("artefacts", "used_at"), ("uploads", "changed_at")):
                connection.execute(sqlalchemy.text(f"UPDATE {table} SET {column} = {two_days.format(column)}"))
        engine.dispose()

    return make_older


class TestFiles:
    def test_each_user_has_their_own(self, store: Store) -> None:
        store.artefacts.claim("ann", A, 10, 100)
        assert store.artefacts.renew("ann", [B, A, B]) == [B]
        assert store.artefacts.renew("bob", [A]) == [A]
        assert (store.artefacts.bytes_of("ann"), store.artefacts.bytes_of("bob")) == (10, 0)

    def test_a_quota_counts_files_and_uploads(self, store: Store) -> None:
        store.artefacts.claim("ann", A, 60, 100)
        store.artefacts.claim("ann", A, 60, 100)
        store.artefacts.begin("ann", B, 30, 100, 9)
        with pytest.raises(OverQuota, match="ann has files of 90 bytes; 11 more would exceed the 100") as caught:
            store.artefacts.claim("ann", C, 11, 100)
        assert "PARETUNE_QUOTA_BYTES" in caught.value.hint
        with pytest.raises(OverQuota):
            store.artefacts.begin("ann", C, 11, 100, 9)
        store.artefacts.claim("bob", C, 11, 100)
        store.artefacts.claim("ann", C, 10, 100)

    def test_quotas_hold_for_whoever_comes_at_once(self, store: Store) -> None:
        def claim(number: int) -> bool:
            try:
                store.artefacts.claim("ann", f"{number:064x}", 10, 50)
            except OverQuota:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(claim, range(20))) == 5

    def test_files_of_two_gigabytes(self, store: Store) -> None:
        for sha256 in (A, B, C):
            store.artefacts.claim("ann", sha256, 2**31, 2.0**40)
        assert store.artefacts.bytes_of("ann") == 3 * 2**31


class TestUploads:
    def test_an_upload_goes_on(self, store: Store) -> None:
        row = store.artefacts.begin("ann", A, 10, 100, 1)
        assert store.artefacts.begin("ann", A, 10, 10, 1) == row
        assert store.artefacts.upload("ann", row.upload_id) == row
        with pytest.raises(OverQuota, match="ann is sending 1 files"):
            store.artefacts.begin("ann", B, 10, 100, 1)
        store.artefacts.complete(row)
        store.artefacts.end_upload(row.upload_id)
        assert store.artefacts.renew("ann", [A]) == []
        assert store.artefacts.bytes_of("ann") == 10

    def test_it_is_nobody_elses(self, store: Store) -> None:
        row = store.artefacts.begin("ann", A, 10, 100, 1)
        for owner, upload_id in (("bob", row.upload_id), ("ann", "0" * 32)):
            with pytest.raises(NotFound, match="there is no upload"):
                store.artefacts.upload(owner, upload_id)
        assert store.artefacts.begin("bob", A, 10, 100, 1).upload_id != row.upload_id

    def test_idle_ones(self, store: Store, age: Callable[[], None]) -> None:
        old, used = (store.artefacts.begin("ann", sha256, 1, 100, 9).upload_id for sha256 in (A, B))
        age()
        store.artefacts.note_part(used)
        assert store.artefacts.idle_uploads(DAY_S) == [old]
        assert store.artefacts.upload_ids() == {old, used}


class TestGarbage:
    def test_what_nobody_used_is_dropped(self, store: Store, age: Callable[[], None]) -> None:
        for owner, sha256 in (("ann", A), ("bob", A), ("ann", B)):
            store.artefacts.claim(owner, sha256, 5, 100)
        assert store.artefacts.idle(DAY_S) == {}
        age()
        store.artefacts.renew("bob", [A])
        assert store.artefacts.idle(DAY_S) == {B: 5}
        removed: list[str] = []
        assert not store.artefacts.drop(A, DAY_S, lambda: removed.append(A))
        assert store.artefacts.drop(B, DAY_S, lambda: removed.append(B))
        assert removed == [B]
        assert store.artefacts.renew("ann", [A, B]) == [B]

    def test_a_file_that_cannot_be_removed_is_not_forgotten(self, store: Store, age: Callable[[], None]) -> None:
        store.artefacts.claim("ann", A, 5, 100)
        age()

        def fail() -> None:
            raise RuntimeError

        with pytest.raises(RuntimeError):
            store.artefacts.drop(A, DAY_S, fail)
        assert store.artefacts.renew("ann", [A]) == []

    def test_exports_need_their_bundles(self, store: Store, trials: list[TrialRow]) -> None:
        store.export_requests.add(trials[0].candidate_id, {}, "ann")
        _, lease = store.export_requests.take(this_process()) or pytest.fail("nothing to do")
        assert store.artefacts.needed() == set()
        store.export_requests.finish(lease, C, {})
        assert store.artefacts.needed() == {C}

    def test_jobs_need_their_files(self, store: Store, new_job: Callable[..., str]) -> None:
        new_job()
        files = {"model.onnx": A, "data.npz": B}
        store.jobs.create(
            name="n", spec={}, spec_folder="/jobs", profile=find_device("dry-run"), submission=Submission(files=files)
        )
        assert store.artefacts.needed() == {A, B}
