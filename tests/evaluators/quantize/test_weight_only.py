from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx_menagerie import ANIMALS

from evaluators.graphs.cleanup import clean_graph
from evaluators.graphs.layer_groups import layer_groups
from evaluators.graphs.model import serialize
from evaluators.graphs.reference_run import run_once
from evaluators.quantize import Quantizer, Scheme
from evaluators.quantize.weights import pack_blocks
from hwprofiles.precision import Precision as P

ExecutedOps = Callable[..., Counter[str]]
BITS = {P.INT8_WEIGHT: 8, P.INT4_WEIGHT: 4}


def weight_only(name: str, precision: P, scheme: Scheme | None = None) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    model = clean_graph(ANIMALS[name].build())
    groups = layer_groups(model)
    chosen = {group.name: precision for group in groups if precision in group.precisions}
    return model, Quantizer(model, groups, None, scheme).apply(chosen)


def unpacked(matrix: np.ndarray, bits: int, size: int, *, asymmetric: bool) -> np.ndarray:
    """What a runtime makes of packed blocks, written from the operator's specification."""
    packed, scales, zeros = pack_blocks(matrix, bits, size, asymmetric=asymmetric)
    outputs, blocks, _ = packed.shape
    integers = packed if bits == 8 else np.stack([packed & 15, packed >> 4], -1).reshape(outputs, blocks, size)
    if zeros is None:
        points = np.full((outputs, blocks), 2 ** (bits - 1))
    elif bits == 8:
        points = zeros.reshape(outputs, blocks)
    else:
        rows = zeros.reshape(outputs, -1)
        points = np.stack([rows & 15, rows >> 4], -1).reshape(outputs, -1)[:, :blocks]
    values = (integers.astype(float) - points[..., None]) * scales.reshape(outputs, blocks, 1)
    return values.reshape(outputs, -1)[:, : matrix.shape[0]].T


@pytest.mark.parametrize("asymmetric", [False, True])
@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("shape", [(64, 3), (40, 17), (7, 5), (96, 2)])
def test_blocks_hold_the_weights(shape: tuple[int, int], bits: int, asymmetric: bool) -> None:
    matrix = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    matrix[:5] = 0
    step = np.abs(matrix).max() * 2 / (2**bits - 1)
    assert np.abs(unpacked(matrix, bits, 32, asymmetric=asymmetric) - matrix).max() <= 1.1 * step


@pytest.mark.parametrize("asymmetric", [False, True])
@pytest.mark.parametrize("size", [16, 64, 128])
@pytest.mark.parametrize("precision", BITS)
def test_the_runtime_reads_the_blocks_so(precision: P, size: int, asymmetric: bool, executed_ops: ExecutedOps) -> None:
    scheme = Scheme(block_size=size, asymmetric_blocks=asymmetric)
    for name in ("odd_sizes", "perceptron_of_peculiar_gemms"):
        model, built = weight_only(name, precision, scheme)
        assert executed_ops(built)["MatMulNBits"] == sum(
            len(group.nodes) for group in layer_groups(model) if precision in group.precisions
        )
        exact = onnx.ModelProto()
        exact.CopyFrom(model)
        swapped = {name for group in layer_groups(model) for name in group.nodes}
        for node in exact.graph.node:
            if node.name in swapped:
                _round_weight(exact, node, BITS[precision], scheme)
        feed = ANIMALS[name].feeds(1)[0]
        found = run_once(built, feed)
        for output, expected in run_once(exact, feed).items():
            np.testing.assert_allclose(found[output], expected, rtol=1e-3, atol=1e-3)


def _round_weight(model: onnx.ModelProto, node: onnx.NodeProto, bits: int, scheme: Scheme) -> None:
    tensor = next(t for t in model.graph.initializer if t.name == node.input[1])
    transposed = any(a.name == "transB" and a.i for a in node.attribute)
    value = onnx.numpy_helper.to_array(tensor)
    matrix = value.T if transposed else value
    rounded = unpacked(np.ascontiguousarray(matrix), bits, scheme.block_size, asymmetric=scheme.asymmetric_blocks)
    rounded = rounded.T if transposed else rounded
    tensor.CopyFrom(onnx.numpy_helper.from_array(np.ascontiguousarray(rounded, np.float32), tensor.name))


@pytest.mark.parametrize("precision", BITS)
def test_integer_compute(precision: P) -> None:
    scheme = Scheme(integer_compute=True)
    model, built = weight_only("odd_sizes", precision, scheme)
    assert {a.i for node in built.graph.node for a in node.attribute if a.name == "accuracy_level"} == {4}
    feed = ANIMALS["odd_sizes"].feeds(1)[0]
    np.testing.assert_allclose(run_once(built, feed)["y"], run_once(model, feed)["y"], atol=0.5)


def test_embeddings_of_integers(executed_ops: ExecutedOps) -> None:
    model = clean_graph(ANIMALS["encoder"].build())
    groups = layer_groups(model)
    table = next(group for group in groups if group.kind == "Gather")
    for scheme in (Scheme(), Scheme(per_channel_weights=False)):
        built = Quantizer(model, groups, None, scheme).apply({table.name: P.INT8_WEIGHT})
        assert len(serialize(model)) - len(serialize(built)) > 2.5 * table.weights
        feed = ANIMALS["encoder"].feeds(1)[0]
        np.testing.assert_allclose(run_once(built, feed)["y"], run_once(model, feed)["y"], atol=0.1)


def test_files_become_smaller() -> None:
    for precision, factor in ((P.INT8_WEIGHT, 1.8), (P.INT4_WEIGHT, 1.2)):
        model, built = weight_only("language_model_with_tied_embedding", precision)
        assert len(serialize(built)) < len(serialize(model)) / factor
        assert {entry.domain for entry in built.opset_import} == {"", "com.microsoft"}
