"""Random samples for an ONNX model without data, in the shapes, types and ranges that its graph shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from evaluators.graphs.model import input_specs
from evaluators.tensors import Array, TensorSpec
from hwprofiles.errors import InvalidInput

MOST_SAMPLES = 96
FEWEST_SAMPLES = 40
"""As many as are split."""
MOST_BYTES = 256 * 2**20
"""Samples beyond :data:`FEWEST_SAMPLES` take no more memory than this."""

IMAGE_SIZE = 224
"""Of a side that the model leaves open, in inputs with four axes."""
LENGTH = 64
"""Of any other size that the model leaves open."""

_SHAPING = frozenset({"Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Transpose", "Expand", "Slice"})
"""Operators whose output holds values of their first input."""
_LOOKUPS = {"Gather": ((1, 0),), "GatherElements": ((1, 0),), "EmbedLayerNormalization": ((0, 2), (1, 4))}
"""Operators that read rows of a table: the places of indices and of the table among their inputs."""


@dataclass(frozen=True)
class RandomInputs:
    """Random samples of a model's inputs, and how they were drawn."""

    samples: Mapping[str, Array]
    """By input, first axis samples."""
    choices: tuple[str, ...] = ()
    """What was chosen beyond standard normal numbers, in words: ranges of integers, sizes left open by the model."""

    @property
    def note(self) -> str:
        """For the job's owner."""
        chosen = f" ({'; '.join(self.choices)})" if self.choices else ""
        return (
            f"no data was given, so inputs are random{chosen}: quality is the similarity to the fp32 model's outputs "
            "on these inputs, not accuracy; for figures of your own data give samples"
        )


def draw_random_inputs(model: onnx.ModelProto, seed: int) -> RandomInputs:
    """Draws samples for every input of a model.

    An axis named like the first axis of some input, or a first axis that is open or 1, is the batch. Raises
    :class:`InvalidInput` for inputs that cannot be random.
    """
    rng = np.random.default_rng(seed)
    sizes = _Sizes.of(model)
    specs = input_specs(model)
    strange = next((spec for spec in specs if np.dtype(spec.dtype).kind not in "fiub"), None)
    if strange is not None:
        kind = "text" if np.dtype(strange.dtype).kind in "OUS" else f"{strange.dtype} values"
        raise InvalidInput(
            f"input {strange.name!r} takes {kind}, which cannot be drawn at random",
            "give samples in an .npz file (--data, or task.options.data)",
        )
    shapes = {spec.name: sizes.sample_shape(spec) for spec in specs}
    a_sample = sum(np.dtype(spec.dtype).itemsize * int(np.prod(shapes[spec.name])) for spec in specs)
    count = int(np.clip(MOST_BYTES // max(1, a_sample), FEWEST_SAMPLES, MOST_SAMPLES))
    samples, choices = {}, []
    for spec in specs:
        samples[spec.name], words = _draw(rng, spec, shapes[spec.name], count, _values_of(model.graph, spec.name))
        choices += [words] if words else []
        if None in spec.shape[1:]:
            choices.append(f"{spec.name}, of open size: {'×'.join(map(str, shapes[spec.name]))}")
    return RandomInputs(samples, tuple(choices))


def _draw(
    rng: np.random.Generator, spec: TensorSpec, shape: tuple[int, ...], count: int, known: list[int] | int | None
) -> tuple[Array, str]:
    """Samples of one input, and what was chosen. A scalar has one value in all samples, so that they share batches."""
    kind = np.dtype(spec.dtype)
    rows = count if shape else 1
    words = ""
    if isinstance(known, list):
        drawn: Any = np.full((rows, *shape), known[0])
        words = f"{spec.name}: {known[0]}"
    elif kind.kind == "f" and not shape:
        drawn = np.ones(1)
        words = f"{spec.name}: 1"
    elif kind.kind == "f":
        drawn = rng.standard_normal((rows, *shape), dtype=np.float32)
    elif "mask" in spec.name.lower():
        drawn = np.ones((rows, *shape))
        words = f"{spec.name}: all 1"
    elif kind.kind == "b":
        drawn = rng.integers(0, 2, (rows, *shape))
    else:
        top = min(2 if known is None else known, int(np.iinfo(kind).max))
        drawn = rng.integers(0, top, (rows, *shape))
        words = f"{spec.name}: 0 to {top - 1}"
    return np.ascontiguousarray(np.broadcast_to(drawn, (count, *shape)).astype(kind)), words


@dataclass
class _Sizes:
    """The sizes of samples, with those that the model leaves open."""

    batch_names: frozenset[str]
    """Names of the axis that counts samples."""
    names: Mapping[str, tuple[str, ...]]
    """Names of the open axes of each input, empty for an axis without one."""
    _chosen: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, model: onnx.ModelProto) -> _Sizes:
        names = {
            value.name: tuple(_name_of(dim) for dim in value.type.tensor_type.shape.dim) for value in model.graph.input
        }
        return cls(frozenset(axes[0] for axes in names.values() if axes and axes[0]), names)

    def sample_shape(self, spec: TensorSpec) -> tuple[int, ...]:
        """Returns the shape of one sample: without the first axis, if that is open or 1; the task adds it again."""
        names = self.names[spec.name]
        has_batch = bool(spec.shape) and spec.shape[0] in (None, 1)
        axes = range(1 if has_batch else 0, len(spec.shape))
        return tuple(self._size(spec, axis, names[axis]) for axis in axes)

    def _size(self, spec: TensorSpec, axis: int, name: str) -> int:
        size = spec.shape[axis]
        if size is not None:
            return size
        if name in self.batch_names:
            return 1
        image = len(spec.shape) == 4 and axis >= 2
        usual = IMAGE_SIZE if image else LENGTH
        return self._chosen.setdefault(name, usual) if name else usual


def _name_of(dim: Any) -> str:
    """Returns the name of an open axis; empty for one that tells nothing apart, such as ``?``."""
    return dim.dim_param if any(map(str.isalnum, dim.dim_param)) else ""


def _values_of(graph: onnx.GraphProto, name: str) -> list[int] | int | None:
    """Returns what the graph shows of an integer input: the constants that it is compared with, or the number of rows
    of the smallest table that it indexes; None if neither."""
    constants = _constants(graph)
    aliases = {name}
    rows: list[int] = []
    for node in graph.node:
        if node.op_type in _SHAPING and node.input[0] in aliases:
            aliases.add(node.output[0])
        if node.op_type == "Equal" and aliases & set(node.input):
            compared = [constants[other] for other in node.input if other in constants]
            if compared and compared[0].size == 1 and compared[0].dtype.kind in "iu":
                return [int(compared[0].reshape(-1)[0])]
        rows += [size for index, size in _lookups(node, constants) if index in aliases]
    return min(rows, default=None)


def _lookups(node: onnx.NodeProto, constants: Mapping[str, Array]) -> Iterator[tuple[str, int]]:
    """Yields the indices that a node reads rows of constant tables by, each with the number of rows."""
    for index, table in _LOOKUPS.get(node.op_type, ()):
        if len(node.input) > max(index, table) and node.input[table] in constants:
            shape = constants[node.input[table]].shape
            axis = next((a.i for a in node.attribute if a.name == "axis"), 0)
            if shape:
                yield node.input[index], shape[axis]
    if node.op_type == "OneHot" and node.input[1] in constants:
        yield node.input[0], int(constants[node.input[1]].reshape(-1)[0])


def _constants(graph: onnx.GraphProto) -> dict[str, Array]:
    """Returns the weights and constants of a graph, also those that are stored in another type."""
    constants: dict[str, Array] = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        value = next((a.t for a in node.attribute if a.name == "value"), None)
        if node.op_type == "Constant" and value is not None:
            constants[node.output[0]] = numpy_helper.to_array(value)
        elif node.op_type in ("Cast", "Identity", "DequantizeLinear") and node.input[0] in constants:
            constants[node.output[0]] = constants[node.input[0]]
    return constants
