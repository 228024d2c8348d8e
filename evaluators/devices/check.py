"""Checks a device: whether its profile changed, and whether its measurements can be trusted."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evaluators.devices.device import Device, open_device
from evaluators.devices.reference_models import write_chain
from evaluators.measuring.latency import LatencyRequest, Protocol
from evaluators.measuring.measurement import Measurement, combine_measurements
from evaluators.measuring.process import pin
from evaluators.processes.sandbox import in_own_process
from evaluators.runtimes import runtime_of
from hwprofiles import Profile
from hwprofiles.errors import ParetuneError

PATIENCE_S = 180.0
MEASUREMENTS = 3
"""Measurements in all: one 95 % interval in twenty misses the true value, so a failed check is repeated."""

OK, FAILED, UNKNOWN = "ok", "failed", "unknown"


@dataclass(frozen=True)
class Check:
    """The result of one check."""

    name: str
    state: str
    """``ok``, ``failed`` or ``unknown``."""
    finding: str
    """Why, in words."""

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as JSON-able data."""
        return asdict(self)


def check_device(
    profile: Profile,
    registered: Profile | None,
    protocol: Protocol | None = None,
    say: Callable[[str], None] = lambda _: None,
    opener: Callable[[Profile], Device] | None = None,
) -> tuple[Check, ...]:
    """Runs all checks of a device; takes seconds to minutes, since it measures a small model.

    ``registered`` is the profile with which a job last used it, None if none did. ``say`` gets progress texts. A fault
    of the device is a failed check, not an exception. ``opener`` opens the device; of a remote one, runtimes and
    pinning are not checked.
    """
    return tuple(_checks(profile, registered, protocol or Protocol(energy_s=0.0), say, opener or open_device))


def _checks(
    profile: Profile,
    registered: Profile | None,
    protocol: Protocol,
    say: Callable[[str], None],
    opener: Callable[[Profile], Device],
) -> Iterator[Check]:
    yield _same_profile(profile, registered)
    if profile.simulated:
        yield Check("modelled", OK, "its figures are modelled, so there is nothing to measure")
        return
    for name, version in profile.runtimes or ((profile.runtime, profile.runtime_version),):
        if not profile.agent:
            say(f"loading {name}")
            yield _runtime(name, version)
    if profile.cores and not profile.agent:
        yield _pinning(profile)
    say("measuring a small model against itself")
    yield from _against_itself(profile, protocol, opener)


def _same_profile(profile: Profile, registered: Profile | None) -> Check:
    if registered is None:
        return Check("profile", UNKNOWN, "no job has used this device with this database yet")
    changed = changes(registered.to_dict(), profile.to_dict())
    if not changed:
        return Check("profile", OK, f"unchanged since it was last stored ({profile.digest[:12]})")
    return Check("profile", FAILED, f"changed since it was last stored (results are kept apart): {'; '.join(changed)}")


def changes(before: Any, now: Any, path: str = "") -> list[str]:
    """Returns the differences between two JSON-able values, each as ``path: before -> now``."""
    if before == now:
        return []
    if isinstance(before, dict) and isinstance(now, dict):
        keys = dict.fromkeys([*before, *now])
        inner = (changes(before.get(key), now.get(key), f"{path}.{key}".lstrip(".")) for key in keys)
        return [change for part in inner for change in part]
    return [f"{path}: {_brief(before)} -> {_brief(now)}"]


def _brief(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _runtime(name: str, version: str) -> Check:
    """Loads a runtime in a child process, which it may crash."""
    try:
        loaded = in_own_process(_version_of, name, stage="measuring", limit_s=PATIENCE_S)
    except ParetuneError as error:
        return Check(f"runtime {name}", FAILED, _error_text(error))
    if loaded != version:
        return Check(f"runtime {name}", FAILED, f"loads as version {loaded}, but version {version} is installed")
    return Check(f"runtime {name}", OK, f"version {loaded} loads")


def _version_of(name: str) -> str:
    return runtime_of(name).version()


def _pinning(profile: Profile) -> Check:
    """Pins a child process, so that this one keeps its cores."""
    try:
        marks, cores = in_own_process(pin, profile, stage="measuring", limit_s=PATIENCE_S)
    except ParetuneError as error:
        return Check("pinning", UNKNOWN, _error_text(error))
    shown = ", ".join(map(str, profile.cores))
    if not marks and cores == profile.cores:
        return Check("pinning", OK, f"a process stays on core {shown}")
    return Check("pinning", FAILED, f"the system does not pin to core {shown}: measurements are marked unpinned")


def _against_itself(profile: Profile, protocol: Protocol, opener: Callable[[Profile], Device]) -> Iterator[Check]:
    try:
        measured = _measure_against_itself(profile, protocol, opener)
    except ParetuneError as error:
        yield Check("same model twice", FAILED, _error_text(error))
        yield Check("health", UNKNOWN, "nothing was measured")
        return
    low, high = measured.ratio_ci95
    finding = f"ratio {measured.ratio:.4f}, interval {low:.4f} to {high:.4f}"
    holds = _contains_one(measured)
    yield Check("same model twice", OK if holds else FAILED, finding + ("" if holds else ", which does not contain 1"))
    yield _health(measured)


def _measure_against_itself(profile: Profile, protocol: Protocol, opener: Callable[[Profile], Device]) -> Measurement:
    """Measures a small model against itself; repeats if the interval does not contain 1, pooling all samples."""
    device = opener(profile)
    try:
        with tempfile.TemporaryDirectory(prefix="paretune-") as folder:
            model = Path(folder) / "model.onnx"
            feed = write_chain(model)
            request = LatencyRequest(model, model, feed, protocol, PATIENCE_S)
            measured = device.measure(request)
            for _ in range(MEASUREMENTS - 1):
                if _contains_one(measured):
                    break
                again = device.measure(request)
                measured = combine_measurements(measured, again)
            return measured
    finally:
        device.close()


def _contains_one(measured: Measurement) -> bool:
    low, high = measured.ratio_ci95
    return low <= 1 <= high


def _health(measured: Measurement) -> Check:
    """Returns the verdict of the measurement's health, with the signals that the machine does not expose."""
    health = measured.health
    if health is None:
        return Check("health", UNKNOWN, "the machine's signals were not read")
    unseen = f"not exposed: {', '.join(health.unknown)}" if health.unknown else ""
    finding = "; ".join(part for part in (health.verdict, *health.reasons, unseen) if part)
    return Check("health", {"healthy": OK, "unknown": UNKNOWN}.get(health.verdict, FAILED), finding)


def _error_text(error: ParetuneError) -> str:
    return f"{error.message}; {error.hint}" if error.hint else error.message
