"""The structural view of teachers that strangers wrote."""

from __future__ import annotations

import copy

import pytest
import torch
from teachers import Strided, teacher, workshop
from torch import Tensor, nn

from search.pruning import BlockGroup
from search.pruning.tracing import outputs_of
from search.space.encoding import UnitEncoding
from search.students import PlainLayer, Unit, find_units
from search.students.plain_layers import leave_out
from search.students.skips import find_skips


def view(name: str) -> tuple[Unit, ...]:
    return workshop(name).units


def removable(name: str, kind: type) -> list[str]:
    return [unit.name for unit in view(name) if isinstance(unit.removal, kind)]


def test_each_layer_of_a_plain_net_is_removable_but_the_last() -> None:
    features = [f"features/features.{number}" for number in (0, 3, 7, 10, 14, 17)]
    assert [unit.name for unit in view("vgg")] == [*features, "classifier/classifier.0", "classifier/classifier.3"]
    assert removable("vgg", PlainLayer) == [unit.name for unit in view("vgg")]
    assert all(unit.group is not None for unit in view("vgg"))
    last = view("vgg")[5].removal
    assert last == PlainLayer("features.17", ("features.18",), ("classifier.0",))


def test_blocks_with_a_plain_shortcut_are_removable_whole_others_by_their_inner_layer() -> None:
    blocks = removable("resnet34", BlockGroup)
    assert len(blocks) == 13
    assert "layer2/layer2.0" not in blocks
    assert removable("resnet34", PlainLayer) == [f"layer{n}/layer{n}.0/conv1" for n in (2, 3, 4)]
    stages = [unit for unit in view("resnet34") if unit.group and unit.encoding.ends_skip]
    assert [unit.encoding.outputs for unit in stages] == [8, 16, 32, 64]
    assert removable("digits", BlockGroup) == [f"blocks/blocks.{number}" for number in (0, 1, 3, 5)]


def test_inverted_residual_blocks() -> None:
    assert removable("mobilenet", BlockGroup) == [f"features/features.{number}" for number in (1, 3, 5)]
    assert removable("mobilenet", PlainLayer) == ["features/features.6/features.6.0"]


@pytest.mark.parametrize(("name", "heads", "mlp"), [("torchvision_vit", 4, 64), ("digits_vit", 4, 64), ("bert", 3, 48)])
def test_transformers_have_blocks_heads_and_widths(name: str, heads: int, mlp: int) -> None:
    attention = [unit for unit in view(name) if unit.encoding.kind == "attention"]
    assert [len(unit.group.blocks) for unit in attention if unit.group] == [heads] * 3
    assert [unit.encoding.outputs for unit in view(name) if unit.encoding.outputs == mlp] == [mlp] * 3
    assert len(removable(name, BlockGroup)) == (6 if name == "bert" else 3)  # attention alone is a block of BERT's
    assert not [unit for unit in view(name) if isinstance(unit.removal, PlainLayer) and unit.name != "pooler"]


def test_encodings_are_those_of_the_layers() -> None:
    by_name = {unit.name: unit.encoding for unit in view("resnet34")}
    assert by_name["layer2/layer2.0/conv1"] == UnitEncoding("conv", 3, 2, 1, 16, starts_skip=True)
    assert by_name["layer2/layer2.1"] == UnitEncoding("block", 3, 1, 1, 16, True, True)
    first = next(iter(by_name.values()))
    assert first == UnitEncoding("conv", 7, 2, 3, 8, ends_skip=True)
    assert {len(encoding.numbers) for encoding in by_name.values()} == {12}
    strided = [unit.encoding for unit in view("strided")]
    assert strided[0] == UnitEncoding("conv", 5, 2, 2, 8)
    assert view("vgg")[-1].encoding == UnitEncoding("linear", 1, 1, 0, 40)


def test_skips_begin_and_end_at_layers() -> None:
    model, example = teacher("digits")
    skips = find_skips(model, example)
    assert {"blocks.0.conv1", "blocks.2.conv1", "blocks.2.shortcut.0"} <= skips.starts
    assert skips.ends == {f"blocks.{n}.conv2" for n in range(6)} | {f"blocks.{n}.shortcut.0" for n in (2, 4)}
    assert not find_skips(*teacher("vgg")).ends
    encoder, tokens = teacher("bert")
    assert "layer.0.attention.self.query" in find_skips(encoder, tokens).starts


@pytest.mark.parametrize("unit", range(4))
def test_what_is_left_out_keeps_the_pictures_size(unit: int) -> None:
    """With strides, dilation, without padding."""
    model, example = teacher("strided")
    removal = view("strided")[unit].removal
    assert isinstance(removal, PlainLayer)
    changed, sizes = copy.deepcopy(model), list[torch.Size]()
    leave_out(changed, removal)
    for net in (model, changed):
        assert isinstance(net, Strided)
        sizes.append(net.body(example[0]).shape)
    assert sizes[0] == sizes[1]


def test_a_layer_that_cannot_be_replaced_stays() -> None:
    over_padded = view("strided")[4]
    assert (over_padded.encoding.padding, over_padded.removal) == (1, None)


class Shared(nn.Module):
    """A layer that is called twice, one whose outputs are gated by themselves, one that is read on two sides."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.twice, self.sides = nn.Linear(4, 8), nn.Linear(8, 8), nn.Linear(8, 6)
        self.left, self.right = nn.Linear(6, 5), nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.sides(torch.relu(self.twice(torch.relu(self.twice(torch.relu(self.enter(x))))))))
        out: Tensor = self.left(x) * self.right(x)
        return out


def test_layers_that_are_called_twice_stay_and_several_may_read() -> None:
    units = {unit.layers: unit.removal for unit in find_units(Shared(), (torch.randn(3, 4),))}
    assert units["sides",] == PlainLayer("sides", (), ("left", "right"))
    assert [removal for layers, removal in units.items() if "twice" in layers] == [None]


def test_readers_weigh_the_inputs_as_the_layer_did() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6, bias=False), nn.Linear(6, 3, bias=False), nn.Linear(3, 5, bias=False))
    x = torch.randn(7, 4)
    (unit, _) = find_units(model, (x,))
    assert isinstance(unit.removal, PlainLayer)
    changed = copy.deepcopy(model)
    leave_out(changed, unit.removal)
    before, after = outputs_of(model, (x,))[0], outputs_of(changed, (x,))[0]
    torch.testing.assert_close(after, before * (after[0, 0] / before[0, 0]))
    spreads = [net.get_submodule("1").weight.std(correction=0) for net in (model, changed)]  # type: ignore[union-attr,operator]
    torch.testing.assert_close(*spreads)
