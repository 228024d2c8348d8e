"""One training that finds number formats: its policy, what formats cost, and the search itself."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx_builder import Builder
from torch import Tensor, nn

from evaluators.graphs import bit_operations as counting
from evaluators.graphs.cleanup import clean_graph
from evaluators.graphs.layer_groups import LayerGroup, layer_groups
from evaluators.probing.layer_table import LayerTable, Unit, UnitTime
from evaluators.probing.layer_table import Tensor as Between
from hwprofiles import Precision
from hwprofiles.errors import BuildFailed, CandidateError, InvalidInput, Unreachable
from search.fliqs.cost import AdditiveCost, LatencyCost, bit_operations_cost, reduction, size_cost
from search.fliqs.held_out import HeldOutQuality
from search.fliqs.one_shot import FixedFormats, OneShotSearch
from search.fliqs.options import OneShotOptions
from search.testing.trainable import pictures
from search.training.data import Samples, TrainingData
from search.training.quantised import QuantisedLayers
from search.training.recipe import Recipe
from search.training.recover import RecoveryResult, recover

torch.set_num_threads(1)  # nets as small as these only wait for one another's threads


def convolution(kernel: int = 3, size: int = 6, stride: int = 1) -> tuple[LayerGroup, ...]:
    builder = Builder()
    x = builder.input("x", [1, 3, size, size])
    builder.op(
        "Conv", x, builder.weight(8, 3, kernel, kernel), kernel_shape=[kernel] * 2, strides=[stride] * 2, out="y"
    )
    builder.output("y")
    return layer_groups(clean_graph(builder.model()), {"x": [1, 3, size, size]})


def group(name: str, macs: int, weights: int) -> LayerGroup:
    return LayerGroup(name, (f"/{name}/Conv",), "Conv", (Precision.FP32, Precision.INT8), macs, weights, 100)


class TestCosts:
    def test_a_convolution_s_bit_operations_count_every_position(self) -> None:
        (one,) = convolution()
        macs = 8 * 3 * 3 * 3 * 4 * 4
        assert one.macs == macs
        assert counting.bit_operations([one], {}) == macs * 32 * 32
        assert counting.bit_operations([one], {one.name: "int4"}) == macs * 4 * 4
        (other,) = convolution(stride=2)
        assert counting.bit_operations([other], {other.name: "e4m3"}) == 8 * 27 * 2 * 2 * 64

    def test_16_bits_and_8_and_4_are_as_16_and_4_and_1(self) -> None:
        (one,) = convolution()
        found = [counting.bit_operations([one], {one.name: name}) for name in ("e8m7", "e4m3", "e2m1")]
        assert [value / found[-1] for value in found] == [16, 4, 1]
        assert [counting.bit_operations([one], {one.name: name}) for name in ("int8", "int4")] == found[1:]

    def test_weights_alone_are_multiplied_with_floats(self) -> None:
        assert counting.bits_of("int4_weight") == (4, 32)
        assert counting.bits_of("int8_dynamic") == (8, 8)
        assert counting.bits_of("e5m2") == (8, 8)
        with pytest.raises(InvalidInput, match="no number format"):
            counting.bits_of("int9")

    def test_a_sum_agrees_with_the_count(self) -> None:
        groups = [group("a", 100, 10), group("b", 7, 3), group("float", 11, 5)]
        names = ("int2", "int4", "e4m3")
        cost = bit_operations_cost(groups, names)
        for one, other in itertools.product(("fp32", *names), repeat=2):
            formats = {"a": one, "b": other}
            assert cost.of(formats) == counting.bit_operations(groups, formats)
        assert cost.of({}) == 118 * 1024
        assert reduction(cost, {"a": "int4", "b": "int4", "float": "int4"}) == 64
        assert reduction(cost, {"a": "int4"}) == pytest.approx(118 * 1024 / (100 * 16 + 18 * 1024))

    def test_bytes_of_all_weights(self) -> None:
        cost = size_cost([group("a", 100, 10), group("b", 7, 4)], ("int4", "e2m2"), weights=20)
        assert cost.of({}) == 80
        assert cost.of({"a": "int4", "b": "e2m2"}) == 10 * 4 / 8 + 4 * 5 / 8 + 6 * 4

    def test_latency_is_what_the_table_says(self) -> None:
        cost = LatencyCost(table())
        assert cost.of({}) == 14.0
        # Each layer alone took 10 and 5 in float, 4 and 3 in int8, with two ends of it each.
        assert cost.of({"a": "int8", "b": "int8"}) == pytest.approx(14 - (10 - 4) - (5 - 3) + 2 * (2 - 1))
        assert cost.of({"a": "int8"}) == pytest.approx(14 - (10 - 4) + (2 - 1) + 1 + 2)
        assert reduction(cost, {"a": "int8", "b": "int8"}) == pytest.approx(14 / 8)

    def test_what_was_not_timed_is_unknown(self) -> None:
        with pytest.raises(BuildFailed, match="could not time every layer") as refused:
            LatencyCost(table()).of({"a": "int4"})
        assert refused.value.hint


def table() -> LayerTable:
    """Two layers with a tensor between them: 10 and 5 in float and 4 and 3 in int8, in which an end costs 1 or 2."""
    ends = {"float": 2.0, "integer": 1.0}

    def unit(name: str, float_time: float, int8_time: float) -> Unit:
        times = {
            kind.value: UnitTime(kind, time, time, 1.0, None)
            for kind, time in ((Precision.FP32, float_time), (Precision.INT8, int8_time))
        }
        return Unit(name, (f"/{name}/Conv",), name, times, ends)

    between = Between(100, (0,), (1,), False, False, {"float": 1.0, "integer": 2.0})
    return LayerTable((unit("a", 10, 4), unit("b", 5, 3)), (between,), 14.0, 0.5, 1.0)


class Net(nn.Module):
    """Two convolutions and a classifier for pictures of 8x8, with normalisation and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(1, 6, 3, 2, 1, bias=False), nn.BatchNorm2d(6)
        self.second, self.drop = nn.Conv2d(6, 8, 3, 2, 1), nn.Dropout(0.1)
        self.head = nn.Linear(8 * 4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.second(torch.relu(self.norm(self.first(x)))))
        logits: Tensor = self.head(self.drop(x.flatten(1)))
        return logits


LAYERS = ("first", "second", "head")
GROUPS = {layer: [layer] for layer in LAYERS}
CHOICES = ("int4", "int8")
MACS = {"first": 6 * 9 * 16, "second": 8 * 6 * 9 * 4, "head": 32 * 5}
BITS = {"fp32": 32, "int2": 2, "int4": 4, "int8": 8}
COST = AdditiveCost({layer: {name: float(MACS[layer] * bits**2) for name, bits in BITS.items()} for layer in LAYERS})
RECIPE = Recipe(
    steps=24, batch=32, learning_rate=3e-3, losses={"task": {}}, patience=None, threads=1, precision="float32",
    evaluate_every=4,
)  # fmt: skip


def net(seed: int = 0) -> Net:
    torch.manual_seed(seed)
    return Net()


def data(**changes: Any) -> TrainingData:
    x, labels = pictures(1, 96)
    seen, known = pictures(2, 64)
    return replace(
        TrainingData("bars", lambda rng: Samples((x,), labels), Samples((seen,), known)), **changes
    )  # fmt: skip


def one_shot(
    module: nn.Module,
    *,
    target: float = 30.0,
    steps: int = 24,
    seed: int = 0,
    choices: tuple[str, ...] = CHOICES,
    quality: Callable[[int], float] | None = None,
    **options: Any,
) -> tuple[OneShotSearch, QuantisedLayers]:
    layers = QuantisedLayers(module, GROUPS, [name for name in choices if name != "fp32"])
    held_out = quality or HeldOutQuality(module, data(), RECIPE, net)
    found = OneShotSearch(
        layers, dict.fromkeys(LAYERS, choices), COST, target, held_out, steps, OneShotOptions(**options), seed
    )
    return found, layers


class Planted:
    """A quality that wants one assignment, whatever the weights are."""

    def __init__(self, best: dict[str, str]) -> None:
        self.best = best
        self.layers: QuantisedLayers | None = None
        self.seen: list[dict[str, str]] = []
        self.steps: list[int] = []

    def __call__(self, step: int) -> float:
        assert self.layers is not None
        self.seen.append(dict(self.layers.chosen))
        self.steps.append(step)
        return sum(self.layers.chosen.get(name, "fp32") == value for name, value in self.best.items()) / len(self.best)


class TestOneShot:
    @pytest.mark.parametrize("best", [("int4", "int8", "int8"), ("int8", "int4", "int4")])
    def test_it_finds_what_was_planted(self, best: tuple[str, ...]) -> None:
        wanted = dict(zip(LAYERS, best, strict=True))
        quality = Planted(wanted)
        held, layers = one_shot(net(), target=reduction(COST, wanted), steps=200, quality=quality)
        quality.layers = layers
        for step in range(201):
            held.apply(step)
        assert held.formats == wanted == layers.chosen
        assert held.reduction() == pytest.approx(held.target)
        # Sixteen draws after each step from the delay on, those that are alike asked once; more and more of them are
        # what was planted.
        draws = [one for one, step in zip(quality.seen, quality.steps, strict=True) if step < 200]
        asked = {step: quality.steps.count(step) for step in quality.steps if step < 200}
        assert list(asked) == list(range(10, 31))
        assert max(asked.values()) <= 2 ** len(LAYERS)
        assert len({tuple(one.values()) for one in draws[:16]}) > 3
        first, last = (part.count(wanted) / len(part) for part in (draws[:30], draws[-10:]))
        assert last > first

    def test_the_target_counts_where_quality_does_not(self) -> None:
        for target, formats in ((64.0, "int4"), (16.0, "int8")):
            held, _ = one_shot(net(), target=target, steps=200, quality=lambda step: 0.5)
            for step in range(201):
                held.apply(step)
            assert set(held.formats.values()) == {formats}

    def test_it_begins_about_the_target(self) -> None:
        """So that from the first batch on it asks about what it may give."""
        for target in (17.0, 30.0, 60.0):
            quality = Planted({})
            quality.best = dict.fromkeys(LAYERS, "int8")
            held, quality.layers = one_shot(net(), target=target, steps=40, quality=quality, delay=0.05, samples=64)
            for step in range(4):
                held.apply(step)
            asked = [reduction(COST, one) for one in quality.seen]
            assert target / 1.6 < 1 / np.mean([1 / one for one in asked]) < target * 1.6

    def test_the_last_word_is_the_quality_s(self) -> None:
        """All finalists meet the target and are asked on the same batches; the best is taken, be it the last."""
        asked: dict[tuple[str, ...], list[int]] = {}

        class Turning(Planted):
            def __call__(self, step: int) -> float:
                found = super().__call__(step)
                if step < 200:
                    return 0.001 * found
                asked.setdefault(tuple(self.seen[-1].values()), []).append(step)
                return float(len(asked))

        quality = Turning(dict.fromkeys(LAYERS, "int8"))
        held, quality.layers = one_shot(
            net(), target=20.0, steps=200, quality=quality, choices=("int2", "int4", "int8"), entropy=0, reach=1.0
        )  # fmt: skip
        for step in range(31):
            held.apply(step)
        assert 1 < len(asked) <= 8
        assert set(map(tuple, asked.values())) == {tuple(range(200, 208))}
        assert all(reduction(COST, dict(zip(LAYERS, one, strict=True))) >= 20 for one in asked)
        assert tuple(held.formats.values()) == list(asked)[-1]

    def test_formats_stay_as_they_were_when_it_settled(self) -> None:
        module = net()
        held, layers = one_shot(module, choices=("fp32", "int4", "int8"), seed=3)
        found = recover(module, None, data(), RECIPE, constraint=held)
        assert held.reduction() >= 30 * (1 - 1e-9)
        assert layers.chosen == {name: value for name, value in held.formats.items() if value != "fp32"}
        assert set(layers.bounds()) == set(layers.chosen)
        assert found.best_step >= 18  # what came before has no formats yet
        assert math.isfinite(found.figure)

    def test_it_learns_and_keeps_to_its_target(self) -> None:
        module = net()
        held, layers = one_shot(module, target=30.0, steps=150)
        found = recover(module, None, data(), RECIPE.model_copy(update={"steps": 150}), constraint=held)
        assert found.figure > 0.8
        assert 20 < held.reduction() < 45
        expected = module(torch.from_numpy(data().validation.inputs[0]))
        bounds, chosen = layers.bounds(), dict(layers.chosen)
        layers.remove()
        assert module.state_dict().keys() == net().state_dict().keys()
        assert not torch.equal(module(torch.from_numpy(data().validation.inputs[0])), expected)
        assert (set(bounds), set(chosen)) == (set(LAYERS), set(LAYERS))
        assert all(0.1 < bound < 100 for bound in bounds.values())

    @pytest.mark.parametrize("steps", [1, 2, 3, 7])
    @pytest.mark.parametrize("options", [{}, {"inputs_from": 0}, {"delay": 0.99, "settle": 1}, {"inputs_from": 0.9}])
    def test_however_short_it_ends_with_its_formats(self, steps: int, options: dict[str, Any]) -> None:
        module = net()
        held, layers = one_shot(module, steps=steps, **options)
        recover(module, None, data(), RECIPE.model_copy(update={"steps": steps}), constraint=held)
        assert held.is_final(steps)
        assert layers.rounds_inputs
        assert layers.chosen == held.formats
        assert all(bound > 0.1 for bound in layers.bounds().values())

    def test_it_has_not_settled_before_inputs_are_rounded(self) -> None:
        held, _ = one_shot(net(), steps=100, settle=0.5, inputs_from=0.8)
        assert [held.is_final(step) for step in (49, 50, 79, 80, 100)] == [False, False, False, True, True]

    @pytest.mark.parametrize("after", [4, 8, 16, 20])
    @pytest.mark.parametrize("way", ["report", "progress"])
    def test_interrupted_anywhere_it_ends_the_same(self, tmp_path: Path, after: int, way: str) -> None:
        """Before inputs are rounded, while formats are drawn evenly, while it learns, and after it has settled."""
        options = {"inputs_from": 0.25, "delay": 0.4, "settle": 0.75}

        def once(path: Path | None, **tell: Any) -> tuple[RecoveryResult, OneShotSearch, dict[str, Any]]:
            module = net()
            held, layers = one_shot(module, **options)
            found = recover(module, None, data(), RECIPE, checkpoint=path, constraint=held, **tell)
            return found, held, {"chosen": layers.chosen, "bounds": layers.bounds()}

        def stop_at(step: int, figure: float) -> bool:
            if step == after:
                raise KeyboardInterrupt
            return True

        def stop_when(text: str) -> None:
            if text.startswith(f"training: step {after} "):
                raise KeyboardInterrupt

        whole, expected, formats = once(None)
        path = tmp_path / "training.pt"
        with pytest.raises(KeyboardInterrupt):
            once(path, **({"keep_going": stop_at} if way == "report" else {"progress": stop_when}))
        again: list[int] = []
        resumed, held, found = once(path, keep_going=lambda step, figure: again.append(step) or True)  # type: ignore[func-returns-value]
        assert again[0] == (after + 4 if way == "report" else after)
        assert resumed.history == whole.history
        ours, theirs = resumed.module.state_dict(), whole.module.state_dict()
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
        assert held.formats == expected.formats
        assert np.array_equal(held._policy.probabilities(), expected._policy.probabilities())
        assert found == formats

    def test_what_cannot_be_reached_is_said_at_once(self) -> None:
        with pytest.raises(Unreachable, match=r"70 times cheaper than fp32: at most 64 times") as refused:
            one_shot(net(), target=70.0)
        assert isinstance(refused.value, CandidateError)
        assert refused.value.state == "infeasible"
        assert "lower target" in refused.value.hint
        one_shot(net(), target=64.0)

    def test_a_quality_that_is_no_number_ends_it(self) -> None:
        held, _ = one_shot(net(), quality=lambda step: math.nan, delay=0)
        held.apply(0)
        with pytest.raises(BuildFailed, match="not finite"):
            held.apply(1)

    def test_a_loss_that_is_no_number_ends_it(self) -> None:
        module = net()
        held, _ = one_shot(module)
        broken = data(loss=lambda raw, labels: raw.sum() * math.nan)
        with pytest.raises(BuildFailed, match="nan"):
            recover(module, None, broken, RECIPE, constraint=held)

    def test_a_net_of_one_layer(self) -> None:
        module = nn.Sequential(nn.Flatten(), nn.Linear(64, 5))
        layers = QuantisedLayers(module, {"only": ["1"]}, CHOICES)
        cost = AdditiveCost({"only": {"fp32": 1024.0, "int8": 64.0, "int4": 16.0}})
        held = OneShotSearch(
            layers, {"only": CHOICES}, cost, 64.0, HeldOutQuality(module, data(), RECIPE, net), 24, OneShotOptions(), 0
        )
        recover(module, None, data(), RECIPE, constraint=held)
        assert held.formats == layers.chosen == {"only": "int4"}
        assert held.reduction() == 64

    def test_a_net_without_layers_has_nothing_to_give(self) -> None:
        layers = QuantisedLayers(nn.Sequential(nn.Flatten()), {}, CHOICES)
        with pytest.raises(Unreachable):
            OneShotSearch(layers, {}, AdditiveCost({}, fixed=1.0), 2.0, lambda step: 0.0, 24, OneShotOptions(), 0)

    def test_seeds_draw_differently(self) -> None:
        draw_samples = []
        for seed in (0, 0, 1):
            held, layers = one_shot(net(), seed=seed, quality=lambda step: 0.5)
            draw_samples.append([held.apply(step) or tuple(layers.chosen.values()) for step in range(6)])  # type: ignore[func-returns-value]
        assert draw_samples[0] == draw_samples[1] != draw_samples[2]


class TestFixed:
    FORMATS = {"first": "int8", "second": "int4"}  # noqa: RUF012 - never written to

    def held(
        self, module: nn.Module, steps: int = 24, inputs_from: float = 0.5
    ) -> tuple[FixedFormats, QuantisedLayers]:
        layers = QuantisedLayers(module, GROUPS, CHOICES)
        return FixedFormats(layers, self.FORMATS, steps, inputs_from), layers

    @pytest.mark.parametrize("inputs_from", [0.0, 0.5, 0.99])
    def test_formats_are_there_from_the_start(self, inputs_from: float) -> None:
        module = net()
        held, layers = self.held(module, inputs_from=inputs_from)
        found = recover(module, None, data(), RECIPE, constraint=held)
        assert layers.chosen == self.FORMATS
        assert found.best_step >= 24 * inputs_from
        assert all(bound > 0.1 for bound in layers.bounds().values())

    @pytest.mark.parametrize("after", [8, 16])
    def test_interrupted_it_ends_the_same(self, tmp_path: Path, after: int) -> None:
        def once(path: Path | None, end: int = 0) -> RecoveryResult:
            def report(step: int, figure: float) -> bool:
                if step == end:
                    raise KeyboardInterrupt
                return True

            module = net()
            return recover(
                module, None, data(), RECIPE, checkpoint=path, constraint=self.held(module)[0], keep_going=report
            )

        whole = once(None).module.state_dict()
        with pytest.raises(KeyboardInterrupt):
            once(tmp_path / "training.pt", after)
        resumed = once(tmp_path / "training.pt").module.state_dict()
        assert all(torch.equal(resumed[name], values) for name, values in whole.items())


class TestHeldOut:
    def outputs(self, module: nn.Module, samples: TrainingData) -> Tensor:
        with torch.no_grad():
            return module(torch.from_numpy(samples.validation.inputs[0]))

    def batch(self) -> Recipe:
        return RECIPE.model_copy(update={"batch": 128})  # half of which are all of the validation samples

    @pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8])
    def test_with_labels_it_is_the_mean_probability_of_the_right_class(self, kind: Any) -> None:
        module, samples = net().eval(), data()
        labels = samples.validation.labels
        assert labels is not None
        samples = replace(samples, validation=replace(samples.validation, labels=labels.astype(kind)))
        found = HeldOutQuality(module, samples, self.batch(), net)(3)
        # One batch of all: its own statistics are those that it is normalised by.
        module.train()
        module.drop.eval()
        expected = self.outputs(module, samples).softmax(1)[torch.arange(64), torch.from_numpy(labels)].mean()
        assert found == pytest.approx(expected.item(), rel=1e-5)

    @pytest.mark.parametrize("kind", [np.int64, np.int32])
    def test_with_the_task_s_own_loss_it_is_minus_that(self, kind: Any) -> None:
        samples = data(loss=nn.functional.cross_entropy)
        labels = samples.validation.labels
        assert labels is not None
        samples = replace(samples, validation=replace(samples.validation, labels=labels.astype(kind)))
        module = net().eval()
        found = HeldOutQuality(module, samples, self.batch(), net)(3)
        module.train()
        module.drop.eval()
        expected = nn.functional.cross_entropy(self.outputs(module, samples), torch.from_numpy(labels))
        assert found == pytest.approx(-expected.item(), rel=1e-5)

    def test_labels_that_are_no_classes_go_to_the_loss_as_they_are(self) -> None:
        values = np.linspace(0, 1, 64)
        samples = data(
            loss=lambda raw, labels: (raw[:, 0] - labels).square().mean(),
            validation=replace(data().validation, labels=values),
        )
        assert HeldOutQuality(net().eval(), samples, self.batch(), net)(0) < 0

    def test_without_labels_it_is_the_cosine_to_the_teacher(self) -> None:
        samples = data(validation=Samples(data().validation.inputs))
        module = nn.Sequential(nn.Flatten(), nn.Linear(64, 5))
        asked: list[int] = []

        def teacher() -> nn.Module:
            asked.append(1)
            return module

        held_out = HeldOutQuality(module, samples, RECIPE, teacher)
        assert [held_out(step) for step in range(3)] == pytest.approx([1.0] * 3, abs=1e-6)
        assert asked == [1]
        other = nn.Sequential(nn.Flatten(), nn.Linear(64, 5))
        assert -1 < HeldOutQuality(other, samples, RECIPE, teacher)(0) < 0.9

    def test_another_batch_each_step_and_the_same_again(self) -> None:
        module = net().eval()
        held_out = HeldOutQuality(module, data(), RECIPE, net)
        found = [held_out(step) for step in range(4)]
        assert len(set(found)) == 4
        assert [held_out(step) for step in range(4)] == found
        assert HeldOutQuality(module, data(), RECIPE.model_copy(update={"seed": 1}), net)(0) != found[0]

    def test_nothing_is_learnt_from_it(self) -> None:
        module = net().train()
        before = {name: values.clone() for name, values in module.state_dict().items()}
        draw_samples = torch.random.get_rng_state()
        HeldOutQuality(module, data(), RECIPE, net)(0)
        assert all(torch.equal(values, before[name]) for name, values in module.state_dict().items())
        assert torch.equal(torch.random.get_rng_state(), draw_samples)
        assert module.training
        assert all(weight.grad is None for weight in module.parameters())
