"""Writes small jobs: a classifier of a few matrix products with its data, and job files for it."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import yaml
from onnx_builder import Builder

INPUTS, HIDDEN, CLASSES = 16, 32, 10


def classifier(layers: int = 3, *, seed: int = 0, input_name: str = "x", batch: int | str = "n") -> onnx.ModelProto:
    """``layers`` hidden layers and a last one, each a decision of its own in every precision."""
    builder = Builder(17, seed=seed)
    x = builder.input(input_name, [batch, INPUTS])
    for number in range(layers):
        x = builder.op("Relu", builder.linear(x, HIDDEN if number else INPUTS, HIDDEN))
    builder.op("MatMul", x, builder.weight(HIDDEN, CLASSES), out="logits")
    builder.output("logits", shape=[batch, CLASSES])
    return builder.model()


def samples(count: int = 80, *, seed: int = 0) -> dict[str, Any]:
    """Inputs and labels for :func:`classifier`."""
    rng = np.random.default_rng(seed)
    return {
        "x": rng.standard_normal((count, INPUTS)).astype(np.float32),
        "labels": rng.integers(0, CLASSES, count),
    }


def write_two_classifiers(folder: Path) -> tuple[Path, Path]:
    """A baseline and a candidate of other weights, as files."""
    paths = folder / "baseline.onnx", folder / "candidate.onnx"
    for seed, path in enumerate(paths):
        onnx.save(classifier(1, seed=seed), path)
    return paths


def write_classifier(folder: Path, *, layers: int = 3, count: int = 80) -> None:
    """``model.onnx`` and ``samples.npz`` in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(classifier(layers), folder / "model.onnx")
    np.savez(folder / "samples.npz", **samples(count))


def spec(**fields: Any) -> dict[str, Any]:
    """A job on the modelled device, as a job file holds it; fields given replace its own."""
    return {
        "version": 1,
        "name": "small",
        "task": {"name": "onnx", "options": {"model": "model.onnx", "data": "samples.npz"}},
        "devices": ["dry-run"],
        "strategy": {"name": "nsga2", "options": {"population": 8}},
        "budget": {"trials": 16},
        "seed": 0,
    } | fields


def write_job(folder: Path, name: str = "job.yaml", **fields: Any) -> Path:
    """A job file, and beside it the model and data of its task."""
    write_classifier(folder)
    path = folder / name
    path.write_text(yaml.safe_dump(spec(**fields), sort_keys=False))
    return path


@dataclass(frozen=True)
class FinishedJob:
    """A job that was run, its front as printed, and the command that did it, where it was one."""

    folder: Path
    home: Path
    front: dict[str, Any]
    command: subprocess.CompletedProcess[str] | None = None

    @property
    def job_id(self) -> str:
        return str(self.front["job_id"])

    @property
    def database(self) -> str:
        return f"sqlite:///{self.home / 'paretune.db'}"

    def copy(self, folder: Path) -> FinishedJob:
        """The same job in a data folder that a test may spoil."""
        shutil.copytree(self.home, folder)
        return replace(self, home=folder)
