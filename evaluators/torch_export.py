"""A torch module as a clean fp32 ONNX file."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluators.runtimes.onnxruntime import OnnxRuntime
from evaluators.tensors import Arrays
from hwprofiles.errors import BuildFailed

if TYPE_CHECKING:
    import torch

OPSET = 17
TOLERANCE = 1e-3
"""How far an output may be from torch's, relative to the largest output."""


def export_module(module: torch.nn.Module, sample: Arrays, path: Path, *, outputs: Sequence[str] = ("output",)) -> None:
    """Writes ``module`` to ``path``, called with the arrays of ``sample`` in their order; the first axis is the batch
    and stays dynamic.

    Uses the exporter through TorchScript first, which is ten times quicker, and the one through ``torch.export`` where
    that fails. Raises :class:`BuildFailed` when both do, or when the file does not answer as torch does.
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
                f"torch cannot export the model to ONNX: {_first_line(second)}",
                f"the older exporter said: {_first_line(first)}",
            ) from None
    _check(path, sample, expected)


def _export_torchscript(
    module: torch.nn.Module, tensors: tuple[Any, ...], path: Path, inputs: list[str], outputs: list[str]
) -> None:
    import torch

    axes: Mapping[str, Mapping[int, str]] = {name: {0: "batch"} for name in [*inputs, *outputs]}
    with warnings.catch_warnings():
        # This exporter is deprecated; it stays the first choice while it is the quicker one.
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
        found = list(session.run(sample).values())
    finally:
        session.close()
    wanted = [expected] if not isinstance(expected, tuple | list) else list(expected)
    for ours, theirs in zip(found, wanted, strict=True):
        reference = theirs.numpy()
        error = float(np.abs(ours.astype(np.float64) - reference).max())
        if not error <= TOLERANCE * max(1.0, float(np.abs(reference).max())):
            raise BuildFailed(
                f"the exported file differs from torch by {error:.2g}",
                "check the model for data-dependent control flow",
            )


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
