"""Commands about devices."""

from __future__ import annotations

from typing import Annotated

import typer

from dashboards.cli.options import AsFormat, Format, print_fields, print_json
from dashboards.console import print_rows
from dashboards.documents import Json
from hwprofiles import DEVICES, find_device
from hwprofiles.errors import NotFound, ParetuneError


def devices_list(format: AsFormat = Format.TABLE) -> None:
    """List the devices."""
    rows = [_device_row(name) for name in DEVICES]
    if format is Format.JSON:
        print_json({"devices": rows})
        return
    columns = {
        "device": "device",
        "available": "available",
        "runtime": "runtime",
        "processor": "processor",
        "cores": "cores",
        "reason": "",
    }
    print_rows("", rows, columns, "")


def _device_row(name: str) -> Json:
    try:
        found = find_device(name)
    except ParetuneError as error:
        return {"device": name, "available": False, "reason": f"{error.message}; {error.hint}"}
    return {**found.to_dict(), "profile_digest": found.digest, "available": True}


def devices_show(
    device: Annotated[str, typer.Argument(help="The device's name.", show_default=False)],
    format: AsFormat = Format.TABLE,
) -> None:
    """What a device is."""
    if device not in DEVICES:
        raise NotFound(f"there is no device {device!r}", f"known devices: {', '.join(DEVICES)}")
    row = _device_row(device)
    if format is Format.JSON:
        print_json(row)
    else:
        print_fields({key: ", ".join(map(str, v)) if isinstance(v, list) else v for key, v in row.items()})
