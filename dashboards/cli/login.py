"""Commands by which a user's commands and clients know a server, and the token for it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

from dashboards.access.saved_login import Login, forget_login, save_login, server_address
from dashboards.cli.console import err
from hwprofiles.addresses import is_loopback
from hwprofiles.errors import InvalidInput, NotAllowed, NotFound, ParetuneError, first_line

_PATIENCE_S = 20.0


def login(
    url: Annotated[str, typer.Argument(help="Its address, such as https://paretune.example.", show_default=False)],
    token_file: Annotated[
        Path | None, typer.Option(help="File with the API token; else it is asked for.", show_default=False)
    ] = None,
) -> None:
    """Save a server and your API token, for commands and clients; asks for the token, or reads it from stdin."""
    server = server_address(url)
    if server.startswith("http://") and not is_loopback(httpx.URL(server).host):
        err.print(f"note: {server} is not encrypted: others on the way can read your token", soft_wrap=True)
    login = Login(server, _read_token(token_file))
    who = _ask_who(login)
    file = save_login(login)
    scopes = ", ".join(who["scopes"])
    err.print(f"signed in to {server} as {who['user']} ({scopes}); saved in {file}", soft_wrap=True)


def logout() -> None:
    """Forget the saved server and token. The token stays valid until it is revoked."""
    saved = forget_login()
    if saved is None:
        raise NotFound("no server is saved", "save one with: paretune login URL")
    err.print(f"forgot {saved.server} and the token for it", soft_wrap=True)


def _read_token(file: Path | None) -> str:
    """Returns the token from a file, a terminal or stdin; empty for a server that asks for none."""
    if file is not None:
        try:
            text = file.read_text()
        except (OSError, ValueError) as error:
            raise InvalidInput(f"--token-file: {file} cannot be read: {first_line(error)}", "give its path") from None
    elif sys.stdin.isatty():
        text = typer.prompt("API token", default="", show_default=False, hide_input=True, err=True)
    else:
        text = sys.stdin.readline()
    token = text.strip()
    if not token.isascii() or not token.isprintable() or " " in token:
        raise InvalidInput("what was entered is no token", "paste the whole line, which begins with pt_")
    return token


def _ask_who(login: Login) -> dict[str, Any]:
    """Asks the server whose token it is."""
    headers = {"Authorization": f"Bearer {login.token}"} if login.token else {}
    try:
        answer = httpx.get(f"{login.server}/api/v1/me", headers=headers, timeout=_PATIENCE_S)
        document = dict(answer.json())
    except (httpx.HTTPError, ValueError, TypeError) as error:
        raise ParetuneError(
            f"{login.server} does not answer as it should: {first_line(error)}", "check the address, and that it runs"
        ) from None
    if answer.status_code == 200:
        return document
    raise NotAllowed(
        f"{login.server} refuses: {document.get('detail', answer.status_code)}", str(document.get("hint", ""))
    )
