"""The fronts of a job: one a device, and where there are several the joint one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from search.fronts.front import Front, front_of
from search.fronts.views import View
from search.store import TrialRow

Unconfirmed = Mapping[str | None, Mapping[str, str]]
"""By the label of each view the candidates whose figures there were not taken again, and why not."""


@dataclass(frozen=True)
class Fronts:
    """The front of each view of a job, in the job's order."""

    fronts: dict[str | None, Front]

    @property
    def first(self) -> Front:
        """The first device's."""
        return next(iter(self.fronts.values()))

    @property
    def members(self) -> set[str]:
        """Candidates that are on some front."""
        return {entry.candidate_id for front in self.fronts.values() for entry in front.members}

    @property
    def kept(self) -> set[str]:
        """Candidates that are on some front, or contend for a place."""
        return self.members.union(*(front.contenders for front in self.fronts.values()))

    @property
    def document(self) -> dict[str, Any]:
        """As stored: the first device's; of several, all in ``fronts`` by label, and ``joint``."""
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
    """The fronts of all trials, which ``deciding`` and ``unconfirmed`` say more of, see :func:`front_of`; an objective
    that only another device has is none here."""
    found: dict[str | None, Front] = {}
    for view in views:
        found[view.label] = front_of(
            view.rows(rows, baseline) if view.objectives else [],
            view.objectives,
            view.constraints,
            view.metrics(baseline),
            deciding=None if deciding is None else view.rows(deciding, baseline),
            unconfirmed=None if unconfirmed is None else unconfirmed[view.label],
            final=final,
        )
    return Fronts(found)
