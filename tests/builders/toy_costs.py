"""Two techniques that save cost otherwise than by narrowing layers, and a model to try them on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

from evaluators.devices.device import Device
from evaluators.graphs.cleanup import clean_graph
from evaluators.graphs.layer_cost import CostFactors
from evaluators.graphs.layer_groups import LayerGroup, layer_groups
from evaluators.graphs.model import load_model
from hwprofiles import find_device
from search.space.candidate import Decision
from search.space.layer_changes import CostTable
from search.tasks import TorchTask
from search.tasks.base import Split
from search.techniques import ModuleTechnique, Offer, Subject

TOKENS, WIDTH, HIDDEN = 12, 16, 32
SHAPES = {"x": [1, TOKENS, 8]}
LAYERS = ("embed", "grow", "shrink", "head")
RANKS = {"8": 8, "4": 4}


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


class Pairs(nn.Module):
    """Merges each two neighbouring tokens into their mean."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x[:, ::2] + x[:, 1::2]) / 2


class LowRank(ModuleTechnique):
    """Replaces the layer ``grow`` by two of a low rank."""

    unchanged = "full"

    def offer(self, device: Device | None, earlier: Offer) -> Offer:
        return Offer((Decision("low_rank:grow", ("full", *RANKS), "low_rank", target="grow", scope="module"),))

    def change(self, module: nn.Module, values: Mapping[str, str], way: float) -> nn.Module:
        rank = RANKS.get(values["low_rank:grow"])
        if rank is not None:
            torch.manual_seed(0)
            pair = nn.Sequential(nn.Linear(WIDTH, rank, bias=False), nn.Linear(rank, HIDDEN))
            module.set_submodule("grow", pair)
        return module

    def layer_changes(self) -> Sequence[CostTable]:
        def factors(rank: int) -> CostFactors:
            left = rank * (WIDTH + HIDDEN) / (WIDTH * HIDDEN)
            return CostFactors(macs=left, weights=left, read=(WIDTH + rank) / WIDTH, written=(HIDDEN + rank) / HIDDEN)

        return [CostTable("low_rank:grow", {value: {"grow": factors(rank)} for value, rank in RANKS.items()})]


class TokenMerging(ModuleTechnique):
    """Merges tokens behind the layer ``embed``."""

    unchanged = "all"

    def offer(self, device: Device | None, earlier: Offer) -> Offer:
        return Offer((Decision("merging", ("all", "half"), "merging"),))

    def change(self, module: nn.Module, values: Mapping[str, str], way: float) -> nn.Module:
        if values["merging"] == "half":
            module.set_submodule("merge", Pairs())
        return module

    def layer_changes(self) -> Sequence[CostTable]:
        behind = dict.fromkeys(LAYERS[1:], CostFactors(tokens=0.5))
        return [CostTable("merging", {"half": behind})]


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
