"""Digests of named arrays."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np

from evaluators.tensors import Array


def arrays_digest(arrays: Mapping[str, Array]) -> str:
    """Computes the SHA-256 of names, types, shapes and values, in the order of the names."""
    state = hashlib.sha256()
    for name in sorted(arrays):
        values = np.ascontiguousarray(arrays[name])
        state.update(f"{name} {values.dtype.str} {np.shape(arrays[name])}".encode())
        if values.dtype.hasobject:  # the bytes of objects are pointers
            for element in values.ravel():
                text = element if isinstance(element, bytes) else str(element).encode("utf-8", "surrogatepass")
                state.update(f"{type(element).__name__} {len(text)} ".encode() + text)
        else:
            state.update(values.data.cast("B") if values.size else b"")
    return state.hexdigest()
