"""Jobs on a Ray cluster of several nodes, which have folders of their own, devices of their own, and may vanish."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stand_in_node
from command_line import COMMAND, environment, wait_until
from inline_search import InlineSandbox, without_ray
from ray_nodes import RayNodes, ray_nodes
from small_jobs import spec, write_classifier, write_two_classifiers
from stand_in_node import declared

from dashboards.documents.agents import agents_document
from dashboards.documents.front import front_document
from evaluators.devices.request import MeasurementRequest
from hwprofiles.errors import ClusterLost, DeviceUnavailable, InvalidInput
from search.controller.controller import Controller
from search.controller.ray_cluster import _token  # Ray reads its token once in a process
from search.controller.submission import submit
from search.controller.trial_feed import Answer, Order
from search.controller.trial_worker import TrialWorker
from search.devices.blobs import Blobs
from search.devices.cluster import connection
from search.devices.cluster.hub import NodeLink, start_hub
from search.devices.cluster.nodes import REPORT_S, NodeRegister
from search.devices.cluster.resources import NodeDevice
from search.devices.link import ADDRESS, StoreLink
from search.devices.lookup import DeviceRegistry, open_device
from search.folders import cache_folder, default_database, job_folder
from search.job.spec import parse_job
from search.states import JobState, RequestState, TrialState
from search.store import Store, Submission, TrialRow

LAB, SHELF = declared("lab"), declared("shelf", "other")
SIZE_MATTERS = [
    {"metric": "cosine", "direction": "max"},
    {"metric": "speedup", "direction": "max"},
    {"metric": "size_bytes", "direction": "min"},
]


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayNodes]:
    """A head without places for trials, two nodes that measure as ``lab``, and one as ``shelf``."""
    with ray_nodes(tmp_path_factory.mktemp("nodes"), _token()) as cluster:
        cluster.add("head", cpus=0)
        for name, device in (("left", LAB), ("right", LAB), ("other", SHELF)):
            cluster.add(name, resources={device.resource: 1})
        yield cluster


@pytest.fixture(autouse=True)
def reachable(nodes: RayNodes, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process can join the cluster; what nodes declare are the devices that make their answers up."""
    for name, value in nodes.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("search.devices.cluster.resources.NodeDevice", stand_in_node.StandInDevice)
    monkeypatch.setattr("search.controller.preparing.Sandbox", InlineSandbox)


@pytest.fixture
def known(store: Store) -> None:
    """The devices of the nodes are in the store."""
    for device, names in ((LAB, ("left", "right")), (SHELF, ("other",))):
        for name in names:
            profile = stand_in_node.profile_of(device.name, device.local)
            store.agents.register_node(name, profile, stand_in_node.OFFER, device.resource)


def joined(nodes: RayNodes) -> AbstractContextManager[None]:
    return connection.join(nodes.address)


def register(store: Store | None) -> list[str]:
    lines = NodeRegister(store).look(REPORT_S)
    return [line for line in lines if "low priority" not in line]  # the tests themselves may be niced


@pytest.fixture
def run(nodes: RayNodes, store: Store, tmp_path: Path) -> Callable[..., list[TrialRow]]:
    """Runs a job on the cluster and returns its trials."""
    write_classifier(tmp_path, layers=1)

    def run_job(**fields: Any) -> list[TrialRow]:
        job_id = submit(store, parse_job(spec(**fields), folder=tmp_path, registry=DeviceRegistry(store)), tmp_path)
        assert Controller(store, job_id, ray_address=nodes.address).run() is JobState.DONE
        return store.trials.of_job(job_id)

    return run_job


def measuring(*devices: str) -> dict[str, Any]:
    return {
        "devices": list(devices), "objectives": SIZE_MATTERS, "strategy": {"name": "random"},
        "space": {"precision": {"activations": "uint8", "choices": ["fp32", "int8"]}}, "budget": {"trials": 3},
    }  # fmt: skip


def undisturbed(store: Store, folder: Path, **fields: Any) -> list[str]:
    """The digests of a job's candidates, run in this process."""
    with pytest.MonkeyPatch.context() as patch:
        without_ray(patch)
        job_id = submit(store, parse_job(spec(**fields), folder=folder), folder)
        Controller(store, job_id).run()
    return [row.digest for row in store.trials.of_job(job_id)]


class Doings:
    """What nodes say that they do: files beside their homes, see :mod:`stand_in_node`."""

    def __init__(self, nodes: RayNodes) -> None:
        self._folder = nodes.folder
        for path in self._files():
            path.unlink()

    def _files(self) -> list[Path]:
        return [path for path in self._folder.glob("*-*") if path.name.rpartition("-")[2].isdigit()]

    def who(self, *kinds: str) -> set[str]:
        """Returns the nodes that did something of these kinds."""
        return {path.name.rpartition("-")[0] for path in self._files() if path.read_text() in kinds}


@pytest.fixture
def doings(nodes: RayNodes) -> Doings:
    return Doings(nodes)


class TestNodes:
    def test_the_devices_that_they_declare_are_known(self, nodes: RayNodes, store: Store) -> None:
        with joined(nodes):
            assert register(store) == []
        boards = agents_document(store, revoked=False)["agents"]
        assert [(board["device"], board["kind"], board["online"]) for board in boards] == [
            ("lab", "cluster node", True),
            ("lab", "cluster node", True),
            ("shelf", "cluster node", True),
        ]
        assert len({board["board"] for board in boards}) == 3
        profile = DeviceRegistry(store).find("lab")
        assert profile.digest.startswith(LAB.digest)
        assert profile.digest != DeviceRegistry(store).find("shelf").digest

    def test_what_is_wrong_with_each_is_said(self, nodes: RayNodes, monkeypatch: pytest.MonkeyPatch) -> None:
        ours = {"Paretune": "9.9", "Python": "3.11", "Ray": "1.0"}
        monkeypatch.setattr("search.devices.cluster.nodes.versions", lambda: ours)
        monkeypatch.setattr("search.devices.cluster.resources.NodeDevice", NodeDevice)  # looks for the real devices
        with joined(nodes):
            problems = register(None)
        versions = [line for line in problems if "has Paretune 0.1.0, this machine 9.9; Ray 2." in line]
        assert len(versions) == 4
        assert all(line.endswith("install the same version there") for line in versions)
        devices = sorted(line.partition(" cannot ")[2].partition(";")[0] for line in problems if line not in versions)
        assert devices == [
            "measure as device 'lab': unknown device 'one'",
            "measure as device 'lab': unknown device 'one'",
            "measure as device 'shelf': unknown device 'other'",
        ]

    def test_an_agent_s_device_is_asked_through_the_controller_s_machine(
        self, nodes: RayNodes, store: Store, tmp_path: Path
    ) -> None:
        """Nodes know neither the store nor its password."""
        import ray

        profile = stand_in_node.profile_of("pi", "one")
        store.agents.register("pi", store.agents.new_token("pi"), "first", profile, {"runtimes": [], "cores": [[0]]})
        models = [path.read_bytes() for path in write_two_classifiers(tmp_path)]

        def ask(link: NodeLink, models: list[bytes], folder: Path) -> int:
            folder.mkdir()
            for number, data in enumerate(models):
                (folder / f"{number}.onnx").write_bytes(data)
            device = open_device(profile, link)
            try:
                return device.peak_memory_bytes(folder / "1.onnx", {"x": np.ones((1, 16), np.float32)}, limit_s=9.0)
            finally:
                device.close()

        def answer() -> None:
            while (row := store.requests.lease("pi", "first")) is None:
                time.sleep(0.05)
            path = Blobs().find(MeasurementRequest.from_dict(row.request).candidate.sha256)
            assert path is not None
            done = RequestState.DONE, {"peak_memory_bytes": path.stat().st_size}
            store.requests.finish("pi", "first", row.errand_id, row.epoch, *done)

        with joined(nodes):
            hub = start_hub("hub-of-test", tmp_path, StoreLink(default_database(), "job search"), time.monotonic)
            place = ray.remote(num_cpus=0, resources={SHELF.resource: 1})(ask)
            agent = threading.Thread(target=answer)
            agent.start()
            link = NodeLink("hub-of-test", (), 60.0, "job search")
            assert ray.get(place.remote(link, models, nodes.folder / "asked")) == len(models[1])
            agent.join()
            ray.kill(hub)


class TestJobs:
    @pytest.mark.usefixtures("known")
    def test_nodes_measure_side_by_side_and_nothing_depends_on_shared_folders(
        self, run: Callable[..., list[TrialRow]], store: Store, doings: Doings, nodes: RayNodes
    ) -> None:
        rows = run(**measuring("lab", "shelf"))
        assert {row.state for row in rows} == {TrialState.DONE}
        assert doings.who("latency") == {"left", "right", "other"}
        fronts = front_document(store, rows[0].job_id)["fronts"]
        assert fronts.keys() == {"lab", "shelf"}
        members = {member["digest"] for front in fronts.values() for member in front["front"]}
        kept = {path.stem for path in job_folder(rows[0].job_id).glob("*.onnx")}
        assert members <= kept, "what is on the front was brought to the controller's machine"
        caches = [home / "cache" for home in nodes.homes.values() if (home / "cache" / "jobs").exists()]
        assert caches
        for cache in caches:
            assert {path.name for path in cache.glob("jobs/*/*")} == {"model.onnx", "samples.npz"}
            assert list(cache.glob("models/*.onnx"))
            assert list(cache.glob("trials/*")) == []
        assert not (cache_folder() / "agent").exists(), "nothing was measured by this process"

    def test_a_worker_runs_the_queue_on_the_cluster(
        self, nodes: RayNodes, store: Store, tmp_path: Path, home: Path
    ) -> None:
        write_classifier(tmp_path, layers=1)
        job = parse_job(spec(budget={"trials": 4}), folder=tmp_path)
        job_id = submit(store, job, tmp_path, Submission("me"))
        with (tmp_path / "worker.log").open("w") as log:
            worker = subprocess.Popen(
                [*COMMAND, "worker"], env=environment(home, **nodes.environment), stderr=log, start_new_session=True
            )
        try:
            wait_until(lambda: store.jobs.get(job_id).state is JobState.DONE, "the job's end")
        finally:
            worker.terminate()
            worker.wait(30)
        assert [row.state.measured for row in store.trials.of_job(job_id)] == [True] * 4
        said = (tmp_path / "worker.log").read_text()
        assert "cannot measure as device 'lab': unknown device 'one'" in said, "nodes were asked what they declare"


class HeldWorker(TrialWorker):
    """Says where it works, and waits there while a test says so."""

    def run(self, order: Order) -> Answer:
        folder = Path(os.environ["PARETUNE_HOME"])
        (folder.parent / f"{folder.name}-{time.monotonic_ns()}").write_text("trial")
        while (folder / "hold").exists():
            time.sleep(0.02)
        return super().run(order)


class TestLosses:
    """Each takes a node away."""

    def test_a_node_that_vanishes_under_a_trial(
        self, run: Callable[..., list[TrialRow]], store: Store, tmp_path: Path, doings: Doings, nodes: RayNodes,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        monkeypatch.setattr("search.controller.trial_worker.TrialWorker", HeldWorker)
        holds = [nodes.homes[name] / "hold" for name in ("left", "right", "other")]
        for hold in holds:
            hold.touch()
        killer = killing(nodes, doings, "other", holds, "trial")
        rows = run(budget={"trials": 12})
        killer.join()
        assert [row.number for row in rows] == list(range(12))
        assert all(row.state.measured for row in rows)
        assert [row.digest for row in rows] == undisturbed(store, tmp_path, budget={"trials": 12})

    @pytest.mark.usefixtures("known")
    def test_a_node_that_vanishes_under_a_measurement(
        self, run: Callable[..., list[TrialRow]], doings: Doings, nodes: RayNodes
    ) -> None:
        hold = nodes.homes["right"] / "hold"
        hold.touch()
        killer = killing(nodes, doings, "right", [hold], "latency", "peak_memory")
        rows = run(**measuring("lab"))
        killer.join()
        assert {row.state for row in rows} == {TrialState.DONE}
        assert doings.who("latency", "peak_memory") == {"left", "right"}

    def test_the_head_that_vanishes(self, nodes: RayNodes, tmp_path: Path) -> None:
        """The last test: the cluster is gone afterwards. The controller ends in time, with an exit code of its own."""
        program = tmp_path / "controller.py"
        program.write_text(_JOIN)
        process = subprocess.Popen(
            [sys.executable, program, nodes.address], stdout=subprocess.PIPE, text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )  # fmt: skip
        with process:
            assert process.stdout is not None
            assert process.stdout.readline() == "joined\n"
            nodes.kill("head")
            began = time.monotonic()
            assert process.wait(60) == ClusterLost.exit_code
            assert time.monotonic() - began < 30
        with pytest.raises(ClusterLost, match="cannot be reached"), joined(nodes):
            pass


_JOIN = """
import sys, time
from hwprofiles.errors import ClusterLost
from search.devices.cluster import connection
connection.LOST_S = 2.0
try:
    with connection.join(sys.argv[1]):
        print("joined", flush=True)
        time.sleep(60)
except ClusterLost as error:
    assert "was lost" in error.message
    sys.exit(error.exit_code)
"""


def killing(nodes: RayNodes, doings: Doings, name: str, holds: list[Path], *kinds: str) -> threading.Thread:
    """Kills a node as soon as it does something, then lets go of what is held."""

    def kill() -> None:
        try:
            wait_until(lambda: name in doings.who(*kinds), f"{kinds[0]} on {name}")
            nodes.kill(name)
        finally:
            for hold in holds:
                hold.unlink()

    thread = threading.Thread(target=kill)
    thread.start()
    return thread


class TestJoining:
    def test_without_a_token(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.delenv("RAY_AUTH_TOKEN")
        monkeypatch.setenv("HOME", str(tmp_path))
        with pytest.raises(InvalidInput, match="no token for the Ray cluster"):
            connection.check_token()
        (tmp_path / "token").write_text("secret")
        monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "token"))
        connection.check_token()

    def test_what_is_no_address(self) -> None:
        with pytest.raises(InvalidInput, match="is not HOST:PORT"):
            connection.connect("cluster")

    def test_a_device_of_nodes_needs_the_cluster(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv(ADDRESS)
        profile = stand_in_node.profile_of("lab", "one")
        store.agents.register_node("left", profile, {"runtimes": []}, LAB.resource)
        with pytest.raises(DeviceUnavailable, match="which this process has not joined") as caught:
            open_device(profile, StoreLink(default_database()))
        assert ADDRESS in caught.value.hint
