from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx_builder import Builder
from onnx_menagerie import ANIMALS, exported

from evaluators.graphs import fusion
from evaluators.graphs.cleanup import clean_graph
from evaluators.graphs.fusion import fuse_transformer, regroup, same_outputs, separate_norms
from evaluators.graphs.layer_groups import layer_groups
from evaluators.graphs.reference_run import run_once
from evaluators.quantize import Quantizer, activation_tensors
from evaluators.quantize.calibration import calibrate
from hwprofiles.precision import Precision as P


def torch_encoder() -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """Two encoder layers with a padding mask and a dynamic batch."""
    import torch
    from torch import nn

    class Layer(nn.Module):
        def __init__(self, size: int = 32, heads: int = 4) -> None:
            super().__init__()
            self.heads = heads
            self.q, self.k, self.v, self.o = (nn.Linear(size, size) for _ in range(4))
            self.up, self.down = nn.Linear(size, 2 * size), nn.Linear(2 * size, size)
            self.first, self.second = nn.LayerNorm(size), nn.LayerNorm(size)

        def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            batch, tokens, size = x.shape
            head = size // self.heads
            q, k, v = (f(x).view(batch, tokens, self.heads, head).transpose(1, 2) for f in (self.q, self.k, self.v))
            scores = q @ k.transpose(-1, -2) / head**0.5 + mask
            mixed = (scores.softmax(-1) @ v).transpose(1, 2).reshape(batch, tokens, size)
            x = self.first(x + self.o(mixed))
            return self.second(x + self.down(nn.functional.gelu(self.up(x))))

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.norm = nn.Embedding(100, 32), nn.LayerNorm(32)
            self.layers = nn.ModuleList(Layer() for _ in range(2))

        def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            x = self.norm(self.table(ids) * 8)
            bias = (1.0 - mask[:, None, None, :].to(x.dtype)) * -10000.0
            for layer in self.layers:
                x = layer(x, bias)
            return x

    torch.manual_seed(0)
    example = (torch.zeros(1, 12, dtype=torch.int64), torch.ones(1, 12, dtype=torch.int64))
    axes = {name: {0: "n"} for name in ("ids", "mask", "y")}
    model = exported(Net().eval(), example, ["ids", "mask"], dynamic_axes=axes)
    rng = np.random.default_rng(0)
    mask = np.ones((2, 12), np.int64)
    mask[0, 7:] = 0
    return clean_graph(model), {"ids": rng.integers(0, 100, (2, 12)), "mask": mask}


@pytest.fixture(scope="module")
def encoder() -> tuple[onnx.ModelProto, dict[str, np.ndarray], onnx.ModelProto]:
    model, sample = torch_encoder()
    fused = fuse_transformer(model, sample)
    assert fused is not None
    return model, sample, fused


def kinds(model: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


def test_attention_becomes_one_node_and_sums_stay_apart(
    encoder: tuple[onnx.ModelProto, dict[str, np.ndarray], onnx.ModelProto],
) -> None:
    model, sample, fused = encoder
    assert kinds(fused)["Attention"] == 2
    assert kinds(fused)["Sum"] == 4
    assert kinds(fused)["SkipLayerNormalization"] == 0
    assert same_outputs(model, fused, sample)
    other = {"ids": sample["ids"][:1], "mask": np.array([[0, 0, 1, 1, 1, 1, 1, 1, 1, 0, 1, 1]])}
    assert same_outputs(model, fused, other)  # padding at the front and in between


def test_inputs_and_outputs_keep_their_names(
    encoder: tuple[onnx.ModelProto, dict[str, np.ndarray], onnx.ModelProto],
) -> None:
    """Also such as other tools write."""
    odd = {"ids": "ids:0", "mask": "attention mask/ü", "y": "Identity:0"}
    model = onnx.ModelProto()
    model.CopyFrom(encoder[0])
    for value in (*model.graph.input, *model.graph.output):
        value.name = odd[value.name]
    for node in model.graph.node:
        node.input[:] = [odd.get(name, name) for name in node.input]
        node.output[:] = [odd.get(name, name) for name in node.output]
    fused = fuse_transformer(model, {odd[name]: values for name, values in encoder[1].items()})
    assert fused is not None
    assert kinds(fused)["Attention"]
    assert [value.name for value in fused.graph.input] == ["ids:0", "attention mask/ü"]
    assert [value.name for value in fused.graph.output] == ["Identity:0"]


def test_fusing_twice_gives_the_same_bytes(
    encoder: tuple[onnx.ModelProto, dict[str, np.ndarray], onnx.ModelProto],
) -> None:
    model, sample, fused = encoder
    path = list(sys.path)
    again = fuse_transformer(model, sample)
    assert sys.path == path, "the runtime's tools put their folder on the path of their own process only"
    assert again is not None
    assert again.SerializeToString() == fused.SerializeToString()


def test_groups_keep_their_names(encoder: tuple[onnx.ModelProto, dict[str, np.ndarray], onnx.ModelProto]) -> None:
    model, _, fused = encoder
    groups = layer_groups(model, {"ids": (1, 12), "mask": (1, 12)})
    regrouped = regroup(groups, model, fused)
    assert [group.name for group in regrouped] == [group.name for group in groups]
    attention = next(group for group in regrouped if group.name == "layers.0/q+k+v")
    assert attention.kind == "Attention"
    assert attention.precisions == (P.FP32, P.INT8_DYNAMIC)
    assert attention.macs == 3 * 12 * 32 * 32
    assert next(group for group in regrouped if group.name == "layers.0/up").precisions == tuple(P)
    without = onnx.ModelProto()
    without.CopyFrom(fused)
    for node in without.graph.node:
        if node.op_type == "Attention":
            node.input[0] = "elsewhere"
    assert len(regroup(groups, model, without)) == len(groups) - 2


@pytest.mark.parametrize("precision", list(P))
def test_fused_models_are_quantized(
    encoder: tuple[onnx.ModelProto, dict[str, np.ndarray], onnx.ModelProto],
    precision: P,
    executed_ops: Callable[..., Counter[str]],
) -> None:
    model, sample, fused = encoder
    groups = regroup(layer_groups(model), model, fused)
    ranges = calibrate(fused, [sample], activation_tensors(fused, groups))
    chosen = {group.name: precision for group in groups if precision in group.precisions}
    built = Quantizer(fused, groups, ranges).apply(chosen)
    if precision is P.INT8_DYNAMIC:
        assert executed_ops(built)["QAttention"] == 2
        assert executed_ops(built)["Gelu"] == 2
    found, expected = run_once(built, sample)["y"].ravel(), run_once(model, sample)["y"].ravel()
    assert found @ expected / np.linalg.norm(found) / np.linalg.norm(expected) > 0.98


def test_norms_are_separated(executed_ops: Callable[..., Counter[str]]) -> None:
    model = clean_graph(ANIMALS["encoder"].build())
    separated = separate_norms(model)
    assert separated is not None
    assert executed_ops(model)["SkipLayerNormalization"] == 4
    assert executed_ops(separated)["SkipLayerNormalization"] == 0
    assert same_outputs(model, separated, ANIMALS["encoder"].feeds(1)[0])


@pytest.mark.parametrize("name", ["residual_net_opset_13", "nothing_to_quantize", "recurrent_nets_time_first"])
def test_nothing_to_fuse(name: str) -> None:
    assert fuse_transformer(clean_graph(ANIMALS[name].build()), ANIMALS[name].feeds(1)[0]) is None


def test_tools_that_fail_or_hang_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    b = Builder()
    x = b.input("x", ["n", 2, 4, 8])
    scores = b.op("Softmax", b.op("MatMul", x, b.op("Transpose", x, perm=[0, 1, 3, 2])), axis=-1)
    b.op("MatMul", scores, x, out="y")
    b.output("y")
    model, sample = clean_graph(b.model()), {"x": np.ones((1, 2, 4, 8), np.float32)}
    assert fuse_transformer(model, sample, limit_s=0.01) is None
    program = tmp_path / "fusion_process.py"
    program.write_text("raise SystemExit(3)")
    monkeypatch.setattr(fusion, "__file__", str(tmp_path / "fusion.py"))
    assert fuse_transformer(model, sample) is None
    program.write_text("import sys\nopen(sys.argv[2], 'wb').write(b'not a model')")
    assert fuse_transformer(model, sample) is None


def test_a_fusion_that_changes_the_outputs_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    animal = ANIMALS["encoder"]
    model, sample = clean_graph(animal.build()), animal.feeds(1)[0]
    program = tmp_path / "fusion_process.py"
    program.write_text(
        "import sys, onnx\nm = onnx.load(sys.argv[1])\n"
        "[setattr(n, 'op_type', 'Sub') for n in m.graph.node if n.op_type == 'Add']\nonnx.save(m, sys.argv[2])\n"
    )
    monkeypatch.setattr(fusion, "__file__", str(tmp_path / "fusion.py"))
    fused = fuse_transformer(model, sample)
    assert fused is not None  # the norms alone
    assert kinds(fused)["Sub"] == kinds(model)["Sub"]


def test_outputs_are_compared_whole() -> None:
    animal = ANIMALS["several_inputs_and_outputs"]
    model, sample = clean_graph(animal.build()), animal.feeds(1)[0]
    other = onnx.ModelProto()
    other.CopyFrom(model)
    assert same_outputs(model, other, sample)
    del other.graph.output[2]
    assert not same_outputs(model, other, sample)
    other.CopyFrom(model)
    next(node for node in other.graph.node if node.op_type == "ArgMax").op_type = "ArgMin"
    assert not same_outputs(model, other, sample)
    other.CopyFrom(model)
    other.graph.node[0].input[0] = "nobody"
    assert not same_outputs(model, other, sample)
