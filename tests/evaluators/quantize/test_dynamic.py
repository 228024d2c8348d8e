from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx_menagerie import ANIMALS

from evaluators.graphs.cleanup import clean_graph
from evaluators.graphs.layer_groups import layer_groups
from evaluators.graphs.reference_run import run_once
from evaluators.quantize import Quantizer, Scheme
from hwprofiles.precision import Precision as P

ExecutedOps = Callable[..., Counter[str]]
PRODUCTS = {"MatMulIntegerToFloat", "DynamicQuantizeMatMul"}


def dynamic(name: str, scheme: Scheme | None = None) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    model = clean_graph(ANIMALS[name].build())
    groups = layer_groups(model)
    chosen = {group.name: P.INT8_DYNAMIC for group in groups if P.INT8_DYNAMIC in group.precisions}
    return model, Quantizer(model, groups, None, scheme).apply(chosen)


def test_readers_of_one_tensor_share_its_quantization(executed_ops: ExecutedOps) -> None:
    _, built = dynamic("encoder")
    assert sum(node.op_type == "DynamicQuantizeLinear" for node in built.graph.node) == 8  # for 12 products
    executed = executed_ops(built)
    assert executed["DynamicQuantizeLinear"] == 2  # q/k/v of two layers; the others are inside their products
    assert executed["MatMulIntegerToFloat"] == executed["DynamicQuantizeMatMul"] == 6


def test_biases_are_part_of_the_products(executed_ops: ExecutedOps) -> None:
    executed = executed_ops(dynamic("encoder")[1])
    assert executed["Add"] == 2  # the masks
    assert not executed["MatMulInteger"] + executed["Cast"] - 1
    executed = executed_ops(dynamic("odd_sizes")[1])
    assert set(executed) <= {*PRODUCTS, "Relu"}


@pytest.mark.parametrize("name", ["perceptron_of_peculiar_gemms", "language_model_with_tied_embedding"])
def test_gemms_are_not_forgotten(name: str, executed_ops: ExecutedOps) -> None:
    model, built = dynamic(name)
    layers = sum(len(group.nodes) for group in layer_groups(model) if P.INT8_DYNAMIC in group.precisions)
    executed = executed_ops(built)
    assert sum(executed[kind] for kind in PRODUCTS) == layers


def test_recurrent_nets_and_attention(executed_ops: ExecutedOps) -> None:
    for name, kind, count in (
        ("recurrent_nets_time_first", "DynamicQuantizeLSTM", 1),
        ("recurrent_net_batch_first_with_states", "DynamicQuantizeLSTM", 1),
        ("torch_recurrent_batch_first", "DynamicQuantizeLSTM", 2),
        ("operators_of_the_runtime", "QAttention", 1),
    ):
        model, built = dynamic(name)
        assert executed_ops(built)[kind] == count
        feed = ANIMALS[name].feeds(1, seed=4)[0]
        found = run_once(built, feed)
        for output, expected in run_once(model, feed).items():
            np.testing.assert_allclose(found[output], expected, atol=0.05 * np.abs(expected).max())


def test_no_rows_are_no_error() -> None:
    model, built = dynamic("odd_sizes")
    empty = {"x": np.zeros((0, 40), np.float32)}
    assert run_once(built, empty)["y"].shape == run_once(model, empty)["y"].shape == (0, 3)


@pytest.mark.parametrize("scheme", [Scheme(per_channel_weights=False), Scheme(reduce_range=True)])
def test_schemes(scheme: Scheme, executed_ops: ExecutedOps) -> None:
    model, built = dynamic("encoder", scheme)
    assert sum(executed_ops(built)[kind] for kind in PRODUCTS) == 12
    feed = ANIMALS["encoder"].feeds(1)[0]
    np.testing.assert_allclose(run_once(built, feed)["y"], run_once(model, feed)["y"], atol=0.3)


def test_convolutions_are_left_alone() -> None:
    model, built = dynamic("residual_net_opset_13")
    assert sum(node.op_type == "Conv" for node in built.graph.node) == 6
    assert all(P.INT8_DYNAMIC not in group.precisions for group in layer_groups(model) if group.kind == "Conv")
