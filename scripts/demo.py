"""The demo: the digits search, its front printed and saved, its best compromise exported. Run by ``make demo``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def paretune(*arguments: str) -> str:
    """Runs a command as a user would, shows it, and returns its stdout; ends with its exit code when it fails."""
    print(f"\n$ paretune {' '.join(arguments)}", flush=True)
    done = subprocess.run(
        [sys.executable, "-m", "dashboards.main", *arguments], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    if done.returncode:
        sys.stdout.write(done.stdout)
        sys.exit(done.returncode)
    return done.stdout


def main() -> None:
    """Everything lies in the folder that is named, the database too."""
    folder = Path(sys.argv[1]).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["PARETUNE_HOME"] = str(folder / "home")
    start = time.monotonic()
    result: dict[str, Any] = json.loads(paretune("run", "examples/digits.yaml", "--format", "json"))
    job = result["job_id"]
    print(paretune("front", job, "--html", str(folder / "front.html"), "--png", str(folder / "front.png")), end="")
    print(paretune("export", best(result), "-o", str(folder / "bundle")), end="")
    print(f"\nThe front: {folder / 'front.html'} and front.png; the model with its receipt: {folder / 'bundle'}")
    print(f"See it in the browser: PARETUNE_HOME={folder / 'home'} {Path(sys.executable).parent / 'paretune'} serve")
    print(f"Took {(time.monotonic() - start) / 60:.1f} minutes.")


def best(result: dict[str, Any]) -> str:
    """The front's best compromise, as the front itself names it."""
    candidate: str = result["best_compromise"]
    return candidate


if __name__ == "__main__":
    main()
