"""Reads an operating system's properties: kernel, memory, quotas, virtualisation."""

from __future__ import annotations

import re
from pathlib import Path

from hwprofiles import processor
from hwprofiles.sysfs import first_text, number_at, text_at

# Hypervisors by the vendor names in firmware tables.
_MAKERS = {
    "qemu": "kvm", "kvm": "kvm", "amazon ec2": "kvm", "google": "kvm", "openstack": "kvm", "alibaba": "kvm",
    "vmware": "vmware", "microsoft": "hyper-v", "virtualbox": "virtualbox", "innotek": "virtualbox", "xen": "xen",
    "parallels": "parallels", "apple virtualization": "apple", "bochs": "bochs",
}  # fmt: skip

_CONTAINERS = ("kubepods", "docker", "libpod", "lxc", "containerd")


def memory_bytes(root: Path) -> int | None:
    """Physical memory of a machine, limited by its control group."""
    match = re.search(r"^MemTotal:\s*(\d+) kB", text_at(root / "proc/meminfo") or "", re.MULTILINE)
    limits = [number_at(folder / name) for folder in _group_folders(root) for name in _MEMORY_LIMITS]
    total = int(match[1]) * 1024 if match else None
    return min((value for value in (total, *limits) if value is not None), default=None)


_MEMORY_LIMITS = ("memory.max", "memory.limit_in_bytes")


def quota_cores(root: Path) -> int | None:
    """Whole cores that the control group's quota allows this process; None without a quota."""
    quotas = [quota for folder in _group_folders(root) if (quota := _quota(folder)) is not None]
    return min(quotas, default=None)


def _quota(folder: Path) -> int | None:
    numbers = (text_at(folder / "cpu.max") or "").split()
    if not numbers:
        numbers = [text_at(folder / f"cpu.cfs_{name}_us") or "" for name in ("quota", "period")]
    try:
        quota, period = map(int, numbers)
    except ValueError:
        return None
    return quota // period if quota >= 0 and period > 0 else None


def _group_folders(root: Path) -> list[Path]:
    """Folders that may hold limits of this process's control group: the mount, the group and its parents.

    Covers versions 1 and 2.
    """
    mount = root / "sys/fs/cgroup"
    folders = [mount, mount / "cpu", mount / "memory"]
    for line in (text_at(root / "proc/self/cgroup") or "").splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if ".." in path.split("/") or not {"", "cpu", "memory"} & set(controllers.split(",")):
            continue
        parts = [part for part in path.split("/") if part]
        base = mount / controllers if controllers else mount
        folders += [base.joinpath(*parts[:depth]) for depth in range(1, len(parts) + 1)]
    return folders


def kernel(root: Path) -> str | None:
    """Returns the kernel's release."""
    return text_at(root / "proc/sys/kernel/osrelease")


def system(root: Path) -> str | None:
    """Returns the operating system's name."""
    text = first_text((root / "etc/os-release", root / "usr/lib/os-release")) or ""
    match = re.search(r"^PRETTY_NAME=(.*)$", text, re.MULTILINE)
    return match[1].strip("\"'") or None if match else None


def huge_pages(root: Path) -> str | None:
    """Returns the setting of transparent huge pages: ``always``, ``madvise`` or ``never``."""
    match = re.search(r"\[(\w+)\]", text_at(root / "sys/kernel/mm/transparent_hugepage/enabled") or "")
    return match[1] if match else None


def virtualisation(root: Path) -> str | None:
    """Returns the hypervisor: its name, ``yes`` for an unknown one, ``none`` for bare metal."""
    named = text_at(root / "sys/hypervisor/type")
    if named is not None:
        return named.lower()
    tree = text_at(root / "proc/device-tree/hypervisor/compatible")
    if tree is not None:
        return tree.rpartition(",")[2]
    virtual = processor.is_virtual(root)
    if virtual is False:
        return "none"
    firmware = " ".join(text_at(root / "sys/class/dmi/id" / name) or "" for name in ("sys_vendor", "product_name"))
    maker = next((short for long, short in _MAKERS.items() if long in firmware.lower()), None)
    if virtual:
        return maker or "yes"
    board = text_at(root / "proc/device-tree/model")
    if board is None:
        return None
    return "yes" if "virt" in board.lower() else "none"


def container(root: Path) -> str | None:
    """Returns the container runtime around this process; None if none is visible (containers may hide)."""
    if (root / "run/.containerenv").exists():
        return "podman"
    if (root / ".dockerenv").exists():
        return "docker"
    groups = text_at(root / "proc/1/cgroup") or ""
    return next((name for name in _CONTAINERS if name in groups), None)
