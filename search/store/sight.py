"""Which jobs a reader of the store sees."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, or_, true

from search.store.models import Job


@dataclass(frozen=True)
class Sight:
    """The jobs that a reader sees: their own and those of their projects. Others do not exist for them."""

    user: str | None = None
    """The reader; None sees the jobs of everyone."""
    projects: frozenset[str] = frozenset()
    only_project: str | None = None
    """The only project whose jobs are seen at all; None for every one."""

    @property
    def condition(self) -> ColumnElement[bool]:
        """What holds for the rows of these jobs."""
        theirs = [] if self.user is None else [or_(Job.submitted_by == self.user, Job.project.in_(self.projects))]
        within = [] if self.only_project is None else [Job.project == self.only_project]
        return and_(true(), *theirs, *within)


EVERYTHING = Sight()
"""Sees all jobs."""
