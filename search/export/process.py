"""The process of an export that a worker has taken: ``python -m search.export.process EXPORT EPOCH``.

The database is that of ``PARETUNE_DB``. SIGTERM, and the end of stdin, end it: the worker closes stdin, and the system
does if the worker was killed. It returns the export to the queue, unless that was cancelled, and removes its files.
What came of the export is in the store; the exit code says nothing.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hwprofiles.errors import ParetuneError, StorageError
from hwprofiles.folders import make_folder
from search.artefacts.owned import OwnedArtefacts
from search.artefacts.store import ArtefactStore
from search.devices.lookup import DeviceRegistry
from search.export.export import export_candidate
from search.folders import data_folder, default_database
from search.interrupts import at_end_of_stdin, interrupt
from search.job.spec import Job
from search.store import ExportLease, ExportRow, StaleLease, Store, digests_of, this_process

RENEW_S = 10.0
END_S = 10.0
"""Seconds after which a process that was asked to end does so whatever it is at."""

_TIME = (1980, 1, 1, 0, 0, 0)
"""Of the files in a bundle: the same export makes the same bytes."""


def can_export(store: Store, export: ExportRow) -> bool:
    """Returns whether the device of an export is within reach of this machine, unchanged."""
    row = store.jobs.get(export.job_id)
    job, digests = Job.model_validate(row.spec), digests_of(row)
    label = export.options.get("device") or job.labels[0]
    spec = job.devices[job.labels.index(label)] if label in job.labels else job.devices[0]
    registry = DeviceRegistry(store)
    try:
        profile = registry.find(spec.name if label in job.labels else label, spec.threads, spec.batch)
    except ParetuneError:
        return False
    # A simulated device, or one that the job was not measured on, is the export's to refuse, here as well as elsewhere.
    return profile.simulated or label not in digests or digests[label] == profile.digest


def scratch_folder(export: ExportRow) -> Path:
    """Returns the folder for what an export writes before its bundle is stored."""
    return data_folder() / "jobs" / export.job_id / f"exporting-{export.export_id}"


def run_export(store: Store, lease: ExportLease) -> None:
    """Works on an export that was leased for this process (minutes), and stores what came of it.

    Raises :class:`StaleLease`, with nothing stored, once the export was cancelled or another worker has it.
    """
    export = store.export_requests.get(lease.export_id)
    with _Keeper(store, lease) as keeper, _empty_folder(scratch_folder(export)) as place:
        try:
            bundle = place / export.candidate_id
            receipt = export_candidate(
                store, export.candidate_id, bundle, device=export.options.get("device"),
                wait_quiet_s=export.options.get("wait_quiet_s", 0.0), progress=keeper.say, recorded=False,
                scratch=place,
            )  # fmt: skip
            digest = OwnedArtefacts(store, export.submitted_by, ArtefactStore()).put(_zip(bundle)).sha256
        except ParetuneError as error:
            store.export_requests.fail(lease, error.message, error.hint)
            return
        store.export_requests.finish(lease, digest, receipt)
        store.exports.add(export.candidate_id, f"artefact {digest}", receipt["verdict"], receipt)


@contextmanager
def _empty_folder(folder: Path) -> Iterator[Path]:
    """Makes a folder, without what an earlier process left in it, for the ``with`` block."""
    shutil.rmtree(folder, ignore_errors=True)
    make_folder(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _zip(bundle: Path) -> Path:
    """Returns a zip file with a bundle's files, the same bytes for the same files."""
    path = bundle.with_suffix(".zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(bundle.iterdir()):
            with file.open("rb") as source, archive.open(zipfile.ZipInfo(file.name, _TIME), "w") as target:
                while chunk := source.read(1 << 20):
                    target.write(chunk)
    return path


class _Keeper:
    """Renews the lease of an export in a thread, with what is going on."""

    def __init__(self, store: Store, lease: ExportLease) -> None:
        self._store, self._lease = store, lease
        self._doing = "starting"
        self._stop = threading.Event()
        self._said = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True)

    def say(self, text: str) -> None:
        """Notes what is going on."""
        self._doing = text
        self._said.set()

    def __enter__(self) -> _Keeper:
        self._store.export_requests.renew(self._lease, this_process(), self._doing)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._said.set()
        self._thread.join()

    def _renew(self) -> None:
        while True:
            self._said.wait(RENEW_S)
            self._said.clear()
            if self._stop.is_set():
                return
            # An expired lease that nobody took can still be renewed; a stale one is noticed at the end.
            with suppress(StorageError, StaleLease):
                self._store.export_requests.renew(self._lease, this_process(), self._doing)


def _watch_worker() -> None:
    """Interrupts this process when it is asked to end, or its worker has ended."""

    def end() -> None:
        interrupt()
        time.sleep(END_S)
        os._exit(1)

    # It is in a session of its own: Ctrl-C at the worker's terminal does not reach it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: interrupt())
    at_end_of_stdin(end)


if __name__ == "__main__":
    with Store(os.environ.get("PARETUNE_DB") or default_database()) as opened:
        own = ExportLease(sys.argv[1], int(sys.argv[2]))
        try:
            _watch_worker()
            run_export(opened, own)
        except KeyboardInterrupt:
            with suppress(ParetuneError):
                opened.export_requests.release(own)
        except ParetuneError as error:
            sys.exit(f"{error.message}; {error.hint}")
