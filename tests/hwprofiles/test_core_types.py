"""Cores that differ: which are the fast ones, and what they are called."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from recorded_machines import CPU, NOTHING, big_and_little, hybrid, raspberry_pi, write_tree, xeon

from hwprofiles import find_device, probe, registry
from hwprofiles.core_types import CoreType, core_types
from hwprofiles.machine import Machine
from hwprofiles.probe import probe_machine


def frequencies(*khz: int) -> dict[str, str]:
    files = {}
    for number, value in enumerate(khz):
        files[f"{CPU}/cpu{number}/cpufreq/cpuinfo_max_freq"] = f"{value}\n"
    return files


def ranking(vendor: str, *performances: int) -> dict[str, str]:
    files = {"proc/cpuinfo": f"processor\t: 0\nvendor_id\t: {vendor}\n"}
    for number, value in enumerate(performances):
        files[f"{CPU}/cpu{number}/acpi_cppc/highest_perf"] = f"{value}\n"
    return files


class TestTypes:
    def test_a_hybrid(self, tmp_path: Path) -> None:
        assert core_types(write_tree(tmp_path, hybrid())) == (
            CoreType("performance", tuple(range(12))),
            CoreType("efficiency", tuple(range(12, 20))),
        )

    def test_big_and_little(self, tmp_path: Path) -> None:
        assert core_types(write_tree(tmp_path, big_and_little())) == (
            CoreType("Cortex-A76", (4, 5)),
            CoreType("Cortex-A55", (0, 1, 2, 3)),
        )

    def test_capacities_of_three_types(self, tmp_path: Path) -> None:
        capacities = (1024, 760, 760, 760, 260, 260)
        files = {f"{CPU}/cpu{number}/cpu_capacity": f"{value}\n" for number, value in enumerate(capacities)}
        found = core_types(write_tree(tmp_path, frequencies(*[2_000_000] * 6) | files))
        assert [kind.cores for kind in found] == [(0,), (1, 2, 3), (4, 5)]
        assert found[0].name == "capacity 1024"

    def test_frequencies_alone(self, tmp_path: Path) -> None:
        found = core_types(write_tree(tmp_path, frequencies(3_300_000, 5_100_000, 3_300_000)))
        assert found == (CoreType("MHz 5100", (1,)), CoreType("MHz 3300", (0, 2)))

    def test_performance_as_firmware_says(self, tmp_path: Path) -> None:
        found = core_types(write_tree(tmp_path, ranking("GenuineIntel", 65, 64, 40)))
        assert [kind.cores for kind in found] == [(0, 1), (2,)]

    @pytest.mark.parametrize(
        "files",
        [
            xeon(), raspberry_pi(), NOTHING,
            frequencies(5_000_000, 5_000_000, 4_900_000),  # favoured cores are of the same type
            ranking("AuthenticAMD", 231, 166),
            {"sys/devices/cpu_core/cpus": "0-7\n"},
        ],
        ids=["server", "board", "nothing", "favoured", "ranked", "slow ones off"],
    )  # fmt: skip
    def test_cores_that_are_alike(self, tmp_path: Path, files: dict[str, str]) -> None:
        assert core_types(write_tree(tmp_path, files)) == ()


class TestProfile:
    @pytest.fixture
    def on(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        root = write_tree(tmp_path, hybrid())
        machine, types = probe_machine(root), core_types(root)
        monkeypatch.setattr(probe, "usable_cores", lambda: tuple(range(20)))
        monkeypatch.setattr(probe, "probe_machine", lambda: machine)
        monkeypatch.setattr(probe, "core_types", lambda: types)

    @pytest.mark.usefixtures("on")
    @pytest.mark.parametrize(
        ("threads", "cores", "kind"),
        [
            (1, (11,), "performance"),
            (4, (5, 7, 9, 11), "performance"),
            (8, (1, 3, 5, 7, 9, 11, 18, 19), "performance + efficiency"),
        ],
    )
    def test_the_fast_cores_come_first(self, threads: int, cores: tuple[int, ...], kind: str) -> None:
        profile = registry.local_cpu(threads)
        assert (profile.cores, profile.core_type) == (cores, kind)
        assert type(profile).from_dict(profile.to_dict()) == profile

    def test_cores_that_are_alike_change_no_digest(self) -> None:
        profile = replace(find_device("local-cpu"), core_type="", machine=Machine())
        before = {name: value for name, value in profile.to_dict().items() if name != "core_type"}
        assert type(profile).from_dict(before).digest == profile.digest
        assert replace(profile, core_type="performance").digest != profile.digest
