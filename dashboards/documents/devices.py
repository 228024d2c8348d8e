"""The JSON documents of devices."""

from __future__ import annotations

from dashboards.documents.report import Json
from evaluators.devices.check import Check
from hwprofiles import Profile, find_device
from hwprofiles.catalogue import lookup_description
from hwprofiles.errors import NotFound, ParetuneError
from hwprofiles.gpus import find_gpus
from hwprofiles.installed import onnxruntime_providers
from hwprofiles.probe import probe_machine, processor_runtimes, usable_cores
from hwprofiles.registry import DEVICES, device_origins
from hwprofiles.suggestions import nearest


def devices_document() -> Json:
    """Returns every device: built in, in the catalogue, or added."""
    return {"devices": [device_document(name) for name in device_origins()]}


def device_document(name: str) -> Json:
    """Returns a device's profile and description, or why it is not available. Raises :class:`NotFound` for an unknown
    one."""
    origin = origin_of(name)
    try:
        profile = find_device(name)
        description = None if name in DEVICES else lookup_description(name)
    except ParetuneError as error:
        return {"device": name, "origin": origin, "available": False, "reason": f"{error.message}; {error.hint}"}
    return {
        **profile.to_dict(),
        "profile_digest": profile.digest,
        "origin": origin,
        "available": True,
        "title": None if description is None else description.title,
        "sources": {} if description is None else description.sources(),
    }


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


def origin_of(name: str) -> str:
    """``built-in``, ``catalogue`` or ``added``; raises :class:`NotFound` for an unknown device."""
    origins = device_origins()
    if name not in origins:
        raise NotFound(f"there is no device {name!r}", nearest(name, origins))
    return origins[name]
