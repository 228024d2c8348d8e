"""TensorRT's command-line tool: where it is, and of which version."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from hwprofiles.errors import DeviceUnavailable

PLACES = ("/usr/src/tensorrt/bin", "/opt/tensorrt/bin", "/usr/local/tensorrt/bin")
"""Where TensorRT's own packages put the tool, which is seldom on the path."""

OLDEST = 10
"""The first major version whose networks can be strongly typed, and that knows 64-bit integers."""

_UPDATE = f"install TensorRT {OLDEST} or newer"


def find_trtexec(places: Sequence[str] = PLACES) -> tuple[Path, str]:
    """The tool, on the path or where TensorRT's packages put it, and its version. Raises :class:`DeviceUnavailable`
    where it is missing, does not start, or is too old."""
    found = shutil.which("trtexec") or next(filter(None, (shutil.which("trtexec", path=p) for p in places)), None)
    if found is None:
        raise DeviceUnavailable("trtexec is not installed", "install TensorRT, or put its bin folder on PATH")
    try:
        done = subprocess.run([found, "--help"], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DeviceUnavailable(f"{found} does not start: {error}", "install TensorRT again") from None
    return Path(found), version_of(done.stdout + done.stderr)


def version_of(said: str) -> str:
    """The version in the tool's first line.

    >>> version_of("&&&& RUNNING TensorRT.trtexec [TensorRT v101601] [b11] # trtexec --help")
    '10.16.1'
    """
    match = re.search(r"\[TensorRT v(\d{4,6})\]", said)
    if match is None:
        raise DeviceUnavailable("trtexec does not say which TensorRT it is", _UPDATE)
    if len(match[1]) < 6:  # of 8 and older: another way to number
        raise DeviceUnavailable(f"trtexec is of TensorRT {match[1][0]}, which is too old", _UPDATE)
    number = int(match[1])
    return f"{number // 10000}.{number // 100 % 100}.{number % 100}"
