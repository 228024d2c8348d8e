"""Criteria: the conformance suite, and what each can see in a net where the answer is known."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from hwprofiles.errors import BuildFailed, InvalidInput
from search.pruning import channel_groups
from search.pruning.criteria import CRITERIA, Batch, Criterion, sparsity_term
from search.pruning.criteria.lrp import Relevance
from search.testing.criteria import UNREAD, CriterionConformance, lowest, plant, score_planted
from search.testing.nets import net

torch.set_num_threads(1)  # nets as small as these only wait for one another's threads


class TestL1(CriterionConformance):
    kind = CRITERIA["l1"]


class TestL2(CriterionConformance):
    kind = CRITERIA["l2"]


class TestBatchNormScale(CriterionConformance):
    kind = CRITERIA["bn_scale"]
    refused_nets = frozenset({"encoder", "torch_encoder", "grouped", "concatenated"})


class TestTaylor(CriterionConformance):
    kind = CRITERIA["taylor"]


class TestRelevance(CriterionConformance):
    kind = CRITERIA["lrp"]
    refused_nets = frozenset({"encoder", "torch_encoder"})


class TestExpressiveness(CriterionConformance):
    kind = CRITERIA["expressiveness"]


class TestRandom(CriterionConformance):
    kind = CRITERIA["random"]

    def test_scores_are_the_seed_s(self) -> None:
        first, second = (score_planted(self.kind(seed=seed), "dead") for seed in (0, 1))
        assert not np.array_equal(first, second)


def test_every_criterion_that_ships_has_a_suite() -> None:
    assert {suite.kind for suite in CriterionConformance.__subclasses__()} >= set(CRITERIA.values())


@pytest.mark.parametrize("criterion", [CRITERIA["taylor"](), Relevance(), Relevance(rule="alpha_beta", alpha=2.0)])
def test_what_nothing_reads_is_worth_nothing(criterion: Criterion) -> None:
    values = score_planted(criterion, "unread")
    assert lowest(values, 2) == set(UNREAD)
    assert values[list(UNREAD)] == pytest.approx(0, abs=1e-12)
    assert min(np.delete(values, UNREAD)) > 1e-9


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
    model, _, _ = plant("dead")
    model = copy.deepcopy(model)
    term = sparsity_term(model)
    assert term.detach().item() == pytest.approx(
        float((model.norm1.weight.abs().sum() + model.norm2.weight.abs().sum()).detach())
    )
    term.backward()  # type: ignore[no-untyped-call]
    assert model.norm1.weight.grad is not None
    assert torch.equal(model.norm1.weight.grad, model.norm1.weight.sign())
    with pytest.raises(InvalidInput):
        sparsity_term(nn.Linear(2, 2))


def test_sparsity_training_shrinks_what_is_not_needed() -> None:
    model = copy.deepcopy(plant("twins")[0])
    batch = plant("twins")[2][0]
    before = sparsity_term(model).detach().item()
    optimizer = torch.optim.SGD(model.parameters(), 0.05)
    for _ in range(20):
        assert batch.labels is not None
        loss = nn.functional.cross_entropy(model(*batch.inputs), batch.labels) + 0.2 * sparsity_term(model)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert sparsity_term(model).detach().item() < 0.9 * before


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
    model, group, batches = plant("dead")
    broken = copy.deepcopy(model)
    with torch.no_grad():
        next(broken.parameters())[0] = float("nan")
    with pytest.raises(BuildFailed):
        CRITERIA["taylor"]().scores(broken, [group], batches)
