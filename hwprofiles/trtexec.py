"""Finds TensorRT's command-line tool and its version."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from hwprofiles.errors import DeviceUnavailable

PLACES = ("/usr/src/tensorrt/bin", "/opt/tensorrt/bin", "/usr/local/tensorrt/bin")
"""Folders of TensorRT's own packages; the tool is seldom on PATH."""

OLDEST = 10
"""Oldest major version: the first with strongly typed networks and 64-bit integers."""

_UPDATE = f"install TensorRT {OLDEST} or newer"


def find_trtexec(places: Sequence[str] = PLACES) -> tuple[Path, str]:
    """Finds the tool on PATH or in ``places``; returns its path and version.

    Raises :class:`DeviceUnavailable` if it is missing, does not start or is too old.
    """
    tool = shutil.which("trtexec") or next(filter(None, (shutil.which("trtexec", path=p) for p in places)), None)
    if tool is None:
        raise DeviceUnavailable("trtexec is not installed", "install TensorRT, or put its bin folder on PATH")
    try:
        done = subprocess.run([tool, "--help"], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DeviceUnavailable(f"{tool} does not start: {error}", "install TensorRT again") from None
    return Path(tool), version_of(done.stdout + done.stderr)


def version_of(output: str) -> str:
    """Returns the version in the tool's output. Raises :class:`DeviceUnavailable` for none, or one that is too old.

    >>> version_of("&&&& RUNNING TensorRT.trtexec [TensorRT v101601] [b11] # trtexec --help")
    '10.16.1'
    """
    match = re.search(r"\[TensorRT v(\d{4,6})\]", output)
    if match is None:
        raise DeviceUnavailable("trtexec does not say which TensorRT it is", _UPDATE)
    if len(match[1]) < 6:  # up to version 8: another numbering
        raise DeviceUnavailable(f"trtexec is of TensorRT {match[1][0]}, which is too old", _UPDATE)
    number = int(match[1])
    return f"{number // 10000}.{number // 100 % 100}.{number % 100}"
