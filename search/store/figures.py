"""The main figures of measured candidates, by which lists of them are sorted; each call runs in its caller's
transaction."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Connection, delete, insert, select, tuple_

from evaluators.metrics import main_figure
from search.states import TrialState
from search.store.models import Figure


def replace_figures(
    connection: Connection, job_id: str, number: int, state: TrialState, metrics: Mapping[str, Any]
) -> None:
    """Stores the figures of a candidate's metrics in place of earlier ones; none unless its state is a measured one."""
    connection.execute(delete(Figure).where(Figure.job_id == job_id, Figure.number == number))
    if rows := rows_of(job_id, number, state, metrics):
        connection.execute(insert(Figure), rows)


def rows_of(job_id: str, number: int, state: TrialState, metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns the figures of a candidate as they are stored."""
    figures = {name: figure for name, entry in metrics.items() if (figure := main_figure(entry)) is not None}
    place = {"job_id": job_id, "number": number, "state": state}
    return [{**place, "metric": name, "value": figures[name]} for name in figures] if state.measured else []


def has_figures(connection: Connection, job_id: str, metric: str) -> bool:
    """Returns whether candidates of a job can be sorted by a metric."""
    query = select(Figure.number).where(Figure.job_id == job_id, Figure.metric == metric).limit(1)
    return connection.execute(query).first() is not None


def page_of(
    connection: Connection,
    job_id: str,
    metric: str,
    states: Collection[TrialState],
    limit: int,
    after: int | None,
    down: bool,
) -> list[int]:
    """Returns the numbers of at most ``limit`` of a job's candidates with a figure of a metric, in its order.

    Equal ones are in the order of their numbers. They begin behind the candidate with the number ``after``.
    """
    of_metric, last = (Figure.job_id == job_id, Figure.metric == metric), math.inf if down else -math.inf
    if after is not None:
        value = connection.execute(select(Figure.value).where(*of_metric, Figure.number == after)).scalar_one_or_none()
        if value is None:
            return []
        last = value
    bound, place = tuple_(last, -1 if after is None else after), tuple_(Figure.value, Figure.number)
    further = place < bound if down else place > bound
    order = (Figure.value.desc(), Figure.number.desc()) if down else (Figure.value, Figure.number)
    places: list[tuple[float, int]] = []
    for state in states:  # the index has the order within each state
        if state.measured:
            query = select(Figure.value, Figure.number).where(*of_metric, Figure.state == state, further)
            places += [(row[0], row[1]) for row in connection.execute(query.order_by(*order).limit(limit))]
    return [number for _, number in sorted(places, reverse=down)[:limit]]
