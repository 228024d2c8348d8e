"""The probe reads what machines tell about themselves; here, what some have told."""

from __future__ import annotations

import io
import os
import platform
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest
from recorded_machines import CPU, NOTHING, XEON_FLAGS, big_and_little, guest, raspberry_pi, write_tree, xeon

from hwprofiles import digest_of, probe, processor, system
from hwprofiles.machine import Cache, Machine
from hwprofiles.probe import probe_machine
from hwprofiles.sysfs import text_at


@pytest.fixture
def probe_and_store(tmp_path: Path) -> Callable[[dict[str, str]], Machine]:
    made = iter(range(100))
    return lambda files: probe_machine(write_tree(tmp_path / str(next(made)), files))


Probed = Callable[[dict[str, str]], Machine]


class TestServer:
    def test_everything_it_says(self, probe_and_store: Probed) -> None:
        assert probe_and_store(xeon()) == Machine(
            architecture="x86_64",
            processor="Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz",
            microcode="0x2b000603",
            instruction_sets=(
                "ssse3", "sse4_1", "sse4_2", "avx", "f16c", "fma", "avx2", "avx_vnni", "avx512f", "avx512bw",
                "avx512dq", "avx512vl", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_int8",
                "amx_bf16",
            ),
            sockets=1,
            siblings=((0, 2), (1, 3)),
            caches=(
                Cache(1, "data", 48 * 2**10, 2),
                Cache(1, "instruction", 32 * 2**10, 2),
                Cache(2, "unified", 2 * 2**20, 2),
                Cache(3, "unified", 105 * 2**20, 4),
            ),
            base_mhz=2700.0,
            max_mhz=3800.0,
            governor="performance",
            energy_preference="performance",
            boost=True,
            memory_bytes=65_536_000 * 1024,
            huge_pages="madvise",
            kernel="6.1.0-18-amd64",
            system="Debian GNU/Linux 12 (bookworm)",
            virtualisation="none",
            container=None,
        )  # fmt: skip

    def test_its_cores(self, probe_and_store: Probed) -> None:
        found = probe_and_store(xeon())
        assert list(map(len, found.siblings)) == [2, 2]

    def test_a_core_that_is_off(self, probe_and_store: Probed) -> None:
        files = xeon() | {f"{CPU}/cpu3/online": "0\n", f"{CPU}/cpu1/topology/core_cpus_list": "1\n"}
        assert probe_and_store(files).siblings == ((0, 2), (1,))

    def test_the_base_frequency_in_its_name(self, probe_and_store: Probed) -> None:
        files = {name: text for name, text in xeon().items() if "base_frequency" not in name}
        assert probe_and_store(files).base_mhz == 2700.0

    def test_what_not_all_cores_can_do_is_left_out(self, probe_and_store: Probed) -> None:
        files = xeon()
        files["proc/cpuinfo"] = files["proc/cpuinfo"].replace("amx_int8", "", 1)
        assert "amx_int8" not in probe_and_store(files).instruction_sets
        assert "amx_tile" in probe_and_store(files).instruction_sets

    def test_a_boost_switched_off(self, probe_and_store: Probed) -> None:
        assert probe_and_store(xeon() | {f"{CPU}/intel_pstate/no_turbo": "1\n"}).boost is False
        files = {name: text for name, text in xeon().items() if "pstate" not in name}
        assert probe_and_store(files | {f"{CPU}/cpufreq/boost": "0\n"}).boost is False
        assert probe_and_store(files | {f"{CPU}/cpufreq/boost": "1\n"}).boost is True
        assert probe_and_store(files).boost is None


class TestArm:
    def test_a_raspberry_pi(self, probe_and_store: Probed) -> None:
        found = probe_and_store(raspberry_pi())
        assert found.processor == "Raspberry Pi 5 Model B Rev 1.0 · 4 x Cortex-A76"
        assert found.instruction_sets == ("asimd", "asimdhp", "fphp", "asimddp")
        assert (found.architecture, found.microcode) == ("aarch64", "r4p1")
        assert found.caches == (
            Cache(1, "data", 65536, 1), Cache(1, "instruction", 65536, 1), Cache(2, "unified", 524288, 1),
            Cache(3, "unified", 2097152, 4),
        )  # fmt: skip
        assert (found.max_mhz, found.base_mhz, found.governor, found.boost) == (2400.0, None, "ondemand", None)
        assert (len(found.siblings), found.memory_bytes) == (4, 8_255_376 * 1024)
        assert (found.virtualisation, found.huge_pages) == ("none", "always")

    @pytest.mark.parametrize("feature", ["sve", "sve2", "i8mm", "bf16", "asimddp", "asimdfhm", "svei8mm", "svebf16"])
    def test_what_newer_cores_can_do(self, probe_and_store: Probed, feature: str) -> None:
        files = raspberry_pi()
        files["proc/cpuinfo"] = files["proc/cpuinfo"].replace("asimddp\n", f"{feature}\n")
        assert feature in probe_and_store(files).instruction_sets

    def test_cores_that_differ(self, probe_and_store: Probed) -> None:
        found = probe_and_store(big_and_little())
        assert found.processor == "Radxa ROCK 5B · 4 x Cortex-A55 + 2 x Cortex-A76"
        assert (found.max_mhz, found.governor) == (2400.0, "schedutil, performance")
        assert found.sockets is None

    def test_a_core_that_nobody_named(self, probe_and_store: Probed) -> None:
        files = {"proc/cpuinfo": raspberry_pi()["proc/cpuinfo"].replace("0xd0b", "0xfff")}
        assert probe_and_store(files).processor == "Raspberry Pi 5 Model B Rev 1.0 · 4 x implementer 0x41 part 0xfff"

    def test_a_virtual_board(self, probe_and_store: Probed) -> None:
        assert (
            probe_and_store(raspberry_pi() | {"proc/device-tree/model": "linux,dummy-virt\0"}).virtualisation == "yes"
        )
        files = raspberry_pi() | {"proc/device-tree/hypervisor/compatible": "linux,kvm\0"}
        assert probe_and_store(files).virtualisation == "kvm"


class TestGuests:
    @pytest.mark.parametrize(
        ("vendor", "product", "expected"),
        [
            ("QEMU", "Standard PC (Q35 + ICH9, 2009)", "kvm"),
            ("VMware, Inc.", "VMware Virtual Platform", "vmware"),
            ("Microsoft Corporation", "Virtual Machine", "hyper-v"),
            ("Amazon EC2", "c7i.large", "kvm"),
            ("Google", "Google Compute Engine", "kvm"),
            ("innotek GmbH", "VirtualBox", "virtualbox"),
            ("Somebody", "Something", "yes"),
        ],
    )
    def test_makers(self, probe_and_store: Probed, vendor: str, product: str, expected: str) -> None:
        assert probe_and_store(guest(vendor, product)).virtualisation == expected

    def test_metal_of_a_cloud_is_no_guest(self, probe_and_store: Probed) -> None:
        files = xeon() | {"sys/class/dmi/id/sys_vendor": "Amazon EC2\n"}
        assert probe_and_store(files).virtualisation == "none"

    def test_xen_says_so(self, probe_and_store: Probed) -> None:
        assert probe_and_store(xeon() | {"sys/hypervisor/type": "xen\n"}).virtualisation == "xen"

    @pytest.mark.parametrize(
        ("files", "expected"),
        [
            ({".dockerenv": ""}, "docker"),
            ({"run/.containerenv": ""}, "podman"),
            ({"proc/1/cgroup": "0::/kubepods/besteffort/pod1/abc\n"}, "kubepods"),
            ({"proc/1/cgroup": "12:cpu:/lxc/web\n"}, "lxc"),
            ({"proc/1/cgroup": "0::/init.scope\n"}, None),
        ],
    )
    def test_containers(self, probe_and_store: Probed, files: dict[str, str], expected: str | None) -> None:
        assert probe_and_store(files).container == expected


class TestNothing:
    def test_nothing_is_claimed(self, probe_and_store: Probed) -> None:
        assert probe_and_store(NOTHING) == Machine()

    @pytest.mark.parametrize(
        "files",
        [
            {"proc/cpuinfo": ""},
            {"proc/cpuinfo": "no colon here\n: \nmodel name\t:\nflags\n"},
            {"proc/meminfo": "MemTotal: plenty\n"},
            {f"{CPU}/cpu0/cache/index0/size": "large\n", f"{CPU}/cpu0/cache/index0/level": "1\n"},
            {f"{CPU}/cpu0/topology/core_cpus_list": "a-b,-\n"},
            {f"{CPU}/cpu0/cpufreq/cpuinfo_max_freq": "fast\n"},
            {f"{CPU}/intel_pstate/no_turbo": "\n"},
            {"sys/kernel/mm/transparent_hugepage/enabled": "none\n"},
            {"etc/os-release": "NAME=Somewhat\n"},
        ],
        ids=lambda files: next(iter(files)),
    )
    def test_odd_files_say_nothing(self, probe_and_store: Probed, files: dict[str, str]) -> None:
        assert probe_and_store(files) == Machine()

    def test_a_folder_where_a_file_should_be(self, tmp_path: Path) -> None:
        (tmp_path / "proc/cpuinfo").mkdir(parents=True)
        assert probe_machine(tmp_path) == Machine()

    def test_bytes_that_are_no_text(self, tmp_path: Path) -> None:
        write_tree(tmp_path, {"proc/cpuinfo": ""})
        (tmp_path / "proc/cpuinfo").write_bytes(b"model name\t: CPU \xff\xfe\n")
        assert (probe_machine(tmp_path).processor or "").startswith("CPU ")


class TestDigest:
    def test_what_varies_by_the_minute_is_no_part_of_it(self, probe_and_store: Probed) -> None:
        before, after = probe_and_store(xeon()), probe_and_store(xeon(mhz="1200.000", free_kb=1_000))
        assert digest_of(before.to_dict()) == digest_of(after.to_dict())

    @pytest.mark.parametrize(
        "change",
        [
            {f"{CPU}/cpu0/cpufreq/scaling_governor": "powersave\n"},
            {f"{CPU}/cpu0/cpufreq/energy_performance_preference": "power\n"},
            {f"{CPU}/cpu0/cpufreq/base_frequency": "2000000\n"},
            {f"{CPU}/cpu0/cpufreq/cpuinfo_max_freq": "5000000\n"},
            {f"{CPU}/intel_pstate/no_turbo": "1\n"},
            {f"{CPU}/cpu3/online": "0\n", f"{CPU}/cpu1/topology/core_cpus_list": "1\n"},
            {f"{CPU}/cpu0/cache/index2/size": "1024K\n"},
            {f"{CPU}/cpu0/cache/index3/shared_cpu_list": "0-1\n"},
            {f"{CPU}/cpu0/topology/physical_package_id": "1\n"},
            {"proc/sys/kernel/osrelease": "6.1.0-19-amd64\n"},
            {"proc/meminfo": "MemTotal:       32768000 kB\n"},
            {"proc/cpuinfo": xeon()["proc/cpuinfo"].replace("0x2b000603", "0x2b000604")},
            {"proc/cpuinfo": xeon(flags=XEON_FLAGS.replace("amx_int8", ""))["proc/cpuinfo"]},
            {"sys/kernel/mm/transparent_hugepage/enabled": "[always] madvise never\n"},
            {"etc/os-release": 'PRETTY_NAME="Ubuntu 24.04"\n'},
            {"sys/hypervisor/type": "xen\n"},
            {".dockerenv": ""},
        ],
        ids=lambda change: next(iter(change)),
    )
    def test_what_can_change_a_latency_is(self, probe_and_store: Probed, change: dict[str, str]) -> None:
        before, after = probe_and_store(xeon()), probe_and_store(xeon() | change)
        assert digest_of(before.to_dict()) != digest_of(after.to_dict())

    @pytest.mark.parametrize("files", [xeon(), raspberry_pi(), guest(), NOTHING], ids=["xeon", "pi", "guest", "none"])
    def test_a_round_trip(self, probe_and_store: Probed, files: dict[str, str]) -> None:
        found = probe_and_store(files)
        assert Machine.from_dict(found.to_dict()) == found
        assert hash(found) == hash(Machine.from_dict(found.to_dict()))
        assert set(found.to_dict()) == {field.name for field in fields(Machine)}


class TestThisMachine:
    def test_it_is_the_same_when_asked_again(self) -> None:
        assert probe_machine() == probe_machine()
        assert probe.processor_name() == probe.processor_name()
        assert probe.memory_bytes() > 2**26
        assert probe.instruction_sets() == probe_machine().instruction_sets

    def test_where_it_says_nothing_the_system_is_asked(self, tmp_path: Path) -> None:
        assert probe.processor_name(tmp_path) in (platform.processor(), platform.machine())
        assert probe.memory_bytes(tmp_path) == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")

    def test_readers_agree_with_the_system(self) -> None:
        kernel = system.kernel(Path("/"))
        assert kernel in (None, platform.release())
        assert processor.architecture(Path("/")) in (None, platform.machine())


class TestCores:
    @pytest.mark.parametrize(
        ("files", "cores"),
        [
            ({"sys/fs/cgroup/cpu.max": "max 100000\n"}, None),
            ({"sys/fs/cgroup/cpu.max": "150000 100000\n"}, 1),
            ({"sys/fs/cgroup/cpu.max": "400000 100000\n"}, 4),
            ({"sys/fs/cgroup/cpu.max": "50000 100000\n"}, 0),
            ({"sys/fs/cgroup/cpu.max": ""}, None),
            ({"sys/fs/cgroup/cpu.max": "many 100000\n"}, None),
            ({"sys/fs/cgroup/cpu.max": "100000 0\n"}, None),
            ({}, None),
            (
                {
                    "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "200000\n",
                    "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
                },
                2,
            ),
            (
                {"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n"},
                None,
            ),
            (
                {
                    "proc/self/cgroup": "0::/user.slice/job.scope\n",
                    "sys/fs/cgroup/user.slice/cpu.max": "300000 100000\n",
                    "sys/fs/cgroup/user.slice/job.scope/cpu.max": "max 100000\n",
                },
                3,
            ),
            (
                {
                    "proc/self/cgroup": "5:cpu,cpuacct:/job\n",
                    "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us": "100000\n",
                    "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us": "100000\n",
                },
                1,
            ),
            ({"proc/self/cgroup": "0::/../../etc\nnonsense\n"}, None),
        ],
        ids=str,
    )
    def test_a_quota(self, tmp_path: Path, files: dict[str, str], cores: int | None) -> None:
        assert system.quota_cores(write_tree(tmp_path, files)) == cores

    @pytest.mark.parametrize(
        ("quota", "expected"),
        [("max", (1, 4, 7)), ("800000", (1, 4, 7)), ("200000", (4, 7)), ("100000", (7,)), ("0", (7,))],
    )
    def test_the_affinity_capped_by_the_quota(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quota: str, expected: tuple[int, ...]
    ) -> None:
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {7, 1, 4})
        write_tree(tmp_path, {"sys/fs/cgroup/cpu.max": f"{quota} 100000\n"})
        assert probe.usable_cores(tmp_path) == expected

    def test_a_system_without_affinity(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delattr(os, "sched_getaffinity")
        monkeypatch.setattr(os, "cpu_count", lambda: 3)
        assert probe.usable_cores(tmp_path) == (0, 1, 2)

    def test_a_limit_of_memory(self, tmp_path: Path) -> None:
        files = {"proc/meminfo": "MemTotal: 8000 kB\n", "sys/fs/cgroup/memory.max": "4096000\n"}
        assert system.memory_bytes(write_tree(tmp_path, files)) == 4_096_000
        write_tree(tmp_path, {"sys/fs/cgroup/memory.max": "max\n"})
        assert system.memory_bytes(tmp_path) == 8_192_000


def test_a_file_is_read_until_it_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[int] = []

    class Counted(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            reads.append(1)
            return super().read(size)

    monkeypatch.setattr(Path, "open", lambda path, mode: Counted(b"performance\n"))
    assert text_at(tmp_path / "governor") == "performance"
    assert len(reads) == 2
