"""The candidates of a job as its documents need them: read when they are asked for, and no more of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property
from typing import Any

from search.fronts.views import View
from search.states import TrialState
from search.store import Store, TrialRow


class JobCandidates(ABC):
    """The candidates of a job. Safe for several threads; what was read once is not read again."""

    @property
    @abstractmethod
    def all(self) -> Sequence[TrialRow]:
        """All of them, by trial number."""

    @abstractmethod
    def some(self, ids: Collection[str]) -> dict[str, TrialRow]:
        """Returns those of these ids that exist."""

    @abstractmethod
    def with_digests(self, digests: Collection[str]) -> Sequence[TrialRow]:
        """Returns those with one of these digests, by trial number."""

    @property
    @abstractmethod
    def by_state(self) -> Mapping[TrialState, int]:
        """Their number by state."""

    @abstractmethod
    def on_view(self, view: View, baseline: Mapping[str, Any]) -> JobCandidates:
        """Returns the same candidates as a view shows them; ``baseline`` has the job's metrics of the fp32 model."""


class LoadedCandidates(JobCandidates):
    """Candidates that were read before."""

    def __init__(self, rows: Sequence[TrialRow]) -> None:
        self._rows = tuple(rows)

    @property
    def all(self) -> Sequence[TrialRow]:
        """See :attr:`JobCandidates.all`."""
        return self._rows

    def some(self, ids: Collection[str]) -> dict[str, TrialRow]:
        """See :meth:`JobCandidates.some`."""
        wanted = set(ids)
        return {row.candidate_id: row for row in self._rows if row.candidate_id in wanted}

    def with_digests(self, digests: Collection[str]) -> Sequence[TrialRow]:
        """See :meth:`JobCandidates.with_digests`."""
        return [row for row in self._rows if row.digest in digests]

    @cached_property
    def by_state(self) -> Mapping[TrialState, int]:
        """See :attr:`JobCandidates.by_state`."""
        return Counter(row.state for row in self._rows)

    def on_view(self, view: View, baseline: Mapping[str, Any]) -> JobCandidates:
        """See :meth:`JobCandidates.seen`."""
        return LoadedCandidates(view.rows(self._rows, baseline))


class StoredCandidates(JobCandidates):
    """The candidates of a job in a store. ``read_all`` is how all of them are read."""

    def __init__(self, store: Store, job_id: str, read_all: Callable[[], Sequence[TrialRow]] | None = None) -> None:
        self._store, self._job_id = store, job_id
        self._read_all = read_all or (lambda: store.trials.of_job(job_id))
        self.loaded: Sequence[TrialRow] | None = None
        """All of them, once they were asked for."""

    @property
    def all(self) -> Sequence[TrialRow]:
        """See :attr:`JobCandidates.all`."""
        if self.loaded is None:
            self.loaded = tuple(self._read_all())
        return self.loaded

    def some(self, ids: Collection[str]) -> dict[str, TrialRow]:
        """See :meth:`JobCandidates.some`."""
        if self.loaded is not None:
            return LoadedCandidates(self.loaded).some(ids)
        return {row.candidate_id: row for row in self._store.trials.some(self._job_id, ids)} if ids else {}

    def with_digests(self, digests: Collection[str]) -> Sequence[TrialRow]:
        """See :meth:`JobCandidates.with_digests`."""
        return self._store.trials.with_digests(self._job_id, digests) if digests else ()

    @cached_property
    def by_state(self) -> Mapping[TrialState, int]:
        """See :attr:`JobCandidates.by_state`."""
        return self._store.trials.by_state(self._job_id)

    def on_view(self, view: View, baseline: Mapping[str, Any]) -> JobCandidates:
        """See :meth:`JobCandidates.seen`."""
        return self if view.label is None else _SeenCandidates(self, view, baseline)


class _SeenCandidates(JobCandidates):
    def __init__(self, candidates: JobCandidates, view: View, baseline: Mapping[str, Any]) -> None:
        self._candidates, self._view, self._baseline = candidates, view, baseline

    @cached_property
    def all(self) -> Sequence[TrialRow]:
        return self._view.rows(self._candidates.all, self._baseline)

    def some(self, ids: Collection[str]) -> dict[str, TrialRow]:
        return {key: self._view.row(row, self._baseline) for key, row in self._candidates.some(ids).items()}

    def with_digests(self, digests: Collection[str]) -> Sequence[TrialRow]:
        return self._view.rows(self._candidates.with_digests(digests), self._baseline)

    @cached_property
    def by_state(self) -> Mapping[TrialState, int]:
        return Counter(row.state for row in self.all)

    def on_view(self, view: View, baseline: Mapping[str, Any]) -> JobCandidates:
        raise TypeError("candidates of a view have no further views")
