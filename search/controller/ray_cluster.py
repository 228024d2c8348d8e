"""A Ray cluster on this machine, for the duration of one search."""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

# Read when Ray is imported: no usage reports, no hint about its newer output, we handle Ctrl-C, and workers are not
# niced: the measuring process is their child, and would lose its core to any other process. Clients of this Ray need
# its token, whatever the user's shell sets, and it listens on the loopback only (the setting is named after the systems
# where that is the default). It kills no worker when memory is short: limits.memory_bytes does that.
os.environ.update(
    RAY_USAGE_STATS_ENABLED="0", RAY_AIR_NEW_OUTPUT="0", TUNE_DISABLE_SIGINT_HANDLER="1",
    TUNE_DISABLE_AUTO_CALLBACK_LOGGERS="1", TUNE_WARN_THRESHOLD_S="60", RAY_TRAIN_V2_ENABLED="0",
    RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0", TUNE_MAX_PENDING_TRIALS_PG="1",
    RAY_worker_niceness="0", RAY_AUTH_MODE="token", RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0",
    RAY_memory_monitor_refresh_ms="0",
)  # fmt: skip

import ray
from ray import tune

from search.controller.reaper import folder_with_reaper

OBJECT_STORE_BYTES = 100_000_000
LOOPBACK = "127.0.0.1"


@contextmanager
def local_cluster(parallel: int) -> Iterator[Path]:
    """Starts a Ray cluster and yields its folder; both end with this process, however it ends."""
    os.environ["RAY_AUTH_TOKEN"] = _token()
    with folder_with_reaper() as folder:
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
        try:
            yield folder
        finally:
            ray.shutdown()


@cache
def _token() -> str:
    """Returns the token that this process and its workers authenticate with; Ray reads it once per process."""
    return secrets.token_hex(32)


def run_trials(
    trainable: type[tune.Trainable], parameters: dict[str, Any], searcher: Any, parallel: int, folder: Path
) -> None:
    """Runs Tune until the searcher is finished (minutes to hours), with Tune's own records in ``folder``.

    Reuses actors, which needs the checkpoint setting.
    """
    tuner = tune.Tuner(
        tune.with_resources(tune.with_parameters(trainable, **parameters), {"cpu": 1}),
        tune_config=tune.TuneConfig(
            search_alg=searcher, num_samples=-1, max_concurrent_trials=parallel, reuse_actors=True
        ),
        run_config=tune.RunConfig(
            storage_path=str(folder / "tune"),
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=2),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    )
    tuner.fit()
