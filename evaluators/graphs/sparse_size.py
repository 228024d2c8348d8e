"""How large a sparse model's file would be if its zeros were left out."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

from evaluators.tensors import Array

PLAIN = (np.float64, np.float32, np.float16, np.int8, np.uint8)
"""Number types whose values are encoded; others stay as they are."""


def encoded_bytes(values: Array) -> int:
    """Bytes of a tensor as a bitmask, one bit a value that says whether it is zero, and the values that are not, in
    their own type; or of all its values as they are, where that is less.

    For 2:4 sparsity this is as small as the usual index of two bits a kept value: one bit a value either way.
    """
    dense = int(values.nbytes)
    if values.dtype.type not in PLAIN:
        return dense
    return min(dense, -(-values.size // 8) + int(np.count_nonzero(values)) * values.itemsize)


def sparse_size_bytes(model: onnx.ModelProto) -> int:
    """Bytes of the model's file with every initializer :func:`encoded <encoded_bytes>`. No runtime reads such a file as
    it is: this is what storing or sending it would take, not what it takes in memory."""
    total: int = model.ByteSize()
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        total -= int(values.nbytes) - encoded_bytes(values)
    return total


def sparsity(model: onnx.ModelProto) -> float:
    """The share of zeros among the values of all initializers of two axes or more; 0 where there are none."""
    weights = [numpy_helper.to_array(tensor) for tensor in model.graph.initializer if len(tensor.dims) >= 2]
    total = sum(values.size for values in weights)
    return sum(values.size - int(np.count_nonzero(values)) for values in weights) / total if total else 0.0
