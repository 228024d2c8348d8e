"""Finds the shapes of a model's tensors, by running the model where inference does not find them."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable

import onnx
from onnx import helper

from evaluators.graphs.graph import Graph, Names
from evaluators.graphs.reference_run import run_once
from evaluators.graphs.shapes import Shape, infer_shapes, tensor_shapes
from evaluators.tensors import Arrays
from hwprofiles.errors import BuildFailed, DeviceUnavailable

_MOST = 8
_recent: OrderedDict[str, dict[str, Shape]] = OrderedDict()
"""The last few results of this process, by a digest of graph and feed."""


def shapes_in_run(model: onnx.ModelProto, feed: Arrays) -> dict[str, Shape]:
    """Returns the shapes of tensors by name for one feed, weights included.

    Shapes that inference does not find (computed from other shapes, masks made at run time) are read from one run in
    ONNX Runtime, which returns only shapes and so needs no additional memory. Absent are tensors inside of If, Loop
    and Scan, sequences and optional values; if the model does not run, also shapes that inference does not find.
    """
    sizes = {name: list(values.shape) for name, values in feed.items()}
    skeleton = infer_shapes(model, sizes, first=1)
    digest = _digest(skeleton, feed)
    if digest not in _recent:
        _recent[digest] = _complete_shapes(model, skeleton, feed, tensor_shapes(model, sizes))
        while len(_recent) > _MOST:
            _recent.popitem(last=False)
    _recent.move_to_end(digest)
    return dict(_recent[digest])


def _complete_shapes(
    model: onnx.ModelProto, skeleton: onnx.GraphProto, feed: Arrays, shapes: dict[str, Shape]
) -> dict[str, Shape]:
    outputs = [name for node in model.graph.node for name in node.output if name]
    incomplete = [name for name in outputs if name not in shapes or None in shapes[name]]
    if not incomplete:
        return shapes
    kinds = {value.name: value.type.WhichOneof("value") for value in (*skeleton.value_info, *skeleton.output)}
    tensors = [name for name in incomplete if kinds.get(name) in (None, "tensor_type")]
    certain = [name for name in tensors if kinds.get(name) == "tensor_type"]
    for names in (tensors, certain):  # operators unknown to inference may return sequences, which have no shape
        try:
            return shapes | _run(model, feed, names)
        except BuildFailed:
            continue
        except DeviceUnavailable:
            break
    return shapes


def _run(model: onnx.ModelProto, feed: Arrays, tensors: Iterable[str]) -> dict[str, Shape]:
    """Reads the shapes of tensors by appending a Shape node to each; the tensors themselves are not fetched."""
    taken = Names(Graph(model.graph).tensor_names())
    names = {tensor: taken.fresh(f"{tensor}/shape") for tensor in tensors}
    if not names:
        return {}
    nodes = [helper.make_node("Shape", [tensor], [name]) for tensor, name in names.items()]
    fetched = run_once(model, feed, names.values(), behind=nodes)
    return {tensor: tuple(int(size) for size in fetched[name].ravel()) for tensor, name in names.items()}


def _digest(skeleton: onnx.GraphProto, feed: Arrays) -> str:
    """Hashes everything that the shapes depend on: graph, small constants, sizes of weights, and feed."""
    digest = hashlib.sha256(skeleton.SerializeToString(deterministic=True))
    for name, values in sorted(feed.items()):
        digest.update(f"{name} {values.dtype} {values.shape}".encode())
        digest.update(repr(values.tolist()).encode() if values.dtype == object else values.tobytes())
    return digest.hexdigest()
