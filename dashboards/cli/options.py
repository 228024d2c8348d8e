"""Options and reports that commands share."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dashboards.cli.completion import complete_candidate, complete_job
from dashboards.cli.console import out, print_ending
from dashboards.cli.front_table import print_front
from dashboards.service.choice import no_database
from dashboards.words import Json
from search.folders import default_database
from search.fronts.objectives import metric_value
from search.space.coverage_words import COVERAGE, coverage_lines

if TYPE_CHECKING:
    from search.store import Store


class Format(StrEnum):
    """How a report is printed."""

    TABLE = "table"
    JSON = "json"


class FrontFormat(StrEnum):
    """How a front is printed."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


Db = Annotated[
    str | None,
    typer.Option(
        "--db", help="Database URL; default PARETUNE_DB, else a file in your data folder.", show_default=False
    ),
]
Server = Annotated[
    str | None,
    typer.Option(
        "--server", help="Address of a server; default PARETUNE_SERVER, else that of paretune login.",
        show_default=False,
    ),
]  # fmt: skip
AsFormat = Annotated[Format, typer.Option("--format", help="table for people, json for programs.")]
JobId = Annotated[
    str,
    typer.Argument(
        help="Job id, a prefix of it, its name or short name.", show_default=False, autocompletion=complete_job
    ),
]
CandidateId = Annotated[
    str,
    typer.Argument(
        help="Candidate id, a prefix of it, or JOB/NUMBER.", show_default=False, autocompletion=complete_candidate
    ),
]


@contextmanager
def open_store(url: str | None) -> Iterator[Store]:
    """Opens the store at ``url``, or at the default place, for the time of a command."""
    from search.store import Store

    with Store(url or default_database()) as store:
        yield store


@contextmanager
def existing_store(url: str | None) -> Iterator[Store]:
    """As :func:`open_store`, for commands that only read: raises :class:`NotFound` instead of making a database."""
    from search.store import database_exists

    place = url or default_database()
    if not database_exists(place):
        raise no_database(place)
    with open_store(place) as store:
        yield store


def is_new_home(url: str | None) -> bool:
    """Returns whether nothing was run so far: no database is named, and the default one does not exist."""
    from search.store import database_exists

    return url is None and not os.environ.get("PARETUNE_DB") and not database_exists(default_database())


@contextmanager
def store_if_any(url: str | None) -> Iterator[Store | None]:
    """As :func:`existing_store`; None while nothing was run so far."""
    if is_new_home(url):
        yield None
    else:
        with existing_store(url) as store:
            yield store


def print_coverage(document: Json) -> None:
    """Prints the values that the space contains and leaves out, if the job has that."""
    for line in coverage_lines(document[COVERAGE]) if document[COVERAGE] else ():
        out.print(line, soft_wrap=True, markup=False)


def print_json(document: Any) -> None:
    """Prints one JSON document on stdout."""
    sys.stdout.write(json.dumps(document, indent=2, allow_nan=False) + "\n")


def report_front(document: Json, format: FrontFormat, device: str | None = None, *, every: bool = False) -> None:
    """Prints a job's front, of one device or of all; ``every`` member, or one for those that are equal within noise."""
    fronts = document.get("fronts", {document["device"]: document})
    if format is FrontFormat.JSON:
        print_json(document)
    elif format is FrontFormat.CSV:
        _print_csv(fronts)
    else:
        print_report(document, device, every=every)


def print_report(document: Json, device: str | None = None, *, every: bool = False) -> None:
    """Prints a front document as tables; ``device`` is the one that was asked for; ``every`` as in
    :func:`report_front`."""
    for note in document["notes"]:
        out.print(f"note: {note}", soft_wrap=True)
    fronts = document.get("fronts", {document["device"]: document})
    named = device is not None or len(fronts) > 1
    for label, front in fronts.items():
        print_front(document | front, every=every, export_option=f" --device {label}" if named else "")
    if "joint" in document:
        joint = {"device": "all devices together", **document["joint"], "best_compromise": None}
        print_front(document | joint, every=every)
    print_coverage(document)
    print_ending(document)


def _print_csv(fronts: Mapping[str, Json]) -> None:
    rows = [(label, member) for label, front in fronts.items() for member in front["front"]]
    metrics = sorted({name for _, m in rows for name in m["metrics"] if metric_value(m["metrics"], name) is not None})
    names = sorted({name for _, member in rows for name in member["decisions"]})
    several = len(fronts) > 1
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow([*(["device"] if several else []), "candidate_id", "trial", "state", *metrics, *names])
    for label, member in rows:
        figures = [metric_value(member["metrics"], name) for name in metrics]
        writer.writerow(
            [
                *([label] if several else []),
                member["candidate_id"],
                member["trial"],
                member["state"],
                *figures,
                *(member["decisions"].get(n, "") for n in names),
            ]
        )
