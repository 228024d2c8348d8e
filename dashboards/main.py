"""The console script: checks the command before it imports anything large."""

from __future__ import annotations

import os
import sys

from dashboards.completion import VARIABLE, complete


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
        print(f"error: this command needs the package {error.name!r}", file=sys.stderr)
        print("  hint: pip install 'paretune[full]'", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(run_app(sys.argv[1:]))


if __name__ == "__main__":
    main()
