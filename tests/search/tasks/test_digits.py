"""The digits task: its splits, its distortions and its teacher."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
import pytest

from evaluators.graphs.reference_run import run_once
from hwprofiles.errors import InvalidInput
from search.tasks import Digits, Split, open_task
from search.tasks.digits import COPIES, DigitsOptions
from search.testing.tasks import BuiltInTaskConformance

SPLITS: tuple[Split, ...] = ("calibration", "validation", "test")
IMAGES = {"calibration": 1260, "validation": 179, "test": 358}


def digits(**options: Any) -> Digits:
    return Digits(DigitsOptions(**{"preset": "bench", **options}))


@pytest.fixture(scope="module")
def bench() -> Digits:
    return digits()


class TestData:
    def test_splits_are_disjoint_by_source_image(self) -> None:
        """Without distortion, copies are their source image: none is found in another split."""
        plain = digits(strength=0)
        seen = {split: {image.tobytes() for image in plain.inputs(split)["image"]} for split in SPLITS}
        assert not seen["validation"] & seen["test"]
        assert not seen["calibration"] & seen["test"]
        assert not seen["calibration"] & seen["validation"]
        assert {split: len(images) for split, images in seen.items()} == pytest.approx(IMAGES, abs=5)  # a few are equal

    @pytest.mark.parametrize("split", SPLITS)
    def test_shapes_and_counts(self, bench: Digits, split: Split) -> None:
        images = bench.inputs(split)["image"]
        copies = 1 if split == "calibration" else COPIES
        assert images.shape == (IMAGES[split] * copies, 1, 16, 16)
        assert images.dtype == np.float32
        assert abs(float(images.mean())) < 0.5
        assert 0.5 < float(images.std()) < 1.5

    @pytest.mark.parametrize("split", ["validation", "test"])
    def test_eight_copies_of_an_image_share_its_cluster(self, bench: Digits, split: Split) -> None:
        clusters = bench.clusters(split)
        assert clusters is not None
        assert np.unique(clusters, return_counts=True)[1].tolist() == [8] * IMAGES[split]
        plain = digits(strength=0)
        images = plain.inputs(split)["image"]
        for number in (0, 7, IMAGES[split] - 1):
            copies = images[clusters == number]
            assert all(np.array_equal(copies[0], copy) for copy in copies)
        distorted = bench.inputs(split)["image"][clusters == 0]
        assert len({image.tobytes() for image in distorted}) == COPIES

    def test_calibration_images_are_sources_themselves(self, bench: Digits) -> None:
        clusters = bench.clusters("calibration")
        assert clusters is not None
        assert clusters.tolist() == list(range(IMAGES["calibration"]))

    def test_labels_belong_to_the_images(self, bench: Digits) -> None:
        """Perfect logits score perfectly, and shifted by a sample they do not."""
        labels = np.repeat(bench._split("validation")[1], COPIES)
        logits = np.eye(10, dtype=np.float32)[labels] * 20
        scores = bench.score({"logits": logits}, "validation")
        assert scores["accuracy"].mean() == 1.0
        assert scores["nll"].max() < 1e-6
        assert bench.score({"logits": np.roll(logits, 8, axis=0)}, "validation")["accuracy"].mean() < 0.5

    def test_false_negatives_are_counted_by_class(self) -> None:
        """No part of the digest: the model and its data are the same."""
        task = digits(false_negatives=[3, 8])
        assert task.digest == digits().digest
        labels = np.repeat(task._split("validation")[1], COPIES)
        logits = np.eye(10, dtype=np.float32)[np.where(labels == 8, 3, labels)]
        scores = task.score({"logits": logits}, "validation")
        assert scores["fnr:8"].mean() == pytest.approx(1.0)
        assert scores["fnr:3"].mean() == 0.0
        assert set(scores) == {"accuracy", "nll", "fnr:3", "fnr:8"}

    def test_all_ten_digits_are_in_every_split(self, bench: Digits) -> None:
        for split in SPLITS:
            assert set(bench._split(split)[1].tolist()) == set(range(10))

    def test_distortions_are_fixed_by_the_seed(self, bench: Digits) -> None:
        again, other = digits(), digits(seed=1)
        for split in SPLITS:
            assert np.array_equal(bench.inputs(split)["image"], again.inputs(split)["image"])
            assert not np.array_equal(bench.inputs(split)["image"], other.inputs(split)["image"])

    def test_strength_distorts(self) -> None:
        plain, weak, strong = (digits(strength=s).inputs("validation")["image"] for s in (0, 0.5, 2))
        assert 0 < np.abs(weak - plain).mean() < np.abs(strong - plain).mean()


class TestOptions:
    def test_the_digest_names_model_and_data(self, bench: Digits) -> None:
        assert digits().digest == bench.digest
        others = [{"seed": 1}, {"width": 8}, {"depth": 14}, {"size": 8}, {"strength": 0.5}, {"epochs": 2}]
        digests = {digits(**options).digest for options in others}
        assert len(digests | {bench.digest}) == len(others) + 1

    def test_the_residual_network_keeps_its_digests(self) -> None:
        """Stored jobs and cached teachers are named by them."""
        assert Digits(DigitsOptions()).digest == "b7286a13e6a7778d4bda8f0322830d5bc106632a3f34336045cb35abe5a35c3f"
        assert digits().digest == "3c1a4e53a4e492f5140e51dc74c8d4ed6bb3bd4f9a9b3ada4bf47ad8908f7ef4"
        assert digits(model="resnet").digest == digits().digest

    def test_a_preset_is_short_for_its_values(self, bench: Digits) -> None:
        assert Digits(DigitsOptions(width=16, size=16, epochs=12)).digest == bench.digest
        assert digits(width=64, size=32, epochs=7).digest == Digits(DigitsOptions()).digest
        vit = digits(model="vit")
        assert Digits(DigitsOptions(**vit.options.model_dump())).digest == vit.digest != bench.digest
        whole = {"width": 64, "size": 32, "epochs": 60}
        assert digits(model="vit", **whole).digest == Digits(DigitsOptions(model="vit")).digest
        assert Digits(DigitsOptions(model="vit", depth=1)).options.depth == 1

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"widht": 8}, "task.options.widht"),
            ({"width": 2}, "task.options.width"),
            ({"size": "large"}, "task.options.size"),
            ({"preset": "huge"}, "task.options.preset"),
            ({"depth": 7}, "task.options.depth: must be at least 8"),
            ({"depth": 9}, "task.options.depth: depth must be 8, 14, 20, …"),
            ({"model": "vgg"}, "task.options.model"),
            ({"model": "vit", "depth": 0}, "task.options.depth: must be at least 1"),
            ({"model": "vit", "width": 40}, "task.options.width: width must be a multiple of 16"),
            ({"model": "vit", "size": 18}, "task.options.size: size must be a multiple of 4"),
        ],
    )
    def test_options_that_do_not_fit_are_named(self, options: dict[str, Any], said: str) -> None:
        with pytest.raises(InvalidInput) as caught:
            open_task("digits", options, Path())
        assert said in caught.value.message
        assert caught.value.hint

    def test_the_nearest_option_is_offered(self) -> None:
        with pytest.raises(InvalidInput) as caught:
            open_task("digits", {"widht": 8}, Path())
        assert "width" in caught.value.hint


SMALL = {"width": 4, "size": 8, "epochs": 1}
SMALL_VIT = {"model": "vit", "width": 16, "depth": 1, "size": 8, "epochs": 1}


class TestResidualNetwork(BuiltInTaskConformance):
    kind = Digits
    options: ClassVar[dict[str, Any]] = SMALL


class TestVisionTransformer(BuiltInTaskConformance):
    kind = Digits
    options: ClassVar[dict[str, Any]] = SMALL_VIT


class TestTeacher:
    @pytest.fixture
    def trained(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """How often a network was trained."""
        from search.tasks import training

        times: list[int] = []
        train = training.train_classifier

        def counted(*arguments: Any, **options: Any) -> None:
            times.append(1)
            train(*arguments, **options)

        monkeypatch.setattr(training, "train_classifier", counted)
        return times

    def test_it_is_trained_once(self, tmp_path: Path, trained: list[int]) -> None:
        digits(**SMALL).export(tmp_path / "first.onnx")
        digits(**SMALL).export(tmp_path / "second.onnx")
        digits(**SMALL).module()
        assert trained == [1]
        assert (tmp_path / "first.onnx").read_bytes() == (tmp_path / "second.onnx").read_bytes()
        digits(**SMALL, seed=1).export(tmp_path / "third.onnx")
        assert trained == [1, 1]

    def test_training_is_fixed_by_the_seed(
        self, tmp_path: Path, trained: list[int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        outputs = []
        for number in range(2):
            monkeypatch.setenv("PARETUNE_HOME", str(tmp_path / f"home {number}"))
            digits(**SMALL).export(tmp_path / "model.onnx")
            feed = {"image": digits(**SMALL).inputs("validation")["image"][:32]}
            outputs.append(run_once(onnx.load(tmp_path / "model.onnx"), feed)["logits"])
        assert trained == [1, 1]
        np.testing.assert_allclose(outputs[0], outputs[1], atol=1e-4)

    def test_the_structure_alone_needs_no_training(self, tmp_path: Path, home: Path, trained: list[int]) -> None:
        digits(**SMALL).export(tmp_path / "model.onnx", trained=False)
        assert trained == []
        assert not list((home / "cache").rglob("*.pt"))
        model = onnx.load(tmp_path / "model.onnx")
        assert [value.name for value in model.graph.input] == ["image"]
        assert [value.name for value in model.graph.output] == ["logits"]

    def test_nothing_half_written_is_left(self, tmp_path: Path, home: Path) -> None:
        task = digits(**SMALL)
        task.export(tmp_path / "model.onnx")
        assert [path.name for path in (home / "cache" / "teachers").iterdir()] == [f"{task.digest}.pt"]

    def test_it_is_trained_on_with_its_own_images(self) -> None:
        task = digits(**SMALL)
        training = task.training()
        one, same, other = (training.epoch(np.random.default_rng(seed)) for seed in (0, 0, 1))
        assert one.inputs[0].shape == (IMAGES["calibration"], 1, 8, 8)
        assert np.array_equal(one.inputs[0], same.inputs[0])
        assert not np.array_equal(one.inputs[0], other.inputs[0])
        assert len(training.validation) == IMAGES["validation"] * COPIES
        assert task.trainable

    def test_deeper_and_wider_networks_export(self, tmp_path: Path) -> None:
        task = digits(depth=14, width=8, size=8)
        task.export(tmp_path / "model.onnx", trained=False)
        model = onnx.load(tmp_path / "model.onnx")
        assert sum(node.op_type == "Conv" for node in model.graph.node) == 15
        logits = run_once(model, {"image": task.inputs("test")["image"][:3]})["logits"]
        assert logits.shape == (3, 10)
