"""The command by which coding agents use Paretune."""

from __future__ import annotations

from dashboards.cli.options import Db, Server
from dashboards.service.choice import choose_server, open_service
from hwprofiles.errors import InvalidInput
from hwprofiles.installed import install_command


def mcp(server: Server = None, db: Db = None) -> None:
    """Offer jobs to a coding agent by the Model Context Protocol, on stdin and stdout."""
    try:
        from dashboards.mcp import build_server
    except ModuleNotFoundError as error:
        raise InvalidInput(f"this command needs the package {error.name!r}", install_command("mcp")) from None
    with open_service(server, db, create=True) as service:
        build_server(service, local=choose_server(server, db) is None).run("stdio")
