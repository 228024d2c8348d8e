"""A model of products on tokens, for techniques that save cost otherwise than by narrowing layers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

from evaluators.graphs.cleanup import clean_graph
from evaluators.graphs.layer_groups import LayerGroup, layer_groups
from evaluators.graphs.model import load_model
from hwprofiles import find_device
from search.tasks import TorchTask
from search.tasks.base import Split
from search.techniques import Subject

TOKENS, WIDTH, HIDDEN = 12, 16, 32
SHAPES = {"x": [1, TOKENS, 8]}


class TokenNet(nn.Module):
    """Products on a row of tokens; ``merge`` is where their number can fall."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.merge = nn.Linear(8, WIDTH), nn.Identity()
        self.grow, self.shrink, self.head = nn.Linear(WIDTH, HIDDEN), nn.Linear(HIDDEN, WIDTH), nn.Linear(WIDTH, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.merge(self.embed(x))
        x = self.shrink(torch.relu(self.grow(x)))
        logits: torch.Tensor = self.head(x).mean(1)
        return logits


def make_task() -> TorchTask:
    """The net, untrained, with random data."""
    torch.manual_seed(0)
    splits: tuple[Split, ...] = ("calibration", "validation", "test")
    rng = np.random.default_rng(0)
    inputs = {split: {"x": rng.standard_normal((24, TOKENS, 8)).astype(np.float32)} for split in splits}
    return TorchTask(TokenNet().eval(), inputs, labels={split: rng.integers(0, 5, 24) for split in splits})


def groups_of(model: onnx.ModelProto) -> tuple[LayerGroup, ...]:
    return layer_groups(model, SHAPES)


def subject_in(folder: Path) -> Subject:
    """The net as candidates start from it."""
    task = make_task()
    task.export(folder / "model.onnx")
    model = clean_graph(load_model(folder / "model.onnx"))
    sample = {"x": task.inputs("validation")["x"][:1]}
    return Subject(
        model=model, groups=groups_of(model), digest="net", sample=sample, calibration_batches=lambda count: [sample],
        cache=folder, profile=find_device("local-cpu"), wanted=frozenset({"size_bytes"}), task=task,
    )  # fmt: skip
