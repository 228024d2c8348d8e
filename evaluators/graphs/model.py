"""Loads ONNX files, which are untrusted input, as models in memory, and saves them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
import onnx
from google.protobuf.message import DecodeError, EncodeError  # type: ignore[import-untyped]
from onnx import checker, inliner, shape_inference, version_converter
from onnx.external_data_helper import uses_external_data

from evaluators.graphs.file import LARGE_BYTES, read_proto, size_of, write_proto
from evaluators.tensors import TensorSpec
from hwprofiles.errors import InvalidInput, StorageError, first_line
from hwprofiles.suggestions import nearest_file

MAX_MODEL_BYTES = 2**31 - 1
"""Largest size of a serialised model with its weights: the limit of protobuf."""

LOWEST_OPSET, HIGHEST_OPSET = 13, 26
"""Supported opsets: per-channel Q/DQ needs 13, ONNX Runtime 1.31 knows up to 26."""

LOWEST_IR, HIGHEST_IR = 8, 10
"""Supported IR versions; ONNX Runtime 1.31 refuses newer ones."""

DEFAULT_DOMAINS = ("", "ai.onnx")
MICROSOFT = "com.microsoft"
"""The domain of ONNX Runtime's own operators."""

_KNOWN_DOMAINS = (*DEFAULT_DOMAINS, MICROSOFT, "ai.onnx.ml")


def load_model(path: Path) -> onnx.ModelProto:
    """Reads an untrusted ONNX file with its external weights.

    The result contains all of its weights; its functions are inlined; its opset is from ``LOWEST_OPSET`` to
    ``HIGHEST_OPSET``; runtimes load its IR version. External weights must be in the model's folder or below it.

    Raises:
        InvalidInput: the file is missing, not ONNX, corrupt or too large, or uses unknown operator domains.
    """
    try:
        model = _parse(path)
        _load_external_data(model, path)
        return make_loadable(model, path.name)
    except UnicodeDecodeError:  # a name, which protobuf decodes when it is asked for
        raise _not_onnx(path) from None


def model_files(path: Path) -> tuple[Path, ...]:
    """Lists the files of an ONNX model: its own, and those of its external weights, each once.

    Raises:
        InvalidInput: the file cannot be read (as :func:`load_model`), or weights are outside of the model's folder.
    """
    files = {}
    for tensor in _everywhere(_parse(path)):
        if uses_external_data(tensor):
            location = {entry.key: entry.value for entry in tensor.external_data}.get("location", "")
            files[location] = _external_file(location, path)
    return (path, *(files[location] for location in sorted(files)))


def _parse(path: Path) -> onnx.ModelProto:
    """Parses a file without loading external weights."""
    if not path.is_file():
        raise InvalidInput(
            f"there is no model file {str(path)!r}", nearest_file(path, "give the path of an .onnx file")
        )
    _check_size(path.stat().st_size, path)
    with path.open("rb") as file:
        kind = _foreign_kind(file.read(4096))
    if kind is not None:
        raise InvalidInput(
            f"{path.name} is {kind}, not an ONNX model",
            "export it with torch.onnx.export, or write a task file that loads it (see: paretune docs job-file)",
        )
    try:
        model = read_proto(path)
    except DecodeError:
        raise _not_onnx(path) from None
    if not (model.graph.node or model.graph.output) or not model.opset_import:
        raise _not_onnx(path)
    return model


def _foreign_kind(start: bytes) -> str | None:
    """Names the kind of a file that is not ONNX, by its first bytes; None if it may be ONNX."""
    if start.startswith(b"PK\x03\x04"):
        return "a zip archive, as torch.save and torch.jit.save write it"
    if start.startswith(b"\x80") and start[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "a Python pickle"
    if start.startswith(b"\x89HDF"):
        return "an HDF5 file, as Keras writes it"
    if start[4:8] == b"TFL3":
        return "a TensorFlow Lite model"
    if start[8:10] == b'{"':
        return "a safetensors file"
    return None


def save_model(model: onnx.ModelProto, path: Path) -> None:
    """Writes a model atomically as one file that only its user may read.

    Raises:
        InvalidInput: the model is larger than ``MAX_MODEL_BYTES``.
        StorageError: the folder cannot be written.
    """
    _check_size(size_of(model), path)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise StorageError(f"cannot write into {str(path.parent)!r}: {error.strerror}", "use another folder") from None
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            write_proto(model, file)
        temporary.replace(path)
    except OSError as error:
        raise StorageError(f"cannot write {str(path)!r}: {error.strerror}", "free some space there") from None
    finally:
        temporary.unlink(missing_ok=True)


def serialize(model: onnx.ModelProto, name: str = "the model") -> bytes:
    """Serialises a model; equal models give equal bytes. Raises :class:`InvalidInput` above ``MAX_MODEL_BYTES``."""
    try:
        data: bytes = model.SerializeToString(deterministic=True)
    except (EncodeError, ValueError):
        _check_size(MAX_MODEL_BYTES + 1, Path(name))
        raise
    _check_size(len(data), Path(name))
    return data


def input_specs(model: onnx.ModelProto) -> tuple[TensorSpec, ...]:
    """Returns the inputs that a caller feeds, without initializers that the model also lists as inputs."""
    weights = {tensor.name for tensor in model.graph.initializer}
    return tuple(_spec(value) for value in model.graph.input if value.name not in weights)


def output_specs(model: onnx.ModelProto) -> tuple[TensorSpec, ...]:
    """Returns the outputs, in the model's order."""
    return tuple(_spec(value) for value in model.graph.output)


def opset_of(model: onnx.ModelProto) -> int:
    """Returns the version of the default operator set; 0 if the model imports none."""
    return max((entry.version for entry in model.opset_import if entry.domain in DEFAULT_DOMAINS), default=0)


def with_opset(model: onnx.ModelProto, version: int, name: str = "the model") -> onnx.ModelProto:
    """Converts a model to a version of the default operator set; a model of that version is returned itself.

    Raises:
        InvalidInput: an operator cannot be converted.
    """
    opset = opset_of(model)
    if opset == version:
        return model
    try:
        return version_converter.convert_version(model, version)
    except (RuntimeError, ValueError, checker.ValidationError, shape_inference.InferenceError) as error:
        raise InvalidInput(
            f"{name} has opset {opset}, which cannot be converted to {version}: {first_line(error)}",
            f"export the model with an opset of {LOWEST_OPSET} to {HIGHEST_OPSET}",
        ) from None


def make_loadable(model: onnx.ModelProto, name: str = "the model") -> onnx.ModelProto:
    """Makes a model loadable, in place as far as possible: inlines functions, converts opset and IR, checks it.

    Initializers are removed from the inputs.

    Raises:
        InvalidInput: unknown operator domains, an opset that cannot be converted, or a graph that is not valid ONNX.
    """
    if model.functions:
        model = inliner.inline_local_functions(model)
    domains = {node.domain for node in all_nodes(model.graph)}
    unknown = sorted(domains - set(_KNOWN_DOMAINS))
    if unknown:
        raise InvalidInput(
            f"{name} uses operators of the unknown domain {unknown[0]!r}",
            "export the model with standard ONNX operators only",
        )
    if MICROSOFT in domains and all(entry.domain != MICROSOFT for entry in model.opset_import):
        model.opset_import.append(onnx.helper.make_opsetid(MICROSOFT, 1))  # ONNX Runtime's tools omit it
    model = _convert_opset(model, name)
    model.ir_version = min(max(model.ir_version, LOWEST_IR), HIGHEST_IR)
    weights = {tensor.name for tensor in model.graph.initializer}
    fed = [value for value in model.graph.input if value.name not in weights]
    if len(fed) < len(model.graph.input):  # weights that are inputs could be overridden: no constants
        del model.graph.input[:]
        model.graph.input.extend(fed)
    _check(model, name)
    return model


def subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """Yields the graphs inside a node (If, Loop, Scan), not graphs nested in those."""
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield attribute.g
        elif attribute.type == onnx.AttributeProto.GRAPHS:
            yield from attribute.graphs


def all_nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Yields every node of a graph and of the graphs inside its nodes."""
    for node in graph.node:
        yield node
        for inner in subgraphs(node):
            yield from all_nodes(inner)


def _convert_opset(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    opset = opset_of(model)
    if not opset and not any(node.domain in DEFAULT_DOMAINS for node in all_nodes(model.graph)):
        model.opset_import.append(onnx.helper.make_opsetid("", LOWEST_OPSET))
        return model
    return with_opset(model, min(max(opset, LOWEST_OPSET), HIGHEST_OPSET), name)


def _check(model: onnx.ModelProto, name: str) -> None:
    """Validates a model; an output of unknown rank is allowed, as in runtimes."""
    vague = [value for value in model.graph.output if _has_no_shape(value)]
    if vague:
        shapes = {value.name: value for value in _infer_shapes(model).graph.output if not _has_no_shape(value)}
        for value in vague:
            if value.name in shapes:
                value.CopyFrom(shapes[value.name])
        vague = [value for value in vague if _has_no_shape(value)]
    for value in vague:
        value.type.tensor_type.shape.SetInParent()
    try:
        checker.check_model(_outline(model))
    except checker.ValidationError as error:
        raise InvalidInput(f"{name} is not valid ONNX: {first_line(error)}", "export the model again") from None
    for value in vague:
        value.type.tensor_type.ClearField("shape")


def _outline(model: onnx.ModelProto) -> onnx.ModelProto:
    """Copies a model with inputs in place of its large weights, because checkers copy everything they get."""
    if not any(len(tensor.raw_data) > LARGE_BYTES for tensor in model.graph.initializer):
        return model
    outline = onnx.ModelProto()
    for field, value in model.ListFields():
        if field.name == "graph":
            continue
        if field.is_repeated:
            getattr(outline, field.name).extend(value)
        else:
            setattr(outline, field.name, value)
    for field, value in model.graph.ListFields():
        if field.name == "initializer":
            continue
        if field.is_repeated:
            getattr(outline.graph, field.name).extend(value)
        else:
            setattr(outline.graph, field.name, value)
    for tensor in model.graph.initializer:
        if len(tensor.raw_data) > LARGE_BYTES:
            kind = onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tuple(tensor.dims))
            outline.graph.input.append(kind)
        else:
            outline.graph.initializer.append(tensor)
    return outline


def _has_no_shape(value: onnx.ValueInfoProto) -> bool:
    return bool(value.type.HasField("tensor_type") and not value.type.tensor_type.HasField("shape"))


def _infer_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    try:
        return shape_inference.infer_shapes(_outline(model))
    except (shape_inference.InferenceError, RuntimeError, ValueError):
        return model


def _spec(value: onnx.ValueInfoProto) -> TensorSpec:
    tensor = value.type.tensor_type
    if not tensor.elem_type:
        raise InvalidInput(
            f"{value.name!r} is not a tensor", "inputs and outputs cannot be sequences, maps or optional values"
        )
    try:
        dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)).name
    except KeyError:
        raise InvalidInput(
            f"{value.name!r} has the unknown type {tensor.elem_type}", "export the model again"
        ) from None
    return TensorSpec(value.name, dtype, tuple(_size(dim) for dim in tensor.shape.dim))


def _size(dim: onnx.TensorShapeProto.Dimension) -> int | None:
    return int(dim.dim_value) if dim.HasField("dim_value") and dim.dim_value >= 0 else None


def _all_tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        yield from _tensors_of(node)


def _tensors_of(node: onnx.NodeProto) -> Iterator[onnx.TensorProto]:
    for attribute in node.attribute:
        yield attribute.t
        yield from attribute.tensors
        for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
            yield from (sparse.values, sparse.indices)
    for inner in subgraphs(node):
        yield from _all_tensors(inner)


def _everywhere(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    yield from _all_tensors(model.graph)
    for function in model.functions:
        for node in function.node:
            yield from _tensors_of(node)


def _load_external_data(model: onnx.ModelProto, path: Path) -> None:
    total = 0
    for tensor in list(_everywhere(model)):
        if not uses_external_data(tensor):
            continue
        fields = {entry.key: entry.value for entry in tensor.external_data}
        file = _external_file(fields.get("location", ""), path)
        try:
            offset, length = int(fields.get("offset", 0)), int(fields.get("length", -1))
        except ValueError:
            raise InvalidInput(f"{path.name} misplaces the weights {tensor.name!r}", "export it again") from None
        available = file.stat().st_size - offset
        length = available if length < 0 else length
        if offset < 0 or available < length:
            raise InvalidInput(f"{file.name} ends before the weights {tensor.name!r}", "copy the file again")
        total += length
        _check_size(total, path)
        with file.open("rb") as data:
            data.seek(offset)
            tensor.raw_data = data.read(length)
        tensor.data_location = onnx.TensorProto.DEFAULT
        del tensor.external_data[:]


def _external_file(location: str, path: Path) -> Path:
    """Returns the file of external weights; it must be in the model's folder after all links are resolved."""
    hint = "keep external weights in the model's folder, or save the model as one file"
    parts = (PurePosixPath(location), PureWindowsPath(location))
    folder = path.parent.resolve()
    if not location or any(p.is_absolute() or p.drive or ".." in p.parts for p in parts) or "\0" in location:
        raise InvalidInput(f"{path.name} refers to weights outside of its folder: {location!r}", hint)
    file = (folder / location).resolve()
    if not file.is_relative_to(folder):
        raise InvalidInput(f"{path.name} refers to weights outside of its folder: {location!r}", hint)
    if not file.is_file():
        raise InvalidInput(f"{path.name} needs the weights file {location!r}, which is missing", hint)
    return file


def _check_size(size_bytes: int, path: Path) -> None:
    if size_bytes > MAX_MODEL_BYTES:
        raise InvalidInput(f"{path.name} is larger than {MAX_MODEL_BYTES} bytes", "use a smaller model or fp16 weights")


def _not_onnx(path: Path) -> InvalidInput:
    return InvalidInput(f"{path.name} is not an ONNX model, or it is damaged", "export or copy the model again")
