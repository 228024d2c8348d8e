"""The model that techniques work on, and a candidate on its way to a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
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
from evaluators.quantize.scheme import Scheme
from evaluators.tensors import Array
from hwprofiles import Profile
from search.tasks.base import Task
from search.training.recipe import Recipe

FOOTPRINT = frozenset(name for name, metric in METRICS.items() if metric.footprint)
"""Metrics that a change may be wanted for even where it is not faster."""


@dataclass(frozen=True)
class Subject:
    """The fp32 model that every candidate starts from, its layers and data, and what the job says about them.

    Nothing writes to it but the cache ``transient``: its mappings are read-only, and the conformance suite of
    techniques compares models and arrays before and after each call.
    """

    model: onnx.ModelProto
    groups: tuple[LayerGroup, ...]
    digest: str
    """Names the model and its data."""
    sample: Mapping[str, Array]
    """The input of one inference, in the batch of ``profile``."""
    calibration_batches: Callable[[int], list[dict[str, Array]]]
    """Returns feeds with up to the given number of calibration samples."""
    cache: Path
    profile: Profile
    """The job's first device."""
    wanted: frozenset[str]
    """Footprint metrics that the job's objectives and constraints name."""
    runtimes: tuple[str, ...] | None = None
    """Runtimes that a candidate may choose from: None if there is no choice, empty for all that the device has."""
    capabilities: Mapping[str, Capability] = field(default_factory=dict)
    """Probed capabilities by the digest of the device's profile."""
    transient: MutableMapping[str, Any] = field(default_factory=dict, compare=False)
    """Cache of a busy device's answers, by name: valid for this process only."""
    samples: Callable[[Profile], Mapping[str, Array]] | None = None
    """Returns ``sample`` in the batch of a further device."""
    task: Task | None = None
    """The model's origin, for techniques that change its module."""
    recipe: Recipe | None = None
    """How changed modules are trained."""
    layer_times: LayerTable | None = None
    """The device's table of the model's layers, if candidates are built by it."""
    baseline: Path | None = None
    """The model's file, if it has one."""
    deadline: Deadline = NEVER
    """When work that serves to benchmark a device must end."""

    def __post_init__(self) -> None:
        _make_read_only(self, "sample", "capabilities")

    @property
    def small(self) -> bool:
        """Whether the job wants a candidate to be small, whatever its speed."""
        return bool(self.wanted)

    def sample_of(self, profile: Profile) -> Mapping[str, Array]:
        """Returns the input of one inference on a device, in its batch."""
        return dict(self.sample) if self.samples is None or profile == self.profile else self.samples(profile)


@dataclass(frozen=True)
class Draft:
    """A model on its way through the techniques; its mappings are read-only."""

    model: onnx.ModelProto
    groups: tuple[LayerGroup, ...]
    """Its layers, under the names they have in the fp32 model."""
    digest: str = ""
    """Names the changed module that it was exported from; empty for the task's own module."""
    notes: Mapping[str, Any] = field(default_factory=dict)
    """JSON-able notes of techniques about the model, by the technique's name; each describes its own."""
    static_schemes: Mapping[str, Scheme] = field(default_factory=dict)
    """The job's quantisation schemes of static int8 by family of runtimes (:class:`search.space.offer.Offer`)."""

    def __post_init__(self) -> None:
        _make_read_only(self, "notes", "static_schemes")


def _make_read_only(owner: Subject | Draft, *fields: str) -> None:
    """Replaces mappings of a frozen object by read-only copies."""
    for name in fields:
        object.__setattr__(owner, name, MappingProxyType(dict(getattr(owner, name))))
