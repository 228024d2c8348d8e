"""Exports a torch module as an fp32 ONNX file."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
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


def export_module(module: torch.nn.Module, sample: Arrays, path: Path, *, outputs: Sequence[str] = ("output",)) -> None:
    """Exports ``module`` to ``path``, traced with the arrays of ``sample`` in their order.

    The first axis of inputs and outputs is the batch and stays dynamic. Uses the exporter through TorchScript, which is
    ten times faster; if that fails, the exporter through ``torch.export``. Raises :class:`BuildFailed` if both fail, or
    if outputs of the file differ from torch's.
    """
    import torch

    module = module.eval()
    tensors = tuple(torch.from_numpy(np.ascontiguousarray(values)) for values in sample.values())
    with torch.no_grad():
        expected = module(*tensors)
    try:
        _export_torchscript(module, tensors, path, list(sample), list(outputs))
    except (torch.onnx.errors.OnnxExporterError, RuntimeError, TypeError, ValueError) as first:
        try:
            _export_dynamo(module, tensors, path, list(sample), list(outputs))
        except (torch.onnx.errors.OnnxExporterError, RuntimeError, TypeError, ValueError) as second:
            raise BuildFailed(
                f"torch cannot export the model to ONNX: {first_line(second, 200)}",
                f"the older exporter failed too: {first_line(first, 200)}",
            ) from None
    _check(path, sample, expected)


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


def _check(path: Path, sample: Arrays, expected: Any) -> None:
    session = OnnxRuntime().open(path)
    try:
        outputs = list(session.run(sample).values())
    finally:
        session.close()
    references = [expected] if not isinstance(expected, tuple | list) else list(expected)
    for output, tensor in zip(outputs, references, strict=True):
        reference = tensor.numpy()
        error = float(np.abs(output.astype(np.float64) - reference).max())
        if not error <= TOLERANCE * max(1.0, float(np.abs(reference).max())):
            raise BuildFailed(
                f"the exported file differs from torch by {error:.2g}",
                "check the model for data-dependent control flow",
            )
