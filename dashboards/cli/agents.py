"""Commands for remote devices: their tokens, and the agent itself."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, TextIO

import typer

from dashboards.cli.completion import complete_device
from dashboards.cli.console import err, out, print_rows
from dashboards.cli.options import AsFormat, Db, Format, existing_store, is_new_home, open_store, print_json
from evaluators.agent.limits import DEFAULT_CACHE_BYTES, DEFAULT_MAX_MODEL_BYTES
from hwprofiles.description import NAME
from hwprofiles.errors import InvalidInput, StorageError
from hwprofiles.registry import device_origins
from search.store.agents import AgentRow

DeviceName = Annotated[
    str, typer.Argument(help="What the remote device is called.", show_default=False, autocompletion=complete_device)
]


def devices_token(
    device: DeviceName,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Write it to this file, for nobody else to read.", show_default=False),
    ] = None,
    db: Db = None,
) -> None:
    """Make a token for a remote device's agent; replaces (revokes) the previous token."""
    if not NAME.fullmatch(device):
        raise InvalidInput(f"{device!r} is not a valid device name", "use letters, digits, dots and dashes")
    origin = device_origins().get(device)
    if origin is not None:
        raise InvalidInput(
            f"{device!r} is the name of a device that is {origin}", f"name your board otherwise, such as my-{device}"
        )
    with open_store(db) as store:
        if output is None:
            out.print(store.agents.new_token(device), soft_wrap=True)
        else:
            with _secret_file(output) as file:
                file.write(f"{store.agents.new_token(device)}\n")
            err.print(f"wrote {output}")
    err.print("on the device: paretune agent --server URL --token-file FILE --device NAME", soft_wrap=True)


def _secret_file(output: Path) -> TextIO:
    """Open a new file that only its owner may read, before a token is made, so that none is lost."""
    try:
        handle = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise InvalidInput(f"file {output} exists already", "name another with -o") from None
    except OSError as error:
        raise StorageError(f"file {output} cannot be written: {error.strerror}", "name another with -o") from None
    return os.fdopen(handle, "w")


def devices_revoke(device: DeviceName, db: Db = None) -> None:
    """Refuse a remote device's token from now on; its agent ends."""
    with existing_store(db) as store:
        store.agents.revoke(device)
    err.print(f"the token of {device} is refused from now on")


def devices_agents(db: Db = None, format: AsFormat = Format.TABLE) -> None:
    """List the remote devices, and when their agents were last heard from."""
    agents: list[AgentRow] = []
    if not is_new_home(db):
        with existing_store(db) as store:
            agents = store.agents.all()
    rows = [
        {
            "device": agent.device,
            "state": "revoked" if agent.revoked_at else "never seen" if agent.profile is None else "registered",
            "seen_at": agent.seen_at and agent.seen_at.isoformat(),
            "created_at": agent.created_at.isoformat(),
            "processor": agent.profile and agent.profile.processor,
            "runtimes": agent.offer.get("runtimes", []),
            "threads": len(agent.offer.get("cores", [])),
            "profile_digest": agent.profile and agent.profile.digest,
        }
        for agent in agents
    ]
    if format is Format.JSON:
        print_json({"agents": rows})
        return
    columns = {"device": "device", "state": "state", "seen_at": "last heard from", "processor": "processor"}
    print_rows("", rows, columns, "no remote devices yet; make a token with: paretune devices token NAME")


def agent(
    server: Annotated[str, typer.Option(help="Address of paretune serve.", show_default=False)],
    token_file: Annotated[Path, typer.Option(help="File with the device's token.", show_default=False)],
    device: Annotated[str, typer.Option(help="The server's name for this device.", show_default=False)],
    local: Annotated[str, typer.Option(help="The device that measures.")] = "local-cpu",
    runtime: Annotated[
        list[str] | None,
        typer.Option(help="A runtime that may execute models; repeat for several; default: all.", show_default=False),
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Folder for models; default: in your cache folder.", show_default=False)
    ] = None,
    cache_bytes: Annotated[int, typer.Option(min=1, help="Largest size of the folder.")] = DEFAULT_CACHE_BYTES,
    max_model_bytes: Annotated[int, typer.Option(min=1, help="Size of the largest model.")] = DEFAULT_MAX_MODEL_BYTES,
) -> None:
    """Measure on this machine what a server asks for."""
    # For --help: the console script runs an agent without this module's imports.
    from evaluators.agent.command import run_agent

    arguments: list[str] = ["--server", server, "--token-file", str(token_file), "--device", device, "--local", local]
    for name in runtime or []:
        arguments += ["--runtime", name]
    if cache is not None:
        arguments += ["--cache", str(cache)]
    arguments += ["--cache-bytes", str(cache_bytes), "--max-model-bytes", str(max_model_bytes)]
    raise typer.Exit(run_agent(arguments))
