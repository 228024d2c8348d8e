"""A stopwatch that adds up seconds by name."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from evaluators.devices.deadline import Clock


class Stopwatch:
    """Adds up seconds by name, in the order in which the names first appear. Use from one thread.

    >>> moments = iter([0.0, 2.0, 5.0, 6.5])
    >>> watch = Stopwatch(lambda: next(moments))
    >>> with watch.timing("searching"):
    ...     pass
    >>> with watch.timing("searching"):
    ...     pass
    >>> watch.seconds
    {'searching': 3.5}
    """

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self.seconds: dict[str, float] = {}
        self._clock = clock

    @contextmanager
    def timing(self, name: str) -> Iterator[None]:
        """Adds the time spent inside the block, also if it raises."""
        start = self._clock()
        try:
            yield
        finally:
            self.seconds[name] = round(self.seconds.get(name, 0.0) + self._clock() - start, 3)
