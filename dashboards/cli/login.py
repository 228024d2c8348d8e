"""Commands by which a user's commands and clients know a server, and the token for it."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import httpx
import typer

from dashboards.access.saved_login import Login, forget_login, save_login, server_address
from dashboards.cli.console import err
from hwprofiles.addresses import is_loopback
from hwprofiles.errors import InvalidInput, NotAllowed, NotFound, ParetuneError

_PATIENCE_S = 20.0


def login(
    url: Annotated[
        str, typer.Argument(help="Address of the server, e.g. https://paretune.example.", show_default=False)
    ],
) -> None:
    """Save a server and your API token, for commands and clients; asks for the token, or reads it from stdin."""
    server = server_address(url)
    host = httpx.URL(server).host
    if server.startswith("http://") and not is_loopback(host):
        err.print(f"note: {server} is not encrypted: others on the way can read your token", soft_wrap=True)
    token = typer.prompt("API token", hide_input=True, err=True) if sys.stdin.isatty() else sys.stdin.readline()
    login = Login(server, token.strip())
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


def _ask_who(login: Login) -> dict[str, Any]:
    """Asks the server whose token it is."""
    if not login.token.isascii() or not login.token.isprintable() or not login.token:
        raise InvalidInput("what was entered is no token", "paste the line that paretune tokens create printed")
    try:
        headers = {"Authorization": f"Bearer {login.token}"}
        answer = httpx.get(f"{login.server}/api/v1/me", headers=headers, timeout=_PATIENCE_S)
        document = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ParetuneError(
            f"{login.server} does not answer: {reason}", "check the address, and that it runs"
        ) from None
    if answer.status_code == 200:
        return dict(document)
    raise NotAllowed(
        f"{login.server} refuses: {document.get('detail', answer.status_code)}", str(document.get("hint", ""))
    )
