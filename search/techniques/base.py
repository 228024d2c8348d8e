"""What a technique promises: decisions for a model on a device, and a smaller model for a candidate's values."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import onnx
from pydantic import BaseModel, ConfigDict

from evaluators.capability import Capability
from evaluators.deadline import NEVER, Deadline
from evaluators.device import Device
from evaluators.layer_table import LayerTable
from evaluators.layers import LayerGroup
from evaluators.runtimes.base import Array
from hwprofiles import Profile
from search.candidate import Decision, Replacement
from search.tasks.base import Task
from search.training.recipe import Recipe

FOOTPRINT = frozenset({"size_bytes", "sparse_size_bytes", "peak_memory_bytes"})
"""Metrics that a change may be wanted for even where it is not faster."""


class TechniqueOptions(BaseModel):
    """Options of a technique, its section in the job's ``space``; unknown keys are rejected."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class Subject:
    """What is to be made smaller: the fp32 model as every candidate starts from it, its layers, and its data.

    ``digest`` names the model and its data; ``sample`` is one inference's input, ``samples`` gives it in the batch of a
    further device; ``calibration_batches`` gives feeds of up to so many calibration samples; ``wanted`` are the metrics
    that the job's objectives and constraints name.
    ``runtimes`` are those that the job lets a candidate choose from: None where there is nothing to choose, empty for
    all that the device has. ``capabilities`` are what profiles are known to be able to do, by their digests.
    ``task`` is where the model comes from, for techniques that change its module, ``recipe`` how they are trained.
    ``baseline`` is the model's file, where it has one.
    ``strategy`` is the job's, with its options; ``layer_times`` the device's table of the model's layers, where the
    job needs one to build by.
    ``passing`` holds what a device answered on a busy machine: it does for this process. ``formats`` are the number
    formats of static int8 by family of runtimes, chosen when the devices are asked: they belong to the job, which gives
    them back to each of its processes, so that no build depends on what a cache holds meanwhile. ``kept`` are the
    runtimes that stay, by the digest of the device's profile, with their speed-up in fp32. ``deadline`` is when work
    ends that is done to ask a device.
    """

    model: onnx.ModelProto
    groups: tuple[LayerGroup, ...]
    digest: str
    sample: Mapping[str, Array]
    calibration_batches: Callable[[int], list[dict[str, Array]]]
    cache: Path
    profile: Profile
    wanted: frozenset[str]
    runtimes: tuple[str, ...] | None = None
    capabilities: Mapping[str, Capability] = field(default_factory=dict)
    passing: dict[str, Any] = field(default_factory=dict, compare=False)
    formats: dict[str, dict[str, Any]] = field(default_factory=dict, compare=False)
    kept: dict[str, dict[str, float]] = field(default_factory=dict, compare=False)
    samples: Callable[[Profile], Mapping[str, Array]] | None = None
    task: Task | None = None
    recipe: Recipe | None = None
    strategy: tuple[str, Mapping[str, Any]] = ("", MappingProxyType({}))
    layer_times: LayerTable | None = None
    baseline: Path | None = None
    deadline: Deadline = NEVER

    @property
    def small(self) -> bool:
        """Whether the job wants a candidate to be small, whatever its speed."""
        return bool(self.wanted & FOOTPRINT)

    def sample_of(self, profile: Profile) -> Mapping[str, Array]:
        """One inference's input on a device, in its batch."""
        return self.sample if self.samples is None or profile == self.profile else self.samples(profile)


@dataclass(frozen=True)
class Draft:
    """A model on its way through the techniques: the graph so far, and its layers under their first names. ``digest``
    names the changed module that it was exported from; empty where that is the task's own. ``notes`` are what
    techniques noted about that module, by their names."""

    model: onnx.ModelProto
    groups: tuple[LayerGroup, ...]
    digest: str = ""
    notes: Mapping[str, Any] = field(default_factory=dict)


class Technique(ABC):
    """One way to make a model smaller or faster.

    Made once a process and subject, used from one thread. May keep what it computed between calls, and store in
    ``subject.cache`` what others can reuse, under a name that holds a digest of all it depends on. ``apply`` leaves the
    draft that it is given untouched; the same values give the same bytes. What cannot be done for a part of a model
    leaves that part as it is; a model that cannot be built at all raises a :class:`CandidateError`.
    """

    Options: ClassVar[type[TechniqueOptions]] = TechniqueOptions
    by_default: ClassVar[bool] = True
    """Whether jobs that name no techniques use it."""

    def __init__(self, subject: Subject, options: TechniqueOptions) -> None:
        self.subject = subject
        self.options = options
        self.answers: list[dict[str, Any]] = []
        """What the device answered when it was asked, to be shown; filled by :meth:`decisions`."""
        self.replacements: list[Replacement] = []
        """Values that some of the device's runtimes do without; filled by :meth:`decisions`."""

    @abstractmethod
    def decisions(self, device: Device | None) -> list[Decision]:
        """What there is to decide, the first choice of each leaving the model as it is.

        Values that the device cannot run, or that gain nothing on it, are left out by asking it; with no device (a
        modelled one) nothing is left out.
        """

    @abstractmethod
    def apply(self, draft: Draft, values: Mapping[str, str]) -> Draft:
        """The draft with this technique's values, one for each of its decisions."""

    def formats(self, draft: Draft, values: Mapping[str, str]) -> dict[str, str]:
        """The number formats that these values give layer groups of the draft, by name; nothing for those that they
        leave as they are."""
        return {}
