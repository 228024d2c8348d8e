"""Capabilities of devices: probed once and stored with their profiles."""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from typing import Any

from evaluators.devices.device import LocalDevice
from evaluators.probing.capability import VERSION, Capability
from evaluators.probing.operators_probe import local_nodes, no_nodes, probe
from evaluators.probing.questions import LayerAnswers
from evaluators.processes.sandbox_child import Progress
from hwprofiles import Profile
from search.devices.link import StoreLink
from search.devices.lookup import open_device
from search.folders import cache_folder
from search.json_cache import JsonCache
from search.store import Store


def capability_of(store: Store, profile_digest: str) -> Capability | None:
    """Returns the stored capability of a profile's device; None if never probed, or by an older version of Paretune."""
    record = store.devices.capability(profile_digest)
    return None if record is None or record.get("version") != VERSION else Capability.from_dict(record)


def capabilities_of(store: Store, profile_digests: Iterable[str]) -> tuple[Capability, ...]:
    """Returns the stored capabilities of these profiles' devices; without those that :func:`capability_of` has none
    for."""
    capabilities = (capability_of(store, digest) for digest in profile_digests)
    return tuple(capability for capability in capabilities if capability is not None)


def probe_and_store(store: Store, profile: Profile, progress: Progress, *, refresh: bool = False) -> Capability:
    """Returns a device's capability; probes the device (takes minutes) and stores the result if it is not complete.

    Each measurement is cached, so that probing that was interrupted continues where it stopped; ``refresh`` measures
    everything again. Raises :class:`DeviceUnavailable` for a device that cannot measure.
    """
    stored = capability_of(store, profile.digest)
    if stored is not None and stored.complete and not refresh:
        return stored
    device = open_device(profile, StoreLink(store.url))
    cache = JsonCache(cache_folder() / "layers")
    answers: MutableMapping[str, Any] = {} if refresh else cache
    try:
        with LayerAnswers(device, answers) as questions:
            nodes = local_nodes(profile) if isinstance(device, LocalDevice) else no_nodes
            capability = probe(questions, nodes=nodes, progress=progress)
    finally:
        device.close()
        if refresh:
            cache.update(answers)
    store.devices.set_capability(profile, capability.to_dict())
    return capability
