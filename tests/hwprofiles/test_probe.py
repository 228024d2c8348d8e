"""The probe reads what machines tell about themselves; here, what some have told."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import pytest

from hwprofiles import probe
from hwprofiles.errors import DeviceUnavailable

X86 = """\
processor\t: 0
vendor_id\t: GenuineIntel
cpu family\t: 6
model\t\t: 143
model name\t: Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz
stepping\t: 8
flags\t\t: fpu vme sse2 ssse3 fma cx16 avx f16c avx2 avx512f avx_vnni avx512_bf16 avx512_vnni amx_bf16 avx512_fp16 \
amx_tile amx_int8
vmx flags\t: vnmi preemption_timer avx512f_of_another_line
bugs\t\t: spectre_v1

processor\t: 1
model name\t: another processor
flags\t\t: fpu
"""

OLD_X86 = """\
processor\t: 0
model name\t: Intel(R) Core(TM) i5-2400 CPU @ 3.10GHz
flags\t\t: fpu vme sse2 ssse3 cx16 avx
"""

ARM = """\
processor\t: 0
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm aes crc32 atomics asimddp sve i8mm bf16
CPU implementer\t: 0x41
CPU part\t: 0xd40
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "file"


class TestProcessor:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            (
                X86,
                (
                    "avx2", "fma", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_int8",
                    "amx_bf16",
                ),
            ),
            (OLD_X86, ()),
            (ARM, ("asimd", "asimddp", "i8mm", "bf16", "sve")),
            ("", ()),
        ],
        ids=["x86", "old x86", "arm", "empty"],
    )  # fmt: skip
    def test_instruction_sets(self, file: Path, text: str, expected: tuple[str, ...]) -> None:
        file.write_text(text)
        assert probe.instruction_sets(file) == expected

    def test_the_name_of_the_first(self, file: Path) -> None:
        file.write_text(X86)
        assert probe.processor_name(file) == "Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz"

    def test_a_maker_who_gives_no_name(self, file: Path) -> None:
        file.write_text(ARM)
        assert probe.processor_name(file) in (platform.processor(), platform.machine())
        assert probe.processor_name(file)

    def test_a_machine_without_the_file(self, file: Path) -> None:
        assert probe.instruction_sets(file) == ()
        assert probe.processor_name(file)

    def test_this_machine_is_the_same_when_asked_again(self) -> None:
        assert probe.processor_name() == probe.processor_name()
        assert probe.instruction_sets() == probe.instruction_sets()
        assert probe.memory_bytes() > 2**26


class TestCores:
    @pytest.mark.parametrize(
        ("text", "cores"),
        [
            ("max 100000\n", None),
            ("150000 100000\n", 1),
            ("400000 100000\n", 4),
            ("50000 100000\n", 0),
            ("", None),
            ("many 100000\n", None),
            (None, None),
        ],
    )
    def test_a_quota(self, file: Path, text: str | None, cores: int | None) -> None:
        if text is not None:
            file.write_text(text)
        assert probe._quota_cores(file) == cores

    @pytest.mark.parametrize(
        ("quota", "expected"),
        [(None, (1, 4, 7)), (8, (1, 4, 7)), (2, (1, 4)), (1, (1,)), (0, (1,))],
    )
    def test_the_affinity_capped_by_the_quota(
        self, monkeypatch: pytest.MonkeyPatch, quota: int | None, expected: tuple[int, ...]
    ) -> None:
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {7, 1, 4})
        monkeypatch.setattr(probe, "_quota_cores", lambda path: quota)
        assert probe.usable_cores() == expected

    def test_a_system_without_affinity(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delattr(os, "sched_getaffinity")
        monkeypatch.setattr(os, "cpu_count", lambda: 3)
        monkeypatch.setattr(probe, "_quota_cores", lambda path: None)
        assert probe.usable_cores() == (0, 1, 2)


class TestPackages:
    def test_an_installed_one(self) -> None:
        import numpy

        assert probe.package_version("numpy") == numpy.__version__

    def test_a_missing_one(self) -> None:
        with pytest.raises(DeviceUnavailable, match="'no-such-runtime' is not installed") as caught:
            probe.package_version("no-such-runtime")
        assert "pip install" in caught.value.hint
