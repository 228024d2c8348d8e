"""Commands that list and show devices."""

from __future__ import annotations

from typing import Annotated

import typer

from dashboards.cli.completion import complete_device
from dashboards.cli.console import out, print_fields
from dashboards.cli.fields import flatten
from dashboards.cli.listing import print_list
from dashboards.cli.options import AsFormat, Db, Format, Server, print_json
from dashboards.figures import moment
from dashboards.service.choice import service_if_any
from dashboards.words import Json
from dashboards.words.devices import device_in_words, figures_in_words

DeviceName = Annotated[
    str, typer.Argument(help="The device's name.", show_default=False, autocompletion=complete_device)
]


def devices_list(
    revoked: Annotated[bool, typer.Option("--all", help="Also remote devices whose token is revoked.")] = False,
    server: Server = None,
    db: Db = None,
    format: AsFormat = Format.TABLE,
) -> None:
    """List the devices: this machine, remote ones, and device models."""
    with service_if_any(server, db) as service:
        document = _own_devices() if service is None else service.devices(revoked=revoked)
    if format is Format.JSON:
        print_json(document)
        return
    rows = [
        {**device, "figures": figures_in_words(device), "what": device_in_words(device)}
        for device in document["devices"]
    ]
    print_list(rows, {name: name for name in ("device", "figures", "origin", "what")}, "", cut=["what"])
    missing = [device["device"] for device in document["devices"] if not device["available"]]
    if missing:
        out.print(f"why one is not available: paretune devices show {missing[0]}", soft_wrap=True)


def devices_show(device: DeviceName, server: Server = None, db: Db = None, format: AsFormat = Format.TABLE) -> None:
    """Show a device: its processor, memory, caches and runtimes."""
    with service_if_any(server, db) as service:
        document = _own_device(device) if service is None else service.device(device)
    if format is Format.JSON:
        print_json(document)
        return
    if document.get("simulated"):
        out.print(f"{figures_in_words(document)}, not measured")
    contact = {
        key: moment(value) if key.endswith("_at") else value for key, value in document.get("contact", {}).items()
    }
    print_fields(flatten(document | {"contact": contact}))


def _own_devices() -> Json:
    """Returns the devices of this machine, where nothing was run so far."""
    from dashboards.documents.devices import devices_document

    return devices_document()


def _own_device(device: str) -> Json:
    from dashboards.documents.devices import device_document

    return device_document(device)
