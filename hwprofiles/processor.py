"""Reads a processor's properties: name, instruction sets, cores, caches, frequencies."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from hwprofiles.machine import Cache
from hwprofiles.sysfs import cores_in, first_text, number_at, text_at

# The flags of /proc/cpuinfo that change which kernels a runtime picks: x86, then ARM (asimd is NEON of 64 bits, asimdhp
# half precision, asimddp the dot product).
_INSTRUCTION_SETS = (
    "ssse3", "sse4_1", "sse4_2", "avx", "f16c", "fma", "avx2", "avx_vnni", "avx_vnni_int8", "avx_vnni_int16",
    "avx_ne_convert", "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vbmi", "avx512_vnni", "avx512_bf16",
    "avx512_fp16", "avx10", "amx_tile", "amx_int8", "amx_bf16", "amx_fp16", "amx_complex",
    "neon", "vfpv4", "asimd", "asimdhp", "fphp", "asimddp", "asimdfhm", "i8mm", "bf16", "sve", "sve2", "svei8mm",
    "svebf16", "sve2p1", "sme", "sme2", "smei8i32", "smef16f32",
)  # fmt: skip

# Names of ARM cores by implementer and part: Linux, arch/arm64/include/asm/cputype.h.
_ARM_PARTS = {
    ("0x41", "0xd03"): "Cortex-A53", ("0x41", "0xd04"): "Cortex-A35", ("0x41", "0xd05"): "Cortex-A55",
    ("0x41", "0xd07"): "Cortex-A57", ("0x41", "0xd08"): "Cortex-A72", ("0x41", "0xd09"): "Cortex-A73",
    ("0x41", "0xd0a"): "Cortex-A75", ("0x41", "0xd0b"): "Cortex-A76", ("0x41", "0xd0c"): "Neoverse-N1",
    ("0x41", "0xd0d"): "Cortex-A77", ("0x41", "0xd40"): "Neoverse-V1", ("0x41", "0xd41"): "Cortex-A78",
    ("0x41", "0xd42"): "Cortex-A78AE", ("0x41", "0xd44"): "Cortex-X1", ("0x41", "0xd46"): "Cortex-A510",
    ("0x41", "0xd47"): "Cortex-A710", ("0x41", "0xd48"): "Cortex-X2", ("0x41", "0xd49"): "Neoverse-N2",
    ("0x41", "0xd4b"): "Cortex-A78C", ("0x41", "0xd4d"): "Cortex-A715", ("0x41", "0xd4e"): "Cortex-X3",
    ("0x41", "0xd4f"): "Neoverse-V2", ("0x41", "0xd80"): "Cortex-A520", ("0x41", "0xd81"): "Cortex-A720",
    ("0x41", "0xd82"): "Cortex-X4", ("0x41", "0xd84"): "Neoverse-V3", ("0x41", "0xd8e"): "Neoverse-N3",
    ("0x4e", "0x003"): "Denver 2", ("0x4e", "0x004"): "Carmel", ("0xc0", "0xac3"): "Ampere-1",
    ("0xc0", "0xac4"): "Ampere-1a",
}  # fmt: skip

_SIZES = {"K": 2**10, "M": 2**20, "G": 2**30}
_CPUFREQ = "sys/devices/system/cpu/cpu{}/cpufreq"


def processor_name(root: Path) -> str | None:
    """Returns the processor's name; for ARM the board, and the number of cores of each kind."""
    name = _field(root, "model name")
    if name is not None and not name.startswith("ARMv"):
        return name
    board = first_text((root / "proc/device-tree/model", root / "sys/firmware/devicetree/base/model"))
    board = board or _field(root, "Model") or _field(root, "Hardware")
    pairs = list(zip(_fields(root, "CPU implementer"), _fields(root, "CPU part"), strict=False))
    kinds = [_ARM_PARTS.get(pair, f"implementer {pair[0]} part {pair[1]}") for pair in pairs]
    cores = " + ".join(f"{kinds.count(kind)} x {kind}" for kind in dict.fromkeys(kinds))
    return " · ".join(part for part in (board, cores) if part) or name


def part_names(root: Path) -> dict[int, str]:
    """Names of ARM cores by id."""
    names: dict[int, str] = {}
    for block in (text_at(root / "proc/cpuinfo") or "").split("\n\n"):
        fields = dict(_entries(block))
        name = _ARM_PARTS.get((fields.get("CPU implementer", ""), fields.get("CPU part", "")))
        if name is not None and fields.get("processor", "").isdecimal():
            names[int(fields["processor"])] = name
    return names


def is_made_by(root: Path, vendor: str) -> bool:
    """Returns whether the processor names this vendor; only x86 processors name one."""
    return _field(root, "vendor_id") == vendor


def architecture(root: Path) -> str | None:
    """Returns the architecture as ``uname -m`` prints it; None if /proc does not tell."""
    named = text_at(root / "proc/sys/kernel/arch")
    if named is not None:
        return named
    if _field(root, "vendor_id") and "lm" in _flags(root):
        return "x86_64"
    return "aarch64" if "asimd" in _flags(root) else None


def instruction_sets(root: Path) -> tuple[str, ...]:
    """Returns the instruction sets that matter to runtimes and that every core has."""
    flags = _flags(root)
    return tuple(name for name in _INSTRUCTION_SETS if name in flags)


def microcode(root: Path) -> str | None:
    """Revision of the microcode, if exposed; for ARM the cores' variant and revision."""
    version = _field(root, "microcode")
    variant, revision = _field(root, "CPU variant"), _field(root, "CPU revision")
    if version is None and variant is not None and revision is not None:
        return f"r{int(variant, 0)}p{revision}" if re.fullmatch("0x[0-9a-f]+", variant) else None
    return version


def is_virtual(root: Path) -> bool | None:
    """Returns whether an x86 processor reports that it is virtual; None on other architectures."""
    flags = _flags(root)
    return ("hypervisor" in flags) if _field(root, "flags") is not None else None


def sockets(root: Path) -> int | None:
    """Returns the number of processors."""
    ids = {number_at(core / "topology/physical_package_id") for core in _cores(root)} - {None, -1}
    return len(ids) or len(set(_fields(root, "physical id"))) or None


def siblings(root: Path) -> tuple[tuple[int, ...], ...]:
    """Returns the online logical cores of each physical core; empty if the machine does not say."""
    groups: dict[tuple[int, ...], None] = {}
    for core in _cores(root):
        names = (core / "topology/core_cpus_list", core / "topology/thread_siblings_list")
        groups[cores_in(first_text(names))] = None
    return tuple(sorted(group for group in groups if group))


def caches(root: Path) -> tuple[Cache, ...]:
    """Returns the different caches of the cores, lowest level first."""
    kinds: dict[Cache, None] = {}
    for core in _cores(root):
        for folder in sorted((core / "cache").glob("index[0-9]*")):
            level, kind, size = number_at(folder / "level"), text_at(folder / "type"), _size(folder / "size")
            shared = cores_in(text_at(folder / "shared_cpu_list"))
            if level is not None and kind is not None and size is not None:
                kinds[Cache(level, kind.lower(), size, len(shared) or 1)] = None
    return tuple(sorted(kinds, key=lambda cache: (cache.level, cache.kind, cache.size_bytes, cache.shared_by)))


def base_mhz(root: Path) -> float | None:
    """Returns the rated frequency under load, from the driver or the processor's name."""
    for core in _cores(root):
        base = number_at(root / _CPUFREQ.format(core.name[3:]) / "base_frequency")
        if base is not None:
            return base / 1000
    named = re.search(r"@\s*(\d+(?:\.\d+)?)\s*GHz", _field(root, "model name") or "")
    return round(float(named[1]) * 1000, 1) if named else None


def max_mhz(root: Path) -> float | None:
    """Returns the highest rated frequency of any core."""
    highest = [number_at(root / _CPUFREQ.format(core.name[3:]) / "cpuinfo_max_freq") for core in _cores(root)]
    return max((value / 1000 for value in highest if value is not None), default=None)


def governor(root: Path) -> str | None:
    """Returns the frequency governor; several, separated by commas, if cores differ."""
    return _setting(root, "scaling_governor")


def energy_preference(root: Path) -> str | None:
    """Returns the energy preference of the processor's own frequency control."""
    return _setting(root, "energy_performance_preference")


def boost(root: Path) -> bool | None:
    """Returns whether frequencies above the base frequency are allowed."""
    disabled = number_at(root / "sys/devices/system/cpu/intel_pstate/no_turbo")
    if disabled is not None:
        return not disabled
    enabled = number_at(root / "sys/devices/system/cpu/cpufreq/boost")
    return None if enabled is None else bool(enabled)


def _setting(root: Path, name: str) -> str | None:
    values = (text_at(root / _CPUFREQ.format(core.name[3:]) / name) for core in _cores(root))
    return ", ".join(dict.fromkeys(value for value in values if value is not None)) or None


def core_folders(root: Path) -> dict[int, Path]:
    """Returns the online cores' folders below /sys/devices/system/cpu, by core id."""
    return {int(folder.name[3:]): folder for folder in _cores(root)}


def _cores(root: Path) -> list[Path]:
    """Returns the online cores' folders in the order of their ids."""
    folders = (root / "sys/devices/system/cpu").glob("cpu[0-9]*")
    cores = sorted((int(folder.name[3:]), folder) for folder in folders if folder.name[3:].isdecimal())
    return [folder for _, folder in cores if text_at(folder / "online") != "0"]


def _size(path: Path) -> int | None:
    match = re.fullmatch(r"(\d+)([KMG]?)", text_at(path) or "")
    return int(match[1]) * _SIZES.get(match[2], 1) if match else None


def _flags(root: Path) -> frozenset[str]:
    """Returns the flags that all cores share: on some processors cores differ."""
    lines = [*_fields(root, "flags"), *_fields(root, "Features")]
    return frozenset.intersection(*(frozenset(line.split()) for line in lines)) if lines else frozenset()


def _field(root: Path, name: str) -> str | None:
    return next(_fields(root, name), None)


def _fields(root: Path, name: str) -> Iterator[str]:
    """Returns the values of a field of /proc/cpuinfo, in general one per core."""
    return (value for key, value in _entries(text_at(root / "proc/cpuinfo") or "") if key == name)


def _entries(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if value.strip():
            yield key.strip(), value.strip()
