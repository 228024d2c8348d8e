"""What a machine's processor and system are, as far as they say so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Cache:
    """One cache: its ``level``, what it holds (``data``, ``instruction`` or ``unified``), its size, and how many
    logical cores share it."""

    level: int
    kind: str
    size_bytes: int
    shared_by: int


@dataclass(frozen=True)
class Machine:
    """Everything about a processor and its system that can change a latency and stays until somebody changes it.

    What the machine does not expose is None (or empty), never a guess. ``siblings`` lists the logical cores of each
    physical one. ``base_mhz`` and ``max_mhz`` are what the processor is made for; the frequency of the moment is no
    part of it. ``virtualisation`` is ``none`` where the machine says that it is not virtual.
    """

    architecture: str | None = None
    processor: str | None = None
    microcode: str | None = None
    instruction_sets: tuple[str, ...] = ()
    sockets: int | None = None
    siblings: tuple[tuple[int, ...], ...] = ()
    caches: tuple[Cache, ...] = ()
    base_mhz: float | None = None
    max_mhz: float | None = None
    governor: str | None = None
    energy_preference: str | None = None
    boost: bool | None = None
    memory_bytes: int | None = None
    huge_pages: str | None = None
    kernel: str | None = None
    system: str | None = None
    virtualisation: str | None = None
    container: str | None = None

    @property
    def physical_cores(self) -> int | None:
        """How many cores there are, not counting SMT siblings."""
        return len(self.siblings) or None

    @property
    def logical_cores(self) -> int | None:
        """How many cores the system schedules on."""
        return sum(map(len, self.siblings)) or None

    def to_dict(self) -> dict[str, Any]:
        """As JSON-able data."""
        data = asdict(self)
        data["instruction_sets"] = list(self.instruction_sets)
        data["siblings"] = [list(group) for group in self.siblings]
        data["caches"] = [asdict(cache) for cache in self.caches]
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Machine:
        """The inverse of :meth:`to_dict`."""
        values = dict(data)
        values["instruction_sets"] = tuple(values["instruction_sets"])
        values["siblings"] = tuple(tuple(group) for group in values["siblings"])
        values["caches"] = tuple(Cache(**cache) for cache in values["caches"])
        return cls(**values)
