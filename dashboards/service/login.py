"""The server that ``paretune login`` has chosen, in a file of the user's data folder."""

from __future__ import annotations

import json
from dataclasses import dataclass

from hwprofiles.errors import StorageError
from hwprofiles.folders import data_folder
from search.folders import partial_path

FILE = "server.json"


@dataclass(frozen=True)
class Login:
    """A server, and the token by which it knows the user."""

    url: str
    token: str | None


def read_login() -> Login | None:
    """Returns the server that was chosen; None without one."""
    path = data_folder() / FILE
    try:
        document = json.loads(path.read_text())
        return Login(str(document["url"]), document["token"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StorageError(f"file {path} cannot be read: {error}", "make it anew with: paretune login URL") from None


def write_login(login: Login) -> None:
    """Chooses a server; the file is for its user alone."""
    path = data_folder() / FILE
    try:
        partial = partial_path(path)
        partial.write_text(json.dumps({"url": login.url, "token": login.token}))
        partial.replace(path)
    except OSError as error:
        raise StorageError(f"file {path} cannot be written: {error.strerror}", "set PARETUNE_HOME") from None


def forget_login() -> bool:
    """Forgets the server that was chosen; returns whether there was one."""
    path = data_folder() / FILE
    existed = path.exists()
    path.unlink(missing_ok=True)
    return existed
