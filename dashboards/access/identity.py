"""Who asks, and what they may."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from hwprofiles.errors import NotAllowed, NotFound
from search.permissions import DEFAULT_PROJECT, LOCAL_USER, Grant, Role, Scope


class OwnedJob(Protocol):
    """A job as far as access to it depends on it, such as :class:`search.store.JobRow`."""

    @property
    def submitted_by(self) -> str:
        """The user who submitted it."""

    @property
    def project(self) -> str:
        """The project that it belongs to."""


class Action(StrEnum):
    """What can be done with a job."""

    SEE = "see"
    """Read it, its candidates and its log; needs the scope ``read``."""
    CHANGE = "change"
    """Cancel, pause, resume, delete or export it; needs the scope ``submit``."""


@dataclass(frozen=True)
class Identity:
    """Who asks, and what they may: a user's rights, restricted to what their token allows.

    A job is seen by its submitter, the members of its project, and administrators; it is changed by its submitter, the
    owners of its project, and administrators. Everyone may submit to the project ``default``, whose other jobs are seen
    by its members only, as in any project.
    """

    user: str
    scopes: frozenset[Scope] = frozenset()
    projects: frozenset[str] = frozenset()
    """Those that the user is a member or an owner of."""
    owned_projects: frozenset[str] = frozenset()
    """Those that the user is an owner of."""
    admin: bool = False
    """Whether everyone's jobs are theirs to see and change: an administrator, with the scope ``admin``."""
    only_project: str | None = None
    """The project that the token is restricted to; None for all."""
    token_id: str | None = None
    """The API token, for the audit log; None without one."""

    def may(self, action: Action, job: OwnedJob) -> bool:
        """Returns whether they may do this with a job."""
        if self.only_project not in (None, job.project):
            return False
        if action is Action.SEE:
            scope, projects = Scope.READ, self.projects
        else:
            scope, projects = Scope.SUBMIT, self.owned_projects
        return scope in self.scopes and (self.admin or job.submitted_by == self.user or job.project in projects)

    def may_submit_to(self, project: str) -> bool:
        """Returns whether they may submit jobs to a project."""
        if Scope.SUBMIT not in self.scopes or self.only_project not in (None, project):
            return False
        return self.admin or project == DEFAULT_PROJECT or project in self.projects

    def require(self, action: Action, job: OwnedJob, unknown: NotFound) -> None:
        """Raises unless they may do this with a job.

        Raises ``unknown``, the error for a job that does not exist, where its existence is not theirs to know either,
        else :class:`NotAllowed`.
        """
        if self.may(action, job):
            return
        if self.may(Action.SEE, job) or self.may(Action.CHANGE, job):
            raise NotAllowed(
                f"{self.user} may not {action} this job",
                f"ask {job.submitted_by}, an owner of project {job.project!r} or an administrator",
            )
        raise unknown

    def require_scope(self, scope: Scope) -> None:
        """Raises :class:`NotAllowed` unless the scope is theirs."""
        if scope not in self.scopes:
            theirs = ", ".join(sorted(self.scopes)) or "none"
            raise NotAllowed(
                f"this needs a token with the scope {str(scope)!r}; yours has {theirs}",
                "ask an administrator for one (paretune tokens create), then: paretune login URL",
            )


LOCAL = Identity(LOCAL_USER, frozenset(Scope), admin=True)
"""May do everything: the command line on a database, and whoever asks a server on the loopback that has no users."""


def identity_of(grant: Grant) -> Identity:
    """Returns who a token or session stands for, and what they may. The scope ``admin`` is of administrators only."""
    admin = grant.admin and Scope.ADMIN in grant.scopes
    return Identity(
        grant.user,
        grant.scopes if admin else grant.scopes - {Scope.ADMIN},
        projects=frozenset(grant.roles),
        owned_projects=frozenset(project for project, role in grant.roles.items() if role is Role.OWNER),
        admin=admin,
        only_project=grant.project,
        token_id=grant.token_id,
    )
