"""The reports of a server: read again only where something has changed, and then only what has."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

from dashboards.documents.report import JobReport, Json, ended
from search.store import JobVersion, Store

_KEPT = 16
"""So many jobs are kept whole; they are few that somebody looks at."""


@dataclass(frozen=True)
class _Kept:
    version: JobVersion
    report: JobReport


class Reports:
    """A store's reports for all readers of a server; the server works on the machine that is measured. Safe for several
    threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._ended: dict[str, tuple[JobVersion, Json]] = {}
        self._lock = threading.Lock()

    def version(self, job_id_or_prefix: str) -> JobVersion:
        """What changes whenever the job does; raises :class:`NotFound` for an unknown one."""
        return self._store.job_version(job_id_or_prefix)

    def read(self, job_id_or_prefix: str) -> JobReport:
        """A job's report as it is now; raises :class:`NotFound` for an unknown one."""
        # First of all, so that whatever changes while the rest is read is noticed the next time.
        return self._at(self.version(job_id_or_prefix))

    def jobs_document(self) -> Json:
        """See :func:`dashboards.documents.report.jobs_document`."""
        return {"jobs": [self._in_short(job_id) for job_id in self._store.job_ids()]}

    def _in_short(self, job_id: str) -> Json:
        version = self.version(job_id)
        with self._lock:
            known = self._ended.get(job_id)
        if known is not None and known[0] == version:
            return known[1]
        document = self._at(version).job_document()
        if ended(document["state"]):
            with self._lock:
                self._ended[job_id] = version, document
        return document

    def _at(self, version: JobVersion) -> JobReport:
        with self._lock:
            kept = self._kept.get(version.job_id)
            if kept is not None and kept.version == version:
                self._kept.move_to_end(version.job_id)
                return kept.report
        known = {} if kept is None else {row.candidate_id: row for row in kept.report.trials}
        since = version if kept is None else kept.version
        report = JobReport.of(
            self._store, self._store.job(version.job_id), lambda: self._store.trials_since(since, known)
        )
        with self._lock:
            self._kept[version.job_id] = _Kept(version, report)
            self._kept.move_to_end(version.job_id)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return report
