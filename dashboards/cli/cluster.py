"""Commands for the nodes of Ray clusters."""

from __future__ import annotations

import socket
from typing import Annotated

import typer

from dashboards.cli.console import err, out
from dashboards.cli.options import AsFormat, Format, print_json
from hwprofiles.description import NAME
from hwprofiles.errors import InvalidInput
from hwprofiles.registry import device_origins


def devices_resources(
    name: Annotated[
        str | None,
        typer.Option(help="What jobs call the device; default: the host's name.", show_default=False),
    ] = None,
    threads: Annotated[
        int, typer.Option(min=1, help="Cores that trials leave to measurements: the most threads of any job.")
    ] = 1,
    local: Annotated[str, typer.Option(help="The device of this machine that measures.")] = "local-cpu",
    format: AsFormat = Format.TABLE,
) -> None:
    """Print the Ray resource by which this machine declares a device to a cluster, and how to start it as a node."""
    from search.devices.cluster.resources import StartCommands, declare

    device = name or socket.gethostname().partition(".")[0].lower()
    if not NAME.fullmatch(device):
        raise InvalidInput(f"--name: {device!r} is not a valid device name", "use letters, digits, dots and dashes")
    if device in device_origins():
        raise InvalidInput(f"--name: {device!r} is the name of another device", f"choose another, e.g. my-{device}")
    commands = StartCommands(declare(device, local), threads)
    if format is Format.JSON:
        print_json({
            "device": device, "resource": commands.device.resource, "resources": commands.resources,
            "head": commands.head, "node": commands.further,
        })  # fmt: skip
        return
    out.print(commands.resources, soft_wrap=True, highlight=False)
    for line in (
        f"as the first node of a cluster:  {commands.head}",
        f"as a further node:               {commands.further}",
        "before: ray get-auth-token --generate; every machine needs that token, in ~/.ray/auth_token",
    ):
        err.print(line, soft_wrap=True, highlight=False)
