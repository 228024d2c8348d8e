"""What a user's task measures, asked of the task itself."""

from __future__ import annotations

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


def metric_names_of(name: str, options: Mapping[str, Any], folder: Path) -> frozenset[str] | None:
    """The metrics of a job's task; where it cannot say them, those of an evaluation in which a handful of validation
    samples answer for all. None where that fails: the figures of so few samples may be beyond what it takes."""
    task = open_task(name, options, folder)
    names = task.metric_names()
    if names is not None:
        return names
    try:
        return frozenset(_tried(task))
    except Exception:  # noqa: BLE001 - a user's own code; the job's preparation says what is wrong with it
        return None


def _tried(task: Task) -> dict[str, float]:
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
