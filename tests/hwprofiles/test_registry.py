from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from recorded_machines import raspberry_pi, write_tree, xeon

from hwprofiles import DEVICES, find_device, probe, registry
from hwprofiles.catalogue import catalogue, devices_folder
from hwprofiles.errors import DeviceUnavailable, InvalidInput
from hwprofiles.idle_cores import spread
from hwprofiles.probe import probe_machine
from hwprofiles.registry import device_origins

# There on every machine.
NAMES = ["local-cpu", "dry-run", *catalogue()]


@pytest.fixture
def four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "usable_cores", lambda: (0, 1, 4, 5))


@pytest.mark.parametrize("name", NAMES)
def test_a_device_is_called_as_it_is_registered(name: str) -> None:
    profile = find_device(name, threads=1, batch=3)
    assert (profile.device, profile.threads, profile.batch) == (name, 1, 3)


@pytest.mark.parametrize("name", NAMES)
def test_a_device_is_the_same_when_asked_again(name: str) -> None:
    assert find_device(name).digest == find_device(name).digest


@pytest.mark.parametrize("name", NAMES)
def test_another_batch_is_another_profile(name: str) -> None:
    assert find_device(name, batch=1).digest != find_device(name, batch=2).digest


@pytest.mark.parametrize("name", NAMES)
def test_a_profile_travels(name: str) -> None:
    profile = find_device(name)
    assert pickle.loads(pickle.dumps(profile)) == profile
    assert type(profile).from_dict(profile.to_dict()) == profile


def test_no_two_devices_are_one() -> None:
    assert len({find_device(name).digest for name in NAMES}) == len(NAMES)


class TestLocalCpu:
    @pytest.mark.parametrize(("threads", "cores"), [(1, (5,)), (2, (4, 5)), (4, (0, 1, 4, 5))])
    @pytest.mark.usefixtures("four_cores")
    def test_its_cores_are_the_last_ones(self, threads: int, cores: tuple[int, ...]) -> None:
        profile = registry.local_cpu(threads)
        assert (profile.cores, profile.threads, profile.simulated) == (cores, threads, False)

    @pytest.mark.usefixtures("four_cores")
    def test_more_threads_than_cores(self) -> None:
        with pytest.raises(DeviceUnavailable, match="5 threads requested, 4 cores") as caught:
            find_device("local-cpu", threads=5)
        assert caught.value.exit_code == 5
        assert caught.value.hint == "set threads to 4 or fewer"

    @pytest.mark.parametrize(
        ("siblings", "threads", "cores"),
        [
            (((0, 1), (4, 5)), 2, (1, 5)),
            (((0, 1), (4, 5)), 1, (5,)),
            (((0, 1), (4, 5)), 3, (1, 4, 5)),
            (((0, 4), (1, 5)), 2, (4, 5)),
            (((0, 1, 4, 5),), 2, (4, 5)),
            ((), 2, (4, 5)),
        ],
    )
    def test_threads_do_not_share_a_physical_core(
        self, siblings: tuple[tuple[int, ...], ...], threads: int, cores: tuple[int, ...]
    ) -> None:
        assert tuple(sorted(spread((5, 4, 1, 0), siblings)[:threads])) == cores

    def test_its_runtimes_begin_with_the_first(self) -> None:
        profile = find_device("local-cpu")
        assert profile.runtimes[0] == (profile.runtime, profile.runtime_version)

    def test_another_machine_is_another_profile(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        digests = {find_device("local-cpu").digest}
        for number, files in enumerate((xeon(), raspberry_pi())):
            machine = probe_machine(write_tree(tmp_path / str(number), files))
            monkeypatch.setattr(probe, "probe_machine", lambda found=machine: found)
            digests.add(find_device("local-cpu").digest)
        assert len(digests) == 3


class TestDryRun:
    def test_it_is_the_same_on_every_machine(self, monkeypatch: pytest.MonkeyPatch) -> None:
        before = registry.dry_run().digest
        monkeypatch.setattr(probe, "usable_cores", lambda: ())
        monkeypatch.setattr(probe, "processor_name", lambda: "another")
        assert registry.dry_run().digest == before

    def test_it_says_that_it_is_modelled(self) -> None:
        assert registry.dry_run().simulated

    def test_any_number_of_threads_can_be_modelled(self) -> None:
        assert find_device("dry-run", threads=512).threads == 512


class TestUnknown:
    def test_the_nearest_is_named(self) -> None:
        with pytest.raises(InvalidInput, match="unknown device 'raspberry-pi5'") as caught:
            find_device("raspberry-pi5")
        assert caught.value.hint == "did you mean 'raspberry-pi-5'?"

    def test_without_a_near_one_all_are_listed(self) -> None:
        with pytest.raises(InvalidInput) as caught:
            find_device("xyz")
        assert caught.value.hint == f"known: {', '.join(sorted({*DEVICES, *NAMES}))}"

    @pytest.mark.parametrize("name", ["../raspberry-pi-5", "a/b", "", ".", "RASPBERRY", "x" * 65])
    def test_a_name_is_no_path(self, name: str) -> None:
        devices_folder().mkdir(parents=True)
        (devices_folder().parent / "raspberry-pi-5.toml").write_text("")
        with pytest.raises(InvalidInput, match="unknown device"):
            find_device(name)


def test_where_devices_are_from() -> None:
    assert device_origins() == dict.fromkeys(DEVICES, "built-in") | dict.fromkeys(catalogue(), "catalogue")
