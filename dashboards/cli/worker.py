"""Commands that run queued jobs: a worker, and a worker with a server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Annotated

import typer

from dashboards.cli.console import err
from dashboards.cli.options import Db, open_store
from dashboards.cli.service import serve_nicely
from hwprofiles.logs import log_to_stderr
from search.devices.link import ADDRESS
from search.interrupts import at_end_of_stdin, interrupt
from search.store import Store

Jobs = Annotated[int, typer.Option("--jobs", min=1, help="Jobs to run at a time.")]


RayAddress = Annotated[
    str | None,
    typer.Option(
        envvar=ADDRESS, metavar="HOST:PORT", show_default=False,
        help="Head of the Ray cluster to run trials in; this machine must be a node of it. Default: a Ray of its own.",
    ),
]  # fmt: skip


def worker(
    jobs: Jobs = 1,
    ray_address: RayAddress = None,
    db: Db = None,
    until_stdin_ends: Annotated[
        bool, typer.Option("--until-stdin-ends", help="Also end when stdin ends, as a parent's end does.")
    ] = False,
) -> None:
    """Run queued jobs, until Ctrl-C; jobs under way then return to the queue."""
    from search.queue.cluster import ClusterWatch
    from search.queue.worker import Worker

    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    if until_stdin_ends:
        at_end_of_stdin(stop.set)
    with open_store(db) as store, ExitStack() as stack:
        log_to_stderr()
        cluster = None if ray_address is None else stack.enter_context(ClusterWatch(store.url, ray_address))
        err.print(f"worker ready for {jobs} job{'s' if jobs > 1 else ''} at a time (Ctrl-C ends it)", soft_wrap=True)
        if cluster is None:
            Worker(store, jobs).run(stop)
        else:
            Worker(store, jobs, cluster.environment, lambda: cluster.is_there).run(stop)


def up(
    host: Annotated[str, typer.Option(help="Address; this machine only by default.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8700,
    jobs: Jobs = 1,
    db: Db = None,
) -> None:
    """Start everything on this machine: the server with its pages, and a worker that runs submitted jobs."""
    with open_store(db) as store, _worker_process(store, jobs):
        serve_nicely(store, host, port)


@contextmanager
def _worker_process(store: Store, jobs: int) -> Iterator[None]:
    """Runs a worker as a child process while the block runs; it ends with this process, also if that is killed."""
    command = [sys.executable, "-m", "dashboards.main", "worker", "--jobs", str(jobs), "--until-stdin-ends"]
    environment = os.environ | {"PARETUNE_DB": store.url}
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
            signal.signal(number, lambda *_: interrupt())
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, start_new_session=True):
        yield  # its end closes stdin, and waits for the worker
