"""Commands for the server, the database and editors."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from dashboards.cli.console import err
from dashboards.cli.options import Db, open_store, print_json
from hwprofiles.errors import InvalidInput, StorageError
from search.folders import default_database
from search.job.job_file import SCHEMA_LINE
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


def schema(
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write it to this file, or bring the file up to date.")
    ] = None,
) -> None:
    """Print the JSON Schema of the job file, with which editors check it and complete names."""
    if output is None:
        print_json(json_schema())
        return
    if output.exists() and output.suffix != ".json":
        raise InvalidInput(f"-o: {output} exists and is not a schema", "write: paretune schema -o paretune.schema.json")
    try:
        output.write_text(json.dumps(json_schema(), indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise StorageError(f"-o: {output} cannot be written: {error.strerror}", "choose a writable folder") from None
    err.print(f"wrote {output}; a job file beside it names it in its first line: {SCHEMA_LINE}", soft_wrap=True)


def db_upgrade(db: Db = None) -> None:
    """Bring the database to this version's schema."""
    before, after = upgrade(db or default_database())
    was = "" if before == after else f", was {before or 'empty'}"
    err.print(f"database schema is up to date ({after}{was})")
