"""The commands by name. A command's module is imported when the command is used: some need large packages."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module, metadata
from typing import Annotated

import typer

COMMANDS: Mapping[str, str] = {
    "run": "run.run",
    "init": "init.init",
    "check": "check.check",
    "submit": "submit.submit",
    "jobs": "jobs.jobs",
    "status": "jobs.status",
    "logs": "logs.logs",
    "pause": "control.pause",
    "resume": "control.resume",
    "cancel": "control.cancel",
    "clone": "control.clone",
    "delete": "control.delete",
    "front": "results.front",
    "candidates": "candidates.candidates",
    "show": "results.show",
    "export": "exporting.export",
    "profile": "profiling.profile",
    "analyse": "analysis.analyse",
    "up": "worker.up",
    "serve": "service.serve",
    "worker": "worker.worker",
    "agent": "agents.agent",
    "mcp": "mcp.mcp",
    "login": "login.login",
    "logout": "login.logout",
    "audit": "access.audit",
    "gc": "maintenance.gc",
    "backup": "maintenance.backup",
    "restore": "maintenance.restore",
    "schema": "service.schema",
    "examples": "examples.examples",
    "docs": "docs.docs",
}
"""``module.function`` of each command, in the order in which --help lists them."""

GROUPS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "devices": (
        "The devices that a job can measure on.",
        {
            "list": "devices.devices_list",
            "show": "devices.devices_show",
            "probe": "probing.devices_probe",
            "add": "probing.devices_add",
            "remove": "probing.devices_remove",
            "check": "probing.devices_check",
            "capability": "capability.devices_capability",
            "token": "agents.devices_token",
            "revoke": "agents.devices_revoke",
            "agents": "agents.devices_agents",
            "resources": "cluster.devices_resources",
        },
    ),
    "policies": (
        "Policies that searches learnt, on this machine.",
        {
            "list": "policies.policies_list",
            "show": "policies.policies_show",
            "export": "policies.policies_export",
            "import": "policies.policies_import",
            "remove": "policies.policies_remove",
        },
    ),
    "users": (
        "The users of a server.",
        {
            "add": "access.users_add",
            "list": "access.users_list",
            "disable": "access.users_disable",
            "enable": "access.users_enable",
            "admin": "access.users_admin",
        },
    ),
    "tokens": (
        "The API tokens of a server's users.",
        {"create": "access.tokens_create", "list": "access.tokens_list", "revoke": "access.tokens_revoke"},
    ),
    "projects": (
        "Projects, whose members see their jobs.",
        {"add": "access.projects_add", "list": "access.projects_list", "members": "access.projects_members"},
    ),
    "db": ("The database.", {"upgrade": "service.db_upgrade"}),
}

_OURS = ("dashboards", "search", "evaluators", "hwprofiles")


def build_app(word: str | None = None) -> typer.Typer:
    """Returns the command line; of commands other than ``word``, if that is one, it has the names only."""
    everything = word not in COMMANDS and word not in GROUPS
    app = typer.Typer(
        name="paretune",
        help="Searches compressed versions of your model and measures each one on your device.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    for name, place in COMMANDS.items():
        _add(app, name, place if everything or name == word else None)
    app.command("help")(show_help)
    for name, (about, commands) in GROUPS.items():
        group = typer.Typer(help=about, no_args_is_help=True)
        for own_name, place in commands.items():
            _add(group, own_name, place if everything or name == word else None)
        app.add_typer(group, name=name)
    return app


def _add(app: typer.Typer, name: str, place: str | None) -> None:
    """Adds a command by its place; one that only says what is missing, if a package is, and a name without a place."""
    if place is None:
        app.command(name)(_nothing)
        return
    module, _, function = place.partition(".")
    try:
        app.command(name)(getattr(import_module(f"dashboards.cli.{module}"), function))
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] in _OURS:
            raise
        any_arguments = {"allow_extra_args": True, "ignore_unknown_options": True}
        app.command(name, context_settings=any_arguments)(_refusal(error))


def _refusal(error: ModuleNotFoundError) -> Callable[..., None]:
    def refuse(context: typer.Context) -> None:
        raise error

    refuse.__doc__ = "(needs more packages)"
    return refuse


def _nothing() -> None:
    pass


def show_help(
    command: Annotated[list[str] | None, typer.Argument(help="A command, such as run or devices list.")] = None,
) -> int:
    """Show the help of a command, as --help does."""
    from dashboards.cli import run_app

    return run_app([*(command or ()), "--help"])


def _print_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"paretune {metadata.version('paretune')}\n")
        raise typer.Exit


def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback when something fails.")] = False,
    version: Annotated[
        bool, typer.Option("--version", "-V", help="Show the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    pass
