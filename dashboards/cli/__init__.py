"""The command line. Results go to stdout, progress and errors to stderr; every report takes ``--format json``."""

from __future__ import annotations

import errno
import os
import shutil
import sys
import traceback
from importlib import metadata
from typing import Annotated

import typer

from dashboards.cli import (
    access,
    agents,
    analysis,
    candidates,
    capability,
    check,
    cluster,
    devices,
    docs,
    examples,
    init,
    jobs,
    login,
    maintenance,
    profiling,
    results,
    run,
    service,
    worker,
)
from dashboards.cli.console import print_error
from dashboards.cli.usage_errors import explain_usage
from hwprofiles.errors import ParetuneError
from hwprofiles.installed import install_command

app = typer.Typer(
    name="paretune",
    help="Searches compressed versions of your model and measures each one on your device.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
devices_app = typer.Typer(help="The devices that a job can measure on.", no_args_is_help=True)
users_app = typer.Typer(help="The users of a server.", no_args_is_help=True)
tokens_app = typer.Typer(help="The API tokens of a server's users.", no_args_is_help=True)
projects_app = typer.Typer(help="Projects, whose members see their jobs.", no_args_is_help=True)
db_app = typer.Typer(help="The database.", no_args_is_help=True)
app.add_typer(devices_app, name="devices")
app.add_typer(users_app, name="users")
app.add_typer(tokens_app, name="tokens")
app.add_typer(projects_app, name="projects")
app.add_typer(db_app, name="db")

# In the order in which --help lists them.
for command in (
    run.run, init.init, check.check, run.resume, jobs.jobs, jobs.status, results.front, candidates.candidates,
    results.show, results.export, profiling.profile, analysis.analyse, worker.up, service.serve, worker.worker,
    agents.agent, login.login, login.logout, access.audit,
    maintenance.gc, maintenance.backup, maintenance.restore, service.schema, examples.examples, docs.docs,
):  # fmt: skip
    app.command()(command)
devices_app.command("list")(devices.devices_list)
devices_app.command("show")(devices.devices_show)
devices_app.command("probe")(devices.devices_probe)
devices_app.command("add")(devices.devices_add)
devices_app.command("remove")(devices.devices_remove)
devices_app.command("check")(devices.devices_check)
devices_app.command("capability")(capability.devices_capability)
devices_app.command("token")(agents.devices_token)
devices_app.command("revoke")(agents.devices_revoke)
devices_app.command("agents")(agents.devices_agents)
devices_app.command("resources")(cluster.devices_resources)
users_app.command("add")(access.users_add)
users_app.command("list")(access.users_list)
users_app.command("disable")(access.users_disable)
users_app.command("enable")(access.users_enable)
users_app.command("admin")(access.users_admin)
tokens_app.command("create")(access.tokens_create)
tokens_app.command("list")(access.tokens_list)
tokens_app.command("revoke")(access.tokens_revoke)
projects_app.command("add")(access.projects_add)
projects_app.command("list")(access.projects_list)
projects_app.command("members")(access.projects_members)
db_app.command("upgrade")(service.db_upgrade)


_LEAST_FOR_BOXES = 60
"""Least width of a terminal whose help is drawn in boxes, which cut options in narrower ones."""


def _print_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"paretune {metadata.version('paretune')}\n")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback when something fails.")] = False,
    version: Annotated[
        bool, typer.Option("--version", "-V", help="Show the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    pass


@app.command("help")
def show_help(
    command: Annotated[list[str] | None, typer.Argument(help="A command, such as run or devices list.")] = None,
) -> int:
    """Show the help of a command, as --help does."""
    return run_app([*(command or ()), "--help"])


def run_app(arguments: list[str]) -> int:
    """Runs a command line and returns its exit code; errors are printed, tracebacks only with ``--debug``."""
    debug = "--debug" in arguments
    app.rich_markup_mode = "rich" if shutil.get_terminal_size().columns >= _LEAST_FOR_BOXES else None
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        code = app(args=arguments, prog_name="paretune", standalone_mode=False)
        sys.stdout.flush()
    except (typer.Abort, KeyboardInterrupt):
        return 130
    except (BrokenPipeError, SystemExit):  # the latter is how Typer ends when the reader of stdout has gone
        _abandon_output()
        return 0
    # Any error is shown to a user in two lines.
    except Exception as error:  # noqa: BLE001
        if debug:
            traceback.print_exc()
        message, hint, code = _explain(error, arguments)
        if message:
            print_error(message, hint)
        _abandon_output()
        return code
    return int(code or 0)


def _explain(error: Exception, arguments: list[str]) -> tuple[str, str, int]:
    """Returns the message, the hint and the exit code of an error."""
    if isinstance(error, ParetuneError):
        return error.message, error.hint, error.exit_code
    if isinstance(error, ModuleNotFoundError):
        return f"this command needs the package {error.name!r}", install_command("full"), 2
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"{error.filename or 'standard output'}: {error.strerror}", "free some space there", 4
    if hasattr(error, "format_message"):  # Typer's error about the command line itself
        return *explain_usage(error, arguments), 2
    return f"unexpected {type(error).__name__}: {error}", "run it again with --debug and report what it prints", 4


def _abandon_output() -> None:
    """Keeps Python from writing the rest of stdout again at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
