"""Commands for the server, the database and editors."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from dashboards.cli.console import err
from dashboards.cli.options import Db, open_store, print_json
from search.folders import default_database
from search.job.schema import json_schema
from search.store import Store, upgrade

_NICENESS = 10


def serve(
    host: Annotated[str, typer.Option(help="Address; this machine only by default.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8700,
    db: Db = None,
) -> None:
    """Show jobs and fronts in the browser, live."""
    with open_store(db) as store:
        serve_nicely(store, host, port)


def serve_nicely(store: Store, host: str = "127.0.0.1", port: int = 8700) -> None:
    """Serves until interrupted, at low priority: on the machine that is measured, a search comes first."""
    from dashboards.server import serve as serve_store

    os.nice(_NICENESS)
    serve_store(store, host, port)


def schema() -> None:
    """Print the JSON Schema of the job file, for editors."""
    print_json(json_schema())


def db_upgrade(db: Db = None) -> None:
    """Bring the database to this version's schema."""
    before, after = upgrade(db or default_database())
    was = "" if before == after else f", was {before or 'empty'}"
    err.print(f"database schema is up to date ({after}{was})")
