"""Devices and profiles, versions of fronts, exports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from hwprofiles import find_device
from hwprofiles.errors import NotFound
from search.store import Lease, Store, TrialRow, this_process


class TestResults:
    def test_a_device_shows_its_newest_profile_and_keeps_the_others(self, store: Store) -> None:
        old = replace(find_device("dry-run"), cores=(2, 3), instruction_sets=("avx2",))
        new = replace(old, runtime_version="2")
        other = replace(old, device="another")
        for profile in (old, new, other, old, new):
            store.create_job(name="digits", spec={}, spec_folder="", profile=profile)
        assert store.devices() == [("another", other), ("dry-run", new)]
        assert store.profile(old.digest) == old
        assert store.profile(new.digest).digest == new.digest
        with pytest.raises(NotFound, match="no profile 'abc'"):
            store.profile("abc")

    def test_no_jobs_no_devices(self, store: Store) -> None:
        assert store.devices() == []

    def test_fronts_are_kept_as_versions(self, store: Store, new_job: Callable[..., str], lease: Lease) -> None:
        other = store.lease_job(new_job("other"), this_process())
        assert store.front(lease.job_id) is None
        assert [store.add_front(lease, {"front": [n]}) for n in range(3)] == [1, 2, 3]
        assert store.add_front(other, {"front": ["other"]}) == 1
        assert store.front(lease.job_id) == {"front": [2]}
        assert store.front(lease.job_id, version=1) == {"front": [0]}
        assert store.front(lease.job_id, version=4) is None
        with pytest.raises(NotFound):
            store.front("00000000")

    def test_exports_are_listed_in_order(self, store: Store, trials: list[TrialRow]) -> None:
        candidate_id = trials[0].candidate_id
        assert store.exports(candidate_id) == []
        store.add_export(candidate_id, "/a", "kept", {"ratio": 3.4})
        store.add_export(candidate_id, "/b", "not kept", {"ratio": 1.4})
        found = store.exports(candidate_id)
        assert [(row["folder"], row["verdict"], row["receipt"]) for row in found] == [
            ("/a", "kept", {"ratio": 3.4}),
            ("/b", "not kept", {"ratio": 1.4}),
        ]
        assert found[0]["created_at"] <= found[1]["created_at"]

    def test_only_candidates_are_exported(self, store: Store) -> None:
        with pytest.raises(NotFound):
            store.add_export("0" * 12, "/a", "kept", {})
        with pytest.raises(NotFound):
            store.exports("0" * 12)
