"""Which service a command asks: a server's, or that of a database on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from dashboards.access.saved_login import SERVER, Login, current_login
from dashboards.service.base import Service
from dashboards.service.remote import RemoteService
from hwprofiles.errors import InvalidInput, NotFound
from hwprofiles.installed import install_command
from search.folders import default_database

DATABASE = "PARETUNE_DB"


def choose_server(server: str | None = None, db: str | None = None) -> Login | None:
    """Returns the server to ask, and the token for it; None for a database of this machine.

    In this order: what is given, ``PARETUNE_SERVER``, ``PARETUNE_DB``, the server of ``paretune login``. Raises
    :class:`InvalidInput` if both are given.
    """
    if server is not None and db is not None:
        raise InvalidInput("--server and --db: a job is on a server or in a database", "leave one of them out")
    if server is not None:
        return current_login({**os.environ, SERVER: server})
    if db is not None or (os.environ.get(DATABASE) and not os.environ.get(SERVER)):
        return None
    return current_login()


@contextmanager
def open_service(server: str | None = None, db: str | None = None, *, create: bool = False) -> Iterator[Service]:
    """Opens the service of a server, or of a database, for the time of a command.

    Raises :class:`NotFound` for a database that does not exist, unless it is to be created.
    """
    chosen = choose_server(server, db)
    if chosen is not None:
        with RemoteService(chosen.server, chosen.token) as remote:
            yield remote
        return
    try:  # here: a client of a server has no database
        from dashboards.service.local import LocalService
        from search.store import Store, database_exists
    except ModuleNotFoundError as error:
        raise InvalidInput(
            f"this command needs a server, or the package {error.name!r}",
            f"name a server with --server URL, or: {install_command('full')}",
        ) from None
    place = db or default_database()
    if not (create or database_exists(place)):
        raise no_database(place)
    with Store(place) as store:
        yield LocalService(store)


@contextmanager
def service_if_any(server: str | None = None, db: str | None = None) -> Iterator[Service | None]:
    """As :func:`open_service`; None while nothing was run so far: no database is named, and the usual one does not
    exist."""
    if db is None and not os.environ.get(DATABASE) and choose_server(server) is None and _is_new_home():
        yield None
        return
    with open_service(server, db) as service:
        yield service


def no_database(place: str) -> NotFound:
    """Returns the error for a database that does not exist."""
    return NotFound(
        f"there is no database at {place.partition(':///')[2] or place}",
        "check --db, PARETUNE_DB and PARETUNE_HOME; make one with: paretune run MODEL.onnx",
    )


def _is_new_home() -> bool:
    try:
        from search.store import database_exists
    except ModuleNotFoundError:
        return False  # opening the service says what is missing

    return not database_exists(default_database())
