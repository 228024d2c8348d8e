from __future__ import annotations

import pytest

from hwprofiles import DEVICES, find_device, probe, registry
from hwprofiles.errors import DeviceUnavailable, InvalidInput


@pytest.fixture
def four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "usable_cores", lambda: (0, 1, 4, 5))


@pytest.mark.parametrize("name", DEVICES)
def test_a_device_is_called_as_it_is_registered(name: str) -> None:
    profile = find_device(name, threads=1, batch=3)
    assert (profile.device, profile.threads, profile.batch) == (name, 1, 3)


@pytest.mark.parametrize("name", DEVICES)
def test_a_device_is_the_same_when_asked_again(name: str) -> None:
    assert find_device(name).digest == find_device(name).digest


@pytest.mark.parametrize("name", DEVICES)
def test_another_batch_is_another_profile(name: str) -> None:
    assert find_device(name, batch=1).digest != find_device(name, batch=2).digest


@pytest.mark.usefixtures("four_cores")
class TestLocalCpu:
    @pytest.mark.parametrize(("threads", "cores"), [(1, (5,)), (2, (4, 5)), (4, (0, 1, 4, 5))])
    def test_its_cores_are_the_last_ones(self, threads: int, cores: tuple[int, ...]) -> None:
        profile = registry.local_cpu(threads)
        assert (profile.cores, profile.threads, profile.simulated) == (cores, threads, False)

    def test_more_threads_than_cores(self) -> None:
        with pytest.raises(DeviceUnavailable, match="asked for 5 threads, but 4 cores") as caught:
            find_device("local-cpu", threads=5)
        assert caught.value.exit_code == 5
        assert caught.value.hint == "set threads to 4 or fewer"


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
        with pytest.raises(InvalidInput, match="unknown device 'local-gpu'") as caught:
            find_device("local-gpu")
        assert caught.value.hint == "did you mean 'local-cpu'?"

    def test_without_a_near_one_all_are_listed(self) -> None:
        with pytest.raises(InvalidInput) as caught:
            find_device("xyz")
        assert caught.value.hint == "known devices: dry-run, local-cpu"
