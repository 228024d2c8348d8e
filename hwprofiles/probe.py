"""Probes this machine: processor, cores, memory, system."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from hwprofiles import processor, system
from hwprofiles.core_types import CoreType
from hwprofiles.core_types import core_types as types_at
from hwprofiles.idle_cores import choose_cores
from hwprofiles.installed import package_version, processor_runtimes
from hwprofiles.machine import Machine
from hwprofiles.sysfs import ROOT

__all__ = [
    "core_types", "instruction_sets", "memory_bytes", "package_version", "probe_machine", "processor_name",
    "processor_runtimes", "usable_cores",
]  # fmt: skip


def probe_machine(root: Path = ROOT) -> Machine:
    """Reads a machine's properties below ``root``; values that it does not expose stay None or empty."""
    return Machine(
        architecture=processor.architecture(root),
        processor=processor.processor_name(root),
        microcode=processor.microcode(root),
        instruction_sets=processor.instruction_sets(root),
        sockets=processor.sockets(root),
        siblings=processor.siblings(root),
        caches=processor.caches(root),
        base_mhz=processor.base_mhz(root),
        max_mhz=processor.max_mhz(root),
        governor=processor.governor(root),
        energy_preference=processor.energy_preference(root),
        boost=processor.boost(root),
        memory_bytes=system.memory_bytes(root),
        huge_pages=system.huge_pages(root),
        kernel=system.kernel(root),
        system=system.system(root),
        virtualisation=system.virtualisation(root),
        container=system.container(root),
    )


def usable_cores(root: Path = ROOT) -> tuple[int, ...]:
    """Ids of the cores that this process may use: its affinity, limited by the control group's quota.

    If there is a quota, :func:`hwprofiles.idle_cores.choose_cores` chooses among them.
    """
    if hasattr(os, "sched_getaffinity"):
        cores = tuple(sorted(os.sched_getaffinity(0)))
    else:
        cores = tuple(range(os.cpu_count() or 1))
    quota = system.quota_cores(root)
    return cores if quota is None or quota >= len(cores) else choose_cores(cores, max(1, quota), root)


def core_types(root: Path = ROOT) -> tuple[CoreType, ...]:
    """Returns the types of this machine's cores, fastest first; empty if all are alike."""
    return types_at(root)


def processor_name(root: Path = ROOT) -> str:
    """Returns the processor's name, or else the system's name for it."""
    return processor.processor_name(root) or platform.processor() or platform.machine()


def instruction_sets(root: Path = ROOT) -> tuple[str, ...]:
    """Returns the processor's instruction sets that matter to runtimes."""
    return processor.instruction_sets(root)


def memory_bytes(root: Path = ROOT) -> int:
    """Memory of this machine, limited by its control group."""
    size_bytes = system.memory_bytes(root)
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if size_bytes is None else size_bytes
