"""Types of cores: some processors have fast cores beside slow ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hwprofiles import processor
from hwprofiles.sysfs import cores_in, number_at, text_at

SLOWER = 0.85
"""A core of less than this share of the fastest one's speed is of a slower type: cores of one type differ by a little
too, in the frequency that their maker allows each of them."""

_AMD = "AuthenticAMD"


@dataclass(frozen=True)
class CoreType:
    """Cores that are as fast as one another, and what they are called."""

    name: str
    cores: tuple[int, ...]


def core_types(root: Path) -> tuple[CoreType, ...]:
    """The types, the fastest first; none where all cores are alike, or the machine does not say."""
    devices = root / "sys/devices"
    listed = [
        CoreType(name, cores)
        for name, folder in (("performance", "cpu_core"), ("efficiency", "cpu_atom"))
        if (cores := cores_in(text_at(devices / folder / "cpus")))
    ]
    if listed:
        return tuple(listed) if len(listed) > 1 else ()
    speeds, unit = _speeds(root)
    groups: list[list[int]] = []
    fastest = 0.0
    for core in sorted(speeds, key=lambda core: (-speeds[core], core)):
        if speeds[core] < SLOWER * fastest or not groups:
            groups.append([])
            fastest = speeds[core]
        groups[-1].append(core)
    if len(groups) < 2:
        return ()
    parts = processor.part_names(root)
    return tuple(CoreType(_name(group, parts, speeds, unit), tuple(sorted(group))) for group in groups)


def best_first(cores: Sequence[int], types: Sequence[CoreType]) -> tuple[int, ...]:
    """The cores by type, the fastest first, of each type the last ones first: core 0 serves most interrupts. Cores of
    no type come last."""
    rank = {core: number for number, kind in enumerate(types) for core in kind.cores}
    return tuple(sorted(cores, key=lambda core: (rank.get(core, len(types)), -core)))


def type_of(cores: Sequence[int], types: Sequence[CoreType]) -> str:
    """What the types of these cores are called; empty where all cores are alike."""
    return " + ".join(kind.name for kind in types if set(kind.cores) & set(cores))


def _name(cores: Sequence[int], parts: Mapping[int, str], speeds: Mapping[int, float], unit: str) -> str:
    named = list(dict.fromkeys(parts[core] for core in cores if core in parts))
    return " and ".join(named) or f"{unit} {max(speeds[core] for core in cores):g}"


def _speeds(root: Path) -> tuple[dict[int, float], str]:
    """How fast each core is, by the first measure that the machine exposes, and what that is called."""
    measures = [("cpu_capacity", 1.0, "capacity"), ("cpufreq/cpuinfo_max_freq", 1000.0, "MHz")]
    if not processor.is_made_by(root, _AMD):  # there it ranks cores of one type
        measures.append(("acpi_cppc/highest_perf", 1.0, "performance"))
    for file, scale, unit in measures:
        found = {core: number_at(folder / file) for core, folder in processor.core_folders(root).items()}
        known = {core: value / scale for core, value in found.items() if value}
        if known:
            return known, unit
    return {}, ""
