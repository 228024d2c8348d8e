"""The fronts of a job: one per device, and a joint one if there are several devices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from search.fronts.front import Front, front_of
from search.fronts.views import View
from search.store import TrialRow

Unconfirmed = Mapping[str | None, Mapping[str, str]]
"""By label of the view: candidates that were not measured again there, with the reason."""


@dataclass(frozen=True)
class Fronts:
    """The front of each view of a job, in the job's order."""

    fronts: dict[str | None, Front]

    @property
    def first(self) -> Front:
        """The front of the first device."""
        return next(iter(self.fronts.values()))

    @property
    def members(self) -> set[str]:
        """Candidates that are on some front."""
        return {entry.candidate_id for front in self.fronts.values() for entry in front.members}

    @property
    def members_and_contenders(self) -> set[str]:
        """Candidates that are on some front, or contend for a place."""
        return self.members.union(*(front.contenders for front in self.fronts.values()))

    @property
    def document(self) -> dict[str, Any]:
        """As stored: the first device's document; with several devices also ``fronts`` by label, and ``joint``."""
        if len(self.fronts) == 1:
            return self.first.document
        named = {label: front.document for label, front in self.fronts.items() if label is not None}
        return {**self.first.document, "fronts": named, "joint": self.fronts[None].document}


def fronts_of(
    rows: Sequence[TrialRow],
    views: Sequence[View],
    baseline: Mapping[str, Any],
    *,
    deciding: Sequence[TrialRow] | None = None,
    unconfirmed: Unconfirmed | None = None,
    final: bool = False,
) -> Fronts:
    """Returns the front of each view; see :func:`front_of` for ``deciding`` and ``unconfirmed``.

    The front of a device ignores objectives that name another device.
    """
    fronts: dict[str | None, Front] = {}
    for view in views:
        fronts[view.label] = front_of(
            view.rows(rows, baseline) if view.objectives else [],
            view.objectives,
            view.constraints,
            view.metrics(baseline),
            deciding=None if deciding is None else view.rows(deciding, baseline),
            unconfirmed=None if unconfirmed is None else unconfirmed[view.label],
            final=final,
        )
    return Fronts(fronts)
