"""Runs the commands of a played user, and records them as a page."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

_MOST_LINES = 40
_NOISE = re.compile(r"^(WARNING: |Looking in |\[notice\]|(preparing|searching|confirming|done): )")
_INTRODUCTION = """\
# The first hour

What three new users type and see, from a bare environment and the wheel, as `make first-hour` recorded it on {date}
({cores} cores). Each user has a folder of their own, and has activated a fresh environment in it: `python3 -m venv env`
and `. env/bin/activate`. Progress is left out, and `…` stands for other lines. The script checked every ✓.
`constraints.txt` is that of a clone: the versions that Paretune is tested with.
{how}"""
_FAST = "\nThe packages of an existing environment stood in for the installation (`--fast`).\n"


class Failed(Exception):
    """A claim that does not hold."""


@dataclass
class Page:
    """The page, while it is written."""

    fast: bool
    """Whether pip's work is left out."""
    parts: list[str] = field(default_factory=list)

    def section(self, title: str, words: str) -> None:
        """Begins the part of a user."""
        self.parts.append(f"## {title}")
        self.say(words)

    def say(self, words: str) -> None:
        """Adds a paragraph."""
        self.parts.append(textwrap.fill(words, 120, break_long_words=False, break_on_hyphens=False))

    def show(self, command: str, output: str, seconds: float | None) -> None:
        """Adds a command with its output and wall time."""
        took = "" if seconds is None else f"\n{_in_words(seconds)}\n"
        self.parts.append(f"```console\n$ {command}\n{output}```\n{took}".rstrip())

    def check(self, claim: str, holds: object) -> None:
        """Adds a claim; raises :class:`Failed` if it does not hold."""
        if not holds:
            raise Failed(claim)
        self.parts.append(f"✓ {claim}")

    def text(self) -> str:
        """The whole page."""
        date, how = datetime.now(tz=UTC).date().isoformat(), _FAST if self.fast else ""
        begin = _INTRODUCTION.format(date=date, cores=len(os.sched_getaffinity(0)), how=how)
        return "\n\n".join([begin.rstrip(), *self.parts]) + "\n"


@dataclass
class User:
    """A user with a folder, and an environment that sees nothing of this repository."""

    page: Page
    folder: Path
    environment: Path
    commands: int = 0
    """Typed so far."""
    spent_s: float = 0.0
    """Wall time of these commands."""
    said: str = ""
    """What the last one printed, whole."""

    @classmethod
    def make(cls, page: Page, folder: Path, wheel: Path) -> User:
        """A folder with the wheel, and a bare environment."""
        folder.mkdir(parents=True)
        shutil.copy(wheel, folder)
        bare = ["--without-pip"] if page.fast else []
        subprocess.run([sys.executable, "-m", "venv", *bare, folder / "env"], check=True)
        return cls(page, folder, folder / "env")

    @classmethod
    def beside(cls, page: Page, folder: Path, other: User) -> User:
        """A folder of their own, with another user's environment."""
        folder.mkdir(parents=True)
        return cls(page, folder, other.environment)

    def again(self) -> User:
        """The same user, whose commands are counted from the start."""
        return replace(self, commands=0, spent_s=0.0, said="")

    def install(self, arguments: Sequence[str], stand_in: Sequence[str]) -> None:
        """The first command; in a fast run the wheel alone, beside the packages of ``stand_in``."""
        if not self.page.fast:
            self._type("pip", arguments)
            return
        (wheel,) = self.folder.glob("*.whl")
        pip = [sys.executable, "-m", "pip", "--python", self.environment / "bin" / "python"]
        subprocess.run([*pip, "install", "--quiet", "--no-deps", wheel], check=True)
        (packages,) = self.environment.glob("lib/python*/site-packages")
        (packages / "seen.pth").write_text("\n".join(stand_in))
        self.commands += 1
        self.page.show(shlex.join(["pip", *arguments]), "", None)

    def paretune(self, *arguments: str, folder: str = ".") -> None:
        """A command that must succeed; the page shows it with what it printed."""
        self._type("paretune", arguments, folder)

    def ask(self, *arguments: str) -> str:
        """The stdout of a command that a user would not type: it is not shown."""
        asked = subprocess.run(
            [self.environment / "bin" / "paretune", *arguments], env=self._environ(), cwd=self.folder,
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return asked.stdout

    def prepare(self, *parts: str) -> None:
        """Runs a program that makes what the user already has."""
        program = "\n".join(["import torch", "from torch import nn", *reversed(parts)])
        subprocess.run(
            [self.environment / "bin" / "python", "-W", "ignore", "-c", program], env=self._environ(), cwd=self.folder,
            check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip

    @contextmanager
    def started(self, program: str, *arguments: str) -> Iterator[Running]:
        """A command that runs until the end of the block, then gets Ctrl-C; shown as it was when it was ready."""
        log = self.folder / f"{self.commands}.log"
        begin = time.monotonic()
        with log.open("wb") as file:
            process = subprocess.Popen(
                [self.environment / "bin" / program, *arguments], env=self._environ(), cwd=self.folder, stdout=file,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        self.commands += 1
        place = len(self.page.parts)
        running = Running(process, log)
        try:
            yield running
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)
        self.page.show(shlex.join([program, *arguments]), self._trim(running.said_at_first), None)
        self.page.parts.insert(place, self.page.parts.pop())
        self.spent_s += running.ready_at - begin

    def _type(self, program: str, arguments: Sequence[str], folder: str = ".") -> None:
        begin = time.monotonic()
        typed = subprocess.run(
            [self.environment / "bin" / program, *arguments], env=self._environ(), cwd=self.folder / folder,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        seconds = time.monotonic() - begin
        self.said, self.commands, self.spent_s = typed.stdout, self.commands + 1, self.spent_s + seconds
        change = "" if folder == "." else f"cd {folder} && "
        self.page.show(change + shlex.join([program, *arguments]), self._trim(typed.stdout), seconds)
        self.page.check("exit code 0", typed.returncode == 0)
        self.page.parts.pop()

    def _environ(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
        path = f"{self.environment / 'bin'}{os.pathsep}{os.environ['PATH']}"
        return kept | {"PATH": path, "PARETUNE_HOME": str(self.folder / "home"), "COLUMNS": "100"}

    def _trim(self, text: str) -> str:
        """What a person reads of an output: no progress, no paths of this machine, not too much."""
        text = text.replace(f"{self.folder.resolve()}", ".").replace(f"{self.folder.resolve().parent}", "..")
        lines = [line.rstrip() for line in text.splitlines() if not _NOISE.match(line)]
        if len(lines) > _MOST_LINES:
            lines = [*lines[:_MOST_LINES // 2], "…", *lines[-_MOST_LINES // 2:]]  # fmt: skip
        return "".join(f"{line}\n" for line in lines)


@dataclass
class Running:
    """A command that goes on."""

    process: subprocess.Popen[bytes]
    log: Path
    said_at_first: str = ""
    """What it had printed when it was ready."""
    ready_at: float = field(default_factory=time.monotonic)

    @property
    def said(self) -> str:
        """What it printed until now."""
        return self.log.read_text()

    def wait_for(self, words: str, limit_s: float) -> None:
        """Waits until it printed ``words``."""
        end = time.monotonic() + limit_s
        while words not in self.said:
            if self.process.poll() is not None or time.monotonic() > end:
                raise Failed(f"no {words!r} in: {self.said}")
            time.sleep(0.1)
        self.said_at_first, self.ready_at = self.said, time.monotonic()


def _in_words(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"Took {minutes} min {rest:02d} s." if minutes else f"Took {seconds:.1f} s."
