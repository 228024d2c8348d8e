"""The process that keeps a worker's store up to date about the nodes of its cluster.

Run as ``python -m search.devices.cluster.watch``, with stdin connected to the worker; the database is that of
``PARETUNE_DB``, the cluster that of ``PARETUNE_RAY_ADDRESS``. It is a process of its own, since Ray ends a process that
has lost its cluster. It prints JSON objects, a line each: ``{"ready": true}``, ``{"problem": "what is wrong with a
node"}``, and, as the last one, ``{"error": ["message", "hint"], "lost": false}``.
"""

from __future__ import annotations

import json
import os
import select
import sys
from typing import Any

from hwprofiles.errors import ClusterLost, InvalidInput, ParetuneError, StorageError
from search.devices.link import ADDRESS, ray_address
from search.folders import default_database
from search.store import Store

LOOK_S = 10.0


def watch(store: Store, address: str) -> None:
    """Registers the devices of the cluster's nodes until stdin ends.

    Raises :class:`InvalidInput` if nodes have other versions than this machine when it begins, and as :func:`joined`
    does.
    """
    from search.devices.cluster.connection import join
    from search.devices.cluster.nodes import REPORT_S, NodeRegister

    with join(address):
        register = NodeRegister(store)
        _say_all(register.look(REPORT_S))
        if register.unlike:
            raise InvalidInput(
                f"nodes of the Ray cluster with other versions than this machine: {', '.join(register.unlike)}",
                "install the same version of Paretune and Ray on all of them",
            )
        _say(ready=True)
        while not select.select([sys.stdin], [], [], LOOK_S)[0]:
            try:
                _say_all(register.look())
            except StorageError:
                continue  # the worker says so


def _say_all(problems: list[str]) -> None:
    for problem in problems:
        _say(problem=problem)


def _say(**line: Any) -> None:
    print(json.dumps(line), flush=True)


def main() -> int:
    """Watches, and returns the exit code."""
    address = ray_address()
    try:
        if address is None:
            raise InvalidInput(f"{ADDRESS} is not set", "set it to HOST:PORT of the cluster's head")
        with Store(default_database()) as store:
            watch(store, address)
    except KeyboardInterrupt:
        return 130
    except ParetuneError as error:
        _say(error=[error.message, error.hint], lost=isinstance(error, ClusterLost))
        return error.exit_code
    return 0


if __name__ == "__main__":
    # Its end must reach no handler that Ray has installed: nothing here needs a clean-up.
    code = main()
    sys.stdout.flush()
    os._exit(code)
