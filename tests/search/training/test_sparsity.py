"""Sparsity: schedules, masks, and weights that stay zero."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from evaluators.graphs.cleanup import clean_graph
from evaluators.graphs.sparse_size import bitmask_bytes, sparse_size_bytes, sparsity
from evaluators.torch_export import export_module
from hwprofiles.errors import InvalidInput
from search.training.masks import InGroups, Pattern, Unstructured
from search.training.schedules import SCHEDULES, Schedule
from search.training.sparsifier import Sparsifier


@pytest.mark.parametrize("curve", SCHEDULES)
class TestEverySchedule:
    @pytest.mark.parametrize("final", [0.0, 0.3, 0.9, 1.0])
    @pytest.mark.parametrize("initial", [0.0, 0.1, 1.0])
    @pytest.mark.parametrize("every", [1, 7])
    def test_exact_at_both_ends_and_never_falling(self, curve: str, final: float, initial: float, every: int) -> None:
        if initial > final:
            return
        schedule = Schedule(curve, final, initial=initial, begin=10, end=110, every=every)
        values = [schedule(step) for step in range(150)]
        assert values[:10] == [initial] * 10
        assert values[110:] == [final] * 40
        assert all(before <= after for before, after in itertools.pairwise(values))
        assert all(initial <= value <= final for value in values)
        assert values[schedule.final_step :] == [final] * (150 - schedule.final_step)

    def test_without_a_length_it_is_there_at_once(self, curve: str) -> None:
        assert [Schedule(curve, 0.5, begin=3)(step) for step in (2, 3, 4)] == [0.0, 0.5, 0.5]

    @pytest.mark.parametrize(
        "options",
        [
            {"final": 1.1},
            {"final": 0.1, "initial": 0.2},
            {"begin": -1},
            {"begin": 5, "end": 4},
            {"every": 0},
            {"rounds": 0},
        ],
    )
    def test_what_is_no_schedule_is_refused(self, curve: str, options: dict[str, Any]) -> None:
        with pytest.raises(InvalidInput) as caught:
            Schedule(curve, **{"final": 0.5, "end": 10, **options})
        assert caught.value.hint


class TestSchedules:
    def test_the_cubic_of_the_paper(self) -> None:
        schedule = Schedule("gradual", 0.875, initial=0.5, begin=20, end=120)
        for step in (21, 45, 70, 119):
            assert schedule(step) == pytest.approx(0.875 + (0.5 - 0.875) * (1 - (step - 20) / 100) ** 3)
        assert schedule(70) == pytest.approx(0.875 - 0.375 / 8)

    def test_it_changes_every_few_steps(self) -> None:
        schedule = Schedule("gradual", 0.8, end=100, every=25)
        assert len({schedule(step) for step in range(101)}) == 5
        assert schedule(49) == schedule(25) < schedule(50)

    def test_each_round_takes_the_same_fraction_of_what_is_left(self) -> None:
        schedule = Schedule("iterative", 1 - 0.8**4, end=40, rounds=4)
        left = [1 - schedule(step) for step in (0, 10, 20, 30, 40)]
        assert left == pytest.approx([1, 0.8, 0.64, 0.512, 0.4096])
        assert schedule(19) == schedule(10)

    def test_an_unknown_curve_is_refused(self) -> None:
        with pytest.raises(InvalidInput, match="unknown curve 'gradul'") as caught:
            Schedule("gradul", 0.5)
        assert "gradual" in caught.value.hint


class TestMasks:
    def test_the_smallest_go(self) -> None:
        weight = torch.tensor([[3.0, -1.0], [0.5, -2.0]])
        assert Unstructured().mask(weight, 0.5).tolist() == [[True, False], [False, True]]
        assert Unstructured().mask(weight, 0.0).all()
        assert not Unstructured().mask(weight, 1.0).any()

    @pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.333, 0.99])
    def test_exactly_so_many_even_of_equal_ones(self, share: float) -> None:
        mask = Unstructured().mask(torch.ones(7, 13), share)
        assert int((~mask).sum()) == round(share * 91)

    def test_two_of_four_along_the_inputs(self) -> None:
        row = torch.tensor([[4.0, -3.0, 2.0, 1.0, 0.1, 0.2, -0.4, 0.3]])
        assert InGroups(4).mask(row, 0.5).tolist() == [[True, True, False, False, False, False, True, True]]
        images = torch.arange(1.0, 9).reshape(1, 4, 1, 2)  # the four inputs of a position are 1 3 5 7 or 2 4 6 8
        assert InGroups(4).mask(images, 0.5).tolist() == [
            [[[False, False]], [[False, False]], [[True, True]], [[True, True]]]
        ]

    @pytest.mark.parametrize(("group", "zeros"), [(4, 0), (4, 1), (4, 2), (4, 3), (8, 4), (2, 1)])
    def test_so_many_in_each_group(self, group: int, zeros: int) -> None:
        weight = torch.randn(6, 16, 3, 3, generator=torch.Generator().manual_seed(0))
        mask = InGroups(group).mask(weight, zeros / group)
        assert mask.shape == weight.shape
        counts = (~mask).movedim(1, -1).reshape(-1, group).sum(1)
        assert counts.unique().tolist() == [zeros]

    def test_what_fits(self) -> None:
        assert InGroups(4).fits(torch.ones(3, 8))
        assert not InGroups(4).fits(torch.ones(8, 6))
        assert not InGroups(4).fits(torch.ones(8))
        with pytest.raises(InvalidInput):
            InGroups(1)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(4, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 9, 6)
    )


def trained(net: nn.Module, held: Sparsifier, steps: int) -> None:
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.05)
    held.apply(0)
    for step in range(1, steps + 1):
        optimizer.zero_grad()
        net(torch.randn(5, 4, 3, 3)).square().mean().backward()
        optimizer.step()
        held.apply(step)


class TestHolding:
    @pytest.mark.parametrize(("pattern", "final"), [(Unstructured(), 0.75), (InGroups(4), 0.5)])
    def test_zeros_stay_while_the_rest_learns(self, pattern: Pattern, final: float) -> None:
        net = network()
        held = Sparsifier(net, Schedule("one_shot", final), pattern)
        held.apply(0)
        zeros, before = net[0].weight == 0, net[0].weight.detach().clone()
        trained(net, held, 5)
        assert torch.equal(net[0].weight == 0, zeros)
        assert held.sparsity() == pytest.approx(final)
        assert not torch.equal(net[0].weight, before)

    def test_gradually_what_is_zero_stays_zero(self) -> None:
        net = network()
        held = Sparsifier(net, Schedule("gradual", 0.9, end=8))
        optimizer = torch.optim.AdamW(net.parameters(), lr=0.05)
        zeros, shares = net[0].weight == 0, []
        for step in range(11):
            optimizer.zero_grad()
            net(torch.randn(5, 4, 3, 3)).square().mean().backward()
            optimizer.step()
            held.apply(step)
            assert not (zeros & (net[0].weight != 0)).any()
            zeros = net[0].weight == 0
            shares.append(held.sparsity())
            assert held.is_final(step) == (step >= 8)
        assert shares == sorted(shares)
        assert shares[-1] == pytest.approx(0.9, abs=0.003)

    def test_a_state_goes_on(self) -> None:
        net = network()
        held = Sparsifier(net, Schedule("one_shot", 0.5))
        held.apply(0)
        other = Sparsifier(net, Schedule("one_shot", 0.5))
        other.load_state_dict(held.state_dict())
        with torch.no_grad():
            net[0].weight.add_(1.0)
        other.apply(1)
        assert held.sparsity() == pytest.approx(0.5)
        assert other.key == held.key != Sparsifier(net, Schedule("one_shot", 0.6)).key

    def test_layers_by_name(self) -> None:
        net = network()
        Sparsifier(net, Schedule("one_shot", 0.5), layers=["4"]).apply(0)
        assert int((net[0].weight == 0).sum()) == 0
        assert float((net[4].weight == 0).float().mean()) == 0.5
        with pytest.raises(InvalidInput, match="no layer '1'"):
            Sparsifier(net, Schedule("one_shot", 0.5), layers=["1"])

    def test_what_has_no_groups_stays_dense(self) -> None:
        net = nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 3))
        held = Sparsifier(net, Schedule("one_shot", 0.5), InGroups(4))
        held.apply(0)
        assert held.dense == ("0",)
        assert held.sparsity() == 0.5

    def test_the_file_has_the_same_zeros(self, tmp_path: Path) -> None:
        """Export and folding of the normalisation keep zeros exact."""
        net = network()
        trained(net, Sparsifier(net, Schedule("one_shot", 0.75)), 3)
        export_module(net, {"x": np.ones((2, 4, 3, 3), np.float32)}, tmp_path / "model.onnx")
        model = clean_graph(onnx.load(tmp_path / "model.onnx"))
        zeros = [int((numpy_helper.to_array(t) == 0).sum()) for t in model.graph.initializer if len(t.dims) > 1]
        assert sorted(zeros) == [int(0.75 * 8 * 4 * 9), int(0.75 * 6 * 72)]
        assert sparsity(model) == pytest.approx(0.75)
        # A quarter of the values in float32, and a bit each: 8 + 1 of 32.
        weights = (8 * 4 * 9 + 6 * 72) * 4
        assert model.ByteSize() - sparse_size_bytes(model) == pytest.approx(weights * (1 - 9 / 32), abs=2)


class TestSparseSize:
    @pytest.mark.parametrize(
        ("values", "expected"),
        [
            (np.zeros(64, np.float32), 8),
            (np.ones(64, np.float32), 256),
            (np.repeat(np.float32([0, 1]), 32), 8 + 128),
            (np.repeat(np.int8([0, 1]), 32), 8 + 32),
            (np.float32([[0, 0, 0]]), 1),
            (np.float32([]), 0),
            (np.zeros(8, np.int64), 64),
        ],
    )
    def test_a_bit_a_value_and_what_is_not_zero(self, values: Any, expected: int) -> None:
        assert bitmask_bytes(values) == expected
