"""Devices and their agents in words."""

from __future__ import annotations

from dashboards.words import Json


def agent_state(document: Json) -> str:
    """``online``, ``offline``, ``never seen`` or ``revoked``."""
    if document["state"] != "registered":
        return str(document["state"])
    return "online" if document["online"] else "offline"


def figures_in_words(device: Json) -> str:
    """Returns the origin of figures on a device, and the state of a remote one's agent; why there are none."""
    contact = device.get("contact")
    if not device["available"]:
        return "not available" if contact is None else agent_state(contact)
    if contact is not None:
        return f"measured, {agent_state(contact)}"
    return "measured" if not device["simulated"] else "made up" if device["peaks"] is None else "modelled"


def device_in_words(device: Json) -> str:
    """Returns what a device is, in one line: its title or processor with its runtimes, or why it is not available."""
    if not device["available"]:
        return str(device["reason"])
    runtimes = (f"{name} {version}" for name, version in device["runtimes"])
    return ", ".join((device["title"] or device["processor"], *runtimes))
