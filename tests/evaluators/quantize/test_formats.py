from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper
from onnx_builder import Builder

from evaluators.graphs.cleanup import clean_graph
from evaluators.graphs.layer_groups import layer_groups
from evaluators.graphs.model import load_model, opset_of, save_model, serialize, with_opset
from evaluators.graphs.number_format import USUAL, number_format
from evaluators.quantize import Scheme, activation_tensors
from evaluators.quantize.calibration import Ranges, calibrate
from evaluators.quantize.formats import EXECUTED, LayerFormat, with_formats
from evaluators.runtimes import OnnxRuntime
from hwprofiles.errors import BuildFailed, InvalidInput

Floats = NDArray[np.float32]
ExecutedOps = Callable[[onnx.ModelProto], Counter[str]]
Formats = Mapping[str, LayerFormat]

SIMULATED = [name for name in (*USUAL, "e3m1", "e1m2", "e3m0", "e6m5") if name not in EXECUTED]
UINT8, INT8 = Scheme(), Scheme(activation_type="int8")


def feed_of(shape: tuple[int, ...], seed: int = 5) -> Floats:
    """Values that include zeros, whole powers of two and what lies far beyond any bound."""
    x = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    x.ravel()[:12] = [0, -0.0, 1, -1, 2, 0.5, 0.25, 40, -40, 1e-9, -1e-30, 0.75]
    return x


def built(
    model: onnx.ModelProto, formats: Formats, feed: Floats, scheme: Scheme = UINT8
) -> tuple[onnx.ModelProto, Ranges]:
    groups = layer_groups(model, {"x": feed.shape})
    ranges = calibrate(model, [{"x": feed}], activation_tensors(model, groups))
    return with_formats(model, groups, formats, ranges, scheme), ranges


def answer(model: onnx.ModelProto, feed: Floats, folder: Path) -> Floats:
    """The first output, as a candidate's file gives it."""
    path = folder / "model.onnx"
    save_model(model, path)
    session = OnnxRuntime().open(path)
    values = next(iter(session.run({"x": feed}).values()))
    session.close()
    return np.asarray(values, np.float32)


def layers(model: onnx.ModelProto) -> list[str]:
    return [node.name for node in model.graph.node if node.op_type in ("Conv", "Gemm", "MatMul")]


def weights(model: onnx.ModelProto, layer: str) -> tuple[Floats, Floats]:
    """A layer's trained weights, the channels first, and its bias (0 where it has none)."""
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    node = next(node for node in model.graph.node if node.name == layer)
    rows = node.op_type == "Conv" or any(a.name == "transB" and a.i for a in node.attribute)
    weight = values[node.input[1]]
    return weight if rows else weight.T, values[node.input[2]] if len(node.input) > 2 else np.zeros(1, np.float32)


def round_weight(weight: Floats, name: str) -> Floats:
    form = number_format(name)
    peaks = np.abs(weight).reshape(len(weight), -1).max(1).reshape(-1, *[1] * (weight.ndim - 1))
    scale = np.where(peaks > 0, peaks / np.float32(form.largest), np.float32(1))
    return np.asarray(form.round(weight / scale) * scale, np.float32)


def round_input(x: Floats, layer: LayerFormat) -> Floats:
    form = number_format(layer.format)
    scale = np.float32(layer.bound / form.largest)
    clipped = np.clip(x, np.float32(-layer.bound), np.float32(layer.bound))
    return np.asarray(form.round(clipped / scale) * scale, np.float32)


def convolution(x: Floats, weight: Floats, bias: Floats) -> Floats:
    """A 3x3 one with padding 1."""
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1))), (3, 3), (2, 3))
    return np.einsum("nchwij,ocij->nohw", windows, weight, optimize=True) + bias.reshape(1, -1, 1, 1)


def product(x: Floats, weight: Floats, bias: Floats) -> Floats:
    return x @ weight.T + bias


def layer_answer(model: onnx.ModelProto, name: str, x: Floats, layer: LayerFormat | None) -> Floats:
    """What a layer gives by the definition."""
    weight, bias = weights(model, name)
    if layer is not None:
        weight, x = round_weight(weight, layer.format), round_input(x, layer)
    return (convolution if weight.ndim == 4 else product)(x, weight, bias)


def assert_same(found: Floats, expected: Floats, tolerance: float = 1e-5) -> None:
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance * float(np.abs(expected).max()))


def one_convolution() -> onnx.ModelProto:
    b = Builder()
    b.conv(b.input("x", ["n", 3, 7, 7]), 3, 6, out="y")
    b.output("y")
    b.initializers[0].CopyFrom(without_a_channel(b.initializers[0]))
    return clean_graph(b.model())


def without_a_channel(weight: onnx.TensorProto) -> onnx.TensorProto:
    values = numpy_helper.to_array(weight).copy()
    values[2] = 0
    return numpy_helper.from_array(values, weight.name)


def one_product(*, bias: bool = True, rank: int = 2, transposed: bool = False) -> onnx.ModelProto:
    """A Gemm, or a MatMul where there is no bias or a third axis."""
    b = Builder()
    x = b.input("x", ["n", *[5] * (rank - 2), 33])
    if transposed:
        b.op("Gemm", x, b.weight(17, 33), b.bias(17), out="y", transB=1)
    elif bias:
        b.op("Gemm", x, b.weight(33, 17), b.bias(17), out="y")
    else:
        b.op("MatMul", x, b.weight(33, 17), out="y")
    b.output("y")
    return clean_graph(b.model())


ONE_LAYER = {
    "convolution": (one_convolution, (2, 3, 7, 7)),
    "gemm": (one_product, (4, 33)),
    "transposed gemm": (lambda: one_product(transposed=True), (4, 33)),
    "matmul": (lambda: one_product(bias=False), (4, 33)),
    "matmul of three axes": (lambda: one_product(bias=False, rank=3), (2, 5, 33)),
}


def residual_net() -> onnx.ModelProto:
    """Stem, a block whose sum the stem's group shares, a branch that reads the block's input too, and a classifier."""
    b = Builder()
    stem = b.op("Relu", b.conv(b.input("x", ["n", 3, 8, 8]), 3, 16))
    inner = b.op("Relu", b.conv(stem, 16, 16))
    total = b.op("Relu", b.op("Add", b.conv(inner, 16, 16), stem))
    last = b.op("Relu", b.conv(total, 16, 24))
    b.op("Gemm", b.op("Flatten", b.op("GlobalAveragePool", last)), b.weight(24, 10), b.bias(10), out="y")
    b.output("y")
    return clean_graph(b.model())


def residual_answer(model: onnx.ModelProto, x: Floats, formats: Formats) -> Floats:
    stem, inner, outer, last, classifier = layers(model)

    def layer(name: str, value: Floats) -> Floats:
        return layer_answer(model, name, value, formats.get(name))

    first = np.maximum(layer(stem, x), 0)
    total = np.maximum(layer(outer, np.maximum(layer(inner, first), 0)) + first, 0)
    return layer(classifier, np.maximum(layer(last, total), 0).mean((2, 3)))


class TestSimulatedLayer:
    @pytest.mark.parametrize("kind", ONE_LAYER)
    @pytest.mark.parametrize("name", SIMULATED)
    def test_computes_what_training_computed(self, name: str, kind: str, tmp_path: Path) -> None:
        make, shape = ONE_LAYER[kind]
        model, x = make(), feed_of(shape)
        layer = LayerFormat(name, 1.7)
        found = answer(built(model, {layers(model)[0]: layer}, x)[0], x, tmp_path)
        assert_same(found, layer_answer(model, layers(model)[0], x, layer))

    @pytest.mark.parametrize("name", [*SIMULATED, "e7m7"])
    def test_rounds_every_kind_of_value(self, name: str, tmp_path: Path) -> None:
        """An identity matrix shows the rounded input itself: values, what lies between them, powers of two."""
        form = number_format(name)
        values = np.asarray(form.values[:2000] + form.values[-100:], np.float32)
        middle = values[:-1] + (values[1:] - values[:-1]) / 2
        x = np.concatenate([values, middle, np.nextafter(middle, np.inf), np.nextafter(values, -np.inf)])
        x = np.concatenate([x, -x, np.float32([2 * min(form.largest, 1e38), -np.inf, np.inf])]).reshape(-1, 1)
        b = Builder()
        b.op("MatMul", b.input("x", ["n", 1]), b.const(np.ones((1, 2)), name="w"), out="y")
        b.output("y")
        model = clean_graph(b.model())
        formats = {layers(model)[0]: LayerFormat(name, form.largest)}
        found = answer(with_formats(model, (), formats, Ranges({}), UINT8), x, tmp_path)
        np.testing.assert_array_equal(found[:, :1], form.round(x))

    def test_shares_what_two_layers_read(self, tmp_path: Path) -> None:
        b = Builder()
        x, w = b.input("x", ["n", 32]), b.weight(32, 32)
        b.op("Concat", b.op("MatMul", x, w), b.op("MatMul", x, w), b.op("MatMul", x, b.weight(32, 32)), axis=1, out="y")
        b.output("y")
        model, feed = clean_graph(b.model()), feed_of((3, 32))
        bounds = (2.0, 2.0, 1.0)
        formats = {name: LayerFormat("int4", bound) for name, bound in zip(layers(model), bounds, strict=True)}
        made, _ = built(model, formats, feed)
        assert sum(node.op_type == "Round" for node in made.graph.node) == 2  # one for each bound
        assert sum(tensor.data_type == TensorProto.INT4 for tensor in made.graph.initializer) == 2
        expected = [layer_answer(model, name, feed, layer) for name, layer in formats.items()]
        assert_same(answer(made, feed, tmp_path), np.concatenate(expected, 1))


class TestStoredWeights:
    @pytest.mark.parametrize(
        ("name", "kind"),
        [("int2", TensorProto.INT4), ("int3", TensorProto.INT4), ("int4", TensorProto.INT4),
         ("int5", TensorProto.INT8), ("int7", TensorProto.INT8), ("e2m1", TensorProto.UINT4),
         ("e2m2", TensorProto.UINT8), ("e4m3", TensorProto.UINT8), ("e6m5", TensorProto.UINT16)],
    )  # fmt: skip
    def test_lie_on_the_formats_grid(self, name: str, kind: int) -> None:
        model, x = one_convolution(), feed_of((2, 3, 7, 7))
        made, _ = built(model, {layers(model)[0]: LayerFormat(name, 2.0)}, x)
        tensors = {tensor.name: tensor for tensor in made.graph.initializer}
        (codes,) = (tensor for tensor in tensors.values() if tensor.data_type == kind)
        weight, _ = weights(model, layers(model)[0])
        form, values = number_format(name), numpy_helper.to_array(codes).astype(np.float32)
        if not form.is_integer:
            values = numpy_helper.to_array(tensors[f"{name}@values"])[values.astype(int)]
        assert set(np.abs(values).ravel().tolist()) <= set(form.values)
        assert np.all(np.abs(values).max((1, 2, 3)) == np.where(np.arange(6) == 2, 0, form.largest))
        scales = numpy_helper.to_array(tensors[f"{codes.name}_scale"])
        np.testing.assert_array_equal(values * scales, round_weight(weight, name))
        used = {name for node in made.graph.node for name in node.input}
        assert used >= tensors.keys()  # the floats are gone

    @pytest.mark.parametrize(
        ("name", "kind"),
        [("e4m3", ml_dtypes.float8_e4m3fn), ("e5m2", ml_dtypes.float8_e5m2), ("e3m2", ml_dtypes.float6_e3m2fn),
         ("e2m1", ml_dtypes.float4_e2m1fn)],
    )  # fmt: skip
    def test_of_floats_are_the_formats_own_bits(self, name: str, kind: type) -> None:
        model, x = one_product(), feed_of((4, 33))
        made, _ = built(model, {layers(model)[0]: LayerFormat(name, 2.0)}, x)
        tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in made.graph.initializer}
        (codes,) = (value for value in tensors.values() if value.dtype.name in ("uint8", "uint4"))
        expected = np.asarray(tensors[f"{name}@values"][codes.astype(int)]).astype(kind)
        np.testing.assert_array_equal(codes.astype(np.uint8), expected.view(np.uint8))

    def test_sizes(self) -> None:
        b = Builder()
        b.op("Gemm", b.input("x", ["n", 256]), b.weight(256, 256), b.bias(256), out="y")
        b.output("y")
        model, x = clean_graph(b.model()), feed_of((4, 256))
        sizes = {
            name: len(serialize(built(model, {layers(model)[0]: LayerFormat(name, 2.0)}, x)[0]))
            for name in ("int2", "int4", "e2m1", "int6", "e4m3", "int8")
        }
        whole = len(serialize(model))
        assert all(sizes[name] < 0.16 * whole for name in ("int2", "int4", "e2m1"))
        assert all(0.25 * whole < sizes[name] < 0.28 * whole for name in ("int6", "e4m3", "int8"))

    def test_opset_is_raised_for_packed_ones_alone(self) -> None:
        model, x = one_product(), feed_of((4, 33))
        for name, opset in (("int4", 21), ("e2m1", 21), ("int5", 17), ("e4m3", 17), ("int8", 17)):
            made, _ = built(model, {layers(model)[0]: LayerFormat(name, 2.0)}, x)
            assert opset_of(made) == opset
        model = with_opset(model, 23)
        assert opset_of(built(model, {layers(model)[0]: LayerFormat("int4", 2.0)}, x)[0]) == 23

    def test_are_not_packed_where_the_opset_cannot_be_raised(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(model: onnx.ModelProto, version: int) -> onnx.ModelProto:
            raise InvalidInput("no adapter")

        monkeypatch.setattr("evaluators.quantize.formats.with_opset", refuse)
        model, x = one_product(), feed_of((4, 33))
        for name, kind in (("int4", TensorProto.INT8), ("e2m1", TensorProto.UINT8)):
            layer = LayerFormat(name, 2.0)
            made, _ = built(model, {layers(model)[0]: layer}, x)
            assert opset_of(made) == 17
            assert kind in {tensor.data_type for tensor in made.graph.initializer}
            assert_same(answer(made, x, tmp_path), layer_answer(model, layers(model)[0], x, layer))


class TestExecutedLayer:
    @pytest.mark.parametrize("scheme", [UINT8, INT8, Scheme(per_channel_weights=False, reduce_range=True)])
    @pytest.mark.parametrize("kind", ONE_LAYER)
    def test_has_the_trained_scales(self, kind: str, scheme: Scheme, tmp_path: Path) -> None:
        make, shape = ONE_LAYER[kind]
        model, x, layer = make(), feed_of(shape), LayerFormat("int8", 2.5)
        x = np.maximum(x, -2.5)
        made, ranges = built(model, {layers(model)[0]: layer}, x, scheme)
        weight, bias = weights(model, layers(model)[0])
        units = np.float32(layer.bound / 127) * np.abs(weight).reshape(len(weight), -1).max(1) / np.float32(127)
        units[units == 0] = units.max()
        difference = np.rint(bias / units) * units - bias  # biases are rounded too
        difference = difference.reshape(1, -1, *[1] * (weight.ndim - 2)) if len(bias) > 1 else 0
        expected = layer_answer(model, layers(model)[0], x, layer) + difference
        found = answer(made, x, tmp_path)
        if kind == "convolution":  # its output is rounded too, as calibrated
            step, zero = Scheme(scheme.activation_type, symmetric_activations=True).parameters(*ranges.of("y"))
            expected = (np.clip(np.rint(expected / step) + zero, scheme.lowest, scheme.highest) - zero) * step
            assert np.mean(found != expected.astype(np.float32)) < 0.01  # ties, which float sums decide
            assert np.abs(found - expected).max() < 1.01 * step
        else:
            assert_same(found, expected)
        zeros = [v for t in made.graph.initializer if t.name == "x@zero" for v in [numpy_helper.to_array(t)]]
        assert [(value.dtype.name, int(value)) for value in zeros] == [
            ("int8", 0) if scheme is INT8 else ("uint8", 128)
        ]

    def test_is_computed_on_integers(self, executed_ops: ExecutedOps, tmp_path: Path) -> None:
        model, x = residual_net(), feed_of((4, 3, 8, 8))
        formats = {name: LayerFormat("int8", 6.0) for name in layers(model)}
        made, _ = built(model, formats, x)
        executed = executed_ops(made)
        assert (executed["QLinearConv"], executed["QLinearAdd"], executed["QGemm"]) == (4, 1, 1)
        assert not executed["Conv"] + executed["FusedConv"] + executed["Gemm"] + executed["Relu"]
        expected, found = residual_answer(model, x, formats), answer(made, x, tmp_path)
        assert np.abs(found - expected).max() < 0.05 * np.abs(expected).max()

    def test_clipping_on_integers_is_that_on_floats(self, tmp_path: Path) -> None:
        """A Relu and a Clip behind a layer, whose reader's scale has its zero in the middle and reaches beyond both."""
        for clip in ("Relu", "Clip"):
            b = Builder()
            bounds = [] if clip == "Relu" else [b.const(-0.3), b.const(0.8)]
            y = b.conv(b.input("x", ["n", 3, 7, 7]), 3, 8)
            b.conv(b.op(clip, y, *bounds), 8, 8, out="y")
            b.output("y")
            model, x = clean_graph(b.model()), feed_of((2, 3, 7, 7))
            formats = {name: LayerFormat("int8", 3.0) for name in layers(model)}
            with_integers, _ = built(model, formats, x)
            assert [node.op_type for node in with_integers.graph.node].count("Clip") == 1
            with_floats, _ = built(model, formats, x, INT8)
            np.testing.assert_allclose(answer(with_integers, x, tmp_path), answer(with_floats, x, tmp_path), atol=1e-5)

    def test_of_several_readers_the_largest_bound_counts(self, tmp_path: Path) -> None:
        b = Builder()
        flat = b.op("Flatten", b.op("MaxPool", b.conv(b.input("x", ["n", 3, 8, 8]), 3, 4), kernel_shape=[2, 2],
                                    strides=[2, 2]))  # fmt: skip
        b.op("Concat", b.linear(flat, 64, 5), b.linear(flat, 64, 5), axis=1, out="y")
        b.output("y")
        model, x = clean_graph(b.model()), feed_of((2, 3, 8, 8))
        bounds = (3.0, 1.0, 2.0)
        formats = {name: LayerFormat("int8", bound) for name, bound in zip(layers(model), bounds, strict=True)}
        made, _ = built(model, formats, x)
        scales = {t.name: numpy_helper.to_array(t) for t in made.graph.initializer if t.name.endswith("@scale")}
        # The pooled and flattened tensor has the scale of the convolution's output.
        convolution_output = next(node.output[0] for node in model.graph.node if node.op_type == "Conv")
        assert scales[f"{convolution_output}@scale"] == np.float32(2 / 127)
        assert len(scales) == 2


class TestMixture:
    def test_of_three_formats_and_fp32(self, tmp_path: Path, executed_ops: ExecutedOps) -> None:
        model, x = residual_net(), feed_of((4, 3, 8, 8))
        stem, inner, outer, last, classifier = layers(model)
        formats = {
            stem: LayerFormat("int8", 4.0), outer: LayerFormat("int8", 4.0), inner: LayerFormat("int4", 3.0),
            last: LayerFormat("e2m1", 5.0), classifier: LayerFormat("int8", 2.0),
        }  # fmt: skip
        made, _ = built(model, formats, x)
        executed = executed_ops(made)
        assert executed["QLinearConv"] == 2
        assert executed["QGemm"] + executed["MatMulIntegerToFloat"] == 1
        expected, found = residual_answer(model, x, formats), answer(made, x, tmp_path)
        assert np.abs(found - expected).max() < 0.1 * np.abs(expected).max()
        del formats[last]
        assert not np.array_equal(answer(built(model, formats, x)[0], x, tmp_path), found)

    @pytest.mark.parametrize("names", [("int3", "int2", "e4m3", "int6", "e3m1"), ("e5m2", "int4", "int4", "", "e2m2")])
    def test_of_simulated_formats_is_exact(self, names: tuple[str, ...], tmp_path: Path) -> None:
        model, x = residual_net(), feed_of((4, 3, 8, 8))
        formats = {layer: LayerFormat(name, 3.0) for layer, name in zip(layers(model), names, strict=True) if name}
        made, _ = built(model, formats, x)
        assert_same(answer(made, x, tmp_path), residual_answer(model, x, formats))

    @pytest.mark.parametrize("name", ["int2", "int4", "e3m2"])
    def test_stays_in_floats_between_integers(self, name: str, tmp_path: Path, executed_ops: ExecutedOps) -> None:
        """Where integers come in and go out, ONNX Runtime would round a layer's bias to steps of its coarse format."""
        b = Builder()
        y = b.op("Relu", b.conv(b.input("x", ["n", 3, 7, 7]), 3, 8))
        y = b.op("Relu", b.conv(y, 8, 8))
        b.conv(y, 8, 8, out="y")
        b.output("y")
        model, x = clean_graph(b.model()), feed_of((2, 3, 7, 7))
        first, middle, last = layers(model)
        formats = {
            first: LayerFormat("int8", 3.0), middle: LayerFormat(name, 1.0), last: LayerFormat("int8", 3.0)
        }  # fmt: skip
        made, ranges = built(model, formats, x)
        executed = executed_ops(made)
        assert (executed["QLinearConv"], executed["Conv"] + executed["FusedConv"]) == (2, 1)
        producers = {tensor: node for node in made.graph.node for tensor in node.output}
        inside = next(node for node in made.graph.node if node.name == middle)
        assert {producers[name].op_type for name in inside.input if name in producers} == {"Mul"}

        def resident(value: Floats, tensor: str) -> Floats:
            step, zero = Scheme(symmetric_activations=True).parameters(*ranges.of(tensor))
            return np.asarray((np.clip(np.rint(value / step) + zero, 0, 255) - zero) * step, np.float32)

        readers = {node.name: node.input[0] for node in model.graph.node}
        expected = resident(np.maximum(layer_answer(model, first, x, formats[first]), 0), readers[middle])
        expected = np.maximum(layer_answer(model, middle, expected, formats[middle]), 0)
        expected = resident(layer_answer(model, last, expected, formats[last]), "y")
        found = answer(made, x, tmp_path)
        assert np.mean(np.abs(found - expected) > 1e-5) < 0.1  # ties and rounded int8 biases

    def test_same_arguments_give_the_same_bytes(self) -> None:
        model, x = residual_net(), feed_of((4, 3, 8, 8))
        before = serialize(model)
        names = ("int8", "int4", "int8", "e2m1", "int8")
        formats = {layer: LayerFormat(name, 3.0) for layer, name in zip(layers(model), names, strict=True)}
        backwards = dict(reversed(formats.items()))
        assert serialize(built(model, formats, x)[0]) == serialize(built(model, backwards, x)[0])
        assert serialize(model) == before

    def test_folded_normalisation(self, tmp_path: Path) -> None:
        """Factors of a channel, negative ones too, commute with rounding to a scale of that channel."""
        b = Builder()
        y = b.conv(b.input("x", ["n", 3, 7, 7]), 3, 6)
        b.op("Relu", b.norm(y, 6), out="y")
        b.output("y")
        source = b.model()
        (factors,) = (t for t in source.graph.initializer if t.name == source.graph.node[1].input[1])
        factors.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(factors), factors.name))
        x, layer = feed_of((2, 3, 7, 7)), LayerFormat("int3", 2.0)
        factor, shift, mean, variance = (
            numpy_helper.to_array(t).reshape(1, -1, 1, 1)
            for name in source.graph.node[1].input[1:]
            for t in source.graph.initializer
            if t.name == name
        )
        trained = layer_answer(source, source.graph.node[0].name, x, layer)
        expected = np.maximum((trained - mean) / np.sqrt(variance + 1e-5) * factor + shift, 0)
        model = clean_graph(source)
        assert_same(answer(built(model, {layers(model)[0]: layer}, x)[0], x, tmp_path), expected)

    def test_the_file_can_be_read_again(self, tmp_path: Path) -> None:
        model, x = residual_net(), feed_of((4, 3, 8, 8))
        formats = {layer: LayerFormat("int4", 3.0) for layer in layers(model)}
        made, _ = built(model, formats, x)
        found = answer(made, x, tmp_path)
        np.testing.assert_array_equal(answer(clean_graph(load_model(tmp_path / "model.onnx")), x, tmp_path), found)


class TestRefusals:
    def test_of_formats_and_bounds(self) -> None:
        with pytest.raises(InvalidInput, match="'int9' is no number format"):
            LayerFormat("int9", 1.0)
        for bound in (0.0, -1.0, float("nan"), float("inf")):
            with pytest.raises(InvalidInput, match="cannot reach up to"):
                LayerFormat("int4", bound)

    def test_of_layers(self) -> None:
        model, x = residual_net(), feed_of((4, 3, 8, 8))
        relu = next(node.name for node in model.graph.node if node.op_type == "Relu")
        for name, words in (("int4", "cannot be int4"), ("int8", "cannot be int8")):
            with pytest.raises(BuildFailed, match="no layer 'nobody'"):
                built(model, {"nobody": LayerFormat(name, 1.0)}, x)
            with pytest.raises(BuildFailed, match=words):
                built(model, {relu: LayerFormat(name, 1.0)}, x)
        stem, _, outer, *_ = layers(model)
        with pytest.raises(BuildFailed, match="only some layers"):
            built(model, {stem: LayerFormat("int8", 1.0), outer: LayerFormat("int4", 1.0)}, x)
        with pytest.raises(BuildFailed, match="was not calibrated"):
            with_formats(model, layer_groups(model), {layers(model)[1]: LayerFormat("int8", 1.0)}, Ranges({}), UINT8)

    def test_of_weights_that_are_computed(self) -> None:
        b = Builder()
        b.op("MatMul", b.input("x", ["n", 4]), b.op("Exp", b.input("w", [4, 4])), out="y")
        b.output("y")
        model = clean_graph(b.model())
        with pytest.raises(BuildFailed, match="cannot be e4m3"):
            with_formats(model, (), {layers(model)[0]: LayerFormat("e4m3", 1.0)}, Ranges({}), UINT8)
