"""The nodes of a Ray cluster: whether they run the same software as we do, and the devices that they declare."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from hwprofiles import Profile
from hwprofiles.errors import ParetuneError, first_line
from search.devices.cluster import settings
from search.devices.cluster.resources import NodeDevice, devices_among
from search.store import Store

# isort: split
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

REPORT_S = 60.0
"""Seconds that a node has to report: it starts a process for it."""

Json = dict[str, Any]


@dataclass(frozen=True)
class Node:
    """A living node of the cluster."""

    node_id: str
    name: str
    """Its host and the first digits of its id: there may be several on one host."""
    devices: tuple[NodeDevice, ...]
    cpus: int
    memory_bytes: int

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Node:
        """Reads a row of Ray's list of nodes."""
        resources: Mapping[str, float] = row["Resources"]
        return cls(
            row["NodeID"], f"{row['NodeManagerHostname']}/{row['NodeID'][:8]}", tuple(devices_among(resources)),
            int(resources.get("CPU", 0)), int(resources.get("memory", 0)),
        )  # fmt: skip


def living_nodes() -> list[Node]:
    """Returns the living nodes of the cluster that this process is connected to."""
    return [Node.of(row) for row in ray.nodes() if row["Alive"]]


def versions() -> dict[str, str]:
    """Returns the versions that must be the same on all machines of a cluster."""
    return {
        "Paretune": metadata.version("paretune"),
        "Python": ".".join(platform.python_version_tuple()[:2]),
        "Ray": ray.__version__,
    }


def unlike_versions(theirs: Mapping[str, str]) -> str | None:
    """Returns in which versions another machine differs from this one, in words; None if in none."""
    pairs = [
        f"{name} {theirs.get(name, 'of no known version')}, this machine {version}"
        for name, version in versions().items()
        if theirs.get(name) != version
    ]
    return "; ".join(pairs) or None


def _report(devices: tuple[NodeDevice, ...]) -> Json:
    """Returns what this node is: plain data, that any version can read."""
    reports: Json = {}
    for device in devices:
        try:
            executor = device.open()
            reports[device.resource] = {"profile": executor.profile.to_dict(), "offer": executor.offer}
        except ParetuneError as error:
            reports[device.resource] = {"error": f"{error.message}; {error.hint}"}
    return {
        "versions": versions(),
        "niceness": os.nice(0),
        "authentication": settings.AUTHENTICATION,
        "devices": reports,
    }


class NodeRegister:
    """Asks each node once what it is, and registers the devices of nodes in the store. Used from one thread."""

    def __init__(self, store: Store | None) -> None:
        """Without a store nothing is registered."""
        self._store = store
        self._asked: dict[str, ray.ObjectRef] = {}
        self._reported: set[str] = set()
        self._remote = ray.remote(num_cpus=0, max_retries=1)(_report)
        self.unlike: list[str] = []
        """Names of the nodes that cannot work for us, since they have other versions."""

    def look(self, wait_s: float = 0.0) -> list[str]:
        """Asks new nodes, and waits for answers; returns what is wrong with nodes, a line each."""
        nodes = {node.node_id: node for node in living_nodes()}
        for node_id in nodes.keys() - self._asked.keys():
            place = NodeAffinitySchedulingStrategy(node_id, soft=False)
            self._asked[node_id] = self._remote.options(scheduling_strategy=place).remote(nodes[node_id].devices)
        waiting = {self._asked[node_id]: nodes[node_id] for node_id in nodes.keys() - self._reported}
        ready, _ = ray.wait(list(waiting), num_returns=len(waiting), timeout=wait_s) if waiting else ([], [])
        lines = [line for answer in ready for line in self._note(waiting[answer], answer)]
        if self._store is not None and (alive := nodes.keys() & self._reported):
            self._store.agents.note_nodes([nodes[node_id].name for node_id in alive])
        return sorted(lines)

    def _note(self, node: Node, answer: ray.ObjectRef) -> Iterator[str]:
        self._reported.add(node.node_id)
        try:
            report: Json = ray.get(answer)
        except ray.exceptions.RayError as error:
            reason = first_line(getattr(error, "cause", None) or error)
            yield f"node {node.name} cannot run Paretune: {reason}; install the same version there"
            self.unlike.append(node.name)
            return
        if (unlike := unlike_versions(report["versions"])) is not None:
            yield f"node {node.name} has {unlike}; install the same version there"
            self.unlike.append(node.name)
        if report["authentication"] != "token":
            yield (
                f"node {node.name} was started without RAY_AUTH_MODE=token: whoever reaches the cluster can run any "
                "code on it; start it again with the commands of: paretune devices resources"
            )
        if node.devices and report["niceness"] > 0:
            yield (
                f"node {node.name} runs with low priority, so that other programs disturb its measurements; start it "
                "again with RAY_worker_niceness=0"
            )
        for device in node.devices:
            yield from self._register(node, device, report["devices"][device.resource])

    def _register(self, node: Node, device: NodeDevice, report: Json) -> Iterator[str]:
        again = "declare it anew with: paretune devices resources"
        if "error" in report:
            yield f"node {node.name} cannot measure as device {device.name!r}: {report['error']}"
            return
        profile = Profile.from_dict(report["profile"])
        if not profile.digest.startswith(device.digest):
            yield f"node {node.name} is not what it declares as device {device.name!r} any more; {again}"
        elif self._store is not None:
            try:
                self._store.agents.register_node(node.name, profile, report["offer"], device.resource)
            except ParetuneError as error:
                yield f"node {node.name}: {error.message}; {error.hint}"
