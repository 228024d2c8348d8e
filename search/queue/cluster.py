"""A worker's view of its Ray cluster, kept by a process of its own."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from typing import Any, Self

from hwprofiles.errors import ClusterLost, InvalidInput, ParetuneError
from search.devices.link import ADDRESS

log = logging.getLogger("paretune.worker")

AGAIN_S = 5.0
"""Between attempts to join a cluster that was lost."""


class ClusterWatch:
    """Registers the devices of a cluster's nodes inside the ``with`` block, and tells whether the cluster is there.

    Entering it waits until all nodes have reported; raises :class:`InvalidInput` for a cluster that cannot be used and
    :class:`ClusterLost` for one that cannot be reached. Later it tries again while the cluster is away. Problems with
    nodes are logged.
    """

    def __init__(self, url: str, address: str) -> None:
        self.environment = {"PARETUNE_DB": url, ADDRESS: address}
        """What the processes that work in this cluster have in their environment."""
        self._ready, self._over, self._ended = threading.Event(), threading.Event(), threading.Event()
        self._error: ParetuneError | None = None
        self._process: subprocess.Popen[str] | None = None
        self._thread = threading.Thread(target=self._keep, daemon=True)

    @property
    def is_there(self) -> bool:
        """Whether the cluster can be used now."""
        return self._ready.is_set()

    def __enter__(self) -> Self:
        self._thread.start()
        while not self._ready.wait(0.1):
            if self._ended.is_set():
                raise self._error or ClusterLost("the Ray cluster cannot be joined", "see the lines above")
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
        self._thread.join()

    def _keep(self) -> None:
        """Runs the process, again and again once it was ready."""
        was_ready = False
        while not self._over.is_set():
            self._run()
            was_ready, ready = was_ready or self._ready.is_set(), self._ready.is_set()
            self._ready.clear()
            if not was_ready:
                break
            if ready and not self._over.is_set():
                log.warning("the Ray cluster was lost; trying again")
            self._over.wait(AGAIN_S)
        self._ended.set()

    def _run(self) -> None:
        self._process = process = subprocess.Popen(
            [sys.executable, "-m", "search.devices.cluster.watch"], env=os.environ | self.environment,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        with process:
            for line in process.stdout or ():
                self._note(json.loads(line) if line.startswith("{") else {})

    def _note(self, said: dict[str, Any]) -> None:
        if "ready" in said:
            self._ready.set()
        elif "problem" in said:
            log.warning("%s", said["problem"])
        elif "error" in said:
            message, hint = said["error"]
            self._error = (ClusterLost if said["lost"] else InvalidInput)(message, hint)
