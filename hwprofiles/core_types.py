"""Core types: some processors combine fast cores and slow ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hwprofiles import processor
from hwprofiles.sysfs import cores_in, number_at, text_at

SLOWER = 0.85
"""A core below this share of the fastest core's speed is of a slower type. Cores of one type differ a little: their
maximum frequencies are not all the same."""

_AMD = "AuthenticAMD"


@dataclass(frozen=True)
class CoreType:
    """Cores of equal speed."""

    name: str
    cores: tuple[int, ...]
    """Ids of the cores."""


def core_types(root: Path) -> tuple[CoreType, ...]:
    """Returns the core types, fastest first; empty if all cores are alike or the machine does not say."""
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
    """Returns the cores sorted by type, fastest first, then by descending id: core 0 serves most interrupts.

    Cores of no type come last.
    """
    rank = {core: number for number, kind in enumerate(types) for core in kind.cores}
    return tuple(sorted(cores, key=lambda core: (rank.get(core, len(types)), -core)))


def type_of(cores: Sequence[int], types: Sequence[CoreType]) -> str:
    """Returns the names of these cores' types, joined by `` + ``; empty if all cores are alike."""
    return " + ".join(kind.name for kind in types if set(kind.cores) & set(cores))


def _name(cores: Sequence[int], parts: Mapping[int, str], speeds: Mapping[int, float], unit: str) -> str:
    named = list(dict.fromkeys(parts[core] for core in cores if core in parts))
    return " and ".join(named) or f"{unit} {max(speeds[core] for core in cores):g}"


def _speeds(root: Path) -> tuple[dict[int, float], str]:
    """Returns the speed of each core by the first measure that the machine exposes, and the name of that measure."""
    measures = [("cpu_capacity", 1.0, "capacity"), ("cpufreq/cpuinfo_max_freq", 1000.0, "MHz")]
    if not processor.is_made_by(root, _AMD):  # on AMD it ranks cores of one type
        measures.append(("acpi_cppc/highest_perf", 1.0, "performance"))
    for file, scale, unit in measures:
        values = {core: number_at(folder / file) for core, folder in processor.core_folders(root).items()}
        speeds = {core: value / scale for core, value in values.items() if value}
        if speeds:
            return speeds, unit
    return {}, ""
