"""What is sent to a service: a job with its files, and its options. Reads only what it sends."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path

from dashboards.service import Service
from dashboards.words import Json
from hwprofiles.errors import InvalidInput
from hwprofiles.suggestions import nearest_file
from search.artefacts.job_files import JobFiles, files_of
from search.job.job_options import JobOptions
from search.job.yaml_text import read_yaml

_MODEL, _JOB_FILES = ".onnx", (".yaml", ".yml")


@dataclass(frozen=True)
class Submitted:
    """A submission whose files are still to be sent."""

    document: Json
    files: dict[str, Path]

    def send(self, service: Service, key: str | None = None) -> Json:
        """Sends the files that the service lacks, then the submission; returns the job's status."""
        digests = {name: service.upload(path) for name, path in self.files.items()}
        return service.submit(self.document | ({"files": digests} if digests else {}), key)


def read_submission(target: str, options: JobOptions, *, local: bool) -> Submitted:
    """Returns the submission of what a command names: a model, a job file or a task.

    To a ``local`` service other tasks than ``onnx`` go without files: they are read where they are. Raises
    :class:`InvalidInput` for files that are missing, or that a server does not take.
    """
    path = Path(target)
    suffix = path.suffix.lower()
    if suffix == _MODEL:
        task = {"name": "onnx", "options": {"model": target, "data": options.data and str(options.data)}}
        return _with_files({"target": target}, files_of(task, Path(), outside=True), options)
    if suffix in _JOB_FILES or (path.is_file() and not suffix):
        return _of_job_file(path, options, local=local)
    place = target.rpartition(":")[0] or target
    if not local and (place.endswith(".py") or path.exists()):
        raise InvalidInput(
            f"{target}: a server runs no code of its users",
            "have the package of your task installed there, and name it like package.module:make_task",
        )
    if suffix and suffix != ".py" and ":" not in target and not path.exists():
        raise InvalidInput(f"file {target} does not exist", nearest_file(path, "check the path"))
    if options.data is not None:
        raise InvalidInput(f"--data: {target} brings its own data", "leave --data out; it is for a model (.onnx)")
    return Submitted({"target": target, "options": options_document(options)}, {})


def options_document(options: JobOptions) -> Json:
    """Returns the options that were given, as a submission has them; data apart, which is a file."""
    given = {field.name: getattr(options, field.name) for field in fields(options) if field.name != "data"}
    listed = {key: list(value) if isinstance(value, tuple | list) else value for key, value in given.items()}
    return {key: value for key, value in listed.items() if value not in (None, [])}


def _of_job_file(path: Path, options: JobOptions, *, local: bool) -> Submitted:
    content = read_yaml(path)
    task = content.get("task") if isinstance(content, dict) else None
    if not isinstance(task, dict) or task.get("name") != "onnx" or not isinstance(task.get("options"), dict):
        # Without files, or not as it should be, which the service says better.
        document = {"target": str(path)} if local else {"job": _named(content, path)}
        return Submitted(document | {"options": options_document(options)}, {})
    if options.data is not None:
        data = options.data.resolve()
        task = {**task, "options": {**task["options"], "data": str(data)}}
    files = files_of(task, path.parent, outside=options.data is not None)
    named = _named(content, path) | {"task": {**task, "options": files.options}}
    return _with_files({"job": named}, files, replace(options, data=None))


def _named(content: Json, path: Path) -> Json:
    """Returns the contents of a job file, with the file's name unless it has one."""
    return {"name": path.stem, **content} if isinstance(content, dict) else content


def _with_files(document: Json, files: JobFiles, options: JobOptions) -> Submitted:
    sent = options_document(options)
    if "target" in document:
        document = {"target": files.options["model"]}
        sent |= {"name": options.name or Path(files.options["model"]).stem}
        sent |= {"data": files.options["data"]} if files.options.get("data") else {}
    return Submitted(document | {"options": sent}, files.paths)
