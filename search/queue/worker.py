"""The worker: takes queued jobs of a store, and runs a controller process for each."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from hwprofiles.errors import ParetuneError, StorageError
from search.devices.lookup import DeviceRegistry
from search.folders import job_folder
from search.job.profiles import profiles_of
from search.job.spec import Job
from search.queue.cleaner import Cleaner
from search.queue.exporter import Exporter
from search.queue.job_files import JobFiles
from search.store import JobRow, Lease, Store, digests_of, this_process

log = logging.getLogger("paretune.worker")

HEARTBEAT_S = 10.0
POLL_S = 0.5
MOST_REFUSALS = 200
"""Queued jobs of which a worker tells why it cannot run them."""

GRACE_S = 20.0
"""Seconds that controllers have to hand their jobs back when the worker stops."""

LOG = "controller.log"
"""Name of the file in a job's folder with the output of its controllers."""


def refusal(store: Store, row: JobRow, files: JobFiles) -> str | None:
    """Returns why a job cannot run on this machine; None if its files and devices are within reach."""
    if row.files is None and not Path(row.spec_folder).is_dir():
        return f"folder {row.spec_folder} does not exist there"
    try:
        if row.files is not None and not files.all_there(row.files.values()):
            return f"its files are not in {files.place} there; let PARETUNE_ARTEFACTS name the same storage everywhere"
        devices = profiles_of(Job.model_validate(row.spec), DeviceRegistry(store))
    except ParetuneError as error:
        return error.message
    now = {device.label: device.profile.digest for device in devices}
    begun = now if row.space is None else digests_of(row)
    changed = [label for label in now if begun.get(label) != now[label]]
    return f"device {changed[0]!r} is not there what it was when the job began" if changed else None


@dataclass(frozen=True)
class RunningJob:
    """A job and the process of its controller."""

    lease: Lease
    process: subprocess.Popen[bytes]

    @property
    def job_id(self) -> str:
        """The job's id."""
        return self.lease.job_id


class Worker:
    """Runs up to ``slots`` jobs at a time, each in a controller process that ends with the worker.

    Controllers hand their jobs back to the queue when the worker stops or is killed; if they are killed too, their
    leases end and any worker returns the jobs to the queue. It also makes exports, one at a time, and removes garbage
    while it has nothing to do. Logs a line whenever a job begins or ends. Used from one
    thread.
    """

    def __init__(
        self,
        store: Store,
        slots: int = 1,
        environment: dict[str, str] | None = None,
        ready: Callable[[], bool] = lambda: True,
    ) -> None:
        """``environment`` is added to that of the controllers; jobs are taken only while ``ready`` says so."""
        self._store, self._slots, self._ready = store, slots, ready
        self._environment = os.environ | {"PARETUNE_DB": store.url} | (environment or {})
        self._owner = this_process()
        self._running: list[RunningJob] = []
        self._refusals: dict[str, str] = {}
        self._heartbeat_at = 0.0
        self._exporter = Exporter(store, self._owner, self._environment)
        self._cleaner = Cleaner(store)
        self._files = JobFiles()

    def run(self, stop: threading.Event) -> None:
        """Works until ``stop`` is set, then hands back its jobs; goes on when the database was away for a while."""
        self.worker_id = self._store.workers.add(self._owner, self._slots)
        away = False
        try:
            while not stop.is_set():
                try:
                    self._step()
                    away = False
                except StorageError as error:
                    if not away:
                        log.warning("%s; trying again", error.message)
                    away = True
                    stop.wait(HEARTBEAT_S / 10)
                stop.wait(POLL_S)
        finally:
            self._hand_back()
            self._store.workers.stop(self.worker_id)

    def _step(self) -> None:
        """Does what is to be done now: notes ended controllers, and starts new ones."""
        for job in [job for job in self._running if job.process.poll() is not None]:
            self._running.remove(job)
            self._store.queue.return_lost([job.lease])
            log.info("job %s is %s", job.job_id, self._store.jobs.get(job.job_id).state, extra=self._ids(job.job_id))
        if time.monotonic() >= self._heartbeat_at:
            self._note_contact(self._refusals)
        self._exporter.step()
        if not (self._running or self._exporter.is_busy):
            self._cleaner.step()
        while len(self._running) < self._slots and self._ready():
            refusals: dict[str, str] = {}
            taken = self._store.queue.take(self._owner, partial(self._can_run, refusals))
            if taken is None:
                if refusals != self._refusals:
                    self._note_contact(refusals)
                return
            row, lease = taken
            self._running.append(RunningJob(lease, self._start(row.job_id, lease.epoch)))
            log.info("job %s (%s) begins", row.job_id, row.name, extra=self._ids(row.job_id))

    def _can_run(self, refusals: dict[str, str], row: JobRow) -> bool:
        """Returns whether a job can run here; notes why not, of the first :data:`MOST_REFUSALS`."""
        reason = refusal(self._store, row, self._files)
        if reason is not None and len(refusals) < MOST_REFUSALS:
            refusals[row.job_id] = reason
        return reason is None

    def _note_contact(self, refusals: dict[str, str]) -> None:
        self._store.workers.note_contact(self.worker_id, refusals)
        self._refusals = refusals
        self._heartbeat_at = time.monotonic() + HEARTBEAT_S

    def _ids(self, job_id: str) -> dict[str, str]:
        """Returns what a line about a job can be searched by."""
        return {"job_id": job_id, "worker_id": self.worker_id}

    def _start(self, job_id: str, epoch: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "search.controller.process", job_id, str(epoch)]
        with (job_folder(job_id) / LOG).open("ab") as log:
            return subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log, stderr=log, env=self._environment, start_new_session=True
            )

    def _hand_back(self) -> None:
        """Asks all controllers to hand back their jobs, waits for them, and kills those that do not end."""
        for job in self._running:
            if job.process.stdin is not None:
                job.process.stdin.close()
        ends_at = time.monotonic() + GRACE_S
        self._exporter.stop(GRACE_S)
        self._cleaner.stop(GRACE_S)
        for job in self._running:
            try:
                job.process.wait(max(0.1, ends_at - time.monotonic()))
            except subprocess.TimeoutExpired:
                job.process.kill()
                job.process.wait()
        self._store.queue.return_lost([job.lease for job in self._running])
        self._running.clear()
