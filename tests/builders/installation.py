"""Builds the wheel, and installs it into environments of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


def build(kind: str, folder: Path, source: Path = ROOT) -> Path:
    """The ``wheel`` or ``sdist`` of a source tree, built into a folder as ``make dist`` does."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", kind, "--directory", folder],
        check=True, capture_output=True, cwd=source,
    )  # fmt: skip
    (made,) = folder.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return made


@dataclass(frozen=True)
class Environment:
    """A fresh Python environment that sees nothing of this repository."""

    folder: Path

    @classmethod
    def make(cls, folder: Path, *, with_pip: bool = False) -> Environment:
        """With a pip of its own, which takes seconds longer, or installed into by this one's."""
        subprocess.run(
            [sys.executable, "-m", "venv", *([] if with_pip else ["--without-pip"]), folder],
            check=True, capture_output=True,
        )  # fmt: skip
        return cls(folder)

    @property
    def programs(self) -> Path:
        return self.folder / "bin"

    def see(self, folders: Iterable[str]) -> None:
        """Also imports from other folders of packages, behind its own."""
        (site_packages,) = self.folder.glob("lib/python*/site-packages")
        (site_packages / "seen.pth").write_text("\n".join(folders))

    def install(self, *what: str | Path) -> None:
        pip = [sys.executable, "-m", "pip", "--python", self.programs / "python"]
        self._run(*pip, "install", "--quiet", "--constraint", ROOT / "constraints.txt", *what).check_returncode()

    def run(self, program: str, *arguments: str | Path, **extra: str) -> subprocess.CompletedProcess[str]:
        return self._run(self.programs / program, *arguments, **extra)

    def output(self, program: str, *arguments: str | Path, **extra: str) -> str:
        """The stdout of a program that must succeed."""
        finished = self.run(program, *arguments, **extra)
        assert finished.returncode == 0, finished.stderr
        return finished.stdout

    def _run(self, *command: str | Path, **extra: str) -> subprocess.CompletedProcess[str]:
        clean = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "COLUMNS")}
        return subprocess.run(
            command, capture_output=True, text=True, check=False, env=clean | extra, cwd=self.folder,
        )  # fmt: skip
