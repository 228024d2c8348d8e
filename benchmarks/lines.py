"""What a search does meanwhile, for whoever waits for a benchmark."""

from __future__ import annotations

import sys

from search.controller.progress import Status, Watcher


class Lines(Watcher):
    """Progress on stderr, a line each time, after the name of what is searched."""

    def __init__(self, *name: str) -> None:
        self._name = name

    def update(self, status: Status) -> None:
        """See the base class."""
        figures = f"{status.finished} done, {status.front} on the front, best {status.best_speedup}"
        print(*self._name, status.phase, status.message, figures, file=sys.stderr, flush=True)
