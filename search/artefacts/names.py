"""Names of artefacts, and of the files of jobs: what is accepted from outside."""

from __future__ import annotations

import re
from importlib.machinery import all_suffixes
from pathlib import PurePosixPath

from hwprofiles.errors import InvalidInput

_SHA256 = re.compile(r"[0-9a-f]{64}")
_MAX_CHARACTERS = 255
_MODULES = (*all_suffixes(), ".pth", ".zip")
"""Files that Python could import."""


def is_sha256(text: object) -> bool:
    """Returns whether a text is a SHA-256 in 64 lower-case hex digits."""
    return isinstance(text, str) and _SHA256.fullmatch(text) is not None


def check_sha256(text: object) -> str:
    """Returns a SHA-256; raises :class:`InvalidInput` for anything else."""
    if not isinstance(text, str) or not is_sha256(text):
        raise InvalidInput(f"{str(text)[:80]!r} is not a SHA-256", "write 64 hex digits in lower case")
    return text


def check_file_name(name: object) -> str:
    """Returns the name of a job's file, a path below the job's folder.

    Raises :class:`InvalidInput` for one that leaves the folder, is not plain, or that Python could import.
    """
    shown = str(name)[:80]
    plain = isinstance(name, str) and 0 < len(name) <= _MAX_CHARACTERS and name.isprintable() and "\\" not in name
    path = PurePosixPath(str(name))
    if not plain or path.is_absolute() or ".." in path.parts or str(path) != name or not path.parts:
        raise InvalidInput(
            f"{shown!r} is not the name of a job's file",
            "name it by its path below the job's folder, such as model.onnx",
        )
    if path.name.lower().endswith(_MODULES):
        raise InvalidInput(
            f"{shown!r} is code, which is never uploaded", "give it another name if it holds weights or samples"
        )
    return str(name)
