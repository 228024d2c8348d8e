"""scikit-learn's handwritten digits with a small residual network, vision transformer, or elastic network.

Plain digits are too easy (int8 loses nothing at all). So validation and test contain eight fixed, seeded distortions of
each held-out image, and the teacher is trained on distorted images too.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticKnownError

from evaluators.measuring.quality import Scores, classification, false_negatives, label_metrics
from evaluators.processes.sandbox_child import report
from evaluators.tensors import Array, Arrays
from evaluators.torch_export import export_module
from hwprofiles import digest_of
from search.bounds import MOST, MOST_AT_ONCE, MOST_ITEMS, Seed
from search.folders import cache_folder, partial_path
from search.tasks.base import BuiltInTask, Split
from search.training.data import Samples, TrainingData

if TYPE_CHECKING:
    import torch

VERSION = 1
"""Part of every digest; increased when data or training change."""

COPIES = 8
"""Distorted copies of each held-out image."""

HEAD_WIDTH = 16
"""Channels of each head of the vision transformer."""

PATCHES = 4
"""Patches of the vision transformer along each side of an image; each covers 2x2 pixels of the original."""

QUARTERS = 4
"""Divisor of the elastic network's width: its stages can have quarters of their channels."""

STAGES = 3
"""Stages of the elastic network, with the same number of blocks each."""

Floats = NDArray[np.float32]

_DEFAULTS: dict[tuple[str, str], dict[str, Any]] = {
    ("resnet", "default"): {},
    ("resnet", "bench"): {"width": 16, "size": 16, "epochs": 12},
    ("elastic", "default"): {"width": 16, "depth": 6, "size": 16, "epochs": 30},
    ("elastic", "bench"): {"width": 8, "depth": 3, "size": 16, "epochs": 30},
    ("vit", "default"): {"depth": 4, "epochs": 60},
    ("vit", "bench"): {"width": 32, "depth": 4, "size": 16, "epochs": 60},
}
"""Defaults by model and preset that replace those of the fields."""


class DigitsOptions(BaseModel):
    """Options of the task ``digits``; ``preset: bench`` is a narrow network at 16x16 for studies over many seeds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    preset: Literal["default", "bench"] = "default"
    # Before the fields that depend on it: a validator sees only earlier fields.
    model: Literal["resnet", "vit", "elastic"] = "resnet"
    width: int = Field(64, ge=4, le=512, description="channels of the first stage, at most; of a vit, of each token")
    depth: int = Field(
        8,
        le=MOST_AT_ONCE,
        description="layers: 8, 14, 20, … (6 more for each further block a stage); of others, blocks",
    )
    size: int = Field(32, ge=8, le=64)
    strength: float = Field(1.0, ge=0, le=3, description="of the distortions")
    epochs: int = Field(7, ge=1, le=MOST)
    seed: Seed = 0
    false_negatives: tuple[Annotated[int, Field(ge=0, le=9)], ...] = Field((), max_length=MOST_ITEMS)

    @field_validator("width")
    @classmethod
    def _whole_heads(cls, value: int, info: ValidationInfo) -> int:
        if _is_vit(info) and value % HEAD_WIDTH:
            raise ValueError(f"width must be a multiple of {HEAD_WIDTH} for a vit, the width of a head")
        if _is_elastic(info) and value % QUARTERS:
            raise ValueError(f"width must be a multiple of {QUARTERS} for an elastic network: it is chosen in quarters")
        return value

    @field_validator("size")
    @classmethod
    def _whole_patches(cls, value: int, info: ValidationInfo) -> int:
        if _is_vit(info) and value % PATCHES:
            raise ValueError(f"size must be a multiple of {PATCHES} for a vit, its number of patches along each side")
        return value

    @field_validator("depth")
    @classmethod
    def _whole_blocks(cls, value: int, info: ValidationInfo) -> int:
        least = 1 if _is_vit(info) else STAGES if _is_elastic(info) else 8
        if value < least:
            raise PydanticKnownError("greater_than_equal", {"ge": least})
        if _is_elastic(info):
            if value % STAGES:
                raise ValueError(f"depth must be a multiple of {STAGES} for an elastic network: it has {STAGES} stages")
        elif (value - 2) % 6 and not _is_vit(info):
            raise ValueError("depth must be 8, 14, 20, …: 6 more layers for each further block in a stage")
        return value

    def with_defaults(self) -> DigitsOptions:
        """Fills in the model's and preset's defaults for fields that were not set."""
        explicit = {name: getattr(self, name) for name in self.model_fields_set if name != "preset"}
        return DigitsOptions(**{**_DEFAULTS[self.model, self.preset], **explicit})


def _is_vit(info: ValidationInfo) -> bool:
    return info.data.get("model") == "vit"


def _is_elastic(info: ValidationInfo) -> bool:
    return info.data.get("model") == "elastic"


class Digits(BuiltInTask):
    """Handwritten digits, split by image into 70 % training, 10 % validation, 20 % test."""

    Options = DigitsOptions
    trainable = True

    def __init__(self, options: DigitsOptions) -> None:
        self.options = options.with_defaults()
        # Keeps the digest of the residual network from before there were other models.
        omitted = {"model"} if self.options.model == "resnet" else set()
        values = self.options.model_dump(exclude={"preset", "false_negatives", *omitted})
        self.digest = digest_of(["digits", VERSION, values])

    @classmethod
    def open(cls, options: DigitsOptions, folder: Path) -> Digits:
        """See :meth:`BuiltInTask.open`."""
        return cls(options)

    @classmethod
    def cached_files(cls, options: DigitsOptions) -> list[Path]:
        """See :meth:`BuiltInTask.cached_files`: the trained teacher."""
        weights = cls(options).weights
        return [weights] if weights.exists() else []

    @property
    def weights(self) -> Path:
        """The file of the trained teacher in the cache folder."""
        return cache_folder() / "teachers" / f"{self.digest}.pt"

    def export(self, path: Path, *, trained: bool = True, module: torch.nn.Module | None = None) -> None:
        """See :meth:`Task.export`; the trained teacher is cached by the task's digest."""
        export_module(
            self._network(trained=trained) if module is None else module,
            {"image": self.inputs("calibration")["image"][:1]},
            path,
            outputs=("logits",),
        )

    def module(self, *, trained: bool = True) -> torch.nn.Module:
        """See :meth:`Task.module`; the trained teacher is cached by the task's digest."""
        return self._network(trained=trained).eval()

    def training(self) -> TrainingData:
        """See :meth:`Task.training`; distorts the training images anew in each epoch, as for the teacher."""
        images, labels = self._split("calibration")
        return TrainingData(
            digest=self.digest,
            epoch=lambda rng: Samples((self._distort(images, rng),), labels),
            validation=Samples((self._images["validation"],), np.repeat(self._split("validation")[1], COPIES)),
        )

    def _network(self, *, trained: bool) -> torch.nn.Module:
        import torch

        from search.tasks.training import train_classifier

        torch.manual_seed(self.options.seed)
        model = self._build_network()
        weights = self.weights
        if trained and weights.exists():
            model.load_state_dict(torch.load(weights, weights_only=True))
        elif trained:
            images, labels = self._split("calibration")
            report(f"training the digits teacher ({self.options.epochs} epochs, once)")
            train: Callable[..., None] = train_classifier
            if self.options.model == "elastic":
                from search.tasks.elastic import train_elastic

                train = train_elastic
            train(
                model,
                lambda rng: (self._distort(images, rng), labels),
                epochs=self.options.epochs,
                seed=self.options.seed,
                progress=lambda epoch, loss: report(f"training the digits teacher: epoch {epoch}, loss {loss:.3f}"),
            )
            partial = partial_path(weights)
            torch.save(model.state_dict(), partial)
            partial.replace(weights)
        return model

    def _build_network(self) -> torch.nn.Module:
        options = self.options
        if options.model == "vit":
            from search.tasks.vit import VisionTransformer

            return VisionTransformer(
                size=options.size, patch=options.size // PATCHES, width=options.width,
                heads=options.width // HEAD_WIDTH, depth=options.depth, classes=10,
            )  # fmt: skip
        if options.model == "elastic":
            from search.tasks.elastic import ElasticNet

            return ElasticNet(width=options.width, depth=options.depth, stages=STAGES, classes=10)
        from search.tasks.resnet import ResNet

        return ResNet(width=options.width, depth=options.depth, classes=10)

    def inputs(self, split: Split) -> dict[str, Array]:
        """Returns ``image`` ``(samples, 1, size, size)``: float32 with about zero mean and unit variance."""
        return {"image": self._images[split]}

    def score(self, outputs: Arrays, split: Split) -> Scores:
        """Computes ``accuracy``, ``nll``, and ``fnr:CLASS`` for the classes in ``false_negatives``."""
        labels = self._split(split)[1]
        labels = labels if split == "calibration" else np.repeat(labels, COPIES)
        logits = outputs["logits"]
        return classification(logits, labels) | false_negatives(logits, labels, self.options.false_negatives)

    def metric_names(self) -> frozenset[str]:
        """See :meth:`Task.metric_names`."""
        return label_metrics(self.options.false_negatives)

    def clusters(self, split: Split) -> NDArray[np.int64] | None:
        """See :meth:`Task.clusters`; the copies of an image share its number."""
        count = len(self._split(split)[1])
        return np.arange(count) if split == "calibration" else np.repeat(np.arange(count), COPIES)

    @cached_property
    def _images(self) -> dict[str, Floats]:
        images = {}
        for number, split in enumerate(("calibration", "validation", "test")):
            rng = np.random.default_rng([self.options.seed, number])
            plain = self._split(split)[0]  # type: ignore[arg-type]
            copies = plain if split == "calibration" else np.repeat(plain, COPIES, axis=0)
            images[split] = self._distort(copies, rng)
        return images

    @cached_property
    def _digits(self) -> tuple[Floats, NDArray[np.int64], NDArray[np.int64]]:
        from scipy.ndimage import zoom
        from sklearn.datasets import load_digits

        data = load_digits()
        factor = self.options.size / 8
        images = zoom(
            data.images.astype(np.float32) / 16.0, (1, factor, factor), order=1, grid_mode=True, mode="nearest"
        )
        order = np.random.default_rng(self.options.seed).permutation(len(images))
        return images, data.target.astype(np.int64), order

    def _split(self, split: Split) -> tuple[Floats, NDArray[np.int64]]:
        images, labels, order = self._digits
        tenth = len(order) // 10
        rows = {"validation": order[:tenth], "test": order[tenth : 3 * tenth], "calibration": order[3 * tenth :]}[split]
        return images[rows], labels[rows]

    def _distort(self, images: Floats, rng: np.random.Generator) -> Floats:
        """Applies random rotation, scale, shift and noise to each image; ``(n, size, size)`` to ``(n, 1, size,
        size)``."""
        from scipy.ndimage import map_coordinates

        n, size = len(images), images.shape[-1]
        strength = self.options.strength
        angle = rng.normal(0, 0.17 * strength, n)
        scale = np.exp(rng.normal(0, 0.08 * strength, n))
        shift = rng.normal(0, 0.045 * strength * size, (n, 2))
        axis = np.arange(size) - (size - 1) / 2
        y, x = np.meshgrid(axis, axis, indexing="ij")
        cos, sin = (np.cos(angle) / scale)[:, None, None], (np.sin(angle) / scale)[:, None, None]
        middle = (size - 1) / 2
        rows = cos * y - sin * x + middle + shift[:, 0, None, None]
        columns = sin * y + cos * x + middle + shift[:, 1, None, None]
        which = np.broadcast_to(np.arange(n)[:, None, None], rows.shape)
        warped: Floats = map_coordinates(images, [which, rows, columns], order=1, mode="constant")
        noisy = warped + rng.normal(0, 0.19 * strength, warped.shape)
        scaled: Floats = ((noisy - 0.3) / 0.37).astype(np.float32)
        return scaled[:, None]
