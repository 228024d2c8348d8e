"""The server that the tests start: from either place, and never longer than they run."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest
from postgresql_server import PostgresServer

_TESTS = """
import sys, time
from postgresql_server import PostgresServer
print(PostgresServer().create("jobs"), flush=True)
time.sleep(60)
"""


def test_it_ends_with_tests_that_are_killed(environment: dict[str, str]) -> None:
    tests = subprocess.Popen([sys.executable, "-c", _TESTS], stdout=subprocess.PIPE, text=True, env=environment)
    assert tests.stdout is not None
    url = tests.stdout.readline().strip()
    psycopg.connect(url).close()
    tests.kill()
    tests.communicate()
    deadline = time.monotonic() + 30
    folder = Path(url.partition("?host=")[2])
    while folder.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url)


def test_the_pip_package_serves_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    server = PostgresServer()
    with psycopg.connect(server.create("jobs")) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    server.close()
    assert not server.folder.exists()
