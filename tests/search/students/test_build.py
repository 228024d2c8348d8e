"""Students of strangers' teachers: they run, learn, and are exported."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from teachers import TEACHERS, Workshop, teacher, workshop
from torch import Tensor, nn

from evaluators.torch_export import export_module
from hwprofiles.errors import BuildFailed, InvalidInput, Unreachable
from search.students import Unit, build_student, find_gone, find_outermost

torch.set_num_threads(1)


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("name", TEACHERS)
def test_students_run_learn_and_are_exported(name: str, tmp_path: Path) -> None:
    shop, rng = workshop(name), random.Random(1)
    before = {key: value.clone() for key, value in shop.model.state_dict().items()}
    for share in (0.0, 0.4, 1.0):
        removed = {unit for unit in shop.removable if rng.random() < share}
        if len(removed) == len(shop.units):
            removed.pop()
        factors = {unit: rng.choice([0.2, 0.5, 0.8]) for unit in shop.groups if rng.random() < 0.8}
        student = shop.build(removed, factors)
        assert parameters(student) < parameters(shop.model)
        learn_a_step(student, shop.example)
        if share == 0.4:  # the export compares with torch
            arrays = {f"x{number}": tensor.numpy() for number, tensor in enumerate(shop.example)}
            export_module(student, arrays, tmp_path / "student.onnx")
    assert all(torch.equal(value, before[key]) for key, value in shop.model.state_dict().items())


def learn_a_step(student: nn.Module, example: tuple[Tensor, ...]) -> None:
    student.train()
    optimizer = torch.optim.SGD(student.parameters(), 0.01)
    student(*example).square().mean().backward()
    optimizer.step()
    student.eval()


def test_the_most_important_channels_stay_with_their_weights() -> None:
    shop = workshop("vgg")
    first, second = (shop.model.get_submodule(f"features.{number}").weight for number in (0, 3))
    group = shop.units[0].group
    assert group is not None
    scores = {group.name: np.arange(16.0)[::-1]}
    student = build_student(shop.model, shop.units, (), {shop.units[0].name: 4}, scores, shop.example)
    assert torch.equal(student.get_submodule("features.0").weight, first[:4])  # type: ignore[index,arg-type]
    assert torch.equal(student.get_submodule("features.3").weight, second[:, :4])  # type: ignore[index,arg-type]


def test_a_student_of_everything_is_its_teacher() -> None:
    shop = workshop("digits")
    torch.testing.assert_close(shop.build(set(), {})(*shop.example), shop.model(*shop.example))


def test_without_any_layer_there_is_no_student() -> None:
    shop = workshop("vgg")
    with pytest.raises(Unreachable, match="no layer left but its last"):
        shop.build(set(shop.removable), {})
    kept = shop.build(set(shop.removable[1:]), {})
    assert parameters(kept) < 1200


def test_what_cannot_be_removed_is_named() -> None:
    shop = workshop("digits")
    with pytest.raises(InvalidInput, match=r"blocks/blocks\.9, stem.*: cannot be removed"):
        shop.build({shop.units[0].name, "blocks/blocks.9", "blocks/blocks.0"}, {})


def test_a_normalisation_over_one_channel_is_refused() -> None:
    shop = workshop("digits_vit")
    stream = next(name for name, group in shop.groups.items() if not group.exact)
    with pytest.raises(Unreachable, match="a normalisation over one channel"):
        build_student(shop.model, shop.units, (), {stream: 1}, shop.scores, shop.example)
    lean = next(name for name, group in shop.groups.items() if group.exact and group.block_size == 1)
    assert build_student(shop.model, shop.units, (), {lean: 1}, shop.scores, shop.example) is not None


class Particular(nn.Module):
    """Works with 4, 6 or 8 channels before its last layer, not with the 3 that two removals together leave."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(3, 6), nn.Linear(6, 8), nn.Linear(8, 5)])

    def forward(self, x: Tensor) -> Tensor:
        first = torch.relu(self.layers[0](x))
        second = torch.relu(self.layers[1](first))
        if second.shape[-1] == 3:
            raise RuntimeError("three are too few")
        out: Tensor = self.layers[2](second)
        return out


def test_what_cannot_be_repaired_fails_alone() -> None:
    shop = Workshop(Particular(), (torch.randn(2, 3),))
    for unit in shop.removable:
        shop.build({unit}, {})
    extra = Unit("last", shop.units[0].encoding, ("layers.2",), None, None)
    shop.units = (*shop.units, extra)  # else both removals together leave no layer
    with pytest.raises(BuildFailed, match="does not run: three are too few"):
        shop.build(set(shop.removable), {})


def test_outputs_that_are_not_finite_fail() -> None:
    shop = Workshop(*teacher("vgg"))
    with torch.no_grad():
        shop.model.get_submodule("classifier.6").bias.fill_(float("inf"))  # type: ignore[operator,union-attr]
    with pytest.raises(BuildFailed, match="not finite"):
        shop.build(set(), {})


def test_what_is_inside_goes_with_the_block_around() -> None:
    units = workshop("bert").units
    removed = {"layer.0", "layer.0/attention", "layer.1/attention"}
    assert find_outermost(units, removed) == {"layer.0", "layer.1/attention"}
    assert find_gone(units, {"layer.0"}) == {
        "layer.0", "layer.0/attention", "layer.0/attention/self/query+key+value", "layer.0/intermediate",
    }  # fmt: skip
    everything = {unit.name for unit in units if unit.removal is not None}
    assert [unit.name for unit in units if unit.name not in find_gone(units, everything)] == [
        "layer.0/attention/output/dense+layer.0/output/dense+4 more"  # the embeddings are left
    ]
