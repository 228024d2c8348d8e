"""The connection of a process to a Ray cluster, and its end when the cluster is lost."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hwprofiles.addresses import is_loopback
from hwprofiles.errors import ClusterLost, InvalidInput, first_line
from search.devices.cluster import settings
from search.interrupts import interrupt

# isort: split
import ray
from ray._private import ray_constants

LOST_S = 20.0
"""Seconds after which a cluster is lost whose head, or whose node here, does not answer. Ray itself ends the process
after 60 s."""

_LOOK_S, _CONNECT_S = 1.0, 5.0
_END_S = 15.0
"""Seconds that this process has to end by itself after that."""

_HINT = "start the cluster, see: paretune docs cluster; the address is HOST:PORT of its head, as ray start prints it"
_RETRY = "the job goes on when a worker reaches the cluster"


def connect(address: str) -> None:
    """Connects this process to the cluster at ``HOST:PORT``, unless it is connected.

    Raises :class:`ClusterLost` if the head cannot be reached, :class:`InvalidInput` for a missing or wrong token or
    another version of Ray or Python.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise InvalidInput(f"--ray-address: {address!r} is not HOST:PORT", _HINT)
    if ray.is_initialized():
        return
    check_token()
    settings.require_tokens()
    if is_loopback(host):  # else Ray looks for the cluster at this machine's outer address
        ray_constants.ENABLE_RAY_CLUSTER = False
    if not _answers((host, int(port)), _CONNECT_S):
        raise ClusterLost(f"the head of the Ray cluster at {address} cannot be reached", _HINT)
    try:
        ray.init(
            address=address, namespace=settings.NAMESPACE, log_to_driver=False, logging_level=logging.ERROR,
            configure_logging=True,
        )  # fmt: skip
    except ConnectionError as error:
        raise ClusterLost(
            f"the Ray cluster at {address} cannot be joined: {first_line(error)}",
            "see that it is a head of Ray, and that the token here is that of the cluster",
        ) from None
    except (RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise InvalidInput(
            f"the Ray cluster at {address} cannot be joined: {first_line(error)}",
            "this machine must be a node of the cluster: run ray start --address there, with the same versions",
        ) from None


def check_token() -> None:
    """Raises :class:`InvalidInput` if this process has no token for a cluster."""
    files = os.environ.get("RAY_AUTH_TOKEN_PATH"), Path.home() / ".ray" / "auth_token"
    if not os.environ.get("RAY_AUTH_TOKEN") and not any(file and Path(file).is_file() for file in files):
        raise InvalidInput(
            "there is no token for the Ray cluster",
            "set RAY_AUTH_TOKEN_PATH to the file that the nodes were started with; make it with: ray get-auth-token",
        )


@contextmanager
def join(address: str) -> Iterator[None]:
    """Joins a cluster inside the ``with`` block; use in the main thread.

    Raises :class:`ClusterLost` if the cluster is lost meanwhile. If this process then does not end by itself, since it
    waits for the cluster, it is ended with the exit code of this error.
    """
    connect(address)
    guard = _Guard(address)
    try:
        with guard:
            yield
    except (Exception, KeyboardInterrupt) as error:
        if not guard.is_lost:
            raise
        raise ClusterLost(f"the Ray cluster at {address} was lost", _RETRY) from error
    finally:
        ray.shutdown()
        guard.stand_down()


class _Guard:
    """Watches the head and the node of this process; interrupts the process when one does not answer for long."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        own = ray.get_runtime_context().get_node_id()
        node = next(node for node in ray.nodes() if node["NodeID"] == own)
        self._places = (host, int(port)), (node["NodeManagerAddress"], node["NodeManagerPort"])
        self._over, self._ended = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.is_lost = False

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()

    def stand_down(self) -> None:
        """Ends the watch: this process has left the cluster."""
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        heard = time.monotonic()
        while not self._over.wait(_LOOK_S):
            if all(_answers(place, _CONNECT_S) for place in self._places):
                heard = time.monotonic()
            elif time.monotonic() - heard > LOST_S:
                self.is_lost = True
                interrupt()
                break
        if self.is_lost and not self._ended.wait(_END_S):
            os._exit(ClusterLost.exit_code)


def _answers(place: tuple[str, int], limit_s: float) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(place, timeout=limit_s):
        return True
    return False
