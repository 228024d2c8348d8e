"""Users of a store, and their tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hwprofiles import find_device
from search.permissions import Role, Scope
from search.store import Store, Submission


@dataclass
class People:
    """Users of a store, whose tokens a test asks for by name and scopes."""

    store: Store

    def add(self, name: str, *, admin: bool = False) -> None:
        self.store.users.add(name, admin=admin)

    def join(self, name: str, project: str, role: Role = Role.MEMBER) -> None:
        """Makes a user a member or an owner of a project, which is made if it is missing."""
        if project not in {row.name for row in self.store.projects.all()}:
            self.store.projects.add(project)
        self.store.projects.set_member(project, name, role)

    def token(self, name: str, *scopes: Scope, **more: Any) -> str:
        """Makes a token; by default one that reads and submits."""
        return self.store.tokens.create(name, scopes or [Scope.READ, Scope.SUBMIT], **more)[1]

    def job(self, name: str) -> str:
        """Queues a job of a user."""
        return self.store.jobs.create(
            name="net", spec=SPEC, spec_folder=".", profile=find_device("dry-run"), submission=Submission(name)
        )


SPEC = {
    "version": 1,
    "name": "net",
    "task": {"name": "digits", "options": {}},
    "objectives": [{"metric": "cosine", "direction": "max"}],
    "constraints": [],
    "strategy": {"name": "nsga2", "options": {}},
    "budget": {"trials": 60, "minutes": None},
}
