"""A Ray cluster of several nodes on this machine, each with folders of its own; ends with whoever started it.

Run as a process of its own: ``python ray_nodes.py`` reads commands from stdin, a JSON object each, and answers each
with a line. The nodes' processes hold files in a folder that a reaper watches, so that they end however this one does.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT, BUILDERS = Path(__file__).parents[2], Path(__file__).parent

QUICK = {"health_check_failure_threshold": 3, "health_check_period_ms": 500, "health_check_initial_delay_ms": 500}
"""So that a node that has vanished is missed within seconds."""


@dataclass
class RayNodes:
    """The cluster as a test sees it. Nodes are known by the names that the test gives them."""

    process: subprocess.Popen[str]
    token: str
    folder: Path
    address: str = ""
    homes: dict[str, Path] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to join it."""
        return {"RAY_AUTH_TOKEN": self.token, "PARETUNE_RAY_ADDRESS": self.address}

    def add(self, name: str, *, cpus: int = 1, resources: dict[str, float] | None = None, **environment: str) -> None:
        """Starts a node and waits for it; the first one is the head."""
        home = self.homes[name] = self.folder / name
        home.mkdir()
        answer = self._ask(
            add=name, cpus=cpus, resources=resources or {},
            environment={"PARETUNE_HOME": str(home), "RAY_worker_niceness": "0", **environment},
        )  # fmt: skip
        self.address = answer["address"]

    def kill(self, name: str) -> None:
        """Ends a node at once, as a machine does that loses its power."""
        self._ask(kill=name)

    def _ask(self, **command: Any) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps(command), file=self.process.stdin, flush=True)
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        raise AssertionError(f"the cluster has ended: {(self.folder / 'cluster.log').read_text()[-3000:]}")


@contextmanager
def ray_nodes(folder: Path, token: str | None = None) -> Iterator[RayNodes]:
    """A cluster without nodes yet, whose nodes have homes in ``folder``."""
    token = token or secrets.token_hex(32)
    environment = os.environ | {
        "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token, "RAY_memory_monitor_refresh_ms": "0",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(BUILDERS)]),
    }  # fmt: skip
    with (folder / "cluster.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, __file__], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
            text=True,
        )  # fmt: skip
    with process:  # its stdin is closed at the end, which ends it
        yield RayNodes(process, token, folder)


def serve() -> None:
    """Answers commands until stdin ends."""
    from search.controller.reaper import folder_with_reaper

    with folder_with_reaper() as folder:
        os.environ["RAY_TMPDIR"] = str(folder)
        (folder / "ray").mkdir()
        from ray.cluster_utils import Cluster

        cluster, nodes = Cluster(), {}
        for line in sys.stdin:
            command = json.loads(line)
            if "add" in command:
                first = {"_system_config": QUICK} if not nodes else {}
                nodes[command["add"]] = cluster.add_node(
                    num_cpus=command["cpus"], resources=command["resources"], env_vars=command["environment"],
                    node_ip_address="127.0.0.1", include_dashboard=False, object_store_memory=80_000_000, **first,
                )  # fmt: skip
            else:
                cluster.remove_node(nodes.pop(command["kill"]), allow_graceful=False)
            print(json.dumps({"address": cluster.address}), flush=True)
        cluster.shutdown()


if __name__ == "__main__":
    serve()
