"""Projects and their members in the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select

from hwprofiles.errors import InvalidInput, NotFound
from search.permissions import Role
from search.store.access_models import Member, Project
from search.store.columns import utc_now
from search.store.transactions import Transactions
from search.store.users import check_name, require_user


@dataclass(frozen=True)
class ProjectRow:
    """A project as stored."""

    name: str
    created_at: datetime
    members: Mapping[str, Role]
    """The role of each user in it, by the user's name."""


class Projects:
    """The store's part about projects; each method is a transaction. Names raise :class:`NotFound` without a project or
    user."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    def add(self, name: str) -> None:
        """Adds a project without members; raises :class:`InvalidInput` for a name that is taken or cannot be one."""
        check_name("project", name)
        with self._transactions.writing() as connection:
            if _exists(connection, name):
                raise InvalidInput(f"there is a project {name!r} already", "list them with: paretune projects list")
            connection.execute(insert(Project).values(name=name, created_at=utc_now()))

    def all(self) -> list[ProjectRow]:
        """Returns all projects with their members, by name."""
        with self._transactions.reading() as connection:
            members: dict[str, dict[str, Role]] = {}
            query = select(Member.project, Member.user_name, Member.role).order_by(Member.user_name)
            for project, user, role in connection.execute(query):
                members.setdefault(project, {})[user] = role
            projects = connection.execute(select(Project.name, Project.created_at).order_by(Project.name))
            return [ProjectRow(name, created_at, members.get(name, {})) for name, created_at in projects]

    def set_member(self, project: str, user: str, role: Role) -> None:
        """Makes a user a member or an owner of a project, whatever they were in it."""
        with self._transactions.writing() as connection:
            require_project(connection, project)
            require_user(connection, user)
            connection.execute(delete(Member).where(Member.project == project, Member.user_name == user))
            connection.execute(insert(Member).values(project=project, user_name=user, role=role))

    def remove_member(self, project: str, user: str) -> None:
        """Takes a user out of a project; raises :class:`NotFound` if they are not in it."""
        with self._transactions.writing() as connection:
            require_project(connection, project)
            theirs = Member.project == project, Member.user_name == user
            if not connection.execute(delete(Member).where(*theirs)).rowcount:
                raise NotFound(f"{user!r} is not a member of project {project!r}", "list them: paretune projects list")


def require_project(connection: Connection, name: str) -> None:
    """Raises :class:`NotFound` unless there is a project of this name."""
    if not _exists(connection, name):
        raise NotFound(f"there is no project {name!r}", f"add it with: paretune projects add {name}")


def _exists(connection: Connection, name: str) -> bool:
    return connection.execute(select(Project.name).where(Project.name == name)).first() is not None
