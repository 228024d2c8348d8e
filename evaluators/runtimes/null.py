"""The null runtime: opens files without executing them; its times are modelled and equal on all machines.

For tests, and for dry runs through :mod:`evaluators.modelled.dry_run`.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from evaluators.runtimes.base import Runtime, Session
from evaluators.tensors import Array, Arrays, TensorSpec
from hwprofiles.errors import BuildFailed, InvalidInput

_MS_PER_MEGABYTE = 1.0


class NullRuntime(Runtime):
    """Models latency by the file's size; outputs are random values of the right shapes, seeded by the file's digest."""

    name = "null"

    def version(self) -> str:
        """Returns the version of the latency model."""
        return "1"

    def open(self, model: Path, *, threads: int = 1) -> Session:
        """See :meth:`Runtime.open`."""
        from evaluators.graphs.model import input_specs, load_model, output_specs

        try:
            loaded = load_model(model)
            inputs, outputs = input_specs(loaded), output_specs(loaded)
        except InvalidInput as error:
            raise BuildFailed(error.message, error.hint) from None
        content = model.read_bytes()
        seed = int.from_bytes(hashlib.sha256(content).digest()[:8], "little")
        return _NullSession(inputs, outputs, len(content), threads, seed)


class _NullSession(Session):
    def __init__(
        self, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...], size_bytes: int, threads: int, seed: int
    ) -> None:
        self.inputs, self.outputs = inputs, outputs
        self._ms = 0.01 + size_bytes / 1e6 * _MS_PER_MEGABYTE / threads
        self._seed = seed
        self._rng = np.random.default_rng(seed)

    def run(self, feed: Arrays) -> dict[str, Array]:
        for spec in self.inputs:
            if spec.name not in feed:
                raise BuildFailed(f"the model's input {spec.name!r} is missing")
        batch = next((len(feed[spec.name]) for spec in self.inputs if spec.shape[:1] == (None,)), 1)
        rng = np.random.default_rng(self._seed)
        return {spec.name: _draw(rng, spec, batch) for spec in self.outputs}

    def time_ms(self, feed: Arrays) -> float:
        return float(self._ms * np.exp(0.01 * self._rng.standard_normal()))

    def close(self) -> None:
        return


def _draw(rng: np.random.Generator, spec: TensorSpec, batch: int) -> Array:
    shape = [dim if dim is not None else (1 if axis else batch) for axis, dim in enumerate(spec.shape)]
    return rng.standard_normal(shape).astype(spec.dtype)
