"""Asks a processor what it is: name, instruction sets, cores, caches, frequencies."""

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

# Linux, arch/arm64/include/asm/cputype.h: what ARM cores give instead of a name.
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
    """The processor as its maker names it; of ARM cores the board that they sit on, and how many there are of which."""
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
    """What each ARM core is called, by its number."""
    found: dict[int, str] = {}
    for block in (text_at(root / "proc/cpuinfo") or "").split("\n\n"):
        fields = dict(_entries(block))
        name = _ARM_PARTS.get((fields.get("CPU implementer", ""), fields.get("CPU part", "")))
        if name is not None and fields.get("processor", "").isdecimal():
            found[int(fields["processor"])] = name
    return found


def is_made_by(root: Path, vendor: str) -> bool:
    """Whether a processor names this vendor, as x86 ones do."""
    return _field(root, "vendor_id") == vendor


def architecture(root: Path) -> str | None:
    """As ``uname -m`` gives it, for the architectures that /proc/cpuinfo can be told apart by."""
    named = text_at(root / "proc/sys/kernel/arch")
    if named is not None:
        return named
    if _field(root, "vendor_id") and "lm" in _flags(root):
        return "x86_64"
    return "aarch64" if "asimd" in _flags(root) else None


def instruction_sets(root: Path) -> tuple[str, ...]:
    """The instruction sets, of those that matter to a runtime, that every core has."""
    flags = _flags(root)
    return tuple(name for name in _INSTRUCTION_SETS if name in flags)


def microcode(root: Path) -> str | None:
    """Revision of the microcode, where the machine exposes it; ARM cores give their variant and revision."""
    found = _field(root, "microcode")
    variant, revision = _field(root, "CPU variant"), _field(root, "CPU revision")
    if found is None and variant is not None and revision is not None:
        return f"r{int(variant, 0)}p{revision}" if re.fullmatch("0x[0-9a-f]+", variant) else None
    return found


def is_virtual(root: Path) -> bool | None:
    """Whether an x86 processor says that it is a virtual one; None on others."""
    flags = _flags(root)
    return ("hypervisor" in flags) if _field(root, "flags") is not None else None


def sockets(root: Path) -> int | None:
    """How many processors there are."""
    ids = {number_at(core / "topology/physical_package_id") for core in _cores(root)} - {None, -1}
    return len(ids) or len(set(_fields(root, "physical id"))) or None


def siblings(root: Path) -> tuple[tuple[int, ...], ...]:
    """The online logical cores of each physical one; empty where the machine does not say."""
    groups: dict[tuple[int, ...], None] = {}
    for core in _cores(root):
        names = (core / "topology/core_cpus_list", core / "topology/thread_siblings_list")
        groups[cores_in(first_text(names))] = None
    return tuple(sorted(group for group in groups if group))


def caches(root: Path) -> tuple[Cache, ...]:
    """The different caches that cores have, nearest first."""
    found: dict[Cache, None] = {}
    for core in _cores(root):
        for place in sorted((core / "cache").glob("index[0-9]*")):
            level, kind, size = number_at(place / "level"), text_at(place / "type"), _size(place / "size")
            shared = cores_in(text_at(place / "shared_cpu_list"))
            if level is not None and kind is not None and size is not None:
                found[Cache(level, kind.lower(), size, len(shared) or 1)] = None
    return tuple(sorted(found, key=lambda cache: (cache.level, cache.kind, cache.size_bytes, cache.shared_by)))


def base_mhz(root: Path) -> float | None:
    """The frequency that the processor keeps up under load, as its driver or its name says."""
    for core in _cores(root):
        base = number_at(root / _CPUFREQ.format(core.name[3:]) / "base_frequency")
        if base is not None:
            return base / 1000
    named = re.search(r"@\s*(\d+(?:\.\d+)?)\s*GHz", _field(root, "model name") or "")
    return round(float(named[1]) * 1000, 1) if named else None


def max_mhz(root: Path) -> float | None:
    """The highest frequency that any core is made for."""
    highest = [number_at(root / _CPUFREQ.format(core.name[3:]) / "cpuinfo_max_freq") for core in _cores(root)]
    return max((value / 1000 for value in highest if value is not None), default=None)


def governor(root: Path) -> str | None:
    """What sets the frequency; several, where cores differ."""
    return _setting(root, "scaling_governor")


def energy_preference(root: Path) -> str | None:
    """Whether the processor itself is told to prefer speed or savings."""
    return _setting(root, "energy_performance_preference")


def boost(root: Path) -> bool | None:
    """Whether frequencies above the base are allowed."""
    disabled = number_at(root / "sys/devices/system/cpu/intel_pstate/no_turbo")
    if disabled is not None:
        return not disabled
    enabled = number_at(root / "sys/devices/system/cpu/cpufreq/boost")
    return None if enabled is None else bool(enabled)


def _setting(root: Path, name: str) -> str | None:
    values = (text_at(root / _CPUFREQ.format(core.name[3:]) / name) for core in _cores(root))
    return ", ".join(dict.fromkeys(value for value in values if value is not None)) or None


def core_folders(root: Path) -> dict[int, Path]:
    """The online cores' folders below /sys/devices/system/cpu, by number."""
    return {int(place.name[3:]): place for place in _cores(root)}


def _cores(root: Path) -> list[Path]:
    """The online cores' folders, by number."""
    places = (root / "sys/devices/system/cpu").glob("cpu[0-9]*")
    cores = sorted((int(place.name[3:]), place) for place in places if place.name[3:].isdecimal())
    return [place for _, place in cores if text_at(place / "online") != "0"]


def _size(path: Path) -> int | None:
    match = re.fullmatch(r"(\d+)([KMG]?)", text_at(path) or "")
    return int(match[1]) * _SIZES.get(match[2], 1) if match else None


def _flags(root: Path) -> frozenset[str]:
    """What all cores have: on some, not all can do the same."""
    lines = [*_fields(root, "flags"), *_fields(root, "Features")]
    return frozenset.intersection(*(frozenset(line.split()) for line in lines)) if lines else frozenset()


def _field(root: Path, name: str) -> str | None:
    return next(_fields(root, name), None)


def _fields(root: Path, name: str) -> Iterator[str]:
    """A field of /proc/cpuinfo, once a core where each has its own."""
    return (value for key, value in _entries(text_at(root / "proc/cpuinfo") or "") if key == name)


def _entries(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if value.strip():
            yield key.strip(), value.strip()
