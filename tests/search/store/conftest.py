"""What the store's conformance tests share: each test that takes ``store`` runs on every kind of database."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator

import pytest
import sqlalchemy

from hwprofiles import find_device
from search.space.candidate import Candidate, Decision, Space
from search.store import Lease, Store, TrialRow, this_process


@pytest.fixture
def environment() -> dict[str, str]:
    """The environment of a child process that shall import what this one does."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """An open store, empty."""
    with Store(database_url) as opened:
        yield opened


@pytest.fixture
def new_job(store: Store) -> Callable[..., str]:
    """Queues a job and returns its id."""

    def create(name: str = "digits", **spec: object) -> str:
        return store.jobs.create(name=name, spec=spec, spec_folder="/jobs", profile=find_device("dry-run"))

    return create


@pytest.fixture
def lease(store: Store, new_job: Callable[..., str]) -> Lease:
    """The lease of a new job, held by this process."""
    return store.jobs.lease(new_job(), this_process())


@pytest.fixture
def candidates() -> list[Candidate]:
    """Eight candidates of one space."""
    space = Space(
        tuple(
            Decision(name, ("fp32", "int8"), "precision", target=name, scope="layer")
            for name in ("stem", "body", "head")
        ),
        "context",
    )
    choices = [(stem, body, head) for stem in range(2) for body in range(2) for head in range(2)]
    return [
        space.candidate({d.name: d.choices[i] for d, i in zip(space.decisions, row, strict=True)}) for row in choices
    ]


@pytest.fixture
def trials(store: Store, lease: Lease, candidates: list[Candidate]) -> list[TrialRow]:
    """Four pending trials, numbers 0 to 3."""
    return store.trials.add(lease, 0, "random", True, list(enumerate(candidates[:4])))


@pytest.fixture
def contents(database_url: str) -> Iterator[Callable[[], dict[str, list[tuple[object, ...]]]]]:
    """Reads every row of every table, past the store."""
    engine = sqlalchemy.create_engine(database_url)

    def read() -> dict[str, list[tuple[object, ...]]]:
        with engine.connect() as connection:
            tables = sqlalchemy.inspect(connection).get_table_names()
            return {
                table: sorted(
                    (tuple(row) for row in connection.execute(sqlalchemy.text(f"SELECT * FROM {table}"))), key=str
                )
                for table in tables
            }

    yield read
    engine.dispose()
