"""The vision transformer of the digits task: what its file, its layers and its heads look like to the rest."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch

from evaluators.graphs.cleanup import clean_graph
from evaluators.graphs.layer_groups import layer_groups
from evaluators.graphs.model import load_model
from evaluators.graphs.reference_run import run_once
from evaluators.torch_export import export_module
from hwprofiles import Precision
from search.pruning import channel_groups
from search.tasks.training import train_classifier
from search.tasks.vit import VisionTransformer

OPERATORS = {
    "Conv", "Reshape", "Transpose", "Add", "LayerNormalization", "MatMul", "Div", "Softmax", "Erf", "Mul", "ReduceMean",
    "Gemm",
}  # fmt: skip


def network(heads: int = 3) -> VisionTransformer:
    torch.manual_seed(0)
    return VisionTransformer(size=8, patch=2, width=24, heads=heads, depth=2, classes=10)


def images(count: int) -> torch.Tensor:
    return torch.randn(count, 1, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> onnx.ModelProto:
    path = tmp_path_factory.mktemp("vit") / "model.onnx"
    export_module(network(), {"image": images(1).numpy()}, path, outputs=("logits",))
    return clean_graph(load_model(path))


class TestExport:
    @pytest.mark.parametrize("count", [1, 5])
    def test_any_batch_is_answered_as_torch_answers_it(self, model: onnx.ModelProto, count: int) -> None:
        x = images(count)
        with torch.no_grad():
            expected = network().eval()(x).numpy()
        np.testing.assert_allclose(run_once(model, {"image": x.numpy()})["logits"], expected, atol=1e-5)

    def test_no_shape_is_computed(self, model: onnx.ModelProto) -> None:
        assert {node.op_type for node in model.graph.node} == OPERATORS

    def test_query_key_and_value_share_a_decision(self, model: onnx.ModelProto) -> None:
        groups = {group.name: group for group in layer_groups(model)}
        layers = ("attention/query+key+value", "attention/out", "mlp/up", "mlp/down")
        assert list(groups) == ["patches", *(f"blocks.{block}/{layer}" for block in (0, 1) for layer in layers), "head"]
        shared = groups["blocks.1/attention/query+key+value"]
        assert shared.nodes == tuple(f"/blocks.1/attention/{name}/MatMul" for name in ("query", "key", "value"))
        assert shared.macs == 16 * shared.weights == 16 * 3 * 24 * 24  # for each of 16 tokens
        assert all({Precision.FP32, Precision.INT8} <= set(group.precisions) for group in groups.values())


class TestPruning:
    @pytest.mark.parametrize("heads", [3, 1])
    def test_heads_and_inner_widths_are_groups(self, heads: int) -> None:
        groups = [group for group in channel_groups(network(heads), (images(3),)) if group.exact]
        names = [f"blocks.{block}/{layer}" for block in (0, 1) for layer in ("attention/query+key+value", "mlp/up")]
        assert [group.name for group in groups] == names
        blocks = [len(group.blocks) for group in groups]
        assert blocks == 2 * [heads if heads > 1 else 24, 96]  # of a single head, channels

    def test_the_width_of_the_tokens_is_one_group(self) -> None:
        (width,) = (group for group in channel_groups(network(), (images(3),)) if not group.exact)
        written = [f"blocks.{block}.{layer}" for block in (0, 1) for layer in ("attention.out", "mlp.down")]
        assert width.layers == ("patches", *written)
        assert width.channels == 24


def test_a_few_steps_lower_the_loss() -> None:
    """Bars at one of eight heights, each a class."""
    labels = np.random.default_rng(0).integers(0, 8, 256)
    bars = np.zeros((256, 1, 8, 8), np.float32)
    bars[np.arange(256), 0, labels] = 1
    losses: list[float] = []
    train_classifier(
        network(), lambda rng: (bars, labels), epochs=5, seed=0, progress=lambda epoch, loss: losses.append(loss)
    )
    assert losses[-1] < 0.8 * losses[0]
