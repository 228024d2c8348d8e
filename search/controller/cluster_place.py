"""The trials of a search on the nodes of a Ray cluster that this process has joined."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from evaluators.devices.deadline import Clock
from hwprofiles.errors import InvalidInput
from search.controller.node_setup import NodeSetup, shared_files
from search.controller.place import Place
from search.controller.prepared_job import PreparedJob
from search.devices.cluster import settings
from search.devices.cluster.hub import PREFIX, NodeLink, start_hub
from search.devices.cluster.nodes import Node, living_nodes, versions
from search.devices.cluster.resources import NodeDevice, devices_among
from search.devices.link import StoreLink

# isort: split
import ray

_LOOK_S = 2.0
"""Between two looks at the cluster's nodes and running jobs."""

PER_DEVICE = 2
"""Trials in work for each node that measures: one is built while another is measured."""


@contextmanager
def on_cluster(job: PreparedJob, link: StoreLink, clock: Clock) -> Iterator[Place]:
    """Prepares the cluster for a job's trials inside the ``with`` block; ``clock`` is the controller's.

    Files that trials need are put into the cluster's object store. Raises :class:`InvalidInput` for a job that no node
    can work on.
    """
    devices, name = _node_devices(job), f"{PREFIX}{job.lease.job_id}-{job.lease.epoch}"
    setup = NodeSetup(
        job.lease.job_id,
        NodeLink(name, tuple(devices.items()), link.away_s, link.purpose or ""),
        versions(),
        shared_files(job.context, job.prepared.facts),
    )
    resources = _resources(job)
    share = Share(resources, set(devices), job.spec.budget.parallel, None if job.simulated else _boards(job))
    share.check()
    hub = start_hub(name, job.folder, link, clock)
    try:
        yield Place(share.most, resources, {"node": setup})
    finally:
        ray.kill(hub)


def _node_devices(job: PreparedJob) -> dict[NodeDevice, tuple[str, ...]]:
    """Returns the job's devices that nodes declare, with the runtimes that they have."""
    devices: dict[NodeDevice, tuple[str, ...]] = {}
    for device in job.context.devices:
        board = job.store.agents.row(device.profile.device) if device.profile.agent else None
        if board is not None and board.resource is not None:
            (declared,) = devices_among([board.resource])
            devices[declared] = tuple(board.offer.get("runtimes", ()))
    return devices


def _boards(job: PreparedJob) -> int:
    """Returns how many boards with agents may measure for a job at a time."""
    names = {device.profile.device for device in job.context.devices}
    return sum(board.device in names and board.resource is None and board.online for board in job.store.agents.all())


def _resources(job: PreparedJob) -> dict[str, float]:
    """Returns what each trial of a job takes of the cluster."""
    limits = job.spec.limits
    resources: dict[str, float] = {"cpu": 1}
    if limits.memory_bytes is not None:
        resources["memory"] = limits.memory_bytes
    if limits.gpus:
        resources["gpu"] = limits.gpus
    if any(not device.profile.agent and not device.profile.simulated for device in job.context.devices):
        # It measures the controller's machine, so that its trials must run there.
        resources[f"node:{ray.util.get_node_ip_address()}"] = 0.001
    return resources


class Share:
    """A job's share of the cluster: as many trials as its nodes have places for, divided by the jobs that run.

    Looked at again while the job runs: nodes and jobs come and go. ``devices`` are those that nodes declare,
    ``measuring`` how many other devices measure; None for a job that measures nothing. One that waits for measurements
    gets no more than :data:`PER_DEVICE` trials for each, or ``parallel``.
    """

    def __init__(
        self, resources: Mapping[str, float], devices: set[NodeDevice], parallel: int, measuring: int | None
    ) -> None:
        self._resources, self._devices, self._parallel, self._measuring = resources, devices, parallel, measuring
        self._most, self._look_at = 1, 0.0

    def most(self) -> int:
        """Returns how many trials may be in work now."""
        if time.monotonic() >= self._look_at:
            nodes, jobs = living_nodes(), max(1, running_jobs())
            slots = sum(map(self._slots, nodes)) // jobs
            # One more than there are places, so that a cluster that can grow does.
            self._most = max(1, int(min(self._useful(nodes), slots + (jobs == 1))))
            self._look_at = time.monotonic() + _LOOK_S
        return self._most

    def check(self) -> None:
        """Raises :class:`InvalidInput` if there are nodes, but none that a trial fits on."""
        nodes = living_nodes()
        largest = max((node.memory_bytes for node in nodes), default=0)
        if self._resources.get("memory", 0) > largest > 0:
            raise InvalidInput(
                f"limits.memory_bytes: no node of the cluster has so much; the largest has {largest}",
                "lower it, or add a larger node",
            )

    def _slots(self, node: Node) -> int:
        memory = self._resources.get("memory", 0)
        return min(node.cpus, int(node.memory_bytes // memory)) if memory else node.cpus

    def _useful(self, nodes: list[Node]) -> float:
        if self._measuring is None:
            return math.inf
        measuring = self._measuring + sum(bool(self._devices & set(node.devices)) for node in nodes)
        return max(self._parallel, PER_DEVICE * measuring)


def running_jobs() -> int:
    """Returns how many jobs have trials in the cluster."""
    actors = ray.util.list_named_actors(all_namespaces=True)
    return sum(actor["namespace"] == settings.NAMESPACE and actor["name"].startswith(PREFIX) for actor in actors)
