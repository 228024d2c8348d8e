"""Completion of jobs, candidates, devices and metrics.

What a function needs is imported in it, because a person waits for its answer: see :mod:`dashboards.completion`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from search.store import Store

_MOST_JOBS = 20
Words = list[tuple[str, str]]
"""Completions, each with a remark."""


def complete_job(ctx: typer.Context, incomplete: str) -> Words:
    """Short names and names of jobs, the newest first; also ids, once something is typed."""
    return _offer(lambda: _job_words(ctx.params.get("db"), with_ids=bool(incomplete)), incomplete)


def complete_candidate(ctx: typer.Context, incomplete: str) -> Words:
    """Candidates as ``JOB/NUMBER``: all of a job that is typed, else the fronts of the newest jobs."""
    return _offer(lambda: _candidate_words(ctx.params.get("db"), incomplete.rpartition("/")[0]), incomplete)


def complete_device(ctx: typer.Context, incomplete: str) -> Words:
    """Devices of this machine, described devices, and remote devices."""
    return _offer(lambda: _device_words(ctx.params.get("db")), incomplete)


def complete_metric(incomplete: str) -> Words:
    """Metrics of the table."""
    from evaluators.metrics import METRICS

    return _offer(lambda: [(name, metric.title) for name, metric in METRICS.items()], incomplete)


def _offer(look_up: Callable[[], Words], incomplete: str) -> Words:
    """Returns the words that continue what is typed; none after an error, which would disturb the command line."""
    try:
        return [(word, about) for word, about in look_up() if word.startswith(incomplete)]
    except Exception:  # noqa: BLE001
        return []


@contextmanager
def _store_at(url: str | None) -> Iterator[Store | None]:
    """The store, None if there is none yet."""
    from search.folders import default_database
    from search.store import Store, database_exists

    place = url or default_database()
    if not database_exists(place):
        yield None
        return
    with Store(place) as store:
        yield store


def _job_words(url: str | None, *, with_ids: bool) -> Words:
    from search.short_names import short_name

    with _store_at(url) as store:
        rows = store.jobs.all() if store else []
    words = [(short_name(row.job_id), f"{row.name}, {row.state}") for row in rows]
    words += [(name, "the newest job of this name") for name in dict.fromkeys(row.name for row in rows)]
    return words + ([(row.job_id, f"{row.name}, {row.state}") for row in rows] if with_ids else [])


def _candidate_words(url: str | None, job: str) -> Words:
    from search.short_names import candidate_name

    words: Words = []
    with _store_at(url) as store:
        if store is None:
            return []
        if job:
            rows = store.trials.of_job(store.jobs.get(job).job_id)
            return [(f"{job}/{row.number}", f"{row.candidate_id}, {row.state}") for row in rows]
        for job_id in store.jobs.ids()[:_MOST_JOBS]:
            members = (store.fronts.get(job_id) or {}).get("members", ())
            rows = [row for row in store.trials.of_job(job_id) if row.candidate_id in members]
            named = [(candidate_name(job_id, row.number), row.candidate_id) for row in rows]
            words += [*named, *((candidate_id, name) for name, candidate_id in named)]
    return words


def _device_words(url: str | None) -> Words:
    from hwprofiles.registry import device_origins

    with _store_at(url) as store:
        agents = store.agents.all() if store else []
    remote = dict.fromkeys((agent.device, "remote device") for agent in agents if agent.revoked_at is None)
    return [*device_origins().items(), *remote]
