"""Makes up metrics of the file in a dry run, which builds nothing that they could be computed from."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from evaluators.metrics import METRICS, Metric
from hwprofiles import digest_of
from search.job.spec import Job


def invent_file_metrics(job: Job, known: Collection[str], digest: str | None) -> dict[str, Any]:
    """Makes up the exact metrics that a job names, except those ``known``, and those of its techniques.

    For a candidate by its digest; for None, those of the fp32 model.
    """
    named = {name: row for name, row in METRICS.items() if row.exact and job.wants(name) and name not in known}
    return {name: invent_metric(name, row, digest) for name, row in (named | job.own_metrics).items()}


def invent_metric(name: str, row: Metric, digest: str | None) -> float:
    """Makes up a metric; None stands for the fp32 model.

    Compression improves what it is for (``cost``) and makes everything else worse.

    >>> error = Metric("Largest change of a weight", better="min")
    >>> invent_metric("error", error, None), invent_metric("error", error, "candidate")
    (0.0, 0.5)
    """
    error = row.better == "min" and not row.cost
    usual = row.baseline if row.baseline is not None else 0.0 if error else 1.0
    if digest is None:
        return usual
    share = int(digest_of([name, digest])[:8], 16) / 2**32
    most = abs(usual) or (0.0 if row.cost else 1.0)
    rises = row.cost == (row.better == "max")
    return round(usual + most * share if rises else usual - most * (1 - share), 6)
