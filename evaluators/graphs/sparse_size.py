"""Computes the file size of a sparse model as if its zeros were not stored."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

from evaluators.tensors import Array

PLAIN = (np.float64, np.float32, np.float16, np.int8, np.uint8)
"""Number types that are encoded; others stay dense."""


def bitmask_bytes(values: Array) -> int:
    """Returns the bytes of a tensor stored as a bitmask (one bit per value) and its nonzero values; dense if smaller.

    For 2:4 sparsity this equals the usual index of two bits per nonzero value: one bit per value either way.
    """
    dense = int(values.nbytes)
    if values.dtype.type not in PLAIN:
        return dense
    return min(dense, -(-values.size // 8) + int(np.count_nonzero(values)) * values.itemsize)


def sparse_size_bytes(model: onnx.ModelProto) -> int:
    """Returns the bytes of the model's file with every initializer encoded by :func:`bitmask_bytes`.

    No runtime reads such a file: this is the size for storing or sending it, not its size in memory.
    """
    total: int = model.ByteSize()
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        total -= int(values.nbytes) - bitmask_bytes(values)
    return total


def sparsity(model: onnx.ModelProto) -> float:
    """Returns the share of zeros in all initializers with two or more axes; 0 if there are none."""
    weights = [numpy_helper.to_array(tensor) for tensor in model.graph.initializer if len(tensor.dims) >= 2]
    total = sum(values.size for values in weights)
    return sum(values.size - int(np.count_nonzero(values)) for values in weights) / total if total else 0.0
