"""Chooses idle cores for a process whose quota is smaller than the number of cores."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from hwprofiles.core_types import best_first, core_types
from hwprofiles.digest import digest_of
from hwprofiles.errors import StorageError
from hwprofiles.folders import data_folder, make_folder
from hwprofiles.processor import siblings
from hwprofiles.sysfs import text_at

LOOK_S = 0.5
"""How long the load of the cores is watched."""

_chosen: dict[tuple[Path, tuple[int, ...], int], tuple[int, ...]] = {}


def choose_cores(cores: Sequence[int], count: int, root: Path) -> tuple[int, ...]:
    """Chooses ``count`` of the cores; takes half a second the first time.

    The choice is stored in the data folder, so that all processes use the same cores: they are part of a profile, and a
    job resumes only on the profile that it started on.
    """
    key = root, tuple(cores), count
    if key not in _chosen:
        file = data_folder() / f"cores-{digest_of([list(cores), count])[:16]}.json"
        _chosen[key] = _read_choice(file, cores, count) or _store_choice(
            file, measure_idlest(cores, count, root), cores
        )
    return _chosen[key]


def measure_idlest(
    cores: Sequence[int], count: int, root: Path, sleep: Callable[[float], None] = time.sleep
) -> tuple[int, ...]:
    """Watches the cores for :data:`LOOK_S` seconds and picks ``count`` of them, as ids in ascending order.

    Preferred are cores of the fastest type, then the least busy ones (with their sibling threads), on different
    physical cores if possible. Among equals, or if the machine does not count, the last ones are picked.
    """
    groups = siblings(root)
    group = {core: number for number, members in enumerate(groups) for core in members}
    before = _busy_ticks(root)
    if before:
        sleep(LOOK_S)
    after = _busy_ticks(root)
    spent = {core: ticks - before[core] for core, ticks in after.items() if core in before}

    def busy(core: int) -> int:
        members = groups[group[core]] if core in group else (core,)
        return sum(spent.get(member, 0) for member in members)

    types = core_types(root)
    rank = {core: number for number, kind in enumerate(types) for core in kind.cores}
    ordered = sorted(best_first(cores, types), key=lambda core: (rank.get(core, len(types)), busy(core)))
    return tuple(sorted(spread(ordered, groups)[:count]))


def spread(ordered: Iterable[int], groups: Sequence[Sequence[int]]) -> list[int]:
    """Returns the cores in the given order: first one of each physical core, then their SMT siblings."""
    group = {core: number for number, members in enumerate(groups) for core in members}
    firsts: list[int] = []
    repeats: list[int] = []
    taken: set[int] = set()
    for core in ordered:
        physical = group.get(core, -1 - core)
        (repeats if physical in taken else firsts).append(core)
        taken.add(physical)
    return [*firsts, *repeats]


def _busy_ticks(root: Path) -> dict[int, int]:
    """Ticks in which each core was busy since the machine's start, stolen time included."""
    busy = {}
    for line in (text_at(root / "proc/stat") or "").splitlines():
        name, *counts = line.split()
        if name.startswith("cpu") and name[3:].isdecimal() and len(counts) >= 8 and all(map(str.isdecimal, counts)):
            user, nice, system, _idle, _waiting, *interrupts = map(int, counts[:8])
            busy[int(name[3:])] = user + nice + system + sum(interrupts)
    return busy


def _read_choice(file: Path, cores: Sequence[int], count: int) -> tuple[int, ...]:
    """Reads an earlier choice of these cores; empty if there is none or the file is invalid."""
    try:
        choice = json.loads(file.read_text())
    except (OSError, ValueError):
        return ()
    usable = isinstance(choice, list) and len(choice) == count and all(core in cores for core in choice)
    return tuple(choice) if usable else ()


def _store_choice(file: Path, chosen: tuple[int, ...], cores: Sequence[int]) -> tuple[int, ...]:
    """Stores a choice if possible, and returns the valid one: of two processes at once the first wins."""
    partial = file.with_name(f".{file.name}.{os.getpid()}.partial")
    with suppress(OSError, StorageError):
        make_folder(file.parent)
        partial.write_text(json.dumps(chosen))
        try:
            os.link(partial, file)
        except FileExistsError:
            chosen = _read_choice(file, cores, len(chosen)) or chosen
            partial.write_text(json.dumps(chosen))
            partial.replace(file)
    with suppress(OSError):
        partial.unlink(missing_ok=True)
    return chosen
