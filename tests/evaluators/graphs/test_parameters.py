from __future__ import annotations

import numpy as np
import pytest
from onnx_builder import Builder
from onnx_menagerie import ANIMALS

from evaluators.graphs.cleanup import clean_graph
from evaluators.graphs.layer_groups import layer_groups
from evaluators.graphs.parameters import count_parameters
from evaluators.quantize import Quantizer, activation_tensors
from evaluators.quantize.calibration import calibrate
from hwprofiles.precision import Precision


def test_what_counts_are_weights_and_biases() -> None:
    builder = Builder(17)
    x = builder.input("x", ["n", 8])
    product = builder.op("Gemm", x, builder.weight(8, 4), builder.bias(4))
    scaled = builder.op("Mul", product, builder.const(0.5))
    builder.op("Reshape", scaled, builder.const([0, 2, 2], np.int64), out="y")
    builder.output("y")
    assert count_parameters(builder.model()) == 8 * 4 + 4


STORED_TWICE = {"language_model_with_tied_embedding", "expert_chosen_by_if"}
"""Models whose weights another reader wants in floats too."""


@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize("name", sorted(ANIMALS.keys() - STORED_TWICE))
def test_there_are_as_many_in_every_precision(name: str, precision: Precision) -> None:
    model = clean_graph(ANIMALS[name].build())
    groups = layer_groups(model)
    chosen = {group.name: precision for group in groups if precision in group.precisions}
    feeds = ANIMALS[name].feeds()
    ranges = calibrate(model, feeds, activation_tensors(model, groups)) if precision is Precision.INT8 else None
    built = Quantizer(model, groups, ranges, None).apply(chosen)
    assert count_parameters(built) == pytest.approx(count_parameters(model), rel=0.01)  # shared biases are copied
