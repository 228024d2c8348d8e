"""Models and samples with faults, as somebody might send them who means harm, or whose disk is full."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper
from onnx_builder import Builder
from small_jobs import classifier, samples

MODEL, SAMPLES, WEIGHTS = "model.onnx", "samples.npz", "model.data"
_PLACES = (b"/etc/passwd", b"../../../x.", b"~/.ssh/id_r", b"\0\0\0\0\0\0\0\0", b"file:///etc")

_NUMBERS = (b"\0" * 8, b"\xff" * 8, b"\x7f" * 4, b"\x80" * 9 + b"\x01", b"\xff" * 9 + b"\x7f", b"\x80" * 12)
"""Lengths and offsets that are too large, and endless ones."""

_NAMES = (
    (b"MatMul", b"Concat", b"Gather", b"Resize", b"Expand", b"Where\0"), (b"Relu", b"Tanh", b"Loop", b"Scan", b"Conv"),
    (b"Mul", b"Add", b"Div", b"Pow", b"Mod"), (b"\x08\x01", b"\x08\x00", b"\x08\x7f", b"\x08\x10"),
    (b"\x10\x01", b"\x10\x07", b"\x10\x08", b"\x10\x10", b"\x10\x15"), (b"x", b"logits"[:1], b"w", b"c"),
    (b"<f4", b"<f8", b"<c8", b"<U1", b"|V4", b">f4"), (b"False", b"True "),
)  # fmt: skip
"""Words of models and archives that may stand in each other's place."""


@dataclass(frozen=True)
class MutatedJob:
    """The files of a job, one of them with a fault."""

    files: Mapping[str, bytes]
    changed: str
    """The file with the fault."""
    mutation: str

    @property
    def task(self) -> dict[str, Any]:
        """The task section of the job."""
        return {"name": "onnx", "options": {"model": MODEL, "data": SAMPLES}}


def mutated_job(seed: int) -> MutatedJob:
    """Returns a job whose files depend on the seed alone."""
    rng = random.Random(seed)
    files = dict(rng.choice(_whole_jobs()))
    changed = rng.choice([MODEL, MODEL, SAMPLES])
    names, data = [], files[changed]
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        name = rng.choice([*MUTATIONS, "rename", "rename", "flip"])
        data = MUTATIONS[name](data, rng)
        names.append(name)
    return MutatedJob(files | {changed: data}, changed, "+".join(names))


def _flip(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice([1, 2, 8, 64])):
        if changed:
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _overwrite(data: bytes, rng: random.Random) -> bytes:
    value = rng.choice(
        [b"\0" * 8, b"\xff" * 8, b"\x7f" * 4, b"\x80" * 9 + b"\x01", b"\xff" * 9 + b"\x7f", b"\x80" * 12]
    )
    at = rng.randrange(len(data) + 1)
    return data[:at] + value + data[at + len(value) :]


def _cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _remove(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + data[at + rng.choice([1, 2, 16, 256]) :]


def _repeat(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + data[at : at + rng.choice([1, 16, 1024])] * rng.choice([2, 64]) + data[at:]


def _insert(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.randbytes(rng.choice([1, 4, 64])) + data[at:]


def _splice(data: bytes, rng: random.Random) -> bytes:
    other = rng.choice([content for files in _whole_jobs() for content in files.values()])
    return data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other) + 1) :]


def _redirect(data: bytes, rng: random.Random) -> bytes:
    """Lets weights or members lie elsewhere."""
    place = rng.choice(_PLACES)
    for name in (b"model.data", b"labels.npy", b"x.npy"):
        if name in data:
            return data.replace(name, place[: len(name)].ljust(len(name), b"x"))
    return data + place


def _pickle(data: bytes, rng: random.Random) -> bytes:
    """Puts objects in place of numbers."""
    return data.replace(b"'<f4'", b"'|O' ").replace(b"'<i8'", b"'|O' ") + rng.choice([b"", b"\x80\x04N."])


def _rename(data: bytes, rng: random.Random) -> bytes:
    """Takes other operators, types or attributes of the same length: the framing stays whole."""
    for _ in range(rng.choice([1, 3])):
        name, *others = rng.sample(rng.choice(_NAMES), 2)
        at = data.find(name, rng.randrange(len(data) + 1))
        data = data if at < 0 else data[:at] + others[0] + data[at + len(name) :]
    return data


def _nest(data: bytes, rng: random.Random) -> bytes:
    """Wraps it as the graph of a model, many times."""
    for _ in range(rng.choice([2, 70, 200])):
        data = b"\x3a" + _varint(len(data)) + data
    return data


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value >= 0x80:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


MUTATIONS: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "flip": _flip, "overwrite": _overwrite, "cut": _cut, "remove": _remove, "repeat": _repeat, "insert": _insert,
    "splice": _splice, "redirect": _redirect, "pickle": _pickle, "nest": _nest,
    "rename": _rename,
}  # fmt: skip


@cache
def _whole_jobs() -> tuple[Mapping[str, bytes], ...]:
    """Jobs without faults: plain, with weights in a file of their own, with a subgraph and constants."""
    plain = {MODEL: classifier(2).SerializeToString(), SAMPLES: _archive(np.savez, samples(60))}
    model = classifier(1)
    weights = _take_weights_out(model)
    external = {MODEL: model.SerializeToString(), WEIGHTS: weights, SAMPLES: _archive(np.savez_compressed, samples(20))}
    inner = {MODEL: _with_subgraph().SerializeToString(), SAMPLES: _archive(np.savez, samples(50))}
    return plain, external, inner


def _archive(save: Any, arrays: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    save(file, **arrays)
    return file.getvalue()


def _take_weights_out(model: onnx.ModelProto) -> bytes:
    data = b""
    for tensor in model.graph.initializer:
        for key, value in (("location", WEIGHTS), ("offset", str(len(data))), ("length", str(len(tensor.raw_data)))):
            tensor.external_data.add(key=key, value=value)
        data += tensor.raw_data
        tensor.data_location = TensorProto.EXTERNAL
        tensor.ClearField("raw_data")
    return data


def _with_subgraph() -> onnx.ModelProto:
    builder = Builder(17, constants=True)
    x = builder.input("x", ["n", 16])
    branch = helper.make_graph(
        [helper.make_node("Constant", [], ["c"], value=helper.make_tensor("c", TensorProto.FLOAT, [1], [2.0]))],
        "branch", [], [helper.make_tensor_value_info("c", TensorProto.FLOAT, [1])],
    )  # fmt: skip
    scale = builder.op("If", builder.const(True, np.bool_), then_branch=branch, else_branch=branch)
    builder.op("Mul", builder.op("MatMul", x, builder.weight(16, 10)), scale, out="logits")
    builder.output("logits", shape=["n", 10])
    return builder.model()
