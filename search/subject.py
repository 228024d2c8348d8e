"""What techniques work on: the model of a job, and a candidate on its way to a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import onnx

from evaluators.devices.deadline import NEVER, Deadline
from evaluators.graphs.layer_groups import LayerGroup
from evaluators.metrics import METRICS
from evaluators.probing.capability import Capability
from evaluators.probing.layer_table import LayerTable
from evaluators.tensors import Array
from hwprofiles import Profile
from search.tasks.base import Task
from search.training.recipe import Recipe

FOOTPRINT = frozenset(name for name, metric in METRICS.items() if metric.footprint)
"""Metrics that a change may be wanted for even where it is not faster."""


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
