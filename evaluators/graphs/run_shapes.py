"""The shapes of a model's tensors as a run of it shows them, where they cannot be told without running it."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable

import onnx
from onnx import helper

from evaluators.graphs.graph import Graph, Names
from evaluators.graphs.reference_run import run_once
from evaluators.graphs.shapes import Shape, inferred_graph, tensor_shapes
from evaluators.tensors import Arrays
from hwprofiles.errors import BuildFailed, DeviceUnavailable

_MOST = 8
_remembered: OrderedDict[str, dict[str, Shape]] = OrderedDict()
"""By a digest of graph and feed, the last few answers of this process: one model is asked about several times."""


def shapes_in_run(model: onnx.ModelProto, feed: Arrays) -> dict[str, Shape]:
    """Shapes by tensor name for one feed, weights included.

    What shape inference cannot tell (shapes that are computed from other shapes, masks made at run time) is taken from
    one run through ONNX Runtime. Only shapes leave that run, so that it needs no more memory than any other. Tensors
    inside of If, Loop and Scan are absent, and so are sequences and optional values; where the model does not run,
    what inference cannot tell is absent too.
    """
    sizes = {name: list(values.shape) for name, values in feed.items()}
    skeleton = inferred_graph(model, sizes, first=1)
    name = _name(skeleton, feed)
    if name not in _remembered:
        _remembered[name] = _found(model, skeleton, feed, tensor_shapes(model, sizes))
        while len(_remembered) > _MOST:
            _remembered.popitem(last=False)
    _remembered.move_to_end(name)
    return dict(_remembered[name])


def _found(
    model: onnx.ModelProto, skeleton: onnx.GraphProto, feed: Arrays, shapes: dict[str, Shape]
) -> dict[str, Shape]:
    made = [name for node in model.graph.node for name in node.output if name]
    open_ones = [name for name in made if name not in shapes or None in shapes[name]]
    if not open_ones:
        return shapes
    kinds = {value.name: value.type.WhichOneof("value") for value in (*skeleton.value_info, *skeleton.output)}
    tensors = [name for name in open_ones if kinds.get(name) in (None, "tensor_type")]
    certain = [name for name in tensors if kinds.get(name) == "tensor_type"]
    for names in (tensors, certain):  # operators that inference does not know may make sequences, which have no shape
        try:
            return shapes | _run(model, feed, names)
        except BuildFailed:
            continue
        except DeviceUnavailable:
            break
    return shapes


def _run(model: onnx.ModelProto, feed: Arrays, tensors: Iterable[str]) -> dict[str, Shape]:
    """The shapes of these tensors. Each gets a Shape node whose few numbers are fetched, and not the tensor itself."""
    taken = Names(Graph(model.graph).used_names())
    names = {tensor: taken.fresh(f"{tensor}/shape") for tensor in tensors}
    if not names:
        return {}
    nodes = [helper.make_node("Shape", [tensor], [name]) for tensor, name in names.items()]
    fetched = run_once(model, feed, names.values(), behind=nodes)
    return {tensor: tuple(int(size) for size in fetched[name].ravel()) for tensor, name in names.items()}


def _name(skeleton: onnx.GraphProto, feed: Arrays) -> str:
    """Names what the shapes depend on: the graph, its small constants, the sizes of its weights, and the feed."""
    digest = hashlib.sha256(skeleton.SerializeToString(deterministic=True))
    for name, values in sorted(feed.items()):
        digest.update(f"{name} {values.dtype} {values.shape}".encode())
        digest.update(repr(values.tolist()).encode() if values.dtype == object else values.tobytes())
    return digest.hexdigest()
