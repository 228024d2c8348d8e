"""TensorRT: engines built from Q/DQ ONNX files on the GPU that runs them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import ClassVar

from evaluators.runtimes.base import Runtime, Session, TimedNode
from evaluators.runtimes.engine_store import EngineStore
from evaluators.runtimes.tensorrt_engine import EngineBuilder, EngineOptions
from evaluators.runtimes.tensorrt_library import load_library, tensorrt_module
from evaluators.runtimes.tensorrt_session import TensorRtSession
from evaluators.tensors import Arrays

TWICE = "twice"
"""A hint, or its suffix (``tf32-twice``): sessions alternate between two independently built engines."""

_OPENINGS_PER_BUILD = 2


class TensorRtRuntime(Runtime):
    """TensorRT with engines that are built on first use and then stored (:class:`EngineStore`).

    Without a hint, fp32 layers compute in fp32; with ``tf32`` float products may be rounded to 10 bits of mantissa,
    which is TensorRT's default. Lower precisions are those in the file.

    Builds differ by chance, because the builder times kernels and takes the fastest. With the suffix ``twice``, the
    sessions that one object opens of a model alternate between two builds, so that an interval over sessions includes
    the variation between builds.
    """

    name = "tensorrt"
    hints: ClassVar[tuple[str, ...]] = ("", "tf32")

    def __init__(self, hint: str = "") -> None:
        super().__init__(_plain(hint))
        self._builds = 1 if hint == self.hint else 2
        self._opened: Counter[Path] = Counter()

    @property
    def family(self) -> str:
        """See :attr:`Runtime.family`."""
        return self.name

    @property
    def on_gpu(self) -> bool:
        """See :attr:`Runtime.on_gpu`."""
        return True

    def version(self) -> str:
        """Returns the library's version."""
        return str(tensorrt_module().__version__)

    def open(self, model: Path, *, threads: int = 1) -> Session:
        """See :meth:`Runtime.open`. ``threads`` have no effect on a GPU. The driver is checked first."""
        number = self._opened[model] // _OPENINGS_PER_BUILD % self._builds
        session = self._session(model, EngineOptions(tf32=self.hint == "tf32", build=number))
        self._opened[model] += 1
        return session

    def time_nodes(self, model: Path, feed: Arrays, *, threads: int = 1, runs: int = 20) -> list[TimedNode]:
        """See :meth:`Runtime.time_nodes`: the engine's layers."""
        session = self._session(model, EngineOptions(tf32=self.hint == "tf32"))
        try:
            return session.time_layers(feed, runs)
        finally:
            session.close()

    def _session(self, model: Path, options: EngineOptions) -> TensorRtSession:
        library = load_library()
        builder = EngineBuilder(library, EngineStore(), model)
        signature = builder.signature
        return TensorRtSession(
            library, signature.inputs, signature.outputs, lambda largest: builder.engine(options, largest)
        )


def with_two_builds(spec: str) -> str:
    """Returns the runtime spec for the final measurement of a front's member.

    It is the given spec (``name`` or ``name:hint``), with two builds in turn if the runtime builds engines.

    >>> built_twice("tensorrt"), built_twice("tensorrt:tf32"), built_twice("onnxruntime")
    ('tensorrt:twice', 'tensorrt:tf32-twice', 'onnxruntime')
    """
    name, _, hint = spec.partition(":")
    return f"{name}:{'-'.join(filter(None, (_plain(hint), TWICE)))}" if name == TensorRtRuntime.name else spec


def _plain(hint: str) -> str:
    return hint.removesuffix(TWICE).removesuffix("-")
