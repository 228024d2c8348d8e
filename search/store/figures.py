"""The main figures of candidates, by which lists of them are sorted; each call runs in its caller's transaction."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Select, and_, delete, false, insert, select, tuple_

from evaluators.metrics import main_figure
from search.store.models import Figure, Trial


def replace_figures(connection: Connection, job_id: str, number: int, metrics: Mapping[str, Any]) -> None:
    """Stores the figures of a candidate's metrics in place of earlier ones."""
    connection.execute(delete(Figure).where(Figure.job_id == job_id, Figure.number == number))
    figures = {name: figure for name, entry in metrics.items() if (figure := main_figure(entry)) is not None}
    if figures:
        place = {"job_id": job_id, "number": number}
        connection.execute(insert(Figure), [{**place, "metric": name, "value": figures[name]} for name in figures])


def has_figures(connection: Connection, job_id: str, metric: str) -> bool:
    """Returns whether candidates of a job can be sorted by a metric."""
    query = select(Figure.number).where(Figure.job_id == job_id, Figure.metric == metric).limit(1)
    return connection.execute(query).first() is not None


def page_of(
    connection: Connection, query: Select[Any], job_id: str, metric: str, after: int | None, down: bool
) -> Select[Any]:
    """Returns a query of candidates limited to those of a job with a figure of a metric, in its order.

    Equal ones are in the order of their trial numbers. They begin behind the candidate with the number ``after``.
    """
    of_metric = Figure.job_id == job_id, Figure.metric == metric
    # A first page has a bound too: SQLite decides by it to go along the index of figures.
    last: float | None = math.inf if down else -math.inf
    if after is not None:
        figure = select(Figure.value).where(*of_metric, Figure.number == after)
        last = connection.execute(figure).scalar_one_or_none()
    if last is None:
        return query.where(false())
    place, bound = tuple_(Figure.value, Figure.number), tuple_(last, -1 if after is None else after)
    order = (Figure.value.desc(), Figure.number.desc()) if down else (Figure.value, Figure.number)
    same = and_(Trial.job_id == Figure.job_id, Trial.number == Figure.number)
    query = query.join(Figure, same).where(*of_metric, place < bound if down else place > bound)
    return query.order_by(*order)
