"""Number of CPU threads for training; results depend on it in the last bits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from hwprofiles.probe import usable_cores


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Sets torch's number of threads within the context. None: one per usable core, even in a worker that was limited
    to fewer threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or len(usable_cores()))
    try:
        yield
    finally:
        torch.set_num_threads(before)
