"""What every criterion promises, and what each can see in a net where the answer is known."""

from __future__ import annotations

import copy
import functools

import numpy as np
import pytest
import torch
from prunable_nets import net, settled
from torch import Tensor, nn

from hwprofiles.errors import BuildFailed, InvalidInput
from search.pruning import ChannelGroup, best_channels, channel_groups, prune
from search.pruning.criteria import CRITERIA, Batch, Criterion, Needs, Sees, sparsity_term
from search.pruning.criteria.lrp import Relevance

every_criterion = pytest.mark.parametrize("name", CRITERIA)
ON_TRANSFORMERS = [name for name in CRITERIA if name not in ("bn_scale", "lrp")]


class Planted(nn.Module):
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


DEAD = (2, 5, 7)
UNREAD = (0, 4)
TWINS = (3, 8)


@functools.cache
def planted(what: str) -> tuple[nn.Module, ChannelGroup, tuple[Batch, ...]]:
    torch.manual_seed(3)
    model = settled(Planted())
    assert isinstance(model, Planted)
    with torch.no_grad():
        if what == "dead":
            for channel in DEAD:
                model.conv1.weight[channel] = 0
                model.norm1.weight[channel] = model.norm1.bias[channel] = 0
        if what == "unread":
            model.conv2.weight[:, list(UNREAD)] = 0
        if what == "twins":
            # Of some importance, so that neither is the least by itself.
            model.norm1.weight[TWINS[0]] *= 2
            model.conv2.weight[:, TWINS[0]] *= 2
            model.conv1.weight[TWINS[0]] *= 2
            for tensor in (model.conv1.weight, model.norm1.weight, model.norm1.bias, model.norm1.running_mean,
                           model.norm1.running_var):  # fmt: skip
                assert tensor is not None
                tensor[TWINS[1]] = tensor[TWINS[0]]
            model.conv2.weight[:, TWINS[1]] = model.conv2.weight[:, TWINS[0]]
    batches = tuple(Batch((torch.randn(16, 2, 6, 6),), torch.randint(0, 4, (16,))) for _ in range(2))
    group = channel_groups(model, batches[0].inputs)[0]
    assert group.layers == ("conv1",)
    return model, group, batches


def scores(criterion: Criterion, what: str) -> np.ndarray:
    model, group, batches = planted(what)
    return criterion.scores(model, [group], batches)[group.name]


def lowest(values: np.ndarray, count: int) -> set[int]:
    return set(np.argsort(values, kind="stable")[:count].tolist())


@every_criterion
@pytest.mark.parametrize("seed", [0, 1])
def test_each_criterion_keeps_its_promises(name: str, seed: int) -> None:
    model, example = net("resnet")
    model.train()
    model.zero_grad()
    parameter = next(model.parameters())
    parameter.grad = torch.ones_like(parameter)
    groups = channel_groups(model, example)
    before = copy.deepcopy(model.state_dict())
    batches = [Batch(example, torch.tensor([0, 1, 2])), Batch(example, torch.tensor([3, 3, 1]))]
    state = torch.random.get_rng_state()
    found = CRITERIA[name](seed=seed).scores(model, groups, batches)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert list(found) == [group.name for group in groups]
    for group in groups:
        assert found[group.name].shape == (group.channels,)
        assert found[group.name].dtype == np.float64
        assert np.isfinite(found[group.name]).all()
        assert len(set(found[group.name])) > 1
    assert model.training
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert torch.equal(parameter.grad, torch.ones_like(parameter))
    assert [p.grad is None for p in model.parameters()].count(False) == 1
    again = CRITERIA[name](seed=seed).scores(model, groups[::-1], batches)
    assert all(np.array_equal(again[key], found[key]) for key in found)
    alone = CRITERIA[name](seed=seed).scores(model, groups[2:3], batches)
    assert np.array_equal(alone[groups[2].name], found[groups[2].name])


@pytest.mark.parametrize("name", ON_TRANSFORMERS)
@pytest.mark.parametrize("kind", ["encoder", "torch_encoder", "grouped", "concatenated"])
def test_channels_of_a_block_share_a_score(name: str, kind: str) -> None:
    model, example = net(kind)
    groups = channel_groups(model, example)
    found = CRITERIA[name]().scores(model, groups, [Batch(example, torch.tensor([0, 1, 2]))])
    for group in groups:
        assert all(len({found[group.name][channel] for channel in block}) == 1 for block in group.blocks)


@every_criterion
def test_dead_channels_are_seen_as_claimed(name: str) -> None:
    criterion = CRITERIA[name]()
    values = scores(criterion, "dead")
    seen = lowest(values, len(DEAD)) == set(DEAD) and max(values[list(DEAD)]) < min(np.delete(values, DEAD))
    assert seen == (Sees.DEAD in criterion.sees)


@every_criterion
def test_duplicates_are_seen_as_claimed(name: str) -> None:
    criterion = CRITERIA[name]()
    values = scores(criterion, "twins")
    assert bool(lowest(values, 1) & set(TWINS)) == (Sees.DUPLICATE in criterion.sees)
    if criterion.sees:
        assert values[TWINS[0]] == pytest.approx(values[TWINS[1]])


@pytest.mark.parametrize("criterion", [CRITERIA["taylor"](), Relevance(), Relevance(rule="alpha_beta", alpha=2.0)])
def test_what_nothing_reads_is_worth_nothing(criterion: Criterion) -> None:
    values = scores(criterion, "unread")
    assert lowest(values, 2) == set(UNREAD)
    assert values[list(UNREAD)] == pytest.approx(0, abs=1e-12)
    assert min(np.delete(values, UNREAD)) > 1e-9


@pytest.mark.parametrize("name", [name for name in CRITERIA if name != "random"])
def test_removing_dead_channels_first_loses_nothing(name: str) -> None:
    model, group, batches = planted("dead")
    kept = best_channels(group, scores(CRITERIA[name](), "dead"), group.channels - len(DEAD))
    x = batches[0].inputs[0]
    with torch.no_grad():
        assert torch.allclose(prune(model, {group: kept})(x), model(x), atol=1e-5)


@pytest.mark.parametrize("rule", ["epsilon", "alpha_beta"])
def test_relevance_is_conserved(rule: str) -> None:
    """Where everything is positive and there is no bias, each layer shares out exactly the classes' outputs."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1, bias=False), nn.ReLU(), nn.Conv2d(6, 5, 3, bias=False), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 3, bias=False),
    )  # fmt: skip
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.abs_()
    x, labels = torch.rand(4, 2, 6, 6), torch.tensor([0, 1, 2, 1])
    groups = channel_groups(model, (x,))
    assert len(groups) == 2
    found = Relevance(rule=rule).scores(model, groups, [Batch((x,), labels)])  # type: ignore[arg-type]
    with torch.no_grad():
        expected = model(x).gather(1, labels[:, None]).mean().item()
    assert [values.sum() for values in found.values()] == pytest.approx([expected, expected], rel=1e-3)


def test_alpha_beta_shares_by_sign() -> None:
    """One layer by hand: contributions 2 and 4 are positive and share 2 R, -3 is negative and takes -R."""
    model = nn.Sequential(nn.Linear(3, 3, bias=False), nn.ReLU(), nn.Linear(3, 1, bias=False)).eval()
    with torch.no_grad():
        model[0].weight.copy_(torch.eye(3))  # type: ignore[union-attr, operator]
        model[2].weight.copy_(torch.tensor([[2.0, 4.0, -3.0]]))  # type: ignore[union-attr, operator]
    x = torch.ones(1, 3)
    (group,) = channel_groups(model, (x,))
    found = Relevance(rule="alpha_beta", alpha=2.0).scores(model, [group], [Batch((x,), torch.tensor([0]))])
    assert found[group.name] == pytest.approx([2 * 3 * 2 / 6, 2 * 3 * 4 / 6, 3.0], rel=1e-4)


def test_taylor_is_weight_times_gradient() -> None:
    """``y = v (w x)``: what removing a channel changes is its own share of the output, seen from both of its layers."""
    model = nn.Sequential(nn.Linear(1, 2, bias=False), nn.Linear(2, 1, bias=False)).eval()
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[3.0], [1.0]]))  # type: ignore[operator]
        model[1].weight.copy_(torch.tensor([[2.0, 5.0]]))  # type: ignore[operator]
    (group,) = channel_groups(model, (torch.ones(1, 1),))
    criterion = CRITERIA["taylor"](loss=lambda output, labels: output.sum())
    found = criterion.scores(model, [group], [Batch((torch.ones(1, 1),), torch.tensor([0]))])
    assert found[group.name] == pytest.approx([2 * 6.0**2, 2 * 5.0**2])


def test_expressiveness_counts_pairs_that_differ() -> None:
    """Of four inputs a channel that one activates tells 3 of 6 pairs apart, one that two activate 4 of 6."""
    model = nn.Sequential(nn.Linear(4, 3, bias=False), nn.ReLU(), nn.Linear(3, 2)).eval()
    with torch.no_grad():
        rows = torch.tensor([[1.0, 0, 0, 0], [1.0, 1, 0, 0], [1.0, 1, 1, 1.0]])
        model[0].weight.copy_(rows)  # type: ignore[operator]
    (group,) = channel_groups(model, (torch.rand(2, 4),))
    batches = [Batch((torch.eye(4)[:2],)), Batch((torch.eye(4)[2:],))]
    found = CRITERIA["expressiveness"]().scores(model, [group], batches)
    assert found[group.name] == pytest.approx([3 / 6, 4 / 6, 0])


def test_the_sparsity_term_is_the_sum_of_scales() -> None:
    model, _, _ = planted("dead")
    model = copy.deepcopy(model)
    term = sparsity_term(model)
    assert isinstance(model, Planted)
    assert term.detach().item() == pytest.approx(
        float((model.norm1.weight.abs().sum() + model.norm2.weight.abs().sum()).detach())
    )
    term.backward()  # type: ignore[no-untyped-call]
    assert model.norm1.weight.grad is not None
    assert torch.equal(model.norm1.weight.grad, model.norm1.weight.sign())
    with pytest.raises(InvalidInput):
        sparsity_term(nn.Linear(2, 2))


def test_sparsity_training_shrinks_what_is_not_needed() -> None:
    model = copy.deepcopy(planted("twins")[0])
    batch = planted("twins")[2][0]
    before = sparsity_term(model).detach().item()
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    for _ in range(20):
        assert batch.labels is not None
        loss = nn.functional.cross_entropy(model(*batch.inputs), batch.labels) + 0.2 * sparsity_term(model)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert sparsity_term(model).detach().item() < 0.9 * before


def test_random_scores_are_the_seed_s() -> None:
    first, second = (scores(CRITERIA["random"](seed=seed), "dead") for seed in (0, 1))
    assert not np.array_equal(first, second)


@every_criterion
def test_what_a_criterion_lacks_is_said(name: str) -> None:
    model, group, batches = planted("dead")
    criterion = CRITERIA[name]()
    if criterion.needs is Needs.NOTHING:
        assert np.array_equal(criterion.scores(model, [group])[group.name], scores(criterion, "dead"))
        return
    with pytest.raises(InvalidInput, match="needs data"):
        criterion.scores(model, [group])
    if criterion.needs is Needs.LABELS:
        with pytest.raises(InvalidInput, match="labels"):
            criterion.scores(model, [group], [Batch(batches[0].inputs)])


def test_what_a_criterion_cannot_judge_is_refused() -> None:
    model, example = net("encoder")
    groups = channel_groups(model, example)
    batch = Batch(example, torch.tensor([0, 1, 2]))
    with pytest.raises(InvalidInput, match="no batch normalisation"):
        CRITERIA["bn_scale"]().scores(model, groups)
    with pytest.raises(InvalidInput, match="no rule"):
        CRITERIA["lrp"]().scores(model, groups, [batch])
    with pytest.raises(InvalidInput, match="fewer than two"):
        CRITERIA["expressiveness"]().scores(model, groups, [Batch(tuple(x[:1] for x in example))])
    with pytest.raises(InvalidInput, match="no such rule"):
        Relevance(alpha=0.5)


def test_scores_that_are_not_finite_are_a_failure() -> None:
    model, group, batches = planted("dead")
    broken = copy.deepcopy(model)
    with torch.no_grad():
        next(broken.parameters())[0] = float("nan")
    with pytest.raises(BuildFailed):
        CRITERIA["taylor"]().scores(broken, [group], batches)
