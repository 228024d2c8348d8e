"""Layers without a choice are named, with the reason."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import pytest
from onnx_builder import Builder
from onnx_menagerie import ANIMALS

from evaluators.graphs.cleanup import clean_graph, with_node_names
from evaluators.graphs.layer_groups import layer_groups
from evaluators.graphs.left_alone import NONE_PAYS, left_alone

PRODUCT = "product of two activations"


def reasons(model: onnx.ModelProto) -> Counter[str]:
    clean = clean_graph(model)
    decided = {name for group in layer_groups(clean) for name in group.nodes}
    return Counter(one.why for one in left_alone(clean, decided))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("residual_net_opset_13", {}),
        ("encoder", {PRODUCT: 4}),
        ("quantized_already_but_for_one_layer", {"quantised already": 1}),
        ("expert_chosen_by_if", {"inside of If": 4}),
        ("perceptron_of_peculiar_gemms", {"factors alpha or beta": 1}),
        ("torch_recurrent_batch_first", {"no quantised form of GRU here": 1}),
        ("batched_and_swapped_weights", {"weights with 3 axes, not 2": 1, "weights on the left of the product": 1}),
        (
            "decoder_of_learned_queries",
            {
                "constant input: computed once, when the model is loaded": 2,
                "weights on the left of the product": 1,
                PRODUCT: 1,
            },
        ),
    ],
)
def test_reasons(name: str, expected: dict[str, int]) -> None:
    assert reasons(ANIMALS[name].build()) == expected


def test_weights_of_another_type() -> None:
    """In a model as it came; preparing makes float32 of half precision."""
    model = with_node_names(ANIMALS["half_precision"].build())
    assert {one.why for one in left_alone(model, set())} == {"weights of float16, not of float32"}
    assert reasons(model) == {}


def test_weights_that_are_computed() -> None:
    """A head tied to an embedding behind a Transpose, and weights that an input scales."""
    b = Builder(17)
    ids = b.input("ids", ["n", 8], onnx.TensorProto.INT64)
    table = b.weight(200, 32, name="embedding")
    x = b.op("Gather", table, ids)
    logits = b.op("MatMul", x, b.op("Transpose", table, perm=[1, 0]))
    scale = b.input("scale", [1])
    filters = b.op("Mul", b.weight(4, 8, 3), scale)
    b.op("Conv", b.op("Slice", logits, *(b.const([n], np.int64) for n in (0, 200, 2))), filters, out="y")
    b.output("y")
    assert reasons(b.model()) == {"weights computed from other constants": 1, "weights computed in each run": 1}


@pytest.mark.parametrize("name", ANIMALS)
def test_every_layer_is_decided_or_has_a_reason(name: str) -> None:
    model = clean_graph(ANIMALS[name].build())
    groups = layer_groups(model)
    decided = {node for group in groups for node in group.nodes}
    alone = left_alone(model, decided)
    assert not {one.layer for one in alone} & decided
    assert not any(one.why == NONE_PAYS for one in alone)
    everything = left_alone(model, set())
    assert len(everything) == len(alone) + sum(1 for node in model.graph.node if node.name in decided)
    assert {one.why for one in everything if one.layer in decided} <= {NONE_PAYS}
