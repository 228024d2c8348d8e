"""The commands by name. A command's module is imported when the command is used: some need large packages."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module, metadata
from typing import Annotated, Any

import typer

from hwprofiles.installed import install_command

COMMANDS: Mapping[str, str] = {
    "run": "run.run",
    "init": "init.init",
    "check": "check.check",
    "resume": "run.resume",
    "jobs": "jobs.jobs",
    "status": "jobs.status",
    "front": "results.front",
    "candidates": "candidates.candidates",
    "show": "results.show",
    "export": "exporting.export",
    "profile": "profiling.profile",
    "analyse": "analysis.analyse",
    "serve": "service.serve",
    "agent": "agents.agent",
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
        },
    ),
    "db": ("The database.", {"upgrade": "service.db_upgrade"}),
}


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
        app.command(name)(_load(place) if everything or name == word else _nothing)
    app.command("help")(show_help)
    for name, (about, commands) in GROUPS.items():
        group = typer.Typer(help=about, no_args_is_help=True)
        for own_name, place in commands.items():
            group.command(own_name)(_load(place) if everything or name == word else _nothing)
        app.add_typer(group, name=name)
    return app


def _load(place: str) -> Callable[..., Any]:
    """Returns a command's function; if a package that it needs is missing, another that says so."""
    module, _, function = place.partition(".")
    try:
        command: Callable[..., Any] = getattr(import_module(f"dashboards.cli.{module}"), function)
    except ModuleNotFoundError as error:
        missing = error

        def refuse(context: typer.Context) -> None:
            raise missing

        refuse.__doc__ = f"(needs {install_command('full')})"
        return refuse
    return command


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
