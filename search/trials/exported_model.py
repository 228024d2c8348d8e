"""The fp32 model of a job: exported from its task to ONNX, cleaned up, and named by its bytes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import onnx

from evaluators.graphs.cleanup import clean_graph
from evaluators.graphs.model import load_model, save_model
from evaluators.graphs.widening import narrow_types, widening_note
from evaluators.processes.sandbox_child import report
from hwprofiles import digest_of, digest_of_file
from search.json_cache import JsonCache
from search.tasks import BuiltInTask, Task

FORMAT = 2
"""Part of every digest of built files; raised when building changes what a candidate means."""


class ExportedModel:
    """The file that every candidate of a job starts from; exported once for all jobs that share it.

    Processes of a ``prepared`` job find the file by the digests of the preparation, or of the task. The preparation
    exports a user's own model again: a digest cannot cover the files that its code reads and the packages that it
    calls. Unless ``trained``, the
    task gives the structure alone. ``origin`` names the sources of a user's task (see
    :func:`search.tasks.origin.origin`), and is empty for a built-in one.
    """

    def __init__(
        self, task: Task, origin: str, cache: Path, *, trained: bool, prepared: Mapping[str, str] | None
    ) -> None:
        self._task, self._origin, self._cache = task, origin, cache
        self._trained, self._prepared = trained, prepared
        self.notes: list[str] = []
        """For the job's owner, about reading the model; filled by the export."""

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the file, which is exported on first use (the task may train its model: minutes)."""
        if self._prepared and self._prepared.get("task") == self._task_digest:
            sha256 = self._prepared["model"]
            if self._path_of(sha256).exists():
                return sha256
        key = digest_of(["export", FORMAT, onnx.__version__, self._task.digest, self._origin, self._trained])
        exports = JsonCache(self._cache / "exports")
        if self._prepared is not None or isinstance(self._task, BuiltInTask):
            cached: str | None = exports.get(key)
            if cached is not None and self._path_of(cached).exists():
                return cached
        sha256 = self._export()
        exports[key] = sha256
        return sha256

    @property
    def path(self) -> Path:
        """The file."""
        return self._path_of(self.sha256)

    @cached_property
    def digest(self) -> str:
        """Names the model, by all of its bytes, and the data and metrics that candidates are scored by."""
        return digest_of(["model", FORMAT, onnx.__version__, self.sha256, self._data_digest, self._trained])

    @property
    def digests(self) -> dict[str, str]:
        """Digests of the job's inputs by name: the model's file, the data, and the task that made both."""
        return {"model": self.sha256, "data": self._data_digest, "task": self._task_digest}

    @property
    def _task_digest(self) -> str:
        return digest_of([self._task.digest, self._origin])

    @property
    def _data_digest(self) -> str:
        """Names samples, labels, and the code that scores outputs."""
        return digest_of([self._task.data_digest, self._origin])

    def _path_of(self, sha256: str) -> Path:
        return self._cache / "models" / f"{sha256}.onnx"

    def _export(self) -> str:
        """Exports and cleans up the model, and moves it to its final path; returns its SHA-256."""
        folder = self._cache / "models"
        folder.mkdir(parents=True, exist_ok=True)
        source, clean = (folder / f".{os.getpid()}.{kind}.onnx" for kind in ("source", "clean"))
        try:
            report("exporting the model to ONNX")
            self._task.export(source, trained=self._trained)
            model = load_model(source)
            narrow = narrow_types(model)
            self.notes = [widening_note(narrow)] if narrow else []
            save_model(clean_graph(model, consumed=True), clean)
            del model
            sha256 = digest_of_file(clean)
            clean.replace(self._path_of(sha256))
        finally:
            source.unlink(missing_ok=True)
            clean.unlink(missing_ok=True)
        return sha256
