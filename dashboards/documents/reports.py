"""A server's cache of reports: after a change, only what changed is read again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from dashboards.documents.job_candidates import StoredCandidates
from dashboards.documents.jobs import job_of
from dashboards.documents.report import JobReport
from dashboards.words import Json
from search.states import JobState
from search.store import JobVersion, Store, TrialRow

_CACHED_JOBS = 16
"""Jobs whose reports are cached; few are viewed at once."""

_LISTED_JOBS = 2000
"""Jobs whose documents are cached, as lists have them."""


@dataclass(frozen=True)
class _CachedReport:
    version: JobVersion
    report: JobReport
    candidates: StoredCandidates
    earlier: tuple[JobVersion, Sequence[TrialRow]] | None
    """All candidates as they were at an earlier version; None if nobody asked for them."""

    @property
    def last(self) -> tuple[JobVersion, Sequence[TrialRow]] | None:
        """All candidates as they were last read."""
        loaded = self.candidates.loaded
        return self.earlier if loaded is None else (self.version, loaded)


class Reports:
    """A store's reports for all readers of a server, which must not load the machine that is measured.

    Safe for several threads.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._cache: OrderedDict[str, _CachedReport] = OrderedDict()
        self._documents: OrderedDict[str, tuple[JobVersion, Json]] = OrderedDict()
        self._lock = threading.Lock()

    def version(self, job_id: str) -> JobVersion:
        """Returns a job's version, which changes whenever the job does; raises :class:`NotFound` for an unknown job."""
        return self._store.jobs.version(job_id)

    def read(self, job_id: str) -> JobReport:
        """Returns a job's current report; raises :class:`NotFound` for an unknown job."""
        # The version first, so that changes during the reading are noticed the next time.
        return self._at(self.version(job_id))

    def listed(self, job_ids: Sequence[str]) -> list[Json]:
        """Returns the documents of jobs as lists have them; reports of jobs that are only listed are not kept."""
        versions = self._store.jobs.versions(job_ids)
        return [self._listed(job_id, versions[job_id]) for job_id in job_ids if job_id in versions]

    def _listed(self, job_id: str, version: JobVersion) -> Json:
        with self._lock:
            kept = self._documents.get(job_id)
            cached = self._cache.get(job_id)
        if kept is not None and kept[0] == version:
            return kept[1]
        same = cached is not None and cached.version == version
        report = cached.report if cached is not None and same else JobReport.read(self._store, job_id)
        document = job_of(report)
        if report.job.state is not JobState.RUNNING:  # what a running job does is not in its version
            with self._lock:
                self._documents[job_id] = version, document
                while len(self._documents) > _LISTED_JOBS:
                    self._documents.popitem(last=False)
        return document

    def _at(self, version: JobVersion) -> JobReport:
        with self._lock:
            cached = self._cache.get(version.job_id)
            if cached is not None and cached.version == version:
                self._cache.move_to_end(version.job_id)
                return cached.report
        earlier = None if cached is None else cached.last
        read_all = None if earlier is None else partial(self._read_changed, *earlier)
        candidates = StoredCandidates(self._store, version.job_id, read_all)
        report = JobReport.of(self._store, self._store.jobs.get(version.job_id), candidates)
        with self._lock:
            self._cache[version.job_id] = _CachedReport(version, report, candidates, earlier)
            self._cache.move_to_end(version.job_id)
            while len(self._cache) > _CACHED_JOBS:
                self._cache.popitem(last=False)
        return report

    def _read_changed(self, version: JobVersion, rows: Sequence[TrialRow]) -> list[TrialRow]:
        """Returns all candidates of a job, of which ``rows`` were read at an earlier version."""
        return self._store.trials.since(version, {row.candidate_id: row for row in rows})
