"""The contract of a service: everything that people and programs do with jobs and devices."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dashboards.words import Json

PAGE = 100
"""Entries of a page, unless another number is asked for."""

LONGEST_PAGE = 1000
LINES = 1000
"""Lines of a log that are read at a time."""


class Service(ABC):
    """Everything that people and programs do with jobs and devices, wherever these are.

    The command line, REST, the pages, :class:`paretune.Client` and MCP are faces of a service. It speaks JSON
    documents, those of :mod:`dashboards.documents`; they belong to the caller. ``job`` is an id, an unambiguous
    prefix of it, a name or a short name; ``candidate`` an id, a prefix or ``JOB/NUMBER``.

    Raises the errors of :mod:`hwprofiles.errors`: :class:`InvalidInput`, :class:`NotFound` also for what is not the
    caller's to see, :class:`NotAllowed`, and :class:`StorageError` for a database or a server that does not answer.

    Safe for several threads. Every method may be repeated after a lost connection: reading and deleting as they are,
    :meth:`submit`, :meth:`clone` and :meth:`export` with the same ``key``, which then return what the first call made;
    :meth:`cancel`, :meth:`pause`, :meth:`resume` and :meth:`cancel_export` change nothing the second time.
    """

    # Jobs

    @abstractmethod
    def submit(self, submission: Json, key: str | None = None) -> Json:
        """Queues a job for a worker; returns its status.

        The submission has a ``target`` (a model's file, or a task's name) or a ``job`` (the contents of a job file),
        and may have: ``options`` (fields of a job as ``paretune run`` takes them), ``files`` (SHA-256 by path, of files
        that :meth:`upload` has stored), ``project``, ``priority``, and ``after`` (jobs to wait for).
        """

    @abstractmethod
    def jobs(self, filters: Mapping[str, str] = {}, *, limit: int = PAGE, cursor: str | None = None) -> Json:
        """Returns a page of jobs, the newest first, with the ``next`` cursor; None after the last one.

        Filters are ``state``, ``user``, ``project``, ``name`` and ``device``.
        """

    @abstractmethod
    def job(self, job: str) -> Json:
        """Returns a job's status."""

    @abstractmethod
    def front(self, job: str, *, device: str | None = None, version: int | None = None) -> Json:
        """Returns a job's front, on all devices or one; the newest version, or an earlier one counted from 1."""

    @abstractmethod
    def candidates(
        self,
        job: str,
        *,
        device: str | None = None,
        state: str | None = None,
        sort: str = "trial",
        limit: int | None = None,
        cursor: int | None = None,
    ) -> Json:
        """Returns a job's candidates, all or a page of them; a page has the ``next`` cursor.

        ``sort`` is ``trial`` or a metric, with ``-`` in front for the highest first. ``state`` may be ``failed``.
        """

    @abstractmethod
    def candidate(self, candidate: str) -> Json:
        """Returns everything that is known of a candidate."""

    @abstractmethod
    def layers(self, job: str) -> Json:
        """Returns what each layer of a job's model takes on its devices."""

    @abstractmethod
    def learning(self, job: str) -> Json:
        """Returns the rewards from which a job's strategy learnt: its learning curve."""

    @abstractmethod
    def logs(self, job: str, *, after: int = 0, limit: int = LINES) -> Json:
        """Returns lines of a job's log, those after the line with id ``after``."""

    @abstractmethod
    def cancel(self, job: str) -> Json:
        """Asks a job to end, keeping what is finished; returns its status, which changes within seconds."""

    @abstractmethod
    def pause(self, job: str) -> Json:
        """Asks a job to stop until it is resumed; returns its status, which changes within seconds."""

    @abstractmethod
    def resume(self, job: str) -> Json:
        """Queues a job again that was paused, interrupted, cancelled or has failed; returns its status."""

    @abstractmethod
    def delete(self, job: str) -> None:
        """Removes a job that has ended, with all of its results."""

    @abstractmethod
    def clone(self, job: str, options: Mapping[str, Any] = {}, key: str | None = None) -> Json:
        """Queues a new job like another one, with other ``options``; returns its status."""

    # Exports

    @abstractmethod
    def export(self, candidate: str, options: Mapping[str, Any] = {}, key: str | None = None) -> Json:
        """Asks a worker to build a candidate's file and to measure it again; returns the state of the export.

        Options are ``device``, ``target`` and ``wait_quiet_s``, as those of ``paretune export``.
        """

    @abstractmethod
    def export_state(self, export_id: str) -> Json:
        """Returns the state of an export, with its receipt once it is ``done``."""

    @abstractmethod
    def cancel_export(self, export_id: str) -> Json:
        """Ends an export that is not done, and leaves nothing of it; returns its state."""

    @abstractmethod
    def bundle(self, export_id: str, path: Path) -> None:
        """Writes the bundle of an export that is done to a zip file, checked against its SHA-256."""

    # Files

    @abstractmethod
    def upload(self, path: Path) -> str:
        """Stores a file, unless it is stored; returns its SHA-256. After a lost connection the rest is sent."""

    # Devices

    @abstractmethod
    def devices(self, *, revoked: bool = False) -> Json:
        """Returns all devices; remote ones whose token is revoked only if ``revoked``."""

    @abstractmethod
    def device(self, device: str) -> Json:
        """Returns a device's profile, or why it is not available."""

    @abstractmethod
    def capability(self, device: str) -> Json:
        """Returns what a device can do, as it answered when it was probed."""

    @abstractmethod
    def workers(self) -> Json:
        """Returns the workers that run queued jobs, and how many jobs wait."""
