"""A Ray cluster on this machine, for the duration of one search."""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from hwprofiles.errors import ClusterLost, InvalidInput, first_line
from search.controller.place import Place
from search.controller.reaper import folder_with_reaper
from search.devices.cluster import settings  # before Ray

# Read when Ray is imported, too. Workers are not niced: the measuring process is their child, and would lose its core
# to any other process. The cluster listens on the loopback only (the setting is named after the systems where that is
# the default). It kills no worker when memory is short: limits.memory_bytes does that.
os.environ.update(
    RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0", RAY_worker_niceness="0", RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0",
    RAY_memory_monitor_refresh_ms="0",
)  # fmt: skip

# isort: split
import ray
from ray._private import ray_constants

OBJECT_STORE_BYTES = 100_000_000
LOOPBACK = "127.0.0.1"


@contextmanager
def local_cluster(parallel: int) -> Iterator[Place]:
    """Starts a Ray cluster for ``parallel`` trials at a time; it ends with this process, however that ends.

    Raises :class:`InvalidInput` if the user has joined another one in this process, :class:`ClusterLost` if it does not
    start, as on a machine that is too busy.
    """
    os.environ["RAY_AUTH_TOKEN"] = _token()
    if ray.is_initialized():
        raise InvalidInput(
            "this process has joined a Ray cluster already",
            "call ray.shutdown() before, or run the job on its own with: paretune run FILE",
        )
    settings.require_tokens()
    ray_constants.ENABLE_RAY_CLUSTER = False  # see above; if the user imported Ray before
    with folder_with_reaper() as folder:
        _start(parallel, folder)
        try:
            yield Place(lambda: parallel)
        finally:
            ray.shutdown()


def _start(parallel: int, folder: Path) -> None:
    try:
        ray.init(
            address="local",
            num_cpus=parallel,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            object_store_memory=OBJECT_STORE_BYTES,
            configure_logging=True,
            _node_ip_address=LOOPBACK,
            _temp_dir=str(folder),
        )
    except Exception as error:  # Ray has no class of its own for a start that takes too long
        ray.shutdown()
        raise ClusterLost(
            f"Ray did not start: {first_line(error)}", "the machine may be too busy, or short of memory: try again"
        ) from error


@cache
def _token() -> str:
    """Returns the token that this process and its workers authenticate with; Ray reads it once per process."""
    return secrets.token_hex(32)
