"""The contract of a technique: decisions for a model on a device, and a smaller model for a candidate's values."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from evaluators.devices.device import Device
from evaluators.metrics import Metric
from hwprofiles import Precision
from search.space.candidate import Decision
from search.space.display import Item
from search.space.encoding import UnitEncoding
from search.space.layer_changes import LayerChange
from search.space.offer import Offer
from search.subject import Draft, Subject


class Stage(IntEnum):
    """What a technique changes. Techniques make their offers and are applied in this order."""

    RUNTIME = 0
    """What executes the model; all later techniques benchmark each of the runtimes."""
    MODULE = 1
    """The torch module, before its export."""
    GRAPH = 2
    """The graph's operators."""
    NUMBERS = 3
    """How the graph's numbers are stored and computed."""


LAYER_NUMBERS = "how layers' numbers are stored"
"""See :attr:`Technique.decides`."""


class TechniqueOptions(BaseModel):
    """Options of a technique, its section in the job's ``space``; unknown keys are rejected."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Technique(ABC):
    """One way to make a model smaller or faster.

    Created once a process and subject, used from one thread. Returns what it finds out and writes to nothing that it is
    given; may keep results between calls, and store results that other jobs can reuse in ``subject.cache``, under a
    digest of all they depend on. Equal values give equal bytes. A part of a model that cannot be changed stays as it
    is; a model that cannot be built at all raises a :class:`CandidateError`.
    """

    Options: ClassVar[type[TechniqueOptions]] = TechniqueOptions
    by_default: ClassVar[bool] = True
    """Whether jobs that name no techniques use it."""
    stage: ClassVar[Stage] = Stage.GRAPH
    """Its place in the order of techniques; those of one stage stand in the registry's order."""
    metrics: ClassVar[Mapping[str, Metric]] = {}
    """Metrics of its own, by name: exact figures of the file, the same on every device. A job may name them in its
    objectives and constraints."""
    further_keys: ClassVar[frozenset[str]] = frozenset()
    """Keys of :meth:`compute_metrics` besides ``metrics``: JSON-able, stored with a candidate's metrics."""
    decides: ClassVar[str] = ""
    """What it alone can decide, as an indirect question. A job cannot use two techniques that decide the same."""

    def __init__(self, subject: Subject, options: TechniqueOptions) -> None:
        self.subject = subject
        self.options = options

    @abstractmethod
    def offer(self, device: Device | None, earlier: Offer) -> Offer:
        """Benchmarks the device (minutes) and returns the decisions that it leaves, with its answers.

        Values that the device cannot run, or that gain nothing on it, are left out; without a device (a modelled one)
        nothing is. ``earlier`` merges all offers so far: those of the
        techniques before this one, and this one's own on the devices before.
        """

    @abstractmethod
    def apply(self, draft: Draft, values: Mapping[str, str]) -> Draft:
        """Applies this technique's values, one for each of its decisions, and returns the new draft."""

    def layer_changes(self) -> Sequence[LayerChange]:
        """Returns how its decisions change the costs of layers, for modelled devices and predictions.

        Empty if they only set precisions, or if nothing can be said of costs beforehand. Asked once a job, after the
        decisions.
        """
        return ()

    def encodings(self) -> Mapping[str, UnitEncoding]:
        """Returns encodings of the parts of the module that its decisions are about, by the decisions' targets; empty
        by default.

        Strategies get them in :attr:`search.strategies.base.StrategyContext.encodings`. Asked once a job, after the
        decisions.
        """
        return {}

    def compute_metrics(self, draft: Draft, values: Mapping[str, str]) -> dict[str, Any]:
        """Returns the values of ``metrics`` for a built draft, as numbers; without ``values``, those of the fp32 model.

        May hold ``further_keys`` too.
        """
        return {}

    def describe(self, notes: Mapping[str, Any]) -> list[Item]:
        """Returns what a person should see of this technique's notes in a built draft."""
        return []

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """The precisions that the job lets it choose for layers; the space's coverage says which ones it lacks."""
        return ()

    @property
    def layers_without_decision(self) -> frozenset[str]:
        """Names of the layer groups that it decides about without a decision for each."""
        return frozenset()

    @classmethod
    def describe_value(cls, decision: Decision, value: str) -> str:
        """Returns what a value of one of its decisions does, in words that follow a number of layers: ``kept to 50 %``.

        By default the value, behind the technique's name if it is a number.
        """
        try:
            float(value)
        except ValueError:
            return value
        return f"{decision.technique} {value}"

    def layer_formats(self, draft: Draft, values: Mapping[str, str]) -> dict[str, str]:
        """Returns the number formats that these values give layer groups of the draft, by the group's name.

        Unchanged groups are left out.
        """
        return {}
