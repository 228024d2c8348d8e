"""The process of a job that a worker has taken: ``python -m search.controller.process JOB EPOCH``.

The database is that of ``PARETUNE_DB``, the Ray cluster that of ``PARETUNE_RAY_ADDRESS`` (without it: its own). The end
of stdin hands the job back to the queue: the worker closes it to stop, and the system does if the worker was killed.
The worker learns from the store how the job went, not from the exit code.
"""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress

from hwprofiles.errors import ClusterLost, ParetuneError, StorageError
from hwprofiles.logs import log_to_stderr
from search.controller.controller import Controller
from search.controller.store_watcher import StoreWatcher
from search.devices.link import ray_address
from search.devices.lookup import DeviceRegistry
from search.folders import default_database
from search.interrupts import at_end_of_stdin
from search.job.profiles import profiles_of
from search.job.spec import Job
from search.states import JobRequest, JobState
from search.store import Lease, StaleLease, Store

log = logging.getLogger("paretune.controller")

LOST = ClusterLost.exit_code
"""Exit code of a controller that could not go on; the queue gives the job to another one."""


def run_job(store: Store, lease: Lease) -> int:
    """Runs a job that was leased for this process, and returns the exit code."""
    watcher = StoreWatcher(store, lease)
    try:
        bind_devices(store, lease)
        controller = Controller(store, lease.job_id, watcher, lease=lease, ray_address=ray_address())
        at_end_of_stdin(lambda: controller.ask(JobRequest.HAND_BACK))
        controller.run()
    except (StaleLease, StorageError, ClusterLost) as error:
        log.warning("%s", error.message, extra={"job_id": lease.job_id})
        return LOST
    except KeyboardInterrupt:
        return 130
    except ParetuneError as error:
        log.error("%s; %s", error.message, error.hint, extra={"job_id": lease.job_id})
        return _fail(store, lease, error)
    return 0


def bind_devices(store: Store, lease: Lease) -> None:
    """Sets the profiles of a job that has measured nothing yet to those that its devices have now, seen from here.

    A job may have been submitted on another machine, whose ``local-cpu`` is another one.
    """
    row = store.jobs.get(lease.job_id)
    if row.space is None:
        devices = profiles_of(Job.model_validate(row.spec), DeviceRegistry(store))
        store.jobs.set_devices(lease, {device.label: device.profile for device in devices})


def _fail(store: Store, lease: Lease, error: ParetuneError) -> int:
    """Stores the error of a job whose controller has not stored it."""
    with suppress(StaleLease):
        store.jobs.set_state(lease, JobState.FAILED, error=error.message, hint=error.hint)
        store.jobs.release(lease)
    return error.exit_code


if __name__ == "__main__":
    log_to_stderr()
    with Store(os.environ.get("PARETUNE_DB") or default_database()) as opened:
        sys.exit(run_job(opened, Lease(sys.argv[1], int(sys.argv[2]))))
