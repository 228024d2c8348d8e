"""A server and an agent as two hosts have them: processes of their own, folders of their own, HTTP between them."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from command_line import COMMAND, ROOT, environment, wait_until

from dashboards.server import background
from evaluators.measuring.latency import Protocol
from search.folders import default_database
from search.store import Store

BUILDERS = Path(__file__).parent
FAULTY_AGENT = [sys.executable, "-c", "import faulty_agent; faulty_agent.main()"]

BRIEF = Protocol(
    runs=2, blocks=2, min_pairs=2, few_pairs=2, min_s=0.0, max_s=0.0, half_width=1e9, usable_width=1e9, warm_up_runs=1,
    warm_up_max_runs=2, attempts=1, energy_s=0.0,
)  # fmt: skip
"""As short as a measurement can be; healthy however noisy the machine is."""


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@dataclass
class Hosts:
    """``home`` is the server's data folder, which the test shares; ``folder`` holds everything else."""

    home: Path
    folder: Path
    port: int = field(default_factory=free_port)
    device: str = "pi"
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def __post_init__(self) -> None:
        self.faults.mkdir()
        self.agent_home.mkdir()

    @property
    def faults(self) -> Path:
        return self.folder / "faults"

    @property
    def agent_home(self) -> Path:
        return self.folder / "agent-home"

    @property
    def token_file(self) -> Path:
        return self.folder / "token"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def make_token(self) -> None:
        with Store(default_database()) as store:
            self.token_file.write_text(store.agents.new_token(self.device))

    def start_server(self, *options: str, within: tuple[str, ...] = ()) -> subprocess.Popen[bytes]:
        """Started, and listening."""
        command = [*within, *COMMAND, "serve", "--port", str(self.port), *options]
        process = self._start(command, "server.log", environment(self.home))
        wait_until(lambda: "Paretune is at" in self.log("server"), "the server's start")
        return process

    def serve_here(self, store: Store) -> None:
        """A server in this process, where nothing is to happen to it."""
        self._stack.enter_context(background(store, port=self.port))

    def start_agent(
        self, *options: str, server: str = "", within: tuple[str, ...] = (), **more: str
    ) -> subprocess.Popen[bytes]:
        """Started; nobody knows whether it has registered."""
        path = os.pathsep.join([str(ROOT), str(BUILDERS)])
        given = ["--server", server or self.url, "--token-file", str(self.token_file), "--device", self.device]
        extra = {"PYTHONPATH": path, "AGENT_FAULTS": str(self.faults), "TMPDIR": str(self.folder), **more}
        return self._start(
            [*within, *FAULTY_AGENT, *given, *options], "agent.log", environment(self.agent_home, **extra)
        )

    def _start(self, command: list[str], log: str, env: dict[str, str]) -> subprocess.Popen[bytes]:
        with (self.folder / log).open("ab") as output:
            process = subprocess.Popen(
                command, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        self.processes.append(process)
        return process

    def log(self, name: str) -> str:
        path = self.folder / f"{name}.log"
        return path.read_text() if path.exists() else ""

    def wait_for(self, words: str, name: str = "agent", times: int = 1) -> None:
        wait_until(lambda: self.log(name).count(words) >= times, f"{words!r} in the {name}'s log")

    @property
    def begun(self) -> int:
        """Measurements that have begun so far."""
        return sum(path.name.startswith("begun-") for path in self.faults.iterdir())

    def hold(self) -> None:
        """From now on measurements wait where they begin."""
        (self.faults / "hold").touch()

    def go_on(self) -> None:
        (self.faults / "hold").unlink(missing_ok=True)

    def stop(self) -> None:
        self.go_on()
        self._stack.close()
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextlib.contextmanager
def cable(target: int) -> Iterator[Cable]:
    """A TCP connection between two hosts that can be cut."""
    opened = Cable(target)
    try:
        yield opened
    finally:
        opened.close()


class Cable:
    """Passes bytes between whoever connects to ``port`` and ``target``, as long as it is whole."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._whole, self._closed = True, False
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Every connection is dead from now on, and none is made."""
        with self._lock:
            self._whole = False
            for pair in self._pairs:
                for one in pair:
                    with contextlib.suppress(OSError):
                        one.shutdown(socket.SHUT_RDWR)
            self._pairs.clear()

    def mend(self) -> None:
        with self._lock:
            self._whole = True

    def close(self) -> None:
        self._closed = True
        self.cut()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while not self._closed:
            try:
                ours, _ = self._listener.accept()
            except OSError:
                return
            try:
                with self._lock:
                    if not self._whole:
                        raise ConnectionRefusedError
                    theirs = socket.create_connection(("127.0.0.1", self._target))
                    self._pairs.append((ours, theirs))
            except OSError:
                ours.close()
                continue
            threading.Thread(target=_pass_on, args=(ours, theirs), daemon=True).start()


def _pass_on(ours: socket.socket, theirs: socket.socket) -> None:
    other = {ours: theirs, theirs: ours}
    with selectors.DefaultSelector() as ready, ours, theirs:
        for one in other:
            ready.register(one, selectors.EVENT_READ)
        with contextlib.suppress(OSError):
            while True:
                for key, _ in ready.select():
                    one = key.fileobj
                    assert isinstance(one, socket.socket)
                    data = one.recv(65536)
                    if not data:
                        return
                    other[one].sendall(data)
