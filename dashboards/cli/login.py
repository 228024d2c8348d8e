"""Commands that choose the server which other commands ask."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from dashboards.cli.console import err
from dashboards.service.login import Login, forget_login, write_login
from dashboards.service.remote import RemoteService
from hwprofiles.errors import InvalidInput


def login(
    server: Annotated[str, typer.Argument(metavar="URL", help="Address of the server.", show_default=False)],
    token_file: Annotated[
        Path | None, typer.Option(help="File with the API token; else it is asked for.", show_default=False)
    ] = None,
) -> None:
    """Choose a server for the commands that take --server, with your API token there."""
    token = _read(token_file)
    with RemoteService(server, token) as service:
        service.jobs(limit=1)
    write_login(Login(server, token))
    err.print(f"commands ask {server} from now on; ask a database with --db, or end this with: paretune logout",
              soft_wrap=True)  # fmt: skip


def logout() -> None:
    """Forget the server that login has chosen, and the token."""
    err.print("commands ask this machine's database from now on" if forget_login() else "no server was chosen")


def _read(file: Path | None) -> str | None:
    """Returns the token; None for a server that wants none."""
    if file is not None:
        try:
            return file.read_text().strip() or None
        except OSError as error:
            raise InvalidInput(f"--token-file: {file} cannot be read: {error.strerror}", "give its path") from None
    if not sys.stdin.isatty():
        return sys.stdin.readline().strip() or None
    return str(typer.prompt("API token (empty: none)", default="", hide_input=True, show_default=False)).strip() or None
