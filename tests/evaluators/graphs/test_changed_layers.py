"""A changed model's layers keep the decisions of the layers that they come from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from evaluators.graphs.changed_layers import decision_gaps, under_first_names
from evaluators.graphs.cleanup import clean_graph
from evaluators.graphs.graph import Graph, is_dequantize_output
from evaluators.graphs.layer_groups import LayerGroup, layer_groups
from evaluators.graphs.model import load_model
from evaluators.graphs.reference_run import run_once
from evaluators.quantize import Quantizer, Scheme
from evaluators.quantize.calibration import calibrate
from evaluators.torch_export import _export_dynamo, export_module
from hwprofiles import Precision

TOKENS, ROWS, IMAGES = (2, 5, 16), (2, 16), (2, 3, 8, 8)


class Beside(nn.Module):
    """A layer with an adapter of a low rank beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(16, 16)
        self.down, self.up = nn.Linear(16, 4, bias=False), nn.Linear(4, 16, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) + self.up(self.down(x))  # type: ignore[no-any-return]


class Inside(nn.Linear):
    """A linear layer with its adapter in the same module: the layer's node keeps its name."""

    def __init__(self) -> None:
        super().__init__(16, 16)
        self.a, self.b = nn.Parameter(torch.randn(16, 4)), nn.Parameter(torch.randn(4, 16))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + (x @ self.a) @ self.b


class Below(nn.Linear):
    """A linear layer with an adapter as submodule: the layer's node keeps its name, the adapter's stand below."""

    def __init__(self) -> None:
        super().__init__(16, 16)
        self.down, self.up = nn.Linear(16, 4, bias=False), nn.Linear(4, 16, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + self.up(self.down(x))  # type: ignore[no-any-return]


class Compensated(nn.Conv2d):
    """A convolution with a small one of the same image that makes up for its error."""

    def __init__(self) -> None:
        super().__init__(3, 8, 3, padding=1)
        self.small = nn.Conv2d(3, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + self.small(x)  # type: ignore[no-any-return]


class Pair(nn.Module):
    """Two layers in one scope, whose nodes an exporter numbers; either may get an adapter.

    Transposed weights are numbered too.
    """

    def __init__(self, first: bool = False, second: bool = False, transposed: bool = False) -> None:
        super().__init__()
        self.first, self.second, self.transposed = first, second, transposed
        self.w1, self.w2 = nn.Parameter(torch.randn(16, 16)), nn.Parameter(torch.randn(16, 16))
        self.a, self.b = nn.Parameter(torch.randn(16, 4)), nn.Parameter(torch.randn(4, 16))

    def forward(self, x: Tensor) -> Tensor:
        w1, w2 = (self.w1.T, self.w2.T) if self.transposed else (self.w1, self.w2)
        y = torch.relu(x @ w1 + (x @ self.a @ self.b if self.first else 0.0))
        return y @ w2 + (y @ self.a @ self.b if self.second else 0.0)


def chain(layer: nn.Module) -> nn.Module:
    return nn.Sequential(layer, nn.ReLU(), nn.Linear(16, 16))


def low_rank() -> nn.Module:
    return nn.Sequential(nn.Linear(16, 4, bias=False), nn.Linear(4, 16))


def images(layer: nn.Module) -> nn.Module:
    return nn.Sequential(layer, nn.ReLU(), nn.Conv2d(8, 4, 3))


class Attention(nn.Module):
    """Layers of modules of their own; one of them may get an adapter that stands beside it in the module around."""

    def __init__(self, adapter: bool) -> None:
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(16, 16) for _ in range(4))
        self.adapter = low_rank() if adapter else None

    def forward(self, x: Tensor) -> Tensor:
        y = torch.softmax(self.q(x) * self.k(x), -1) * self.v(x)
        return self.o(y) + (0.0 if self.adapter is None else self.adapter(y))  # type: ignore[no-any-return]


def export(module: nn.Module, shape: tuple[int, ...], path: Path, *, dynamo: bool = False) -> onnx.ModelProto:
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    if dynamo:
        _export_dynamo(module.eval(), (torch.from_numpy(x),), path, ["x"], ["y"])
    else:
        export_module(module, {"x": x}, path)
    return clean_graph(load_model(path))


CHANGES: dict[str, tuple[Callable[[], nn.Module], Callable[[], nn.Module], tuple[int, ...], int, int]] = {
    "adapter around, tokens": (lambda: chain(nn.Linear(16, 16)), lambda: chain(Beside()), TOKENS, 0, 3),
    "adapter around, rows": (lambda: chain(nn.Linear(16, 16)), lambda: chain(Beside()), ROWS, 0, 3),
    "adapter in the layer": (lambda: chain(nn.Linear(16, 16)), lambda: chain(Inside()), TOKENS, 0, 3),
    "adapter below the layer": (lambda: chain(nn.Linear(16, 16)), lambda: chain(Below()), TOKENS, 0, 3),
    "adapter below the layer, rows": (lambda: chain(nn.Linear(16, 16)), lambda: chain(Below()), ROWS, 0, 3),
    "low rank": (lambda: chain(nn.Linear(16, 16)), lambda: chain(low_rank()), TOKENS, 0, 2),
    "low rank as the whole model": (lambda: nn.Linear(16, 16), low_rank, TOKENS, 0, 2),
    "compensation": (lambda: images(nn.Conv2d(3, 8, 3, padding=1)), lambda: images(Compensated()), IMAGES, 0, 2),
    "first of two in the root": (Pair, lambda: Pair(first=True), TOKENS, 0, 3),
    "second of two in the root": (Pair, lambda: Pair(second=True), TOKENS, 1, 3),
    "first of two in a scope": (lambda: chain(Pair()), lambda: chain(Pair(first=True)), TOKENS, 0, 3),
    "second of two in a scope": (lambda: chain(Pair()), lambda: chain(Pair(second=True)), TOKENS, 1, 3),
    "first of two numbered": (
        lambda: chain(Pair(transposed=True)), lambda: chain(Pair(first=True, transposed=True)), TOKENS, 0, 3,
    ),
    "second of two numbered": (
        lambda: chain(Pair(transposed=True)), lambda: chain(Pair(second=True, transposed=True)), TOKENS, 1, 3,
    ),
    "adapter in the module around": (
        lambda: chain(Attention(False)), lambda: chain(Attention(True)), TOKENS, 1, 3,
    ),
}  # fmt: skip
"""The module, the changed one, the input, the group that is changed, and how many layers it then has."""


@pytest.mark.parametrize("dynamo", [False, True], ids=["torchscript", "dynamo"])
@pytest.mark.parametrize("change", CHANGES)
def test_int8_holds_for_what_a_layer_became(change: str, dynamo: bool, tmp_path: Path) -> None:
    make, make_changed, shape, place, count = CHANGES[change]
    torch.manual_seed(0)
    first_model = export(make(), shape, tmp_path / "first.onnx", dynamo=dynamo)
    model = export(make_changed(), shape, tmp_path / "changed.onnx", dynamo=dynamo)
    first = layer_groups(first_model, {"x": shape})
    groups = under_first_names(model, layer_groups(model, {"x": shape}), first_model, first)
    assert {group.name for group in groups} == {group.name for group in first}
    assert decision_gaps(model, groups, first_model, first) == {}
    (extended,) = (group for group in groups if group.name == first[place].name)
    assert len(extended.nodes) == count
    others = [group.nodes for group in first if group.name != extended.name]
    assert [len(group.nodes) for group in groups if group != extended] == [len(nodes) for nodes in others]
    feeds = [{"x": np.random.default_rng(seed).normal(size=shape).astype(np.float32)} for seed in range(2)]
    quantizer = Quantizer(model, groups, calibrate(model, feeds), Scheme())
    built = quantizer.apply({extended.name: Precision.INT8})
    graph = Graph(built.graph)
    quantised = {
        node.name
        for node in built.graph.node
        if node.op_type in ("MatMul", "Gemm", "Conv") and all(is_dequantize_output(i, graph) for i in node.input[:2])
    }
    assert quantised == set(extended.nodes)
    assert all(np.isfinite(values).all() for values in run_once(built, feeds[0]).values())


@pytest.mark.parametrize("dynamo", [False, True], ids=["torchscript", "dynamo"])
def test_an_unchanged_model_keeps_its_groups(dynamo: bool, tmp_path: Path) -> None:
    for make, _, shape, *_ in CHANGES.values():
        model = export(make(), shape, tmp_path / "model.onnx", dynamo=dynamo)
        groups = layer_groups(model, {"x": shape})
        assert under_first_names(model, groups, model, groups) == groups


class TestGaps:
    """What cannot be decided is said."""

    @staticmethod
    def change(
        make: Callable[[], nn.Module], make_changed: Callable[[], nn.Module], shape: tuple[int, ...], folder: Path
    ) -> tuple[tuple[LayerGroup, ...], dict[str, str]]:
        first_model, model = (export(module(), shape, folder / "model.onnx") for module in (make, make_changed))
        first = layer_groups(first_model, {"x": shape})
        groups = under_first_names(model, layer_groups(model, {"x": shape}), first_model, first)
        return groups, decision_gaps(model, groups, first_model, first)

    def test_two_layers_of_one_scope_replaced_at_once_cannot_be_told_apart(self, tmp_path: Path) -> None:
        class Both(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                sizes = ((16, 4), (4, 16), (16, 4), (4, 16))
                self.parts = nn.ParameterList(nn.Parameter(torch.randn(*size)) for size in sizes)

            def forward(self, x: Tensor) -> Tensor:
                a, b, c, d = self.parts
                return torch.relu(torch.tanh(torch.tanh(x @ a) @ b) @ c) @ d

        groups, gaps = self.change(lambda: chain(Pair()), lambda: chain(Both()), TOKENS, tmp_path)
        assert len(gaps) == 4
        assert set(gaps.values()) == {"new, and no layer around it decides for it: stays fp32"}
        # None has the name of a decision that was about another layer.
        assert sorted(gaps) == ["0/MatMul#2", "0/MatMul_1#2", "0/MatMul_2", "0/MatMul_3"]
        assert [group.name for group in groups] == [*gaps, "2"]

    def test_a_companion_that_allows_less_does_not_take_its_layer_s_choices_away(self, tmp_path: Path) -> None:
        class Wide(nn.Linear):
            def __init__(self) -> None:
                super().__init__(16, 16)
                self.mix = nn.Conv1d(5, 5, 1)

            def forward(self, x: Tensor) -> Tensor:
                return super().forward(x) + self.mix(x)  # type: ignore[no-any-return]

        groups, gaps = self.change(lambda: chain(nn.Linear(16, 16)), lambda: chain(Wide()), TOKENS, tmp_path)
        assert Precision.INT4_WEIGHT in next(group for group in groups if group.name == "0").precisions
        assert gaps == {"0/mix": "new, and no layer around it decides for it: stays fp32"}

    def test_replaced_by_layers_that_allow_less(self, tmp_path: Path) -> None:
        class Mixed(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.mix, self.last = nn.Conv1d(5, 5, 1), nn.Linear(16, 16)

            def forward(self, x: Tensor) -> Tensor:
                return self.last(self.mix(x))  # type: ignore[no-any-return]

        _, gaps = self.change(lambda: chain(nn.Linear(16, 16)), lambda: chain(Mixed()), TOKENS, tmp_path)
        assert gaps == {"0": "its layers now allow only fp32, int8"}

    def test_tied_by_the_change(self, tmp_path: Path) -> None:
        class Two(nn.Module):
            def __init__(self, together: bool) -> None:
                super().__init__()
                self.a, self.b, self.together = nn.Conv2d(3, 8, 1), nn.Conv2d(3, 8, 1), together

            def forward(self, x: Tensor) -> Tensor:
                a, b = self.a(x), self.b(x)
                return a + b if self.together else a * b

        groups, gaps = self.change(lambda: Two(False), lambda: Two(True), IMAGES, tmp_path)
        assert [group.name for group in groups] == ["a"]
        assert gaps == {"b": "tied to a by the change: follows its decision"}
        groups, gaps = self.change(lambda: Two(True), lambda: Two(False), IMAGES, tmp_path)
        assert [(group.name, len(group.nodes)) for group in groups] == [("a+b", 2)]
        assert gaps == {}
