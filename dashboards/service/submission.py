"""The document by which a job is submitted, checked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from hwprofiles.errors import InvalidInput
from search.artefacts.names import check_file_name
from search.bounds import MOST, MOST_ITEMS, Seed, Text
from search.job.job_options import JobOptions

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, Field(min_length=1, max_length=255)]
FilePath = Annotated[str, Field(min_length=1, max_length=255)]

MOST_FILES = 10_000
_STRICT = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class SubmittedOptions(BaseModel):
    """Fields of a job in place of those of its file, or of the usual ones; as the options of ``paretune run``."""

    model_config = _STRICT

    data: FilePath | None = None
    """Samples of the model's inputs: one of the files."""
    devices: tuple[Name, ...] = Field((), max_length=MOST_ITEMS)
    objectives: tuple[Name, ...] = Field((), max_length=MOST_ITEMS)
    """``METRIC``, ``METRIC:max`` or ``METRIC:min``."""
    constraints: tuple[Text, ...] = Field((), max_length=MOST_ITEMS)
    space: tuple[Name, ...] = Field((), max_length=MOST_ITEMS)
    """Names of techniques."""
    minutes: float | None = Field(None, gt=0, le=MOST)
    trials: int | None = Field(None, ge=1, le=MOST)
    seed: Seed | None = None
    name: Name | None = None

    def as_options(self) -> JobOptions:
        """Returns the same options for the functions that make jobs."""
        fields = dict(self)
        return JobOptions(**fields | {"data": None if self.data is None else Path(self.data)})


class Submission(BaseModel):
    """A job to queue: what it works on, its files, and its place in the queue."""

    model_config = _STRICT

    target: Name | None = None
    """A model or a job file among the files, or the name of a task."""
    job: dict[str, Any] | None = None
    """The contents of a job file, in place of a target."""
    options: SubmittedOptions = SubmittedOptions()
    files: dict[FilePath, Digest] = Field({}, max_length=MOST_FILES)
    """SHA-256 of the job's files by path; paths of the job start from their folder."""
    project: Name | None = None
    """By default that of the token, else ``default``."""
    priority: int = Field(0, ge=-1000, le=1000)
    """Of two queued jobs of a user, the one with the higher priority begins first."""
    after: tuple[Name, ...] = Field((), max_length=100)
    """Jobs that must be done before."""

    def check(self) -> None:
        """Raises :class:`InvalidInput` unless it has either a target or a job, and its paths stay in their folder."""
        if (self.target is None) == (self.job is None):
            raise InvalidInput("submission: needs either a target or a job", 'write: {"target": "model.onnx"}')
        for name in self.files:
            check_file_name(name)
