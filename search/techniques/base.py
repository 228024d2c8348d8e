"""What a technique promises: decisions for a model on a device, and a smaller model for a candidate's values."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from evaluators.devices.device import Device
from search.space.candidate import Decision, Replacement
from search.subject import Draft, Subject


class TechniqueOptions(BaseModel):
    """Options of a technique, its section in the job's ``space``; unknown keys are rejected."""

    model_config = ConfigDict(extra="forbid", frozen=True)


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
