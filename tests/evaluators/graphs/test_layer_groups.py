from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx_builder import Builder
from onnx_menagerie import ANIMALS, exported

from evaluators.graphs.cleanup import clean_graph, name_nodes_in_place, with_node_names
from evaluators.graphs.graph import Graph
from evaluators.graphs.layer_groups import LayerGroup, layer_groups
from hwprofiles.precision import Precision as P

ALL = tuple(P)


def groups_of(name: str, **shapes: tuple[int, ...]) -> dict[str, LayerGroup]:
    return {group.name: group for group in layer_groups(clean_graph(ANIMALS[name].build()), shapes)}


def test_convolutions_that_meet_in_a_sum_share_a_decision() -> None:
    groups = list(groups_of("residual_net_opset_13", x=(1, 3, 16, 16)).values())
    assert [len(group.nodes) for group in groups] == [2, 1, 2, 1, 1]
    assert [group.kind for group in groups] == ["Conv"] * 4 + ["Gemm"]
    assert groups[0].precisions == (P.FP32, P.INT8)
    assert groups[-1].precisions == ALL


def test_products_of_one_tensor_share_a_decision() -> None:
    groups = list(groups_of("encoder", ids=(1, 12), mask=(1, 12)).values())
    assert [len(group.nodes) for group in groups if group.kind == "MatMul"] == [3, 1, 1, 1, 3, 1, 1, 1]
    assert groups[0].kind == "Gather"
    assert groups[0].precisions == (P.FP32, P.INT8_WEIGHT)


def test_tied_weights_share_a_decision_but_not_with_the_embedding() -> None:
    groups = groups_of("several_inputs_and_outputs")
    assert [len(group.nodes) for group in groups.values()] == [2, 1]
    tied = groups_of("language_model_with_tied_embedding")
    assert [group.kind for group in tied.values() if group.weights == 200 * 32] == ["Gather", "Gemm"]


def test_macs_and_weights() -> None:
    first, *_, last = groups_of("residual_net_opset_13", x=(1, 3, 16, 16)).values()
    assert first.macs == 16 * 16 * 9 * (16 * 3 + 16 * 16)
    assert first.weights == 9 * (16 * 3 + 16 * 16)
    assert last.macs == last.weights == 320
    assert all(group.macs == 0 for group in groups_of("encoder").values())  # nobody said how many tokens
    transposed = groups_of("u_net_with_transposed_convolutions", x=(1, 4, 16, 16))
    assert [g.macs for g in transposed.values() if g.kind == "ConvTranspose"] == [
        8 * 8 * 16 * 8 * 4,
        16 * 16 * 8 * 3 * 4,
    ]
    query = next(g for g in groups_of("encoder", ids=(1, 12), mask=(1, 12)).values() if len(g.nodes) == 3)
    assert query.macs == 3 * 12 * 32 * 32
    recurrent = groups_of("recurrent_nets_time_first")
    assert next(g.macs for g in recurrent.values() if g.kind == "LSTM") == 7 * 2 * 2 * 4 * 8 * (12 + 8)


def test_precisions_of_special_layers() -> None:
    by_kind = {group.kind: group for group in groups_of("recurrent_nets_time_first").values()}
    assert by_kind["LSTM"].precisions == (P.FP32, P.INT8_DYNAMIC)
    assert "GRU" not in by_kind
    attention = next(g for g in groups_of("operators_of_the_runtime").values() if g.kind == "Attention")
    assert attention.precisions == (P.FP32, P.INT8_DYNAMIC)
    gemms = list(groups_of("perceptron_of_peculiar_gemms").values())
    assert P.INT8 not in next(g for g in gemms if len(g.nodes) == 2).precisions  # transA, and a bias for each row


def test_subgraphs_and_odd_weights_are_no_layers() -> None:
    assert sum(len(group.nodes) for group in groups_of("expert_chosen_by_if").values()) == 2
    assert sum(len(group.nodes) for group in groups_of("batched_and_swapped_weights").values()) == 2
    assert len(groups_of("half_precision")) == 2  # in float32, as prepared
    assert len(groups_of("quantized_already_but_for_one_layer")) == 1


def named_net(names: list[str]) -> onnx.ModelProto:
    b = Builder()
    x = b.input("x", ["n", 3, 8])
    y = x
    for name in names:
        source = x if name.split("/")[-2] in ("q", "k", "v") else y
        y = b.op("MatMul", source, b.weight(8, 8))
        b.nodes[-1].name = name
    b.output(y)
    return b.model()


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        (["/layers.0/attn/q/MatMul", "/layers.0/attn/k/MatMul", "/layers.0/attn/v/MatMul"], ["layers.0/attn/q+k+v"]),
        (["/a/fc/MatMul", "/b/fc/MatMul_1"], ["a/fc", "b/fc"]),
        (["/a/MatMul", "/a/MatMul_1"], ["a/MatMul", "a/MatMul_1"]),
        (["/q/MatMul", "/k/MatMul", "/v/MatMul", "/a/b"], ["q+k+v", "a/b"]),
    ],
)
def test_names(nodes: list[str], expected: list[str]) -> None:
    assert [group.name for group in layer_groups(named_net(nodes))] == expected


def test_nodes_of_one_name_and_of_none() -> None:
    model = named_net(["/a/MatMul", "/a/MatMul", "/b/c"])
    model.graph.node[2].name = ""
    before = model.SerializeToString()
    named = with_node_names(model)
    assert layer_groups(model) == layer_groups(named)
    assert model.SerializeToString() == before
    assert [node.name for node in named.graph.node] == ["/a/MatMul", "/a/MatMul_2", "MatMul_2"]
    assert with_node_names(named) is named
    name_nodes_in_place(model)
    assert model == named


def test_names_do_not_depend_on_the_run() -> None:
    for animal in ANIMALS.values():
        one, two = (layer_groups(clean_graph(animal.build())) for _ in range(2))
        assert one == two


def test_a_torch_net_exported_with_normalisation_is_one_chain_of_layers() -> None:
    import torch
    from torch import nn

    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 1))
    model = exported(net.train().eval(), (torch.zeros(1, 3, 8, 8),), ["x"])
    groups = layer_groups(clean_graph(model))
    assert [group.name for group in groups] == ["0", "3"]
    assert all(np.prod(group.weights) for group in groups)


def test_layers_that_read_constants_are_no_layers() -> None:
    """Learned queries: what is computed of weights alone is the same in every run."""
    model = clean_graph(ANIMALS["decoder_of_learned_queries"].build())
    graph = Graph(model.graph)
    read = {node.input[0] for node in model.graph.node if node.op_type == "MatMul"}
    assert "queries" in read & graph.constants
    decided = {name for group in layer_groups(model) for name in group.nodes}
    for node in model.graph.node:
        if node.name in decided:
            assert node.input[0] not in graph.constants


def test_what_is_drawn_at_random_is_no_constant() -> None:
    b = Builder(17)
    b.op("RandomNormalLike", b.const(np.zeros((2, 3))), out="drawn")
    b.output("drawn")
    assert "drawn" not in Graph(b.model().graph).constants
