"""The command line. Results go to stdout, progress and errors to stderr; every report takes ``--format json``."""

from __future__ import annotations

import errno
import os
import shutil
import sys
import traceback

import typer

from dashboards.cli.commands import build_app
from dashboards.cli.console import print_error
from dashboards.cli.usage_errors import explain_usage
from hwprofiles.errors import ParetuneError
from hwprofiles.installed import install_command

_LEAST_FOR_BOXES = 60
"""Least width of a terminal whose help is drawn in boxes, which cut options in narrower ones."""


def run_app(arguments: list[str]) -> int:
    """Runs a command line and returns its exit code; errors are printed, tracebacks only with ``--debug``."""
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        app = build_app(arguments[0] if arguments else None)
        app.rich_markup_mode = "rich" if shutil.get_terminal_size().columns >= _LEAST_FOR_BOXES else None
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
