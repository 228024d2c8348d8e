"""A cache of recent values, bounded in bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")

MOST_BYTES = 256 * 2**20


class Recent(Generic[K, V]):
    """Values by key; the least recently used go first when all together exceed ``most_bytes``.

    The newest always stays. ``size`` gives the bytes of a value. Used from one thread.
    """

    def __init__(self, size: Callable[[V], int], most_bytes: int = MOST_BYTES) -> None:
        self._size, self._most = size, most_bytes
        self._values: OrderedDict[K, tuple[V, int]] = OrderedDict()

    def get(self, key: K, make: Callable[[], V]) -> V:
        """Returns the value of this key, made if missing."""
        if key not in self._values:
            # Before it is made, since making it may need the memory.
            self._forget(keep=0)
            value = make()
            self._values[key] = value, self._size(value)
            self._forget(keep=1)
        self._values.move_to_end(key)
        return self._values[key][0]

    def __len__(self) -> int:
        return len(self._values)

    def _forget(self, keep: int) -> None:
        while len(self._values) > keep and sum(size for _, size in self._values.values()) > self._most:
            self._values.popitem(last=False)
