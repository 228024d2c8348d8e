"""A profile is data: it survives a trip through JSON, and its digest names all of it."""

from __future__ import annotations

import hashlib
import json
import pickle
from dataclasses import FrozenInstanceError, fields, replace
from typing import Any

import pytest

from hwprofiles import Precision, Profile, digest_of, digest_of_file, find_device
from hwprofiles.gpus import Gpu
from hwprofiles.machine import Cache, Machine
from hwprofiles.peaks import Peaks

PROFILE = Profile(
    device="bench-7",
    runtime="onnxruntime",
    runtime_version="1.31.1",
    processor="Example 9000",
    instruction_sets=("avx2", "avx512_vnni"),
    cores=(2, 3),
    memory_bytes=8_000_000_000,
    threads=2,
    batch=4,
)

OTHER_VALUES: dict[str, Any] = {
    "device": "bench-8",
    "runtime": "null",
    "runtime_version": "1.31.2",
    "processor": "Example 9001",
    "instruction_sets": ("avx2",),
    "cores": (3, 2),
    "memory_bytes": 16_000_000_000,
    "threads": 1,
    "batch": 1,
    "simulated": True,
    "runtimes": (("onnxruntime", "1.31.1"), ("openvino", "2026.4.0")),
    "machine": Machine(processor="Example 9000", caches=(Cache(1, "data", 32768, 1),), siblings=((0, 1),)),
    "gpu": Gpu(index=0, name="Example GPU", compute_capability="9.0"),
    "peaks": Peaks((("fp32", 1e9), ("int8", 4e9)), 1e10),
    "agent": True,
    "core_type": "performance",
}


class TestProfile:
    def test_every_field_has_another_value_below(self) -> None:
        assert set(OTHER_VALUES) == {field.name for field in fields(Profile)}

    @pytest.mark.parametrize("field", OTHER_VALUES)
    def test_each_field_changes_the_digest(self, field: str) -> None:
        assert replace(PROFILE, **{field: OTHER_VALUES[field]}).digest != PROFILE.digest

    def test_no_two_changes_give_one_digest(self) -> None:
        changed = [replace(PROFILE, **{field: value}).digest for field, value in OTHER_VALUES.items()]
        assert len(set(changed)) == len(OTHER_VALUES)

    def test_equal_profiles_have_equal_digests(self) -> None:
        assert replace(PROFILE).digest == PROFILE.digest

    def test_a_digest_is_64_hex_digits(self) -> None:
        assert len(PROFILE.digest) == 64
        assert set(PROFILE.digest) <= set("0123456789abcdef")

    def test_a_round_trip_through_json(self) -> None:
        again = Profile.from_dict(json.loads(json.dumps(PROFILE.to_dict())))
        assert again == PROFILE
        assert again.digest == PROFILE.digest

    @pytest.mark.parametrize("field", OTHER_VALUES)
    def test_a_round_trip_with_each_field(self, field: str) -> None:
        profile = replace(PROFILE, **{field: OTHER_VALUES[field]})
        again = Profile.from_dict(json.loads(json.dumps(profile.to_dict())))
        assert again == profile
        assert (hash(again), again.digest) == (hash(profile), profile.digest)

    def test_profiles_of_the_first_version_are_read_and_keep_their_digests(self) -> None:
        first = {
            "device": "dry-run", "runtime": "null", "runtime_version": "1", "processor": "modelled",
            "instruction_sets": [], "cores": [], "memory_bytes": 0, "threads": 1, "batch": 1, "simulated": True,
        }  # fmt: skip
        assert Profile.from_dict(first).digest == digest_of(first)
        assert find_device("dry-run").digest == digest_of(first)

    def test_from_dict_leaves_the_data_alone(self) -> None:
        data = PROFILE.to_dict()
        Profile.from_dict(data)
        assert data == PROFILE.to_dict()

    def test_it_travels_between_processes(self) -> None:
        assert PROFILE.digest  # computed once and kept: that must not hinder it
        assert pickle.loads(pickle.dumps(PROFILE)) == PROFILE

    def test_it_is_frozen(self) -> None:
        with pytest.raises(FrozenInstanceError):
            PROFILE.threads = 3  # type: ignore[misc]


class TestDigests:
    def test_the_order_of_keys_is_no_matter(self) -> None:
        assert digest_of({"a": 1, "b": [2, {"c": 3, "d": 4}]}) == digest_of({"b": [2, {"d": 4, "c": 3}], "a": 1})

    @pytest.mark.parametrize(
        ("one", "other"),
        [([1, 2], [2, 1]), ({"a": 1}, {"a": "1"}), ({"a": None}, {}), ([["a"], "b"], ["a", ["b"]]), ("", None)],
    )
    def test_different_values_differ(self, one: object, other: object) -> None:
        assert digest_of(one) != digest_of(other)

    def test_tuples_are_lists(self) -> None:
        assert digest_of((1, (2,))) == digest_of([1, [2]])

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), [-float("inf")]])
    def test_numbers_that_are_none_are_refused(self, value: object) -> None:
        with pytest.raises(ValueError, match="JSON"):
            digest_of(value)

    def test_what_json_cannot_hold_is_refused(self) -> None:
        with pytest.raises(TypeError):
            digest_of({"a": {1, 2}})

    def test_it_stays_what_it_is(self) -> None:
        # Digests are stored: another way to compute them would lose every cache and mix up jobs.
        assert digest_of({"b": "x", "a": [1, 2.5]}) == hashlib.sha256(b'{"a":[1,2.5],"b":"x"}').hexdigest()

    def test_a_file_is_named_by_its_bytes(self, tmp_path: Any) -> None:
        path = tmp_path / "file"
        path.write_bytes(b"abc")
        assert digest_of_file(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize(
    ("precision", "bits"), [("fp32", 32), ("int8", 8), ("int8_dynamic", 8), ("int8_weight", 8), ("int4_weight", 4)]
)
def test_weight_bits(precision: str, bits: int) -> None:
    assert Precision(precision).weight_bits == bits


def test_a_little_memory_that_comes_and_goes_is_no_other_profile() -> None:
    def with_memory(size: int) -> Profile:
        return replace(PROFILE, memory_bytes=size, machine=Machine(memory_bytes=size))

    assert with_memory(8_240_000_000).digest == with_memory(8_239_000_123).digest
    assert with_memory(8_240_000_000).digest != with_memory(8_600_000_000).digest
    assert with_memory(8_240_000_001).to_dict()["memory_bytes"] == 8_240_000_001
