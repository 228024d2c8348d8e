"""A hardware profile: everything about a device that can change a latency, with a digest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from hwprofiles.digest import digest_of


@dataclass(frozen=True)
class Profile:
    """What a device is. Results of two digests are never mixed.

    ``simulated`` profiles are modelled: their records never share a front with measured ones. ``cores`` are the ids of
    the cores that a measurement is pinned to, ``threads`` of them used; ``batch`` is the samples in one inference.
    """

    device: str
    runtime: str
    runtime_version: str
    processor: str
    instruction_sets: tuple[str, ...]
    cores: tuple[int, ...]
    memory_bytes: int
    threads: int = 1
    batch: int = 1
    simulated: bool = False

    @cached_property
    def digest(self) -> str:
        """Changes when anything of the profile does."""
        return digest_of(self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """As JSON-able data; tuples become lists."""
        data = asdict(self)
        return {key: list(value) if isinstance(value, tuple) else value for key, value in data.items()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Profile:
        """The inverse of :meth:`to_dict`."""
        values = dict(data)
        values["instruction_sets"] = tuple(values["instruction_sets"])
        values["cores"] = tuple(values["cores"])
        return cls(**values)
