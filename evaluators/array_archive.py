"""Packs arrays by name into one archive, and checks it when reading."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np

from evaluators.tensors import Array, Arrays
from hwprofiles.errors import InvalidInput

_HINT = "install the same version of Paretune on both sides"
_ENCRYPTED = 1
"""Flag bit of an encrypted member of a ZIP archive."""


def pack_arrays(sample: Arrays) -> bytes:
    """Packs arrays into the bytes of an ``.npz``; equal arrays give equal bytes. Text stays text, without pickle."""
    plain = {name: values.astype(np.str_) if values.dtype.kind == "O" else values for name, values in sample.items()}
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, values in plain.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asanyarray(values), allow_pickle=False)
    return file.getvalue()


def unpack_arrays(source: Path | bytes, max_bytes: int) -> dict[str, Array]:
    """Unpacks the archive of :func:`pack_arrays`, a file or bytes.

    Raises :class:`InvalidInput` for anything else, and for more than ``max_bytes``.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(source) if isinstance(source, bytes) else source) as archive:
            held_bytes = len(source) if isinstance(source, bytes) else source.stat().st_size
            _check_members(archive.infolist(), held_bytes, max_bytes)
            return {entry.filename.removesuffix(".npy"): _array(archive, entry) for entry in archive.infolist()}
    except InvalidInput:
        raise
    except Exception as error:  # noqa: BLE001 - a malformed file may raise anything
        words = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise InvalidInput(f"the sample cannot be read: {words}", _HINT) from None


def _check_members(members: list[zipfile.ZipInfo], held_bytes: int, max_bytes: int) -> None:
    size_bytes = sum(member.file_size for member in members)
    if size_bytes > max_bytes:
        raise InvalidInput(f"the sample has {size_bytes} bytes, more than the {max_bytes} that are allowed", _HINT)
    plain = all(member.compress_type == zipfile.ZIP_STORED and not member.flag_bits & _ENCRYPTED for member in members)
    if not plain or size_bytes > held_bytes:
        raise InvalidInput("the sample cannot be read: it is compressed or encrypted", _HINT)


def _array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Array:
    with archive.open(entry) as member:
        values: Array = np.lib.format.read_array(member, allow_pickle=False)
        return values
