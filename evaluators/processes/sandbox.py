"""Runs functions in a child process that may hang, leak or die without harm to its owner."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

import psutil

from evaluators.processes.pressure import Pressure
from evaluators.processes.sandbox_child import Progress, report
from hwprofiles.errors import MachineBusy, MemoryShort, OutOfMemory, ProcessCrashed, StageTimeout

T = TypeVar("T")

DEATHS_UNTIL_CRASHED = 3
"""Deaths of a process after which the candidate counts as the cause; once or twice something else may be."""

_LOOK_S = 0.05


def in_own_process(function: Callable[..., T], *args: Any, stage: str, limit_s: float) -> T:
    """Runs ``function(*args)`` in a fresh process; raises as :meth:`Sandbox.call` does."""
    sandbox = Sandbox()
    try:
        return sandbox.call(function, *args, stage=stage, limit_s=limit_s)
    finally:
        sandbox.close()


class Sandbox:
    """Runs importable functions in one child process, started on first use and again after each death.

    The child is kept between calls with everything that it has loaded. One call at a time, from one thread; the owner
    closes the sandbox. The child ends itself when the owner dies. ``memory_bytes`` bounds the resident memory of the
    child and its own children. The child's output goes to ``log``, or is dropped.
    """

    def __init__(
        self, *, memory_bytes: int | None = None, log: Path | None = None, progress: Progress = report
    ) -> None:
        self._memory_bytes = memory_bytes
        self._log = log
        self._progress = progress
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None

    def call(self, function: Callable[..., T], *args: Any, stage: str, limit_s: float) -> T:
        """Runs ``function(*args)`` in the child and returns its result.

        Raises the function's own :class:`ParetuneError`; any other exception as :class:`BuildFailed`, a full disk as
        :class:`StorageError`. Raises :class:`StageTimeout` after ``limit_s`` (waiting for quiet does not count), or
        :class:`MachineBusy` if other load held the child up; :class:`OutOfMemory` above the memory bound;
        :class:`ProcessCrashed` after three deaths, or :class:`MemoryShort` if the system ran out of memory for another
        reason. In these cases the child is gone and the next call starts a fresh one.
        """
        for _ in range(DEATHS_UNTIL_CRASHED):
            pressure = Pressure()
            try:
                kind, payload = self._answer(function, args, stage, limit_s, pressure)
            except (EOFError, ConnectionResetError, BrokenPipeError):
                code, peak_bytes = self._end(patience_s=1.0)
                short = code == -signal.SIGKILL and pressure.ran_out_of_memory(peak_bytes)
                continue
            except BaseException:
                self.close()  # no caller is left
                raise
            if kind == "error":
                raise payload
            return payload  # type: ignore[no-any-return]
        if short:
            raise MemoryShort(
                f"{stage}: the system had no memory left and killed its process, which used {peak_bytes / 1e6:.0f} MB",
                "close other programs that need memory",
            )
        raise ProcessCrashed(f"{stage}: its process died {DEATHS_UNTIL_CRASHED} times, last with {_death(code)}")

    def _answer(
        self, function: Callable[..., T], args: tuple[Any, ...], stage: str, limit_s: float, pressure: Pressure
    ) -> tuple[str, Any]:
        connection = self._connect()
        connection.send((function, args))
        deadline = time.monotonic() + limit_s
        since: float | None = None
        look_at = 0.0
        while True:
            if connection.poll(_LOOK_S):
                kind, payload = connection.recv()
                if kind == "progress":
                    self._progress(payload)
                elif kind == "waiting":
                    since, deadline = _extend_deadline(since, deadline, begins=payload)
                else:
                    return kind, payload
            now = time.monotonic()
            if since is None and now > deadline:
                message = f"{stage}: took longer than {limit_s:g} s"
                if self._process is not None and pressure.starves(self._process.pid):
                    raise MachineBusy(
                        f"{message}, because other programs kept the machine busy", "reduce other load on the machine"
                    )
                raise StageTimeout(message, f"raise limits.{stage}_s")
            if self._memory_bytes is None or now < look_at:
                continue
            look_at = now + _LOOK_S
            if (used := self._resident_bytes()) > self._memory_bytes:
                raise OutOfMemory(
                    f"{stage}: used {used / 1e6:.0f} MB of {self._memory_bytes / 1e6:.0f} MB",
                    "raise limits.memory_bytes",
                )

    def close(self) -> None:
        """Ends the child and all processes that it started, at once. May be called again."""
        self._end(patience_s=0.0)

    def _end(self, patience_s: float) -> tuple[int, int]:
        """Ends the child, after ``patience_s`` in which it may die by itself; returns exit code and peak bytes."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        process, self._process = self._process, None
        if process is None:
            return 0, 0
        ends_at = time.monotonic() + patience_s
        # Popen.wait does not tell the peak memory.
        while not (reaped := os.wait4(process.pid, os.WNOHANG))[0] and time.monotonic() < ends_at:
            time.sleep(_LOOK_S / 5)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        _, status, usage = reaped if reaped[0] else os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        return process.returncode, usage.ru_maxrss * 1024

    def _connect(self) -> Connection:
        """Returns the connection to the child, which is started if there is none."""
        if self._connection is None:
            ours, theirs = Pipe()
            command = [
                sys.executable,
                "-m",
                "evaluators.processes.sandbox_child",
                str(theirs.fileno()),
                str(os.getpid()),
            ]
            output = self._log.open("ab") if self._log else subprocess.DEVNULL
            try:
                # A process group of its own: its children end with it, and Ctrl-C reaches only the owner.
                self._process = subprocess.Popen(
                    command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                    process_group=0,
                )  # fmt: skip
            finally:
                if not isinstance(output, int):
                    output.close()
                theirs.close()
            self._connection = ours
        return self._connection

    def _resident_bytes(self) -> int:
        if self._process is None:
            return 0
        try:
            process = psutil.Process(self._process.pid)
            return sum(p.memory_info().rss for p in [process, *process.children(recursive=True)])
        except psutil.NoSuchProcess:
            return 0


def _extend_deadline(since: float | None, deadline: float, *, begins: bool) -> tuple[float | None, float]:
    """When the child began to wait (None if it does not), and the deadline, extended by a wait that ended."""
    now = time.monotonic()
    if begins:
        return now, deadline
    return None, deadline if since is None else deadline + now - since


def _death(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    return f"signal {-code}"
