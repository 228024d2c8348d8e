"""Checks an untrusted archive of samples (``.npz``) by its directory and headers, without reading its arrays."""

from __future__ import annotations

import io
import math
import zipfile
from pathlib import Path

import numpy as np

from hwprofiles.errors import InvalidInput

_MAX_ARRAYS = 1000
_MAX_DIRECTORY_BYTES = 2**20
_MAX_HEADER_BYTES = 2**16
_ENCRYPTED = 1
"""Flag bit of an encrypted member of a ZIP archive."""
_HINT = "write it with: numpy.savez(path, input_name=array, …), plain numbers only"


def check_samples(path: Path, max_bytes: int) -> None:
    """Checks that ``path`` is an archive of arrays of plain values, at most ``max_bytes`` once it is unpacked.

    Raises :class:`InvalidInput` if it is not.
    """
    try:
        _check_directory(path)
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if not 1 <= len(members) <= _MAX_ARRAYS:
                raise _invalid(f"it holds {len(members)} arrays")
            size_bytes = sum(member.file_size for member in members)
            if size_bytes > max_bytes:
                raise _invalid(f"its arrays have {size_bytes} bytes, more than the {max_bytes} that are allowed")
            for member in members:
                _check_array(archive, member)
    except InvalidInput:
        raise
    # A malformed archive may raise errors of many kinds, of zip, zlib, struct and tokenize.
    except Exception as error:  # noqa: BLE001
        words = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise _invalid(words) from None


def _check_directory(path: Path) -> None:
    """Checks the size of the archive's directory, which is read into memory as a whole."""
    with path.open("rb") as file:
        record = zipfile._EndRecData(file)  # type: ignore[attr-defined] # what ZipFile itself goes by
    if record is None:
        raise _invalid("it has no directory")
    if record[zipfile._ECD_SIZE] > _MAX_DIRECTORY_BYTES:  # type: ignore[attr-defined]
        raise _invalid(f"its directory has more than {_MAX_DIRECTORY_BYTES} bytes")


def _check_array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    """Checks an array's header against the size of its member; reads no more than the header."""
    if not member.filename.endswith(".npy") or member.flag_bits & _ENCRYPTED:
        raise _invalid(f"{member.filename[:80]!r} is no array")
    with archive.open(member) as file:
        start = io.BytesIO(file.read(_MAX_HEADER_BYTES))
    version = np.lib.format.read_magic(start)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(start)
    header_bytes = start.tell()
    if dtype.hasobject:
        raise _invalid(f"{member.filename[:80]!r} holds pickled objects, which are never loaded")
    if any(size < 0 for size in shape) or math.prod(shape) * dtype.itemsize != member.file_size - header_bytes:
        raise _invalid(f"{member.filename[:80]!r} does not have the size that its header says")


def _invalid(why: str) -> InvalidInput:
    return InvalidInput(f"the samples are not an .npz archive: {why}", _HINT)
