"""The devices commands, as a user types them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from command_line import document, paretune
from inline_search import measuring_briefly, without_ray
from small_jobs import write_job

from dashboards.cli import probing as commands
from dashboards.cli import run_app
from dashboards.cli.console import out as out_console
from dashboards.cli.fields import flatten
from dashboards.server import background
from evaluators.devices import check
from evaluators.devices.check import Check
from evaluators.devices.device import Device
from hwprofiles import DEVICES, Profile, find_device
from hwprofiles.catalogue import catalogue, devices_folder
from search.folders import default_database
from search.store import Store

TOASTER = catalogue()["raspberry-pi-5"].to_toml().replace('"raspberry-pi-5"', '"toaster"')

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command in this process: its exit code, stdout and stderr."""
    monkeypatch.setenv("COLUMNS", "200")

    def started(*arguments: str | Path) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run_app(list(map(str, arguments)))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return started


@pytest.fixture
def toaster(tmp_path: Path) -> Path:
    path = tmp_path / "toaster.toml"
    path.write_text(TOASTER)
    return path


def test_a_device_comes_and_goes(home: Path, toaster: Path) -> None:
    """In processes of their own."""
    added = paretune("devices", "add", toaster, home=home)
    assert (added.returncode, added.stdout) == (0, "added toaster: Raspberry Pi 5, 8 GB\n")
    listed = document(paretune("devices", "list", "--format", "json", home=home))["devices"]
    assert {one["device"]: one["origin"] for one in listed}["toaster"] == "added"
    assert paretune("devices", "remove", "toaster", home=home).returncode == 0
    assert paretune("devices", "show", "toaster", home=home).returncode == 3


class TestList:
    def test_all_kinds(self, run: Run, toaster: Path) -> None:
        run("devices", "add", toaster)
        code, out, _ = run("devices", "list", "--format", "json")
        found = {one["device"]: one for one in json.loads(out)["devices"]}
        assert code == 0
        assert list(found) == [*DEVICES, "toaster", *catalogue()]
        assert [found[name]["origin"] for name in ("local-cpu", "t4", "toaster")] == ["built-in", "catalogue", "added"]
        assert found["local-cpu"]["simulated"] is False
        assert all(found[name]["simulated"] for name in ("dry-run", "t4", "toaster"))
        assert found["toaster"]["profile_digest"] == find_device("toaster").digest

    def test_the_table_says_which_are_modelled(self, run: Run) -> None:
        lines = [line.split() for line in run("devices", "list")[1].splitlines() if line.strip()]
        kinds = {line[0]: line[1:] for line in lines}
        assert "modelled" in kinds["h200"]
        assert kinds["dry-run"][:2] == ["made", "up"]
        assert "measured" in kinds["local-cpu"]

    @pytest.mark.parametrize("width", [40, 60, 80, 120])
    def test_a_line_for_each_and_names_are_whole(self, run: Run, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
        monkeypatch.setattr(out_console, "_width", width)
        lines = run("devices", "list")[1].splitlines()
        assert len(lines) <= 40
        notes = ("not shown", "why one is not available")
        assert max(len(line) for line in lines if not line.startswith(notes)) <= width
        assert {line.split()[0] for line in lines} >= {*DEVICES, *catalogue()}

    def test_one_that_is_not_available_says_why(self, run: Run) -> None:
        devices_folder().mkdir(parents=True)
        (devices_folder() / "broken.toml").write_text("version = 3")
        found = next(
            one
            for one in json.loads(run("devices", "list", "--format", "json")[1])["devices"]
            if one["device"] == "broken"
        )
        assert (found["device"], found["origin"], found["available"]) == ("broken", "added", False)
        assert "version: must be 1" in found["reason"]
        assert "version: must be 1" in run("devices", "list")[1]


class TestShow:
    @pytest.mark.parametrize("name", ["local-cpu", "dry-run", "raspberry-pi-5"])
    def test_json(self, run: Run, name: str) -> None:
        found = json.loads(run("devices", "show", name, "--format", "json")[1])
        assert found["profile_digest"] == find_device(name).digest
        assert found | find_device(name).to_dict() == found

    def test_sources_are_shown(self, run: Run) -> None:
        code, out, _ = run("devices", "show", "raspberry-pi-5")
        assert code == 0
        assert "modelled, not measured" in out
        assert "sources.operations_per_s.int8" in out
        assert "https://datasheets.raspberrypi.com" in out

    def test_a_misspelt_one(self, run: Run) -> None:
        code, _, err = run("devices", "show", "raspberry-pi5")
        assert (code, "did you mean 'raspberry-pi-5'?" in err) == (3, True)


class TestProbe:
    def test_json(self, run: Run) -> None:
        code, out, _ = run("devices", "probe", "--format", "json")
        found = json.loads(out)
        profile = find_device("local-cpu").to_dict()
        assert code == 0
        assert (found["machine"], found["runtimes"]) == (profile["machine"], profile["runtimes"])
        assert set(profile["cores"]) <= set(found["usable_cores"])
        assert found["gpus"] or found["gpus_reason"]
        assert "CPUExecutionProvider" in found["onnxruntime_providers"]

    def test_a_table(self, run: Run) -> None:
        out = run("devices", "probe")[1]
        assert "machine.instruction_sets" in out
        assert "onnxruntime" in out

    def test_what_it_writes_can_be_added(self, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        measuring_briefly(monkeypatch)
        file = tmp_path / "my-machine.toml"
        code, out, err = run("devices", "probe", "--output", file, "--format", "json")
        assert (code, json.loads(out)["machine"]) == (
            0,
            json.loads(run("devices", "probe", "--format", "json")[1])["machine"],
        )
        assert "devices add my-machine.toml" in err
        assert run("devices", "add", file)[0] == 0
        profile = find_device("my-machine")
        assert profile.simulated
        assert profile.peaks is not None
        assert {"fp32", "int8"} == {name for name, _ in profile.peaks.operations_per_s}
        assert profile.memory_bytes == find_device("local-cpu").memory_bytes

    @pytest.mark.parametrize("name", ["My Machine.toml", "machine.json", "machine", "nowhere/machine.toml"])
    def test_a_file_that_names_no_device(
        self, run: Run, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(commands, "_describe_machine", lambda output: pytest.fail("nothing is to be measured"))
        code, out, err = run("devices", "probe", "--output", tmp_path / name)
        assert (code, out, "--output" in err) == (2, "", True)


class TestAddAndRemove:
    def test_again_it_replaces(self, run: Run, toaster: Path) -> None:
        run("devices", "add", toaster)
        assert run("devices", "add", toaster)[1].startswith("replaced toaster")

    def test_a_mistake_names_the_field(self, run: Run, toaster: Path) -> None:
        toaster.write_text(TOASTER.replace("bytes_per_s", "bytes_per_sec"))
        code, out, err = run("devices", "add", toaster)
        assert (code, out) == (2, "")
        assert "bytes_per_sec: unknown key" in err
        assert "did you mean 'bytes_per_s'?" in err

    @pytest.mark.parametrize("name", ["local-cpu", "raspberry-pi-5"])
    def test_what_ships_stays(self, run: Run, name: str) -> None:
        code, _, err = run("devices", "remove", name)
        assert (code, "ships with Paretune" in err) == (2, True)

    def test_an_unknown_one(self, run: Run) -> None:
        assert run("devices", "remove", "toaster")[0] == 3


class TestCheck:
    @pytest.fixture
    def against_itself(self, monkeypatch: pytest.MonkeyPatch) -> list[Check]:
        """What measuring this machine finds, without measuring it."""
        found = [Check("same model twice", "ok", "ratio 1.0000"), Check("health", "unknown", "nothing is exposed")]
        monkeypatch.setattr(check, "_against_itself", lambda *_: iter(found))
        return found

    @pytest.mark.usefixtures("against_itself")
    def test_a_device_that_is_well(self, run: Run) -> None:
        code, out, _ = run("devices", "check", "local-cpu", "--format", "json")
        found = json.loads(out)
        assert (code, found["ok"]) == (0, True)
        states = {one["name"]: one["state"] for one in found["checks"]}
        assert (states["profile"], states["runtime onnxruntime"], states["health"]) == ("unknown", "ok", "unknown")
        assert found["profile_digest"] == find_device("local-cpu").digest

    def test_one_that_is_not(self, run: Run, against_itself: list[Check]) -> None:
        against_itself[0] = Check("same model twice", "failed", "ratio 1.2000")
        code, out, err = run("devices", "check", "local-cpu", "--format", "json")
        assert (code, json.loads(out)["ok"]) == (5, False)
        assert "failed: same model twice" in err
        assert "1.2000" in run("devices", "check", "local-cpu")[1]

    def test_a_modelled_one(self, run: Run) -> None:
        code, out, _ = run("devices", "check", "t4")
        assert (code, "nothing to measure" in out) == (0, True)

    def test_one_that_is_spoilt(self, run: Run, toaster: Path) -> None:
        run("devices", "add", toaster)
        (devices_folder() / "toaster.toml").write_text("spoilt")
        code, out, _ = run("devices", "check", "toaster", "--format", "json")
        assert (code, json.loads(out)["checks"][0]["name"]) == (5, "available")

    def test_an_unknown_one(self, run: Run) -> None:
        code, out, err = run("devices", "check", "phone")
        assert (code, out, "'phone'" in err) == (3, "", True)

    def test_what_a_job_registered_is_compared(
        self, run: Run, tmp_path: Path, toaster: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        without_ray(monkeypatch, prepare_here=True)
        run("devices", "add", toaster)
        job = write_job(tmp_path, devices=[{"name": "toaster", "batch": 3}], budget={"trials": 2})
        assert run("run", job)[0] == 0
        assert "unchanged" in run("devices", "check", "toaster")[1]
        toaster.write_text(TOASTER.replace("Cortex-A76", "Cortex-A77"))
        run("devices", "add", toaster)
        code, out, _ = run("devices", "check", "toaster")
        assert code == 5
        assert "processor: Broadcom BCM2712 (4 x Cortex-A76) -> " in " ".join(out.split())


def test_a_search_on_a_modelled_device(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Latency by the roofline, quality as on a dry run, and always marked."""
    without_ray(monkeypatch, prepare_here=True)
    objectives = [{"metric": "cosine", "direction": "max"}, {"metric": "speedup", "direction": "max"},
                  {"metric": "bit_operations", "direction": "min"}]  # fmt: skip
    job = write_job(tmp_path, devices=["raspberry-pi-5"], objectives=objectives)
    code, out, err = run("run", job, "--format", "json")
    front = json.loads(out)
    assert (code, front["simulated"], front["device"]) == (0, True, "raspberry-pi-5"), err
    assert all(member["simulated"] for member in front["front"])
    assert front["baseline"]["metrics"]["speedup"]["ratio"] == 1.0
    int8 = max(front["front"], key=lambda member: member["metrics"]["speedup"]["ratio"])
    assert 1.0 < int8["metrics"]["speedup"]["ratio"] <= 8.0
    assert int8["metrics"]["bit_operations"] < front["baseline"]["metrics"]["bit_operations"]
    assert run("run", job, "--format", "json")[1] != ""
    again = json.loads(run("run", job, "--format", "json")[1])
    assert [one["digest"] for one in again["front"]] == [one["digest"] for one in front["front"]]
    assert [one["metrics"] for one in again["front"]] == [one["metrics"] for one in front["front"]]
    code, _, err = run("export", front["front"][0]["candidate_id"], "-o", tmp_path / "bundle")
    assert (code, "is simulated" in err) == (2, True)


def test_tables_of_nested_documents() -> None:
    caches = [{"level": 1, "kind": "data", "size_bytes": 49152, "shared_by": 2}]
    nested = {"machine": {"caches": caches, "siblings": [[0, 2], [1, 3]], "kernel": None}, "gpus": [], "n": 1}
    assert flatten(nested) == {
        "machine.caches": "L1 data 48 KiB for 2", "machine.siblings": "0 2, 1 3", "machine.kernel": None, "gpus": None,
        "n": 1,
    }  # fmt: skip


class TestRemote:
    """A device behind an agent is a device for every command."""

    PROFILE = replace(find_device("dry-run"), device="pi", simulated=False, agent=True, cores=(1,), processor="A72")

    @pytest.fixture
    def store(self) -> Iterator[Store]:
        Path(default_database().partition(":///")[2]).parent.mkdir(parents=True, exist_ok=True)
        with Store(default_database()) as opened:
            yield opened

    @pytest.fixture
    def pi(self, store: Store) -> Store:
        token = store.agents.new_token("pi")
        store.agents.register("pi", token, "one", self.PROFILE, {"runtimes": ["onnxruntime"], "cores": [[1], [0, 1]]})
        return store

    def listed(self, run: Run, *more: str) -> dict[str, Any]:
        found = json.loads(run("devices", "list", *more, "--format", "json")[1])["devices"]
        return {one["device"]: one for one in found}

    def test_it_is_listed_and_shown_with_its_state(self, run: Run, pi: Store) -> None:
        found = self.listed(run)["pi"]
        assert (found["origin"], found["available"], found["contact"]["online"]) == ("remote", True, True)
        assert found["profile_digest"] == self.PROFILE.digest
        line = next(line for line in run("devices", "list")[1].splitlines() if line.startswith("pi "))
        assert line.split()[1:4] == ["measured,", "online", "remote"]
        code, out, _ = run("devices", "show", "pi")
        assert (code, "A72" in out, "contact.online" in out) == (0, True, True)

    def test_it_goes_offline(self, run: Run, pi: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("search.store.agents.ONLINE_S", -1.0)
        assert "measured, offline" in run("devices", "list")[1]
        code, out, _ = run("devices", "check", "pi")
        assert (code, "last heard from" in out, "--device pi" in out) == (5, True, True)

    def test_before_its_agent_came(self, run: Run, store: Store) -> None:
        store.agents.new_token("pi")
        assert self.listed(run)["pi"]["available"] is False
        assert "never seen" in run("devices", "list")[1]
        code, out, _ = run("devices", "check", "pi", "--format", "json")
        (found,) = json.loads(out)["checks"]
        assert (code, "--token-file pi.token --device pi" in found["finding"]) == (5, True)

    def test_a_revoked_one_is_hidden(self, run: Run, pi: Store) -> None:
        assert "devices remove pi" in run("devices", "revoke", "pi")[2]
        assert "pi" not in self.listed(run)
        assert self.listed(run, "--all")["pi"]["contact"]["state"] == "revoked"
        assert json.loads(run("devices", "agents", "--format", "json")[1])["agents"] == []
        assert len(json.loads(run("devices", "agents", "--all", "--format", "json")[1])["agents"]) == 1
        assert "devices agents --all" in run("devices", "agents")[1]
        assert "devices token pi" in json.loads(run("devices", "show", "pi", "--format", "json")[1])["reason"]

    def test_it_can_be_removed_and_comes_back(self, run: Run, pi: Store, tmp_path: Path) -> None:
        code, out, err = run("devices", "remove", "pi")
        assert (code, "removed pi" in out, "devices token pi -o pi.token" in err) == (0, True, True)
        assert run("devices", "show", "pi")[0] == 3
        assert run("devices", "remove", "pi")[0] == 3
        assert run("devices", "token", "pi", "-o", tmp_path / "pi.token")[0] == 0
        assert run("devices", "show", "pi")[0] == 0

    def test_a_misspelt_one(self, run: Run, pi: Store) -> None:
        pi.agents.new_token("workbench")
        assert "did you mean 'workbench'?" in run("devices", "show", "workbenhc")[2]

    def test_it_is_checked_through_its_agent(self, run: Run, pi: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        opened: list[str] = []

        def against_itself(profile: Profile, _: object, opener: Callable[[Profile], Device]) -> Iterator[Check]:
            device = opener(profile)
            opened.append(type(device).__name__)
            device.close()
            yield Check("same model twice", "ok", "ratio 1.0000")

        monkeypatch.setattr(check, "_against_itself", against_itself)
        code, out, _ = run("devices", "check", "pi", "--format", "json")
        names = [one["name"] for one in json.loads(out)["checks"]]
        assert (code, names, opened) == (0, ["agent", "profile", "same model twice"], ["RemoteDevice"])

    def test_a_token_comes_with_the_whole_command(self, run: Run, tmp_path: Path) -> None:
        err = run("devices", "token", "pi", "-o", tmp_path / "my pi.token")[2]
        assert "--server http://127.0.0.1:8700 --token-file 'my pi.token' --device pi" in err
        assert "ssh -R 8700:127.0.0.1:8700 BOARD" in err
        assert f"scp '{tmp_path}/my pi.token' BOARD:'my pi.token'" in err
        err = run("devices", "token", "pi", "--server", "https://tune.example")[2]
        assert "paretune agent --server https://tune.example --token-file pi.token --device pi" in err
        assert "BOARD" not in err

    def test_a_token_and_its_server_are_one_command(
        self, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        served: list[tuple[str, int]] = []
        monkeypatch.setattr("os.nice", lambda steps: steps)
        monkeypatch.setattr("dashboards.server.serve", lambda store, host, port: served.append((host, port)))
        code, _, err = run("devices", "token", "pi", "-o", tmp_path / "pi.token", "--serve")
        assert (code, served) == (0, [("127.0.0.1", 8700)])
        assert "here, keep running:   this command" in err

    def test_a_token_of_a_model_s_name(self, run: Run) -> None:
        err = run("devices", "token", "raspberry-pi-5")[2]
        assert "'raspberry-pi-5' is a built-in device model" in err
        assert "my-raspberry-pi-5" in err

    def test_pages_and_rest(self, pi: Store) -> None:
        with background(pi) as address:
            found = httpx.get(f"{address}/api/v1/devices").json()["devices"]
            assert {one["device"] for one in found} == {*DEVICES, *catalogue(), "pi"}
            assert httpx.get(f"{address}/api/v1/devices/pi").json()["contact"]["online"] is True
            page = httpx.get(f"{address}/devices").text
            assert all(f'href="/devices/{name}"' in page for name in ("pi", "local-gpu", "raspberry-pi-5"))
            assert "measured, online" in page
            assert "devices capability pi" in httpx.get(f"{address}/devices/pi").text
            assert httpx.get(f"{address}/devices/local-gpu").status_code == 200
            assert httpx.get(f"{address}/devices/nothing").status_code == 404
