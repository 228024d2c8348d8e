"""Groups of channels and blocks: what goes together, and what is left when some of it goes."""

from __future__ import annotations

import copy
import functools
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from capability_record import capability_of
from torch import nn

from evaluators.graphs.cleanup import clean_graph
from evaluators.graphs.layer_groups import layer_groups
from evaluators.graphs.model import load_model
from evaluators.torch_export import export_module
from hwprofiles import Precision, find_device
from hwprofiles.errors import InvalidInput
from search.pruning import (
    BlockGroup,
    ChannelGroup,
    ChannelsToKeep,
    best_channels,
    block_groups,
    channel_groups,
    channel_step,
    parameter_count,
    prune,
    width_choices,
    zero_channels,
)
from search.pruning.attention import PlainAttention
from search.testing.nets import NETS, Inputs, net

torch.set_num_threads(1)  # nets as small as these only wait for one another's threads

every_net = pytest.mark.parametrize("name", NETS)


@functools.cache
def known(name: str) -> tuple[nn.Module, Inputs, tuple[ChannelGroup, ...]]:
    model, example = net(name)
    return model, example, channel_groups(model, example)


def some(groups: tuple[ChannelGroup, ...], seed: int = 0) -> ChannelsToKeep:
    """About half of each group's blocks, at least one."""
    rng = np.random.default_rng(seed)
    kept = {}
    for group in groups:
        count = max(1, len(group.blocks) // 2)
        chosen = sorted(rng.permutation(len(group.blocks))[:count])
        kept[group] = tuple(sorted(channel for number in chosen for channel in group.blocks[number]))
    return kept


def run(model: nn.Module, example: Inputs) -> torch.Tensor:
    with torch.no_grad():
        out: torch.Tensor = model.eval()(*example)
    return out


@every_net
def test_the_pruned_net_is_the_one_with_zeros(name: str) -> None:
    model, example, groups = known(name)
    exact = tuple(group for group in groups if group.exact)
    assert len(exact) >= 4
    kept = some(exact)
    small = run(prune(model, kept), example)
    assert torch.allclose(small, run(zero_channels(model, kept), example), atol=1e-5)
    assert not torch.allclose(small, run(model, example), atol=1e-3)


@every_net
def test_keeping_everything_changes_nothing(name: str) -> None:
    model, example, groups = known(name)
    kept = {group: range(group.channels) for group in groups}
    assert torch.allclose(run(prune(model, kept), example), run(model, example), atol=1e-5)


@every_net
def test_all_groups_at_once_run_in_the_same_shapes(name: str) -> None:
    model, example, groups = known(name)
    pruned = prune(model, some(groups))
    assert run(pruned, example).shape == run(model, example).shape
    smallest = {group: group.blocks[-1] for group in groups}
    assert torch.isfinite(run(prune(model, smallest), example)).all()


@every_net
def test_the_original_is_left_alone(name: str) -> None:
    model, example = net(name)
    model.train()
    model.requires_grad_(False)
    before = copy.deepcopy(model.state_dict())
    groups = channel_groups(model, example)
    block_groups(model, example)
    prune(model, some(groups))
    zero_channels(model, some(groups))
    assert model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)


@every_net
def test_parameters_fall_as_computed(name: str) -> None:
    model, _, groups = known(name)
    whole = sum(parameter.numel() for parameter in model.parameters())
    assert parameter_count(model) == whole
    counts = [whole]
    for count in range(1, len(groups) + 1):
        kept = some(groups[:count])
        counts.append(parameter_count(model, kept))
        assert counts[-1] == sum(parameter.numel() for parameter in prune(model, kept).parameters())
    assert all(later < earlier for earlier, later in itertools.pairwise(counts))


@every_net
def test_a_pruned_net_is_exported(name: str, tmp_path: Path) -> None:
    model, example, groups = known(name)
    sample = {f"in{number}": tensor.numpy() for number, tensor in enumerate(example)}
    export_module(prune(model, some(groups)), sample, tmp_path / "pruned.onnx")


@every_net
def test_plain_data_is_the_same_each_time(name: str) -> None:
    model, example, groups = known(name)
    assert channel_groups(model, example) == groups
    assert len({group.name for group in groups}) == len(groups)
    assert set(groups)  # they can be keys


def test_groups_of_the_residual_net_are_those_of_its_file(tmp_path: Path) -> None:
    model, example, groups = known("resnet")
    assert [(group.layers, group.channels) for group in groups] == [
        (("stem", "blocks.0.conv2"), 8),
        (("blocks.0.conv1",), 8),
        (("blocks.1.conv1",), 16),
        (("blocks.1.conv2", "blocks.1.shortcut.0"), 16),
        (("blocks.2.conv1",), 32),
        (("blocks.2.conv2", "blocks.2.shortcut.0"), 32),
    ]
    export_module(model, {"image": example[0].numpy()}, tmp_path / "net.onnx")
    layers = layer_groups(clean_graph(load_model(tmp_path / "net.onnx")))
    names = {group.name for group in layers}
    assert {group.name for group in groups} <= names
    assert len(names) == len(groups) + 1  # and the head, whose outputs are the model's
    assert set(groups[0].operators) == {"conv3x3", "conv1x1"}
    assert all(group.block_size == 1 and group.exact for group in groups)


def test_grouped_convolutions_lose_a_channel_of_each_group() -> None:
    _, _, groups = known("grouped")
    found = {group.layers[0]: group for group in groups}
    assert set(found) == {"first", "point", "narrow", "grouped", "last"}
    assert found["first"].layers == ("first", "depthwise")
    assert "depthwise" in found["first"].operators
    assert found["point"].layers == ("point", "wider")
    assert found["narrow"].blocks == ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15))
    assert len(found["grouped"].blocks) == 6
    assert found["grouped"].block_size == 4


def test_concatenated_branches_are_groups_of_their_own() -> None:
    _, _, groups = known("concatenated")
    assert [(group.name, group.channels) for group in groups] == [
        ("left", 6), ("right", 10), ("both", 4), ("head/head.1", 12),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["encoder", "torch_encoder"])
def test_attention_loses_whole_heads(name: str) -> None:
    model, _, groups = known(name)
    heads = [group for group in groups if group.heads]
    assert len(heads) == 2
    assert all(len(group.blocks) == 4 and group.block_size == 4 for group in heads)
    dense = [group for group in groups if group.exact and not group.heads]
    assert len(dense) == 2
    (width,) = [group for group in groups if not group.exact]
    assert width.channels == 16
    small = prune(model, {heads[0]: heads[0].blocks[2]})
    assert getattr(small.get_submodule(heads[0].heads[0]), "heads") == 1  # noqa: B009


def test_heads_are_named_as_in_the_exported_file() -> None:
    _, _, groups = known("encoder")
    assert [group.name for group in groups if group.heads] == [
        "layers.0/attention/query+key+value", "layers.1/attention/query+key+value",
    ]  # fmt: skip


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_plain_attention_is_torch_s(batch_first: bool, bias: bool) -> None:
    torch.manual_seed(0)
    theirs = nn.MultiheadAttention(12, 3, bias=bias, batch_first=batch_first, kdim=8, vdim=10).eval()
    ours = PlainAttention(theirs)
    q, k, v = torch.randn(4, 4, 12), torch.randn(4, 4, 8), torch.randn(4, 4, 10)
    later = torch.ones(4, 4, dtype=torch.bool).triu(1)
    padded = torch.zeros(4, 4, dtype=torch.bool)
    padded[1, 3] = True
    for masks in ({}, {"attn_mask": later}, {"key_padding_mask": padded}, {"attn_mask": torch.randn(12, 4, 4)}):
        assert torch.allclose(ours(q, k, v, **masks)[0], theirs(q, k, v, **masks)[0], atol=1e-5)


@pytest.mark.parametrize(
    ("name", "blocks"),
    [
        ("resnet", ["blocks.0"]),
        ("encoder", ["layers.0", "layers.1"]),
        ("torch_encoder", ["encoder.layers.0", "encoder.layers.1"]),
        ("vit", ["blocks.0", "blocks.1"]),
        ("concatenated", []),
    ],
)
def test_identity_shaped_blocks_can_be_left_out(name: str, blocks: list[str], tmp_path: Path) -> None:
    model, example, groups = known(name)
    found = block_groups(model, example)
    assert [block.module for block in found] == blocks
    for block in found:
        assert width_choices(block, (0.5,)) == (1, 0)
        kept: ChannelsToKeep = {block: (), **some(groups)}
        small = prune(model, kept)
        assert run(small, example).shape == run(model, example).shape
        assert sum(p.numel() for p in small.parameters()) == parameter_count(model, kept)
        assert torch.allclose(run(prune(model, {block: (0,)}), example), run(model, example), atol=1e-5)
    if found:
        sample = {f"in{number}": tensor.numpy() for number, tensor in enumerate(example)}
        export_module(prune(model, {found[0]: ()}), sample, tmp_path / "pruned.onnx")


def test_a_block_left_out_passes_its_input_on() -> None:
    model, example, _ = known("resnet")
    (block,) = block_groups(model, example)
    shorter = copy.deepcopy(model)
    shorter.set_submodule(block.module, nn.Identity())
    assert torch.equal(run(prune(model, {block: ()}), example), run(shorter, example))


class SumInPlace(nn.Module):
    """A sum that overwrites the output of a part, as in transformers; and a part without a shortcut, on one pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4))
        self.pool, self.last = nn.AdaptiveAvgPool2d(1), nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        total = self.inner(x)
        total += x
        out: torch.Tensor = self.last(self.pool(total))
        return out


def test_only_what_returns_its_input_itself_is_a_block() -> None:
    assert block_groups(SumInPlace(), (torch.randn(2, 4, 8, 8),)) == ()


def test_widths_are_rounded_up_to_steps_and_blocks() -> None:
    _, _, groups = known("resnet")
    wide = groups[-1]
    assert width_choices(wide, (0.25, 0.5, 0.75)) == (32, 24, 16, 8)
    assert width_choices(wide, (0.1, 0.3, 0.6, 0.9), step=8) == (32, 24, 16, 8)
    assert width_choices(wide, (0.001,)) == (32, 1)
    assert width_choices(wide, (0.5,), step=64) == (32, 16)  # no multiple is below the full width
    heads = next(group for group in known("encoder")[2] if group.heads)
    assert width_choices(heads, (0.3, 0.6)) == (16, 12, 8)
    assert width_choices(heads, (0.3, 0.6), step=8) == (16, 8)
    for ratio in (0.0, -1.0, 1.5):
        with pytest.raises(InvalidInput):
            width_choices(wide, (ratio,))


def test_the_step_is_the_coarsest_of_a_group_s_operators() -> None:
    capability = capability_of(find_device("local-cpu"))
    groups = known("resnet")[2]
    assert channel_step(None, groups[0]) == 1
    assert channel_step(capability, groups[0]) == 16
    assert channel_step(capability, groups[0], (Precision.INT8,)) == 1
    heads = next(group for group in known("encoder")[2] if group.heads)
    assert channel_step(capability, heads) == 1


def test_the_best_channels_are_whole_blocks() -> None:
    group = next(group for group in known("grouped")[2] if group.layers[0] == "narrow")
    scores = np.array([0, 1, 2, 3] * 4, dtype=np.float64)
    assert best_channels(group, scores, 8) == (2, 3, 6, 7, 10, 11, 14, 15)
    assert best_channels(group, np.zeros(16), 4) == (0, 4, 8, 12)
    for width in (0, 6, 20):
        with pytest.raises(InvalidInput):
            best_channels(group, scores, width)
    with pytest.raises(InvalidInput):
        best_channels(group, np.full(16, np.nan), 8)


def test_what_cannot_be_kept_is_refused() -> None:
    model, _, groups = known("grouped")
    group = next(group for group in groups if group.layers[0] == "narrow")
    for kept in ((), (0, 0), (16,), (0, 1), (0, 4, 8)):
        with pytest.raises(InvalidInput):
            prune(model, {group: kept})
    other = known("resnet")[2][0]
    with pytest.raises(InvalidInput, match="the model has no"):
        prune(model, {other: (0,)})
    with pytest.raises(InvalidInput, match="the model has no"):
        prune(model, {BlockGroup("elsewhere", "elsewhere"): ()})
    with pytest.raises(InvalidInput):
        prune(model, {BlockGroup("first", "first"): (1,)})


class ConstantHeads(nn.Module):
    """Its number of heads stands in the code, where nothing can change it."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(8, 8) for _ in range(4))
        self.up, self.down = nn.Linear(8, 12), nn.Linear(12, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (layer(x).unflatten(-1, (2, -1)).transpose(1, 2) for layer in (self.query, self.key, self.value))
        x = x + self.out(((q @ k.transpose(-1, -2)).softmax(-1) @ v).transpose(1, 2).flatten(-2))
        out: torch.Tensor = x + self.down(torch.relu(self.up(x)))
        return out


def test_what_does_not_survive_a_trial_is_no_group() -> None:
    """Neither constant heads, nor what the model's own inputs and outputs are made of."""
    torch.manual_seed(0)
    groups = channel_groups(ConstantHeads(), (torch.randn(2, 5, 8),))
    assert [group.layers for group in groups] == [("up",)]
    assert groups[0].operators == ("matmul",)
    assert not channel_groups(nn.Sequential(nn.Linear(4, 3)), (torch.randn(2, 4),))
