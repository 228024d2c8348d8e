"""Which cores a process uses that may use only so many of all: those that others leave idle."""

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
from hwprofiles.folders import data_folder
from hwprofiles.processor import siblings
from hwprofiles.sysfs import text_at

LOOK_S = 0.5

_chosen: dict[tuple[Path, tuple[int, ...], int], tuple[int, ...]] = {}


def chosen_cores(cores: Sequence[int], count: int, root: Path) -> tuple[int, ...]:
    """``count`` of the cores, chosen when first asked and the same ones from then on, in other processes too: they are
    part of a profile, and a job goes on only on the device that it began on. The choice is kept in the data folder."""
    key = root, tuple(cores), count
    if key not in _chosen:
        try:
            file = data_folder() / f"cores-{digest_of([list(cores), count])[:16]}.json"
        except StorageError:
            file = None
        _chosen[key] = _kept(file, cores, count) or _keep(file, idlest(cores, count, root), cores)
    return _chosen[key]


def idlest(
    cores: Sequence[int], count: int, root: Path, sleep: Callable[[float], None] = time.sleep
) -> tuple[int, ...]:
    """``count`` of the cores: of the fastest type, of different physical cores as far as there are so many, those that
    were busy least in a short look, their sibling threads included; the last ones where all were alike or the machine
    does not count."""
    groups = siblings(root)
    group = {core: number for number, members in enumerate(groups) for core in members}
    before = _busy(root)
    if before:
        sleep(LOOK_S)
    after = _busy(root)
    spent = {core: ticks - before[core] for core, ticks in after.items() if core in before}

    def busy(core: int) -> int:
        members = groups[group[core]] if core in group else (core,)
        return sum(spent.get(one, 0) for one in members)

    types = core_types(root)
    rank = {core: number for number, kind in enumerate(types) for core in kind.cores}
    ordered = sorted(best_first(cores, types), key=lambda core: (rank.get(core, len(types)), busy(core)))
    return tuple(sorted(spread(ordered, groups)[:count]))


def spread(ordered: Iterable[int], groups: Sequence[Sequence[int]]) -> list[int]:
    """The cores in their order, one of each physical core first, then their SMT siblings, which share that."""
    group = {core: number for number, members in enumerate(groups) for core in members}
    firsts: list[int] = []
    others: list[int] = []
    taken: set[int] = set()
    for core in ordered:
        physical = group.get(core, -1 - core)
        (others if physical in taken else firsts).append(core)
        taken.add(physical)
    return [*firsts, *others]


def _busy(root: Path) -> dict[int, int]:
    """Ticks in which each core did not idle, since the machine's start; hypervisors' included."""
    found = {}
    for line in (text_at(root / "proc/stat") or "").splitlines():
        name, *counts = line.split()
        if name.startswith("cpu") and name[3:].isdecimal() and len(counts) >= 8 and all(map(str.isdecimal, counts)):
            user, nice, system, _idle, _waiting, *others = map(int, counts[:8])
            found[int(name[3:])] = user + nice + system + sum(others)
    return found


def _kept(file: Path | None, cores: Sequence[int], count: int) -> tuple[int, ...]:
    """What was chosen of these cores before; empty where nothing was, or the file says nonsense."""
    try:
        found = [] if file is None else json.loads(file.read_text())
    except (OSError, ValueError):
        return ()
    usable = isinstance(found, list) and len(found) == count and all(core in cores for core in found)
    return tuple(found) if usable else ()


def _keep(file: Path | None, chosen: tuple[int, ...], cores: Sequence[int]) -> tuple[int, ...]:
    """Keeps a choice where that is possible. Of two processes that choose at once the first one's counts."""
    if file is None:
        return chosen
    partial = file.with_name(f".{file.name}.{os.getpid()}.partial")
    with suppress(OSError):
        partial.write_text(json.dumps(chosen))
        try:
            os.link(partial, file)
        except FileExistsError:
            chosen = _kept(file, cores, len(chosen)) or chosen
            partial.write_text(json.dumps(chosen))
            partial.replace(file)
    partial.unlink(missing_ok=True)
    return chosen
