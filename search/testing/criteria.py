"""Conformance suite of pruning criteria: a criterion's test class subclasses :class:`CriterionConformance`.

    from my_package.maximum import Maximum
    from search.testing.criteria import CriterionConformance

    class TestMaximum(CriterionConformance):
        kind = Maximum

Needs pytest. The criterion must be registered, or be an entry point of an installed package.
"""

from __future__ import annotations

import copy
import functools
from typing import ClassVar, Literal

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hwprofiles.errors import InvalidInput
from search.pruning import ChannelGroup, best_channels, channel_groups, prune
from search.pruning.criteria import CRITERIA, Batch, Criterion, Needs, Scores, Sees
from search.testing.nets import net, settle

DEAD = (2, 5, 7)
UNREAD = (0, 4)
TWINS = (3, 8)

Plan = Literal["dead", "unread", "twins"]


class PlantedNet(nn.Module):
    """Two convolutions with normalisation, and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(2, 10, 3, padding=1, bias=False), nn.BatchNorm2d(10)
        self.conv2, self.norm2 = nn.Conv2d(10, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.relu, self.head = nn.ReLU(inplace=True), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.norm1(self.conv1(x)))
        x = self.relu(self.norm2(self.conv2(x)))
        logits: Tensor = self.head(x.mean((2, 3)))
        return logits


@functools.cache
def plant(plan: Plan) -> tuple[PlantedNet, ChannelGroup, tuple[Batch, ...]]:
    """Makes a net whose first layer has useless channels, the group of that layer, and two batches with labels.

    The channels :data:`DEAD` are always zero, nothing reads the channels :data:`UNREAD`, or the channels :data:`TWINS`
    are equal. Shared by all tests: to be copied before it is changed.
    """
    torch.manual_seed(3)
    model = settle(PlantedNet())
    with torch.no_grad():
        if plan == "dead":
            for channel in DEAD:
                model.conv1.weight[channel] = 0
                model.norm1.weight[channel] = model.norm1.bias[channel] = 0
        elif plan == "unread":
            model.conv2.weight[:, list(UNREAD)] = 0
        else:
            _plant_twins(model)
    batches = tuple(Batch((torch.randn(16, 2, 6, 6),), torch.randint(0, 4, (16,))) for _ in range(2))
    group = channel_groups(model, batches[0].inputs)[0]
    assert group.layers == ("conv1",)
    return model, group, batches


def _plant_twins(model: PlantedNet) -> None:
    """Makes two channels equal, and both of some importance, so that neither is the least by itself."""
    first, second = TWINS
    model.norm1.weight[first] *= 2
    model.conv2.weight[:, first] *= 2
    model.conv1.weight[first] *= 2
    tensors = model.norm1.weight, model.norm1.bias, model.norm1.running_mean, model.norm1.running_var
    for tensor in (model.conv1.weight, *tensors):
        assert tensor is not None
        tensor[second] = tensor[first]
    model.conv2.weight[:, second] = model.conv2.weight[:, first]


def score_planted(criterion: Criterion, plan: Plan) -> Scores:
    """Scores the channels of the planted net's first layer."""
    model, group, batches = plant(plan)
    return criterion.scores(model, [group], batches)[group.name]


def lowest(values: Scores, count: int) -> set[int]:
    """Returns the channels with the lowest scores."""
    return set(np.argsort(values, kind="stable")[:count].tolist())


@functools.cache
def sample_groups(name: str) -> tuple[nn.Module, tuple[ChannelGroup, ...], tuple[Batch, ...]]:
    """Returns a net, its groups, and two batches with labels. Shared by all tests: to be copied before it is
    changed."""
    model, inputs = net(name)
    batches = Batch(inputs, torch.tensor([0, 1, 2])), Batch(inputs, torch.tensor([3, 3, 1]))
    return model, tuple(channel_groups(model, inputs)), batches


class CriterionConformance:
    """What every criterion promises."""

    kind: ClassVar[type[Criterion]]
    refused_nets: ClassVar[frozenset[str]] = frozenset()
    """Nets of ``encoder``, ``torch_encoder``, ``grouped`` and ``concatenated`` with layers that it cannot judge."""

    def test_it_is_registered(self) -> None:
        assert self.kind in CRITERIA.values()

    @pytest.mark.parametrize("seed", [0, 1])
    def test_each_channel_has_a_finite_score(self, seed: int) -> None:
        model, groups, batches = sample_groups("resnet")
        scores = self.kind(seed=seed).scores(model, groups, batches)
        assert list(scores) == [group.name for group in groups]
        for group in groups:
            assert scores[group.name].shape == (group.channels,)
            assert scores[group.name].dtype == np.float64
            assert np.isfinite(scores[group.name]).all()
            assert len(set(scores[group.name])) > 1

    def test_the_model_stays_as_it_was(self) -> None:
        """Also its mode, its gradients, and the random numbers of others."""
        shared, groups, batches = sample_groups("resnet")
        model = copy.deepcopy(shared).train()
        model.zero_grad()
        parameter = next(model.parameters())
        parameter.grad = torch.ones_like(parameter)
        before, random_state = copy.deepcopy(model.state_dict()), torch.random.get_rng_state()
        self.kind().scores(model, groups, batches)
        assert torch.equal(torch.random.get_rng_state(), random_state)
        assert model.training
        assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
        assert torch.equal(parameter.grad, torch.ones_like(parameter))
        assert [p.grad is None for p in model.parameters()].count(False) == 1

    @pytest.mark.parametrize("seed", [0, 1])
    def test_scores_do_not_depend_on_other_groups(self, seed: int) -> None:
        model, groups, batches = sample_groups("resnet")
        scores = self.kind(seed=seed).scores(model, groups, batches)
        reverse = self.kind(seed=seed).scores(model, groups[::-1], batches)
        assert all(np.array_equal(reverse[key], values) for key, values in scores.items())
        alone = self.kind(seed=seed).scores(model, groups[2:3], batches)
        assert np.array_equal(alone[groups[2].name], scores[groups[2].name])

    @pytest.mark.parametrize("name", ["encoder", "torch_encoder", "grouped", "concatenated"])
    def test_channels_of_a_block_share_a_score(self, name: str) -> None:
        model, groups, batches = sample_groups(name)
        if name in self.refused_nets:
            with pytest.raises(InvalidInput) as caught:
                self.kind().scores(model, groups, batches)
            assert caught.value.hint
            return
        scores = self.kind().scores(model, groups, batches)
        for group in groups:
            assert all(len({scores[group.name][channel] for channel in block}) == 1 for block in group.blocks)

    def test_dead_channels_are_seen_as_claimed(self) -> None:
        values = score_planted(self.kind(), "dead")
        seen = lowest(values, len(DEAD)) == set(DEAD) and max(values[list(DEAD)]) < min(np.delete(values, DEAD))
        assert seen == (Sees.DEAD in self.kind.sees)

    def test_removing_dead_channels_first_loses_nothing(self) -> None:
        if Sees.DEAD not in self.kind.sees:
            pytest.skip("it does not claim to see dead channels")
        model, group, batches = plant("dead")
        channels = best_channels(group, score_planted(self.kind(), "dead"), group.channels - len(DEAD))
        (x,) = batches[0].inputs
        with torch.no_grad():
            assert torch.allclose(prune(model, {group: channels})(x), model(x), atol=1e-5)

    def test_duplicates_are_seen_as_claimed(self) -> None:
        values = score_planted(self.kind(), "twins")
        assert bool(lowest(values, 1) & set(TWINS)) == (Sees.DUPLICATE in self.kind.sees)
        if self.kind.sees:
            assert values[TWINS[0]] == pytest.approx(values[TWINS[1]])

    def test_missing_data_is_refused_as_declared(self) -> None:
        model, group, batches = plant("dead")
        criterion = self.kind()
        if criterion.needs is Needs.NOTHING:
            assert np.array_equal(criterion.scores(model, [group])[group.name], score_planted(criterion, "dead"))
            return
        with pytest.raises(InvalidInput, match="needs data"):
            criterion.scores(model, [group])
        if criterion.needs is Needs.LABELS:
            with pytest.raises(InvalidInput, match="labels"):
                criterion.scores(model, [group], [Batch(batches[0].inputs)])
