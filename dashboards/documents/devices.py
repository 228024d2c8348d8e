"""The JSON documents of devices."""

from __future__ import annotations

from dashboards.documents.agents import agent_document, agents_document
from dashboards.words import Json
from evaluators.devices.check import Check
from hwprofiles import Profile
from hwprofiles.catalogue import lookup_description
from hwprofiles.errors import NotFound, ParetuneError
from hwprofiles.gpus import find_gpus
from hwprofiles.installed import onnxruntime_providers
from hwprofiles.probe import probe_machine, processor_runtimes, usable_cores
from hwprofiles.registry import DEVICES, device_origins
from hwprofiles.suggestions import nearest
from search.devices.lookup import DeviceRegistry
from search.store import Store

REMOTE = "remote"
"""The origin of a device that is reached through an agent."""


_ORDER = ("built-in", REMOTE, "added", "catalogue")

_CONTACT = ("state", "online", "seen_at", "created_at", "runtimes", "threads")
"""What is known of a remote device's agent."""


def devices_document(store: Store | None = None, *, revoked: bool = False) -> Json:
    """Returns every device: built in, in the catalogue, added, or remote with a token in the store.

    Remote ones whose token is revoked are listed only if ``revoked``.
    """
    origins = device_origins()
    remote = [board["device"] for board in agents_document(store, revoked=revoked)["agents"]]
    origins |= {name: REMOTE for name in remote if name not in origins}
    names = sorted(origins, key=lambda name: _ORDER.index(origins[name]))
    return {"devices": [device_document(name, store) for name in names]}


def device_document(name: str, store: Store | None = None) -> Json:
    """Returns a device's profile and description, or why it is not available. Raises :class:`NotFound` for an unknown
    one."""
    origin = origin_of(name, store)
    contact = {} if store is None or origin != REMOTE else _contact(name, store)
    try:
        profile = DeviceRegistry(store).find(name)
        description = None if name in DEVICES else lookup_description(name)
    except ParetuneError as error:
        reason = f"{error.message}; {error.hint}"
        return {"device": name, "origin": origin, "available": False, "reason": reason, **contact}
    return {
        **profile.to_dict(),
        "profile_digest": profile.digest,
        "origin": origin,
        "available": True,
        "title": None if description is None else description.title,
        "sources": {} if description is None else description.sources(),
        **contact,
    }


def _contact(name: str, store: Store) -> Json:
    """Returns the contact with a remote device: that of the board that was heard from last; of several boards, also how
    many there are and are online."""
    row = store.agents.row(name)
    if row is None:
        return {}
    boards = [agent for agent in store.agents.all() if agent.device == name and agent.revoked_at is None]
    counts = {"boards": len(boards), "boards_online": sum(board.online for board in boards)} if len(boards) > 1 else {}
    return {"contact": {**{key: agent_document(row)[key] for key in _CONTACT}, **counts}}


def probe_document() -> Json:
    """Returns this machine: processor, cores, GPUs and runtimes, as far as it exposes them."""
    report = find_gpus()
    return {
        "machine": probe_machine().to_dict(),
        "usable_cores": list(usable_cores()),
        "gpus": [gpu.to_dict() for gpu in report.gpus],
        "gpus_reason": report.reason,
        "runtimes": [list(pair) for pair in processor_runtimes()],
        "onnxruntime_providers": list(onnxruntime_providers()),
    }


def check_document(name: str, profile: Profile | None, checks: tuple[Check, ...]) -> Json:
    """Returns the checks of a device; ``ok`` if none failed. ``profile`` is None for a device that is not available."""
    return {
        "device": name,
        "profile_digest": None if profile is None else profile.digest,
        "ok": all(check.state != "failed" for check in checks),
        "checks": [check.to_dict() for check in checks],
    }


def origin_of(name: str, store: Store | None = None) -> str:
    """``built-in``, ``catalogue``, ``added`` or ``remote``; raises :class:`NotFound` for an unknown device."""
    origins = device_origins()
    if name not in origins and store is not None:
        origins = {agent.device: REMOTE for agent in store.agents.all()} | origins
    if name not in origins:
        raise NotFound(f"there is no device {name!r}", nearest(name, origins))
    return origins[name]
