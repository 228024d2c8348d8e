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
INTRODUCTION = """\
A network of 8 layers that reads handwritten digits is trained (once, a minute or two). Then versions of it are pruned,
trained again for half a minute, quantised, and each is measured against it on this processor: how many times faster, at
which accuracy? Six minutes in all, then the best compromise is exported and measured once more. Ctrl-C ends it."""


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
    print(INTRODUCTION)
    result: dict[str, Any] = json.loads(paretune("run", "examples/digits.yaml", "--format", "json"))
    job = result["job_id"]
    print(paretune("front", job, "--html", str(folder / "front.html"), "--png", str(folder / "front.png")), end="")
    if not result["best_compromise"]:
        sys.exit("No candidate is on the front but the network itself: try again on a machine with less other work.")
    print(paretune("export", result["best_compromise"], "-o", str(folder / "bundle")), end="")
    print(f"\nThe front: {folder / 'front.html'} and front.png; the model with its receipt: {folder / 'bundle'}")
    print(f"See it in the browser: PARETUNE_HOME={folder / 'home'} {Path(sys.executable).parent / 'paretune'} serve")
    print(f"Took {(time.monotonic() - start) / 60:.1f} minutes.")


if __name__ == "__main__":
    main()
