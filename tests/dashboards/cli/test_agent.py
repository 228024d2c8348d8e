"""Two hosts on one machine: a server and an agent in processes of their own, and everything that may happen to them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from command_line import error_lines, interrupt, paretune, wait_until
from inline_search import without_ray
from remote_host import BRIEF, Hosts, cable
from small_jobs import classifier, spec, write_classifier, write_two_classifiers

from dashboards.api import agents as routes
from dashboards.cli import run_app
from dashboards.cli.commands import build_app
from evaluators.agent.command import parser
from evaluators.measuring.latency import LatencyRequest
from evaluators.measuring.measurement import Measurement
from evaluators.measuring.outputs import difference
from evaluators.runtimes import OnnxRuntime
from hwprofiles.errors import BuildFailed, ParetuneError, UnsupportedOp
from search.controller.controller import Controller
from search.controller.submission import submit
from search.devices import remote, store_transport
from search.devices.link import DeviceLost, StoreLink
from search.devices.lookup import DeviceRegistry
from search.devices.remote import RemoteDevice
from search.folders import default_database
from search.job.spec import parse_job
from search.states import JobState, RequestState, TrialState
from search.store import Store

SAMPLE = {"x": np.ones((1, 16), np.float32)}


@pytest.fixture
def hosts(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hosts]:
    monkeypatch.setattr(routes, "HEARTBEAT_S", 0.3)
    monkeypatch.setattr(routes, "_LOOK_S", 0.02)
    monkeypatch.setattr(store_transport, "_LOOK_S", 0.02)
    # Locks of the test's own: it waits for no measurement of anyone else.
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    home.mkdir()
    opened = Hosts(home, tmp_path)
    opened.make_token()
    yield opened
    opened.stop()


@pytest.fixture
def store(home: Path) -> Iterator[Store]:
    with Store(default_database()) as opened:
        yield opened


@pytest.fixture
def models(tmp_path: Path) -> tuple[Path, Path]:
    return write_two_classifiers(tmp_path)


def open_remote(store: Store, purpose: str | None = "test", **size: int) -> RemoteDevice:
    profile = DeviceRegistry(store).find("pi", **size)
    return RemoteDevice(profile, StoreLink(default_database(), purpose))


class Asking(threading.Thread):
    """A job that asks for one measurement, in a thread; ``result()`` waits for it."""

    def __init__(self, device: RemoteDevice, models: tuple[Path, Path], **options: Any) -> None:
        super().__init__(daemon=True)
        self._device, self._models, self._options = device, models, options
        self._found: Measurement | ParetuneError | None = None
        self.start()

    def run(self) -> None:
        try:
            options = {"protocol": BRIEF, "limit_s": 120.0, **self._options}
            self._found = self._device.measure(LatencyRequest(*self._models, SAMPLE, **options))
        except ParetuneError as error:
            self._found = error

    def result(self) -> Measurement:
        self.join(300)
        assert self._found is not None
        if isinstance(self._found, ParetuneError):
            raise self._found
        return self._found


def registered(hosts: Hosts, times: int = 1) -> None:
    hosts.wait_for("registered as pi", times=times)


def held_up(
    hosts: Hosts, store: Store, models: tuple[Path, Path]
) -> tuple[subprocess.Popen[bytes], RemoteDevice, Asking]:
    """A measurement that has begun and does not get on: the agent that makes it, its device, and who waits."""
    hosts.hold()
    agent = hosts.start_agent()
    registered(hosts)
    device = open_remote(store)
    asking = Asking(device, models)
    wait_until(lambda: hosts.begun == 1, "a measurement")
    return agent, device, asking


def test_a_measurement_on_another_host(
    hosts: Hosts, store: Store, models: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes back is raw samples of that device's profile; each file travels once; Ctrl-C ends it cleanly."""
    hosts.start_server()
    agent = hosts.start_agent()
    registered(hosts)
    device = open_remote(store)
    try:
        found = Asking(device, models).result()
        assert found.profile_digest == device.profile.digest
        assert len(found.baseline_ms) == len(found.candidate_ms) == BRIEF.min_pairs * BRIEF.blocks
        assert found.ratio > 0
        assert device.peak_memory_bytes(models[1], SAMPLE, limit_s=120.0) > 0
        there = device.outputs(models[1], SAMPLE, limit_s=120.0)
        assert there is not None
        assert difference(OnnxRuntime().open(models[1]).run(SAMPLE), there) < 1e-6
        _broken(models[1])
        with pytest.raises(BuildFailed, match="does not load"):
            Asking(device, models).result()
    finally:
        device.close()
    held = {path.name for path in (hosts.agent_home / "cache" / "agent" / "pi").iterdir()}
    assert len(held) == 4  # two models, a broken one, and a sample
    assert "PARETUNE" not in hosts.log("agent")
    assert hosts.token_file.read_text() not in hosts.log("agent") + hosts.log("server")
    os.killpg(agent.pid, signal.SIGINT)
    assert agent.wait(60) == 130
    assert hosts.log("agent").rstrip().endswith("interrupted")
    assert "Traceback" not in hosts.log("agent")


def _broken(path: Path) -> None:
    """A whole file whose graph no runtime takes."""
    model = classifier(1)
    model.graph.node[0].input[0] = "nobody"
    path.write_bytes(model.SerializeToString())


def test_an_agent_killed_in_the_middle_of_a_measurement(hosts: Hosts, store: Store, models: tuple[Path, Path]) -> None:
    """The next agent takes the work up at once, and the job never notices."""
    hosts.serve_here(store)
    agent, device, asking = held_up(hosts, store, models)
    os.kill(agent.pid, signal.SIGKILL)
    agent.wait()
    hosts.go_on()
    hosts.start_agent()
    assert asking.result().ratio > 0
    assert hosts.begun == 2
    assert hosts.log("agent").count(": done") == 1
    device.close()


def test_a_server_that_is_restarted_under_a_measurement(hosts: Hosts, store: Store, models: tuple[Path, Path]) -> None:
    """The agent measures on, and hands its result to the new server."""
    server = hosts.start_server()
    _, device, asking = held_up(hosts, store, models)
    os.kill(server.pid, signal.SIGKILL)
    server.wait()
    hosts.go_on()
    hosts.wait_for("trying again")
    hosts.start_server()
    assert asking.result().ratio > 0
    assert hosts.begun == 1
    device.close()


def test_a_link_that_is_cut_in_the_middle_of_a_measurement(
    hosts: Hosts, store: Store, models: tuple[Path, Path]
) -> None:
    """Once mended, the result that the agent has held arrives; nothing is measured twice."""
    hosts.serve_here(store)
    hosts.hold()
    with cable(hosts.port) as link:
        hosts.start_agent(server=f"http://127.0.0.1:{link.port}")
        registered(hosts)
        device = open_remote(store)
        asking = Asking(device, models)
        wait_until(lambda: hosts.begun == 1, "a measurement")
        link.cut()
        hosts.go_on()
        hosts.wait_for("trying again")
        assert asking.is_alive()
        link.mend()
        assert asking.result().ratio > 0
        assert hosts.begun == 1
        device.close()


def _namespaces_work() -> bool:
    if shutil.which("ip") is None or os.geteuid() != 0:
        return False
    made = subprocess.run(["ip", "netns", "add", "paretune-probe"], capture_output=True, check=False)
    subprocess.run(["ip", "netns", "delete", "paretune-probe"], capture_output=True, check=False)
    return made.returncode == 0


@pytest.fixture
def wire() -> Iterator[Callable[[str], None]]:
    """A network of its own for the agent, joined to this one by a wire that can be put up and down."""
    if not _namespaces_work():
        pytest.skip("this machine allows no network namespaces")
    name, ours = f"paretune-{os.getpid()}", f"pt{os.getpid() % 10**6}a"
    theirs = f"{ours[:-1]}b"

    def ip(words: str) -> None:
        subprocess.run(["ip", *words.split()], check=True, capture_output=True)

    try:
        ip(f"netns add {name}")
        ip(f"link add {ours} type veth peer name {theirs}")
        ip(f"link set {theirs} netns {name}")
        ip(f"addr add 198.51.100.1/30 dev {ours}")
        ip(f"link set {ours} up")
        ip(f"-n {name} addr add 198.51.100.2/30 dev {theirs}")
        ip(f"-n {name} link set {theirs} up")
        yield lambda state: ip(f"link set {ours} {state}")
    finally:
        subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)
        subprocess.run(["ip", "link", "delete", ours], capture_output=True, check=False)


def test_two_hosts_with_networks_of_their_own(
    hosts: Hosts, store: Store, models: tuple[Path, Path], wire: Callable[[str], None]
) -> None:
    """The wire goes down in the middle of a measurement, and comes up again."""
    hosts.start_server("--host", "198.51.100.1")
    hosts.hold()
    within = ("ip", "netns", "exec", f"paretune-{os.getpid()}")
    hosts.start_agent(server=f"http://198.51.100.1:{hosts.port}", within=within)
    registered(hosts)
    assert "not encrypted" in hosts.log("agent")
    device = open_remote(store)
    asking = Asking(device, models)
    wait_until(lambda: hosts.begun == 1, "a measurement")
    wire("down")
    hosts.go_on()
    hosts.wait_for(": done")
    assert asking.is_alive()
    wire("up")
    assert asking.result().ratio > 0
    assert hosts.begun == 1
    page = subprocess.run(
        [*within, "bash", "-c", f"exec 3<>/dev/tcp/198.51.100.1/{hosts.port}; "
         "printf 'GET /api/v1/jobs HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n' >&3; cat <&3"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert page.stdout.startswith("HTTP/1.1 401")
    device.close()


def test_a_job_whose_agent_server_and_model_all_fail(
    hosts: Hosts, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The agent is killed, the server restarted, and a model segfaults the agent's runtime: the job ends with every
    other candidate measured, nothing measured twice, nothing lost."""
    measure = RemoteDevice.measure
    monkeypatch.setattr(RemoteDevice, "measure", lambda own, asked: measure(own, replace(asked, protocol=BRIEF)))
    without_ray(monkeypatch, prepare_here=True)
    (hosts.faults / "segfaults-dynamic").touch()
    server, agent = hosts.start_server(), hosts.start_agent()
    registered(hosts)
    write_classifier(tmp_path, layers=1)
    # Where size matters, precisions stay in the space although they are not faster.
    wanted = [("cosine", "max"), ("speedup", "max"), ("size_bytes", "min")]
    job = spec(
        devices=["pi"], strategy={"name": "random"}, budget={"trials": 5, "batch": 5},
        space={"precision": {"choices": ["fp32", "int8", "int8_dynamic"], "activations": "uint8"}},
        objectives=[{"metric": metric, "direction": direction} for metric, direction in wanted],
    )  # fmt: skip
    parsed = parse_job(job, folder=tmp_path, registry=DeviceRegistry(store))
    job_id = submit(store, parsed, tmp_path)
    ended: list[JobState] = []
    running = threading.Thread(target=lambda: ended.append(Controller(store, job_id).run()), daemon=True)
    running.start()

    def measured(count: int) -> None:
        wait_until(lambda: sum(row.state.measured for row in store.trials.of_job(job_id)) >= count, f"{count} measured")

    measured(1)
    hosts.hold()
    begun = hosts.begun
    wait_until(lambda: hosts.begun > begun, "a measurement to disturb")
    os.kill(agent.pid, signal.SIGKILL)
    agent.wait()
    hosts.go_on()
    hosts.start_agent()
    registered(hosts, 2)
    measured(2)
    os.kill(server.pid, signal.SIGKILL)
    server.wait()
    time.sleep(0.2)
    hosts.start_server()
    running.join(300)
    assert ended == [JobState.DONE]
    rows = store.trials.of_job(job_id)
    crashed = [row for row in rows if row.state is TrialState.CRASHED]
    assert len(rows) == 5
    assert crashed
    assert {row.candidate_id for row in crashed} == {
        row.candidate_id for row in rows if "int8_dynamic" in row.decisions.values()
    }
    assert all("died 3 times, last with signal 11" in (row.reason or "") for row in crashed)
    assert [row.state for row in rows if row not in crashed] == [TrialState.DONE] * (5 - len(crashed))
    for row in rows:
        searched = [m for m in store.trials.measurements(row.candidate_id) if m["phase"] == "search"]
        assert len(searched) == row.state.measured
    finished = [line.split("request ")[1].split(":")[0] for line in hosts.log("agent").splitlines() if ": done" in line]
    assert len(finished) == len(set(finished))


class TestRefused:
    """Logged, and nothing executed."""

    def test_a_wrong_token(self, hosts: Hosts, store: Store, caplog: pytest.LogCaptureFixture) -> None:
        hosts.serve_here(store)
        hosts.token_file.write_text("wrong")
        agent = hosts.start_agent()
        assert agent.wait(120) == 5
        assert "error: the server refuses this agent" in hosts.log("agent")
        assert "hint: " in hosts.log("agent")
        assert "unknown or revoked" in caplog.text

    def test_a_token_that_is_revoked_in_the_middle_of_a_measurement(
        self, hosts: Hosts, store: Store, models: tuple[Path, Path]
    ) -> None:
        hosts.serve_here(store)
        agent, device, asking = held_up(hosts, store, models)
        assert run_app(["devices", "revoke", "pi"]) == 0
        with pytest.raises(DeviceLost, match="was revoked"):
            asking.result()
        assert agent.wait(120) == 5
        assert "refuses this agent" in hosts.log("agent")
        device.close()

    def test_models_and_runtimes(
        self, hosts: Hosts, store: Store, models: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As a server would send them that does not look for itself."""
        monkeypatch.setattr(remote, "check_model_file", lambda *_: None)
        monkeypatch.setattr(RemoteDevice, "_check_runtime", lambda *_: None)
        hosts.serve_here(store)
        hosts.start_agent("--max-model-bytes", "20000", "--runtime", "onnxruntime")
        registered(hosts)
        device = open_remote(store)
        good = models[1].read_bytes()
        external = classifier(1)
        entry = external.graph.initializer[0].external_data.add()
        entry.key, entry.value = "location", "/etc/passwd"
        for content, why in (
            (b"#!/bin/sh", "is not an ONNX model"),
            (good[:-5], "is not an ONNX model"),
            (external.SerializeToString(), "refers to weights in other files"),
            (good + bytes(30_000), "more than the 20000 that are allowed"),
        ):
            models[1].write_bytes(content)
            with pytest.raises(BuildFailed, match=why):
                Asking(device, models).result()
            assert why in hosts.log("agent")
        models[1].write_bytes(good)
        for runtime, why in (
            ("null", "is not allowed"),
            ("abacus", "is not allowed"),
            ("os.system", "is not a valid runtime name"),
        ):
            with pytest.raises((BuildFailed, UnsupportedOp), match=why):
                Asking(device, models, runtime=runtime).result()
            assert why in hosts.log("agent")
        assert hosts.begun == 0
        assert Asking(device, models).result().ratio > 0
        device.close()

    def test_a_device_that_is_not_what_the_job_measures_on(
        self, hosts: Hosts, store: Store, models: tuple[Path, Path]
    ) -> None:
        hosts.serve_here(store)
        hosts.start_agent()
        registered(hosts)
        profile = DeviceRegistry(store).find("pi")
        device = RemoteDevice(replace(profile, memory_bytes=1), StoreLink(default_database()))
        with pytest.raises(DeviceLost, match="is no longer what the job measures on"):
            Asking(device, models).result()
        assert hosts.begun == 0
        device.close()

    def test_another_agent_of_the_same_device(self, hosts: Hosts, store: Store) -> None:
        hosts.serve_here(store)
        first = hosts.start_agent()
        registered(hosts)
        second = hosts.start_agent()
        assert first.wait(120) == 5
        assert "another agent has registered" in hosts.log("agent")
        assert second.poll() is None


def test_a_measurement_that_nobody_waits_for_is_ended(hosts: Hosts, store: Store, models: tuple[Path, Path]) -> None:
    hosts.serve_here(store)
    _, device, asking = held_up(hosts, store, models)
    (errand_id,) = _errands(store)
    store.requests.cancel(errand_id)
    with pytest.raises(DeviceLost, match="was cancelled"):
        asking.result()
    hosts.wait_for("not wanted any more")
    hosts.go_on()
    assert Asking(device, (models[1], models[0])).result().ratio > 0
    assert store.requests.get(errand_id).state is RequestState.CANCELLED
    device.close()


def _errands(store: Store) -> list[str]:
    import sqlalchemy

    engine = sqlalchemy.create_engine(default_database())
    with engine.connect() as connection:
        found = [str(row[0]) for row in connection.execute(sqlalchemy.text("SELECT errand_id FROM errands"))]
    engine.dispose()
    return found


def test_an_agent_that_ends_gives_its_errand_back(hosts: Hosts, store: Store, models: tuple[Path, Path]) -> None:
    hosts.serve_here(store)
    agent, device, asking = held_up(hosts, store, models)
    interrupt(agent)  # type: ignore[arg-type]
    assert agent.wait(60) == 130
    (errand_id,) = _errands(store)
    row = store.requests.get(errand_id)
    assert (row.state, row.deaths) == (RequestState.QUEUED, 0)
    hosts.go_on()
    hosts.start_agent()
    assert asking.result().ratio > 0
    device.close()


class TestCommands:
    def test_a_token_in_a_file_is_for_its_owner_alone(
        self, store: Store, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        command = ["devices", "token", "phone", "-o", str(tmp_path / "secret")]
        assert run_app(command) == 0
        token = (tmp_path / "secret").read_text().strip()
        assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600
        assert store.agents.device_of(token) == "phone"
        assert run_app(command) == 2
        printed = "".join(capfd.readouterr())
        assert "exists already" in printed
        assert token not in printed
        assert store.agents.device_of(token) == "phone"

    def test_a_token_on_the_terminal(self, store: Store, capfd: pytest.CaptureFixture[str]) -> None:
        assert run_app(["devices", "token", "phone"]) == 0
        assert store.agents.device_of(capfd.readouterr().out.strip()) == "phone"

    @pytest.mark.parametrize("name", ["local-cpu", "../phone", "", "a b"])
    def test_names_that_are_taken_or_none(self, name: str) -> None:
        assert run_app(["devices", "token", name]) == 2

    def test_listing(self, store: Store, capfd: pytest.CaptureFixture[str]) -> None:
        store.agents.new_token("phone")
        assert run_app(["devices", "agents", "--format", "json"]) == 0
        (row,) = json.loads(capfd.readouterr().out)["agents"]
        assert (row["device"], row["state"], row["seen_at"]) == ("phone", "never seen", None)
        assert run_app(["devices", "revoke", "phone"]) == 0
        assert run_app(["devices", "agents"]) == 0
        assert "revoked" in capfd.readouterr().out
        assert run_app(["devices", "revoke", "toaster"]) == 3

    def test_help_names_the_options_of_both_parsers(self) -> None:
        """The command that help and documentation know is the one that an agent's machine runs."""
        command = typer.main.get_command(build_app()).commands["agent"]  # type: ignore[attr-defined]
        ours = {name for one in parser()._actions for name in one.option_strings} - {"-h", "--help", "--debug"}
        assert {name for one in command.params for name in one.opts} == ours
        defaults = {one.opts[0]: one.default for one in command.params}
        for action in parser()._actions:
            if action.option_strings[0] in defaults:
                assert (defaults[action.option_strings[0]] or None) == (action.default or None)

    def test_a_job_on_a_device_that_never_came(self, hosts: Hosts, tmp_path: Path) -> None:
        write_classifier(tmp_path)
        (tmp_path / "job.yaml").write_text(
            "task: {name: onnx, options: {model: model.onnx, data: samples.npz}}\ndevices: [pi]\n"
        )
        refused = paretune("run", tmp_path / "job.yaml", home=hosts.home)
        assert refused.returncode == 5
        assert "no agent of device 'pi' has been here yet" in error_lines(refused)[0]

    @pytest.mark.parametrize(
        ("options", "code", "said"),
        [
            (("--server", "ftp://x"), 2, "--server"),
            (("--token-file", "missing"), 2, "--token-file: missing cannot be read"),
            (("--runtime", "abacus"), 2, "unknown runtime 'abacus'"),
            (("--runtime", "null"), 2, "which is not allowed"),
            (("--local", "dry-run"), 2, "so it cannot be measured"),
            (("--cache-bytes", "-1"), 2, "--cache-bytes"),
            (("--speed", "9"), 2, "--speed"),
        ],
    )
    def test_wrong_usage(self, hosts: Hosts, options: tuple[str, ...], code: int, said: str) -> None:
        agent = hosts.start_agent(*options)
        assert agent.wait(120) == code
        assert said in hosts.log("agent")
        assert "Traceback" not in hosts.log("agent")
