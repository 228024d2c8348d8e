"""Databases of both kinds for tests, SQLite and PostgreSQL, each new and with the schema of this version."""

from __future__ import annotations

import itertools
import shutil
import sqlite3
from contextlib import closing
from functools import cached_property
from pathlib import Path

from postgresql_server import PostgresServer

from search.store import upgrade

KINDS = ("sqlite", "postgresql")
_EMPTY, _UPGRADED = "template1", "upgraded"


class Databases:
    """Makes databases; the first of PostgreSQL starts the server, :meth:`close` ends it."""

    def __init__(self, folder: Path) -> None:
        """``folder`` is where SQLite files are made."""
        self._folder = folder
        self._numbers = itertools.count()

    @cached_property
    def server(self) -> PostgresServer:
        """The server of the databases of kind ``postgresql``."""
        return PostgresServer()

    def create(self, kind: str, *, empty: bool = False) -> str:
        """Makes a database and returns its URL; it has the schema of this version unless it is to be empty."""
        name = f"test_{next(self._numbers)}"
        if kind == "postgresql":
            return self.server.create(name, _EMPTY if empty else self._upgraded_database)
        file = self._folder / f"{name}.db"
        if not empty:
            shutil.copy(self._upgraded_file, file)
        return f"sqlite:///{file}"

    def restore(self, dump: Path) -> str:
        """Makes a database from a dump, a file like ``0001.sqlite.sql`` with the kind in its name; returns its URL."""
        kind = dump.suffixes[-2].removeprefix(".")
        url = self.create(kind, empty=True)
        if kind == "postgresql":
            self.server.execute_script(_name_of(url), dump.read_text())
        else:
            with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
                connection.executescript(dump.read_text())
        return url

    def drop(self, url: str) -> None:
        """Removes a database of PostgreSQL, which takes 8 MB; those of SQLite go with their folder."""
        if url.startswith("postgresql"):
            self.server.drop(_name_of(url))

    def close(self) -> None:
        """Ends the server, if there was need of it."""
        if "server" in vars(self):
            self.server.close()

    @cached_property
    def _upgraded_database(self) -> str:
        upgrade(self.server.create(_UPGRADED))
        return _UPGRADED

    @cached_property
    def _upgraded_file(self) -> Path:
        file = self._folder / f"{_UPGRADED}.db"
        upgrade(f"sqlite:///{file}")
        return file


def _name_of(url: str) -> str:
    return url.partition("?")[0].rpartition("/")[2]
