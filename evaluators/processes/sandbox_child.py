"""The child's side of a sandbox: serves calls until its owner is gone.

Run as ``python -m evaluators.processes.sandbox_child FD``.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any

from evaluators.processes.freed_memory import give_back_memory
from evaluators.processes.pressure import memory_is_short
from hwprofiles.errors import BuildFailed, MemoryShort, OutOfMemory, ParetuneError, StorageError

Progress = Callable[[str], None]
_FULL = (errno.ENOSPC, errno.EDQUOT)
_report: Progress = lambda text: None  # noqa: E731
_pause: Callable[[bool], None] = lambda begins: None  # noqa: E731


def report(text: str) -> None:
    """Reports progress to the owner, in one line; does nothing outside a sandbox."""
    _report(text)


@contextlib.contextmanager
def waiting() -> Iterator[None]:
    """Tells the owner that this process waits for its turn, which counts against no time limit."""
    _pause(True)
    try:
        yield
    finally:
        _pause(False)


def serve(connection: Connection) -> None:
    """Runs each received ``(function, args)``; sends ``(kind, payload)``: value, error, progress or waiting."""
    global _report, _pause
    _report = lambda text: connection.send(("progress", text))  # noqa: E731
    _pause = lambda begins: connection.send(("waiting", begins))  # noqa: E731
    while True:
        try:
            function, args = connection.recv()
        except EOFError:
            return
        kind, payload = _answer(function, args)
        del function, args
        give_back_memory()
        try:
            connection.send((kind, payload))
        except (pickle.PicklingError, TypeError, AttributeError) as error:
            connection.send(
                ("error", BuildFailed(f"a result of type {type(payload).__name__} cannot be sent: {error}"))
            )


def _answer(function: Callable[..., Any], args: tuple[Any, ...]) -> tuple[str, Any]:
    try:
        return "value", function(*args)
    except ParetuneError as error:
        return "error", error
    except MemoryError:
        if memory_is_short():
            return "error", MemoryShort("the machine has no memory left", "close other programs that need memory")
        return "error", OutOfMemory("memory could not be allocated")
    # Any exception of a model, a technique or a user's task is the candidate's failure and never ends this process.
    except (Exception, SystemExit) as error:  # noqa: BLE001
        traceback.print_exc()
        if _is_full(error):
            return "error", StorageError("the disk or its quota is full", "free some space")
        first = (str(error).strip().splitlines() or [""])[0][:400]
        return "error", BuildFailed(f"{type(error).__name__}: {first}")


def _is_full(error: BaseException | None) -> bool:
    """Returns whether a full disk caused an error; C++ libraries tell it only in the text of their errors."""
    while error is not None:
        if getattr(error, "errno", None) in _FULL or any(os.strerror(number) in str(error) for number in _FULL):
            return True
        error = error.__cause__ or error.__context__
    return False


def _end_with(owner: int) -> None:
    """Ends this process and its children when the owner dies: a long computation would not notice the closed pipe."""
    while os.getppid() == owner:
        time.sleep(0.2)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with, args=(int(sys.argv[2]),), daemon=True).start()
    # Imported instead of __main__: functions of this module must be the same objects for all modules.
    from evaluators.processes import sandbox_child

    sandbox_child.serve(Connection(int(sys.argv[1])))
