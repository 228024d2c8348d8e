"""Checks an untrusted ONNX file without the onnx package, which a remote agent does not have.

Reads only the framing of protobuf (`its encoding <https://protobuf.dev/programming-guides/encoding/>`_), no weights:
enough to tell that the file is a complete model, and in which files its external weights are.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

from hwprofiles.errors import InvalidInput

_MAX_DEPTH = 64
_MAX_FIELDS = 10_000_000
"""Most fields that are looked at: some seconds."""
_MAX_LOCATION = 4096
"""Bytes of a location that are read: no file has a longer name."""
_LAST_FIELD = 2**29 - 1
"""Parsers truncate larger field numbers and so read another field."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_WIDTHS = {_FIXED64: 8, _FIXED32: 4}

# For each message of onnx.proto3, the fields that can contain tensors, by number.
_FIELDS: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse tensor", 23: "sparse tensor"},
    "sparse tensor": {1: "tensor", 2: "tensor"},
    "function": {7: "node", 11: "attribute"},
    "training": {1: "graph", 2: "graph"},
    "tensor": {},
}
_IR_VERSION, _GRAPH = 1, 7
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14
_KEY, _VALUE = 1, 2
"""Fields of an entry of external data."""

_HINT = "export the model again, as one file"


def check_model_file(path: Path, max_bytes: int) -> None:
    """Checks that ``path`` is a complete ONNX model of at most ``max_bytes`` without external weights.

    Raises:
        InvalidInput: it is not; opening it could read other files.
    """
    if external_files(path, max_bytes):
        raise InvalidInput(f"model {path.name} refers to weights in other files", _HINT)


def external_files(path: Path, max_bytes: int, name: str | None = None) -> frozenset[str]:
    """Returns the locations of a model's external weights, as the file ``path`` names them: not checked, and relative
    to its folder if they are harmless. ``name`` is the model's name in messages, by default that of the file.

    Raises :class:`InvalidInput` unless ``path`` is a complete ONNX model of at most ``max_bytes``.
    """
    name, size_bytes = name or path.name, path.stat().st_size
    if size_bytes > max_bytes:
        raise InvalidInput(
            f"model {name} has {size_bytes} bytes, more than the {max_bytes} that are allowed",
            "raise the limit with --max-model-bytes",
        )
    if size_bytes == 0:
        raise _invalid(name, "it is empty")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        walk = _Walk(data, name)
        walk.message("model", 0, size_bytes, 0)
        if not {_IR_VERSION, _GRAPH} <= walk.top:
            raise _invalid(name, "it has no graph")
        return frozenset(walk.locations)


class _Walk:
    """Walks through nested messages by their framing."""

    def __init__(self, data: mmap.mmap, name: str) -> None:
        self._data, self._name = data, name
        self.top: set[int] = set()
        self.locations: set[str] = set()
        self._count = 0

    def message(self, kind: str, start: int, end: int, depth: int) -> None:
        """Checks the message from ``start`` to ``end``, and the messages in it."""
        if depth > _MAX_DEPTH:
            raise _invalid(self._name, "it is nested too deeply")
        inner_kinds = _FIELDS[kind]
        is_external, locations = False, set[str]()
        for number, wire, at, until in self._fields(start, end):
            if depth == 0:
                self.top.add(number)
            if kind == "tensor" and number == _DATA_LOCATION and wire == _VARINT:
                is_external |= bool(self._varint(at, until)[0])
            elif kind == "tensor" and number == _EXTERNAL_DATA:
                is_external = True
                locations |= self._location(at, until) if wire == _BYTES else set()
            elif wire == _BYTES and number in inner_kinds:
                self.message(inner_kinds[number], at, until, depth + 1)
        if is_external:
            self.locations |= locations or {""}

    def _fields(self, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
        """Yields number, kind, start and end of each field of a message."""
        at = start
        while at < end:
            self._count += 1
            if self._count > _MAX_FIELDS:
                raise _invalid(self._name, f"it has more than {_MAX_FIELDS} fields")
            tag, at = self._varint(at, end)
            number, wire = tag >> 3, tag & 7
            if not 1 <= number <= _LAST_FIELD:
                raise _invalid(self._name, f"it has a field of the number {number}")
            if wire == _VARINT:
                length = self._varint(at, end)[1] - at
            elif wire == _BYTES:
                length, at = self._varint(at, end)
            elif wire in _WIDTHS:
                length = _WIDTHS[wire]
            else:
                raise _invalid(self._name, f"it has a field of the unknown kind {wire}")
            if length > end - at:
                raise _invalid(self._name, "it ends too early")
            yield number, wire, at, at + length
            at += length

    def _location(self, start: int, end: int) -> set[str]:
        """Returns the location that an entry of external data names, if it names that and not the offset or so."""
        texts = {number: self._data[at:until] for number, wire, at, until in self._fields(start, end) if wire == _BYTES}
        if texts.get(_KEY) != b"location":
            return set()
        return {texts.get(_VALUE, b"")[:_MAX_LOCATION].decode(errors="replace")}

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        """Reads a number of up to 64 bits; returns it and the offset of its end."""
        value = shift = 0
        while at < end and shift < 70:
            byte = self._data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, at
            shift += 7
        raise _invalid(self._name, "it ends too early" if shift < 70 else "it has a number of more than 64 bits")


def _invalid(name: str, why: str) -> InvalidInput:
    return InvalidInput(f"{name} is not an ONNX model: {why}", _HINT)
