"""Commands for remote devices: their tokens, and the agent itself."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, TextIO

import typer

from dashboards.cli.completion import complete_device
from dashboards.cli.console import err, out
from dashboards.cli.listing import print_list
from dashboards.cli.options import AsFormat, Db, Format, existing_store, open_store, print_json, store_if_any
from dashboards.cli.service import serve_nicely
from dashboards.documents.agents import agents_document
from dashboards.figures import moment
from dashboards.words.devices import agent_state
from evaluators.agent.limits import DEFAULT_CACHE_BYTES, DEFAULT_MAX_MODEL_BYTES
from hwprofiles.description import NAME
from hwprofiles.errors import InvalidInput, StorageError
from hwprofiles.registry import device_origins
from search.devices.lookup import SERVER, agent_command
from search.store.agents import DEFAULT_BOARD

DeviceName = Annotated[
    str, typer.Argument(help="What the remote device is called.", show_default=False, autocompletion=complete_device)
]


Board = Annotated[
    str | None,
    typer.Option(help="One of several equal boards under this name; each needs a token.", show_default=False),
]

_KINDS = {
    "built-in": "a device of every machine",
    "catalogue": "a built-in device model",
    "added": "a device model that you added",
}
"""Devices by origin, whose names an agent cannot have."""


def devices_token(
    device: DeviceName,
    board: Board = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Write it to this file, for nobody else to read.", show_default=False),
    ] = None,
    server: Annotated[
        str | None,
        typer.Option(help="Where the device reaches paretune serve; default: a tunnel of ssh.", show_default=False),
    ] = None,
    serve: Annotated[bool, typer.Option("--serve", help="Then serve, until Ctrl-C.")] = False,
    db: Db = None,
) -> None:
    """Make a token for a remote device's agent; replaces (revokes) the previous token of the device or board."""
    if not NAME.fullmatch(device):
        raise InvalidInput(f"{device!r} is not a valid device name", "use letters, digits, dots and dashes")
    if board is not None and not NAME.fullmatch(board):
        raise InvalidInput(f"--board: {board!r} is not a valid name", "use letters, digits, dots and dashes")
    origin = device_origins().get(device)
    if origin is not None:
        raise InvalidInput(f"{device!r} is {_KINDS[origin]}", f"name your board otherwise, e.g. my-{device}")
    with open_store(db) as store:
        if output is None:
            out.print(store.agents.new_token(device, board or DEFAULT_BOARD), soft_wrap=True)
        else:
            with _secret_file(output) as file:
                file.write(f"{store.agents.new_token(device, board or DEFAULT_BOARD)}\n")
            err.print(f"wrote {output}")
        for line in _next_steps(device, output, server, serve):
            err.print(line, soft_wrap=True)
        if serve:
            serve_nicely(store)


def _next_steps(device: str, output: Path | None, server: str | None, serves: bool) -> Iterator[str]:
    """Yields what to do with a new token: how it gets to the device, and the agent's whole command."""
    file = shlex.quote(output.name if output else f"{device}.token")
    command = agent_command(device, shlex.quote(server or SERVER), file)
    if server is None or output is not None:
        yield "BOARD is the device as ssh reaches it, e.g. pi@192.168.1.20; on this machine, skip lines with BOARD"
    if output is not None:
        yield f"copy the token:       scp {shlex.quote(str(output))} BOARD:{file}"
    else:
        yield f"on the device, write the token to a file:  (umask 077; cat > {file})"
    yield "here, keep running:   this command" if serves else "here, keep running:   paretune serve"
    if server is None:
        yield f"connect the device:   ssh -R 8700:{SERVER.removeprefix('http://')} BOARD"
    yield f"on the device:        {command}"


def _secret_file(output: Path) -> TextIO:
    """Opens a new file that only its owner may read, before a token is made, so that none is lost."""
    try:
        handle = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise InvalidInput(f"file {output} exists already", "name another with -o") from None
    except OSError as error:
        raise StorageError(f"file {output} cannot be written: {error.strerror}", "name another with -o") from None
    return os.fdopen(handle, "w")


def devices_revoke(device: DeviceName, board: Board = None, db: Db = None) -> None:
    """Refuses a remote device's tokens from now on, or that of one board; its agent ends."""
    with existing_store(db) as store:
        store.agents.revoke(device, board)
    err.print(f"the token of {device if board is None else f'board {board} of {device}'} is refused from now on")
    err.print(f"a new token: paretune devices token {device}; to forget the device: paretune devices remove {device}",
              soft_wrap=True)  # fmt: skip


def devices_agents(
    revoked: Annotated[bool, typer.Option("--all", help="Also those whose token is revoked.")] = False,
    db: Db = None,
    format: AsFormat = Format.TABLE,
) -> None:
    """List the boards of remote devices, and when each was last heard from."""
    with store_if_any(db) as store:
        agents = agents_document(store, revoked=True)["agents"]
    shown = [agent for agent in agents if revoked or agent["state"] != "revoked"]
    if format is Format.JSON:
        print_json({"agents": shown})
        return
    rows = [{**agent, "state": agent_state(agent), "seen_at": moment(agent["seen_at"])} for agent in shown]
    columns = {"device": "device", "board": "board", "state": "state", "seen_at": "last heard from",
               "processor": "processor"}  # fmt: skip
    if not any(row["board"] for row in rows):
        del columns["board"]
    print_list(rows, columns, "no remote devices; make a token with: paretune devices token NAME", cut=["processor"])
    if hidden := len(agents) - len(shown):
        out.print(
            f"{hidden} with a revoked token not shown; show all with: paretune devices agents --all", soft_wrap=True
        )


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
