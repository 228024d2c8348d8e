"""Checks of a device, each made to fail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from inline_search import ANY_INTERVAL

from evaluators.devices import check
from evaluators.devices.check import Check, check_device
from evaluators.health import Health
from evaluators.measuring.latency import LatencyRequest
from evaluators.measuring.measurement import Measurement
from evaluators.testing.fake_device import FakeDevice
from hwprofiles import Profile, find_device
from hwprofiles.errors import UnhealthyMeasurement

PROFILE = replace(find_device("local-cpu"), runtimes=())


class Answering(FakeDevice):
    """Gives one measurement after another."""

    def __init__(self, *ratios: float, health: Health | None = None) -> None:
        self._ratios = iter(ratios)
        super().__init__(lambda path: next(self._ratios), profile=PROFILE)
        self._health = health

    def measure(self, request: LatencyRequest) -> Measurement:
        return replace(super().measure(request), health=self._health)


Checked = Callable[..., dict[str, Check]]


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> Checked:
    """The checks by name, with a device that answers so."""

    def run(*ratios: float, health: Health | None = None, registered: Profile | None = None) -> dict[str, Check]:
        monkeypatch.setattr(check, "open_device", lambda profile: Answering(*ratios, health=health))
        monkeypatch.setattr(check, "_runtime", lambda name, version: Check(f"runtime {name}", "ok", version))
        monkeypatch.setattr(check, "_pinning", lambda profile: Check("pinning", "ok", str(profile.cores)))
        return {found.name: found for found in check_device(PROFILE, registered)}

    return run


class TestAgainstItself:
    def test_an_interval_that_holds_one(self, checked: Checked) -> None:
        found = checked(1.001)["same model twice"]
        assert found.state == "ok"
        assert "1.0010" in found.finding

    def test_one_miss_is_measured_again(self, checked: Checked) -> None:
        found = checked(1.05, 0.95, 9.0)["same model twice"]
        assert found.state == "ok"
        assert found.finding == "ratio 0.9987, interval 0.9538 to 1.0458"

    def test_a_bias_that_stays(self, checked: Checked) -> None:
        found = checked(1.05, 1.05, 1.05)["same model twice"]
        assert found.state == "failed"
        assert "does not contain 1" in found.finding

    def test_no_usable_interval(self, checked: Checked, monkeypatch: pytest.MonkeyPatch) -> None:
        def too_wide(path: Path) -> float:
            raise UnhealthyMeasurement("the interval stayed too wide")

        found = checked(1.0)
        monkeypatch.setattr(check, "open_device", lambda profile: FakeDevice(too_wide, profile=PROFILE))
        found = {one.name: one for one in check_device(PROFILE, None)}
        assert found["same model twice"] == Check("same model twice", "failed", "the interval stayed too wide")
        assert found["health"].state == "unknown"


class TestHealth:
    @pytest.mark.parametrize(
        ("verdict", "state"),
        [
            ("healthy", "ok"), ("contended", "failed"), ("throttled", "failed"), ("drifted", "failed"),
            ("unknown", "unknown"),
        ],
    )  # fmt: skip
    def test_verdicts(self, checked: Checked, verdict: str, state: str) -> None:
        found = checked(1.0, health=Health(verdict, unknown=("clock_mhz",), reasons=("another process",)))["health"]
        assert found.state == state
        assert found.finding == f"{verdict}; another process; not exposed: clock_mhz"

    def test_nobody_looked(self, checked: Checked) -> None:
        assert checked(1.0)["health"].state == "unknown"


class TestProfile:
    def test_never_registered(self, checked: Checked) -> None:
        assert checked(1.0)["profile"].state == "unknown"

    def test_unchanged(self, checked: Checked) -> None:
        assert checked(1.0, registered=PROFILE)["profile"].state == "ok"

    def test_what_changed_is_named(self, checked: Checked) -> None:
        assert PROFILE.machine is not None
        before = replace(PROFILE, runtime_version="0.1", machine=replace(PROFILE.machine, kernel="5.0"))
        found = checked(1.0, registered=before)["profile"]
        assert found.state == "failed"
        assert f"runtime_version: 0.1 -> {PROFILE.runtime_version}" in found.finding
        assert f"machine.kernel: 5.0 -> {PROFILE.machine.kernel}" in found.finding
        assert "processor" not in found.finding

    def test_a_profile_of_the_first_version(self) -> None:
        before = {"a": 1, "machine": None}
        assert check.changes(before, {"a": 1, "machine": {"kernel": "6"}}) == ["machine: nothing -> {'kernel': '6'}"]
        assert check.changes({"a": 1}, {"b": "x" * 100}) == ["a: 1 -> nothing", f"b: nothing -> {'x' * 57}..."]


class TestRuntimes:
    def test_one_that_loads(self) -> None:
        assert check._runtime("null", "1") == Check("runtime null", "ok", "version 1 loads")

    def test_one_that_loads_as_another_version(self) -> None:
        assert check._runtime("null", "2").state == "failed"

    def test_one_that_is_unknown(self) -> None:
        found = check._runtime("abacus", "1")
        assert (found.state, "abacus" in found.finding) == ("failed", True)


class TestPinning:
    def test_a_core_of_ours(self) -> None:
        assert check._pinning(PROFILE).state == "ok"

    def test_a_core_that_is_not_there(self) -> None:
        found = check._pinning(replace(PROFILE, cores=(4095,)))
        assert (found.state, "unpinned" in found.finding) == ("failed", True)


def test_modelled_devices_measure_nothing() -> None:
    found = check_device(find_device("raspberry-pi-5"), None)
    assert [one.name for one in found] == ["profile", "modelled"]


def test_this_machine() -> None:
    """Every check is made; what they find is the machine's own."""
    found = check_device(find_device("local-cpu"), None, ANY_INTERVAL)
    names = [one.name for one in found]
    assert names[:2] == ["profile", "runtime onnxruntime"]
    assert names[-3:] == ["pinning", "same model twice", "health"]
    assert {one.state for one in found} <= {"ok", "failed", "unknown"}
    assert next(one for one in found if one.name == "runtime onnxruntime").state == "ok"
