from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnx_builder import Builder
from onnx_menagerie import ANIMALS

from evaluators.graphs.cleanup import clean_graph
from evaluators.graphs.layer_groups import LayerGroup, layer_groups
from evaluators.graphs.reference_run import run_once
from evaluators.quantize import Quantizer, Scheme, activation_tensors
from evaluators.quantize.calibration import Ranges, calibrate
from evaluators.quantize.weights import channel_scales
from hwprofiles.errors import BuildFailed, InvalidInput
from hwprofiles.precision import Precision as P

ExecutedOps = Callable[..., Counter[str]]
INT8 = "symmetric int8, as TensorRT wants it"
SCHEMES = {
    "asymmetric uint8": Scheme(),
    "symmetric uint8": Scheme(symmetric_activations=True),
    "asymmetric int8": Scheme(activation_type="int8"),
    INT8: Scheme(activation_type="int8", symmetric_activations=True, integer_bias=False),
    "per tensor": Scheme(per_channel_weights=False),
    "reduced range": Scheme(reduce_range=True),
}


def parts(model: onnx.ModelProto, feeds: list[dict[str, np.ndarray]]) -> tuple[tuple[LayerGroup, ...], Ranges]:
    groups = layer_groups(model)
    return groups, calibrate(model, feeds, activation_tensors(model, groups))


def all_int8(name: str, scheme: Scheme | None = None) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    model = clean_graph(ANIMALS[name].build())
    groups, ranges = parts(model, ANIMALS[name].feeds())
    chosen = {group.name: P.INT8 for group in groups if P.INT8 in group.precisions}
    return model, Quantizer(model, groups, ranges, scheme).apply(chosen)


def cosine(one: np.ndarray, two: np.ndarray) -> float:
    a, b = one.astype(np.float64).ravel(), two.astype(np.float64).ravel()
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_a_whole_net_stays_in_integers(executed_ops: ExecutedOps) -> None:
    _, built = all_int8("residual_net_opset_13")
    executed = executed_ops(built)
    assert executed.pop("Transpose") == 2  # the runtime's own change of layout
    assert executed == {
        "QuantizeLinear": 1,
        "QLinearConv": 6,
        "QLinearAdd": 2,
        "QLinearGlobalAveragePool": 1,
        "Flatten": 1,
        "QGemm": 1,
    }


def test_operators_between_layers_follow(executed_ops: ExecutedOps) -> None:
    executed = executed_ops(all_int8("mobile_net")[1])
    for kind in ("QLinearSigmoid", "QLinearMul", "QLinearLeakyRelu", "QLinearAveragePool", "QLinearGlobalAveragePool"):
        assert executed[kind] == 1, kind
    assert not executed["Clip"] + executed["Relu"]
    executed = executed_ops(all_int8("u_net_with_transposed_convolutions")[1])
    assert executed["QLinearConcat"] == executed["NhwcMaxPool"] == 1
    executed = executed_ops(all_int8("dense_net_with_padding_and_scales")[1])
    assert executed["QLinearAdd"] == executed["QLinearConcat"] == executed["QuantizeLinear"] == 1


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
@pytest.mark.parametrize(
    "name",
    ["residual_net_opset_13", "mobile_net", "u_net_with_transposed_convolutions", "odd_sizes", "vision_transformer",
     "pruned_convolutions_with_large_biases", "perceptron_of_peculiar_gemms", "encoder"],
)  # fmt: skip
def test_every_scheme_is_close(name: str, scheme: Scheme) -> None:
    model, built = all_int8(name, scheme)
    feed = ANIMALS[name].feeds(1, seed=3)[0]
    found = run_once(built, feed)
    for output, expected in run_once(model, feed).items():
        assert cosine(found[output], expected) > 0.99


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
def test_number_formats(scheme: Scheme) -> None:
    _, built = all_int8("residual_net_opset_13", scheme)
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in built.graph.initializer}
    zeros = {name: value for name, value in weights.items() if name.endswith("@zero")}
    assert zeros
    assert {value.dtype.name for value in zeros.values()} == {scheme.activation_type}
    if scheme.symmetric_activations:
        assert {int(value) for value in zeros.values()} == ({0} if scheme.activation_type == "int8" else {0, 128})
    role = "@int8_rows" if scheme.per_channel_weights else "@int8"
    integers = [value for name, value in weights.items() if value.dtype == np.int8 and name.endswith(role)]
    limit = 64 if scheme.reduce_range else 127
    assert all(np.abs(value.astype(int)).max() <= limit for value in integers)
    assert any(value.dtype == np.int32 for value in weights.values()) == scheme.integer_bias
    first = next(value for name, value in weights.items() if name.endswith(f"{role}_scale"))
    assert first.shape == ((16,) if scheme.per_channel_weights else ())


def test_relu_stays_where_nothing_else_clips() -> None:
    _, built = all_int8("residual_net_opset_13", SCHEMES[INT8])
    assert sum(node.op_type == "Relu" for node in built.graph.node) == 5
    _, built = all_int8("residual_net_opset_13")
    assert not any(node.op_type == "Relu" for node in built.graph.node)


def test_axes_of_scales() -> None:
    for name, op_type, axis in (
        ("residual_net_opset_13", "Conv", 0),
        ("residual_net_opset_13", "Gemm", 0),  # transB
        ("u_net_with_transposed_convolutions", "ConvTranspose", 1),
        ("vision_transformer", "MatMul", 1),
        ("mixture_of_dense_experts", "Gemm", 1),
    ):
        _, built = all_int8(name)
        producers = {tensor: node for node in built.graph.node for tensor in node.output}
        layers = [node for node in built.graph.node if node.op_type == op_type and node.input[1] in producers]
        weights = [producers[node.input[1]] for node in layers if "@int8" in node.input[1]]
        assert weights
        for node in weights:
            assert node.op_type == "DequantizeLinear"
            assert [a.i for a in node.attribute if a.name == "axis"] == [axis]


def test_large_biases_widen_the_scales_of_their_channels() -> None:
    _, built = all_int8("pruned_convolutions_with_large_biases")
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in built.graph.initializer}
    (biases,) = (value for value in weights.values() if value.dtype == np.int32 and value.shape == (8,) and value.any())
    assert np.abs(biases.astype(np.int64)).max() < 2**30 + 2**20


def test_channels_of_zeros_get_a_usual_scale() -> None:
    value = np.array([[0.0, 0.0], [1.27, -0.5]], np.float32)
    np.testing.assert_allclose(channel_scales(value, 0, 127), [0.01, 0.01])
    np.testing.assert_allclose(channel_scales(np.zeros((2, 2), np.float32), 0, 127), [1 / 127] * 2)
    assert channel_scales(value, None, 127).shape == ()


def test_outputs_of_the_model_keep_their_names() -> None:
    model, built = all_int8("convolution_read_inside_and_outside")
    assert [value.name for value in built.graph.output] == [value.name for value in model.graph.output]
    assert next(node for node in built.graph.node if "seen" in node.output).op_type == "DequantizeLinear"


def test_one_layer_of_many(executed_ops: ExecutedOps) -> None:
    name = "residual_net_opset_13"
    model = clean_graph(ANIMALS[name].build())
    groups, ranges = parts(model, ANIMALS[name].feeds())
    for group in groups:
        executed = executed_ops(Quantizer(model, groups, ranges).apply({group.name: P.INT8}))
        assert executed["QLinearConv"] + executed["QGemm"] == len(group.nodes)
        assert executed["QLinearAdd"] == (len(group.nodes) == 2)


def test_weights_of_one_layer_do_not_touch_another() -> None:
    model = clean_graph(ANIMALS["expert_chosen_by_if"].build())
    groups, ranges = parts(model, ANIMALS["expert_chosen_by_if"].feeds())
    built = Quantizer(model, groups, ranges).apply({groups[-1].name: P.INT8})
    shared = model.graph.node[-1].input[1]
    assert shared in {tensor.name for tensor in built.graph.initializer}  # the branches still use it


def test_names_that_hold_the_mark() -> None:
    b = Builder()
    b.op("MatMul", b.input("x@zero", ["n", 8]), b.weight(8, 8, name="w@@int8"), out="y")
    b.output("y")
    model = clean_graph(b.model())
    feed = {"x@zero": np.ones((2, 8), np.float32)}
    groups, ranges = parts(model, [feed])
    built = Quantizer(model, groups, ranges).apply({groups[0].name: P.INT8})
    assert "w@@int8@@@int8" in {tensor.name for tensor in built.graph.initializer}
    np.testing.assert_allclose(run_once(built, feed)["y"], run_once(model, feed)["y"], atol=0.05)


def test_what_cannot_be_built_is_said() -> None:
    model = clean_graph(ANIMALS["residual_net_opset_13"].build())
    groups, ranges = parts(model, ANIMALS["residual_net_opset_13"].feeds())
    first = groups[0].name
    with pytest.raises(BuildFailed, match="needs calibrated ranges"):
        Quantizer(model, groups, None).apply({first: P.INT8})
    with pytest.raises(BuildFailed, match="was not calibrated"):
        Quantizer(model, groups, Ranges({})).apply({first: P.INT8})
    with pytest.raises(BuildFailed, match="no layer 'nobody'"):
        Quantizer(model, groups, ranges).apply({"nobody": P.INT8})
    with pytest.raises(BuildFailed, match="cannot be int4_weight"):
        Quantizer(model, groups, ranges).apply({first: P.INT4_WEIGHT})
    with pytest.raises(InvalidInput):
        Scheme(block_size=48)
    with pytest.raises(InvalidInput):
        Scheme(activation_type="int4")  # type: ignore[arg-type]


def test_ranges_become_scales() -> None:
    scale, zero = Scheme().parameters(-1.0, 3.0)
    assert (scale, zero) == (np.float32(4 / 255), 64)
    assert Scheme().parameters(1.0, 3.0) == (np.float32(3 / 255), 0)
    assert Scheme().parameters(-3.0, -1.0) == (np.float32(3 / 255), 255)
    assert Scheme().parameters(0.0, 0.0) == (np.float32(1), 0)
    assert Scheme(symmetric_activations=True).parameters(-1.0, 3.0) == (np.float32(3 / 127), 128)
    assert Scheme(activation_type="int8").parameters(0.0, 1.0)[1] == -128
    assert SCHEMES[INT8].parameters(0.0, 1.0) == (np.float32(1 / 127), 0)


def test_a_table_that_is_looked_up_and_multiplied_has_two_integer_forms() -> None:
    """Rows for the one, columns for the other: beside each other in one graph, neither takes the other's scales."""
    b = Builder(17)
    ids, x = b.input("ids", ["n"], onnx.TensorProto.INT64), b.input("x", ["n", 64])
    spread = np.exp(b.rng.standard_normal((64, 1))) * np.exp(b.rng.standard_normal((1, 64)))
    table = b.const(b.rng.standard_normal((64, 64)) * spread, name="table")
    b.op("Gather", table, ids, out="rows")
    b.op("MatMul", x, table, out="product")
    b.output("rows")
    b.output("product")
    model = clean_graph(b.model())
    groups = layer_groups(model)
    looked_up, multiplied = (next(g.name for g in groups if g.kind == kind) for kind in ("Gather", "MatMul"))
    feed = {"ids": np.arange(8), "x": np.random.default_rng(0).standard_normal((8, 64)).astype(np.float32)}
    ranges = calibrate(model, [feed], activation_tensors(model, groups))
    expected = run_once(model, feed)
    for precision in (P.INT8, P.INT8_DYNAMIC):
        chosen = {looked_up: P.INT8_WEIGHT, multiplied: precision}
        found = run_once(Quantizer(model, groups, ranges).apply(chosen), feed)
        for name, value in expected.items():
            error = np.linalg.norm(found[name] - value) / np.linalg.norm(value)
            assert error < 0.03, (precision, name)
