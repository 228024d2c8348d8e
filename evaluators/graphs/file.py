"""Reads and writes ONNX files tensor by tensor, so that a model is never in memory twice.

Protobuf alone would hold the whole file and the whole model at once. The framing is `protobuf's encoding
<https://protobuf.dev/programming-guides/encoding/>`_; a file that is framed otherwise is left to protobuf.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import onnx

LARGE_BYTES = 2**20
"""Larger weights are read and written separately."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_GRAPH, _INITIALIZER, _RAW_DATA = 7, 5, 9  # fields of ModelProto, GraphProto and TensorProto

_Span = tuple[int, int]
_Field = tuple[int, int, int, int]
"""Field number, start of the field, start and end of its payload, as offsets in the file."""


class _Unexpected(Exception):
    """The file is framed in a way that this module does not read."""


def read_proto(path: Path) -> onnx.ModelProto:
    """Reads a model without converting it; raises ``DecodeError`` if the file is not protobuf."""
    model = onnx.ModelProto()
    with path.open("rb") as file:
        try:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                outline, weights = _outline(data)
        except (_Unexpected, ValueError):  # an empty file cannot be mapped
            file.seek(0)
            model.ParseFromString(file.read())
            return model
        model.ParseFromString(outline)
        for number, (start, end) in weights.items():
            file.seek(start)
            model.graph.initializer[number].raw_data = file.read(end - start)
    return model


def write_proto(model: onnx.ModelProto, file: IO[bytes]) -> None:
    """Writes a model as protobuf would serialise it; equal models give equal bytes."""
    for part in _parts(model):
        file.write(part)


def size_of(model: onnx.ModelProto) -> int:
    """Counts the bytes of a model's file without serialising its large weights."""
    return sum(len(part) for part in _parts(model, weights=False)) + sum(
        len(tensor.raw_data) for tensor in model.graph.initializer
    )


def _outline(data: mmap.mmap) -> tuple[bytes, dict[int, _Span]]:
    """Returns the file's bytes without its large weights, and their spans by number of the initializer."""
    top = list(_fields(data, 0, len(data)))
    graphs = [field for field in top if field[0] == _GRAPH]
    if len(graphs) != 1:
        raise _Unexpected
    (graph,) = graphs
    parts: list[bytes] = []
    weights: dict[int, _Span] = {}
    count = 0
    for number, start, inner, end in _fields(data, graph[2], graph[3]):
        raw = None
        if number == _INITIALIZER:
            raw = _raw_data(data, inner, end) if end - inner > LARGE_BYTES else None
            if raw is not None:
                weights[count] = raw[2], raw[3]
                stripped = data[inner : raw[1]] + data[raw[3] : end]
                parts.append(_field_header(_INITIALIZER, len(stripped)) + stripped)
            count += 1
        if raw is None:
            parts.append(data[start:end])
    body = b"".join(parts)
    return data[: graph[1]] + _field_header(_GRAPH, len(body)) + body + data[graph[3] :], weights


def _raw_data(data: mmap.mmap, start: int, end: int) -> _Field | None:
    fields = [field for field in _fields(data, start, end) if field[0] == _RAW_DATA]
    return fields[0] if len(fields) == 1 and fields[0][3] - fields[0][2] > LARGE_BYTES else None


def _fields(data: mmap.mmap, place: int, end: int) -> Iterator[_Field]:
    while place < end:
        start = place
        key, place = _varint(data, place, end)
        kind = key & 7
        if kind == _VARINT:
            inner, (_, place) = place, _varint(data, place, end)
        elif kind == _BYTES:
            length, inner = _varint(data, place, end)
            place = inner + length
        elif kind in (_FIXED32, _FIXED64):
            inner, place = place, place + (4 if kind == _FIXED32 else 8)
        else:
            raise _Unexpected
        if place > end:
            raise _Unexpected
        yield key >> 3, start, inner, place


def _varint(data: mmap.mmap, place: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if place >= end:
            raise _Unexpected
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise _Unexpected


def _field_header(number: int, length: int) -> bytes:
    """Encodes the key and the length that precede a field of ``length`` bytes."""
    key, header = number << 3 | _BYTES, bytearray()
    for value in (key, length):
        while value >= 0x80:
            header.append(value & 0x7F | 0x80)
            value >>= 7
        header.append(value)
    return bytes(header)


def _parts(model: onnx.ModelProto, *, weights: bool = True) -> Iterator[bytes]:
    """Yields a model's bytes, one initializer at a time; without ``weights``, large payloads are left out."""
    before, after = onnx.ModelProto(), onnx.ModelProto()
    _copy(model, before, after, _GRAPH)
    start, end = onnx.GraphProto(), onnx.GraphProto()
    _copy(model.graph, start, end, _INITIALIZER)
    head, tail = _bytes(start), _bytes(end)
    sizes = [_tensor_size(tensor) for tensor in model.graph.initializer]
    length = len(head) + len(tail) + sum(len(_field_header(_INITIALIZER, size)) + size for size in sizes)
    yield _bytes(before)
    if model.HasField("graph"):
        yield _field_header(_GRAPH, length) + head
        for tensor, size in zip(model.graph.initializer, sizes, strict=True):
            yield _field_header(_INITIALIZER, size)
            yield _bytes(tensor) if weights else b"\0" * (size - len(tensor.raw_data))
        yield tail
    yield _bytes(after)


def _copy(source: object, before: object, after: object, number: int) -> None:
    """Copies a message's fields below ``number`` into ``before`` and those above into ``after``."""
    for field, value in source.ListFields():  # type: ignore[attr-defined]
        if field.number == number:
            continue
        target = before if field.number < number else after
        if field.is_repeated:
            getattr(target, field.name).extend(value)
        elif field.message_type is not None:
            getattr(target, field.name).CopyFrom(value)
        else:
            setattr(target, field.name, value)


def _tensor_size(tensor: onnx.TensorProto) -> int:
    raw = len(tensor.raw_data)
    if raw <= LARGE_BYTES:
        return len(_bytes(tensor))
    stripped = onnx.TensorProto()
    for field, value in tensor.ListFields():
        if field.number == _RAW_DATA:
            continue
        if field.is_repeated:
            getattr(stripped, field.name).extend(value)
        elif field.message_type is not None:
            getattr(stripped, field.name).CopyFrom(value)
        else:
            setattr(stripped, field.name, value)
    return len(_bytes(stripped)) + len(_field_header(_RAW_DATA, raw)) + raw


def _bytes(message: object) -> bytes:
    data: bytes = message.SerializeToString(deterministic=True)  # type: ignore[attr-defined]
    return data
