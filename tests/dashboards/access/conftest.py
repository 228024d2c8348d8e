"""A server that is closed to strangers, and people who have tokens for it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from access_people import People

from dashboards.server import background
from search.store import Store


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that is prepared, to be copied: preparing takes longer than most tests here."""
    path = tmp_path_factory.mktemp("empty") / "paretune.db"
    Store(f"sqlite:///{path}").close()
    return path


@pytest.fixture
def store(tmp_path: Path, empty: Path) -> Iterator[Store]:
    shutil.copy(empty, tmp_path / "paretune.db")
    with Store(f"sqlite:///{tmp_path / 'paretune.db'}") as opened:
        yield opened


@pytest.fixture
def people(store: Store) -> People:
    """Ada, who is a user."""
    people = People(store)
    people.add("ada")
    return people


@pytest.fixture
def address(store: Store) -> Iterator[str]:
    """A server over the store."""
    with background(store) as url:
        yield url


@pytest.fixture
def browser(address: str) -> Iterator[Callable[[], httpx.Client]]:
    """Opens browsers: clients that keep cookies, say where their requests come from, and follow no redirect."""
    opened: list[httpx.Client] = []

    def open_browser() -> httpx.Client:
        opened.append(httpx.Client(base_url=address, headers={"Origin": address, "Accept": "text/html"}))
        return opened[-1]

    yield open_browser
    for client in opened:
        client.close()
