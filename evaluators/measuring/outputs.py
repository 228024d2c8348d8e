"""A model's outputs on a remote device: computed, sent, read, and compared with the local outputs."""

from __future__ import annotations

import base64
import binascii
import hashlib
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from evaluators.array_archive import pack_arrays, unpack_arrays
from evaluators.measuring.quality import check_finite, run_all
from evaluators.processes.locks import working
from evaluators.runtimes.base import Session
from evaluators.tensors import Array, Arrays
from hwprofiles.errors import BuildFailed, InvalidInput, UnsupportedOp

MAX_OUTPUT_BYTES = 8 * 2**20
"""Size of the archive; as text in JSON it is a third larger, which servers still accept."""

ROUNDING = 0.01
"""Largest difference that rounding can cause: kernels sum floats in different orders, and a value halfway between two
integers may be rounded either way."""

_HINT = "install the same version of Paretune on both sides"


def run_samples(session: Session, samples: Arrays, batch: int) -> dict[str, Array]:
    """Runs a session: once if ``samples`` is the input of one inference, else in batches."""
    if _is_single_input(session, samples, batch):
        with working():
            outputs = session.run(samples)
        check_finite(outputs.items())
        return outputs
    return run_all(session, samples, batch=batch, workers=1)


def _is_single_input(session: Session, samples: Arrays, batch: int) -> bool:
    for spec in session.inputs:
        values = samples.get(spec.name)
        if values is None or values.ndim != len(spec.shape):
            return False
        if any(expected not in (None, size) for expected, size in zip(spec.shape, values.shape, strict=True)):
            return False
        if spec.shape and spec.shape[0] is None and len(values) > batch:
            return False
    return True


def outputs_answer(outputs: Arrays) -> dict[str, Any]:
    """Packs outputs into an answer. Raises :class:`UnsupportedOp` for more than ``MAX_OUTPUT_BYTES``."""
    size_bytes = sum(values.nbytes for values in outputs.values())
    data = pack_arrays(outputs) if size_bytes <= MAX_OUTPUT_BYTES else b""
    if not data or len(data) > MAX_OUTPUT_BYTES:
        raise UnsupportedOp(f"the outputs have {size_bytes} bytes, more than the allowed {MAX_OUTPUT_BYTES}")
    return {"outputs": {"npz": base64.b64encode(data).decode(), "sha256": hashlib.sha256(data).hexdigest()}}


def outputs_in(answer: Mapping[str, Any]) -> dict[str, Array]:
    """Reads the outputs of an answer. Raises :class:`BuildFailed` for malformed ones."""
    packed = answer.get("outputs")
    if not isinstance(packed, Mapping) or set(packed) != {"npz", "sha256"} or not isinstance(packed["npz"], str):
        raise BuildFailed("the agent sent outputs that cannot be read", _HINT)
    try:
        data = base64.b64decode(packed["npz"], validate=True)
    except (binascii.Error, ValueError):
        raise BuildFailed("the agent sent outputs that cannot be read", _HINT) from None
    if len(data) > MAX_OUTPUT_BYTES or hashlib.sha256(data).hexdigest() != packed["sha256"]:
        raise BuildFailed("the agent sent outputs whose size or SHA-256 is wrong", _HINT)
    try:
        return unpack_arrays(data, MAX_OUTPUT_BYTES)
    except InvalidInput as error:
        raise BuildFailed(f"the agent sent outputs that cannot be read: {error.message}", _HINT) from None


def difference(reference: Arrays, outputs: Arrays) -> float:
    """Returns the relative difference between two sets of outputs; the largest over all outputs.

    For floats, the root mean square of the difference over that of ``reference``; for other types, the share of unequal
    entries. Infinite if names or shapes differ.
    """
    if reference.keys() != outputs.keys():
        return math.inf
    return max((_difference(values, outputs[name]) for name, values in reference.items()), default=0.0)


def _difference(reference: Array, values: Array) -> float:
    if reference.shape != values.shape:
        return math.inf
    if reference.dtype.kind != "f" or values.dtype.kind != "f":
        return float(np.mean(reference.astype(str) != values.astype(str))) if reference.size else 0.0
    a, b = reference.astype(np.float64), values.astype(np.float64)
    if not np.isfinite(b).all():
        return math.inf
    error = float(np.sqrt(np.mean((a - b) ** 2))) if a.size else 0.0
    size = float(np.sqrt(np.mean(a**2))) if a.size else 0.0
    return error / size if size > 0 else math.inf if error > 0 else 0.0
