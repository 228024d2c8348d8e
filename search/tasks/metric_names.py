"""Names of the metrics of a task."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from evaluators.graphs.cleanup import clean_graph
from evaluators.graphs.model import load_model, save_model
from evaluators.measuring.quality import run_all
from evaluators.runtimes import Array, Arrays, OnnxRuntime
from search.tasks import Task, open_task

HANDFUL = 8
"""Samples of a trial evaluation."""


def metric_names_of(name: str, options: Mapping[str, Any], folder: Path) -> frozenset[str] | None:
    """Returns the names of a task's metrics, working in its folder; if the task does not declare them, evaluates it on
    a few validation samples. None if that fails, since its ``evaluate`` may not accept figures of so few samples."""
    with contextlib.chdir(folder):
        task = open_task(name, options, Path())
        names = task.metric_names()
        if names is not None:
            return names
        try:
            return frozenset(_evaluate_handful(task))
        except Exception:  # noqa: BLE001 - a user's own code; the job's preparation reports what is wrong with it
            return None


def _evaluate_handful(task: Task) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="paretune-") as place:
        path = Path(place) / "model.onnx"
        task.export(path, trained=False)
        save_model(clean_graph(load_model(path)), path)
        session = OnnxRuntime().open(path)
        try:

            def predict(samples: Arrays) -> dict[str, Array]:
                few = {key: values[:HANDFUL] for key, values in samples.items()}
                count = min(len(values) for values in samples.values())
                outputs = run_all(session, few, batch=1, workers=1)
                return {key: np.resize(values, (count, *values.shape[1:])) for key, values in outputs.items()}

            return task.evaluate(predict, "validation")
        finally:
            session.close()
