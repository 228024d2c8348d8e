"""Exports a torch module as an fp32 ONNX file."""

from __future__ import annotations

import copy
import functools
import logging
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluators.runtimes.onnxruntime import OnnxRuntime
from evaluators.tensors import Arrays
from hwprofiles.errors import BuildFailed, first_line

if TYPE_CHECKING:
    import torch

OPSET = 17
TOLERANCE = 1e-3
"""Largest difference from torch's outputs, relative to the largest output."""


def export_module(module: torch.nn.Module, sample: Arrays, path: Path, *, outputs: Sequence[str] | None = None) -> None:
    """Exports ``module`` to ``path``, traced with the arrays of ``sample`` in their order and under their names.

    The module may return a tensor, or several in tuples, lists and mappings. They are named ``outputs``, else by the
    keys of a mapping and the fields of a named tuple, else ``output``, ``output_1`` and so on. The first axis of inputs
    and outputs is the batch and stays dynamic. Uses the exporter through TorchScript, which is
    ten times faster; if that fails, the exporter through ``torch.export``. Raises :class:`BuildFailed` if both fail, or
    if outputs of the file differ from torch's.
    """
    import torch

    module = module.eval()
    tensors = tuple(torch.from_numpy(np.ascontiguousarray(values)) for values in sample.values())
    with torch.no_grad():
        returned = module(*tensors)
    expected = _name_leaves(returned)
    names = _output_names(list(expected), outputs, sample)
    flat = module if _is_flat(returned) else _flatten_outputs(module)
    try:
        _export_torchscript(flat, tensors, path, list(sample), names)
    except (torch.onnx.errors.OnnxExporterError, RuntimeError, TypeError, ValueError) as first:
        try:
            _export_dynamo(flat, tensors, path, list(sample), names)
        except (torch.onnx.errors.OnnxExporterError, RuntimeError, TypeError, ValueError) as second:
            raise BuildFailed(
                f"torch cannot export the model to ONNX: {first_line(second, 200)}",
                f"the older exporter failed too: {first_line(first, 200)}",
            ) from None
    _check(path, sample, dict(zip(names, expected.values(), strict=True)))


def _export_torchscript(
    module: torch.nn.Module, tensors: tuple[Any, ...], path: Path, inputs: list[str], outputs: list[str]
) -> None:
    import torch

    axes: Mapping[str, Mapping[int, str]] = {name: {0: "batch"} for name in [*inputs, *outputs]}
    with warnings.catch_warnings():
        # This exporter is deprecated, but stays the first choice while it is faster.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        torch.onnx.export(
            module, tensors, str(path), dynamo=False, input_names=inputs, output_names=outputs, dynamic_axes=axes,
            opset_version=OPSET,
        )  # fmt: skip


def _export_dynamo(
    module: torch.nn.Module, tensors: tuple[Any, ...], path: Path, inputs: list[str], outputs: list[str]
) -> None:
    import torch

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    batch = torch.export.Dim("batch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module, tensors, str(path), dynamo=True, input_names=inputs, output_names=outputs, external_data=False,
            dynamic_shapes=tuple({0: batch} for _ in tensors), opset_version=18, verbose=False,
        )  # fmt: skip


def _name_leaves(returned: Any) -> dict[str, Any]:
    """Returns the tensors that a module returned, in order, by name."""
    leaves: dict[str, Any] = {}
    for place, tensor in _leaves(returned, ""):
        name, number = place or "output", 1
        while name in leaves:
            name, number = f"{place or 'output'}_{number}", number + 1
        leaves[name] = tensor
    return leaves


def _leaves(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    """Yields every tensor in nested tuples, lists and mappings, with the innermost key or field that leads to it."""
    if isinstance(value, Mapping):
        parts = [(str(key), part) for key, part in value.items()]
    elif hasattr(value, "_fields"):
        parts = list(zip(value._fields, value, strict=True))
    elif isinstance(value, tuple | list):
        parts = [(place, part) for part in value]
    elif hasattr(value, "numpy"):
        yield place, value
        return
    elif value is None:
        return
    else:
        raise BuildFailed(
            f"the module returns a {type(value).__name__}, which is no tensor", "return tensors in tuples or mappings"
        )
    for name, part in parts:
        yield from _leaves(part, name)


def _output_names(own: list[str], wanted: Sequence[str] | None, inputs: Collection[str]) -> list[str]:
    """Returns the outputs' names; raises :class:`BuildFailed` unless ``wanted`` is one new name for each."""
    if wanted is None:
        return [name if name not in inputs else f"{name}_out" for name in own]
    if len(wanted) != len(own):
        raise BuildFailed(f"the module returns {len(own)} outputs, but {len(wanted)} are named", "name each of them")
    if len({*wanted, *inputs}) < len(wanted) + len(inputs):
        raise BuildFailed(f"inputs and outputs share a name: {', '.join([*inputs, *wanted])}", "give each its own name")
    return list(wanted)


def _is_flat(returned: Any) -> bool:
    """Returns whether exporters name the outputs in order: a tensor, or different tensors in a tuple or list."""
    if not isinstance(returned, tuple | list):
        return not isinstance(returned, Mapping)
    return all(hasattr(part, "numpy") for part in returned) and len({id(part) for part in returned}) == len(returned)


def _flatten_outputs(module: torch.nn.Module) -> torch.nn.Module:
    """Returns the same module, whose forward returns a tuple of different tensors; its parts keep their names."""
    flat = copy.copy(module)

    @functools.wraps(module.forward)
    def forward(*inputs: Any) -> Any:
        leaves, seen = [], set()
        for _, tensor in _leaves(module.forward(*inputs), ""):
            leaves.append(tensor + 0 if id(tensor) in seen else tensor)
            seen.add(id(tensor))
        return tuple(leaves)

    object.__setattr__(flat, "forward", forward)
    return flat


def _check(path: Path, sample: Arrays, expected: Mapping[str, Any]) -> None:
    session = OnnxRuntime().open(path)
    try:
        outputs = session.run(sample)
    finally:
        session.close()
    if [*outputs] != [*expected]:
        raise BuildFailed(
            f"torch named the outputs {', '.join(outputs)} instead of {', '.join(expected)}",
            "return each output as a tensor of its own",
        )
    for name, tensor in expected.items():
        output, reference = outputs[name], tensor.numpy()
        error = float(np.abs(output.astype(np.float64) - reference).max())
        if not error <= TOLERANCE * max(1.0, float(np.abs(reference).max())):
            raise BuildFailed(
                f"the exported file differs from torch by {error:.2g}",
                "check the model for data-dependent control flow",
            )
