"""The console script: checks the command before it imports anything large."""

from __future__ import annotations

import os
import sys
from importlib import metadata

from dashboards.completion import VARIABLE, complete

_BASE_HELP = """\
usage: paretune COMMAND [OPTIONS]

Only the base package is installed here. It has one command:
  agent       Measure models on this machine for a server.
  --version   Show the version.

Commands that ask a server need: {client}
All other commands need: {full}"""


def main() -> None:
    """Runs ``paretune``; prints what to install if only the base package is installed."""
    if sys.argv[1:2] == ["agent"]:
        from evaluators.agent.command import run_agent

        sys.exit(run_agent(sys.argv[2:]))
    if VARIABLE in os.environ:
        complete()
    try:
        from dashboards.cli import run_app
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] in ("dashboards", "search", "evaluators", "hwprofiles"):
            raise
        sys.exit(_run_base(error.name))
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(run_app(sys.argv[1:]))


def _run_base(missing_package: str) -> int:
    """Answers what the base package can answer; return the exit code."""
    from hwprofiles.installed import install_command

    arguments = sys.argv[1:]
    if arguments in (["-V"], ["--version"]):
        print(f"paretune {metadata.version('paretune')}")
        return 0
    if arguments in ([], ["-h"], ["--help"], ["help"]):
        print(_BASE_HELP.format(client=install_command("client"), full=install_command("full")))
        return 0
    print(f"error: this command needs the package {missing_package!r}", file=sys.stderr)
    print(f"  hint: {install_command('full')}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
