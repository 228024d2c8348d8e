"""How many trials of a job may be in work on a cluster, as nodes and other jobs come and go."""

from __future__ import annotations

from typing import Any

import pytest

from hwprofiles.errors import InvalidInput
from search.controller import cluster_place
from search.controller.cluster_place import Share
from search.devices.cluster.nodes import Node
from search.devices.cluster.resources import NodeDevice

LAB = NodeDevice("lab", "local-cpu", "0" * 16)


def node(cpus: int, *devices: NodeDevice, memory_bytes: int = 10**10) -> Node:
    return Node("", "", devices, cpus, memory_bytes)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The nodes and the number of running jobs, to be changed by a test; looked at each time."""
    now: dict[str, Any] = {"nodes": [node(4), node(4)], "jobs": 1}
    monkeypatch.setattr(cluster_place, "living_nodes", lambda: now["nodes"])
    monkeypatch.setattr(cluster_place, "running_jobs", lambda: now["jobs"])
    monkeypatch.setattr(cluster_place, "_LOOK_S", 0.0)
    return now


def share(**fields: Any) -> Share:
    arguments: dict[str, Any] = {"resources": {"cpu": 1}, "devices": set(), "parallel": 1, "measuring": None, **fields}
    return Share(**arguments)


def test_jobs_share_the_places_evenly(cluster: dict[str, Any]) -> None:
    one = share()
    assert one.most() == 9, "all places, and one trial that waits, so that a cluster that can grow does"
    cluster["jobs"] = 3
    assert one.most() == 2
    cluster["jobs"] = 100
    assert one.most() == 1
    cluster["jobs"], cluster["nodes"] = 1, [node(4)]
    assert one.most() == 5


def test_a_measured_job_takes_what_its_devices_can_answer(cluster: dict[str, Any]) -> None:
    measured = share(devices={LAB}, measuring=0)
    cluster["nodes"] = [node(8), node(8, LAB)]
    assert measured.most() == 2
    cluster["nodes"].append(node(8, LAB))
    assert measured.most() == 4
    assert share(devices={LAB}, measuring=0, parallel=6).most() == 6, "what the job file says"
    assert share(devices={LAB}, measuring=3).most() == 10, "boards with agents answer too"


def test_memory_limits_the_places(cluster: dict[str, Any]) -> None:
    large = share(resources={"cpu": 1, "memory": 4 * 10**9})
    assert large.most() == 5
    large.check()
    with pytest.raises(InvalidInput, match=r"limits\.memory_bytes: no node of the cluster has so much"):
        share(resources={"cpu": 1, "memory": 2 * 10**10}).check()


def test_a_cluster_without_nodes_is_waited_for(cluster: dict[str, Any]) -> None:
    cluster["nodes"] = []
    none_yet = share(resources={"cpu": 1, "memory": 10**9})
    none_yet.check()
    assert none_yet.most() == 1
