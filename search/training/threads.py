"""How many cores training takes: what it computes depends on it, in the last bits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from hwprofiles.probe import usable_cores


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """So many threads for torch meanwhile; None stands for one a usable core, whatever the process was given: workers
    are often told to use one."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or len(usable_cores()))
    try:
        yield
    finally:
        torch.set_num_threads(before)
