"""The part of a worker that exports candidates."""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
from collections.abc import Mapping

from hwprofiles.errors import NotFound
from search.export.process import can_export, scratch_folder
from search.folders import job_folder
from search.states import ExportState
from search.store import ExportLease, ExportRow, Store
from search.store.rows import Json

log = logging.getLogger("paretune.worker")

CANCEL_S = 5.0
"""Seconds that the process of a cancelled export has to end itself."""

LOG = "exporter.log"
"""Name of the file in a job's folder with the output of its exports."""


class Exporter:
    """Runs the exports that a worker is asked for, one at a time beside its jobs, each in a process of its own.

    A process returns its export to the queue when the worker stops or is killed; if it is killed too, its lease ends.
    The process of an export that is cancelled, or whose job is deleted, is ended. Used from one thread.
    """

    def __init__(self, store: Store, owner: Json, environment: Mapping[str, str]) -> None:
        """``environment`` is that of the processes."""
        self._store, self._owner, self._environment = store, owner, dict(environment)
        self._running: tuple[ExportRow, subprocess.Popen[bytes]] | None = None

    @property
    def is_busy(self) -> bool:
        """Whether an export is under way."""
        return self._running is not None

    def step(self) -> None:
        """Does what is to be done now: notes an export that has ended, ends a cancelled one, starts the next one."""
        if self._running is not None:
            row, process = self._running
            is_over = process.poll() is not None
            state = self._state(row.export_id)
            if not is_over and state is not ExportState.CANCELLED:
                return
            self.stop(CANCEL_S)
            log.info("export %s is %s", row.export_id, state)
        if not self._store.export_requests.is_open():
            return
        taken = self._store.export_requests.take(self._owner, lambda row: can_export(self._store, row))
        if taken is not None:
            row, lease = taken
            self._running = row, self._start(row, lease)
            log.info("export %s of candidate %s begins", row.export_id, row.candidate_id)

    def stop(self, grace_s: float) -> None:
        """Ends the process of the export that is under way, which returns it to the queue unless it has ended."""
        if self._running is None:
            return
        row, process = self._running
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(grace_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(scratch_folder(row), ignore_errors=True)  # of a process that was killed
        self._running = None

    def _state(self, export_id: str) -> ExportState:
        try:
            return self._store.export_requests.get(export_id).state
        except NotFound:  # with its job
            return ExportState.CANCELLED

    def _start(self, row: ExportRow, lease: ExportLease) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "search.export.process", lease.export_id, str(lease.epoch)]
        with (job_folder(row.job_id) / LOG).open("ab") as output:
            return subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=output, stderr=output, env=self._environment,
                start_new_session=True,
            )  # fmt: skip
