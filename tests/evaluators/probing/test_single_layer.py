from __future__ import annotations

import numpy as np
import pytest
from onnx_menagerie import ANIMALS

from evaluators.graphs.cleanup import clean_graph
from evaluators.graphs.layer_groups import LayerGroup, layer_groups
from evaluators.graphs.model import make_loadable
from evaluators.graphs.reference_run import run_once
from evaluators.graphs.shapes import tensor_shapes
from evaluators.probing.single_layer import extract_layer, layer_key, random_feed
from evaluators.quantize import Quantizer
from evaluators.quantize.calibration import calibrate

EXTRACTED = [
    "residual_net_opset_13", "mobile_net", "u_net_with_transposed_convolutions", "recurrent_nets_time_first",
    "encoder", "perceptron_of_peculiar_gemms", "operators_of_the_runtime", "recurrent_net_batch_first_with_states",
]  # fmt: skip


@pytest.mark.parametrize("name", EXTRACTED)
def test_every_layer_runs_alone_in_every_precision(name: str) -> None:
    model = clean_graph(ANIMALS[name].build())
    sizes = {key: value.shape for key, value in ANIMALS[name].feeds(1)[0].items()}
    shapes = tensor_shapes(model, sizes)
    seen = 0
    for group in layer_groups(model, sizes):
        layer = extract_layer(model, group, shapes)
        if layer is None:
            continue
        seen += 1
        make_loadable(layer)
        (alone,) = layer_groups(layer)
        assert alone.precisions == group.precisions
        feed = random_feed(layer)
        expected = run_once(layer, feed)
        for precision in group.precisions:
            built = Quantizer(layer, (alone,), calibrate(layer, [feed])).apply({alone.name: precision})
            for key, value in run_once(built, feed).items():
                assert value.shape == expected[key].shape
                assert np.isfinite(value).all()
    assert seen


def test_equal_layers_have_equal_keys() -> None:
    model = clean_graph(ANIMALS["encoder"].build())
    shapes = tensor_shapes(model, {"ids": (1, 12), "mask": (1, 12)})
    keys = [layer_key(model, group, shapes) for group in layer_groups(model) if group.kind == "MatMul"]
    assert len(keys) == 8
    assert keys[:4] == keys[4:]
    assert len(set(keys)) == 4
    assert "MatMul(1x12x32,32x32)" in keys[1]
    longer = tensor_shapes(model, {"ids": (1, 24), "mask": (1, 24)})
    assert layer_key(model, layer_groups(model)[1], longer) != keys[0]


def test_attributes_are_part_of_the_key() -> None:
    model = clean_graph(ANIMALS["residual_net_opset_13"].build())
    shapes = tensor_shapes(model, {"x": (1, 3, 16, 16)})
    keys = [layer_key(model, group, shapes) for group in layer_groups(model)]
    assert any("strides=2x2" in key for key in keys)
    assert keys[1].endswith("Relu(){}")


def test_unknown_shapes_and_groups() -> None:
    model = clean_graph(ANIMALS["encoder"].build())
    group = next(group for group in layer_groups(model) if group.kind == "MatMul")
    assert extract_layer(model, group, tensor_shapes(model)) is None
    assert layer_key(model, group, tensor_shapes(model)) == ""
    assert extract_layer(model, LayerGroup("x", ("nobody",), "Conv", group.precisions, 0, 0), {}) is None
