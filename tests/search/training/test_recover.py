"""Recovery: what it learns, keeps and stops at, and that it is the same however often it was interrupted."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hwprofiles.errors import BuildFailed, InvalidInput, StorageError
from search.training.data import Samples, TrainingData
from search.training.learning_rate import learning_rate_factor
from search.training.normalisation import reestimate
from search.training.recipe import Recipe
from search.training.recover import RecoveryResult, recover
from search.training.schedules import Schedule
from search.training.sparsifier import Sparsifier

torch.set_num_threads(1)  # nets as small as these only wait for one another's threads

CLASSES = 3


class Net(nn.Module):
    """Everything that makes resuming hard: batch normalisation and dropout."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        self.drop, self.head = nn.Dropout(0.2), nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.head(self.drop(self.body(x).mean((2, 3))))
        return result


def net(width: int = 16, seed: int = 0) -> Net:
    torch.manual_seed(seed)
    return Net(width)


def pictures(rng: np.random.Generator, count: int) -> tuple[Any, Any]:
    """Stripes of three kinds in noise."""
    labels = np.arange(count) % CLASSES
    x = rng.normal(0, 0.5, (count, 1, 6, 6))
    x[labels == 0, :, ::2] += 1
    x[labels == 1, :, :, ::2] += 1
    return x.astype(np.float32), labels


def data(**changes: Any) -> TrainingData:
    def epoch(rng: np.random.Generator) -> Samples:
        x, labels = pictures(rng, 72)
        return Samples((x,), labels)

    x, labels = pictures(np.random.default_rng(99), 60)
    return replace(TrainingData("stripes", epoch, Samples((x,), labels)), **changes)


def recipe(**options: Any) -> Recipe:
    return Recipe(
        **{
            "epochs": 4,
            "batch": 24,
            "learning_rate": 0.03,
            "losses": {"task": {}},
            "patience": None,
            "precision": "float32",
            "threads": 1,
            **options,
        }
    )


@pytest.fixture(scope="module")
def teacher() -> nn.Module:
    module = net(16, seed=5)
    found = recover(module, None, data(), recipe(epochs=8))
    assert found.figure > 0.9
    return found.module


def weights(module: nn.Module) -> dict[str, Tensor]:
    return {name: values.clone() for name, values in module.state_dict().items()}


def same(one: nn.Module, other: nn.Module) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return all(torch.equal(a[name], b[name]) for name in a)


class TestLearning:
    def test_a_student_learns_from_labels(self) -> None:
        found = recover(net(), None, data(), recipe())
        assert found.before < 0.6 < found.figure
        assert found.stopped == "finished"
        assert found.steps == 12
        assert [point.step for point in found.history] == [0, 3, 6, 9, 12]
        assert found.history[0].loss is None

    @pytest.mark.parametrize(
        "losses",
        [
            {"kl": {}},
            {"l2": 1},
            {"task": 0.5, "kl": {"weight": 0.5, "temperature": 2}},
            {"task": {}, "cwd": {"features": {"body": "body"}}},
            {"class_weighted": {"classes": {0: 2.0}}},
        ],
    )
    def test_it_learns_by_each_loss(self, teacher: nn.Module, losses: dict[str, Any]) -> None:
        """With ``cwd`` the student is narrower than the teacher: its adapter learns along."""
        found = recover(net(8), teacher, data(), recipe(epochs=8, losses=losses))
        assert found.before < 0.6 < found.figure

    def test_the_teacher_alone_is_enough(self, teacher: nn.Module) -> None:
        """Without labels: judged by the cosine to the teacher."""
        unlabelled = data(
            epoch=lambda rng: Samples((pictures(rng, 72)[0],)), validation=Samples((data().validation.inputs[0],))
        )
        found = recover(net(8), teacher, unlabelled, recipe(losses={"kl": {}}))
        assert found.before < found.figure <= 1
        assert found.figure > 0.8

    def test_the_task_s_own_loss_and_figure(self) -> None:
        asked: list[int] = []

        def loss(raw: Any, labels: Tensor) -> Tensor:
            asked.append(len(labels))
            return nn.functional.cross_entropy(raw, labels)

        found = recover(
            net(), None, data(loss=loss, figure=lambda outputs, labels: -float(len(outputs))), recipe(epochs=1)
        )
        assert found.figure == -60.0
        assert set(asked) == {24}

    def test_the_teacher_is_not_changed(self, teacher: nn.Module) -> None:
        before = weights(teacher)
        recover(net(8), teacher, data(), recipe(epochs=1, losses={"kl": {}}))
        assert all(torch.equal(values, before[name]) for name, values in teacher.state_dict().items())
        assert not any(part._forward_hooks for part in teacher.modules())

    def test_frozen_weights_stay(self) -> None:
        student = net()
        student.head.weight.requires_grad_(False)
        before = student.head.weight.clone()
        found = recover(student, None, data(), recipe(epochs=2))
        assert torch.equal(student.head.weight, before)
        assert found.module is student
        assert not student.training

    def test_weights_of_five_axes(self) -> None:
        student = nn.Sequential(nn.Conv3d(1, 2, 1), nn.Flatten(), nn.Linear(16, CLASSES))
        samples = Samples((np.ones((6, 1, 2, 2, 2), np.float32),), np.arange(6) % 3)
        assert recover(student, None, data(epoch=lambda rng: samples, validation=samples), recipe(epochs=1)).steps == 1


class TestSameness:
    def run(self, **options: Any) -> RecoveryResult:
        return recover(net(), None, data(), recipe(**options.pop("of", {})), **options)

    def test_equal_seeds_give_equal_bits(self) -> None:
        torch.manual_seed(1)
        one = self.run()
        torch.manual_seed(2)
        other = self.run()
        assert same(one.module, other.module)
        assert one.history == other.history
        assert not same(one.module, self.run(of={"seed": 1}).module)

    def test_nobody_else_s_randomness_is_touched(self) -> None:
        torch.manual_seed(3)
        expected = torch.rand(1)
        torch.manual_seed(3)
        recover(copy.deepcopy(INITIAL), None, data(), recipe(epochs=1))
        assert torch.equal(torch.rand(1), expected)

    @pytest.mark.parametrize("after", [1, 2, 3])
    def test_interrupted_anywhere_it_ends_the_same(self, tmp_path: Path, teacher: nn.Module, after: int) -> None:
        """In the middle of an epoch too; with dropout, normalisation, an adapter and growing sparsity."""
        of = recipe(
            evaluate_every=4, losses={"task": {}, "cwd": {"features": {"body": "body"}}}, patience=50
        )  # fmt: skip

        class Interrupted(Exception):
            pass

        def stop(step: int, figure: float) -> bool:
            if step == 4 * after:
                raise Interrupted
            return True

        def once(path: Path | None, report: Any = lambda step, figure: True) -> RecoveryResult:
            student = net(8)
            held = Sparsifier(student, Schedule("gradual", 0.5, end=8))
            return recover(student, teacher, data(), of, checkpoint=path, keep_going=report, constraint=held)

        whole = once(None)
        path = tmp_path / "training.pt"
        with pytest.raises(Interrupted):
            once(path, stop)
        told: list[int] = []
        resumed = once(path, lambda step, figure: told.append(step) or True)  # type: ignore[func-returns-value]
        assert told == [step for step in (4, 8, 12) if step > 4 * after]
        assert same(resumed.module, whole.module)
        assert resumed == replace(whole, module=resumed.module)
        assert [path.name for path in tmp_path.iterdir()] == ["training.pt"]

    def test_what_is_finished_is_not_trained_again(self, tmp_path: Path) -> None:
        path = tmp_path / "training.pt"
        first = self.run(checkpoint=path)
        again = self.run(checkpoint=path, keep_going=lambda step, figure: pytest.fail("trained again"))
        assert same(first.module, again.module)

    @pytest.mark.parametrize("other", [{"seed": 1}, {"epochs": 5}, {"losses": {"task": 2}}])
    def test_another_recipe_s_checkpoint_is_refused(self, tmp_path: Path, other: dict[str, Any]) -> None:
        path = tmp_path / "training.pt"
        self.run(checkpoint=path)
        with pytest.raises(StorageError, match="belongs to another"):
            self.run(checkpoint=path, of=other)
        with pytest.raises(StorageError, match="belongs to another"):
            recover(net(8), None, data(), recipe(), checkpoint=path)

    @pytest.mark.parametrize("content", [b"", b"nothing", b"cos\nsystem\n(S'true'\ntR."])
    def test_a_damaged_checkpoint_is_refused(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "training.pt"
        path.write_bytes(content)
        with pytest.raises(StorageError, match="cannot be read") as caught:
            self.run(checkpoint=path)
        assert "remove it" in caught.value.hint


INITIAL = net()


class TestStopping:
    def figures(self, *values: float) -> TrainingData:
        """Data whose figure takes these values one after another, then the last."""
        left = list(values)
        return data(figure=lambda outputs, labels: left.pop(0) if len(left) > 1 else left[0])

    def test_patience_ends_it_and_the_best_weights_stay(self) -> None:
        seen: dict[int, Any] = {}
        student = nn.Sequential(nn.Flatten(), nn.Linear(36, CLASSES))

        def report(step: int, figure: float) -> bool:
            seen[step] = weights(student)
            return True

        found = recover(
            student,
            None,
            self.figures(0.1, 0.5, 0.7, 0.6, 0.7, 0.2, 0.9),
            recipe(epochs=9, patience=3),
            keep_going=report,
        )
        assert found.stopped == "patience"
        assert (found.figure, found.best_step, found.steps) == (0.7, 6, 15)
        assert all(torch.equal(values, seen[6][name]) for name, values in student.state_dict().items())

    def test_worse_than_before_is_not_kept(self) -> None:
        student = nn.Sequential(nn.Flatten(), nn.Linear(36, CLASSES))
        before = weights(student)
        found = recover(student, None, self.figures(0.9, 0.5), recipe())
        assert (found.figure, found.before, found.best_step) == (0.9, 0.9, 0)
        assert all(torch.equal(values, before[name]) for name, values in student.state_dict().items())

    def test_a_report_ends_it(self) -> None:
        told: list[tuple[int, float]] = []

        def report(step: int, figure: float) -> bool:
            told.append((step, figure))
            return len(told) < 2

        found = recover(net(), None, data(), recipe(), keep_going=report)
        assert found.stopped == "ended"
        assert [step for step, _ in told] == [3, 6]
        assert told == [(point.step, point.figure) for point in found.history[1:]]

    def test_progress_is_told(self) -> None:
        lines: list[str] = []
        recover(net(), None, data(), recipe(epochs=1), progress=lines.append)
        assert len(lines) == 1
        assert lines[0].startswith("training: step 3 of 3, loss ")

    def test_only_what_has_settled_counts(self) -> None:
        """Dense weights are better, but are not what was asked for."""
        student = nn.Sequential(nn.Flatten(), nn.Linear(36, CLASSES))
        held = Sparsifier(student, Schedule("gradual", 0.9, end=9))
        figures = self.figures(0.9, 0.8, 0.7, 0.3, 0.2)
        found = recover(student, None, figures, recipe(patience=1), constraint=held)
        assert (found.best_step, found.figure) == (9, 0.3)
        assert held.sparsity() == pytest.approx(0.9, abs=0.01)
        assert found.stopped == "finished"


class TestFailing:
    def test_a_loss_that_is_not_finite(self) -> None:
        wild = data(loss=lambda raw, labels: raw.sum() * math.nan)
        with pytest.raises(BuildFailed, match=r"a loss of nan at step 1 of 12") as caught:
            recover(net(), None, wild, recipe())
        assert "learning_rate" in caught.value.hint

    def test_an_output_that_is_not_finite(self) -> None:
        student = net()
        with torch.no_grad():
            student.head.bias.fill_(math.inf)
        with pytest.raises(BuildFailed, match="NaN or infinity"):
            recover(student, None, data(), recipe())

    def test_a_figure_that_is_not_finite(self) -> None:
        with pytest.raises(BuildFailed, match="figure"):
            recover(net(), None, data(figure=lambda outputs, labels: math.nan), recipe())

    @pytest.mark.parametrize(
        ("losses", "said"),
        [({"kl": {}}, "no teacher|there is none"), ({"lk": {}}, "unknown loss"), ({"minilm": {}}, "losses.minilm")],
    )
    def test_a_recipe_that_does_not_fit(self, losses: dict[str, Any], said: str) -> None:
        with pytest.raises(InvalidInput, match=said):
            recover(net(), None, data(), recipe(losses=losses))

    def test_a_part_that_is_not_there(self, teacher: nn.Module) -> None:
        with pytest.raises(InvalidInput, match="the student has no part 'bodi'") as caught:
            recover(net(), teacher, data(), recipe(losses={"cwd": {"features": {"bodi": "body"}}}))
        assert "body" in caught.value.hint

    def test_a_student_is_not_its_own_teacher(self) -> None:
        module = net()
        with pytest.raises(InvalidInput, match="one module"):
            recover(module, module, data(), recipe())

    def test_nothing_to_judge_by(self) -> None:
        unlabelled = Samples((np.ones((4, 1, 6, 6), np.float32),))
        with pytest.raises(InvalidInput, match="neither labels nor a teacher"):
            recover(net(), None, data(validation=unlabelled), recipe())

    def test_samples_that_do_not_belong_together(self) -> None:
        with pytest.raises(InvalidInput, match="rows"):
            Samples((np.ones((4, 2)),), np.ones(3))
        with pytest.raises(InvalidInput, match="rows"):
            Samples((np.ones((0, 2)),))


class TestRecipe:
    def test_a_number_is_a_weight(self) -> None:
        assert Recipe(losses={"kl": 0.9}).losses == {"kl": {"weight": 0.9}}

    @pytest.mark.parametrize(
        "options", [{"epochs": 0}, {"learning_rate": 0}, {"warm_up": 1}, {"losses": {}}, {"rate": 1}, {"patience": 0}]
    )
    def test_what_is_no_recipe(self, options: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match=next(iter(options))):
            Recipe(**options)

    def test_steps_come_before_epochs(self) -> None:
        found = recover(net(), None, data(), recipe(steps=4, epochs=9))
        assert [point.step for point in found.history] == [0, 3, 4]


class TestLearningRate:
    def test_it_rises_and_falls(self) -> None:
        factors = [learning_rate_factor(step, 100, 0.1) for step in range(100)]
        assert factors[:10] == pytest.approx([(k + 1) / 10 for k in range(10)])
        assert factors[10] == 1.0
        assert factors[55] == pytest.approx(0.5)
        assert factors[10:] == sorted(factors[10:], reverse=True)
        assert 0 < factors[-1] < 0.001

    def test_without_warm_up_it_begins_at_the_top(self) -> None:
        assert learning_rate_factor(0, 5, 0.0) == 1.0
        assert learning_rate_factor(0, 1, 0.9) == 1.0


class TestNormalisation:
    def test_statistics_are_the_mean_of_the_batches(self) -> None:
        norm = nn.BatchNorm1d(2)
        module = nn.Sequential(norm, nn.Dropout(0.5))
        batches = [torch.randn(8, 2, generator=torch.Generator().manual_seed(n)) * (n + 1) for n in range(3)]
        reestimate(module, ((one,) for one in batches))
        assert torch.allclose(norm.running_mean, torch.stack([one.mean(0) for one in batches]).mean(0), atol=1e-6)
        assert torch.allclose(norm.running_var, torch.stack([one.var(0) for one in batches]).mean(0), atol=1e-5)
        assert norm.momentum == 0.1
        assert not any(part.training for part in module.modules())

    def test_wrong_statistics_are_mended(self) -> None:
        """As after pruning: the weights are good, the statistics are another network's."""
        student = net()
        recover(student, None, data(), recipe(epochs=8))
        good = float(recover(student, None, data(), recipe(steps=1, learning_rate=1e-9)).figure)
        student.body[1].running_mean.add_(5.0)
        found = recover(student, None, data(), recipe(steps=1, learning_rate=1e-9))
        assert found.before < 0.6 < good - 0.1 < found.figure
