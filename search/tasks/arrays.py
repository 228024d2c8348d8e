"""Digests of named arrays."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np

from evaluators.runtimes.base import Array


def arrays_digest(arrays: Mapping[str, Array]) -> str:
    """SHA-256 of names, types, shapes and bytes, in the order of the names."""
    state = hashlib.sha256()
    for name in sorted(arrays):
        values = np.ascontiguousarray(arrays[name])
        state.update(f"{name} {values.dtype.str} {values.shape}".encode())
        state.update(values.tobytes())
    return state.hexdigest()
