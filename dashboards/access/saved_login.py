"""The server that this user's commands and clients talk to, and the token for it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from hwprofiles.errors import InvalidInput, StorageError, first_line
from hwprofiles.folders import data_folder, make_folder
from search.folders import write_json

SERVER, TOKEN = "PARETUNE_SERVER", "PARETUNE_TOKEN"
_FILE = "login.json"


@dataclass(frozen=True)
class Login:
    """A server, and the token for it."""

    server: str
    """Its address, such as ``https://paretune.example``, without a path."""
    token: str = field(default="", repr=False)
    """Empty for a server that asks for none."""


def current_login(environment: Mapping[str, str] = os.environ) -> Login | None:
    """Returns the server of ``PARETUNE_SERVER``, else the saved one; None if there is neither.

    ``PARETUNE_TOKEN`` comes before the saved token, which is sent to the server alone that it was saved for. Raises
    :class:`InvalidInput` for a malformed address, :class:`StorageError` for a file that cannot be read.
    """
    saved, named = _saved(), environment.get(SERVER)
    if named:
        server = server_address(named)
    elif saved is not None:
        server = saved.server
    else:
        return None
    token = saved.token if saved is not None and saved.server == server else ""
    return Login(server, environment.get(TOKEN) or token)


def save_login(login: Login) -> Path:
    """Saves a login in place of an earlier one, for this user to read alone; returns the file."""
    file = make_folder(data_folder()) / _FILE
    try:
        write_json(file, {"server": login.server, "token": login.token})
    except OSError as error:
        raise StorageError(
            f"{file} cannot be written: {error.strerror}", "set PARETUNE_HOME to a writable folder"
        ) from None
    return file


def forget_login() -> Login | None:
    """Removes the saved login and returns it; None if there was none."""
    saved = _saved()
    (data_folder() / _FILE).unlink(missing_ok=True)
    return saved


def server_address(text: str) -> str:
    """Returns the address of a server in its usual form; raises :class:`InvalidInput` if it is none.

    >>> server_address("https://Paretune.example/")
    'https://paretune.example'
    """
    try:
        parts = urlsplit(text)
        valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and "@" not in parts.netloc
    except ValueError:
        valid = False
    if not valid or parts.path.strip("/") or parts.query or parts.fragment:
        raise InvalidInput(f"{text!r} is not the address of a server", "write it like https://paretune.example")
    return f"{parts.scheme}://{parts.netloc.lower()}"


def _saved() -> Login | None:
    file = data_folder() / _FILE
    try:
        content = json.loads(file.read_text())
        return Login(str(content["server"]), str(content["token"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StorageError(
            f"{file} cannot be read: {first_line(error)}", "remove it, and: paretune login URL"
        ) from None
