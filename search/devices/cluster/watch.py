"""The process that keeps a worker's store up to date about the nodes of its cluster.

Run as ``python -m search.devices.cluster.watch``, with stdin connected to the worker; the database is that of
``PARETUNE_DB``, the cluster that of ``PARETUNE_RAY_ADDRESS``. It is a process of its own, since Ray ends a process that
has lost its cluster. Prints what is wrong with nodes, a line each; the first line is :data:`READY`.
"""

from __future__ import annotations

import os
import select
import sys

from hwprofiles.errors import InvalidInput, ParetuneError, StorageError
from search.devices.link import ADDRESS, ray_address
from search.folders import default_database
from search.store import Store

READY = "ready"
LOOK_S = 10.0


def watch(store: Store, address: str) -> None:
    """Registers the devices of the cluster's nodes until stdin ends. Raises as :func:`joined` does."""
    from search.devices.cluster.connection import joined
    from search.devices.cluster.nodes import REPORT_S, NodeRegister

    with joined(address):
        register = NodeRegister(store)
        lines, wait_s = register.look(REPORT_S), 0.0
        print(READY, flush=True)
        while True:
            for line in lines:
                print(line, flush=True)
            if select.select([sys.stdin], [], [], wait_s)[0]:
                return
            try:
                lines, wait_s = register.look(), LOOK_S
            except StorageError:
                lines, wait_s = [], LOOK_S  # the worker says so


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
        print(f"{error.message}; {error.hint}", flush=True)
        return error.exit_code
    return 0


if __name__ == "__main__":
    # Its end must reach no handler that Ray has installed: nothing here needs a clean-up.
    code = main()
    sys.stdout.flush()
    os._exit(code)
