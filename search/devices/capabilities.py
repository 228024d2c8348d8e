"""What devices can do, asked once and kept with their profiles."""

from __future__ import annotations

import json
from collections.abc import Iterable, MutableMapping
from typing import Any

from evaluators.devices.device import LocalDevice
from evaluators.probing.capability import VERSION, Capability
from evaluators.probing.operators_probe import local_nodes, no_nodes, probe
from evaluators.probing.questions import LayerAnswers
from evaluators.processes.sandbox_child import Progress
from hwprofiles import Profile
from search.devices.link import RequestLink
from search.devices.lookup import open_device
from search.folders import cache_folder
from search.json_cache import JsonCache
from search.store import Store


def capability_of(store: Store, profile_digest: str) -> Capability | None:
    """What a profile's device answered; None where it was never asked, or by an older version of Paretune."""
    record = store.capability(profile_digest)
    return None if record is None or record.get("version") != VERSION else Capability.from_dict(record)


def known_capabilities(store: Store, profile_digests: Iterable[str]) -> tuple[str, ...]:
    """As JSON texts what is known of these profiles' devices, for a job's work order."""
    found = (capability_of(store, digest) for digest in profile_digests)
    return tuple(json.dumps(one.to_dict()) for one in found if one is not None)


def probed(store: Store, profile: Profile, progress: Progress, *, refresh: bool = False) -> Capability:
    """What a device can do: from the store where it is there whole, else asked and stored.

    Answers are remembered one by one, so that probing that was interrupted, or ran out of time, goes on where it
    stopped; ``refresh`` asks everything again. Raises :class:`DeviceUnavailable` for a device that cannot measure.
    """
    known = capability_of(store, profile.digest)
    if known is not None and known.complete and not refresh:
        return known
    device = open_device(profile, RequestLink(store.url))
    stored = JsonCache(cache_folder() / "layers")
    answers: MutableMapping[str, Any] = {} if refresh else stored
    try:
        with LayerAnswers(device, answers) as asked:
            nodes = local_nodes(profile) if isinstance(device, LocalDevice) else no_nodes
            found = probe(asked, nodes=nodes, progress=progress)
    finally:
        device.close()
        if refresh:
            stored.update(answers)
    store.set_capability(profile, found.to_dict())
    return found
