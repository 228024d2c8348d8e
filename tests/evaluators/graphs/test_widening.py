"""Models in half precision become float32."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx_builder import Builder
from small_jobs import INPUTS, classifier

from evaluators.graphs.cleanup import clean_graph
from evaluators.graphs.layer_groups import layer_groups
from evaluators.graphs.model import input_specs, output_specs
from evaluators.graphs.reference_run import run_once
from evaluators.graphs.widening import narrow_types, widen_to_float32, widening_note

HALF, BRAIN, FLOAT = TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.FLOAT


def narrow_groups(model: onnx.ModelProto, kind: int, *, ends: bool = True) -> onnx.ModelProto:
    """A model in half precision, its inputs and outputs too where ``ends`` says so."""
    target = np.float16 if kind == HALF else ml_dtypes.bfloat16
    for tensor in model.graph.initializer:
        if tensor.data_type == FLOAT:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(target), tensor.name))
    if ends:
        for value in (*model.graph.input, *model.graph.output):
            value.type.tensor_type.elem_type = kind
        return model
    first, last = model.graph.node[0], model.graph.node[-1]
    name, out = first.input[0], last.output[0]
    first.input[0], last.output[0] = "narrow_in", "narrow_out"
    model.graph.node.insert(0, helper.make_node("Cast", [name], ["narrow_in"], "in", to=kind))
    model.graph.node.append(helper.make_node("Cast", ["narrow_out"], [out], "out", to=FLOAT))
    return model


def rows(kind: type = np.float32) -> dict[str, np.ndarray]:  # type: ignore[type-arg]
    return {"x": np.random.default_rng(0).standard_normal((3, INPUTS)).astype(kind)}


def test_a_float32_model_is_left_alone() -> None:
    model = classifier(2)
    assert widen_to_float32(model) is model
    assert narrow_types(model) == ()


def test_float16_weights_become_layers_that_can_be_decided() -> None:
    model = narrow_groups(classifier(2), HALF)
    before = model.SerializeToString()
    assert narrow_types(model) == ("float16",)
    wide = clean_graph(model)
    assert model.SerializeToString() == before
    assert len(layer_groups(wide)) == 3
    assert not narrow_types(wide)
    feed = rows(np.float16)
    np.testing.assert_allclose(run_once(wide, feed)["logits"], run_once(model, feed)["logits"], atol=0.05)


def test_what_its_owner_feeds_and_reads_keeps_its_type() -> None:
    wide = widen_to_float32(narrow_groups(classifier(1), HALF))
    assert [spec.dtype for spec in (*input_specs(wide), *output_specs(wide))] == ["float16", "float16"]
    assert run_once(wide, rows(np.float16))["logits"].dtype == np.float16


def test_bfloat16_becomes_float32_also_at_the_ends() -> None:
    model = narrow_groups(classifier(1), BRAIN)
    wide = clean_graph(model)
    assert narrow_types(model) == ("bfloat16",)
    assert [spec.dtype for spec in (*input_specs(wide), *output_specs(wide))] == ["float32", "float32"]
    assert run_once(wide, rows())["logits"].shape == (3, 10)
    assert len(layer_groups(wide)) == 2


def test_casts_around_a_narrow_inside_are_gone() -> None:
    wide = clean_graph(narrow_groups(classifier(1), HALF, ends=False))
    assert "Cast" not in {node.op_type for node in wide.graph.node}
    assert run_once(wide, rows())["logits"].dtype == np.float32


def test_constants_and_branches_are_converted_too() -> None:
    builder = Builder()
    x = builder.input("x", ["n", 4], HALF)
    one = numpy_helper.from_array(np.ones(1, np.float16), "one")
    branch = helper.make_graph(
        [helper.make_node("Constant", [], ["c"], value=one), helper.make_node("Add", [x, "c"], ["inner"])],
        "branch", [], [helper.make_tensor_value_info("inner", HALF, ["n", 4])],
    )  # fmt: skip
    shown = builder.op("If", builder.input("flag", [], TensorProto.BOOL), then_branch=branch, else_branch=branch)
    builder.op("Cast", shown, to=HALF, out="y")
    builder.output("y", HALF, ["n", 4])
    wide = clean_graph(builder.model())
    feed = {"x": np.ones((2, 4), np.float16), "flag": np.array(True)}
    assert run_once(wide, feed)["y"].tolist() == [[2.0] * 4] * 2
    assert not narrow_types(wide)


@pytest.mark.parametrize(("types", "said"), [(("float16",), "float16 numbers"), (("float16", "bfloat16"), "and bf")])
def test_the_note_names_the_types(types: tuple[str, ...], said: str) -> None:
    assert said in widening_note(types)
