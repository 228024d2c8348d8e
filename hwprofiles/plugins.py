"""Registries: a literal mapping for what ships, one entry-point group for a user's own package."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar

T = TypeVar("T")


class Registry(Mapping[str, type[T]], Generic[T]):
    """Names to classes. A package adds its own by an entry point in ``group``; it cannot replace what ships.

    What ships may be named as ``module:Class``, so that its names are known before it is imported.

    >>> Registry("example.group", {"one": int})["one"]
    <class 'int'>
    """

    def __init__(self, group: str, shipped: Mapping[str, type[T] | str]) -> None:
        self.group = group
        self._shipped = dict(shipped)

    def __getitem__(self, name: str) -> type[T]:
        if name in self._shipped:
            kind = self._shipped[name]
            if isinstance(kind, str):
                module, _, attribute = kind.partition(":")
                kind = self._shipped[name] = getattr(import_module(module), attribute)
            return kind
        for point in installed_plugins(self.group):
            if point.name == name:
                loaded: type[T] = point.load()
                return loaded
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*self._shipped, *(point.name for point in installed_plugins(self.group))]))

    def __len__(self) -> int:
        return len(list(iter(self)))


def installed_plugins(group: str) -> Sequence[EntryPoint]:
    """Lists what installed packages add to an entry-point group. Reads them once a process, which takes 10 ms."""
    return _read_entry_points(group, tuple(sys.path))


@cache
def _read_entry_points(group: str, path: tuple[str, ...]) -> Sequence[EntryPoint]:
    return tuple(entry_points(group=group))
