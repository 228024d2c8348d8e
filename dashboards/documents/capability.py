"""The JSON document of a device's capability."""

from __future__ import annotations

from dashboards.words import Json
from evaluators.probing.capability import Capability, Sweep
from evaluators.probing.operators import FAMILIES
from hwprofiles import Profile
from hwprofiles.errors import NotFound
from hwprofiles.registry import device_origins
from search.devices.capabilities import capability_of
from search.store import Store

_ABOUT = {family.name: family.about for family in FAMILIES}


def capability_document(store: Store, device: str) -> Json:
    """Returns a device's last probed capability.

    Raises :class:`NotFound` for a device that was never probed.
    """
    document = latest_capability(store, device)
    if document is None and device_origins().get(device) in ("catalogue", "added"):
        raise NotFound(
            f"device {device!r} is modelled: there is nothing to probe", f"see: paretune devices show {device}"
        )
    if document is None:
        raise NotFound(f"device {device!r} was not probed yet", f"probe it with: paretune devices capability {device}")
    return document


def latest_capability(store: Store, device: str) -> Json | None:
    """Returns a device's last probed capability; None if it was never probed."""
    profiles = [profile for profile, _ in store.devices.capabilities() if profile.device == device]
    pairs = ((profile, capability_of(store, profile.digest)) for profile in profiles)
    return next((document_of(profile, known) for profile, known in pairs if known is not None), None)


def devices_with_capability(store: Store) -> set[str]:
    """Returns the devices that have a capability document."""
    return {profile.device for profile, _ in store.devices.capabilities()}


def document_of(profile: Profile, capability: Capability) -> Json:
    """Returns a capability as a document: one sweep for each operator, precision and activation type."""
    return {
        "device": profile.device,
        "profile_digest": capability.profile_digest,
        "processor": profile.processor,
        "runtime": capability.runtime,
        "runtime_version": capability.runtime_version,
        "threads": profile.threads,
        "batch": profile.batch,
        "complete": capability.complete,
        "yardstick_ms": capability.yardstick_ms,
        "sweeps": [_sweep(sweep) for sweep in capability.sweeps],
    }


def _sweep(sweep: Sweep) -> Json:
    faster = [point.width for point in sweep.points if point.ci95 is not None and point.ci95[0] > 1.0]
    ratios = [point.ratio for point in sweep.points if point.ratio is not None]
    return {
        "operator": sweep.operator,
        "about": _ABOUT.get(sweep.operator, ""),
        "precision": sweep.precision.value,
        "activations": sweep.activations or None,
        "runs": sweep.runs,
        "executes": list(sweep.executes),
        "integers": sweep.integers,
        "best_ratio": max(ratios, default=None),
        "pays_from": min(faster, default=None),
        "step": None if sweep.granularity is None else sweep.granularity.step,
        "saved_between_steps": None if sweep.granularity is None else sweep.granularity.saved,
        "points": [
            {
                "width": point.width,
                "ratio": point.ratio,
                "ci95": None if point.ci95 is None else list(point.ci95),
                "yardsticks": point.yardsticks,
                "reason": point.reason or None,
            }
            for point in sweep.points
        ],
    }
