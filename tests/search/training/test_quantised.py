"""Layers that round while they train: the same numbers as NumPy's, LSQ's gradients, and nothing left behind."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from evaluators.graphs.number_format import USUAL, number_format
from hwprofiles.errors import InvalidInput
from search.testing.nets import net
from search.training.normalisation import batch_statistics
from search.training.quantised import QuantisedLayers
from search.training.rounding import round_input, round_to_format, round_weight
from search.training.schedules import Schedule
from search.training.sparsifier import Sparsifier

torch.set_num_threads(1)  # nets as small as these only wait for one another's threads

FORMATS = ("int4", "int8", "e2m1")
GROUPS = {"stem": ["0"], "head": ["4", "6"]}


def small(seed: int = 0) -> nn.Sequential:
    """A convolution with its normalisation, and two linear layers; input ``(n, 2, 4, 4)``."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 8), nn.ReLU(),
        nn.Linear(8, 5),
    ).eval()  # fmt: skip


def images(seed: int = 3) -> Tensor:
    return torch.randn(6, 2, 4, 4, generator=torch.Generator().manual_seed(seed))


def quantised(formats: tuple[str, ...] = FORMATS) -> tuple[nn.Sequential, QuantisedLayers]:
    module = small()
    return module, QuantisedLayers(module, GROUPS, formats)


class TestRounding:
    @pytest.mark.parametrize("name", [*USUAL, "e2m0", "e5m1", "e8m7"])
    def test_torch_rounds_as_numpy_does(self, name: str) -> None:
        form = number_format(name)
        rng = np.random.default_rng(0)
        values = (rng.standard_normal(30_000) * 2.0 ** rng.uniform(-20, 10, 30_000)).astype(np.float32)
        values = values.reshape(10, 30, 100)
        assert np.array_equal(round_to_format(torch.from_numpy(values), form).numpy(), form.round(values))
        columns = torch.from_numpy(values).transpose(0, 2)  # and whatever lies how in memory
        assert torch.equal(round_to_format(columns, form), torch.from_numpy(form.round(values)).transpose(0, 2))

    @pytest.mark.parametrize("name", USUAL)
    @pytest.mark.parametrize("shape", [(5, 3, 3, 3), (4, 7), (3, 2, 5)])
    def test_every_channel_has_its_scale(self, name: str, shape: tuple[int, ...]) -> None:
        form = number_format(name)
        weight = torch.randn(shape, generator=torch.Generator().manual_seed(1))
        weight *= 10.0 ** torch.arange(shape[0]).view(-1, *[1] * (len(shape) - 1))
        found = round_weight(weight, form).numpy()
        for row, values in zip(found, weight.numpy(), strict=True):
            scale = np.abs(values).max() / np.float32(form.largest)
            assert np.array_equal(row, form.round(values / scale) * scale)
            assert np.abs(row).max() == pytest.approx(np.abs(values).max(), rel=1e-6)

    @pytest.mark.parametrize("name", ["int4", "e4m3"])
    def test_a_channel_of_zeros_stays_one(self, name: str) -> None:
        weight = torch.randn(3, 4)
        weight[1], weight[2] = 0, 1e-45  # the last one's scale is 0 too
        weight.requires_grad_()
        found = round_weight(weight, number_format(name))
        assert found.isfinite().all()
        assert torch.equal(found[1], torch.zeros(4))
        found.sum().backward()
        assert torch.equal(weight.grad, torch.ones(3, 4))

    def test_inputs_are_clipped_at_the_bound(self) -> None:
        form, bound = number_format("int4"), torch.tensor(3.5)
        values = torch.tensor([0.2, 0.3, -0.74, 3.4, 3.6, -100.0])
        assert round_input(values, bound, form).tolist() == [0.0, 0.5, -0.5, 3.5, 3.5, -3.5]


class TestGradients:
    @pytest.mark.parametrize("name", FORMATS)
    def test_weights_have_a_straight_one_everywhere(self, name: str) -> None:
        """Channels by the thousand: to divide twice must not clip the peak that a scale was made of."""
        weight = torch.rand(4000, 6, generator=torch.Generator().manual_seed(0)).requires_grad_()
        given = torch.randn(4000, 6)
        (round_weight(weight, number_format(name)) * given).sum().backward()
        assert torch.equal(weight.grad, given)

    def test_inputs_have_one_inside_and_none_where_they_were_clipped(self) -> None:
        values = torch.tensor([0.2, -3.5, 3.5, 3.6, -9.0], requires_grad=True)
        given = torch.tensor([2.0, 3.0, 4.0, 5.0, 6.0])
        (round_input(values, torch.tensor(3.5), number_format("int4")) * given).sum().backward()
        assert values.grad.tolist() == [2.0, 3.0, 4.0, 0.0, 0.0]

    def test_the_bound_s_is_that_of_lsq(self) -> None:
        """By hand, for int4 up to 3.5, steps of 0.5: 0.2 is 0.4 steps and becomes 0, so that the step's gradient is
        0 - 0.4; -0.7 is -1.4 steps and becomes -1, which gives -1 + 1.4; beyond the bound it is 7, or -7."""
        bound = torch.tensor(3.5, requires_grad=True)
        values, given = torch.tensor([0.2, -0.7, 4.0, -5.0]), torch.tensor([1.0, 10.0, 100.0, 1000.0])
        (round_input(values, bound, number_format("int4")) * given).sum().backward()
        expected = (-0.4 * 1 + 0.4 * 10 + 7 * 100 - 7 * 1000) / 7
        assert bound.grad.item() == pytest.approx(expected, rel=1e-5)

    def test_a_float_s_steps_grow_with_it(self) -> None:
        """E2M1 up to 6: 3.4 becomes 3, 5.5 becomes 6; the error is the scale's gradient here too."""
        bound = torch.tensor(6.0, requires_grad=True)
        round_input(torch.tensor([3.4, 5.5]), bound, number_format("e2m1")).sum().backward()
        assert bound.grad.item() == pytest.approx((-0.4 + 0.5) / 6, rel=1e-5)

    def test_the_bound_is_trained_by_its_logarithm(self) -> None:
        module, layers = quantised(("int4",))
        layers.select({"stem": "int4"})
        module.train()
        module(images())
        layers.begin()
        logarithm = module[0].get_parameter("quantised_input.logarithms.int4")
        module(images()).square().sum().backward()
        assert logarithm.grad is not None
        assert logarithm.grad != 0
        assert module[4].get_parameter("quantised_input.logarithms.int4").grad is None


class TestLayers:
    def test_without_formats_nothing_changes(self) -> None:
        module, layers = quantised()
        assert torch.equal(module(images()), small()(images()))
        layers.begin()
        assert torch.equal(module(images()), small()(images()))

    def test_a_layer_computes_what_its_format_says(self) -> None:
        module, layers = quantised()
        layers.select({"stem": "int4"})
        plain = small()
        plain[0].weight.data = round_weight(plain[0].weight.data, number_format("int4"))
        assert torch.equal(module(images()), plain(images()))
        assert layers.chosen == {"stem": "int4"}

        module[0].get_buffer("quantised_input.peak").fill_(2.0)
        layers.begin()
        clipped = round_input(images(), torch.tensor(2.0).log().exp(), number_format("int4"))
        assert torch.equal(module(images()), plain(clipped))

    def test_all_layers_of_a_group_have_its_format(self) -> None:
        module, layers = quantised()
        layers.select({"head": "e2m1"})
        for name in ("4", "6"):
            weight = module.get_submodule(name).weight
            assert torch.equal(weight, round_weight(small().get_submodule(name).weight, number_format("e2m1")))
        assert torch.equal(module[0].weight, small()[0].weight)

    def test_inputs_are_seen_until_they_are_rounded(self) -> None:
        module, layers = quantised()
        peak = module[0].get_buffer("quantised_input.peak")
        module(images())
        assert peak == 0  # not while it is judged
        module.train()
        module(images())
        first = images().abs().max()
        assert peak == first
        module(3 * images())
        assert peak.item() == pytest.approx(float(0.95 * first + 0.05 * 3 * first))
        layers.begin()
        layers.select(dict.fromkeys(GROUPS, "int8"))
        assert layers.bounds()["0"] == pytest.approx(float(peak))
        before = peak.clone()
        module(9 * images())
        assert peak == before

    def test_bounds_are_those_of_chosen_formats(self) -> None:
        _, layers = quantised()
        layers.begin()
        assert layers.bounds() == {}
        layers.select({"head": "int8"})
        assert list(layers.bounds()) == ["4", "6"]
        layers.select({"stem": "e2m1"})
        assert list(layers.bounds()) == ["0"]

    def test_changing_to_another_format_and_back_changes_nothing_else(self) -> None:
        module, layers = quantised()
        module.train()
        module(images())
        module.eval()
        layers.begin()
        layers.select(dict.fromkeys(GROUPS, "int4"))
        before = copy.deepcopy(module.state_dict())
        one = module(images())
        for name in ("int8", "e2m1"):
            layers.select(dict.fromkeys(GROUPS, name))
            assert not torch.equal(module(images()), one)
        layers.select(dict.fromkeys(GROUPS, "int4"))
        assert torch.equal(module(images()), one)
        assert all(torch.equal(values, before[name]) for name, values in module.state_dict().items())

    def test_every_format_trains_its_own_bound(self) -> None:
        module, layers = quantised()
        layers.begin()
        layers.select({"stem": "int4"})
        module(images()).sum().backward()
        found = module[0].get_submodule("quantised_input").named_parameters()
        assert {name for name, parameter in found if parameter.grad is not None} == {"logarithms.int4"}

    def test_it_goes_on_from_a_state(self) -> None:
        module, layers = quantised()
        module.train()
        module(images())
        layers.begin()
        layers.select({"stem": "int4", "head": "int8"})
        module.eval()
        other, others = quantised()
        assert not others.rounds_inputs
        other.load_state_dict(module.state_dict())
        others.select(layers.chosen)
        others.resume()
        assert others.rounds_inputs
        assert torch.equal(other(images()), module(images()))
        assert others.bounds() == layers.bounds()

    @pytest.mark.parametrize("name", ["resnet", "grouped", "vit", "torch_encoder"])
    def test_removed_it_is_the_module_of_before(self, name: str) -> None:
        module, inputs = net(name)
        before = {key: values.clone() for key, values in module.state_dict().items()}
        expected, described = module(*inputs), str(module)
        names = [key for key, part in module.named_modules() if isinstance(part, nn.Linear | nn.Conv2d)]
        layers = QuantisedLayers(module, {key: [key] for key in names}, FORMATS)
        layers.begin()
        layers.select(dict.fromkeys(names, "int4"))
        module(*inputs)
        layers.remove()
        assert module.state_dict().keys() == before.keys()
        assert all(torch.equal(values, before[key]) for key, values in module.state_dict().items())
        assert torch.equal(module(*inputs), expected)
        assert str(module) == described
        assert not any(part._forward_pre_hooks for part in module.modules())
        assert all(isinstance(module.get_submodule(key).weight, nn.Parameter) for key in names)

    def test_what_was_trained_stays(self) -> None:
        module, layers = quantised()
        layers.select(dict.fromkeys(GROUPS, "int4"))
        optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
        module(images()).square().sum().backward()
        optimizer.step()
        stored = module[0].get_parameter("parametrizations.weight.original").detach().clone()
        layers.remove()
        assert torch.equal(module[0].weight, stored)
        assert not torch.equal(stored, small()[0].weight)
        assert len(stored.unique()) == stored.numel()  # as it was before rounding

    def test_what_is_held_at_zero_stays_zero(self) -> None:
        module, layers = quantised()
        layers.select(dict.fromkeys(GROUPS, "int4"))
        held = Sparsifier(module, Schedule("one_shot", 0.5))
        held.apply(0)
        layers.remove()
        assert held.sparsity() == pytest.approx(0.5, abs=0.01)
        assert (module[4].weight == 0).float().mean() == pytest.approx(0.5, abs=0.01)

    def test_under_mixed_precision(self) -> None:
        module, layers = quantised()
        module.train()
        module(images())
        layers.begin()
        layers.select(dict.fromkeys(GROUPS, "int8"))
        with torch.autocast("cpu", torch.bfloat16):
            module(images()).float().square().sum().backward()
        assert all(weight.grad.dtype is torch.float32 for weight in module.parameters() if weight.grad is not None)
        assert module[4].get_parameter("parametrizations.weight.original").grad.abs().sum() > 0

    def test_unknown_names_are_refused(self) -> None:
        module = small()
        with pytest.raises(InvalidInput, match="formats: there is no layer '1'") as refused:
            QuantisedLayers(module, {"norm": ["1"]}, FORMATS)
        assert refused.value.hint == "known: 0, 4, 6"
        with pytest.raises(InvalidInput, match="'int9' is no number format") as refused:
            QuantisedLayers(module, GROUPS, ("int9",))
        assert "int8" in refused.value.hint
        assert module.state_dict().keys() == small().state_dict().keys()


class TestBatchStatistics:
    def test_they_normalise_and_leave_no_trace(self) -> None:
        module = nn.Sequential(
            nn.BatchNorm2d(3, momentum=0.3), nn.BatchNorm2d(3, momentum=None), nn.Dropout(),
            nn.BatchNorm2d(3, track_running_stats=False), nn.BatchNorm2d(3, affine=False),
        )  # fmt: skip
        module.train()
        module(torch.randn(8, 3, 4, 4))
        module[4].eval()  # one that somebody froze
        before = copy.deepcopy(module.state_dict())
        modes = [part.training for part in module.modules()]
        far = 5 + 3 * torch.randn(8, 3, 4, 4)
        with batch_statistics(module):
            found = module(far)
            assert not module[2].training
        assert found.mean().item() == pytest.approx(0, abs=1e-5)
        assert found.std().item() == pytest.approx(1, abs=1e-2)
        assert all(torch.equal(values, before[name]) for name, values in module.state_dict().items())
        assert [part.training for part in module.modules()] == modes
        assert [module[place].momentum for place in (0, 1, 4)] == [0.3, None, 0.1]

    def test_also_where_something_goes_wrong(self) -> None:
        module = nn.Sequential(nn.BatchNorm1d(2, momentum=0.3)).eval()
        before = copy.deepcopy(module.state_dict())
        with pytest.raises(ValueError, match="more than 1 value"), batch_statistics(module):
            module(torch.randn(1, 2))
        assert not module[0].training
        assert module[0].momentum == 0.3
        assert all(torch.equal(values, before[name]) for name, values in module.state_dict().items())


def test_the_bound_of_what_is_never_seen_is_no_zero() -> None:
    _, layers = quantised()
    layers.begin()
    layers.select(dict.fromkeys(GROUPS, "int4"))
    assert all(math.isfinite(bound) and bound > 0 for bound in layers.bounds().values())
