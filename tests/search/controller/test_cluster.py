"""Who can talk to a search's Ray: its own processes, on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

# A search in miniature, by a user who has imported Ray before: it says where its Ray listens, and what a worker
# knows of who may talk to it.
_SEARCH = """
import json, os
import psutil, ray
from hwprofiles.errors import InvalidInput
from search.controller.ray_cluster import local_cluster

NAMES = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_memory_monitor_refresh_ms"

@ray.remote
def told():
    return [os.environ.get(name) for name in NAMES]

if __name__ == "__main__":
    with local_cluster(1):
        told = ray.get(told.remote())
        own = psutil.Process()
        addresses = {
            connection.laddr.ip
            for process in (own, *own.children(recursive=True))
            for connection in process.net_connections("inet")
            if connection.status == "LISTEN"
        }
        try:
            with local_cluster(1):
                refused = ""
        except InvalidInput as error:
            refused = error.message
    print(json.dumps({"told": told, "refused": refused, "addresses": sorted(addresses)}))
"""


def test_ray_asks_for_a_token_and_listens_on_the_loopback_alone(tmp_path: Path) -> None:
    program = tmp_path / "search_in_miniature.py"
    program.write_text(_SEARCH)
    environment = os.environ | {
        "RAY_AUTH_MODE": "disabled", "RAY_AUTH_TOKEN": "everybody's", "HOME": str(tmp_path),
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }  # fmt: skip
    done = subprocess.run([sys.executable, program], env=environment, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    mode, token, monitor_ms = found["told"]
    assert (mode, monitor_ms) == ("token", "0")
    assert len(token) == 64
    assert found["refused"] == "this process has joined a Ray cluster already"
    assert {address.removeprefix("::ffff:") for address in found["addresses"]} == {"127.0.0.1"}
    assert not (tmp_path / ".ray").exists()
