"""Which jobs a list has."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Text, cast, or_

from search.states import JobState
from search.store.models import Job
from search.store.sight import EVERYTHING, Sight


@dataclass(frozen=True)
class JobFilters:
    """What holds for the jobs of a list; None: anything."""

    state: JobState | None = None
    user: str | None = None
    """Who submitted them."""
    project: str | None = None
    name: str | None = None
    device: str | None = None
    """The label of one of their devices."""
    sight: Sight = EVERYTHING

    @property
    def conditions(self) -> Sequence[ColumnElement[bool]]:
        """What holds for the rows of these jobs."""
        pairs = (
            (Job.state, self.state), (Job.submitted_by, self.user), (Job.project, self.project), (Job.name, self.name),
        )  # fmt: skip
        return [
            self.sight.condition,
            *(column == value for column, value in pairs if value is not None),
            *([] if self.device is None else [_runs_on(self.device)]),
        ]


def _runs_on(device: str) -> ColumnElement[bool]:
    # The store writes JSON compactly, so the text of a label is unambiguous.
    labelled = f'"device":{json.dumps(device)}'
    return or_(Job.device == device, cast(Job.devices, Text).contains(labelled, autoescape=True))
