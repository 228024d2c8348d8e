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
            store.jobs.create(name="digits", spec={}, spec_folder="", profile=profile)
        assert store.devices.all() == [("another", other), ("dry-run", new)]
        assert store.devices.profile(old.digest) == old
        assert store.devices.profile(new.digest).digest == new.digest
        with pytest.raises(NotFound, match="no profile 'abc'"):
            store.devices.profile("abc")

    def test_no_jobs_no_devices(self, store: Store) -> None:
        assert store.devices.all() == []

    def test_fronts_are_kept_as_versions(self, store: Store, new_job: Callable[..., str], lease: Lease) -> None:
        other = store.jobs.lease(new_job("other"), this_process())
        assert store.fronts.get(lease.job_id) is None
        assert [store.fronts.add(lease, {"front": [n]}) for n in range(3)] == [1, 2, 3]
        assert store.fronts.add(other, {"front": ["other"]}) == 1
        assert store.fronts.get(lease.job_id) == {"front": [2]}
        assert store.fronts.get(lease.job_id, version=1) == {"front": [0]}
        assert store.fronts.get(lease.job_id, version=4) is None
        with pytest.raises(NotFound):
            store.fronts.get("00000000")

    def test_exports_are_listed_in_order(self, store: Store, trials: list[TrialRow]) -> None:
        candidate_id = trials[0].candidate_id
        assert store.exports.of_candidate(candidate_id) == []
        store.exports.add(candidate_id, "/a", "kept", {"ratio": 3.4})
        store.exports.add(candidate_id, "/b", "not kept", {"ratio": 1.4})
        found = store.exports.of_candidate(candidate_id)
        assert [(row["folder"], row["verdict"], row["receipt"]) for row in found] == [
            ("/a", "kept", {"ratio": 3.4}),
            ("/b", "not kept", {"ratio": 1.4}),
        ]
        assert found[0]["created_at"] <= found[1]["created_at"]

    def test_only_candidates_are_exported(self, store: Store) -> None:
        with pytest.raises(NotFound):
            store.exports.add("0" * 12, "/a", "kept", {})
        with pytest.raises(NotFound):
            store.exports.of_candidate("0" * 12)
