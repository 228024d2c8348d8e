"""The contract of a technique: decisions for a model on a device, and a smaller model for a candidate's values."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from evaluators.devices.device import Device
from search.space.candidate import Decision, Replacement
from search.space.layer_changes import LayerChange
from search.subject import Draft, Subject


class TechniqueOptions(BaseModel):
    """Options of a technique, its section in the job's ``space``; unknown keys are rejected."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Technique(ABC):
    """One way to make a model smaller or faster.

    Created once a process and subject, used from one thread. May keep results between calls, and store results that
    other jobs can reuse in ``subject.cache``, under a digest of all they depend on. ``apply`` does not change its
    draft; equal values give equal bytes. A part of a model that cannot be changed stays as it is; a model that cannot
    be built at all raises a :class:`CandidateError`.
    """

    Options: ClassVar[type[TechniqueOptions]] = TechniqueOptions
    by_default: ClassVar[bool] = True
    """Whether jobs that name no techniques use it."""

    def __init__(self, subject: Subject, options: TechniqueOptions) -> None:
        self.subject = subject
        self.options = options
        self.answers: list[dict[str, Any]] = []
        """Benchmarks of the device, as they are shown; filled by :meth:`decisions`."""
        self.replacements: list[Replacement] = []
        """Values that are replaced in some of the device's runtimes; filled by :meth:`decisions`."""

    @abstractmethod
    def decisions(self, device: Device | None) -> list[Decision]:
        """The decisions that a candidate consists of; the first choice of each leaves the model as it is.

        May take minutes: values that the device cannot run, or that gain nothing on it, are left out by benchmarking
        it. Without a device (a modelled one) nothing is left out.
        """

    @abstractmethod
    def apply(self, draft: Draft, values: Mapping[str, str]) -> Draft:
        """Apply this technique's values, one for each of its decisions, and return the new draft."""

    def layer_changes(self) -> Sequence[LayerChange]:
        """How its decisions change the costs of layers, for modelled devices and predictions.

        Empty if they only set precisions, or if nothing can be said of costs beforehand. Asked once a job, after the
        decisions.
        """
        return ()

    def layer_formats(self, draft: Draft, values: Mapping[str, str]) -> dict[str, str]:
        """The number formats that these values give layer groups of the draft, by the group's name.

        Unchanged groups are left out.
        """
        return {}
