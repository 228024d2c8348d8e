"""What a model answers on a remote device: how it travels, and how far it may lie from what it answers here."""

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
"""As an archive; as text in JSON a third more, which stays below what a server takes."""

ROUNDING = 0.01
"""Up to this share two answers differ by rounding alone: kernels sum floats in another order, and where a value lies
between two integers one takes the upper and one the lower."""

_HINT = "install the same version of Paretune on both sides"


def run_samples(session: Session, samples: Arrays, batch: int) -> dict[str, Array]:
    """What a session answers to one inference's input as it is, and to more samples in batches."""
    if _is_one_feed(session, samples, batch):
        with working():
            outputs = session.run(samples)
        check_finite(outputs.items())
        return outputs
    return run_all(session, samples, batch=batch, workers=1)


def _is_one_feed(session: Session, samples: Arrays, batch: int) -> bool:
    for spec in session.inputs:
        values = samples.get(spec.name)
        if values is None or values.ndim != len(spec.shape):
            return False
        if any(wanted not in (None, size) for wanted, size in zip(spec.shape, values.shape, strict=True)):
            return False
        if spec.shape and spec.shape[0] is None and len(values) > batch:
            return False
    return True


def outputs_answer(outputs: Arrays) -> dict[str, Any]:
    """The answer that holds these outputs; raises :class:`UnsupportedOp` for more than ``MAX_OUTPUT_BYTES``."""
    size_bytes = sum(values.nbytes for values in outputs.values())
    data = pack_arrays(outputs) if size_bytes <= MAX_OUTPUT_BYTES else b""
    if not data or len(data) > MAX_OUTPUT_BYTES:
        raise UnsupportedOp(f"the outputs have {size_bytes} bytes, more than the {MAX_OUTPUT_BYTES} that travel")
    return {"outputs": {"npz": base64.b64encode(data).decode(), "sha256": hashlib.sha256(data).hexdigest()}}


def outputs_in(answer: Mapping[str, Any]) -> dict[str, Array]:
    """The outputs that an answer holds; raises :class:`BuildFailed` for what is none."""
    found = answer.get("outputs")
    if not isinstance(found, Mapping) or set(found) != {"npz", "sha256"} or not isinstance(found["npz"], str):
        raise BuildFailed("the agent sent outputs that cannot be read", _HINT)
    try:
        data = base64.b64decode(found["npz"], validate=True)
    except (binascii.Error, ValueError):
        raise BuildFailed("the agent sent outputs that cannot be read", _HINT) from None
    if len(data) > MAX_OUTPUT_BYTES or hashlib.sha256(data).hexdigest() != found["sha256"]:
        raise BuildFailed("the agent sent outputs that are not what they are said to be", _HINT)
    try:
        return unpack_arrays(data, MAX_OUTPUT_BYTES)
    except InvalidInput as error:
        raise BuildFailed(f"the agent sent outputs that cannot be read: {error.message}", _HINT) from None


def difference(here: Arrays, there: Arrays) -> float:
    """By what share two answers of one model to one sample differ: of floats the root mean square of their difference
    over that of ``here``, of other outputs the share of entries that are not equal; the largest over outputs. Infinite
    where their names or shapes differ."""
    if here.keys() != there.keys():
        return math.inf
    return max((_difference(values, there[name]) for name, values in here.items()), default=0.0)


def _difference(here: Array, there: Array) -> float:
    if here.shape != there.shape:
        return math.inf
    if here.dtype.kind != "f" or there.dtype.kind != "f":
        return float(np.mean(here.astype(str) != there.astype(str))) if here.size else 0.0
    a, b = here.astype(np.float64), there.astype(np.float64)
    if not np.isfinite(b).all():
        return math.inf
    off = float(np.sqrt(np.mean((a - b) ** 2))) if a.size else 0.0
    size = float(np.sqrt(np.mean(a**2))) if a.size else 0.0
    return off / size if size > 0 else math.inf if off > 0 else 0.0
