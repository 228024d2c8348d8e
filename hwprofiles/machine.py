"""A machine's processor and system, as far as they describe themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Cache:
    """One cache of a processor."""

    level: int
    kind: str
    """``data``, ``instruction`` or ``unified``."""
    size_bytes: int
    shared_by: int
    """Number of logical cores that share it."""


@dataclass(frozen=True)
class Machine:
    """Everything about a processor and its system that affects latency and does not change by itself.

    Values that the machine does not expose are None or empty, never guesses.
    """

    architecture: str | None = None
    processor: str | None = None
    microcode: str | None = None
    instruction_sets: tuple[str, ...] = ()
    sockets: int | None = None
    siblings: tuple[tuple[int, ...], ...] = ()
    """The logical cores of each physical core."""
    caches: tuple[Cache, ...] = ()
    base_mhz: float | None = None
    """Rated frequency."""
    max_mhz: float | None = None
    """Highest rated frequency."""
    governor: str | None = None
    energy_preference: str | None = None
    boost: bool | None = None
    memory_bytes: int | None = None
    huge_pages: str | None = None
    kernel: str | None = None
    system: str | None = None
    virtualisation: str | None = None
    """``none`` if the machine says that it is not virtual."""
    container: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as JSON-able data."""
        data = asdict(self)
        data["instruction_sets"] = list(self.instruction_sets)
        data["siblings"] = [list(group) for group in self.siblings]
        data["caches"] = [asdict(cache) for cache in self.caches]
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Machine:
        """Returns the inverse of :meth:`to_dict`."""
        values = dict(data)
        values["instruction_sets"] = tuple(values["instruction_sets"])
        values["siblings"] = tuple(tuple(group) for group in values["siblings"])
        values["caches"] = tuple(Cache(**cache) for cache in values["caches"])
        return cls(**values)
