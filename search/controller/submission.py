"""Submits a job: checks its files and devices, and queues it in the store."""

from __future__ import annotations

from pathlib import Path

from search.devices.lookup import DeviceRegistry
from search.job.profiles import profiles_of
from search.job.spec import Job
from search.store import Store, Submission
from search.tasks import check_files


def submit(store: Store, job: Job, folder: Path, submission: Submission | None = None) -> str:
    """Stores a job, with the objectives that it has, and returns its id; with a ``submission`` workers run it.

    Raises :class:`InvalidInput` if the task's files cannot be used.
    """
    check_files(job.task.name, job.task.options, folder)
    return store_job(store, job, folder, submission)


def store_job(store: Store, job: Job, folder: Path, submission: Submission | None = None) -> str:
    """As :func:`submit`, for a job whose files were checked before."""
    devices = profiles_of(job, DeviceRegistry(store))
    return store.jobs.create(
        name=job.name,
        spec=job.model_dump(mode="json"),
        spec_folder=str(folder.resolve()),
        profile=devices[0].profile,
        devices={device.label: device.profile for device in devices},
        submission=submission,
    )
